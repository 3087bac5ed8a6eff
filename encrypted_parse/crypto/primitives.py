"""The symmetric primitives of the wire format, each one call deep.

Failures of authentication surface as `TamperedEnvelopeError`, and all look alike: a reader
learns that a check failed, never which of MAC, tag or padding it was.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from encrypted_parse.errors import TamperedEnvelopeError

AES_KEY_BYTES = 32
AES_BLOCK_BYTES = 16
GCM_NONCE_BYTES = 12
GCM_TAG_BYTES = 16

RandomSource = Callable[[int], bytes]
random_bytes: RandomSource = os.urandom
"""Where all randomness enters. Private functions take it as a parameter, so that vectors can fix
it; public ones never do."""

_DIGEST_BYTES = {"sha256": 32, "sha384": 48, "sha512": 64}


def constant_time_equal(left: bytes, right: bytes) -> bool:
    """Compare two byte strings in a time that depends on their lengths alone."""
    return hmac.compare_digest(left, right)


def digest(data: bytes | memoryview, algorithm: str = "sha512") -> bytes:
    """Return the digest of *data*; *algorithm* is hashlib's name."""
    return hashlib.new(algorithm, data, usedforsecurity=True).digest()


def digest_bytes(algorithm: str) -> int:
    """Return the length of the digest *algorithm* (hashlib's name)."""
    return _DIGEST_BYTES[algorithm]


def mac(key: bytes, data: bytes, algorithm: str) -> bytes:
    """Return HMAC(*key*, *data*) with the digest *algorithm* (hashlib's name)."""
    return hmac.digest(key, data, algorithm)


def kdf2(secret: bytes, length_bytes: int, algorithm: str, *, first_counter: int = 1) -> bytes:
    """Stretch *secret* as ISO 18033-2 KDF2 does: H(secret || counter) || H(secret || counter + 1).

    *first_counter* is 1 for KDF2 and 0 for KDF1. Nothing else enters the hash (wire format,
    section 3, step 3).
    """
    blocks = bytearray()
    counter = first_counter
    while len(blocks) < length_bytes:
        blocks += digest(secret + counter.to_bytes(4, "big"), algorithm)
        counter += 1
    return bytes(blocks[:length_bytes])


def hkdf_sha512(
    key_material: bytes, length_bytes: int, *, salt: bytes | None = None, info: bytes = b""
) -> bytes:
    """Return *length_bytes* of HKDF-SHA-512 (RFC 5869)."""
    return HKDF(hashes.SHA512(), length_bytes, salt, info).derive(key_material)


def gcm_encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """Return ciphertext || 16-byte tag of AES-256-GCM."""
    return AESGCM(key).encrypt(nonce, plaintext, associated)


def gcm_decrypt(
    key: bytes, nonce: bytes, sealed: bytes | memoryview, associated: bytes = b""
) -> bytes:
    """Open ciphertext || tag of AES-256-GCM.

    Raises:
        TamperedEnvelopeError: The tag does not hold, or *sealed* is shorter than a tag.
    """
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated)
    except (InvalidTag, ValueError) as error:
        raise TamperedEnvelopeError("the ciphertext failed its authentication") from error


def cbc_encrypt_blocks(key: bytes, iv: bytes, blocks: bytes) -> bytes:
    """Encrypt whole blocks with AES-256-CBC; the caller pads and authenticates."""
    return Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor().update(blocks)


def cbc_decrypt_blocks(key: bytes, iv: bytes, blocks: bytes) -> bytes:
    """Decrypt whole blocks of AES-256-CBC that the caller has authenticated already."""
    return Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor().update(blocks)
