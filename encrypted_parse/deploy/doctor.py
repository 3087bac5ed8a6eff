"""`cloud doctor`: is the companion running, complete, and as closed as it has to be?

Reads only. What the server says about itself is the operator's to read; clients trust none of it.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ConfigurationError,
    EncryptedParseError,
    MalformedResponseError,
    ParseServerError,
    PermissionDeniedError,
    TransportError,
)
from encrypted_parse.parse import ParseClient
from encrypted_parse.transport import Endpoint, HttpRequest, Repeat, Transport, check_url, exchange

OLDEST, NEWEST = (5, 6), (9, 10)
OLDEST_NODE = 18
SKEW_SECONDS = 30
MAX_SKEW_SECONDS = 300
CLOSED_CLASSES = (
    "EncryptedParseForeign",
    "EncryptedParseReport",
    "VirgilBrainKey",
    "VirgilCard",
    "VirgilKeyknox",
)
_STATUS = "encrypted-parse-status"
_FUNCTIONS = ("virgil-jwt", "role-members")
_NO_SESSION = 209
_UNAUTHORIZED = 401
_DEPLOY = "`encrypted-parse cloud deploy` deploys it"
_MAX_CHARACTERS = 500
_OPERATIONS = ("find", "get", "count", "create", "update", "delete", "addField")
_POINTERS = ("readUserFields", "writeUserFields")


class Level(enum.Enum):
    """How good or bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


def _printable(text: str) -> str:
    """Return text without what a terminal would obey: parts of it are the server's."""
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_CHARACTERS])


@front_door
@frozen
class Finding:
    """One thing that was looked at."""

    what: str = field(converter=_printable)
    level: Level = field()
    text: str = field(converter=_printable)
    hint: str | None = None


@front_door
def examine(  # noqa: PLR0913 - what one server is made of
    parse: ParseClient,
    transport: Transport,
    *,
    directory_url: str | None,
    service_public_key: str | None,
    fields: Mapping[str, Any] | None,
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> list[Finding]:
    """Examine a running server.

    Args:
        parse: A client with the master key.
        transport: For the services.
        directory_url: Where the services are (``VIRGIL_API_URL``).
        service_public_key: What clients pin (``VIRGIL_SERVICE_PUBLIC_KEY``).
        fields: What `export_guard_schema` returns for the app's models, if they are known.
        now: This machine's clock.
    """
    findings = [_server(parse)]
    if findings[0].level is Level.FAILED:
        return findings
    findings += [_function(parse, name) for name in _FUNCTIONS]
    try:
        status = _status(parse)
    except EncryptedParseError as error:
        findings.append(
            _failed(
                "companion",
                str(error),
                f"{_DEPLOY}; the server's log may say which environment variable is missing",
            )
        )
    else:
        findings += _companion(status, service_public_key, now())
        findings += _guard(status["guarded"], fields)
        findings.append(_stale_saves(parse, status["guarded"]))
    findings.append(_services(transport, directory_url, insecure=parse.app.allow_insecure_http))
    findings += _classes(parse, fields)
    return findings


def _server(parse: ParseClient) -> Finding:
    what = "Parse Server"
    try:
        version = parse.call("GET", "serverInfo").get("parseServerVersion")
    except PermissionDeniedError as error:
        return _failed(
            what,
            f"the master key is refused: {error}",
            "is it right, and is this machine in the option masterKeyIps?",
        )
    except (EncryptedParseError, AttributeError) as error:
        hint = error.hint if isinstance(error, EncryptedParseError) else None
        return _failed(what, str(error), hint or "check PARSE_SERVER_URL")
    found = re.match(r"(\d+)\.(\d+)", version) if isinstance(version, str) else None
    if found is None:
        return _warning(what, "it does not name its version")
    number = (int(found[1]), int(found[2]))
    name = f"{number[0]}.{number[1]}"
    if number < OLDEST:
        return _failed(what, f"{name} is too old", "5.6 is the oldest that works")
    if number > NEWEST:
        return _warning(what, f"{name} is newer than what was tried (9.10)")
    return _ok(what, name)


def _function(parse: ParseClient, name: str) -> Finding:
    what = f"function {name}"
    try:
        parse.call_function(name)
    except ParseServerError as error:
        if error.code == _NO_SESSION:
            return _ok(what, "there")
        return _failed(what, str(error), _DEPLOY)
    except EncryptedParseError as error:
        return _failed(what, str(error), error.hint)
    return _failed(what, "it answers without a session", "another code answers")


def _status(parse: ParseClient) -> Mapping[str, Any]:
    status = parse.call_function(_STATUS)
    if not isinstance(status, Mapping) or not isinstance(status.get("guarded"), Mapping):
        raise MalformedResponseError(f"the function {_STATUS} answers something else")
    return status


def _companion(
    status: Mapping[str, Any], pinned: str | None, now: dt.datetime
) -> Iterator[Finding]:
    yield _ok("companion", f"version {status.get('version')}")
    node = re.match(r"\d+", str(status.get("node")))
    old = node is None or int(node[0]) < OLDEST_NODE
    yield Finding("Node", Level.FAILED if old else Level.OK, str(status.get("node")))
    yield _clock(status.get("now"), now)
    if pinned is None:
        yield _warning(
            "service key",
            f"clients have to pin {status.get('servicePublicKey')}",
            "set VIRGIL_SERVICE_PUBLIC_KEY to it, after comparing it with your secrets",
        )
    elif pinned == status.get("servicePublicKey"):
        yield _ok("service key", "the one that is pinned")
    else:
        yield _failed(
            "service key",
            "VIRGIL_SERVICE_PUBLIC_KEY is another key's",
            "clients would refuse every card; which of both is yours?",
        )
    if status.get("brainKey") is True:
        yield _ok("backups by password", "on")
    else:
        yield _warning(
            "backups by password",
            "off",
            "set VIRGIL_BRAINKEY_SECRET alone, as `encrypted-parse cloud secrets` makes it",
        )


def _clock(theirs: Any, now: dt.datetime) -> Finding:  # noqa: ANN401 - whatever the server sent
    try:
        skew = abs((dt.datetime.fromisoformat(theirs) - now).total_seconds())
    except (TypeError, ValueError):
        return _warning("clock", "the server does not tell its time")
    if skew > MAX_SKEW_SECONDS:
        hint = "tokens and cards carry times: set both clocks (NTP)"
        return _failed("clock", f"{skew:.0f} s apart", hint)
    level = Level.OK if skew <= SKEW_SECONDS else Level.WARNING
    return Finding("clock", level, f"{skew:.0f} s apart")


def _guard(guarded: Mapping[str, Any], fields: Mapping[str, Any] | None) -> Iterator[Finding]:
    what = "guard"
    if fields is None:
        columns = sum(len(one) for one in guarded.values() if isinstance(one, Mapping))
        if columns:
            yield _ok(what, f"{columns} columns; name your models to compare")
        else:
            yield _warning(
                what,
                "no column is guarded",
                "`encrypted-parse cloud init DIR --models MODULE` guards your models; then deploy",
            )
        return
    for class_name, columns in fields["classes"].items():
        there = guarded.get(class_name)
        for column in columns:
            mode = there.get(column) if isinstance(there, Mapping) else None
            name = f"{class_name}.{column}"
            if mode == "enforce":
                yield _ok(name, "plaintext is refused")
            else:
                yield _failed(
                    name,
                    f"plaintext is accepted (rule envelope: {mode or 'none'})",
                    "write cloud/encrypted-fields.json again, and deploy",
                )


def _stale_saves(parse: ParseClient, guarded: Mapping[str, Any]) -> Finding:
    what = "stale saves"
    try:
        compared = parse.features().if_match
    except EncryptedParseError as error:
        return _failed(what, str(error), _DEPLOY)
    without = sorted(name for name in guarded if name not in compared)
    if compared and not without:
        return _ok(what, "what a save was made from is compared in the moment of writing")
    return _warning(
        what,
        f"not compared in the moment of writing: {', '.join(without) or 'no class is guarded'}; "
        "clients look at a row before they write it, and a revoke between the two is undone",
        "deploy the present cloud code with an encrypted-fields.json of your models",
    )


def _services(
    transport: Transport, directory_url: str | None, *, insecure: bool | frozenset[str]
) -> Finding:
    what = "services"
    if directory_url is None:
        return _failed(what, "VIRGIL_API_URL is not set", "where is app.js served?")
    try:
        base = check_url(directory_url, whose="directory", allow_insecure_http=insecure)
        url = f"{base}/card/v5/{'0' * 64}"
    except ConfigurationError as error:
        return _failed(what, str(error), "correct VIRGIL_API_URL")
    try:
        endpoint = Endpoint.of(directory_url, "VIRGIL_API_URL")
        request = HttpRequest("GET", url, repeat=Repeat.SAFE, endpoint=endpoint)
        answer = exchange(transport, request)
        body = answer.json()
    except (TransportError, MalformedResponseError) as error:
        return _failed(
            what,
            str(error),
            "on Back4App, app.js is served once web hosting has a subdomain",
        )
    if answer.status == _UNAUTHORIZED and isinstance(body, Mapping) and "code" in body:
        return _ok(what, "they answer")
    return _failed(what, answer.named(f"something else answers (HTTP {answer.status})"))


def _classes(parse: ParseClient, fields: Mapping[str, Any] | None) -> Iterator[Finding]:
    try:
        rows = parse.call("GET", "schemas")["results"]
        schemas = {str(row["className"]): _mapping(row) for row in rows}
    except (EncryptedParseError, KeyError, TypeError) as error:
        yield _failed("classes", f"their schemas cannot be read: {error}")
        return
    for name in CLOSED_CLASSES:
        if name not in schemas:
            yield _failed(
                name,
                "not made yet, so a client can make it",
                "the companion makes it at its start: does the server's log say why not?",
            )
            continue
        permissions = _mapping(schemas[name].get("classLevelPermissions"))
        open_to = [one for one in _OPERATIONS if permissions.get(one, {"*": True})]
        open_to += [one for one in _POINTERS if permissions.get(one)]
        if open_to:
            yield _failed(
                name,
                f"clients may {', '.join(open_to)}: whose rows are in it?",
                "`encrypted-parse cloud doctor --repair` closes it and clears what is not ours",
            )
        else:
            yield _ok(name, "closed to clients")
    for name, columns in ({} if fields is None else fields["classes"]).items():
        yield from _encrypted_class(name, columns, schemas.get(name))


def _encrypted_class(
    name: str, columns: Mapping[str, Any], schema: Mapping[str, Any] | None
) -> Iterator[Finding]:
    if schema is None:
        return
    for column in columns:
        declared = _mapping(_mapping(schema.get("fields")).get(column, {"type": "String"}))
        if declared.get("type") != "String":
            yield _failed(
                f"{name}.{column}",
                f"the column is a {declared.get('type')}",
                "an encrypted column is a String: give the field another name, or drop the column",
            )
        if declared.get("defaultValue") is not None:
            yield _failed(
                f"{name}.{column}",
                "the column has a default value: objects without the field get it in plaintext",
                "take it out of the schema, in the dashboard",
            )
    permissions = _mapping(schema.get("classLevelPermissions"))
    if _mapping(permissions.get("addField")).get("*"):
        yield _warning(
            name,
            "clients may add columns",
            "take the permission `addField` away once all columns are there",
        )


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - whatever the server sent
    return value if isinstance(value, Mapping) else {}


def _ok(what: str, text: str) -> Finding:
    return Finding(what, Level.OK, text)


def _warning(what: str, text: str, hint: str | None = None) -> Finding:
    return Finding(what, Level.WARNING, text, hint)


def _failed(what: str, text: str, hint: str | None = None) -> Finding:
    return Finding(what, Level.FAILED, text, hint)
