"""E3Kit's verbs for messages, and the envelopes of models, for one user."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import overload

from encrypted_parse import envelope
from encrypted_parse._translating import translating
from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card
from encrypted_parse.discretion import hushed
from encrypted_parse.e3kit.arguments import Cards
from encrypted_parse.e3kit.verbs import Verbs
from encrypted_parse.errors import (
    EncryptedParseError,
    MalformedEnvelopeError,
    SignerNotFoundError,
)
from encrypted_parse.trust import explain_former_key, naming_former_keys


class MessageVerbs(Verbs):
    """What `E3Kit` does to text and bytes.

    *encrypted_at* chooses the card that the sender had at that time, as in E3Kit: a sender who
    rotated since signed with another key. Models need no date: they try a chain's keys.
    """

    @overload
    def auth_encrypt(self, data: str, recipients: Cards = ()) -> str: ...
    @overload
    def auth_encrypt(self, data: bytes, recipients: Cards = ()) -> bytes: ...
    def auth_encrypt(self, data: str | bytes, recipients: Cards = ()) -> str | bytes:
        """Sign *data* and encrypt it for the cards' users and ourselves.

        Text gives text (base64), bytes give bytes, as in E3Kit. Recipients are one card, or
        several: what `find_users` returned, or any iterable. Without them, for ourselves alone.

        Raises:
            InvalidValueError: The recipients are no cards.
            OtherMeaningError: Signed, *data* would be a card, a group's ticket or an archive.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        data = hushed(data)  # what is asked below may look at this frame
        own = self._own_key()
        keys = self._recipients(recipients, own)
        plaintext = data.encode("utf-8") if isinstance(data, str) else data
        envelope.refuse_other_meaning(plaintext)
        sealed = envelope.sign_and_encrypt(plaintext, signer=own, recipients=keys)
        return envelope.to_text(sealed) if isinstance(data, str) else sealed

    @overload
    def auth_decrypt(
        self, data: str, sender: Card | None = None, *, encrypted_at: dt.datetime | None = None
    ) -> str: ...
    @overload
    def auth_decrypt(
        self, data: bytes, sender: Card | None = None, *, encrypted_at: dt.datetime | None = None
    ) -> bytes: ...
    def auth_decrypt(
        self,
        data: str | bytes,
        sender: Card | None = None,
        *,
        encrypted_at: dt.datetime | None = None,
    ) -> str | bytes:
        """Open what *sender* encrypted for us with `auth_encrypt`; without one, what we did.

        Raises:
            EnvelopeError: See `envelope.decrypt_and_verify`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        stored = self._stored()
        signers = self._sender_keys(stored, sender, encrypted_at)
        sealed = data if isinstance(data, bytes) else envelope.from_text(data)
        plaintext = self._by_sender(
            lambda keys: envelope.decrypt_and_verify(
                sealed, identities=stored.identities, signers=keys
            ),
            signers,
            sender if encrypted_at is None else None,
        )
        return plaintext if isinstance(data, bytes) else _to_text(plaintext)

    @overload
    def encrypt(self, data: str, recipients: Cards = ()) -> str: ...
    @overload
    def encrypt(self, data: bytes, recipients: Cards = ()) -> bytes: ...
    def encrypt(self, data: str | bytes, recipients: Cards = ()) -> str | bytes:
        """Do as `auth_encrypt` in the **old** signed form, for clients that only read that.

        Its header shows the signature, with which anybody can test guesses of the text.

        Raises:
            OtherMeaningError: As `auth_encrypt`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        data = hushed(data)  # as in auth_encrypt
        own = self._own_key()
        keys = self._recipients(recipients, own)
        plaintext = data.encode("utf-8") if isinstance(data, str) else data
        envelope.refuse_other_meaning(plaintext)
        sealed = envelope.sign_then_encrypt(plaintext, signer=own, recipients=keys)
        return envelope.to_text(sealed) if isinstance(data, str) else sealed

    @overload
    def decrypt(
        self, data: str, sender: Card | None = None, *, encrypted_at: dt.datetime | None = None
    ) -> str: ...
    @overload
    def decrypt(
        self, data: bytes, sender: Card | None = None, *, encrypted_at: dt.datetime | None = None
    ) -> bytes: ...
    def decrypt(
        self,
        data: str | bytes,
        sender: Card | None = None,
        *,
        encrypted_at: dt.datetime | None = None,
    ) -> str | bytes:
        """Open what *sender* encrypted for us with `encrypt`; without one, what we did.

        Raises:
            EnvelopeError: See `envelope.decrypt_then_verify`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
        """
        stored = self._stored()
        signers = self._sender_keys(stored, sender, encrypted_at)
        sealed = data if isinstance(data, bytes) else envelope.from_text(data)
        plaintext = self._by_sender(
            lambda keys: envelope.decrypt_then_verify(
                sealed, identities=stored.identities, signers=keys
            ),
            signers,
            sender if encrypted_at is None else None,
        )
        return plaintext if isinstance(data, bytes) else _to_text(plaintext)

    def _by_sender(
        self,
        open_with: Callable[[Sequence[PublicKey]], bytes],
        signers: Sequence[PublicKey],
        sender: Card | None,
    ) -> bytes:
        """Open a message of *sender*, whose card in the cache may have been replaced since."""
        try:
            return open_with(signers)
        except SignerNotFoundError:
            newer = [] if sender is None else self._newer_keys(sender)
            if not newer:
                raise
        return open_with(newer)

    # --- for models -------------------------------------------------------------------------

    def seal(self, plaintext: bytes, recipients: Sequence[PublicKey]) -> bytes:
        """Return a padded envelope for exactly *recipients*, signed by us.

        Raises:
            OtherMeaningError: As `auth_encrypt`.
        """
        envelope.refuse_other_meaning(plaintext)
        return envelope.sign_and_encrypt(plaintext, signer=self._own_key(), recipients=recipients)

    def open(self, sealed: bytes, signers: Sequence[PublicKey]) -> bytes:
        """Open an envelope that one of *signers* made; see `author_keys`.

        Raises:
            FormerKeyError: It is by a key that does not count any more.
            EnvelopeError: See `envelope.decrypt_and_verify`.
        """
        with naming_former_keys(signers):
            return envelope.decrypt_and_verify(
                sealed, identities=self._stored().identities, signers=signers
            )

    def open_all(
        self, sealed: Sequence[bytes], signers: Sequence[PublicKey]
    ) -> list[bytes | EncryptedParseError]:
        """Open many envelopes that any of *signers* made: each one's plaintext, or its error."""
        opened = envelope.decrypt_and_verify_all(
            sealed, identities=self._stored().identities, signers=signers
        )
        return [explain_former_key(signers, item) for item in opened]

    def share(
        self, sealed: bytes, signers: Sequence[PublicKey], recipients: Sequence[PublicKey]
    ) -> bytes:
        """Return an envelope of one of *signers* with stanzas for more keys.

        Raises as `open`, and as `envelope.add_recipients`.
        """
        with naming_former_keys(signers):
            return envelope.add_recipients(
                sealed, identities=self._stored().identities, signers=signers, recipients=recipients
            )


def _to_text(plaintext: bytes) -> str:
    with translating(
        UnicodeDecodeError,
        to=lambda: MalformedEnvelopeError(
            "the decrypted value is not text", hint="pass bytes to get bytes"
        ),
    ):
        return plaintext.decode("utf-8")
