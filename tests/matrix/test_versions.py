"""The cloud code on every version of Parse Server that Back4App offers, and on the newest."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from servers.matrix import NEWEST, Server, app_settings, mongodb, postgres, run_server
from tokens import card_id, raw_card

from encrypted_parse import (
    EncryptedClient,
    MemoryKeystore,
    Model,
    UserClient,
    acl_readers,
    encrypted,
)
from encrypted_parse.devserver import DevServer
from encrypted_parse.errors import AlreadyRegisteredError, GuardRefusedError, NotARecipientError
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.tools import export_guard_schema, read_guard_report
from encrypted_parse.transport import RequestsTransport, RetryingTransport

pytestmark = pytest.mark.matrix
_NUMBERS = itertools.count()
RACERS = 8
VECTORS = Path(__file__).parents[1] / "vectors" / "virgil-services.json"
BLINDED = json.loads(VECTORS.read_text("utf-8"))["brainkey"]["cases"][0]["blinded"]


class Letter(Model):
    """An object with one encrypted field, guarded."""

    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


MATRIX = [
    ("5.6", "postgres"),
    ("6.5", "postgres"),
    ("7.5", "postgres"),
    ("5.6", "mongodb"),
    ("7.5", "mongodb"),
    ("9.10", "mongodb"),
]


@pytest.fixture(scope="module", params=MATRIX, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each version and database in turn."""
    version, kind = request.param
    if kind == "mongodb":
        database = mongodb()
    else:
        local: DevServer = request.getfixturevalue("dev_server")
        database = postgres(local)
    fields = export_guard_schema([Letter], {"readers": "report", "author": "enforce"})
    with database as uri, run_server(version, uri, app_settings(fields)) as running:
        yield running


@pytest.fixture
def client(server: Server) -> EncryptedClient:
    """Connect to it."""
    return EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())


def _user(client: EncryptedClient, *, registered: bool = True) -> UserClient:
    user = client.sign_up(f"matrix{next(_NUMBERS)}", "a password")
    if registered:
        user.register()
    return user


def _call(server: Server, user: UserClient, method: str, path: str, body: Any = None) -> Any:
    token = user.parse.call_function("virgil-jwt")["token"]
    headers = {"Authorization": f"Virgil {token}"}
    url = f"{server.directory_url}/{path}"
    return requests.request(method, url, json=body, headers=headers, timeout=30)


def _function(server: Server, params: Any, session: str | None = None) -> Any:
    headers = {
        "X-Parse-Application-Id": server.application_id,
        "X-Parse-REST-API-Key": server.rest_api_key,
    }
    if session is not None:
        headers["X-Parse-Session-Token"] = session
    url = f"{server.url}/functions/virgil-jwt"
    return requests.post(url, json=params, headers=headers, timeout=30).json()


def test_the_main_job(client: EncryptedClient) -> None:
    """Saved encrypted, read by the recipient, closed to others, found by queries."""
    alice, bob, carol = (_user(client) for _ in range(3))
    letter = Letter(sender_id=alice.user_id, body="hello")
    letter.acl.allow_read(bob.user_id)
    letter.acl.allow_read(carol.user_id)
    alice.save(letter)
    assert "hello" not in str(alice.parse.get("Letter", letter.object_id or ""))
    letter.acl.revoke(carol.user_id)
    letter.body = "hello again"
    alice.save(letter)
    [found] = bob.query(Letter).filter(sender_id=alice.user_id).all()
    assert found.body == "hello again"
    dave = _user(client)
    row = alice.parse.get("Letter", letter.object_id or "")
    other = dave.e3kit
    with pytest.raises(NotARecipientError):
        other.open(base64.b64decode(row["body"]), other.author_keys(alice.user_id))


def test_tokens(server: Server, client: EncryptedClient) -> None:
    """By the request's session, by a parameter, and never without either."""
    user = _user(client, registered=False)
    session = user.session_token
    assert _function(server, {}, session)["result"]["token"]
    assert _function(server, {"sessionToken": session})["result"]["token"]
    for params in ({}, {"sessionToken": "r:0"}, {"sessionToken": {"$ne": None}}):
        assert _function(server, params)["code"] == 209


def test_racing_registrations(server: Server, client: EncryptedClient) -> None:
    """Of eight devices exactly one registers."""
    name = f"racer{next(_NUMBERS)}"
    session = client.sign_up(name, "a password").session_token

    def register(_: int) -> bool:
        environment, keystore = server.environment(), MemoryKeystore()
        device = EncryptedClient.from_env(environment, keystore=keystore).become(session)
        try:
            device.register()
        except AlreadyRegisteredError:
            return False
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        assert sum(pool.map(register, range(RACERS))) == 1


def test_racing_successors_and_revocations(server: Server, client: EncryptedClient) -> None:
    """Of eight successors and a revocation exactly one wins."""
    user = _user(client, registered=False)
    root = raw_card(user.user_id)
    assert _call(server, user, "POST", "card/v5", root).status_code == 201

    def race(number: int) -> int:
        if number == 0:
            path = f"card/v5/actions/revoke/{card_id(root)}"
            return int(_call(server, user, "POST", path, {}).status_code)
        successor = raw_card(user.user_id, previous=card_id(root))
        return int(_call(server, user, "POST", "card/v5", successor).status_code)

    with ThreadPoolExecutor(RACERS) as pool:
        statuses = list(pool.map(race, range(RACERS + 1)))
    assert sum(status < 300 for status in statuses) == 1
    assert all(status < 500 for status in statuses)


def test_keyknox(server: Server, client: EncryptedClient) -> None:
    """Records, recipients, listings, resets; of racing pushes exactly one wins."""
    alice, bob = _user(client, registered=False), _user(client, registered=False)
    place = {"root": "r", "path": "p", "key": "k"}

    def push(number: int) -> int:
        value = base64.b64encode(b"%d" % number).decode()
        body = {**place, "meta": value, "value": value, "identities": [alice.user_id, bob.user_id]}
        return int(_call(server, alice, "POST", "keyknox/v2/push", body).status_code)

    with ThreadPoolExecutor(RACERS) as pool:
        assert sorted(pool.map(push, range(RACERS))) == [200] + [400] * (RACERS - 1)
    owned = {**place, "identity": alice.user_id}
    pulled = _call(server, bob, "POST", "keyknox/v2/pull", owned).json()
    assert set(pulled["identities"]) == {alice.user_id, bob.user_id}
    listing = {"root": "r", "path": "p", "identity": alice.user_id}
    assert _call(server, bob, "POST", "keyknox/v2/keys", listing).json() == ["k"]
    _call(server, alice, "POST", "keyknox/v2/reset", {**place, "identity": bob.user_id})
    assert _call(server, bob, "POST", "keyknox/v2/keys", listing).json() == []
    copy = {"meta": "AAAA", "value": "AAAA"}
    first = _call(server, alice, "PUT", "keyknox/v1", copy)
    assert first.json() == {**copy, "version": "1.0"}
    assert _call(server, alice, "PUT", "keyknox/v1", copy).json()["code"] == 50010
    assert _call(server, alice, "POST", "keyknox/v1/reset").json()["version"] == "2.0"
    assert _call(server, alice, "GET", "keyknox/v1").json()["value"] == ""


def test_brainkey(server: Server, client: EncryptedClient) -> None:
    """A seed for a point, and none for anything else."""
    for point, outcome in ((BLINDED, 200), (BLINDED[:-4], 400)):
        user = _user(client, registered=False)
        answer = _call(server, user, "POST", "pythia/v1/brainkey", {"blinded_password": point})
        assert answer.status_code == outcome
    assert answer.json()["code"] == 60001


def test_the_guard(server: Server, client: EncryptedClient) -> None:
    """Plaintext and operations are refused, for the master key too; reports are counted."""
    alice, bob = _user(client), _user(client)
    app = ParseApp(
        server.url, server.application_id, server.rest_api_key, master_key=server.master_key
    )
    master = ParseClient(app, RetryingTransport(RequestsTransport()))
    for parse in (alice.parse, master):
        for value in ("plaintext", ""):
            with pytest.raises(GuardRefusedError) as caught:
                parse.create("Letter", {"body": value, "senderId": alice.user_id})
            assert caught.value.code == 9001
    letter = alice.save(Letter(sender_id=alice.user_id, body="x"))
    with pytest.raises(GuardRefusedError):
        master.update("Letter", letter.object_id or "", {"body": "plaintext"})
    acl = {alice.user_id: {"read": True, "write": True}, bob.user_id: {"read": True}}
    for _ in range(2):
        master.update("Letter", letter.object_id or "", {"ACL": acl})
    counts = {count.problem: count.count for count in read_guard_report(master)}
    assert counts == {"readerLeftOut": 2}


def test_a_deleted_user(server: Server, client: EncryptedClient) -> None:
    """The card of a deleted user leaves the directory."""
    alice, bob = _user(client), _user(client)
    headers = {
        "X-Parse-Application-Id": server.application_id,
        "X-Parse-Master-Key": server.master_key,
    }
    url = f"{server.url}/users/{alice.user_id}"
    requests.delete(url, headers=headers, timeout=30).raise_for_status()
    body = {"identities": [alice.user_id]}
    assert _call(server, bob, "POST", "card/v5/actions/search", body).json() == []


@pytest.mark.parametrize("version", ["6.5", NEWEST])
@pytest.mark.parametrize("database", range(3))
def test_two_server_processes(dev_server: DevServer, version: str, database: int) -> None:
    """Two processes on one empty database, whose first requests also race to make the classes.

    Of racing registrations, and of racing pushes, exactly one wins.
    """
    settings = app_settings(export_guard_schema([Letter])) | {"prepare": False}
    with (
        postgres(dev_server) as uri,
        run_server(version, uri, settings) as first,
        run_server(version, uri, settings) as second,
    ):
        client = EncryptedClient.from_env(first.environment(), keystore=MemoryKeystore())
        user = _user(client, registered=False)
        servers = itertools.cycle((first, second))
        copy = {"meta": "AAAA", "value": "AAAA"}

        def publish(server: Server) -> int:
            return int(_call(server, user, "POST", "card/v5", raw_card(user.user_id)).status_code)

        def push(server: Server) -> int:
            return int(_call(server, user, "PUT", "keyknox/v1", copy).status_code)

        for write, success in ((publish, 201), (push, 200)):
            with ThreadPoolExecutor(RACERS) as pool:
                statuses = list(pool.map(write, itertools.islice(servers, RACERS)))
            assert sorted(statuses) == [success] + [400] * (RACERS - 1)
