"""Key files: for their owner alone, whole or not at all, and mute."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import (
    EncryptedParseError,
    KeystoreError,
    KeystoreFileError,
    KeystorePermissionError,
)
from encrypted_parse.keystore import FileKeystore, StoredKey

KEY = PrivateKey.generate()
ALWAYS = {"mfyha", ".lock"}  # the folder of the app "app", and the lock, which is empty


def saved(folder: Path, user_id: str = "alice") -> tuple[FileKeystore, Path]:
    """Return a keystore with one key, and its file."""
    keystore = FileKeystore(folder / "keys", "app")
    keystore.save(StoredKey(user_id, KEY))
    [file] = (folder / "keys").rglob("*.json")
    return keystore, file


@pytest.mark.parametrize("user_id", ["alice", "../../x", "a/b", "", "Ünïcode", "A" * 200, "a", "A"])
def test_a_key_survives_and_stays_in_its_folder(tmp_path: Path, user_id: str) -> None:
    """Whatever the user id, the key comes back, from a file of mode 0600 in the folder."""
    _, file = saved(tmp_path, user_id)
    found = FileKeystore(tmp_path / "keys", "app").find(user_id)
    assert found is not None
    assert found.private_key.to_bytes() == KEY.to_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert FileKeystore(tmp_path / "keys", "other app").find(user_id) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others may have read is not used."""
    keystore, file = saved(tmp_path)
    file.chmod(mode)
    with pytest.raises(KeystorePermissionError):
        keystore.find("alice")


def test_a_folder_that_others_reach_is_refused(tmp_path: Path) -> None:
    """In a folder that others write, a file could be anybody's."""
    keystore, file = saved(tmp_path)
    file.parent.chmod(0o777)
    with pytest.raises(KeystorePermissionError):
        keystore.find("alice")


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link in the key's place is refused."""
    keystore, file = saved(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    with pytest.raises(KeystoreFileError):
        keystore.find("alice")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"version": 3}', b"x" * 200_000])
def test_a_damaged_file_is_an_error_and_is_left(tmp_path: Path, content: bytes) -> None:
    """Damage is said, and nothing is overwritten: a copy may be elsewhere."""
    keystore, file = saved(tmp_path)
    file.write_bytes(content)
    with pytest.raises(KeystoreFileError):
        keystore.find("alice")
    with pytest.raises(KeystoreError):
        keystore.save(StoredKey("alice", PrivateKey.generate()))
    assert file.read_bytes() == content


def test_another_key_is_never_overwritten(tmp_path: Path) -> None:
    """Saving a second key of a user is refused; the first stays."""
    keystore, _ = saved(tmp_path)
    with pytest.raises(KeystoreError):
        keystore.save(StoredKey("alice", PrivateKey.generate()))
    keystore.save(StoredKey("alice", KEY))
    found = keystore.find("alice")
    assert found is not None
    assert found.private_key == KEY


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failure_at_any_step_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A full disk or a crash while saving leaves the folder without the key, never with half."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    keystore = FileKeystore(tmp_path / "keys", "app")
    with monkeypatch.context() as patched:
        if step == "write":
            patched.setattr(os, "fdopen", fail)
        else:
            patched.setattr(os, step, fail)
        with pytest.raises(EncryptedParseError) as caught:
            keystore.save(StoredKey("alice", KEY))
    assert KEY.to_base64() not in str(caught.value)
    assert not [path for path in (tmp_path / "keys").rglob("*") if path.name not in ALWAYS]
    keystore.save(StoredKey("alice", KEY))
    assert keystore.find("alice") is not None
