"""E3Kit's verbs for other users: their cards."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card
from encrypted_parse.e3kit.verbs import Verbs
from encrypted_parse.errors import NotRegisteredError, RecipientsNotRegisteredError


class PeopleVerbs(Verbs):
    """What `E3Kit` knows of other users."""

    def find_users(
        self, user_ids: Collection[str], *, force_reload: bool = False
    ) -> dict[str, Card]:
        """Return the current card of each user.

        Fifty users take one request; cards are kept for five minutes.

        Raises:
            NotRegisteredError: Some users have no card; lists all of them.
            MultipleCardsError: A user has several current cards.
        """
        chains = self._directory.get_chains(user_ids, force=force_reload)
        return {user_id: chain.head for user_id, chain in chains.items()}

    def prefetch(self, user_ids: Collection[str]) -> None:
        """Fetch many users' cards at once into the cache; unknown users are no error."""
        others = [user_id for user_id in user_ids if user_id != self.user_id]
        if others:
            self._directory.find_chains(others)

    def recipient_keys(self, user_ids: Iterable[str]) -> list[PublicKey]:
        """Return the current public keys of *user_ids*, and our own last, as E3Kit does.

        Raises:
            RecipientsNotRegisteredError: Some users have no card; lists all of them.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        own = self._own_key()
        others = sorted(set(user_ids) - {self.user_id})
        try:
            chains = self._directory.get_chains(others)
        except NotRegisteredError as error:
            raise RecipientsNotRegisteredError(error.user_ids) from error
        return self._recipients((chains[user_id].head for user_id in others), own)

    def author_keys(self, user_id: str) -> list[PublicKey]:
        """Return every key, current one first, that *user_id* may have signed with.

        A rotated key still verifies what it signed; a card's date cannot say more, since the
        dates of rows come from the server. For ourselves, the keys of this machine.

        Raises:
            NotRegisteredError: The user has no card.
        """
        if user_id == self.user_id:
            stored = self._keystore.find(user_id)
            if stored is not None:
                return self._own_signers(stored)
        chain = self._directory.get_chains([user_id])[user_id]
        return [card.public_key for card in chain.cards]

    def _writable(self, cards: Iterable[Card]) -> list[Card]:
        return list(cards)
