"""The commands: what they are given stands in no frame while they talk to a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from canaries import (
    BACKUP_PASSWORD,
    NEW_BACKUP_PASSWORD,
    PASSWORD,
    TEXT,
    World,
    leaks,
)
from frames import shown_by_running_frames
from virgil_service import FakeBrainKey

from encrypted_parse import EncryptedClient
from encrypted_parse.backup import BrainKeyClient
from encrypted_parse.cli.commands import app


def _fd(secret: str) -> str:
    """Return the number of a file descriptor from which *secret* is read."""
    reading, writing = os.pipe()
    os.write(writing, secret.encode())
    os.close(writing)
    return str(reading)


def _file(folder: Path) -> str:
    path = folder / "letter.txt"
    path.write_text(TEXT, "utf-8")
    return str(path)


Arguments = Callable[[World, Path], list[str]]
COMMANDS: dict[str, Arguments] = {
    "whoami": lambda *_: [],
    "doctor": lambda *_: [],
    "change-password": lambda *_: [
        "--backup-password-fd",
        _fd(BACKUP_PASSWORD),
        "--new-password-fd",
        _fd(NEW_BACKUP_PASSWORD),
    ],
    "restore": lambda *_: ["--backup-password-fd", _fd(BACKUP_PASSWORD)],
    "recovery-code": lambda *_: ["--yes"],
    "rotate": lambda *_: [],
    "encrypt": lambda w, tmp: [_file(tmp), "--to", w.carol.user_id, "--out", str(tmp / "sealed")],
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_running_frame_of_a_command_shows_a_secret(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log-in and backup passwords, codes and keys are hushed while a command waits for a server."""
    world, shown = World(), []
    monkeypatch.setattr(BrainKeyClient, "derive", FakeBrainKey.derive)
    monkeypatch.setattr(EncryptedClient, "from_env", classmethod(lambda *_, **__: world.client))
    world.app.before = lambda _: shown.extend(shown_by_running_frames())
    arguments = COMMANDS[name](world, tmp_path)
    app(
        [name, "--user", "alice", "--password-fd", _fd(PASSWORD), *arguments], standalone_mode=False
    )
    assert shown
    assert leaks(shown, world.secrets()) == []
