"""Receiving keys: what a secret that must outlast a quantum computer is wrapped for.

A receiving key is a pair of HPKE's MLKEM768-X25519 (KEM 0x647A), grown from 32 bytes that are
themselves derived: from the seed of an Ed25519 key, or from a recovery code. So there is nothing
more to keep, back up or rotate, and a quantum computer, which finds the Ed25519 scalar from the
public key, does not find the seed before SHA-512, and with it this key. docs/spec/archive.md gives
every byte.
"""

from __future__ import annotations

import hashlib
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from encrypted_parse._translating import translating
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.keys import KEY_ID_BYTES, KeyType, PrivateKey
from encrypted_parse.crypto.labels import Label, encode
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import KeyFormatError, NotPicklableError, TamperedEnvelopeError

PUBLIC_BYTES = 1216  # ML-KEM-768 encapsulation key, 1,184, then X25519, 32
CONTENT_KEY_BYTES = 32
WRAP_BYTES = 1120 + CONTENT_KEY_BYTES + p.GCM_TAG_BYTES  # HPKE's enc, then the sealed key
RECOVERY_SECRET_BYTES = 20
_MLKEM_SEED_BYTES = 64
_X25519_BYTES = 32
_MLKEM_PUBLIC_BYTES = PUBLIC_BYTES - _X25519_BYTES
_FINGERPRINT_KIND = b"\x02"
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@front_door
class ReceivingPublicKey:
    """The public half: wraps content keys."""

    __slots__ = ("_encoded", "_key", "fingerprint", "key_id")

    fingerprint: bytes  # SHA-256(02 || encoding)
    key_id: bytes  # its first 8 bytes: selects, never authenticates

    def __init__(self, mlkem: MLKEM768PublicKey, x25519: X25519PublicKey) -> None:
        self._key = hpke.MLKEM768X25519PublicKey(mlkem, x25519)
        self._encoded = mlkem.public_bytes_raw() + x25519.public_bytes_raw()
        self.fingerprint = p.digest(_FINGERPRINT_KIND + self._encoded, "sha256")
        self.key_id = self.fingerprint[:KEY_ID_BYTES]

    @classmethod
    def from_bytes(cls, encoded: bytes) -> ReceivingPublicKey:
        """Read the 1,216 bytes.

        Raises:
            KeyFormatError: Another length, or coefficients that are not reduced.
        """
        with translating(ValueError, to=lambda: KeyFormatError("not a receiving key")):
            mlkem = MLKEM768PublicKey.from_public_bytes(encoded[:_MLKEM_PUBLIC_BYTES])
            x25519 = X25519PublicKey.from_public_bytes(encoded[_MLKEM_PUBLIC_BYTES:])
        return cls(mlkem, x25519)

    def to_bytes(self) -> bytes:
        """Return the 1,216 bytes."""
        return self._encoded

    def wrap(self, content_key: bytes, info: bytes) -> bytes:
        """Return the 1,168 bytes that give *content_key* to the owner; *info* says for what.

        Raises:
            KeyFormatError: The X25519 half is a point of small order.
        """
        with translating(
            ValueError, to=lambda: KeyFormatError("the receiving key is a point of small order")
        ):
            return bytes(_SUITE.encrypt(content_key, self._key, info=info))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReceivingPublicKey):
            return NotImplemented
        return self._encoded == other._encoded

    def __hash__(self) -> int:
        return hash(self._encoded)

    def __repr__(self) -> str:
        return f"<ReceivingPublicKey id={self.key_id.hex()}>"


@front_door
class ReceivingKey:
    """The private half. Made of a secret that is kept anyway, never stored itself."""

    __slots__ = ("_key", "public_key")

    public_key: ReceivingPublicKey

    def __init__(self, seed: bytes) -> None:
        expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + _X25519_BYTES)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public_key = ReceivingPublicKey(mlkem.public_key(), x25519.public_key())

    @classmethod
    def of(cls, key: PrivateKey) -> ReceivingKey:
        """Return the receiving key of a signing key: always the same one.

        Raises:
            KeyFormatError: Not an Ed25519 key: others have no seed before their scalar.
        """
        if key.key_type is not KeyType.ED25519:
            raise KeyFormatError("a Curve25519 key has no receiving key")
        seed = key.to_bytes()[len(KeyType.ED25519.private_prefix) :]
        return cls(_derived(Label.RECEIVING_KEY, seed))

    @classmethod
    def of_recovery_secret(cls, secret: bytes) -> ReceivingKey:
        """Return the receiving key of a recovery code's 160 bits."""
        if len(secret) != RECOVERY_SECRET_BYTES:
            raise ValueError(f"a recovery code has {RECOVERY_SECRET_BYTES} bytes")
        return cls(_derived(Label.RECOVERY_RECEIVING_KEY, secret))

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Return the content key of *wrapped*.

        Raises:
            TamperedEnvelopeError: It is not for this key and *info*, or not of 32 bytes.
        """
        with translating(
            InvalidTag,
            ValueError,
            to=lambda: TamperedEnvelopeError("the wrapped key does not open"),
        ):
            content_key = bytes(_SUITE.decrypt(wrapped, self._key, info=info))
        if len(content_key) != CONTENT_KEY_BYTES:
            raise TamperedEnvelopeError("the wrapped key has another length")
        return content_key

    def __repr__(self) -> str:
        return f"<ReceivingKey id={self.public_key.key_id.hex()}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a receiving key is not written into pickles")


def _derived(label: Label, secret: bytes) -> bytes:
    """HKDF-Expand of one block: the label takes the place of `info`."""
    return p.mac(secret, encode(label) + b"\x01", "sha256")
