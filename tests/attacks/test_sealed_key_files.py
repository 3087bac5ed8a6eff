"""Sealed key files in the hands of whoever gets at the disk, and power that goes at any moment."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import power_loss
import pytest
from power_loss import ALICE, BOB, KEYS

from encrypted_parse.errors import KeystoreError, KeystoreFileError, KeystoreLockedError
from encrypted_parse.keystore import FileKeystore, Passphrase, StoredKey

KILLS = 12


@pytest.fixture
def sealed(tmp_path: Path) -> FileKeystore:
    """Two users' keys, sealed with the passphrase "p"."""
    keystore = FileKeystore(tmp_path, "app", protection=Passphrase("p"))
    keystore.save(ALICE)
    keystore.save(BOB)
    return keystore


def reopened(keystore: FileKeystore, tmp_path: Path) -> FileKeystore:
    """The same files, nothing in memory."""
    return FileKeystore(tmp_path, "app", protection=Passphrase("p"))


def test_records_cannot_change_places(sealed: FileKeystore, tmp_path: Path) -> None:
    """Bob's sealed keys under alice's name do not become alice's."""
    alice, bob = (
        next(p for p in sealed.folder.glob("*.json") if f'"{u}"' in p.read_text())
        for u in ("alice", "bob")
    )
    fields = json.loads(bob.read_text()) | {"user_id": "alice"}
    alice.write_text(json.dumps(fields))
    with pytest.raises(KeystoreFileError):
        reopened(sealed, tmp_path).find("alice")


def test_every_byte_of_a_sealed_record_counts(sealed: FileKeystore, tmp_path: Path) -> None:
    """No bit can be flipped, and no end cut off."""
    path = next(p for p in sealed.folder.glob("*.json") if '"alice"' in p.read_text())
    fields = json.loads(path.read_text())
    content = base64.b64decode(fields["sealed"])
    variants = [content[:n] for n in (0, 5, 11, 12, 27, 28, len(content) - 1)]
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1
        variants.append(bytes(flipped))
    keystore = reopened(sealed, tmp_path)
    for variant in variants:
        path.write_text(json.dumps(fields | {"sealed": base64.b64encode(variant).decode()}))
        with pytest.raises(KeystoreFileError):
            keystore.find("alice")


def test_a_plain_key_cannot_be_planted(sealed: FileKeystore, tmp_path: Path) -> None:
    """Who can write files, but knows no passphrase, cannot make the owner use a key of theirs."""
    planted = FileKeystore(tmp_path / "other", "app")
    planted.save(StoredKey("alice", KEYS[3]))
    (file,) = planted.folder.glob("*.json")
    shutil.copy(file, sealed.folder / file.name)
    with pytest.raises(KeystoreLockedError):
        reopened(sealed, tmp_path).find("alice")
    (sealed.folder / "protection.key").unlink()
    with pytest.raises(KeystoreLockedError):
        reopened(sealed, tmp_path).find("alice")
    with pytest.raises(KeystoreFileError, match=r"protection\.key"):
        reopened(sealed, tmp_path).find("bob")


@pytest.mark.parametrize(
    "change",
    [
        {"iterations": 10**9},
        {"memory_kib": 2**31},
        {"lanes": 4096},
        {"iterations": 0},
        {"iterations": True},
        {"iterations": None},
        {"salt": ""},
        {"salt": 7},
        {"salt": "\u00e9"},
        {"wrapped": ""},
        {"wrapped": None},
        {"kind": "nothing"},
        {"kind": ["argon2id"]},
        {"iterations": 1, "memory_kib": 64},
        {"extra": 1},
    ],
    ids=str,
)
def test_the_wrapped_key_is_bounded_and_whole(
    sealed: FileKeystore, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Parameters that would take for ever are refused before any work; changed ones do not open."""
    path = sealed.folder / "protection.key"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"wrapped": content["wrapped"] | change}))
    began = time.monotonic()
    with pytest.raises(KeystoreError):
        reopened(sealed, tmp_path).find("alice")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"[" * 100_000, b'{"version": 9}', b'{"version": 1, "check": "", "wrapped": []}'],
    ids=lambda content: content[:12],
)
def test_a_damaged_protection_file_is_said(
    sealed: FileKeystore, tmp_path: Path, content: bytes
) -> None:
    """Nothing is sealed anew over it: a copy of the file brings everything back."""
    path = sealed.folder / "protection.key"
    good = path.read_bytes()
    path.write_bytes(content)
    keystore = reopened(sealed, tmp_path)
    with pytest.raises(KeystoreFileError):
        keystore.find("alice")
    with pytest.raises(KeystoreFileError):
        keystore.save(StoredKey("carol", KEYS[2]))
    with pytest.raises(KeystoreFileError):
        keystore.protect(Passphrase("new"))
    path.write_bytes(good)
    assert keystore.find("alice") == ALICE


def moments(tmp_path: Path, verb: str) -> list[Path]:
    """Return a folder for each moment at which the power went while *verb* was done."""
    command = [sys.executable, power_loss.__file__, str(tmp_path), verb]
    assert subprocess.run(command, check=False, timeout=120).returncode == 0
    folders = sorted(tmp_path.iterdir(), key=lambda folder: int(folder.name))
    assert len(folders) > 20
    return folders


@pytest.mark.parametrize("verb", ["save", "sealed save"])
def test_power_loss_at_every_step_of_a_save(tmp_path: Path, verb: str) -> None:
    """Whenever it happens, the old keys are there or the new ones, and the next save works."""
    outcomes = []
    for folder in moments(tmp_path, verb):
        keystore = FileKeystore(folder, "app", protection=power_loss.GOALS[verb])
        found = keystore.find("alice")
        outcomes.append(found)
        assert keystore.find("bob") == BOB
        power_loss.act(keystore, verb)
        assert keystore.find("alice") == power_loss.AFTER
        keystore.save(ALICE, replacing=power_loss.AFTER)
        assert not list(keystore.folder.glob(".new-*"))
    assert set(outcomes) == {ALICE, power_loss.AFTER}
    assert outcomes == sorted(outcomes, key=lambda stored: stored == power_loss.AFTER)


@pytest.mark.parametrize("verb", ["protect", "change", "unprotect"])
def test_power_loss_at_every_step_of_sealing(tmp_path: Path, verb: str) -> None:
    """Whenever it happens, no key is lost, and the same call again finishes."""
    goal = power_loss.GOALS[verb]
    for folder in moments(tmp_path, verb):
        for protection in (goal, power_loss.BEFORE[verb]):
            with contextlib.suppress(KeystoreError):
                power_loss.act(FileKeystore(folder, "app", protection=protection), verb)
                break
        done = FileKeystore(folder, "app", protection=goal)
        assert (done.find("alice"), done.find("bob")) == (ALICE, BOB)
        assert done.is_protected is (goal is not None)


def test_content_reaches_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is flushed, then takes the old one's name, then the folder is flushed."""
    keystore = FileKeystore(tmp_path, "app")
    keystore.save(ALICE)
    calls: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        real_sync(descriptor)

    def replace(old: str, new: str) -> None:
        calls.append("name")
        assert json.loads(Path(old).read_text())["next_key"] == KEYS[2].to_base64()
        real_replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    keystore.save(ALICE.with_next(KEYS[2]), replacing=ALICE)
    assert calls == ["file", "name", "folder"]


def test_a_killed_writer_leaves_one_state_or_the_next(tmp_path: Path) -> None:
    """A process that rotates in a loop is killed again and again; its chain of keys is whole."""
    script = (
        "import sys\n"
        "from encrypted_parse.crypto import PrivateKey\n"
        "from encrypted_parse.keystore import FileKeystore\n"
        "keystore = FileKeystore(sys.argv[1], 'app')\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    found = keystore.find('alice')\n"
        "    keystore.save(found.with_next(PrivateKey.generate()).promoted(), replacing=found)\n"
    )
    keystore = FileKeystore(tmp_path, "app")
    keystore.save(ALICE)
    last, noise = ALICE, random.Random(5)
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(noise.random() * 0.05)
            child.send_signal(signal.SIGKILL)
        found = FileKeystore(tmp_path, "app").find("alice")
        assert found is not None
        chain = [found.private_key, *found.old_keys]
        assert last.private_key in chain
        assert len(set(chain)) == len(chain)
        last = found
    assert last != ALICE
