"""Other users of this machine: folders that they can write, links and journals that they plant."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_keyring import FakeKeyring

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import EncryptedParseError, KeystorePermissionError, TrustStoreError
from encrypted_parse.keystore import FileKeystore, KeyringKeystore, StoredKey
from encrypted_parse.trust import Pin, PinLevel, SqliteTrustStore
from encrypted_parse.trust.pins import PinnedCard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX'")

KEY = PrivateKey.generate()
STRANGER = 54321
GiveAway = Callable[[Path], None]


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> GiveAway:
    """Return what makes a path another user's: by its owner, or by changing who we are."""

    def give(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: STRANGER)

    return give


def keep_a_key(folder: Path) -> None:
    """Save and find a key below *folder*."""
    keystore = FileKeystore(folder, "app")
    if keystore.find("alice") is None:
        keystore.save(StoredKey("alice", KEY))


def keep_a_lock(folder: Path) -> None:
    """Save a key in a keyring, whose lock is below *folder*."""
    KeyringKeystore("app", folder, backend=FakeKeyring()).save(StoredKey("alice", KEY))


def remember_a_key(folder: Path) -> None:
    """Write into a trust store in *folder*, and read it."""
    store = SqliteTrustStore(folder / "trust.sqlite")
    store.save("alice", [pin_of(KEY)], replacing=store.find("alice", ["bob"]))
    assert store.find("alice", ["bob"])


KEEPERS = [keep_a_key, keep_a_lock, remember_a_key]


def pin_of(key: PrivateKey) -> Pin:
    """A verified key of bob's."""
    card = PinnedCard(key.public_key.key_id.hex() * 4, key.public_key, PinLevel.VERIFIED)
    return Pin("bob", (card,))


@pytest.mark.parametrize("keep", KEEPERS)
@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o277])
def test_what_we_make_is_ours_alone(
    tmp_path: Path, keep: Callable[[Path], None], umask: int
) -> None:
    """Parents are 0700 and files 0600, whatever the umask adds or takes."""
    before = os.umask(umask)
    try:
        keep(tmp_path / "share" / "app" / "keys")
    finally:
        os.umask(before)
    made = list((tmp_path / "share").rglob("*"))
    assert len(made) >= 3
    for path in [tmp_path / "share", *made]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, path
        assert mode == 0o700 or not path.is_dir(), path


@pytest.mark.parametrize("keep", KEEPERS)
@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_folder_on_the_way_that_others_write(
    tmp_path: Path, keep: Callable[[Path], None], mode: int, level: int
) -> None:
    """Whoever writes a parent exchanges what is below: refused before and after the first use."""
    folders = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    for used_before in (False, True):
        folders[2].mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in folders:
            folder.chmod(0o700)
        if used_before:
            keep(folders[2])
        folders[level].chmod(mode)
        with pytest.raises((KeystorePermissionError, TrustStoreError), match="others"):
            keep(folders[2])


@pytest.mark.parametrize("keep", KEEPERS)
def test_a_group_on_the_way(
    tmp_path: Path, keep: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that a group may write is refused, unless the group is this user's alone."""
    import grp  # noqa: PLC0415 - not on Windows
    import pwd  # noqa: PLC0415

    me = pwd.struct_passwd(("me", "x", os.geteuid(), 4711, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: me)
    folder = tmp_path / "shared" / "keys"
    folder.mkdir(parents=True, mode=0o700)
    (tmp_path / "shared").chmod(0o770)
    if os.geteuid() == 0:  # root's own group is nobody's alone
        with pytest.raises((KeystorePermissionError, TrustStoreError), match="0770"):
            keep(folder)
        os.chown(tmp_path / "shared", -1, STRANGER)
    for name, others, allowed in (("me", [], True), ("staff", [], False), ("me", ["eve"], False)):
        group = grp.struct_group((name, "x", 4711, others))
        monkeypatch.setattr(grp, "getgrgid", lambda _, group=group: group)
        if allowed:
            keep(folder)
            continue
        with pytest.raises((KeystorePermissionError, TrustStoreError), match="0770"):
            keep(folder)


@pytest.mark.parametrize("keep", KEEPERS)
@pytest.mark.parametrize("place", ["parent", "folder", "link"])
def test_a_strangers_folder_or_link(
    tmp_path: Path, keep: Callable[[Path], None], place: str, give_away: GiveAway
) -> None:
    """A folder of another user's is not used, nor a link of theirs to a folder of ours."""
    ours = tmp_path / "ours" / "keys"
    ours.mkdir(parents=True, mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(ours)
    keep(link)  # our own link is as good as its folder
    give_away({"parent": ours.parent, "folder": ours, "link": link}[place])
    with pytest.raises((KeystorePermissionError, TrustStoreError), match="another user"):
        keep(link)


@pytest.mark.parametrize("keep", KEEPERS)
def test_links_in_a_circle_end(tmp_path: Path, keep: Callable[[Path], None]) -> None:
    """A path that never ends is our error, and soon."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(EncryptedParseError):
        keep(tmp_path / "a" / "keys")


def test_a_sticky_folder_is_for_passing_through(tmp_path: Path) -> None:
    """Below /tmp a private folder is one; /tmp itself keeps no trust file, and no keys."""
    tmp_path.chmod(0o1777)
    for keep in KEEPERS:
        keep(tmp_path / "mine")
    with pytest.raises(TrustStoreError, match="others can write"):
        remember_a_key(tmp_path)
    FileKeystore(tmp_path, "app").save(StoredKey("alice", KEY))  # in a folder of its own below


def hot_journal_of_an_older_state(path: Path, scratch: Path) -> bytes:
    """Return a journal that takes the store at *path* back to what it holds now."""
    copy = scratch / "copy.sqlite"
    shutil.copyfile(path, copy)
    database = sqlite3.connect(copy, isolation_level=None)
    try:
        database.execute("PRAGMA cache_size = 1")  # pages are written before the end, and so
        database.execute("BEGIN IMMEDIATE")  # the journal is made good for them
        database.execute("UPDATE pins SET content = 'x' || content")
        for number in range(200):
            row = ("o", str(number), "x" * 3000)
            database.execute("INSERT INTO pins VALUES (?, ?, ?)", row)
        return Path(f"{copy}-journal").read_bytes()
    finally:
        database.close()


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Path, Path]:
    """A trust store that has forgotten an attacker's key, and the journal that brings it back."""
    path = tmp_path / "trust.sqlite"
    store = SqliteTrustStore(path)
    store.save("alice", [pin_of(PrivateKey.generate())], replacing={})
    content = hot_journal_of_an_older_state(path, tmp_path)
    before = store.find("alice", ["bob"])
    store.save("alice", [pin_of(KEY)], replacing=before)
    assert store.find("alice", ["bob"])["bob"].counting_keys == (KEY.public_key,)
    journal = tmp_path / "trust.sqlite-journal"
    journal.write_bytes(content)
    journal.chmod(0o600)
    return path, journal


def test_the_journal_is_a_hot_one(planted: tuple[Path, Path]) -> None:
    """What the tests below plant does its work, once SQLite opens it: the old key is back."""
    path, _ = planted
    database = sqlite3.connect(path)
    [[content]] = database.execute("SELECT content FROM pins WHERE user_id = 'bob'")
    database.close()
    assert KEY.public_key.to_base64() not in content


def refused(path: Path, journal: Path) -> None:
    """Let the store refuse, with file and journal as they are."""
    before = path.read_bytes(), journal.lstat()
    with pytest.raises(TrustStoreError):
        SqliteTrustStore(path).find("alice", ["bob"])
    assert path.read_bytes() == before[0]
    assert journal.lstat().st_size == before[1].st_size


def test_a_strangers_journal_is_not_opened(planted: tuple[Path, Path], give_away: GiveAway) -> None:
    """Another user's journal beside our file is not played back."""
    path, journal = planted
    give_away(journal)
    refused(path, journal)


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["mode", "link", "pipe"])
def test_a_journal_that_is_not_ours_alone(
    planted: tuple[Path, Path], suffix: str, kind: str
) -> None:
    """A journal that others may write, a link and a pipe in its place are refused."""
    path, journal = planted
    place = path.with_name(path.name + suffix)
    content = journal.read_bytes()
    journal.unlink()
    if kind == "mode":
        place.write_bytes(content)
        place.chmod(0o666)
    elif kind == "link":
        (path.parent / "elsewhere").write_bytes(content)
        place.symlink_to("elsewhere")
    else:
        os.mkfifo(place, 0o600)
    refused(path, place)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o722])
def test_a_folder_where_journals_can_be_planted(planted: tuple[Path, Path], mode: int) -> None:
    """Where others may add a name, sticky or not, no journal counts, whoever it says it is from."""
    path, journal = planted
    path.parent.chmod(mode)
    refused(path, journal)


def test_a_journal_of_ours_is_played_back(planted: tuple[Path, Path]) -> None:
    """After a crash SQLite takes back what was half written: that is what journals are for."""
    path, journal = planted
    found = SqliteTrustStore(path).find("alice", ["bob"])
    assert found["bob"].counting_keys != (KEY.public_key,)
    assert not journal.exists()
