"""Parse Server's answers: from the four shapes of its errors to the error tree.

Decisions rest on status and code alone: newer servers replace every text by "Permission denied".
Hints look at more: see `hints`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from encrypted_parse.errors import (
    DuplicateRequestError,
    DuplicateValueError,
    EmailTakenError,
    FunctionFailedError,
    GuardRefusedError,
    IncorrectTypeError,
    InvalidQueryError,
    MalformedResponseError,
    ObjectNotFoundError,
    ParseServerError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTooLargeError,
    ServerFailedError,
    SessionExpiredError,
    UsernameTakenError,
)
from encrypted_parse.parse.hints import Asked, hint_for
from encrypted_parse.transport import Endpoint, HttpResponse, refusal_in_front

NOTHING = Asked()
MAX_MESSAGE_CHARACTERS = 300  # the server's text is not ours to trust, nor to print whole
REPLACED_KEY = 9013  # the guard's: a value was encrypted for a key that is no longer its user's
FIRST_FAILURE = 400
_FORBIDDEN = 403
_TOO_LARGE = 413
_TOO_MANY = 429
_SERVER_FAILURE = 500
_GATEWAY = frozenset({502, 503, 504})
_CLOUDFLARE = range(520, 531)

_BY_CODE: dict[int, tuple[type[ParseServerError], str | None]] = {
    1: (ServerFailedError, "the server's log says more"),
    100: (ServerFailedError, None),
    101: (ObjectNotFoundError, "it is missing, or an ACL or class permission hides it from you"),
    102: (InvalidQueryError, None),
    107: (
        InvalidQueryError,
        "the server's `publicServerURL` has to be the address that you use, with the same path",
    ),
    111: (IncorrectTypeError, "the first write fixed the column's type; see the dashboard"),
    119: (PermissionDeniedError, "the class-level permissions forbid it"),
    137: (DuplicateValueError, None),
    141: (FunctionFailedError, "is the cloud code deployed, in its present version?"),
    142: (FunctionFailedError, None),
    155: (RateLimitedError, "wait, then try again"),
    159: (
        DuplicateRequestError,
        "an earlier attempt arrived, so the object is saved: query for it",
    ),
    202: (UsernameTakenError, None),
    203: (EmailTakenError, None),
    **dict.fromkeys(
        range(9001, 9013),  # the guard's: cloud_code/lib/guard.js
        (GuardRefusedError, "is every client's model up to date? docs/companion.md has the rules"),
    ),
    REPLACED_KEY: (GuardRefusedError, "a reader has another key by now: save again in a moment"),
    # Of its lease: cloud_code/lib/lease.js
    9017: (GuardRefusedError, "somebody else has changed the row: refresh() the object"),
    9018: (GuardRefusedError, "somebody else is writing the row: try again in some seconds"),
    9019: (GuardRefusedError, "a client that sends whole rows leaves the column guardLease out"),
    9020: (GuardRefusedError, "is the guard's encrypted-fields.json that of the present models?"),
    206: (SessionExpiredError, "log in again"),
    209: (SessionExpiredError, "log in again"),
}
_NOT_FOUND = frozenset({404, 405})
_FAILED_HINT = "the server's log, or that of the proxy in front of it, says more"
_BY_STATUS: dict[int, tuple[type[ParseServerError], str | None]] = {
    _FORBIDDEN: (PermissionDeniedError, "check the application id and the REST API key"),
    _TOO_LARGE: (RequestTooLargeError, "send less at once"),
    _TOO_MANY: (RateLimitedError, "wait, then try again"),
}


def is_of_gateway(response: HttpResponse) -> bool:
    """Tell whether a gateway between us and Parse Server answered in its place.

    Parse Server's own errors have a code, whatever their status.
    """
    status = response.status
    return (status in _GATEWAY or status in _CLOUDFLARE) and b'"code"' not in response.body


def read_answer(response: HttpResponse) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON of a successful answer.

    Raises:
        ParseServerError: The server refused or failed; the class says how.
        MalformedResponseError: The answer is not Parse Server's.
    """
    if response.status < FIRST_FAILURE:
        return response.json()
    raise read_failure(response)


def read_failure(response: HttpResponse, asked: Asked = NOTHING) -> ParseServerError:
    """Return the error that an unsuccessful answer to what was *asked* is.

    Raises:
        MalformedResponseError: The answer is not Parse Server's.
    """
    try:
        return error_from(response.json(), response.status, asked, response.endpoint)
    except MalformedResponseError as error:
        if response.status >= _SERVER_FAILURE:
            return ServerFailedError(str(error), status=response.status, hint=_FAILED_HINT)
        refusal = refusal_in_front(
            response.status, response.headers, response.body, response.endpoint
        )
        if refusal is None:
            raise
        return refusal


def read_object(response: HttpResponse) -> dict[str, Any]:
    """Return the JSON object of a successful answer. Raises as `read_answer`."""
    value = read_answer(response)
    if not isinstance(value, dict):
        raise MalformedResponseError(response.named("the server's answer is not an object"))
    return value


def expect_object(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return *value* if it is a JSON object.

    Raises:
        MalformedResponseError: It is not.
    """
    if not isinstance(value, dict):
        raise MalformedResponseError("the server's answer is not an object")
    return value


def error_from(
    body: Any,  # noqa: ANN401 - any JSON
    status: int | None,
    asked: Asked = NOTHING,
    endpoint: Endpoint | None = None,
) -> ParseServerError:
    """Return the error that the JSON *body* of a failure describes.

    *endpoint* is named where there is no code: then it may be another server's.
    """
    fields = body if isinstance(body, Mapping) else {}
    code = fields.get("code")
    if isinstance(code, bool) or not isinstance(code, int):
        code = None
    text = fields.get("error", fields.get("message"))
    if status == _TOO_MANY:
        error_class, hint = _BY_STATUS[_TOO_MANY]
    elif code in _BY_CODE:
        error_class, hint = _BY_CODE[code]
    elif status in _BY_STATUS:
        error_class, hint = _BY_STATUS[status]
    elif status is not None and status >= _SERVER_FAILURE:
        error_class, hint = ServerFailedError, None
    elif status in _NOT_FOUND:
        error_class, hint = ParseServerError, "is the server's address right, to its last /?"
    else:
        error_class, hint = ParseServerError, None
    shown = _clean(text) if isinstance(text, str) else "no reason given"
    where = "" if code is not None or endpoint is None else f": {endpoint}"
    hint = hint_for(code, status, text if isinstance(text, str) else None, hint, asked)
    message = f"{shown} ({_numbers(code, status)}){where}"
    return error_class(message, code=code, status=status, hint=hint)


def _numbers(code: int | None, status: int | None) -> str:
    parts = [f"code {code}" if code is not None else "no code"]
    if status is not None:
        parts.append(f"HTTP {status}")
    return ", ".join(parts)


def _clean(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:MAX_MESSAGE_CHARACTERS]
