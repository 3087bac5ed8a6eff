"""What a project's folder remembers of its deployments: whole or not at all, and bounded."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from encrypted_parse.deploy import Record, write_companion


def test_a_full_disk_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call fails before anything is deployed, and nothing half written is left."""
    record = Record(tmp_path)
    record.remember_deployed("app", {"cloud/main.js": "a" * 32})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        record.remember_deployed("app", {"cloud/main.js": "b" * 32})
    with pytest.raises(OSError, match="No space"):
        write_companion(tmp_path / "new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    write_companion(tmp_path / "new")
    assert (tmp_path / "new" / "cloud" / "main.js").is_file()


def test_each_app_has_its_own_memory_and_it_is_bounded(tmp_path: Path) -> None:
    """What was deployed to one app is foreign to another; old checksums are forgotten."""
    record = Record(tmp_path)
    for number in range(30):
        record.remember_deployed("app", {"cloud/main.js": f"{number:032d}"})
    known = Record(tmp_path).deployed("app", "cloud/main.js")
    assert known == {f"{number:032d}" for number in range(10, 30)}
    assert Record(tmp_path).deployed("other", "cloud/main.js") == frozenset()
