"""An unmodified E3Kit for Node against the companion, with Python reading along at each stage."""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from npm_peer import E3KIT, NpmPeer, PeerRefusedError
from servers.matrix import Server, run_project

from encrypted_parse import EncryptedClient, MemoryKeystore, UserClient
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.backup import RecoveryCode
from encrypted_parse.deploy import write_companion
from encrypted_parse.devserver import DevServer
from encrypted_parse.e3kit import Health, derive_passwords
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    BackupExistsError,
    BackupOutdatedError,
    GroupError,
    GroupExistsError,
    GroupNotFoundError,
    MissingExtraError,
    NoBackupError,
    NotRegisteredError,
    RecoveryCodeError,
    UnknownEpochError,
    UntrustedKeyError,
    WrongBackupPasswordError,
)
from encrypted_parse.keystore import StoredKey
from encrypted_parse.trust import KeyChangedWarning

MakeUser = Callable[..., UserClient]
_NUMBERS = itertools.count()


PROJECTS = ("7.5", "9.10")

GOOD, CYRILLIC = "7KQ2Z-M0D4X-PA1BC-9RT3W", "ключ от старого сарая"  # Python wants good ones


@pytest.fixture(
    scope="module",
    params=["dev", *(pytest.param(version, marks=pytest.mark.matrix) for version in PROJECTS)],
)
def server(
    request: pytest.FixtureRequest, dev_server: DevServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DevServer | Server]:
    """The local server, then a folder of `cloud init`, as it is, with Back4App's globals."""
    if request.param == "dev":
        yield dev_server
        return
    project = tmp_path_factory.mktemp("project")
    write_companion(project)
    with run_project(request.param, project, dev_server) as running:
        yield running


@pytest.fixture(scope="module")
def e3kit() -> Iterator[NpmPeer]:
    """One Node with E3Kit for all tests of this file, stopped whatever happens."""
    try:
        peer = NpmPeer(E3KIT)
    except MissingExtraError as error:
        pytest.skip(f"{error}; {error.hint}")
    with peer:
        yield peer


class Device:
    """One user's E3Kit in Node, with its own local storage."""

    def __init__(
        self, e3kit: NpmPeer, server: DevServer | Server, user: UserClient, folder: Path, url: str
    ) -> None:
        self._peer = e3kit
        self.user_id = user.user_id
        self.user = user
        self._name = f"device{next(_NUMBERS)}"
        headers = {
            "X-Parse-Application-Id": server.application_id,
            "X-Parse-REST-API-Key": server.rest_api_key,
            "X-Parse-Session-Token": user.session_token,
        }
        own = folder / self._name
        own.mkdir()
        opened = self.ask(
            "open", folder=str(own), api_url=url, parse_url=server.url, headers=headers
        )
        assert opened == user.user_id

    def ask(self, operation: str, **question: object) -> Any:
        """Call one of E3Kit's verbs."""
        return self._peer.ask(operation, device=self._name, **question)


MakeDevice = Callable[..., Device]


@pytest.fixture
def make_device(
    e3kit: NpmPeer, server: DevServer | Server, make_user: MakeUser, tmp_path: Path
) -> MakeDevice:
    """Return a function that makes a device, for a fresh user or for one who has others."""

    def make(user: UserClient | None = None, *, registered: bool = True) -> Device:
        fresh = make_user(registered=False) if user is None else user
        device = Device(e3kit, server, fresh, tmp_path, server.directory_url)
        if user is None and registered:
            device.ask("register")
        return device

    return make


def _python(app: EncryptedClient, device: Device) -> UserClient:
    """Return the same user in Python, with the device's private key."""
    keystore = MemoryKeystore()
    key = vc.import_private_key(device.ask("private_key"))
    keystore.save(StoredKey(device.user_id, key))
    app._keystore = keystore
    return app.become(device.user.session_token)


def _post(user: UserClient, server: DevServer | Server, path: str, body: object) -> Any:
    """Call the companion as *user*."""
    token = user.parse.call_function("virgil-jwt")["token"]
    answer = requests.post(
        f"{server.directory_url}/{path}",
        json=body,
        headers={"Authorization": f"Virgil {token}"},
        timeout=20,
    )
    answer.raise_for_status()
    return answer.json()


# --- messages -------------------------------------------------------------------------------


def test_messages_between_e3kit_and_python(make_device: MakeDevice, make_user: MakeUser) -> None:
    """Both forms, both directions, one and several readers."""
    alice, bob, carol = make_device(), make_user(), make_device()
    found = alice.ask("find", ids=[bob.user_id, carol.user_id])
    card = bob.e3kit.find_users([alice.user_id])[alice.user_id]
    assert found[bob.user_id] == bob.e3kit.find_users([bob.user_id])[bob.user_id].card_id

    text = "Lunch at noon? прив\u0435т 🎉"
    sealed = alice.ask("auth_encrypt", text=text, to=[bob.user_id, carol.user_id])
    assert bob.e3kit.auth_decrypt(sealed, card) == text
    assert carol.ask("auth_decrypt", text=sealed, **{"from": alice.user_id}) == text
    old = alice.ask("encrypt", text=text, to=[bob.user_id])
    assert bob.e3kit.decrypt(old, card) == text

    sealed = bob.e3kit.auth_encrypt(text, [card])
    assert alice.ask("auth_decrypt", text=sealed, **{"from": bob.user_id}) == text
    old = bob.e3kit.encrypt(text, [card])
    assert alice.ask("decrypt", text=old, **{"from": bob.user_id}) == text
    with pytest.raises(PeerRefusedError):
        carol.ask("auth_decrypt", text=sealed, **{"from": bob.user_id})
    with pytest.raises(PeerRefusedError):
        alice.ask("auth_decrypt", text=sealed, **{"from": carol.user_id})


def test_names_that_nobody_has(make_device: MakeDevice) -> None:
    """E3Kit's own error for users without a card."""
    with pytest.raises(PeerRefusedError, match="UsersNotFoundError"):
        make_device().ask("find", ids=["nobody"])


# --- the life of a key ----------------------------------------------------------------------


def test_registration(make_device: MakeDevice, make_user: MakeUser) -> None:
    """A second device and Python both see that the user is registered already."""
    alice = make_device()
    again = make_device(alice.user)
    with pytest.raises(PeerRefusedError, match="IdentityAlreadyExistsError"):
        again.ask("register")
    with pytest.raises(AlreadyRegisteredError):
        alice.user.register()
    bob = make_user()
    with pytest.raises(PeerRefusedError, match="IdentityAlreadyExistsError"):
        make_device(bob).ask("register")


def test_a_registration_race(make_device: MakeDevice, make_user: MakeUser) -> None:
    """Of devices that register at once, E3Kit and Python mixed, exactly one wins."""
    for _ in range(3):
        user = make_user(registered=False)
        device = make_device(user, registered=False)

        def by_python(user: UserClient = user) -> bool:
            try:
                user.register()
            except AlreadyRegisteredError:
                return False
            return True

        def by_e3kit(device: Device = device) -> bool:
            try:
                device.ask("register")
            except PeerRefusedError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            outcomes = [pool.submit(call) for call in (by_e3kit, by_python)]
            assert sorted(outcome.result() for outcome in outcomes) == [False, True]
        assert len(device.ask("find", ids=[user.user_id])) == 1


def test_rotation(make_device: MakeDevice, make_user: MakeUser, app: EncryptedClient) -> None:
    """A rotated key: old messages stay readable, new ones take the new key; Python sees both."""
    alice, bob = make_device(), make_user()
    reader = make_device()
    before = alice.ask("encrypt", text="before", to=[bob.user_id, reader.user_id])
    moment = int(time.time()) * 1000
    time.sleep(1.1)  # dates of cards are whole seconds
    with pytest.raises(PeerRefusedError, match="PrivateKeyAlreadyExistsError"):
        alice.ask("rotate")
    alice.ask("cleanup")
    assert alice.ask("has_key") is False
    alice.ask("rotate")
    after = alice.ask("auth_encrypt", text="after", to=[bob.user_id])
    bob.e3kit.find_users([alice.user_id], force_reload=True)
    keys = bob.e3kit.author_keys(alice.user_id)
    assert len(keys) == 2
    card = bob.e3kit.find_users([alice.user_id])[alice.user_id]
    assert bob.e3kit.auth_decrypt(after, card) == "after"
    opened = bob.e3kit.open(base64.b64decode(after), keys)
    assert opened == b"after"
    old = vc.decrypt_then_verify(
        base64.b64decode(before),
        bob.e3kit._own_key(),
        keys,
    )
    assert old == b"before"
    with pytest.raises(PeerRefusedError):
        reader.ask("decrypt", text=before, **{"from": alice.user_id})
    assert reader.ask("decrypt", text=before, at=moment, **{"from": alice.user_id}) == "before"
    sealed = bob.e3kit.auth_encrypt("for the new key", [card])
    assert alice.ask("auth_decrypt", text=sealed, **{"from": bob.user_id}) == "for the new key"
    assert _python(app, alice).e3kit.has_local_private_key()


def test_unregister_and_register_again(make_device: MakeDevice, make_user: MakeUser) -> None:
    """The user leaves the directory and may come back with another key."""
    alice, bob = make_device(), make_user()
    alice.ask("unregister")
    assert alice.ask("has_key") is False
    with pytest.raises(PeerRefusedError, match="RegisterRequiredError"):
        alice.ask("unregister")
    with pytest.raises(PeerRefusedError, match="UsersNotFoundError"):
        make_device(bob).ask("find", ids=[alice.user_id])
    alice.ask("register")
    bob.e3kit.find_users([alice.user_id], force_reload=True)
    assert len(bob.e3kit.author_keys(alice.user_id)) == 1

    first = bob.e3kit._own_key()
    bob.e3kit.unregister()
    assert not bob.e3kit.has_local_private_key()
    with pytest.raises(NotRegisteredError):
        bob.e3kit.unregister()
    with pytest.raises(PeerRefusedError, match="UsersNotFoundError"):
        alice.ask("find", ids=[bob.user_id])
    bob.register()
    assert bob.e3kit._own_key() != first
    assert list(alice.ask("find", ids=[bob.user_id])) == [bob.user_id]


# --- backups --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "second key"], ids=["unnamed", "named"])
def test_backup_and_restore(
    make_device: MakeDevice, app: EncryptedClient, name: str | None
) -> None:
    """Backed up on one device, restored on another; the password changes; a wrong one fails."""
    alice = make_device()
    key = alice.ask("private_key")
    phone = make_device(alice.user)
    with pytest.raises(PeerRefusedError):
        phone.ask("restore", password="first", name=name)
    assert phone.ask("has_key") is False
    alice.ask("backup", password="first", name=name)
    if name is None:
        with pytest.raises(PeerRefusedError, match="CloudEntryExistsError"):
            alice.ask("backup", password="first")
    with pytest.raises(PeerRefusedError):
        phone.ask("restore", password="wrong", name=name)
    assert phone.ask("has_key") is False
    phone.ask("restore", password="first", name=name)
    assert phone.ask("private_key") == key
    assert _python(app, phone).e3kit.auth_decrypt(alice.ask("auth_encrypt", text="x", to=[])) == "x"

    alice.ask("change_password", old="first", password="second", name=name)
    phone.ask("cleanup")
    with pytest.raises(PeerRefusedError):
        phone.ask("restore", password="first", name=name)
    phone.ask("restore", password="second", name=name)
    assert phone.ask("private_key") == key

    alice.ask("reset_backup", name=name)
    phone.ask("cleanup")
    with pytest.raises(PeerRefusedError):
        phone.ask("restore", password="second", name=name)
    alice.ask("backup", password="third", name=name)
    phone.ask("restore", password="third", name=name)
    assert phone.ask("private_key") == key


def _fresh_python(app: EncryptedClient, user: UserClient) -> UserClient:
    """Return the same user on another machine, without a key."""
    app._keystore = MemoryKeystore()
    return app.become(user.session_token)


@pytest.mark.parametrize("name", [None, "second key"], ids=["unnamed", "named"])
def test_backups_between_e3kit_and_python(
    make_device: MakeDevice, make_user: MakeUser, app: EncryptedClient, name: str | None
) -> None:
    """Backed up here and restored there, and the reverse; the password changed on either side."""
    alice = make_device()
    alice.ask("backup", password="first", name=name)
    laptop = _fresh_python(app, alice.user)
    with pytest.raises(WrongBackupPasswordError):
        laptop.e3kit.restore_private_key("wrong", name)
    assert not laptop.e3kit.has_local_private_key()
    laptop.e3kit.restore_private_key("first", name)
    assert laptop.e3kit._own_key().to_base64() == alice.ask("private_key")
    with pytest.raises(BackupExistsError):
        laptop.e3kit.backup_private_key(GOOD, name)
    laptop.e3kit.change_password("first", GOOD, name)
    phone = make_device(alice.user)
    phone.ask("restore", password=GOOD, name=name)
    assert phone.ask("private_key") == alice.ask("private_key")
    laptop.e3kit.reset_private_key_backup(name)
    with pytest.raises(NoBackupError):
        laptop.e3kit.restore_private_key(GOOD, name)

    bob = make_user()
    bob.e3kit.backup_private_key(CYRILLIC, name)
    phone = make_device(bob)
    phone.ask("restore", password=CYRILLIC, name=name)
    assert phone.ask("private_key") == bob.e3kit._own_key().to_base64()
    phone.ask("change_password", old=CYRILLIC, password="second", name=name)
    laptop = _fresh_python(app, bob)
    laptop.e3kit.restore_private_key("second", name)
    assert laptop.e3kit.auth_decrypt(bob.e3kit.auth_encrypt("x")) == "x"


def test_an_outdated_backup(make_device: MakeDevice, app: EncryptedClient) -> None:
    """A backup of a key that was replaced since is not taken for the user's key."""
    alice = make_device()
    alice.ask("backup", password="first")
    alice.ask("cleanup")
    alice.ask("rotate")
    laptop = _fresh_python(app, alice.user)
    with pytest.raises(BackupOutdatedError):
        laptop.e3kit.restore_private_key("first")
    assert not laptop.e3kit.has_local_private_key()


def test_derived_passwords(e3kit: NpmPeer) -> None:
    """One password gives the same two halves on both sides."""
    for password in ("password", "пароль", "x" * 200):
        assert e3kit.ask("derive_passwords", password=password) == list(derive_passwords(password))


@pytest.mark.parametrize("name", [None, "second key"], ids=["unnamed", "named"])
def test_old_keys_in_a_backup(
    make_device: MakeDevice, make_user: MakeUser, app: EncryptedClient, name: str | None
) -> None:
    """Old keys lie beside E3Kit's entry; E3Kit restores the current key, and keeps them."""
    alice, bob = make_user(), make_user()
    card = alice.e3kit.find_users([bob.user_id])[bob.user_id]
    first = bob.e3kit.auth_encrypt("first", bob.e3kit.find_users([alice.user_id]).values())
    alice.e3kit.backup_private_key(GOOD, name)
    alice.e3kit.rotate_private_key()
    alice.e3kit.backup_private_key(GOOD, name)
    phone = make_device(alice)
    phone.ask("restore", password=GOOD, name=name)
    assert phone.ask("private_key") == alice.e3kit._own_key().to_base64()
    phone.ask("change_password", old=GOOD, password=CYRILLIC, name=name)
    alice.e3kit._services.archive.delete()  # what follows comes from the backup alone
    laptop = _fresh_python(app, alice)
    laptop.e3kit.restore_private_key(CYRILLIC, name)
    assert laptop.e3kit._stored() == alice.e3kit._stored()
    assert laptop.e3kit.auth_decrypt(first, card) == "first"


def test_a_rotation_in_python(make_device: MakeDevice, make_user: MakeUser) -> None:
    """E3Kit follows: old messages by the card of their date, new ones by the new card."""
    alice, bob = make_user(), make_device()
    to_bob = alice.e3kit.find_users([bob.user_id])
    before = alice.e3kit.encrypt("before", to_bob.values())
    to_alice = bob.ask("auth_encrypt", text="to the old key", to=[alice.user_id])
    moment = int(time.time()) * 1000
    time.sleep(1.1)  # dates of cards are whole seconds
    alice.e3kit.rotate_private_key()
    after = alice.e3kit.auth_encrypt("after", to_bob.values())
    who = {"from": alice.user_id}
    assert bob.ask("auth_decrypt", text=after, **who) == "after"
    with pytest.raises(PeerRefusedError):
        bob.ask("decrypt", text=before, **who)
    assert bob.ask("decrypt", text=before, at=moment, **who) == "before"
    card = to_bob[bob.user_id]
    assert alice.e3kit.auth_decrypt(to_alice, card) == "to the old key"
    sealed = bob.ask("auth_encrypt", text="to the new key", to=[alice.user_id])
    assert alice.e3kit.auth_decrypt(sealed, card) == "to the new key"


def test_a_recovery_code_on_the_real_service(make_user: MakeUser, app: EncryptedClient) -> None:
    """The archive travels through the companion's Keyknox like any record."""
    alice = make_user()
    code = alice.e3kit.create_recovery_code()
    alice.e3kit.rotate_private_key()
    laptop = _fresh_python(app, alice)
    laptop.e3kit.restore_with_recovery_code(code.text)
    assert laptop.e3kit._stored() == alice.e3kit._stored()
    with pytest.raises(RecoveryCodeError):
        laptop.e3kit.restore_with_recovery_code(RecoveryCode.generate())
    assert [finding.health for finding in laptop.e3kit.diagnose()] == [
        Health.GOOD,
        Health.ADVICE,
        Health.GOOD,
        Health.GOOD,
    ]


# --- groups ---------------------------------------------------------------------------------


def _ticket(
    member: UserClient, server: DevServer | Server, initiator: Device, path: str, key: str
) -> bytes:
    """Fetch one ticket as a Python member: its copy, signed by the initiator."""
    place = {"root": "group-sessions", "path": path, "key": key, "identity": initiator.user_id}
    record = _post(member, server, "keyknox/v2/pull", place)
    card = member.e3kit.find_users([initiator.user_id])[initiator.user_id]
    return vc.decrypt_then_verify_detached(
        base64.b64decode(record["value"]),
        base64.b64decode(record["meta"]),
        member.e3kit._own_key(),
        card.public_key,
    )


def _session(member: UserClient, server: DevServer | Server, initiator: Device, group: str) -> Any:
    path = vc.group_session_id(group).hex()
    place = {"root": "group-sessions", "path": path, "identity": initiator.user_id}
    keys = _post(member, server, "keyknox/v2/keys", place)
    return vc.import_group_session([_ticket(member, server, initiator, path, key) for key in keys])


def test_groups(make_device: MakeDevice, make_user: MakeUser, server: DevServer | Server) -> None:
    """Create, load, add, remove, re-add, update, delete, with a Python member reading along."""
    alice, bob, carol, dave = make_device(), make_device(), make_device(), make_user()
    group = f"lunch group {alice.user_id}"
    alice.ask("create_group", group=group, members=[bob.user_id, dave.user_id])
    with pytest.raises(PeerRefusedError, match="GroupTicketAlreadyExistsError"):
        alice.ask("create_group", group=group, members=[bob.user_id])
    bob.ask("load_group", group=group, initiator=alice.user_id)
    first = alice.ask("group_encrypt", group=group, text="hello")
    decrypt = {"group": group, "from": alice.user_id}
    assert bob.ask("group_decrypt", text=first, **decrypt) == "hello"

    session = _session(dave, server, alice, group)
    alice_key = dave.e3kit.find_users([alice.user_id])[alice.user_id].public_key
    assert session.decrypt(base64.b64decode(first), alice_key) == b"hello"
    ours = base64.b64encode(session.encrypt(b"from python", dave.e3kit._own_key())).decode()
    opened = bob.ask("group_decrypt", group=group, text=ours, **{"from": dave.user_id})
    assert opened == "from python"

    with pytest.raises(PeerRefusedError, match="GroupError"):
        carol.ask("load_group", group=group, initiator=alice.user_id)
    assert _post(carol.user, server, "keyknox/v2/keys", {"identity": alice.user_id}) == []
    alice.ask("add", group=group, member=carol.user_id)
    carol.ask("load_group", group=group, initiator=alice.user_id)
    assert carol.ask("group_decrypt", text=first, **decrypt) == "hello"  # older epochs are shared
    assert set(alice.ask("participants", group=group)) == {
        user.user_id for user in (alice, bob, carol, dave)
    }

    alice.ask("remove", group=group, member=bob.user_id)
    second = alice.ask("group_encrypt", group=group, text="without bob")
    with pytest.raises(PeerRefusedError):
        bob.ask("group_decrypt", text=second, **decrypt)
    with pytest.raises(PeerRefusedError):
        bob.ask("load_group", group=group, initiator=alice.user_id)
    carol.ask("update", group=group)
    assert carol.ask("group_decrypt", text=second, **decrypt) == "without bob"
    with pytest.raises(UnknownEpochError):
        session.decrypt(base64.b64decode(second), alice_key)
    session = _session(dave, server, alice, group)
    assert session.epochs == (0, 1)
    assert session.decrypt(base64.b64decode(second), alice_key) == b"without bob"

    carol.ask("cleanup")
    carol.ask("rotate")
    with pytest.raises(PeerRefusedError):
        carol.ask("load_group", group=group, initiator=alice.user_id)
    alice.ask("re_add", group=group, member=carol.user_id)
    carol.ask("load_group", group=group, initiator=alice.user_id)
    assert carol.ask("group_decrypt", text=second, **decrypt) == "without bob"

    alice.ask("delete_group", group=group)
    with pytest.raises(PeerRefusedError):
        make_device(dave).ask("load_group", group=group, initiator=alice.user_id)


def test_a_group_of_pythons(make_device: MakeDevice, make_user: MakeUser) -> None:
    """Python starts the group and changes its members; E3Kit in Node is a member."""
    alice, bob, carol, dave = make_user(), make_device(), make_device(), make_user()
    group_id = f"python group {alice.user_id}"
    cards = alice.e3kit.find_users([user.user_id for user in (bob, carol, dave)])
    group = alice.e3kit.create_group(group_id, [cards[bob.user_id], cards[dave.user_id]])
    with pytest.raises(GroupExistsError):
        alice.e3kit.create_group(group_id, [cards[bob.user_id]])
    first = group.encrypt("hello")
    bob.ask("load_group", group=group_id, initiator=alice.user_id)
    decrypt = {"group": group_id, "from": alice.user_id}
    assert bob.ask("group_decrypt", text=first, **decrypt) == "hello"
    answer = bob.ask("group_encrypt", group=group_id, text="from node")
    assert group.decrypt(answer, cards[bob.user_id]) == "from node"

    alice_card = dave.e3kit.find_users([alice.user_id])[alice.user_id]
    seen = dave.e3kit.load_group(group_id, alice_card)
    assert seen.decrypt(first, alice_card) == "hello"
    assert seen.participants == {alice.user_id, bob.user_id, dave.user_id}
    for change in (seen.add, seen.delete):
        with pytest.raises(GroupError, match="initiator"):
            change(*([[cards[carol.user_id]]] if change == seen.add else []))

    group.add([cards[carol.user_id]])
    with pytest.raises(GroupError):
        group.add([cards[carol.user_id]])
    carol.ask("load_group", group=group_id, initiator=alice.user_id)
    assert carol.ask("group_decrypt", text=first, **decrypt) == "hello"
    with pytest.raises(GroupError):
        group.remove([cards[bob.user_id]], [cards[dave.user_id]])
    group.remove([cards[bob.user_id]], [cards[carol.user_id], cards[dave.user_id]])
    second = group.encrypt("without bob")
    with pytest.raises(PeerRefusedError):
        bob.ask("load_group", group=group_id, initiator=alice.user_id)
    carol.ask("update", group=group_id)
    assert carol.ask("group_decrypt", text=second, **decrypt) == "without bob"
    with pytest.raises(UnknownEpochError):
        seen.decrypt(second, alice_card)
    seen.update()
    assert seen.decrypt(second, alice_card) == "without bob"
    assert seen.participants == {alice.user_id, carol.user_id, dave.user_id}

    carol.ask("cleanup")
    carol.ask("rotate")
    with pytest.warns(KeyChangedWarning):  # E3Kit rotates without the old key: nobody could know
        changed = alice.e3kit.find_users([carol.user_id], force_reload=True)[carol.user_id]
    with pytest.raises(UntrustedKeyError):
        group.re_add(changed)
    group.re_add(alice.e3kit.accept_key(carol.user_id))
    carol.ask("load_group", group=group_id, initiator=alice.user_id)
    assert carol.ask("group_decrypt", text=second, **decrypt) == "without bob"
    group.delete()
    with pytest.raises(GroupNotFoundError):
        seen.update()
    assert seen.decrypt(second, alice_card) == "without bob"  # what one holds, one keeps


def test_python_in_a_group_of_e3kit(make_device: MakeDevice, make_user: MakeUser) -> None:
    """E3Kit in Node starts the group; Python loads it, reads and writes."""
    alice, bob, mallory = make_device(), make_user(), make_user()
    group_id = f"node group {alice.user_id}"
    alice.ask("create_group", group=group_id, members=[bob.user_id])
    card = bob.e3kit.find_users([alice.user_id])[alice.user_id]
    group = bob.e3kit.load_group(group_id, card)
    assert group.participants == {alice.user_id, bob.user_id}
    text = alice.ask("group_encrypt", group=group_id, text="прив\u0435т")
    assert group.decrypt(text, card) == "прив\u0435т"
    question = {"group": group_id, "text": group.encrypt("back"), "from": bob.user_id}
    assert alice.ask("group_decrypt", **question) == "back"
    with pytest.raises(GroupNotFoundError):
        mallory.e3kit.load_group(group_id, card)
    own = mallory.e3kit.find_users([mallory.user_id])[mallory.user_id]
    with pytest.raises(GroupNotFoundError):
        mallory.e3kit.load_group(group_id, own)


def test_a_group_after_its_initiators_rotation(
    make_device: MakeDevice, make_user: MakeUser
) -> None:
    """Python's initiator opens it still; E3Kit's members can again once it is made whole."""
    alice, bob, carol = make_user(), make_device(), make_device()
    group_id = f"rotated group {alice.user_id}"
    cards = alice.e3kit.find_users([bob.user_id, carol.user_id])
    group = alice.e3kit.create_group(group_id, cards.values())
    first = group.encrypt("before")
    moment = int(time.time()) * 1000
    time.sleep(1.1)  # dates of cards are whole seconds
    alice.e3kit.rotate_private_key()
    with pytest.raises(PeerRefusedError):
        bob.ask("load_group", group=group_id, initiator=alice.user_id)
    own = alice.e3kit.find_users([alice.user_id])[alice.user_id]
    assert alice.e3kit.load_group(group_id, own).session.epochs == (0,)
    group = alice.e3kit.recreate_group(group_id, [cards[bob.user_id]])
    assert alice.e3kit.get_group(group_id) is group
    assert group.session.epochs == (0, 1)
    bob.ask("load_group", group=group_id, initiator=alice.user_id)
    decrypt = {"group": group_id, "from": alice.user_id}
    assert bob.ask("group_decrypt", text=group.encrypt("after"), **decrypt) == "after"
    assert bob.ask("group_decrypt", text=first, at=moment, **decrypt) == "before"
    with pytest.raises(PeerRefusedError):
        carol.ask("load_group", group=group_id, initiator=alice.user_id)


# --- deleted users --------------------------------------------------------------------------


def test_a_deleted_user_leaves_nothing(
    make_device: MakeDevice, make_user: MakeUser, server: DevServer | Server
) -> None:
    """Deleting the Parse user revokes the card and removes the backups."""
    alice, bob = make_device(), make_user()
    alice.ask("backup", password="secret")
    alice.ask("backup", password="secret", name="named")
    token = alice.user.parse.call_function("virgil-jwt")["token"]
    requests.delete(
        f"{server.url}/users/{alice.user_id}",
        headers={
            "X-Parse-Application-Id": server.application_id,
            "X-Parse-Master-Key": server.master_key,
        },
        timeout=20,
    ).raise_for_status()
    with pytest.raises(PeerRefusedError, match="UsersNotFoundError"):
        make_device(bob).ask("find", ids=[alice.user_id])
    backup = requests.get(
        f"{server.directory_url}/keyknox/v1",
        headers={"Authorization": f"Virgil {token}"},
        timeout=20,
    )
    assert backup.json() == {"meta": "", "value": "", "version": "1.0"}
