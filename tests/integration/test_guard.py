"""The guard on a real server: a client that forgets to encrypt is refused, whatever the write."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from encrypted_parse import (
    EncryptedClient,
    MemoryKeystore,
    Model,
    Pointer,
    UserClient,
    acl_readers,
    encrypted,
    field,
    only_me,
    users,
)
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.deploy import examine
from encrypted_parse.devserver import DevServer, dev_server
from encrypted_parse.envelope import to_text
from encrypted_parse.errors import (
    ConfigurationError,
    GuardRefusedError,
    PermissionDeniedError,
    RecipientsNotRegisteredError,
    ServerFailedError,
)
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.tools import export_guard_schema, read_guard_report
from encrypted_parse.transport import RequestsTransport, RetryingTransport

MODELS = '''
"""Models of an app, for the command line to find."""

from typing import Any

from encrypted_parse import Model, Pointer, acl_readers, encrypted, field, only_me, users


class Guarded(Model):
    """One encrypted field of each rule."""

    owner_id: str
    reader_ids: list[str] = field(factory=list)
    body: str | None = encrypted(to=acl_readers(), author="owner_id", default=None)
    shared: str | None = encrypted(to=users("reader_ids"), author="owner_id", default=None)
    diary: str | None = encrypted(to=only_me(), default=None, column="private")


class Plain(Model):
    """Nothing encrypted."""

    text: str


class Pointing(Model):
    """Names its users by pointers."""

    writer: Pointer[Any] | None = None
    writers: list[Pointer[Any]] = field(factory=list)
    shared: str | None = encrypted(to=users("writers"), author="writer", default=None)
    body: str | None = encrypted(to=acl_readers(), author="writer", default=None)
'''


class Guarded(Model):
    """The same as in `MODELS`."""

    owner_id: str
    reader_ids: list[str] = field(factory=list)
    body: str | None = encrypted(to=acl_readers(), author="owner_id", default=None)
    shared: str | None = encrypted(to=users("reader_ids"), author="owner_id", default=None)
    diary: str | None = encrypted(to=only_me(), default=None, column="private")


class Pointing(Model):
    """The same as in `MODELS`."""

    writer: Pointer[Any] | None = None
    writers: list[Pointer[Any]] = field(factory=list)
    shared: str | None = encrypted(to=users("writers"), author="writer", default=None)
    body: str | None = encrypted(to=acl_readers(), author="writer", default=None)


EXPECTED = {
    "version": 1,
    "classes": {
        "Guarded": {
            "body": {"form": "authEncrypt", "readers": "acl", "author": "ownerId"},
            "shared": {"form": "authEncrypt", "readers": ["readerIds"], "author": "ownerId"},
            "private": {"form": "authEncrypt", "readers": [], "author": None},
        },
        "Pointing": {
            "shared": {"form": "authEncrypt", "readers": ["writers"], "author": "writer"},
            "body": {"form": "authEncrypt", "readers": "acl", "author": "writer"},
        },
    },
    "rules": {
        "envelope": "enforce",
        "readers": "enforce",
        "author": "enforce",
        "cards": "report",
        "keys": "enforce",
    },
}


def _command(
    *arguments: str, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("encrypted-parse")
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def fields_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command line exports for `MODELS`."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "app").mkdir()
    (folder / "app" / "models.py").write_text(MODELS, "utf-8")
    rules = ("--rule", "readers=enforce", "--rule", "author=enforce", "--rule", "cards=report")
    done = _command("schema", "export", "app.models", *rules, folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "encrypted-fields.json").write_text(done.stdout, "utf-8")
    return folder / "encrypted-fields.json"


@pytest.fixture(scope="module")
def server(fields_file: Path) -> Iterator[DevServer]:
    """A server with the guard."""
    with dev_server(encrypted_fields=fields_file) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: DevServer) -> EncryptedClient:
    """Connect to it."""
    return EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())


@pytest.fixture(scope="module")
def alice(client: EncryptedClient) -> UserClient:
    """A registered user."""
    user = client.sign_up("alice", "a password")
    user.register()
    return user


@pytest.fixture(scope="module")
def bob(client: EncryptedClient) -> UserClient:
    """Another."""
    user = client.sign_up("bob", "a password")
    user.register()
    return user


def _master(server: DevServer) -> ParseClient:
    app = ParseApp(server.url, server.application_id, master_key=server.master_key)
    return ParseClient(app, RetryingTransport(RequestsTransport()))


def _code(caught: pytest.ExceptionInfo[GuardRefusedError]) -> int | None:
    return caught.value.code


def test_the_export(fields_file: Path) -> None:
    """The file says which columns, in which form, for whom and by whom; the library agrees."""
    assert json.loads(fields_file.read_text("utf-8")) == EXPECTED
    rules = {"readers": "enforce", "author": "enforce", "cards": "report"}
    assert export_guard_schema([Guarded, Pointing], rules) == EXPECTED


def test_the_export_says_what_is_wrong(fields_file: Path) -> None:
    """No module, no models, an unknown rule: `error:` and `hint:` lines, status 1."""
    folder = fields_file.parent
    for arguments, said in (
        (("no.such.module",), "cannot import"),
        (("json",), "declares no models"),
        (("app.models", "--rule", "readers=maybe"), "no rule"),
        (("app.models", "--rule", "readers"), "NAME=MODE"),
    ):
        done = _command("schema", "export", *arguments, folder=folder)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert said in done.stderr
        assert done.stdout == ""
    with pytest.raises(ConfigurationError, match="no model"):
        export_guard_schema([])


def test_what_the_models_write_is_let_through(alice: UserClient, bob: UserClient) -> None:
    """Create, update, a changed ACL with re-encryption, clearing, batches."""
    row = Guarded(owner_id=alice.user_id, reader_ids=[bob.user_id], body="1", shared="2", diary="3")
    row.acl.allow_read(bob.user_id)
    alice.save(row)
    fetched = bob.get(Guarded, row.object_id or "")
    assert (fetched.body, fetched.shared) == ("1", "2")
    row.acl.revoke(bob.user_id)
    row.body = "changed"
    alice.save(row)
    row.body = None
    alice.save(row)
    outcomes = alice.save_all([Guarded(owner_id=alice.user_id, body=str(n)) for n in range(5)])
    assert all(outcome.error is None for outcome in outcomes)


WRITES = {
    "create": lambda parse, _, value: parse.create("Guarded", {"body": value}),
    "update": lambda parse, row, value: parse.update("Guarded", row, {"body": value}),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("value", ["plaintext", "", "TUlJQg==", "M" * 400])
def test_plaintext_is_refused(server: DevServer, alice: UserClient, write: str, value: str) -> None:
    """By a user's session and by the master key; the message names the column, never the value."""
    row = alice.save(Guarded(owner_id=alice.user_id, body="kept")).object_id
    for parse in (alice.parse, _master(server)):
        with pytest.raises(GuardRefusedError, match=r"Guarded\.body") as caught:
            WRITES[write](parse, row, value)
        assert _code(caught) == 9001
        assert not value or value not in str(caught.value)
    assert alice.get(Guarded, row or "").body == "kept"


@pytest.mark.parametrize(
    "operation",
    [
        {"__op": "Increment", "amount": 1},
        {"__op": "Add", "objects": ["x"]},
        {"__op": "AddUnique", "objects": ["x"]},
        {"__op": "Remove", "objects": ["x"]},
    ],
    ids=lambda operation: str(operation["__op"]),
)
def test_operations_are_refused(
    server: DevServer, alice: UserClient, operation: dict[str, Any]
) -> None:
    """An encrypted column takes a value or loses it; nothing else."""
    empty = alice.save(Guarded(owner_id=alice.user_id)).object_id or ""
    with pytest.raises(GuardRefusedError) as caught:
        _master(server).update("Guarded", empty, {"body": operation})
    assert _code(caught) == 9003
    row = alice.save(Guarded(owner_id=alice.user_id, body="kept")).object_id or ""
    with pytest.raises(ServerFailedError):  # Parse Server itself fails before any trigger
        _master(server).update("Guarded", row, {"body": operation})
    assert alice.get(Guarded, row).body == "kept"
    _master(server).update("Guarded", row, {"body": {"__op": "Delete"}})
    assert alice.get(Guarded, row).body is None


def _raw(user: UserClient, *readers: UserClient, write: Any = vc.sign_and_encrypt) -> str:
    keys = [reader.e3kit._own_key().public_key for reader in readers]
    return to_text(write(b"text", user.e3kit._own_key(), keys))


def test_other_forms_are_refused(alice: UserClient) -> None:
    """The old signed form is not what these columns take."""
    old = _raw(alice, alice, write=vc.sign_then_encrypt)
    with pytest.raises(GuardRefusedError) as caught:
        alice.parse.create("Guarded", {"body": old, "ownerId": alice.user_id})
    assert _code(caught) == 9002


def test_readers_and_authors(server: DevServer, alice: UserClient, bob: UserClient) -> None:
    """An envelope that leaves out a reader of the ACL, a named reader, or the author."""
    acl = {alice.user_id: {"read": True, "write": True}, bob.user_id: {"read": True}}
    own = {"ownerId": alice.user_id, "ACL": acl}
    parse = alice.parse
    for fields, code in (
        ({**own, "body": _raw(alice, alice)}, 9005),
        ({**own, "body": _raw(alice, bob), "ACL": {bob.user_id: {"read": True}}}, 9006),
        ({**own, "body": _raw(alice, alice), "ACL": {"*": {"read": True}}}, 9004),
        ({**own, "shared": _raw(alice, alice), "readerIds": [bob.user_id]}, 9005),
        ({**own, "private": _raw(alice, bob)}, 9006),
    ):
        with pytest.raises(GuardRefusedError) as caught:
            parse.create("Guarded", fields)
        assert _code(caught) == code
    row = parse.create("Guarded", {**own, "body": _raw(alice, alice, bob)})["objectId"]
    carol = {**acl, "nobody-known": {"read": True}}
    with pytest.raises(GuardRefusedError) as caught:
        _master(server).update("Guarded", row, {"ACL": carol})
    assert _code(caught) == 9005


def test_users_as_pointers(server: DevServer, alice: UserClient, bob: UserClient) -> None:
    """Columns that hold pointers to users, or lists of them, are read like ids; others are not."""

    def pointer(user_id: str, class_name: str = "_User") -> dict[str, str]:
        return {"__type": "Pointer", "className": class_name, "objectId": user_id}

    acl = {alice.user_id: {"read": True, "write": True}}
    mine, his = pointer(alice.user_id), pointer(bob.user_id)
    own, both = _raw(alice, alice), _raw(alice, alice, bob)
    for owner, readers, value, code in (
        (mine, [his], both, None),
        (mine, [], own, None),
        (mine, [his], own, 9005),
        (his, [], own, 9006),
        (mine, [pointer(bob.user_id, "Person")], both, 9008),
        (mine, [5], both, 9008),
        (mine, [[bob.user_id]], both, 9008),
        (pointer(alice.user_id, "Person"), [], own, 9009),
        (None, [], own, 9009),
        (mine, [], both, 9010),
    ):
        fields = {"writers": readers, "shared": value, "ACL": acl}
        if owner is not None:
            fields["writer"] = owner
        if code is None:
            assert alice.parse.create("Pointing", fields)["objectId"]
            continue
        with pytest.raises(GuardRefusedError) as caught:
            alice.parse.create("Pointing", fields)
        assert _code(caught) == code


def test_readers_or_author_change_alone(alice: UserClient, bob: UserClient) -> None:
    """The stored envelope has to match then, too; the refusal says what to send along."""
    acl = {alice.user_id: {"read": True, "write": True}}
    own = {"ownerId": alice.user_id, "ACL": acl}
    parse = alice.parse
    row = parse.create("Guarded", {**own, "readerIds": [], "shared": _raw(alice, alice)})
    open_to_bob = {**own, "readerIds": [bob.user_id], "shared": _raw(alice, alice, bob)}
    shared = parse.create("Guarded", open_to_bob)["objectId"]
    for object_id, change, code in (
        (row["objectId"], {"readerIds": [bob.user_id]}, 9005),
        (row["objectId"], {"readerIds": {"__op": "AddUnique", "objects": [bob.user_id]}}, 9005),
        (row["objectId"], {"ownerId": bob.user_id}, 9006),
        (row["objectId"], {"ownerId": {"__op": "Delete"}}, 9009),
        (shared, {"ownerId": bob.user_id}, 9011),
        (shared, {"readerIds": []}, 9010),
    ):
        with pytest.raises(GuardRefusedError, match="send it along, encrypted anew") as caught:
            parse.update("Guarded", object_id, change)
        assert _code(caught) == code
    assert parse.update("Guarded", shared, {"readerIds": [bob.user_id]})
    assert parse.update("Guarded", shared, {"readerIds": [], "shared": _raw(alice, alice)})


def test_sharing_and_revoking(alice: UserClient, bob: UserClient) -> None:
    """What the library sends to share and to revoke satisfies the guard."""
    row = alice.save(Guarded(owner_id=alice.user_id, body="1", shared="2"))
    alice.share(row, with_=[bob.user_id])
    assert bob.get(Guarded, row.object_id or "").body == "1"
    alice.revoke(row, from_=[bob.user_id])
    row = alice.get(Guarded, row.object_id or "")
    row.reader_ids = [bob.user_id]
    alice.save(row)
    row.reader_ids = []
    alice.save(row)
    assert row.shared == "2"


def test_a_default_value(server: DevServer, alice: UserClient) -> None:
    """A default in the schema would be stored as plaintext, after the guard."""
    master = _master(server)
    body = json.dumps({"fields": {"body": {"type": "String", "defaultValue": "hello"}}}).encode()
    owner = {"ownerId": alice.user_id}
    alice.parse.create("Pointing", {"other": 1})
    json_type = {"Content-Type": "application/json"}
    master.call("PUT", "schemas/Pointing", content=body, headers=json_type)
    with pytest.raises(GuardRefusedError) as caught:
        alice.parse.create("Pointing", owner)
    assert _code(caught) == 9012
    found = examine(
        master,
        RequestsTransport(),
        directory_url=server.directory_url,
        service_public_key=server.service_public_key,
        fields=export_guard_schema([Pointing]),
    )
    assert any(one.what == "Pointing.body" and "default value" in one.text for one in found)


def test_batches(server: DevServer, alice: UserClient) -> None:
    """In a batch the bad item is refused, and the others are saved."""
    good = {
        "body": _raw(alice, alice),
        "ownerId": alice.user_id,
        "ACL": {alice.user_id: {"read": True}},
    }
    answer = requests.post(
        f"{server.url}/batch",
        json={
            "requests": [
                {"method": "POST", "path": "/parse/classes/Guarded", "body": body}
                for body in (good, {"body": "plaintext"})
            ]
        },
        headers={
            "X-Parse-Application-Id": server.application_id,
            "X-Parse-REST-API-Key": server.rest_api_key,
            "X-Parse-Session-Token": alice.session_token,
        },
        timeout=20,
    ).json()
    assert "success" in answer[0]
    assert answer[1]["error"]["code"] == 9001


def test_the_report(server: DevServer, alice: UserClient, tmp_path: Path) -> None:
    """What `report` mode counted is read by the library and by the command line."""
    stranger = vc.generate_key_pair()
    keys = [alice.e3kit._own_key().public_key, stranger.public_key]
    sealed = to_text(vc.sign_and_encrypt(b"x", alice.e3kit._own_key(), keys))
    fields = {"private": sealed, "ownerId": alice.user_id}
    for _ in range(3):
        alice.parse.create("Guarded", fields)
    [count] = read_guard_report(_master(server))
    assert (count.parse_class, count.column) == ("Guarded", "private")
    assert (count.problem, count.count) == ("unknownRecipient", 3)
    environment = {
        "PARSE_SERVER_URL": server.url,
        "PARSE_APPLICATION_ID": server.application_id,
        "PARSE_MASTER_KEY": server.master_key,
    }
    done = _command("guard", "report", "--json", folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["count"] == 3
    assert (
        "unknownRecipient"
        in _command("guard", "report", folder=tmp_path, environment=environment).stdout
    )
    done = _command("guard", "report", folder=tmp_path, environment={})
    assert done.returncode == 1
    assert "PARSE_SERVER_URL" in done.stderr


def test_an_apps_own_check_beside_the_guard(fields_file: Path) -> None:
    """An app that has a `beforeSave` of its own calls the guard in it."""
    own = fields_file.parent / "own.cjs"
    companion = Path(__file__).parents[2] / "cloud_code"
    own.write_text(
        f"""
        const {{ createGuard }} = require({json.dumps(str(companion))});
        const guard = createGuard(Parse, require({json.dumps(str(fields_file))}));
        Parse.Cloud.beforeSave('Guarded', async (request) => {{
          await guard(request);
          request.object.set('seen', true);
        }});
        """,
        "utf-8",
    )
    with dev_server(cloud_main=own) as running:
        client = EncryptedClient.from_env(running.environment(), keystore=MemoryKeystore())
        carol = client.sign_up("carol", "a password")
        carol.register()
        with pytest.raises(GuardRefusedError):
            carol.parse.create("Guarded", {"body": "plaintext"})
        row = carol.save(Guarded(owner_id=carol.user_id, body="x")).object_id or ""
        assert carol.parse.get("Guarded", row)["seen"] is True


def test_the_report_is_closed(server: DevServer, alice: UserClient) -> None:
    """Users see none of it, nor of the companion's other classes."""
    for class_name in ("EncryptedParseReport", "VirgilCard", "VirgilKeyknox"):
        answer = requests.get(
            f"{server.url}/classes/{class_name}",
            headers={
                "X-Parse-Application-Id": server.application_id,
                "X-Parse-REST-API-Key": server.rest_api_key,
                "X-Parse-Session-Token": alice.session_token,
            },
            timeout=20,
        )
        assert answer.status_code in (400, 403, 404)
        assert "results" not in answer.json()


def test_a_save_for_a_replaced_key_is_sent_again_for_the_present_one(
    client: EncryptedClient, bob: UserClient, server: DevServer
) -> None:
    """On the real server: create, update, batch and transaction moments after a rotation."""
    store = MemoryKeystore()
    writer = EncryptedClient.from_env(
        server.environment(), keystore=store, cards_fresh_seconds=300
    ).sign_up("bot", "a password")
    writer.register()

    def new(text: str) -> Guarded:
        row = Guarded(owner_id=writer.user_id, reader_ids=[], body=text)
        row.acl.allow_read(bob.user_id)
        return row

    kept = writer.save(new("before"))
    bob.e3kit.rotate_private_key()
    kept.body = "changed"
    writer.save(kept)
    assert bob._sealer.readers(
        bob.parse.get("Guarded", str(kept.object_id))["body"], [bob.user_id]
    ).current == {bob.user_id}
    for transaction in (False, True):
        bob.e3kit.rotate_private_key()
        rows = [new("one"), new("two")]
        assert [one.error for one in writer.save_all(rows, transaction=transaction)] == [None, None]
        for row in rows:
            text = bob.parse.get("Guarded", str(row.object_id))["body"]
            assert bob._sealer.readers(text, [bob.user_id]).current == {bob.user_id}


def test_a_writer_who_does_not_ask_again_is_refused(
    server: DevServer, bob: UserClient, alice: UserClient
) -> None:
    """Code 9013 for a new value and for a share with the old key; none for what only stays."""
    row = Guarded(owner_id=alice.user_id, reader_ids=[], body="for the old key")
    row.acl.allow_read(bob.user_id)
    alice.save(row)
    plain = alice.parse.get("Guarded", str(row.object_id))["body"]
    bob.e3kit.rotate_private_key()
    fresh = Guarded(owner_id=alice.user_id, reader_ids=[], body="anew")
    acl = {who: {"read": True, "write": True} for who in (alice.user_id, bob.user_id)}
    columns = {"ownerId": alice.user_id, "readerIds": [], "ACL": acl}
    with pytest.raises(GuardRefusedError) as caught:
        alice.parse.create("Guarded", {**columns, "body": plain})
    assert _code(caught) == 9013
    alice.parse.update("Guarded", str(row.object_id), {"body": plain})
    assert alice.save(fresh).object_id
    assert bob.get(Guarded, str(row.object_id)).body == "for the old key"


def test_what_a_deleted_user_wrote_is_read_and_nobody_writes_for_them(
    server: DevServer, bob: UserClient
) -> None:
    """On the real server: a machine that never saw the user verifies with the last cards."""
    client = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
    ann = client.sign_up("ann", "a password")
    ann.register()
    row = Guarded(owner_id=ann.user_id, reader_ids=[], body="still here")
    row.acl.allow_read(bob.user_id)
    ann.save(row)
    ann.parse.delete("_User", ann.user_id)
    assert bob.get(Guarded, str(row.object_id)).body == "still here"
    mine = Guarded(owner_id=bob.user_id, reader_ids=[], body="for nobody")
    mine.acl.allow_read(ann.user_id)
    with pytest.raises(RecipientsNotRegisteredError, match="was deleted"):
        bob.save(mine)
    master = _master(server)
    asked = {"userId": ann.user_id}
    assert master.call_function("encrypted-parse-erase-cards", asked) == {"erased": 2}
    with pytest.raises(PermissionDeniedError):
        bob.parse.call_function("encrypted-parse-erase-cards", asked)
    other = EncryptedClient.from_env(server.environment(), keystore=bob.e3kit._keystore)
    again = other.log_in("bob", "a password", expect_user_id=bob.user_id).get(
        Guarded, str(row.object_id)
    )
    assert "was deleted" in again.locked["body"]
