"""What E3Kit's verbs share: one user, the keystore, the directory, the services."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import NoReturn

from encrypted_parse.backup import (
    BrainKeyClient,
    KeyArchive,
    KeyknoxClient,
    LoginPassword,
    PrivateKeyBackups,
)
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.directory import CachingDirectory, Card, CardChain, ServiceClient
from encrypted_parse.discretion import front_door
from encrypted_parse.e3kit.arguments import Cards, card_of, cards_of
from encrypted_parse.errors import (
    CardNotFoundError,
    ConfigurationError,
    InvalidValueError,
    NotPicklableError,
    PrivateKeyNotFoundError,
    UntrustedKeyError,
)
from encrypted_parse.keystore import Keystore, StoredKey
from encrypted_parse.trust import MemoryTrustStore, TrustedChain, TrustedDirectory, TrustKeeper


@front_door
class Verbs:
    """The parts that a verb works with. Holds no state beside what keystore and directory keep."""

    def __init__(  # noqa: PLR0913 - its parts, the optional ones by keyword
        self,
        user_id: str,
        directory: CachingDirectory,
        keystore: Keystore,
        *,
        service: ServiceClient | None = None,
        trust: TrustKeeper | None = None,
        login_password: LoginPassword | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.user_id = user_id
        keeper = trust or TrustKeeper(user_id, MemoryTrustStore())
        self._directory = TrustedDirectory(directory, keeper)
        self._keystore = keystore
        self._login_password = login_password
        self._clock = clock
        self._service = None if service is None else _Services(user_id, service, clock)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        front_door(cls)

    def _stored(self) -> StoredKey:
        stored = self._keystore.find(self.user_id)
        if stored is None:
            raise PrivateKeyNotFoundError(
                f"this machine holds no private key of the user {self.user_id!r}",
                hint="call register() once per user, or restore the key where there is a backup",
            )
        return stored

    def _own_key(self) -> PrivateKey:
        return self._stored().private_key

    def _recipients(self, cards: Cards, own: PrivateKey) -> list[PublicKey]:
        """Return the keys to encrypt for: the cards', and our own last, as E3Kit does.

        Raises:
            UntrustedKeyError: A card is not its user's trusted one.
            InvalidValueError: *cards* is neither a card nor several.
        """
        trusted = self._writable(cards)
        return [*(card.public_key for card in trusted), own.public_key]

    def _writable(self, cards: Cards) -> list[Card]:
        chosen = cards_of(cards)
        ours = [card.public_key for card in chosen if card.user_id == self.user_id]
        if ours and not set(ours) <= set(self._own_signers(self._stored())):
            raise UntrustedKeyError([self.user_id])  # our own keys are known without a directory
        self._directory.require_writable(chosen)
        return chosen

    def _sender_keys(
        self, stored: StoredKey, sender: Card | None, encrypted_at: dt.datetime | None
    ) -> list[PublicKey]:
        """Return the keys that a message's author may have signed with; without one, ours.

        Raises:
            CardNotFoundError: *sender* had no card yet at *encrypted_at*.
            FormerKeyError: Its key was only seen, before somebody vouched for another one.
            UntrustedKeyError: Its key does not count as the user's.
            InvalidValueError: *encrypted_at* has no time zone, or *sender* is no card.
        """
        if sender is None:
            return self._own_signers(stored)
        sender = card_of(sender)
        card = sender if encrypted_at is None else self._card_at(sender, encrypted_at)
        if card.user_id != self.user_id:
            self._directory.require_readable(card)
        elif card.public_key not in self._own_signers(stored):
            raise UntrustedKeyError([card.user_id])  # our own keys are known without a directory
        return [card.public_key]

    def _newer_keys(self, sender: Card) -> list[PublicKey]:
        """Return the counting keys of the cards that replaced *sender*, as the directory has them.

        Asked for again once in some seconds; none where another chain has begun since.
        """
        if sender.user_id == self.user_id:
            return []
        self._directory.renew([sender.user_id])
        trusted = self._directory.look_up_authors([sender.user_id]).get(sender.user_id)
        if not isinstance(trusted, TrustedChain) or sender not in trusted.cards:
            return []
        newer = (card.public_key for card in trusted.cards[: trusted.cards.index(sender)])
        return [key for key in newer if key in trusted.reading_keys]

    def _card_at(self, sender: Card, encrypted_at: dt.datetime) -> Card:
        if encrypted_at.tzinfo is None:
            raise InvalidValueError("encrypted_at needs a time zone", hint="use datetime.UTC")
        # A card's date counts whole seconds, as its author's clock had them.
        moment = encrypted_at.replace(microsecond=0)
        cards = self._directory.get_chains([sender.user_id])[sender.user_id].cards
        older = cards[cards.index(sender) :] if sender in cards else (sender,)
        for card in older:
            if card.created_at <= moment:
                return card
        raise CardNotFoundError(
            f"the user {sender.user_id!r} had no card yet at {moment.isoformat()}",
            hint="after unregister() a chain begins anew: fetch the card by its id",
        )

    def _own_signers(self, stored: StoredKey) -> list[PublicKey]:
        """Return the keys that we may have signed with: our present and former ones."""
        return [key.public_key for key in stored.identities]

    def _find_own_chain(self) -> CardChain | None:
        found = self._directory.find_chains([self.user_id], force=True).get(self.user_id)
        return None if found is None else found.chain

    @property
    def _services(self) -> _Services:
        if self._service is None:
            raise ConfigurationError(
                "this client was made without Keyknox and BrainKey",
                hint="use EncryptedClient, which has them",
            )
        return self._service

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("E3Kit holds keys and is not pickled")


class _Services:
    """The services beside the directory, for one user."""

    def __init__(self, user_id: str, service: ServiceClient, clock: Callable[[], float]) -> None:
        self.keyknox = KeyknoxClient(service)
        brainkey = BrainKeyClient(service)
        self.backups = PrivateKeyBackups(user_id, brainkey, self.keyknox, clock=clock)
        self.archive = KeyArchive(user_id, self.keyknox)
