"""One contract for every keystore, and what is particular to each."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import keyring.backends.fail
import keyring.errors
import pytest
from fake_keyring import FakeKeyring

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import (
    ConfigurationError,
    KeystoreConflictError,
    KeystoreError,
    KeystoreFileError,
    KeystoreLockedError,
    KeystorePermissionError,
    KeystoreReadOnlyError,
    NotPicklableError,
    WrongPassphraseError,
)
from encrypted_parse.keystore import (
    EnvironmentKeystore,
    FileKeystore,
    KeptSession,
    KeyringKeystore,
    KeyService,
    Keystore,
    MemoryKeystore,
    Passphrase,
    SessionKeeper,
    StoredKey,
    default_keystore_folder,
    keystore_from_env,
)

KEYS = [PrivateKey.generate() for _ in range(5)]
FULL = StoredKey("alice", KEYS[0], (KEYS[1], KEYS[2]), KEYS[3])


def key_service(name: str = "kms") -> KeyService:
    """A key service that turns bytes around, which no real one does."""
    return KeyService(name, lambda key, _: b"wrapped" + key[::-1], lambda data, _: data[:6:-1])


MAKERS: dict[str, Callable[[Path], Keystore]] = {
    "memory": lambda _: MemoryKeystore(),
    "files": lambda folder: FileKeystore(folder, "app"),
    "passphrase": lambda folder: FileKeystore(folder, "app", protection=Passphrase("gehëim")),
    "key service": lambda folder: FileKeystore(folder, "app", protection=key_service()),
    "keyring": lambda folder: KeyringKeystore("app", folder, backend=FakeKeyring()),
}


@pytest.fixture(params=sorted(MAKERS))
def keystore(request: pytest.FixtureRequest, tmp_path: Path) -> Keystore:
    """Each keystore in turn, empty."""
    return MAKERS[request.param](tmp_path)


def test_what_is_saved_is_found(keystore: Keystore) -> None:
    """Current, old and next keys come back, each user's alone."""
    assert keystore.find("alice") is None
    keystore.save(FULL)
    keystore.save(StoredKey("bob", KEYS[4]))
    assert keystore.find("alice") == FULL
    assert keystore.find("bob") == StoredKey("bob", KEYS[4])
    found = keystore.find("alice")
    assert found is not None
    assert [key.to_bytes() for key in found.identities] == [
        key.to_bytes() for key in (KEYS[0], KEYS[3], KEYS[1], KEYS[2])
    ]


def test_saving_again_is_harmless(keystore: Keystore) -> None:
    """The same keys may be saved twice."""
    keystore.save(FULL)
    keystore.save(FULL)
    assert keystore.find("alice") == FULL


def test_only_what_was_seen_is_replaced(keystore: Keystore) -> None:
    """A save names what it replaces; anything else there stays."""
    first, second = StoredKey("alice", KEYS[0]), StoredKey("alice", KEYS[1])
    keystore.save(first)
    for replacing in (None, second):
        with pytest.raises(KeystoreConflictError):
            keystore.save(StoredKey("alice", KEYS[2]), replacing=replacing)
    assert keystore.find("alice") == first
    keystore.save(second, replacing=first)
    assert keystore.find("alice") == second
    with pytest.raises(KeystoreConflictError):
        keystore.save(StoredKey("bob", KEYS[2]), replacing=first)


def test_deleted_keys_are_gone(keystore: Keystore) -> None:
    """Deleting forgets one user, and is harmless where there is nothing."""
    keystore.delete("alice")
    keystore.save(FULL)
    keystore.save(StoredKey("bob", KEYS[4]))
    keystore.delete("alice")
    assert keystore.find("alice") is None
    assert keystore.find("bob") is not None
    keystore.save(StoredKey("alice", KEYS[4]))


def test_one_of_many_writers_wins(keystore: Keystore) -> None:
    """Of eight threads that replace the same keys, exactly one does."""
    keystore.save(FULL)
    won: list[StoredKey] = []
    start = threading.Barrier(8)

    def write() -> None:
        mine = StoredKey("alice", PrivateKey.generate())
        start.wait()
        try:
            keystore.save(mine, replacing=FULL)
        except KeystoreConflictError:
            return
        won.append(mine)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [keystore.find("alice")]


@pytest.mark.parametrize("kind", ["files", "passphrase", "key service"])
def test_another_instance_reads_the_files(tmp_path: Path, kind: str) -> None:
    """Files outlive the process; what another program wrote is seen at the next look."""
    one, other = MAKERS[kind](tmp_path), MAKERS[kind](tmp_path)
    one.save(FULL)
    assert other.find("alice") == FULL
    one.save(FULL.promoted(), replacing=FULL)
    assert other.find("alice") == FULL.promoted()
    assert cast("FileKeystore", other).user_ids() == ["alice"]


def test_files_of_the_first_version_are_read(tmp_path: Path) -> None:
    """A key that an earlier release wrote is found, and is rewritten with the first change."""
    keystore = FileKeystore(tmp_path, "app")
    keystore.save(StoredKey("alice", KEYS[0]))
    (file,) = keystore.folder.glob("*.json")
    file.write_text(file.read_text().replace('"version": 2', '"version": 1'))
    found = keystore.find("alice")
    assert found == StoredKey("alice", KEYS[0])
    keystore.save(FULL, replacing=found)
    assert FileKeystore(tmp_path, "app").find("alice") == FULL


def _entry_of(backend: FakeKeyring, user_id: str) -> tuple[tuple[str, str], str]:
    [(place, entry)] = [item for item in backend.entries.items() if item[0][1] == user_id]
    return place, entry


def test_another_version_is_refused_by_its_number(tmp_path: Path) -> None:
    """What a later release wrote says so, with the step; the file stays as it is."""
    keystore = FileKeystore(tmp_path / "plain", "app")
    keystore.save(FULL)
    (file,) = keystore.folder.glob("*.json")
    later = file.read_text().replace('"version": 2', '"version": 3')
    file.write_text(later)
    sealed = FileKeystore(tmp_path / "sealed", "app", protection=key_service())
    sealed.save(FULL)
    wrapped = sealed.folder / "protection.key"
    wrapped.write_text(wrapped.read_text().replace('"version": 1', '"version": 2'))
    backend = FakeKeyring()
    ring = KeyringKeystore("app", tmp_path / "ring", backend=backend)
    ring.save(FULL)
    place, entry = _entry_of(backend, "alice")
    backend.entries[place] = entry.replace('"version":1', '"version":2')
    other = FileKeystore(tmp_path / "sealed", "app", protection=key_service())
    for case in (keystore, other, ring):
        with pytest.raises(KeystoreError, match=r"version [23]\b.*this release reads") as caught:
            case.find("alice")
        assert "pip install --upgrade" in (caught.value.hint or "")
        with pytest.raises(KeystoreError):
            case.save(StoredKey("alice", KEYS[4]))
    assert file.read_text() == later


def test_keyring_entries_without_a_version_are_read(tmp_path: Path) -> None:
    """They are of the first one."""
    backend = FakeKeyring()
    ring = KeyringKeystore("app", tmp_path, backend=backend)
    ring.save(FULL)
    place, entry = _entry_of(backend, "alice")
    assert '"version":1,' in entry
    backend.entries[place] = entry.replace('"version":1,', "")
    assert ring.find("alice") == FULL


def test_two_processes_take_turns(tmp_path: Path) -> None:
    """Two processes that rotate the same user in a loop lose none of each other's old keys."""
    script = (
        "import sys\n"
        "from encrypted_parse.crypto import PrivateKey\n"
        "from encrypted_parse.errors import KeystoreConflictError\n"
        "from encrypted_parse.keystore import FileKeystore\n"
        "keystore, done = FileKeystore(sys.argv[1], 'app'), 0\n"
        "while done < 20:\n"
        "    found = keystore.find('alice')\n"
        "    try:\n"
        "        new = found.with_next(PrivateKey.generate()).promoted()\n"
        "        keystore.save(new, replacing=found)\n"
        "        done += 1\n"
        "    except KeystoreConflictError:\n"
        "        pass\n"
    )
    keystore = FileKeystore(tmp_path, "app")
    keystore.save(StoredKey("alice", KEYS[0]))
    children = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(2)]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    found = keystore.find("alice")
    assert found is not None
    assert len(set(found.old_keys)) == 40


def test_a_sealed_keystore_needs_its_passphrase(tmp_path: Path) -> None:
    """Nothing opens it but the passphrase, in either of Unicode's spellings; no key is in it."""
    MAKERS["passphrase"](tmp_path).save(FULL)
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for key in FULL.identities:
        assert key.to_base64().encode() not in everything
    decomposed = Passphrase("gehe\u0308im")
    assert FileKeystore(tmp_path, "app", protection=decomposed).find("alice") == FULL
    with pytest.raises(WrongPassphraseError):
        FileKeystore(tmp_path, "app", protection=Passphrase("geheim")).find("alice")
    with pytest.raises(KeystoreLockedError):
        FileKeystore(tmp_path, "app").find("alice")
    with pytest.raises(KeystoreLockedError):
        FileKeystore(tmp_path, "app").save(StoredKey("bob", KEYS[4]))
    with pytest.raises(KeystoreLockedError):
        FileKeystore(tmp_path, "app", protection=key_service()).find("alice")
    with pytest.raises(ConfigurationError):
        FileKeystore(tmp_path / "new", "app", protection=Passphrase("")).save(FULL)


def test_the_passphrase_is_asked_for_once(tmp_path: Path) -> None:
    """A callable is called when a sealed file is first read, and not again."""
    asked: list[None] = []

    def ask() -> str:
        asked.append(None)
        return "gehëim"

    keystore = FileKeystore(tmp_path, "app", protection=Passphrase(ask))
    assert keystore.find("alice") is None
    assert not asked
    keystore.save(FULL)
    keystore.find("alice")
    keystore.save(StoredKey("bob", KEYS[4]))
    assert len(asked) == 1


def test_plain_files_are_sealed_and_unsealed(tmp_path: Path) -> None:
    """`protect` seals what is there, changes the passphrase, and `unprotect` undoes it."""
    keystore = FileKeystore(tmp_path, "app")
    keystore.save(FULL)
    keystore.save(StoredKey("bob", KEYS[4]))
    late = FileKeystore(tmp_path, "app", protection=Passphrase("one"))
    with pytest.raises(KeystoreLockedError):
        late.find("alice")
    with pytest.raises(KeystoreLockedError):
        late.save(StoredKey("carol", KEYS[3]))
    keystore.protect(Passphrase("one"))
    assert keystore.find("alice") == FULL
    assert late.find("alice") == FULL
    keystore.protect(Passphrase("two"))
    with pytest.raises(WrongPassphraseError):
        FileKeystore(tmp_path, "app", protection=Passphrase("one")).find("alice")
    keystore.protect(key_service())
    assert FileKeystore(tmp_path, "app", protection=key_service()).find("bob") is not None
    keystore.unprotect()
    assert not keystore.is_protected
    assert FileKeystore(tmp_path, "app").find("alice") == FULL


def test_a_key_service_must_be_the_same_and_honest(tmp_path: Path) -> None:
    """Another key of the service is named; a service that wraps nothing is refused."""
    MAKERS["key service"](tmp_path).save(FULL)
    with pytest.raises(KeystoreLockedError, match="other"):
        FileKeystore(tmp_path, "app", protection=key_service("other")).find("alice")
    for wrap, unwrap in (
        (lambda key, _: key, lambda data, _: data),
        (lambda key, _: key[::-1], lambda _, __: bytes(32)),
        (lambda _, __: bytes(9000), lambda data, _: data),
    ):
        lazy = KeyService("lazy", wrap, unwrap)
        with pytest.raises(ConfigurationError):
            FileKeystore(tmp_path / "new", "app", protection=lazy).save(FULL)
    assert not list((tmp_path / "new").rglob("*.json"))


def test_the_environment_gives_keys_and_takes_none() -> None:
    """Several users, old keys behind the current one; nothing can be changed."""
    text = f"alice:{KEYS[0].to_base64()},{KEYS[1].to_base64()}\n urn:x:bob:{KEYS[2].to_base64()} "
    keystore = EnvironmentKeystore(text)
    assert keystore.find("alice") == StoredKey("alice", KEYS[0], (KEYS[1],))
    assert keystore.find("urn:x:bob") == StoredKey("urn:x:bob", KEYS[2])
    assert keystore.find("carol") is None
    keystore.save(StoredKey("alice", KEYS[0], (KEYS[1],)))
    keystore.delete("carol")
    with pytest.raises(KeystoreReadOnlyError):
        keystore.save(StoredKey("carol", KEYS[3]))
    with pytest.raises(KeystoreReadOnlyError):
        keystore.delete("alice")
    assert KEYS[0].to_base64() not in repr(keystore)


@pytest.mark.parametrize(
    "text",
    [
        "alice",
        ":" + KEYS[0].to_base64(),
        "alice:" + KEYS[0].to_base64()[:-1],
        "alice:" + KEYS[0].to_base64() + ",",
        f"alice:{KEYS[0].to_base64()} alice:{KEYS[1].to_base64()}",
        "alice:" + ",".join([KEYS[0].to_base64()] * 202),
    ],
)
def test_a_wrong_variable_is_refused_without_a_quote(text: str) -> None:
    """The error says which entry, and shows none of it but the user id."""
    with pytest.raises(ConfigurationError) as caught:
        EnvironmentKeystore(text)
    assert KEYS[0].to_base64()[20:40] not in str(caught.value)


def test_keyrings_that_keep_nothing_are_refused(tmp_path: Path) -> None:
    """A backend that stores in the open, or not at all, is no keystore."""
    with pytest.raises(ConfigurationError):
        KeyringKeystore("app", tmp_path, backend=keyring.backends.fail.Keyring())


def test_a_keyring_that_fails_says_so(tmp_path: Path) -> None:
    """A locked ring, a damaged entry and one that forgets are errors without the secret."""

    class Locked(FakeKeyring):
        def set_password(self, _service: str, _username: str, password: str) -> None:
            raise keyring.errors.KeyringLocked(password)

    class Forgetful(FakeKeyring):
        def set_password(self, service: str, username: str, password: str) -> None:
            self.entries[service, username] = password[:20]

    for backend in (Locked(), Forgetful()):
        keystore = KeyringKeystore("app", tmp_path, backend=backend)
        with pytest.raises(KeystoreError) as caught:
            keystore.save(FULL)
        assert KEYS[0].to_base64() not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None


def test_settings_choose_the_keystore(tmp_path: Path) -> None:
    """Each variable gives its keystore; files that cannot be read are named."""
    assert default_keystore_folder({"HOME": "/h"}) == Path("/h/.local/share/encrypted_parse/keys")
    secret = tmp_path / "passphrase"
    secret.write_text("gehëim\n", "utf-8")
    keys = tmp_path / "keys"
    keys.write_text(f"alice:{KEYS[0].to_base64()}")
    folder = {"ENCRYPTED_PARSE_KEYSTORE": str(tmp_path / "store")}
    MAKERS["passphrase"](tmp_path / "store").save(FULL)
    sealed = folder | {"ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE": str(secret)}
    assert keystore_from_env(sealed, "app").find("alice") == FULL
    asked = keystore_from_env(folder, "app", ask_passphrase=lambda: "gehëim")
    assert asked.find("alice") == FULL
    with pytest.raises(KeystoreLockedError):
        keystore_from_env(folder, "app").find("alice")
    for variables in (
        {"ENCRYPTED_PARSE_PRIVATE_KEYS": keys.read_text()},
        {"ENCRYPTED_PARSE_PRIVATE_KEYS_FILE": str(keys)},
    ):
        assert keystore_from_env(variables | folder, "app").find("alice") == StoredKey(
            "alice", KEYS[0]
        )
    with pytest.raises(ConfigurationError, match="PRIVATE_KEYS_FILE"):
        keystore_from_env({"ENCRYPTED_PARSE_PRIVATE_KEYS_FILE": str(tmp_path / "no")}, "app")
    keys.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError):
        keystore_from_env({"ENCRYPTED_PARSE_PRIVATE_KEYS_FILE": str(keys)}, "app")


def test_a_folder_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that holds the lock for ever does not make others wait for ever."""
    from encrypted_parse.keystore import disk  # noqa: PLC0415

    keystore = FileKeystore(tmp_path, "app")
    keystore.save(FULL)
    monkeypatch.setattr(disk, "LOCK_SECONDS", 0.05)
    with disk.locked_folder(keystore.folder), pytest.raises(KeystoreFileError, match="another"):
        keystore.delete("alice")
    assert keystore.find("alice") == FULL


# --- kept sessions --------------------------------------------------------------------------

SESSION = KeptSession("https://parse.example/parse", "älice", "TbQeiO6SCx", "r:0123456789abcdef")
LATER = KeptSession("https://parse.example/parse", "bob", "hO2kXcPVqa", "r:fedcba9876543210")


def test_a_session_is_kept_as_keys_are(keystore: Keystore) -> None:
    """Files and keyrings keep one session, replace it, and forget it; nothing else keeps any."""
    if isinstance(keystore, MemoryKeystore):
        assert not isinstance(keystore, SessionKeeper)
        return
    assert isinstance(keystore, SessionKeeper)
    keystore.delete_session()
    assert keystore.find_session() is None
    for session in (SESSION, LATER):
        keystore.save_session(session)
        assert keystore.find_session() == session
    assert keystore.user_ids() == []
    keystore.save(FULL)
    keystore.delete("alice")
    assert keystore.find_session() == LATER
    keystore.delete_session()
    assert keystore.find_session() is None
    assert not isinstance(EnvironmentKeystore(f"alice:{KEYS[0].to_base64()}"), SessionKeeper)


def test_a_session_is_sealed_where_keys_are(tmp_path: Path) -> None:
    """The token is in no file of a sealed keystore, before and after every change of the seal."""
    keystore = FileKeystore(tmp_path, "app")
    keystore.save_session(SESSION)
    file = keystore.folder / "session.key"
    assert file.stat().st_mode & 0o777 == 0o600
    plain = file.read_bytes()
    for passphrase in ("one", "two"):
        keystore.protect(Passphrase(passphrase))
        assert keystore.find_session() == SESSION
        content = file.read_bytes()
        assert all(
            secret not in base64.b64decode(json.loads(content)["session"])
            for secret in (SESSION.session_token.encode(), SESSION.user_id.encode())
        )
        with pytest.raises(WrongPassphraseError):
            FileKeystore(tmp_path, "app", protection=Passphrase("x")).find_session()
        with pytest.raises(KeystoreLockedError):
            FileKeystore(tmp_path, "app").find_session()
    file.write_bytes(plain)  # somebody else's, put in the place of a sealed one
    with pytest.raises(KeystoreFileError, match="holds no session"):
        keystore.find_session()
    file.write_bytes(content)
    keystore.unprotect()
    assert FileKeystore(tmp_path, "app").find_session() == SESSION


def test_a_session_stays_in_its_place(tmp_path: Path) -> None:
    """A file of another app, one that others can read, and a damaged one are refused."""
    mine, other = (FileKeystore(tmp_path, name, protection=Passphrase("p")) for name in "ab")
    for keystore in (mine, other):
        keystore.save_session(SESSION)
    file = mine.folder / "session.key"
    good = file.read_bytes()
    theirs = (other.folder / "session.key").read_bytes()
    for content in (theirs, good[:-9], b"", b"[]", b"null", b'{"sealed": 1, "session": 1}'):
        file.write_bytes(content)
        with pytest.raises(KeystoreFileError):
            mine.find_session()
    file.write_bytes(good)
    assert mine.find_session() == SESSION
    file.chmod(0o644)
    with pytest.raises(KeystorePermissionError):
        mine.find_session()


def test_sessions_show_no_token() -> None:
    """Not in their `repr`, not in a pickle, not in the error about a record that is none."""
    assert SESSION.session_token not in repr(SESSION)
    with pytest.raises(NotPicklableError):
        pickle.dumps(SESSION)
    for content in (
        b"{}",
        b"[]",
        b"x",
        SESSION.to_bytes().replace(b'"version": 1', b'"version": 2'),
    ):
        with pytest.raises(ValueError, match=r"^not a kept session$"):
            KeptSession.from_bytes(content)
