"""E3Kit's verbs in snake_case, for one user.

The names, and what they mean, are those of E3Kit's public documentation. What is done beyond it:
a card is always verified, old cards of an author still verify, and `register` may be repeated.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import overload

from encrypted_parse import envelope
from encrypted_parse.backup import BrainKeyClient, KeyknoxClient, PrivateKeyBackups
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.directory import (
    CachingDirectory,
    Card,
    CardChain,
    ServiceClient,
    new_card,
)
from encrypted_parse.e3kit.backups import BackupVerbs
from encrypted_parse.e3kit.files import FileVerbs
from encrypted_parse.e3kit.groups import Group
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    ConfigurationError,
    DirectoryRefusedError,
    EncryptedParseError,
    MalformedEnvelopeError,
    NotRegisteredError,
    PrivateKeyNotFoundError,
    RecipientsNotRegisteredError,
)
from encrypted_parse.keystore import Keystore, StoredKey


class E3Kit(BackupVerbs, FileVerbs):
    """One user's keys and the directory, behind E3Kit's verbs.

    Thread-safe: it holds no state of its own beside what keystore and directory keep.
    """

    def __init__(
        self,
        user_id: str,
        directory: CachingDirectory,
        keystore: Keystore,
        *,
        service: ServiceClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keyknox = None if service is None else KeyknoxClient(service)
        backups = None
        if service is not None and self._keyknox is not None:
            backups = PrivateKeyBackups(
                user_id, BrainKeyClient(service), self._keyknox, clock=clock
            )
        BackupVerbs.__init__(self, user_id, keystore, backups, self._fetch_published_key)
        FileVerbs.__init__(self, self._own_key)
        self._directory = directory
        self._clock = clock

    # --- life of a key ----------------------------------------------------------------------

    def register(self) -> Card:
        """Make the user's keys, keep the private one in the keystore, publish the card.

        Does nothing for a user who is registered with the key of this machine. The private key
        is kept *before* the card is published, so that no crash can leave a published card
        whose key is lost; a call that was cut off is completed by the next.

        Raises:
            AlreadyRegisteredError: The user has a card, and its key is not on this machine.
            KeystoreError: The private key could not be kept; nothing was published.
            DirectoryError: The directory refused the card.
        """
        chain = self._find(self.user_id)
        stored = self._keystore.find(self.user_id)
        if chain is not None:
            if stored is not None and stored.private_key.public_key == chain.head.public_key:
                return chain.head
            raise self._already_registered()
        key = stored.private_key if stored is not None else PrivateKey.generate()
        if stored is None:
            self._keystore.save(StoredKey(self.user_id, key))
        created_at = dt.datetime.fromtimestamp(self._clock(), dt.UTC)
        try:
            card = self._directory.client.publish(new_card(self.user_id, key, created_at))
        except DirectoryRefusedError:
            # Another device was faster, or this user must not publish: its key, if we made it
            # just now, has never been used and would stand in the way of the right one.
            chain = self._find(self.user_id)
            if chain is not None and chain.head.public_key == key.public_key:
                return chain.head
            if stored is None:
                self._keystore.delete(self.user_id)
            if chain is not None:
                raise self._already_registered() from None
            raise
        self._directory.forget(self.user_id)
        return card

    def has_local_private_key(self) -> bool:
        """Tell whether this machine holds the user's private key."""
        return self._keystore.find(self.user_id) is not None

    def cleanup(self) -> None:
        """Delete the user's private key from this machine.

        Without a backup, everything encrypted for the user is lost with it.
        """
        self._keystore.delete(self.user_id)

    def unregister(self) -> None:
        """Revoke the user's card and delete the private key from this machine.

        Without a backup, everything encrypted for the user is lost. A backup stays, until it is
        reset. The user may register again, with another key.

        Raises:
            NotRegisteredError: The user has no card.
            DirectoryRefusedError: The directory refuses; the key is still there.
        """
        chain = self._find(self.user_id)
        if chain is None:
            raise NotRegisteredError([self.user_id])
        self._directory.client.revoke(chain.head.card_id)
        self._directory.forget(self.user_id)
        self._keystore.delete(self.user_id)

    # --- cards ------------------------------------------------------------------------------

    def find_users(
        self, user_ids: Collection[str], *, force_reload: bool = False
    ) -> dict[str, Card]:
        """Return the current card of each user.

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
        own = self._own_key().public_key
        others = sorted(set(user_ids) - {self.user_id})
        try:
            chains = self._directory.get_chains(others)
        except NotRegisteredError as error:
            raise RecipientsNotRegisteredError(error.user_ids) from error
        return [*(chains[user_id].head.public_key for user_id in others), own]

    def author_keys(self, user_id: str) -> list[PublicKey]:
        """Return every key, current one first, that *user_id* may have signed with.

        A rotated key still verifies what it signed; a card's date cannot say more, since the
        dates of rows come from the server.

        Raises:
            NotRegisteredError: The user has no card.
        """
        if user_id == self.user_id:
            own = self._keystore.find(user_id)
            if own is not None:
                return [own.private_key.public_key]
        chain = self._directory.get_chains([user_id])[user_id]
        return [card.public_key for card in chain.cards]

    # --- messages ---------------------------------------------------------------------------

    @overload
    def auth_encrypt(self, data: str, recipients: Iterable[Card] = ()) -> str: ...
    @overload
    def auth_encrypt(self, data: bytes, recipients: Iterable[Card] = ()) -> bytes: ...
    def auth_encrypt(self, data: str | bytes, recipients: Iterable[Card] = ()) -> str | bytes:
        """Sign *data* and encrypt it for the cards' users and ourselves.

        Text gives text (base64), bytes give bytes, as in E3Kit. Without recipients, for
        ourselves alone.

        Raises:
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        keys = [*(card.public_key for card in recipients), self._own_key().public_key]
        if isinstance(data, str):
            return envelope.to_text(self.seal(data.encode("utf-8"), keys))
        return self.seal(data, keys)

    @overload
    def auth_decrypt(self, data: str, sender: Card | None = None) -> str: ...
    @overload
    def auth_decrypt(self, data: bytes, sender: Card | None = None) -> bytes: ...
    def auth_decrypt(self, data: str | bytes, sender: Card | None = None) -> str | bytes:
        """Open what *sender* encrypted for us with `auth_encrypt`; without one, what we did.

        Raises:
            EnvelopeError: See `envelope.decrypt_and_verify`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        signer = self._own_key().public_key if sender is None else sender.public_key
        if isinstance(data, bytes):
            return self.open(data, [signer])
        return _to_text(self.open(envelope.from_text(data), [signer]))

    @overload
    def encrypt(self, data: str, recipients: Iterable[Card] = ()) -> str: ...
    @overload
    def encrypt(self, data: bytes, recipients: Iterable[Card] = ()) -> bytes: ...
    def encrypt(self, data: str | bytes, recipients: Iterable[Card] = ()) -> str | bytes:
        """Do as `auth_encrypt` in the **old** signed form, for clients that only read that.

        Its header shows the signature, with which anybody can test guesses of the text.

        Raises:
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        own = self._own_key()
        keys = [*(card.public_key for card in recipients), own.public_key]
        plaintext = data.encode("utf-8") if isinstance(data, str) else data
        sealed = envelope.sign_then_encrypt(plaintext, signer=own, recipients=keys)
        return envelope.to_text(sealed) if isinstance(data, str) else sealed

    @overload
    def decrypt(self, data: str, sender: Card | None = None) -> str: ...
    @overload
    def decrypt(self, data: bytes, sender: Card | None = None) -> bytes: ...
    def decrypt(self, data: str | bytes, sender: Card | None = None) -> str | bytes:
        """Open what *sender* encrypted for us with `encrypt`; without one, what we did.

        Raises:
            EnvelopeError: See `envelope.decrypt_then_verify`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        own = self._own_key()
        sealed = data if isinstance(data, bytes) else envelope.from_text(data)
        plaintext = envelope.decrypt_then_verify(
            sealed,
            identities=[own],
            signers=[own.public_key if sender is None else sender.public_key],
        )
        return plaintext if isinstance(data, bytes) else _to_text(plaintext)

    # --- groups -----------------------------------------------------------------------------

    def create_group(self, group_id: str, members: Iterable[Card] = ()) -> Group:
        """Start a group with ourselves as its initiator.

        Args:
            group_id: At least 10 bytes; unique among our own groups.
            members: The current cards of the others, up to 99.

        Raises:
            GroupExistsError: We have a group with this id already.
            EnvelopeError: *group_id* is too short.
        """
        group = self._group(group_id, self._fetch_card(self.user_id))
        group.create(members)
        return group

    def load_group(self, group_id: str, initiator: Card) -> Group:
        """Return the group that *initiator* made and we are a member of.

        Raises:
            GroupNotFoundError: There is none, or we are no member.
            MalformedGroupError: A ticket is not *initiator*'s: the initiator has another key now,
                or the service lies.
        """
        group = self._group(group_id, initiator)
        group.update()
        return group

    def seal(self, plaintext: bytes, recipients: Sequence[PublicKey]) -> bytes:
        """Return a padded envelope for exactly *recipients*, signed by us."""
        return envelope.sign_and_encrypt(plaintext, signer=self._own_key(), recipients=recipients)

    def open(self, sealed: bytes, signers: Sequence[PublicKey]) -> bytes:
        """Open an envelope that one of *signers* made. Raises as `decrypt_and_verify`."""
        return envelope.decrypt_and_verify(sealed, identities=[self._own_key()], signers=signers)

    def open_all(
        self, sealed: Sequence[bytes], signers: Sequence[PublicKey]
    ) -> list[bytes | EncryptedParseError]:
        """Open many envelopes that any of *signers* made: each one's plaintext, or its error."""
        return envelope.decrypt_and_verify_all(
            sealed, identities=[self._own_key()], signers=signers
        )

    # --- inside -----------------------------------------------------------------------------

    def _own_key(self) -> PrivateKey:
        stored = self._keystore.find(self.user_id)
        if stored is None:
            raise PrivateKeyNotFoundError(
                f"this machine holds no private key of the user {self.user_id!r}",
                hint="call register() once per user",
            )
        return stored.private_key

    def _group(self, group_id: str, initiator: Card) -> Group:
        if self._keyknox is None:
            raise ConfigurationError(
                "this client was made without Keyknox", hint="use EncryptedClient, which has it"
            )
        return Group(group_id, initiator, (self.user_id, self._own_key()), self._keyknox)

    def _fetch_card(self, user_id: str) -> Card:
        return self.find_users([user_id], force_reload=True)[user_id]

    def _fetch_published_key(self) -> PublicKey:
        return self._fetch_card(self.user_id).public_key

    def _find(self, user_id: str) -> CardChain | None:
        return self._directory.find_chains([user_id], force=True).get(user_id)

    def _already_registered(self) -> AlreadyRegisteredError:
        return AlreadyRegisteredError(
            f"the user {self.user_id!r} is registered, and the key is not on this machine",
            hint="bring the key file of the machine that registered into this one's keystore",
        )


def _to_text(plaintext: bytes) -> str:
    try:
        return plaintext.decode("utf-8")
    except UnicodeDecodeError:
        # `from None`: the original error carries the plaintext.
        message = "the decrypted value is not text"
        raise MalformedEnvelopeError(message, hint="pass bytes to get bytes") from None
