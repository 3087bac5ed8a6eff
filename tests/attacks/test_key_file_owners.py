"""Key files that somebody else made, moved or can reach."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import KeystoreFileError, KeystorePermissionError
from encrypted_parse.keystore import FileKeystore, StoredKey

ALICE, BOB = (StoredKey(name, PrivateKey.generate()) for name in ("alice", "bob"))
POSIX = pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX systems")


def _file_of(folder: Path, user_id: str) -> Path:
    [found] = [
        path
        for path in folder.rglob("*.json")
        if json.loads(path.read_bytes())["user_id"] == user_id
    ]
    return found


@POSIX
def test_another_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What belongs to another user of the machine could be anybody's: it is not read or written."""
    keystore = FileKeystore(tmp_path / "keys", "app")
    keystore.save(ALICE)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(KeystorePermissionError, match="another user"):
        FileKeystore(tmp_path / "keys", "app").find("alice")
    with pytest.raises(KeystorePermissionError, match="another user"):
        keystore.save(BOB)


@POSIX
def test_no_key_is_written_where_others_reach(tmp_path: Path) -> None:
    """A first key is not put into a folder that others can open."""
    keystore = FileKeystore(tmp_path / "keys", "app")
    keystore.save(ALICE)
    folder = _file_of(tmp_path, "alice").parent
    folder.chmod(0o755)
    before = set(folder.iterdir())
    with pytest.raises(KeystorePermissionError):
        keystore.save(BOB)
    assert set(folder.iterdir()) == before


def test_files_cannot_change_places(tmp_path: Path) -> None:
    """A file under another user's name is refused: its owner's key is nobody else's."""
    keystore = FileKeystore(tmp_path / "keys", "app")
    keystore.save(ALICE)
    keystore.save(BOB)
    alices, bobs = (_file_of(tmp_path, name) for name in ("alice", "bob"))
    bobs.write_bytes(alices.read_bytes())
    with pytest.raises(KeystoreFileError):
        FileKeystore(tmp_path / "keys", "app").find("bob")


@pytest.mark.parametrize("version", [0, 99, None, "2", [2]])
def test_another_version_is_refused(tmp_path: Path, version: object) -> None:
    """A file of a version that this one does not know is left as it is, and said so."""
    keystore = FileKeystore(tmp_path / "keys", "app")
    keystore.save(ALICE)
    path = _file_of(tmp_path, "alice")
    content = json.dumps({**json.loads(path.read_bytes()), "version": version})
    path.write_text(content)
    with pytest.raises(KeystoreFileError):
        FileKeystore(tmp_path / "keys", "app").find("alice")
    assert path.read_text() == content
