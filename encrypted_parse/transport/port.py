"""The port: what a request and an answer are, and what can go wrong between them."""

from __future__ import annotations

import contextlib
import enum
import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import Factory, evolve, field, frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import InvalidValueError, MalformedResponseError
from encrypted_parse.transport.addresses import Endpoint
from encrypted_parse.transport.looks import is_page, look_of

_METHOD = re.compile(r"[A-Z]+", re.ASCII)
_URL = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)
_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+", re.ASCII)  # RFC 9110, section 5.6.2
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?", re.ASCII)


@front_door
def is_header_value(text: str) -> bool:
    """Tell whether *text* can be sent as a header's value, and arrives as it was given.

    Printable ASCII, and no space at either end: anything else is changed, cut or taken for a
    header of its own somewhere on the way.
    """
    return _HEADER_VALUE.fullmatch(text) is not None


class Repeat(enum.Enum):
    """Whether a request may be sent again when nobody knows what became of it."""

    SAFE = "safe"
    """Sending it twice is as good as once: reads, log-ins, sets of plain values."""
    NEVER = "never"
    """It may be sent again only if it surely never reached the server."""


def _checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidValueError("a header has a name that HTTP does not know")
        if not is_header_value(value):
            raise InvalidValueError(f"the header {name} cannot be sent: not printable ASCII")
    return headers


def _checked_params(params: Mapping[str, str]) -> Mapping[str, str]:
    for text in (*params.keys(), *params.values()):
        if _SURROGATE.search(text):
            raise InvalidValueError("a parameter holds a lone surrogate, which has no UTF-8")
    return params


def _checked_method(method: str) -> str:
    if not _METHOD.fullmatch(method):
        raise InvalidValueError("a method of HTTP is a word of capital letters")
    return method


def _checked_url(url: str) -> str:
    if not _URL.fullmatch(url):
        raise InvalidValueError(
            "the address of a request is not printable ASCII", hint="quote what stands in its path"
        )
    return url


@front_door
@frozen
class HttpRequest:
    """One request. Headers, parameters and body may hold secrets, so `repr` leaves them out.

    Attributes:
        endpoint: Whom errors name. By default what may be shown of *url*, whose path can hold a
            name that somebody gave to a file.

    Raises:
        InvalidValueError: A text that cannot be sent as it is. It is not shown. Refused here and
            not by a transport, so that every transport refuses the same.
    """

    method: str = field(converter=_checked_method)
    url: str = field(converter=_checked_url)
    headers: Mapping[str, str] = field(factory=dict, repr=False, converter=_checked_headers)
    params: Mapping[str, str] = field(factory=dict, repr=False, converter=_checked_params)
    body: bytes | None = field(default=None, repr=False)
    repeat: Repeat = Repeat.NEVER
    endpoint: Endpoint = field(
        default=Factory(lambda self: Endpoint.of(self.url), takes_self=True), eq=False, repr=False
    )


@front_door
@frozen
class HttpResponse:
    """One complete answer. Header names are lower case.

    Attributes:
        endpoint: Whom the request was for, if that is known: see `exchange`.
    """

    status: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    endpoint: Endpoint | None = field(default=None, eq=False, repr=False)

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the parsed body.

        Raises:
            MalformedResponseError: Not JSON. The body is not shown: it may hold secrets.
        """
        # Raised behind the block: the errors of both steps hold the whole body.
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(self.body.decode("utf-8"), parse_constant=_refuse_constant)
        text, hint = look_of(self.status, self.headers, self.body, self.endpoint)
        raise MalformedResponseError(self.named(text), hint=hint)

    @property
    def is_page(self) -> bool:
        """Whether this is a web page: no service's own answer."""
        return is_page(self.headers, self.body)

    def named(self, text: str) -> str:
        """Return *text*, the message of an error, with the address that the answer came from."""
        return text if self.endpoint is None else f"{text}: {self.endpoint}"


class Transport(Protocol):
    """Sends requests. Held to one contract by fakes and by the network."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send *request* once and return the whole answer, whatever its status.

        The text of an error names the request's `endpoint`.

        Raises:
            ConfigurationError: The file of certificates cannot be used.
            ConnectionFailedError: It never reached the server.
            OutcomeUnknownError: The connection broke after it may have arrived.
            RequestTimeoutError: No complete answer in time; it may have arrived.
            ResponseTooLargeError: The answer exceeds the limit.
            MalformedResponseError: The answer is compressed in a way that was not asked for.
        """


@front_door
def exchange(transport: Transport, request: HttpRequest) -> HttpResponse:
    """Send *request* by whichever transport; what is wrong with the answer names the address.

    Raises:
        TransportError: As `Transport.send`.
    """
    return evolve(transport.send(request), endpoint=request.endpoint)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON
