"""Second target: what JSON, text and plaintexts become. Only our own errors may come out.

Rows and files, cards, tokens and backups come from a server, settings and codes from people; a
value's plaintext comes from an author who need not use our codecs. Each input goes to all of them.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import enum
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from encrypted_parse import (
    Embedded,
    EncryptedClient,
    EncryptedFile,
    File,
    GeoPoint,
    Model,
    Pointer,
    Polygon,
    acl_readers,
    encrypted,
    field,
    only_me,
)
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.backup.entries import read_entries, read_key
from encrypted_parse.backup.keyknox import KeyknoxClient, Place
from encrypted_parse.backup.recovery_code import RecoveryCode
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.brainkey import blind, deblind, key_from_material
from encrypted_parse.directory import DirectoryClient, ServiceClient, TokenProvider, new_card
from encrypted_parse.directory.cards import parse_card
from encrypted_parse.directory.chains import link_cards
from encrypted_parse.directory.tokens import Token
from encrypted_parse.errors import EncryptedParseError
from encrypted_parse.keystore import EnvironmentKeystore, records
from encrypted_parse.models.acl import ACL
from encrypted_parse.models.annotations import codec_for
from encrypted_parse.parse import BatchOperation, ParseApp, ParseClient
from encrypted_parse.parse.names import quote_object_id
from encrypted_parse.parse.types import check_json_value, date_from_json
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.testing.virgil import token
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse, RetryingTransport
from encrypted_parse.trust import SafetyNumber


class Colour(enum.Enum):
    """An enum of an app."""

    RED = "red"


class Inner(Embedded):
    """An embedded value."""

    a: str
    b: int | None = None
    c: list[float] | None = None


class Thing(Model, parse_class="FuzzThing"):
    """A field of each kind."""

    sender_id: str = ""
    body: str | None = encrypted(to=acl_readers(), author="sender_id", default=None)
    photo: EncryptedFile | None = encrypted(to=only_me(), default=None)
    inner: Inner | None = None
    number: int | None = None
    ratio: float | None = None
    when: dt.datetime | None = None
    anything: Any = field(default=0)
    tags: list[str] | None = None
    things: dict[str, Any] | None = None
    place: GeoPoint | None = None
    area: Polygon | None = None
    pointer: Pointer[Any] | None = None
    amount: decimal.Decimal | None = None
    day: dt.date | None = None
    unique: uuid.UUID | None = None
    file: File | None = None
    colour: Colour | None = None


TYPES: tuple[Any, ...] = (
    *(str, int, float, bool, bytes, dt.datetime, dt.date, decimal.Decimal, uuid.UUID, Any),
    *(list[str], dict[str, Any], list[dict[str, list[int]]], list[Inner], Inner, Colour),
    *(GeoPoint, Polygon, Pointer[Any], File, EncryptedFile),
)
CODECS = [codec_for(annotation, "fuzz")[0] for annotation in TYPES]
KEY = PrivateKey(vc.KeyType.ED25519, bytes(range(32)))
APP = InMemoryApp()
USER = APP.make_user("alice")
_, UNBLINDING = blind("a password", 12345)
CODE = USER.e3kit.create_recovery_code()
[PUSHED] = [json.loads(sent.body or b"") for sent in APP.requests if "keyknox/v2/push" in sent.url]
NUMBER = SafetyNumber("0" * 60)


def one_input(data: bytes) -> None:
    """Hand *data* to everything that reads what a server, a person or an author wrote.

    Raises:
        AssertionError: What was read does not say the same when it is written and read again.
    """
    for parse in PARSERS:
        _guarded(parse, data)
    APP.requests.clear()  # or hours of fuzzing would fill the memory


def _guarded(parse: Callable[[Any], object], value: object) -> None:
    """Let one parser refuse, so that the next one gets its turn."""
    try:
        parse(value)
    except EncryptedParseError:
        return


# --- plaintexts -----------------------------------------------------------------------------


def _plaintext(data: bytes) -> None:
    for codec in CODECS:
        try:
            value = codec.from_plaintext(data)
            again = codec.to_plaintext(codec.check(value))
        except EncryptedParseError:
            continue
        assert codec.from_plaintext(again) == value, codec.name


def _archive(data: bytes) -> None:
    """What the service keeps in the key archive's place, for whoever has only the code."""
    text = base64.b64encode(data).decode()
    record = HttpResponse(200, {}, json.dumps({"meta": "AAAA", "value": text}).encode())
    APP.before = lambda request: record if "keyknox" in request.url else None
    try:
        USER.e3kit.restore_with_recovery_code(CODE)
    finally:
        APP.before = lambda _: None


def _entries(data: bytes) -> None:
    for entry in read_entries(data).values():
        read_key(entry)


def _brainkey(data: bytes) -> None:
    key_from_material(deblind(data, UNBLINDING))


def _record(data: bytes) -> None:
    """A keystore's record; its callers know where it lay, and turn the ValueError into an error."""
    try:
        stored = records.from_bytes("alice", data)
    except ValueError:
        return
    assert records.from_bytes("alice", records.to_bytes(stored)) == stored


# --- answers of servers ---------------------------------------------------------------------

_answer = HttpResponse(200)


def _send(_: HttpRequest) -> HttpResponse:
    """Answer whatever is asked with the input."""
    return _answer


class Forgetful(FakeTransport):
    """A fake that keeps no list of what was sent, which would grow for hours."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport.send`."""
        return self._handler(request)


TRANSPORT = Forgetful(_send)
RETRYING = RetryingTransport(TRANSPORT, sleep=lambda _: None)
PARSE = ParseClient(ParseApp("https://app.invalid/parse", "app"), TRANSPORT)
TOKENS = TokenProvider(lambda: token("alice"))
SERVICE = ServiceClient("https://service.invalid", TRANSPORT, TOKENS)
DIRECTORY = DirectoryClient(
    "https://service.invalid", TRANSPORT, TOKENS, service_key=APP.service.key.public_key
)
KEYKNOX = KeyknoxClient(SERVICE)
PLACE = Place("root", "path", "key")

CALLS: tuple[Callable[[], object], ...] = (
    lambda: PARSE.get("Thing", "a"),
    lambda: PARSE.find("Thing"),
    lambda: PARSE.count("Thing"),
    lambda: PARSE.create("Thing", {}),
    lambda: PARSE.update("Thing", "a", {}),
    lambda: PARSE.delete("Thing", "a"),
    lambda: PARSE.log_in("name", "password"),
    lambda: PARSE.call_function("name"),
    lambda: PARSE.upload_file("name", b"content", "text/plain"),
    lambda: PARSE.transaction([BatchOperation.create("Thing", {})] * 2),
    lambda: [_raised(one.error) for one in PARSE.batch([BatchOperation.create("Thing", {})] * 2)],
    lambda: DIRECTORY.search(["alice"]),
    lambda: DIRECTORY.get_card("0" * 64),
    lambda: DIRECTORY.publish(new_card("alice", KEY, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))),
    KEYKNOX.pull,
    lambda: KEYKNOX.pull_record(PLACE, "alice"),
    lambda: KEYKNOX.list_keys("root", "path", "alice"),
    lambda: RETRYING.send(HttpRequest("GET", "https://app.invalid")),
)


def _raised(error: EncryptedParseError | None) -> None:
    if error is not None:
        str(error)


def _answers(data: bytes) -> None:
    """Let every call of a server be answered with the input, as success and as failure."""
    global _answer  # noqa: PLW0603 - what the transport gives
    text = data[:40].decode("latin-1")
    headers = {"retry-after": text, "virgil-keyknox-hash": text}
    for status in (200, 404, 429, 500):
        _answer = HttpResponse(status, headers, data)
        for call in CALLS:
            _guarded(lambda _, call=call: call(), None)


# --- JSON -----------------------------------------------------------------------------------


def _json(data: bytes) -> None:
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return
    for read in FROM_JSON:
        _guarded(read, value)


def _row(value: object) -> None:
    """Read a row, then do with the object what an app does: show it, explain it."""
    if not isinstance(value, dict):
        return
    [thing] = USER._store.load(Thing, [value], None, ())
    repr(thing)
    repr(thing.acl)
    str(USER.explain(thing))


def _fields(value: object) -> None:
    try:
        records.from_fields("alice", value if isinstance(value, dict) else {})
    except ValueError:
        return


def _card(value: object) -> None:
    card = parse_card(value, service_key=None)
    assert parse_card(dict(card.raw), service_key=None) == card
    link_cards([card])


def _cards(value: object) -> None:
    if isinstance(value, list):
        link_cards([parse_card(raw, service_key=None) for raw in value])


def _acl(value: object) -> None:
    acl = ACL.from_json(value)
    assert ACL.from_json(acl.to_json()).to_json() == acl.to_json()


FROM_JSON: tuple[Callable[[Any], object], ...] = (
    _row,
    _fields,
    _card,
    _cards,
    _acl,
    lambda value: parse_card(value, service_key=APP.service.key.public_key),
    Token.parse,
    check_json_value,
    date_from_json,
)


def _snapshot(data: bytes) -> None:
    """A card whose snapshot is the input, signed by nobody."""
    signature = base64.b64encode(data[:83]).decode()
    raw = {
        "content_snapshot": base64.b64encode(data).decode(),
        "signatures": [{"signer": "self", "signature": signature}],
    }
    parse_card(raw, service_key=None)


# --- text that people type, and settings ------------------------------------------------------


def _text(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for read in FROM_TEXT:
        _guarded(read, text)


def _code(text: str) -> None:
    code = RecoveryCode.parse(text)
    assert RecoveryCode.parse(code.text).key.public_key == code.key.public_key


def _settings(text: str) -> None:
    """Every variable that is no path, in turn."""
    good = {
        "PARSE_SERVER_URL": "https://app.invalid/parse",
        "PARSE_APPLICATION_ID": "app",
        "PARSE_REST_API_KEY": "key",
        "VIRGIL_API_URL": "https://service.invalid",
        "VIRGIL_SERVICE_PUBLIC_KEY": KEY.public_key.to_base64(),
        "ENCRYPTED_PARSE_TRUST_POLICY": "strict",
        "ENCRYPTED_PARSE_PRIVATE_KEYS": f"alice:{KEY.to_base64()}",
    }
    for name in good:
        _guarded(EncryptedClient.from_env, {**good, name: text})


FROM_TEXT: tuple[Callable[[str], object], ...] = (
    _code,
    _settings,
    EnvironmentKeystore,
    quote_object_id,
    Token.parse,
    NUMBER.compare,
)

PARSERS: tuple[Callable[[bytes], None], ...] = (
    _plaintext,
    _archive,
    _entries,
    _brainkey,
    _record,
    _answers,
    _json,
    _snapshot,
    _text,
)


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield one genuine input for each reader."""
    date = "2026-01-01T00:00:00.000Z"
    row = {
        "objectId": "a",
        "createdAt": date,
        "updatedAt": date,
        "senderId": "user1",
        "ACL": {"a": {"read": True}, "role:b": {"write": True}},
        "number": 1,
        "ratio": 1.5,
        "when": {"__type": "Date", "iso": date},
        "place": {"__type": "GeoPoint", "latitude": 1, "longitude": 2},
        "area": {"__type": "Polygon", "coordinates": [[0, 0], [1, 1], [0, 1]]},
        "pointer": {"__type": "Pointer", "className": "A", "objectId": "b"},
        "things": {"a": [1]},
        "inner": {"a": "x", "b": 1, "c": [1.0]},
        "amount": "1.5",
        "day": "2026-01-01",
        "unique": "12345678123456781234567812345678",
        "file": {"__type": "File", "name": "x"},
        "colour": "red",
        "tags": ["a"],
        "anything": None,
        "photo": "MII" + "x" * 60,
        "body": "MII" + "x" * 60,
    }
    card = new_card("alice", KEY, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    private = KEY.to_base64()
    documents: dict[str, Any] = {
        "row": row,
        "rows": {"results": [row], "count": 1},
        "card": card,
        "cards": [card],
        "signed-card": APP.service.countersign(card),
        "entries": {"alice": {"data": private, "name": "alice", "creation_date": 1}},
        "bare-entry": {"data": private, "name": "alice"},
        "keystore-record": {"private_key": private, "old_keys": [private], "next_key": None},
        "encrypted-file": {
            "version": 1,
            "name": "a",
            "type": "text/plain",
            "size": 1,
            "author": "alice",
            "sha256": "00" * 32,
            "key": private,
            "parts": [["0" * 32 + ".bin", 1]],
        },
        "keyknox": {"meta": "AAAA", "value": "AAAA", "identities": ["alice"], "version": "1"},
        "keyknox-keys": ["one", "two"],
        "error": {"code": 141, "error": "failed"},
        "error-of-the-service": {"code": 50010, "message": "changed"},
        "batch": [{"success": {"objectId": "a", "createdAt": date}}, {"error": {"code": 1}}],
        "session": {"objectId": "a", "username": "b", "sessionToken": "r:c"},
        "created": {"objectId": "a", "createdAt": date},
        "file-stored": {"name": "x", "url": "https://app.invalid/files/x"},
        "function": {"result": {"token": "a.b.c"}},
        "bytes": {"__type": "Bytes", "base64": "AAAA"},
        "date": {"__type": "Date", "iso": date},
        "list": [1, -1.5, "x", None, True, {}],
    }
    for name, document in documents.items():
        yield name, json.dumps(document).encode()
    yield "archive", base64.b64decode(PUSHED["value"])
    yield "token", token("alice").encode()
    yield "recovery-code", RecoveryCode(bytes(20)).text.encode()
    yield "environment", f"alice:{private} bob:{private},{private}".encode()
    yield "address", b"https://app.example/parse"
    yield "safety-number", " ".join(["00000"] * 12).encode()
    yield "amount", b"1E+999999"
    yield "brainkey-answer", bytes.fromhex("00" * 384)
