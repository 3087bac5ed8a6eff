"""E3Kit's verbs for other users: their cards, and whether they are theirs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import overload

from attrs import frozen

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card
from encrypted_parse.discretion import front_door
from encrypted_parse.e3kit.arguments import user_ids_of
from encrypted_parse.e3kit.verbs import Verbs
from encrypted_parse.errors import (
    InvalidValueError,
    NotRegisteredError,
    RecipientsNotRegisteredError,
)
from encrypted_parse.trust import (
    AuthorKeys,
    Finding,
    MemoryTrustStore,
    PinLevel,
    SafetyNumber,
    TrustedChain,
    TrustPolicy,
)


@front_door
@frozen
class FormerKey:
    """A key that was seen as a user's and does not count any more.

    Attributes:
        public_key: The key.
        safety_number: What the user and we both see, if it was theirs.
    """

    public_key: PublicKey
    safety_number: SafetyNumber

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key, in hexadecimal."""
        return self.public_key.long_key_id.hex()


@front_door
@frozen
class Prefetched:
    """What a look-up of authors found.

    Attributes:
        kept: Those of whom the cache had cards before: keys that may have been replaced since.
        absent: Those of whom the directory has none.
    """

    kept: frozenset[str]
    absent: frozenset[str]


class PeopleVerbs(Verbs):
    """What `E3Kit` knows of other users.

    A user's first card is remembered. A later one is used silently if the remembered key signed
    it; else reading warns (`KeyChangedWarning`) and writing is refused until `accept_key` or
    `mark_verified`, unless the policy is another.
    """

    @overload
    def find_users(  # type: ignore[overload-overlap]  # a str is an Iterable[str] too: as in E3Kit
        self, user_ids: str, *, force_reload: bool = False
    ) -> Card: ...
    @overload
    def find_users(
        self, user_ids: Iterable[str], *, force_reload: bool = False
    ) -> dict[str, Card]: ...
    def find_users(
        self, user_ids: str | Iterable[str], *, force_reload: bool = False
    ) -> Card | dict[str, Card]:
        """Return the current card of each user by user id; for a single user id, its card.

        Fifty users take one request; cards are kept for some seconds. Warns of changed keys.

        Args:
            user_ids: One user id, or several.
            force_reload: Ask the directory even for users in the cache.

        Raises:
            InvalidValueError: What was passed is no user id: a card, say.
            NotRegisteredError: Some users have no card; lists all of them.
            UnusableCardsError: Of several users, some have cards that cannot be used; says why
                for each, and lists those without a card too. The same call without them answers
                from the cache.
            CardError: The same, for a single user.
            UntrustedKeyError: The policy is strict, and some keys were not vouched for.
        """
        chains = self._directory.get_chains(
            user_ids_of(user_ids), force=force_reload, to_write=True
        )
        keeper = self._directory.keeper
        if keeper.policy is TrustPolicy.STRICT:
            keeper.require_writable(chains.values())
        keeper.warn(chains.values())
        if isinstance(user_ids, str):
            return chains[user_ids].head
        return {user_id: chain.head for user_id, chain in chains.items()}

    def forget_cards(self, user_ids: str | Iterable[str] | None = None) -> None:
        """Ask the directory for these users' cards next time, or for everybody's.

        For a program that learns of a change in another way than by time. What is remembered of
        other users' keys (`trust_of`) stays.

        Raises:
            InvalidValueError: What was passed is no user id.
        """
        if user_ids is None:
            self._directory.forget_all()
            return
        for user_id in user_ids_of(user_ids):
            self._directory.forget(user_id)

    @property
    def forgets_keys(self) -> bool:
        """Whether what is remembered of other users' keys ends with this process."""
        return isinstance(self._directory.keeper.store, MemoryTrustStore)

    def prefetch_authors(self, user_ids: Iterable[str]) -> Prefetched:
        """Fetch many users' cards at once into the cache, to verify what they signed.

        Users without a card, or with one that cannot be used, are no error: what needs them says
        so.
        """
        others = {user_id for user_id in user_ids if user_id != self.user_id}
        kept = self._directory.in_cache(others)
        found = self._directory.look_up_authors(others) if others else {}
        return Prefetched(kept, frozenset(others - set(found)))

    def renew_authors(self, user_ids: Iterable[str]) -> frozenset[str]:
        """Ask the directory again for users whose signatures fail; returns whom it was asked for.

        Once in some seconds for each, so that values that nobody signed cost no request each.
        """
        others = [user_id for user_id in user_ids if user_id != self.user_id]
        return self._directory.renew(others) if others else frozenset()

    def prefetch(self, user_ids: str | Iterable[str], *, replaced: bool = False) -> None:
        """Fetch many users' cards at once into the cache, to encrypt for them.

        As `prefetch_authors`; with *replaced*, whatever the cache has: keys in it are known to be
        replaced.
        """
        others = [user_id for user_id in user_ids_of(user_ids) if user_id != self.user_id]
        if others and replaced:
            self._directory.replace(others)
        elif others:
            self._directory.prepare(others)

    def recipient_keys(self, user_ids: str | Iterable[str]) -> list[PublicKey]:
        """Return the current public keys of *user_ids*, and our own last, as E3Kit does.

        Raises:
            RecipientsNotRegisteredError: Some users have no card; lists all of them.
            UnusableCardsError: Some have cards that cannot be used: as `find_users`.
            CardError: The same, for a single user.
            UntrustedKeyError: Some have another key than the trusted one; lists all of them.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        own = self._own_key()
        others = sorted(set(user_ids_of(user_ids)) - {self.user_id})
        try:
            chains = self._directory.get_chains(others, to_write=True)
        except NotRegisteredError as error:
            raise RecipientsNotRegisteredError(error.user_ids, deleted=error.deleted) from error
        self._directory.keeper.require_writable(chains.values())
        return [*(chains[user_id].head.public_key for user_id in others), own.public_key]

    def keys_ever_of(self, user_ids: str | Iterable[str]) -> dict[str, list[PublicKey]]:
        """Return every key of each user that has or had a card; users without one are left out.

        So are users whose cards cannot be used. What is trusted plays no part: this tells whom a
        stanza may be for.
        """
        wanted = set(user_ids_of(user_ids))
        found = {
            user_id: [card.public_key for card in trusted.cards]
            for user_id, trusted in self._directory.look_up_authors(wanted - {self.user_id}).items()
            if isinstance(trusted, TrustedChain)
        }
        if self.user_id in wanted and (own := self._keystore.find(self.user_id)) is not None:
            found[self.user_id] = self._own_signers(own)
        return found

    def author_keys(self, user_id: str, *, absent: bool = False) -> AuthorKeys:
        """Return every key, current one first, whose signatures count as *user_id*'s.

        A rotated key still verifies what it signed; a card's date cannot say more, since the
        dates of rows come from the server. Once a person verified or accepted a key of the user,
        those count that are linked with it, or that somebody vouched for; the others are
        `AuthorKeys.former`. For ourselves, the keys of this machine. For a user whose account was
        deleted, those of the last cards, and for one who has left the directory, those remembered;
        of one whom `prefetch_authors` just found *absent*, without asking again.

        Raises:
            NotRegisteredError: The user has no card, and nothing is remembered.
            CardError: The user's cards cannot be used.
            UntrustedKeyError: The policy is strict, and no key was vouched for.
        """
        if user_id == self.user_id:
            stored = self._keystore.find(user_id)
            if stored is not None:
                return AuthorKeys(user_id, tuple(self._own_signers(stored)))
        return self._directory.reading_keys(user_id, absent=absent)

    # --- trust ------------------------------------------------------------------------------

    def trust_of(self, user_id: str) -> PinLevel | Finding:
        """Say how far the user's published key is trusted: seen, accepted, verified, or changed.

        Raises:
            NotRegisteredError: The user has no card.
        """
        trusted = self._directory.get_author_chain(user_id)
        if user_id == self.user_id:
            return PinLevel.VERIFIED
        return trusted.finding if trusted.level is None else trusted.level

    def safety_number(self, user_id: str) -> SafetyNumber:
        """Return the number that we and the user both see, if we see each other's true keys.

        Raises:
            NotRegisteredError: The user has no card.
            PrivateKeyNotFoundError: This machine holds no private key of ours.
        """
        return self._number_with(self._directory.get_author_chain(user_id).head)

    def mark_verified(self, user_id: str, shown: str | SafetyNumber) -> None:
        """Remember the user's present key as compared, if *shown* is its safety number.

        Raises:
            SafetyNumberMismatchError: It is not: nothing is remembered.
            InvalidValueError: *shown* is not a safety number.
            NotRegisteredError: The user has no card.
        """
        trusted = self._directory.get_author_chain(user_id)
        digits = shown.digits if isinstance(shown, SafetyNumber) else shown
        self._number_with(trusted.head).compare(digits)
        self._directory.accept(trusted.chain, PinLevel.VERIFIED)

    def accept_key(self, user_id: str) -> Card:
        """Use the user's present key from now on, though nobody vouched for it; returns its card.

        Raises:
            NotRegisteredError: The user has no card.
        """
        trusted = self._directory.get_author_chain(user_id)
        self._directory.accept(trusted.chain, PinLevel.ACCEPTED)
        return trusted.head

    def former_keys(self, user_id: str) -> tuple[FormerKey, ...]:
        """Return the keys that were seen as the user's and do not count any more.

        They stop counting when a person verifies or accepts a key that they are not linked with:
        the directory may have lied about them. What they signed is locked by `FormerKeyError`.

        Raises:
            NotRegisteredError: The user has no card, and nothing is remembered.
            PrivateKeyNotFoundError: This machine holds no private key of ours.
        """
        return tuple(
            FormerKey(key, self._number(user_id, key)) for key in self.author_keys(user_id).former
        )

    def accept_former_key(self, user_id: str, fingerprint: str | None = None) -> None:
        """Let what a former key of the user signed be opened again: the user says it was theirs.

        Args:
            user_id: Whose.
            fingerprint: Which one, as `FormerKeyError.fingerprint` has it; blanks are allowed.
                May be left out if there is only one.

        Raises:
            InvalidValueError: There is no such key among `former_keys`, or there are several.
            NotRegisteredError: The user has no card, and nothing is remembered.
        """
        former = self.author_keys(user_id).former
        wanted = "".join((fingerprint or "").split()).lower()
        chosen = [key for key in former if fingerprint is None or key.long_key_id.hex() == wanted]
        if len(chosen) != 1:
            known = ", ".join(key.long_key_id.hex() for key in former) or "none"
            raise InvalidValueError(
                f"name one of the former keys of {user_id!r}: {known}",
                hint="the user can compare the fingerprint, or the safety number of former_keys()",
            )
        self._directory.accept_former(user_id, chosen)

    def _number_with(self, card: Card) -> SafetyNumber:
        return self._number(card.user_id, card.public_key)

    def _number(self, user_id: str, key: PublicKey) -> SafetyNumber:
        return SafetyNumber.of((self.user_id, self._own_key().public_key), (user_id, key))
