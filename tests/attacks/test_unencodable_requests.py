"""One request with a value that Parse Server cannot encode, against a class with a trigger.

The server takes such a value, encodes the object beside its trigger, and ends with everybody's
requests: nothing catches what that throws. Without a session, the REST key of any app is enough.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from servers.matrix import NEWEST, Server, app_settings, postgres, run_server

from encrypted_parse import EncryptedClient, File, MemoryKeystore, Model, field
from encrypted_parse.devserver import DevServer, dev_server
from encrypted_parse.errors import InvalidValueError
from encrypted_parse.testing import InMemoryApp

_COLUMN = {"form": "authEncrypt", "readers": None, "author": None}
GUARDED = ("Guarded", "_User", "_Installation", "_Role")
FIELDS = {"version": 1, "classes": {name: {"body": _COLUMN} for name in GUARDED}}


def _typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"__type": kind, **fields}


BROKEN: dict[str, Any] = {
    "Date": _typed("Date", iso="no date"),
    "Date without iso": _typed("Date"),
    "Date of a month 13": _typed("Date", iso="2026-13-45T00:00:00.000Z"),
    "Pointer without id": _typed("Pointer", className="Guarded"),
    "Pointer with an empty id": _typed("Pointer", className="Guarded", objectId=""),
    "Object without id": _typed("Object", className="Guarded"),
    "File without url": _typed("File", name="a.bin"),
    "File without name and url": _typed("File"),
}
OTHER: dict[str, Any] = {
    "Pointer without class": _typed("Pointer", objectId="x"),
    "File without name": _typed("File", url="http://127.0.0.1/x"),
    "GeoPoint out of range": _typed("GeoPoint", latitude=100, longitude=0),
    "GeoPoint without numbers": _typed("GeoPoint", latitude="a"),
    "Polygon of one point": _typed("Polygon", coordinates=[[0, 0]]),
    "Polygon of nothing": _typed("Polygon", coordinates="x"),
    "Relation without class": _typed("Relation"),
    "Bytes that are none": _typed("Bytes", base64="!!"),
    "unknown type": _typed("Secret", a=1),
    "type that is no text": {"__type": 5},
    "unknown operation": {"__op": "Explode"},
    "relation to nothing": {"__op": "AddRelation", "objects": [_typed("Pointer", className="A")]},
    "prototype": json.loads('{"__proto__": {"toJSON": 1}, "toJSON": 1}'),
}
PLAIN = {
    "alone": lambda value: value,
    "in an object": lambda value: {"a": {"b": value}},
    "in an array": lambda value: [[value]],
}
ODD = {
    "in an object of another class": lambda value: _typed(
        "Object", className="Guarded", objectId="x", a=value
    ),
    "beside an unknown type": lambda value: _typed("Secret", a=value),
    "Add": lambda value: {"__op": "Add", "objects": [value]},
    "AddUnique": lambda value: {"__op": "AddUnique", "objects": [value]},
    "Remove": lambda value: {"__op": "Remove", "objects": [value]},
}
NESTED = {**PLAIN, **ODD}


class Attacker:
    """Sends what it likes, with the keys of a client and no session."""

    def __init__(self, server: DevServer | Server) -> None:
        self._url = server.url
        self._headers = {
            "X-Parse-Application-Id": server.application_id,
            "X-Parse-REST-API-Key": str(server.rest_api_key),
            "Content-Type": "application/json",
        }
        self.row = self("POST", "classes/Guarded", {"number": 1}).json()["objectId"]
        self._columns = 0

    def __call__(self, method: str, path: str, body: Any, **headers: str) -> requests.Response:
        """Send one request."""
        content = body if isinstance(body, str) else json.dumps(body)
        sent = {**self._headers, **headers}
        return requests.request(
            method, f"{self._url}/{path}", data=content, headers=sent, timeout=10
        )

    def column(self) -> str:
        """Return a column that no request used before: columns keep their types."""
        self._columns += 1
        return f"column{self._columns}"

    def ways(self, value: Any) -> Iterator[requests.Response]:
        """Yield the answers to a creation and an update with *value*, encrypted column or not."""
        for more in ({}, {"body": "plaintext"}):
            body = {self.column(): value, **more}
            yield self("POST", "classes/Guarded", body)
            yield self("PUT", f"classes/Guarded/{self.row}", body)

    def assert_alive(self) -> None:
        """The server answers others."""
        assert self("GET", "health", {}).json() == {"status": "ok"}


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    """On a server with the guard, and LiveQuery for every class."""
    path = tmp_path_factory.mktemp("guard") / "encrypted-fields.json"
    path.write_text(json.dumps(FIELDS), "utf-8")
    with dev_server(encrypted_fields=path) as server:
        yield Attacker(server)


@pytest.mark.parametrize("what", BROKEN)
def test_a_value_that_cannot_be_encoded_is_refused(attacker: Attacker, what: str) -> None:
    """With 111, wherever it stands in the object, before any other rule; the server goes on."""
    for nested in PLAIN.values():
        for answer in attacker.ways(nested(BROKEN[what])):
            assert (answer.status_code, answer.json()["code"]) == (400, 111), answer.text
    for nested in ODD.values():
        for answer in attacker.ways(nested(BROKEN[what])):
            assert answer.status_code >= 400  # of some the server itself fails, before any trigger
    attacker.assert_alive()


@pytest.mark.parametrize("what", OTHER)
def test_other_values_end_nothing(attacker: Attacker, what: str) -> None:
    """Whatever the server makes of them, it goes on."""
    for nested in NESTED.values():
        for answer in attacker.ways(nested(OTHER[what])):
            assert answer.status_code < 600
    attacker.assert_alive()


@pytest.mark.parametrize("depth", [101, 3000, 5000])
def test_values_that_nest_deep_are_refused(attacker: Attacker, depth: int) -> None:
    """The server does not survive its own recursion over an array of some 3,000 levels."""
    answers = []
    for left, right in (("[", "]"), ('{"a":', "}")):
        body = f'{{"{attacker.column()}": {left * depth}1{right * depth}}}'
        answers.append(attacker("POST", "classes/Guarded", body))
    assert all(answer.status_code >= 400 for answer in answers)
    assert depth > 1000 or answers[0].json()["code"] == 111
    attacker.assert_alive()


def test_system_classes(attacker: Attacker) -> None:
    """Signing up, an installation and a role are guarded alike."""
    for value in BROKEN.values():
        name = secrets.token_hex(6)
        for path, fields in (
            ("users", {"username": name, "password": "a password"}),
            ("installations", {"deviceType": "ios", "installationId": name}),
            ("roles", {"name": name, "ACL": {"*": {"read": True}}}),
        ):
            answer = attacker("POST", path, {**fields, attacker.column(): value})
            assert answer.json()["code"] == 111, (path, answer.text)
    attacker.assert_alive()


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("nested", PLAIN)
def test_live_query_of_a_class_without_a_guard(attacker: Attacker, what: str, nested: str) -> None:
    """The local server tells LiveQuery of every class, `_Session` too; none ends it."""
    value = NESTED[nested](BROKEN[what])
    attacker("POST", "classes/Unguarded", {attacker.column(): value})
    name = f"user{attacker.column()}"
    session = attacker("POST", "users", {"username": name, "password": "p"}).json()
    headers = {"X-Parse-Session-Token": session["sessionToken"]}
    attacker("POST", "sessions", {attacker.column(): value}, **headers)
    attacker.assert_alive()


def test_users_are_looked_at_without_a_guard(dev_server: DevServer) -> None:
    """Some servers encode a user beside each of its requests, so none is stored that cannot be."""
    attacker = Attacker(dev_server)
    body = {"username": secrets.token_hex(6), "password": "a password"}
    answer = attacker("POST", "users", {**body, attacker.column(): BROKEN["Date"]})
    assert answer.json()["code"] == 111
    attacker.assert_alive()


class Guarded(Model):
    """A plain file in a class with a trigger and LiveQuery."""

    photo: File | None = None
    photos: list[File] = field(factory=list)


def test_our_own_client(dev_server: DevServer) -> None:
    """It knows a stored file by its name, and sends what can be encoded all the same."""
    client = EncryptedClient.from_env(dev_server.environment(), keystore=MemoryKeystore())
    user = client.sign_up(secrets.token_hex(6), "a password")
    name = user.parse.upload_file("a.bin", b"content", "application/octet-stream")
    saved = user.save(Guarded(photo=File(name), photos=[File(name)]))
    fetched = user.get(Guarded, str(saved.object_id))
    assert fetched.photo == File(name)
    assert fetched.photo.url is not None
    assert requests.get(fetched.photos[0].url or "", timeout=10).content == b"content"
    user.save_all([Guarded(photo=File(name))])
    fetched.photo = File(name)
    user.save(fetched)
    assert requests.get(f"{dev_server.url}/health", timeout=10).json() == {"status": "ok"}


UNSENT = {name: value for name, value in BROKEN.items() if name != "File without url"}


@pytest.mark.parametrize("what", UNSENT)
@pytest.mark.parametrize("nested", NESTED)
def test_our_plain_client_sends_none_of_them(what: str, nested: str) -> None:
    """`UserClient.parse`, below models, which knows no guard and no class: whatever it is asked."""
    app = InMemoryApp()
    parse = app.make_user(registered=False).parse
    sent = len(app.requests)
    value = NESTED[nested](UNSENT[what])
    for send in (
        lambda: parse.create("Unguarded", {"x": value}),
        lambda: parse.update("Unguarded", "x1", {"x": value}),
        lambda: parse.call_function("anything", {"x": value}),
        lambda: parse.sign_up("eve", "a password", x=value),
    ):
        with pytest.raises(InvalidValueError):
            send()
    assert len(app.requests) == sent


def test_our_plain_client_bounds_what_it_sends() -> None:
    """Deeper than the server's guard takes it is our error, and never one of the interpreter's."""
    parse = InMemoryApp().make_user(registered=False).parse
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidValueError, match="nested"):
        parse.create("Unguarded", {"x": value})


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["5.6", "6.5", "7.5", NEWEST])
def test_every_version(dev_server: DevServer, version: str) -> None:
    """Each value in each place, on every version that Back4App offers and on the newest."""
    with postgres(dev_server) as uri, run_server(version, uri, app_settings(FIELDS)) as server:
        old = Attacker(server)
        for value in BROKEN.values():
            for nested in NESTED.values():
                for answer in old.ways(nested(value)):
                    assert answer.status_code >= 400
        for value in OTHER.values():
            for answer in old.ways(value):
                assert answer.status_code < 600
        old.assert_alive()
