"""E3Kit's verbs for messages and files of both signed forms, between two users."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse import MemoryKeystore
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import Card, new_card, parse_card
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.envelope import Form, Header, from_text
from encrypted_parse.errors import (
    EnvelopeError,
    MalformedEnvelopeError,
    NotSignedError,
    PrivateKeyNotFoundError,
    TamperedEnvelopeError,
)
from encrypted_parse.keystore import StoredKey

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
NO_DIRECTORY: Any = None  # messages need keys, not the directory


def _user(user_id: str) -> tuple[E3Kit, Card]:
    key, keystore = PrivateKey.generate(), MemoryKeystore()
    keystore.save(StoredKey(user_id, key))
    card = parse_card(new_card(user_id, key, NOW), service_key=None)
    return E3Kit(user_id, NO_DIRECTORY, keystore), card


ALICE, ALICE_CARD = _user("alice")
BOB, BOB_CARD = _user("bob")
MALLORY, MALLORY_CARD = _user("mallory")


@pytest.mark.parametrize("text", ["hello", "", "Привет 👋"])
def test_old_messages(text: str) -> None:
    """`encrypt` writes the old form, unpadded, for the cards and ourselves; `decrypt` reads it."""
    sealed = ALICE.encrypt(text, [BOB_CARD])
    header = Header.from_bytes(from_text(sealed))
    assert (header.form, header.padded) == (Form.SIGN_THEN_ENCRYPT, False)
    assert len(header.recipient_ids()) == 2
    assert BOB.decrypt(sealed, ALICE_CARD) == ALICE.decrypt(sealed) == text
    assert BOB.decrypt(ALICE.encrypt(text.encode(), [BOB_CARD]), ALICE_CARD) == text.encode()
    with pytest.raises(TamperedEnvelopeError):
        BOB.decrypt(sealed, MALLORY_CARD)
    with pytest.raises(EnvelopeError):
        MALLORY.decrypt(sealed, ALICE_CARD)


def test_no_verb_reads_the_others_form() -> None:
    """`decrypt` and `auth_decrypt` each read their own form alone."""
    with pytest.raises(NotSignedError):
        BOB.auth_decrypt(ALICE.encrypt("x", [BOB_CARD]), ALICE_CARD)
    with pytest.raises(NotSignedError):
        BOB.decrypt(ALICE.auth_encrypt("x", [BOB_CARD]), ALICE_CARD)
    with pytest.raises(MalformedEnvelopeError, match="not text"):
        BOB.decrypt(_as_text(ALICE.encrypt(b"\xff", [BOB_CARD])), ALICE_CARD)


def _as_text(sealed: bytes) -> str:
    import base64  # noqa: PLC0415 - used once

    return base64.b64encode(sealed).decode("ascii")


def test_files(tmp_path: Path) -> None:
    """Both file verbs, and the shared file, between two users."""
    source, sealed, opened = (tmp_path / name for name in ("source", "sealed", "opened"))
    source.write_bytes(b"content")
    for write, read in (
        (ALICE.auth_encrypt_file, "auth_decrypt_file"),
        (ALICE.encrypt_file, "decrypt_file"),
    ):
        write(source, sealed, [BOB_CARD])
        for reader, sender in ((BOB, ALICE_CARD), (ALICE, None)):
            getattr(reader, read)(sealed, opened, sender)
            assert opened.read_bytes() == b"content"
        opened.unlink()
        with pytest.raises(EnvelopeError):
            getattr(BOB, read)(sealed, opened, MALLORY_CARD)
        with pytest.raises(EnvelopeError):
            getattr(MALLORY, read)(sealed, opened, ALICE_CARD)
        assert not opened.exists()

    file_key = ALICE.encrypt_shared_file(source, sealed)
    BOB.decrypt_shared_file(sealed, opened, file_key, ALICE_CARD)
    assert opened.read_bytes() == b"content"
    with pytest.raises(EnvelopeError):
        BOB.decrypt_shared_file(sealed, opened, file_key, MALLORY_CARD)
    target = io.BytesIO()
    ALICE.decrypt_shared_file(sealed, target, file_key)
    assert target.getvalue() == b"content"


def test_without_a_key() -> None:
    """Every verb says that this machine has no key, before it reads anything."""
    nobody = E3Kit("nobody", NO_DIRECTORY, MemoryKeystore())
    source = io.BytesIO(b"x")
    for call in (
        lambda: nobody.encrypt("x"),
        lambda: nobody.decrypt("x"),
        lambda: nobody.auth_encrypt_file(source, io.BytesIO()),
        lambda: nobody.encrypt_file(source, io.BytesIO()),
        lambda: nobody.encrypt_shared_file(source, io.BytesIO()),
        lambda: nobody.auth_decrypt_file(source, io.BytesIO()),
        lambda: nobody.decrypt_file(source, io.BytesIO()),
    ):
        with pytest.raises(PrivateKeyNotFoundError):
            call()
    assert source.tell() == 0
