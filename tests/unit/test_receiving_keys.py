"""Receiving keys: derived, the same in every version, and for their owner alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from encrypted_parse.backup import ArchiveContent, RecoveryCode
from encrypted_parse.backup.archive_form import open_archive, seal
from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.crypto.receiving import (
    PUBLIC_BYTES,
    WRAP_BYTES,
    ReceivingKey,
    ReceivingPublicKey,
)
from encrypted_parse.errors import KeyFormatError, TamperedEnvelopeError

VECTOR = Path(__file__).parents[1] / "vectors" / "archive.json"
ARCHIVE_BYTES = 3747
SEED, SECRET = bytes(range(32)), bytes(range(20))
KEY = ReceivingKey.of(PrivateKey(KeyType.ED25519, SEED))


def test_the_derivation_never_changes() -> None:
    """docs/spec/archive.md gives these fingerprints: what is on paper opens in later versions."""
    code = ReceivingKey.of_recovery_secret(SECRET)
    assert KEY.public_key.fingerprint.hex() == (
        "4fa7a8a8aa9afde8b16797b10381639a1b993d056943dd2a7f4aaa39d5f409ad"
    )
    assert code.public_key.fingerprint.hex() == (
        "3b535f3fb685a461fabfabfbf77d7c5181d01ab7a3cacf4c2d329d818cb32f08"
    )


def test_the_derivation_by_hand() -> None:
    """One block of HKDF-Expand over the label, then SHAKE256, as the specification says."""
    label = b"ep1/receiving-key"
    info = bytes([len(label)]) + label
    assert ReceivingKey(hmac.digest(SEED, info + b"\x01", "sha256")).public_key == KEY.public_key
    encoded = KEY.public_key.to_bytes()
    assert KEY.public_key.fingerprint == hashlib.sha256(b"\x02" + encoded).digest()


def test_wraps_open_for_their_owner_and_use_alone() -> None:
    """Another key, another use, another length or a flipped bit opens nothing."""
    wrapped = KEY.public_key.wrap(SEED, b"use")
    assert len(wrapped) == WRAP_BYTES
    assert KEY.unwrap(wrapped, b"use") == SEED
    other = ReceivingKey.of(PrivateKey.generate())
    flipped = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    for key, bad, info in (
        (other, wrapped, b"use"),
        (KEY, wrapped, b"another use"),
        (KEY, wrapped[:-1], b"use"),
        (KEY, b"", b"use"),
        (KEY, flipped, b"use"),
        (KEY, KEY.public_key.wrap(SEED[1:], b"use"), b"use"),
    ):
        with pytest.raises(TamperedEnvelopeError):
            key.unwrap(bad, info)


def test_public_keys_are_read_back() -> None:
    """1,216 bytes, reduced; nothing is wrapped for a point of small order."""
    encoded = KEY.public_key.to_bytes()
    assert len(encoded) == PUBLIC_BYTES
    assert ReceivingPublicKey.from_bytes(encoded) == KEY.public_key
    for wrong in (b"", encoded[:-1], encoded + b"\0", b"\xff" * PUBLIC_BYTES):
        with pytest.raises(KeyFormatError):
            ReceivingPublicKey.from_bytes(wrong)
    with pytest.raises(KeyFormatError):
        ReceivingPublicKey.from_bytes(encoded[:-32] + bytes(32)).wrap(SEED, b"use")


def test_keys_that_have_none() -> None:
    """A Curve25519 key has no seed before its scalar; a code has 160 bits."""
    with pytest.raises(KeyFormatError):
        ReceivingKey.of(PrivateKey.generate(KeyType.CURVE25519))
    with pytest.raises(ValueError, match="20 bytes"):
        ReceivingKey.of_recovery_secret(SEED)


def test_an_archive_of_this_version_is_read_by_every_later_one() -> None:
    """One that was written once, with its random parts; a fresh one has the same length."""
    keys = (PrivateKey(KeyType.ED25519, SEED), PrivateKey(KeyType.CURVE25519, SEED[::-1]))
    content = ArchiveContent(3, keys, RecoveryCode(SECRET).key.public_key)
    written = base64.b64decode(json.loads(VECTOR.read_text("utf-8"))["archive"])
    for sealed in (written, seal(content, "alice")):
        for key in (KEY, RecoveryCode(SECRET).key):
            assert open_archive(sealed, "alice", key) == content
        assert sealed[:4] == bytes.fromhex("a1020102")
        assert len(sealed) == ARCHIVE_BYTES
