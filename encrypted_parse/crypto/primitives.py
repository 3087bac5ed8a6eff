"""The symmetric primitives of the wire format, each one call deep.

Failures of authentication surface as `TamperedEnvelopeError`, and all look alike: a reader
learns that a check failed, never which of MAC, tag or padding it was.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from encrypted_parse._translating import translating
from encrypted_parse.errors import TamperedEnvelopeError

Buffer = bytes | bytearray | memoryview
"""What the primitives read from; only `update_into` writes, to one that is writable."""

AES_KEY_BYTES = 32
AES_BLOCK_BYTES = 16
GCM_NONCE_BYTES = 12
GCM_TAG_BYTES = 16
ONE_CALL_MAX_BYTES = 2**31 - 1024  # AESGCM's own limit, less padding and tag
GCM_MAX_BYTES = 2**36 - 32  # one key and nonce, NIST SP 800-38D

RandomSource = Callable[[int], bytes]
random_bytes: RandomSource = os.urandom
"""Where all randomness enters. Private functions take it as a parameter, so that vectors can fix
it; public ones never do."""

_SHA512 = hashes.SHA512()
_DIGESTS = {
    "sha224": hashlib.sha224,
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}
DIGEST_NAMES = tuple(_DIGESTS)


def constant_time_equal(left: bytes, right: bytes) -> bool:
    """Compare two byte strings in a time that depends on their lengths alone."""
    return hmac.compare_digest(left, right)


class Hasher(Protocol):
    """A digest that is fed in pieces."""

    def update(self, data: Buffer, /) -> None:
        """Take in the next piece."""

    def digest(self) -> bytes:
        """Return the digest of all pieces so far."""


def hasher(algorithm: str = "sha512") -> Hasher:
    """Return an empty digest of sha224, sha256, sha384 or sha512."""
    return _DIGESTS[algorithm]()


def digest(data: Buffer, algorithm: str = "sha512") -> bytes:
    """Return the digest of *data*; *algorithm* is hashlib's name."""
    return _DIGESTS[algorithm](data).digest()


def digest_bytes(algorithm: str) -> int:
    """Return the length of the digest *algorithm* (hashlib's name)."""
    return _DIGESTS[algorithm]().digest_size


def mac(key: bytes, data: bytes, algorithm: str) -> bytes:
    """Return HMAC(*key*, *data*) with the digest *algorithm* (hashlib's name)."""
    # Not hmac.digest: that lets go of the interpreter's lock, which costs two threads more than
    # the microsecond that it takes.
    return hmac.new(key, data, algorithm).digest()


def kdf2(secret: bytes, length_bytes: int, algorithm: str, *, first_counter: int = 1) -> bytes:
    """Stretch *secret* as ISO 18033-2 KDF2 does: H(secret || counter) || H(secret || counter + 1).

    *first_counter* is 1 for KDF2 and 0 for KDF1. Nothing else enters the hash (wire format,
    section 3, step 3).
    """
    hash_of = _DIGESTS[algorithm]
    blocks, counter = b"", first_counter
    while len(blocks) < length_bytes:
        blocks += hash_of(secret + counter.to_bytes(4, "big")).digest()
        counter += 1
    return blocks[:length_bytes]


def hkdf_sha512(
    key_material: bytes, length_bytes: int, *, salt: bytes | None = None, info: bytes = b""
) -> bytes:
    """Return *length_bytes* of HKDF-SHA-512 (RFC 5869)."""
    return HKDF(_SHA512, length_bytes, salt, info).derive(key_material)


def gcm_encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """Return ciphertext || 16-byte tag of AES-256-GCM."""
    return AESGCM(key).encrypt(nonce, plaintext, associated)


def gcm_decrypt(key: bytes, nonce: bytes, sealed: Buffer, associated: bytes = b"") -> bytes:
    """Open ciphertext || tag of AES-256-GCM.

    Raises:
        TamperedEnvelopeError: The tag does not hold, or *sealed* is shorter than a tag.
    """
    with translating(
        InvalidTag,
        ValueError,
        to=lambda: TamperedEnvelopeError("the ciphertext failed its authentication"),
    ):
        return AESGCM(key).decrypt(nonce, sealed, associated)


class GcmEncryptor:
    """AES-256-GCM over pieces; the tag comes last."""

    def __init__(self, key: bytes, nonce: bytes, associated: bytes = b"") -> None:
        self._context = Cipher(algorithms.AES256(key), modes.GCM(nonce)).encryptor()
        self._context.authenticate_additional_data(associated)

    def update_into(self, data: Buffer, target: Buffer) -> int:
        """Encrypt *data* to the start of *target*, and return how many bytes that were.

        *target* is writable and as long as *data* at least.
        """
        return self._context.update_into(data, target)

    def finish(self) -> bytes:
        """Return the 16-byte tag."""
        self._context.finalize()
        return self._context.tag


class GcmDecryptor:
    """AES-256-GCM over pieces. **Not authentic before `finish` has returned**."""

    def __init__(self, key: bytes, nonce: bytes, associated: bytes = b"") -> None:
        self._context = Cipher(algorithms.AES256(key), modes.GCM(nonce)).decryptor()
        self._context.authenticate_additional_data(associated)

    def update_into(self, data: Buffer, target: Buffer) -> int:
        """Decrypt *data* to the start of *target*, and return how many bytes that were.

        *target* is writable and as long as *data* at least.
        """
        return self._context.update_into(data, target)

    def finish(self, tag: bytes) -> None:
        """Check the 16-byte *tag*.

        Raises:
            TamperedEnvelopeError: It does not hold.
        """
        with translating(
            InvalidTag,
            ValueError,
            to=lambda: TamperedEnvelopeError("the ciphertext failed its authentication"),
        ):
            self._context.finalize_with_tag(tag)


def cbc_encrypt_blocks(key: bytes, iv: bytes, blocks: bytes) -> bytes:
    """Encrypt whole blocks with AES-256-CBC; the caller pads and authenticates."""
    return Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor().update(blocks)


def cbc_decrypt_blocks(key: bytes, iv: bytes, blocks: bytes) -> bytes:
    """Decrypt whole blocks of AES-256-CBC that the caller has authenticated already."""
    return Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor().update(blocks)
