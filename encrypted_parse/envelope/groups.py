"""Group sessions: one shared key an epoch, messages signed by their senders (section 9).

A *ticket* holds the key of one epoch. Whoever holds it reads the epoch's messages, and the
signature, which the caller's key verifies, says who wrote one: a message does not name its sender.
There is no forward secrecy within an epoch, no order, and no protection against replay.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from attrs import field, frozen

from encrypted_parse._translating import translating
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.keys import SIGNATURE_BYTES
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import protobuf
from encrypted_parse.envelope.padding import FRAME_BYTES, LENGTH_BYTES
from encrypted_parse.envelope.signed import require_signing_key
from encrypted_parse.errors import (
    EnvelopeError,
    MalformedEnvelopeError,
    NotPicklableError,
    PlaintextTooLongError,
    SignatureError,
    TamperedEnvelopeError,
    UnknownEpochError,
)

SESSION_ID_BYTES = 32
MAX_GROUP_PLAINTEXT_BYTES = 29_915  # what every reader can take; npm encrypts 85 bytes more
MIN_GROUP_ID_BYTES = 10
MAX_TICKETS = 50  # the newest are kept
_KEY_BYTES = 32
_SALT_BYTES = 32
_MAX_EPOCH = 2**32 - 1
_MAX_MESSAGE_BYTES = 30_188
_INFO = b"VIRGIL_GROUP_SESSION_KDF_CIPHER_INFO\x00"  # the NUL is part of it
_VERSION = 0

# Field numbers.
_MESSAGE_VERSION, _TICKET, _REGULAR = 1, 2, 3
_SESSION_ID, _EPOCH, _KEY_OR_SALT = 1, 2, 3  # of a ticket and of a message's header
_HEADER, _SIGNATURE, _CIPHERTEXT = 1, 2, 3


@front_door
@frozen
class GroupTicket:
    """The key of one epoch of one group. A secret of all members."""

    session_id: bytes
    epoch: int
    key: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, encoded: bytes) -> GroupTicket:
        """Read a ticket.

        Raises:
            MalformedEnvelopeError: Not a ticket.
        """
        with translating(ValueError, to=lambda: MalformedEnvelopeError("not a group ticket")):
            ticket = protobuf.decode(_part(_decode_message(encoded), _TICKET))
            return cls(*_triple(ticket, _KEY_BYTES))

    def to_bytes(self) -> bytes:
        """Return the **secret** encoding that E3Kit exports."""
        ticket = _encode_triple(self.session_id, self.epoch, self.key)
        return protobuf.encode({_MESSAGE_VERSION: _VERSION, _TICKET: ticket})

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a group ticket is not written into pickles")


@front_door
class GroupSession:
    """The tickets of one group: encrypts with the newest, decrypts with any. Never changes.

    Args:
        tickets: One at the least, all of one group, one an epoch, in any order. The newest 50
            are kept.

    Raises:
        MalformedEnvelopeError: *tickets* is empty, mixes groups, or has an epoch twice.
    """

    def __init__(self, tickets: Iterable[GroupTicket]) -> None:
        ordered = sorted(tickets, key=lambda ticket: ticket.epoch)
        if not ordered:
            raise MalformedEnvelopeError("a group session needs a ticket")
        if len({ticket.session_id for ticket in ordered}) != 1:
            raise MalformedEnvelopeError("the tickets are of several groups")
        if len({ticket.epoch for ticket in ordered}) != len(ordered):
            raise MalformedEnvelopeError("two tickets are of one epoch")
        self._tickets = {ticket.epoch: ticket for ticket in ordered[-MAX_TICKETS:]}

    @classmethod
    def create(cls, group_id: str | bytes) -> GroupSession:
        """Start a group: a fresh key as epoch 0.

        Raises:
            EnvelopeError: *group_id* has fewer than 10 bytes.
        """
        return cls([GroupTicket(group_session_id(group_id), 0, p.random_bytes(_KEY_BYTES))])

    @classmethod
    def from_tickets(cls, encoded: Iterable[bytes]) -> GroupSession:
        """Read the tickets that `to_tickets`, or E3Kit's `export`, returned.

        Raises:
            MalformedEnvelopeError: One is not a ticket, or they do not belong together.
        """
        return cls(GroupTicket.from_bytes(ticket) for ticket in encoded)

    def to_tickets(self) -> list[bytes]:
        """Return the **secret** encodings of all tickets, oldest first."""
        return [ticket.to_bytes() for ticket in self._tickets.values()]

    @property
    def session_id(self) -> bytes:
        """The 32-byte identifier of the group."""
        return self.newest.session_id

    @property
    def newest(self) -> GroupTicket:
        """The ticket of the current epoch."""
        return self._tickets[self.epochs[-1]]

    @property
    def epochs(self) -> tuple[int, ...]:
        """The numbers of the epochs whose tickets we hold, oldest first."""
        return tuple(self._tickets)

    def with_new_epoch(self) -> GroupSession:
        """Return a session with one more ticket, whose key has nothing to do with older ones.

        Share its `newest` with the members who stay: whoever has only older tickets cannot read
        what is encrypted from then on.

        Raises:
            EnvelopeError: There is no number left.
        """
        epoch = self.newest.epoch + 1
        if epoch > _MAX_EPOCH:
            raise EnvelopeError("the group has used up its epochs", hint="create another group")
        ticket = GroupTicket(self.session_id, epoch, p.random_bytes(_KEY_BYTES))
        return GroupSession([*self._tickets.values(), ticket])

    def encrypt(self, plaintext: bytes, signer: PrivateKey) -> bytes:
        """Return a message to the group in its newest epoch, signed by *signer*.

        Raises:
            PlaintextTooLongError: Over 29,915 bytes, the most that every E3Kit client can read.
            KeyFormatError: *signer* cannot sign.
        """
        require_signing_key(signer)
        if len(plaintext) > MAX_GROUP_PLAINTEXT_BYTES:
            raise PlaintextTooLongError(
                len(plaintext), MAX_GROUP_PLAINTEXT_BYTES, hint="send it as a file"
            )
        ticket = self.newest
        salt = p.random_bytes(_SALT_BYTES)
        header = _encode_triple(ticket.session_id, ticket.epoch, salt)
        key, nonce = _derive(ticket, salt)
        ciphertext = p.gcm_encrypt(key, nonce, _pad(plaintext), header)
        regular = {
            _HEADER: header,
            _SIGNATURE: signer.sign(ciphertext),
            _CIPHERTEXT: ciphertext,
        }
        return protobuf.encode({_MESSAGE_VERSION: _VERSION, _REGULAR: protobuf.encode(regular)})

    def decrypt(self, message: bytes, signer: PublicKey) -> bytes:
        """Return the plaintext of a *message* that *signer* wrote to this group.

        Raises:
            MalformedEnvelopeError: Not a group message, or one of another group.
            UnknownEpochError: We do not hold the ticket of its epoch.
            TamperedEnvelopeError: Signature, tag or padding does not hold.
        """
        header, signature, ciphertext, salt, epoch = self._read(message)
        ticket = self._tickets.get(epoch)
        if ticket is None:
            raise UnknownEpochError(epoch, hint="load the group again; you may have left it")
        try:
            signer.verify(signature, ciphertext)
        except SignatureError as error:
            raise TamperedEnvelopeError("the sender's signature does not hold") from error
        key, nonce = _derive(ticket, salt)
        return _unpad(p.gcm_decrypt(key, nonce, ciphertext, header))

    def _read(self, message: bytes) -> tuple[bytes, bytes, bytes, bytes, int]:
        with translating(ValueError, to=lambda: MalformedEnvelopeError("not a group message")):
            regular = protobuf.decode(_part(_decode_message(message), _REGULAR))
            header, signature, ciphertext = (
                _part(regular, number) for number in (_HEADER, _SIGNATURE, _CIPHERTEXT)
            )
            session_id, epoch, salt = _triple(protobuf.decode(header), _SALT_BYTES)
            if len(signature) != SIGNATURE_BYTES or len(ciphertext) < p.GCM_TAG_BYTES:
                raise ValueError("lengths")
            # Room for other octets here is room for forged associated data (section 11, item 9).
            if header != _encode_triple(session_id, epoch, salt):
                raise ValueError("the header is not canonical")
        if session_id != self.session_id:
            raise MalformedEnvelopeError("the message is of another group")
        return header, signature, ciphertext, salt, epoch

    def __repr__(self) -> str:
        return f"<GroupSession {self.session_id.hex()} epochs={list(self.epochs)}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a group session is not written into pickles")


@front_door
def group_session_id(group_id: str | bytes) -> bytes:
    """Return the 32-byte session id of a group: SHA-512(*group_id*)[0:32]; text is UTF-8.

    Raises:
        EnvelopeError: *group_id* has fewer than 10 bytes.
    """
    encoded = group_id.encode("utf-8") if isinstance(group_id, str) else group_id
    if len(encoded) < MIN_GROUP_ID_BYTES:
        raise EnvelopeError(f"a group's identifier has {MIN_GROUP_ID_BYTES} bytes at the least")
    return p.digest(encoded)[:SESSION_ID_BYTES]


def _decode_message(encoded: bytes) -> dict[int, int | bytes]:
    if len(encoded) > _MAX_MESSAGE_BYTES:
        raise ValueError("too long")
    message = protobuf.decode(encoded)
    if not isinstance(message.get(_MESSAGE_VERSION), int):
        raise ValueError("no version")  # noqa: TRY004 - hostile bytes, not a caller's mistake
    if (_TICKET in message) == (_REGULAR in message):
        raise ValueError("neither or both")
    return message


def _part(fields: dict[int, int | bytes], number: int) -> bytes:
    value = fields.get(number)
    if not isinstance(value, bytes):
        raise ValueError("a field is missing")  # noqa: TRY004 - the same
    return value


def _triple(fields: dict[int, int | bytes], last_bytes: int) -> tuple[bytes, int, bytes]:
    session_id, epoch = _part(fields, _SESSION_ID), fields.get(_EPOCH)
    last = _part(fields, _KEY_OR_SALT)
    if not isinstance(epoch, int) or epoch > _MAX_EPOCH:
        raise ValueError("epoch")
    if len(session_id) != SESSION_ID_BYTES or len(last) != last_bytes:
        raise ValueError("lengths")
    return session_id, epoch, last


def _encode_triple(session_id: bytes, epoch: int, last: bytes) -> bytes:
    return protobuf.encode({_SESSION_ID: session_id, _EPOCH: epoch, _KEY_OR_SALT: last})


def _derive(ticket: GroupTicket, salt: bytes) -> tuple[bytes, bytes]:
    length = p.AES_KEY_BYTES + p.GCM_NONCE_BYTES
    okm = p.hkdf_sha512(ticket.key, length, salt=salt, info=_INFO)
    return okm[: p.AES_KEY_BYTES], okm[p.AES_KEY_BYTES :]


def _pad(plaintext: bytes) -> bytes:
    """Pad as groups do: unlike `padding.pad`, the last four bytes are the *plaintext's* length."""
    length = len(plaintext)
    padded = FRAME_BYTES * ((length + LENGTH_BYTES) // FRAME_BYTES + 1)
    filler = p.random_bytes(padded - length - LENGTH_BYTES)
    return plaintext + filler + length.to_bytes(LENGTH_BYTES, "little")


def _unpad(padded: bytes) -> bytes:
    length = int.from_bytes(padded[-LENGTH_BYTES:], "little")
    if length >= len(padded) - LENGTH_BYTES:
        raise TamperedEnvelopeError("the padding is malformed")
    return padded[:length]
