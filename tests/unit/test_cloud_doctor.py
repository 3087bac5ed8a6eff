"""What `cloud doctor` finds, on a server that is healthy but for one thing."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from encrypted_parse import Model, acl_readers, encrypted
from encrypted_parse.deploy import Finding, Level, examine, repair
from encrypted_parse.deploy.doctor import CLOSED_CLASSES
from encrypted_parse.errors import MalformedResponseError
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.tools import export_guard_schema
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
SERVICES = "https://app.example/virgil"


class Letter(Model, parse_class="DoctorLetter"):
    """An object whose two encrypted columns are to be guarded."""

    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")
    subject: str = encrypted(to=acl_readers(), author="sender_id")


FIELDS = export_guard_schema([Letter])
STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "node": "19.9.0",
    "now": "2026-11-24T12:00:01.000Z",
    "brainKey": True,
    "servicePublicKey": "pinned",
    "guarded": {"DoctorLetter": {"body": "enforce", "subject": "enforce"}},
}
CLOSED: dict[str, Any] = {one: {} for one in ("find", "get", "count", "create", "update", "delete")}
SCHEMAS: list[dict[str, Any]] = [
    *(
        {"className": name, "classLevelPermissions": {**CLOSED, "addField": {}}}
        for name in CLOSED_CLASSES
    ),
    {"className": "DoctorLetter", "fields": {"body": {"type": "String"}}},
]
Answers = dict[str, tuple[int, Any]]
HEALTHY: Answers = {
    "serverInfo": (200, {"parseServerVersion": "7.5.2"}),
    "functions/virgil-jwt": (400, {"code": 209, "error": "log in first"}),
    "functions/role-members": (400, {"code": 209, "error": "log in first"}),
    "functions/encrypted-parse-status": (200, {"result": STATUS}),
    "functions/encrypted-parse-features": (
        200,
        {"result": {"ifMatch": True, "guarded": {"DoctorLetter": ["ACL", "body"]}}},
    ),
    "schemas": (200, {"results": SCHEMAS}),
    f"virgil/card/v5/{'0' * 64}": (401, {"code": 20300, "message": "no token"}),
}


def look(changes: Answers | None = None, **changed: Any) -> dict[str, Finding]:
    """Examine the healthy server with changes; returns the findings by what they are about."""
    answers = {**HEALTHY, **(changes or {})}

    def answer(request: HttpRequest) -> HttpResponse:
        path = request.url.removeprefix("https://app.example/").removeprefix("parse/")
        status, body = answers[path]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return HttpResponse(status, {}, content)

    transport = FakeTransport(answer)
    app = ParseApp("https://app.example/parse", "app", master_key="master")
    settings = {"directory_url": SERVICES, "service_public_key": "pinned", "fields": FIELDS}
    found = examine(ParseClient(app, transport), transport, **(settings | changed), now=lambda: NOW)
    assert all(request.method in {"GET", "POST"} for request in transport.requests)
    written = [one for one in transport.requests if one.method == "POST"]
    assert all("/functions/" in one.url for one in written)
    return {one.what: one for one in found}


def status(**changes: Any) -> Answers:
    """Return a status that says something else."""
    return {"functions/encrypted-parse-status": (200, {"result": {**STATUS, **changes}})}


def test_a_healthy_server() -> None:
    """Everything is looked at, and everything is right."""
    found = look()
    assert {one.level for one in found.values()} == {Level.OK}
    assert set(found) == {
        "Parse Server",
        "function virgil-jwt",
        "function role-members",
        "companion",
        "Node",
        "clock",
        "stale saves",
        "service key",
        "backups by password",
        "DoctorLetter.body",
        "DoctorLetter.subject",
        "services",
        *CLOSED_CLASSES,
    }


NO_FUNCTION = (400, {"code": 141, "error": "Invalid function"})
OPEN = [{"className": "VirgilKeyknox", "classLevelPermissions": {**CLOSED, "find": {"*": True}}}]
POINTERS = [{"className": "VirgilCard", "classLevelPermissions": {**CLOSED, "addField": {},
             "readUserFields": ["owner"]}}]  # fmt: skip
DEFAULT = [{"className": "DoctorLetter",
            "fields": {"body": {"type": "String", "defaultValue": "hello"}}}]  # fmt: skip
NUMBER = [{"className": "DoctorLetter", "fields": {"body": {"type": "Number"}}}]
ADDING = [{"className": "DoctorLetter", "classLevelPermissions": {"addField": {"*": True}}}]


@pytest.mark.parametrize(
    ("changes", "what", "level", "says"),
    [
        ({"serverInfo": (403, {"error": "unauthorized"})}, "Parse Server", "failed", "refused"),
        ({"serverInfo": (200, b"<html>")}, "Parse Server", "failed", "no JSON"),
        ({"serverInfo": (200, [])}, "Parse Server", "failed", ""),
        ({"serverInfo": (200, {"parseServerVersion": "4.10.7"})}, "Parse Server", "failed", "old"),
        ({"serverInfo": (200, {"parseServerVersion": "10.0"})}, "Parse Server", "warning", "newer"),
        ({"serverInfo": (200, {})}, "Parse Server", "warning", "version"),
        ({"functions/virgil-jwt": NO_FUNCTION}, "function virgil-jwt", "failed", "Invalid"),
        ({"functions/role-members": (200, {"result": {}})}, "function role-members", "failed", ""),
        ({"functions/encrypted-parse-status": NO_FUNCTION}, "companion", "failed", "Invalid"),
        ({"functions/encrypted-parse-status": (200, {"result": 1})}, "companion", "failed", ""),
        ({"functions/encrypted-parse-features": NO_FUNCTION}, "stale saves", "warning", "Letter"),
        (
            {"functions/encrypted-parse-features": (200, {"result": 1})},
            "stale saves",
            "warning",
            "",
        ),
        ({"functions/encrypted-parse-features": (500, {})}, "stale saves", "failed", "500"),
        (status(node="16.20.0"), "Node", "failed", "16"),
        (status(node=None), "Node", "failed", ""),
        (status(now="2026-11-24T12:01:00.000Z"), "clock", "warning", "60 s"),
        (status(now="2026-11-24T13:00:00.000Z"), "clock", "failed", "3600 s"),
        (status(now=5), "clock", "warning", "time"),
        (status(now="2026-11-24T12:00:00"), "clock", "warning", "time"),
        (status(servicePublicKey="other"), "service key", "failed", "another"),
        (status(brainKey=False), "backups by password", "warning", "off"),
        (status(guarded={}), "DoctorLetter.body", "failed", "plaintext is accepted"),
        (
            status(guarded={"DoctorLetter": {"body": "enforce", "subject": "report"}}),
            "DoctorLetter.subject",
            "failed",
            "report",
        ),
        (
            {f"virgil/card/v5/{'0' * 64}": (404, b"<html>")},
            "services",
            "failed",
            "no JSON",
        ),
        ({f"virgil/card/v5/{'0' * 64}": (200, {})}, "services", "failed", "something else"),
        ({"schemas": (200, {"results": OPEN})}, "VirgilKeyknox", "failed", "clients may find"),
        ({"schemas": (200, {"results": POINTERS})}, "VirgilCard", "failed", "readUserFields"),
        ({"schemas": (200, {"results": []})}, "VirgilCard", "failed", "a client can make it"),
        ({"schemas": (200, {"results": DEFAULT})}, "DoctorLetter.body", "failed", "default value"),
        ({"schemas": (200, {"results": NUMBER})}, "DoctorLetter.body", "failed", "Number"),
        ({"schemas": (200, {"results": ADDING})}, "DoctorLetter", "warning", "add columns"),
        ({"schemas": (403, {"error": "unauthorized"})}, "classes", "failed", "cannot be read"),
    ],
)
def test_one_thing_is_wrong(changes: Answers, what: str, level: str, says: str) -> None:
    """It is named, and whatever failed comes with a next step where there is one."""
    finding = look(changes)[what]
    assert finding.level.value == level
    assert says in finding.text


@pytest.mark.parametrize(
    ("changed", "changes", "what", "says"),
    [
        ({"directory_url": None}, {}, "services", "VIRGIL_API_URL"),
        ({"service_public_key": None}, {}, "service key", "pin pinned"),
        ({"fields": None}, {}, "guard", "2 columns"),
        ({"fields": None}, status(guarded={}), "guard", "no column"),
    ],
)
def test_settings_that_are_missing(
    changed: dict[str, Any], changes: Answers, what: str, says: str
) -> None:
    """What was not told is asked for, or looked at alone."""
    assert says in look(changes, **changed)[what].text


def test_a_server_that_speaks_to_the_terminal() -> None:
    """Its text is printed without escapes; odd shapes are findings, not tracebacks."""
    found = look(status(version="\x1b[2J\x07", node="20\x1b]0;x"))
    assert all(one.text.isprintable() and one.what.isprintable() for one in found.values())
    odd = [{"className": "VirgilCard", "classLevelPermissions": []}, {"className": ["x"]}]
    letter = {"className": "DoctorLetter", "fields": [], "classLevelPermissions": {"addField": 1}}
    found = look({"schemas": (200, {"results": [*odd, letter]})})
    assert found["VirgilCard"].level is Level.FAILED
    assert look({"schemas": (200, {"results": 1})})["classes"].level is Level.FAILED


def test_an_unreachable_server() -> None:
    """One finding, not fourteen."""
    found = look({"serverInfo": (403, {"error": "unauthorized"})})
    assert list(found) == ["Parse Server"]
    assert found["Parse Server"].hint is not None


def repaired_by(*answers: Any) -> dict[str, int]:
    """Repair a server that gives these answers in turn, and the last one for ever."""
    rest = list(answers)

    def answer(request: HttpRequest) -> HttpResponse:
        assert request.url.endswith("/functions/encrypted-parse-repair")
        result = rest.pop(0) if len(rest) > 1 else rest[0]
        return HttpResponse(200, {}, json.dumps({"result": result}).encode())

    app = ParseApp("https://app.example/parse", "app", master_key="master")
    return dict(repair(ParseClient(app, FakeTransport(answer))))


def test_a_repair_goes_on_until_nothing_is_left() -> None:
    """It adds up what each call did, and takes no other answer for the repair's."""
    nothing = {"repaired": {"VirgilCard": 0, "VirgilKeyknox": 0}}
    some = {"repaired": {"VirgilCard": 500, "VirgilKeyknox": 0}}
    assert repaired_by(nothing) == {}
    assert repaired_by(some, some, {"repaired": {"VirgilCard": 3}}, nothing) == {"VirgilCard": 1003}
    for other in (None, {}, {"repaired": 5}, {"repaired": {"VirgilCard": "all"}}):
        with pytest.raises(MalformedResponseError):
            repaired_by(other)
    with pytest.raises(MalformedResponseError, match="come to an end"):
        repaired_by(some)
