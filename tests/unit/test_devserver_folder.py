"""The data folder and its keys: private, whole, never somebody else's."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import tempfile
from pathlib import Path

import pytest

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.devserver.folder import data_folder
from encrypted_parse.devserver.postgres import account, stop_orphan
from encrypted_parse.devserver.secrets import load_or_create
from encrypted_parse.errors import DevServerError


def test_keys_are_made_once_in_the_forms_that_the_server_takes(tmp_path: Path) -> None:
    """32 hex digits for ids, PKCS#8 for private keys, 44 bytes for the public one; kept."""
    made = load_or_create(tmp_path)
    hexadecimal = (
        made.application_id,
        made.rest_api_key,
        made.javascript_key,
        made.master_key,
        made.database_password,
        made.virgil_app_id,
        made.virgil_app_key_id,
    )
    assert len(set(hexadecimal)) == 7
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in hexadecimal)
    assert len(base64.b64decode(made.virgil_app_key)) == 48
    service = PrivateKey.from_base64(made.virgil_service_key)
    assert made.companion.service_public_key == service.public_key.to_base64()
    assert len(base64.b64decode(made.companion.service_public_key)) == 44
    assert made.virgil_app_key != made.virgil_service_key
    assert load_or_create(tmp_path) == made


def test_the_file_of_keys_is_private(tmp_path: Path) -> None:
    """It is made with mode 0600 whatever the umask is, and made so again if it was opened up."""
    before = os.umask(0)
    try:
        load_or_create(tmp_path)
    finally:
        os.umask(before)
    path = tmp_path / "secrets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secrets.json"]
    path.chmod(0o644)
    load_or_create(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["", "[]", "{}", "cut", "key"])
def test_a_damaged_file_of_keys_is_refused(damage: str, tmp_path: Path) -> None:
    """It is neither used nor overwritten, and the error does not quote it."""
    load_or_create(tmp_path)
    path = tmp_path / "secrets.json"
    text = path.read_text("utf-8")
    if damage == "cut":
        damaged = text[:-40]
    elif damage == "key":
        damaged = json.dumps({**json.loads(text), "virgil_app_key": "canary"})
    else:
        damaged = damage
    path.write_text(damaged, "utf-8")
    with pytest.raises(DevServerError, match="not a file of this program") as caught:
        load_or_create(tmp_path)
    assert caught.value.__cause__ is None
    assert "canary" not in str(caught.value)
    assert path.read_text("utf-8") == damaged


def test_a_folder_without_its_keys_is_refused(tmp_path: Path) -> None:
    """New keys would not open the old database, so none are made."""
    (tmp_path / "postgres").mkdir()
    with pytest.raises(DevServerError, match=r"no secrets\.json"), data_folder(tmp_path, None):
        pass


def test_an_interrupted_first_start_can_be_repeated(tmp_path: Path) -> None:
    """What a start leaves before it has made its keys does not count as other things."""
    with data_folder(tmp_path / "data", None):
        pass
    with data_folder(tmp_path / "data", None) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_errors_of_the_block_pass_through(tmp_path: Path) -> None:
    """An OSError that the block raises is the block's: it is not taken for one of the folder."""
    with pytest.raises(FileNotFoundError), data_folder(tmp_path / "data", None):
        (tmp_path / "missing").read_text()


def test_a_temporary_folder_is_removed() -> None:
    """Nothing stays, not even after an error."""
    with data_folder(None, None) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_abandoned_temporary_folders_are_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A killed server's folder goes with the next start; one in use, or a fresh one, stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with data_folder(None, None) as used:
        os.utime(used / "lock", (0, 0))
        abandoned = tmp_path / "encrypted-parse-dev-abandoned"
        fresh = tmp_path / "encrypted-parse-dev-fresh"
        for folder in (abandoned, fresh):
            folder.mkdir()
            (folder / "lock").write_text("")
        os.utime(abandoned / "lock", (0, 0))
        with data_folder(None, None):
            assert used.is_dir()
            assert fresh.is_dir()
            assert not abandoned.exists()


def test_damaged_pid_files_are_no_reason_to_kill(tmp_path: Path) -> None:
    """Without a number there is nobody to stop."""
    (tmp_path / "postgres").mkdir()
    pid_file = tmp_path / "postgres" / "postmaster.pid"
    for text in ("", "not a number\n", f"{os.getpid()}\n"):
        pid_file.write_text(text)
        stop_orphan(tmp_path)
    assert not pid_file.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_root_is_told_about_closed_folders(tmp_path: Path) -> None:
    """A folder below a private one cannot hold root's database, which the error says."""
    postgres = account()
    assert postgres is not None
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with (
        pytest.raises(DevServerError, match="whom Postgres runs as for root"),
        data_folder(closed / "data", postgres),
    ):
        pass
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
