"""The PyPI package `virgil-crypto-lib` 0.23.1, the native library of newer peers, to talk to.

It works on the low level of cipher objects; the functions here put them together as E3Kit does.
Keys are DER, everything else is bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from virgil_crypto_lib.foundation import (
    Aes256Gcm,
    CtrDrbg,
    GroupSession,
    GroupSessionTicket,
    KeyProvider,
    RandomPadding,
    RecipientCipher,
    Sha512,
    Signer,
    Verifier,
)

SIGNATURE = b"VIRGIL-DATA-SIGNATURE"
SIGNER_ID = b"VIRGIL-DATA-SIGNER-ID"


def key_id(public_key: bytes) -> bytes:
    """Return the 8-byte identifier (section 2.2)."""
    return hashlib.sha512(public_key).digest()[:8]


class NativePeer:
    """One set of native objects; not for several threads."""

    def __init__(self) -> None:
        self._random = CtrDrbg()
        self._random.setup_defaults()
        self._keys = KeyProvider()
        self._keys.setup_defaults()

    def _private(self, der: bytes) -> tuple[bytes, object]:
        """Return the key's identifier and the key."""
        key = self._keys.import_private_key(der)
        return key_id(bytes(self._keys.export_public_key(key.extract_public_key()))), key

    def _cipher(self, *, padding: bool) -> RecipientCipher:
        cipher = RecipientCipher()
        cipher.set_random(self._random)
        cipher.set_encryption_cipher(Aes256Gcm())
        cipher.set_signer_hash(Sha512())
        if padding:
            random_padding = RandomPadding()
            random_padding.set_random(self._random)
            cipher.set_encryption_padding(random_padding)
        return cipher

    def _add_recipients(self, cipher: RecipientCipher, recipients: Sequence[bytes]) -> None:
        for der in recipients:
            cipher.add_key_recipient(key_id(der), self._keys.import_public_key(der))

    def sign_and_encrypt(
        self, data: bytes, signer: bytes, recipients: Sequence[bytes], *, padding: bool
    ) -> bytes:
        """Write form 5.3."""
        cipher = self._cipher(padding=padding)
        cipher.add_signer(*self._private(signer))
        self._add_recipients(cipher, recipients)
        cipher.start_signed_encryption(len(data))
        head = bytes(cipher.pack_message_info())
        body = bytes(cipher.process_encryption(data)) + bytes(cipher.finish_encryption())
        return head + body + bytes(cipher.pack_message_info_footer())

    def encrypt(self, data: bytes, recipients: Sequence[bytes], *, padding: bool) -> bytes:
        """Write form 5.1."""
        return self._encrypt(self._cipher(padding=padding), data, recipients)

    def sign_then_encrypt(self, data: bytes, signer: bytes, recipients: Sequence[bytes]) -> bytes:
        """Write form 5.2."""
        cipher = self._cipher(padding=False)
        signer_id, _ = self._private(signer)
        cipher.custom_params().add_data(SIGNATURE, self.sign(data, signer))
        cipher.custom_params().add_data(SIGNER_ID, signer_id)
        return self._encrypt(cipher, data, recipients)

    def _encrypt(self, cipher: RecipientCipher, data: bytes, recipients: Sequence[bytes]) -> bytes:
        self._add_recipients(cipher, recipients)
        cipher.start_encryption()
        head = bytes(cipher.pack_message_info())
        return head + bytes(cipher.process_encryption(data)) + bytes(cipher.finish_encryption())

    def _open(self, message: bytes, identity: bytes) -> tuple[RecipientCipher, bytes]:
        cipher = self._cipher(padding=True)
        own_id, key = self._private(identity)
        cipher.start_decryption_with_key(own_id, key, b"")
        data = bytes(cipher.process_decryption(message)) + bytes(cipher.finish_decryption())
        return cipher, data

    def decrypt(self, message: bytes, identity: bytes) -> bytes:
        """Read any form; the signature is not looked at."""
        return self._open(message, identity)[1]

    def decrypt_and_verify(self, message: bytes, identity: bytes, signer: bytes) -> bytes:
        """Read form 5.3."""
        cipher, data = self._open(message, identity)
        if not cipher.is_data_signed():
            raise ValueError("not signed")
        info = cipher.signer_infos().item()
        if bytes(info.signer_id()) != key_id(signer):
            raise ValueError("another signer")
        if not cipher.verify_signer_info(info, self._keys.import_public_key(signer)):
            raise ValueError("the signature does not hold")
        return data

    def decrypt_then_verify(self, message: bytes, identity: bytes, signer: bytes) -> bytes:
        """Read form 5.2."""
        cipher, data = self._open(message, identity)
        if not self.verify(data, bytes(cipher.custom_params().find_data(SIGNATURE)), signer):
            raise ValueError("the signature does not hold")
        return data

    def sign(self, data: bytes, signer: bytes) -> bytes:
        """Return a signature container."""
        native = Signer()
        native.set_random(self._random)
        native.set_hash(Sha512())
        native.reset()
        native.append_data(data)
        return bytes(native.sign(self._private(signer)[1]))

    def verify(self, data: bytes, signature: bytes, signer: bytes) -> bool:
        """Tell whether a signature container holds."""
        native = Verifier()
        native.reset(signature)
        native.append_data(data)
        return bool(native.verify(self._keys.import_public_key(signer)))

    def group_message(self, session_id: bytes, data: bytes, signer: bytes) -> tuple[bytes, bytes]:
        """Start a group, and return its ticket and a message to it.

        Nothing can be read: the package's `GroupSessionMessage.deserialize` raises NameError.
        """
        ticket = GroupSessionTicket()
        ticket.set_rng(self._random)
        ticket.setup_ticket_as_new(session_id)
        session = GroupSession()
        session.set_rng(self._random)
        session.add_epoch(ticket.get_ticket_message())
        message = session.encrypt(data, self._private(signer)[1])
        return bytes(ticket.get_ticket_message().serialize()), bytes(message.serialize())
