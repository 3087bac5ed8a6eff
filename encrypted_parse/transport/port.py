"""The port: what a request and an answer are, and what can go wrong between them."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import field, frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import MalformedResponseError


class Repeat(enum.Enum):
    """Whether a request may be sent again when nobody knows what became of it."""

    SAFE = "safe"
    """Sending it twice is as good as once: reads, log-ins, sets of plain values."""
    NEVER = "never"
    """It may be sent again only if it surely never reached the server."""


@front_door
@frozen
class HttpRequest:
    """One request. Headers, parameters and body may hold secrets, so `repr` leaves them out."""

    method: str
    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    params: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    repeat: Repeat = Repeat.NEVER


@front_door
@frozen
class HttpResponse:
    """One complete answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the parsed body.

        Raises:
            MalformedResponseError: Not JSON. The body is not shown: it may hold secrets.
        """
        try:
            return json.loads(self.body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise MalformedResponseError(
                f"the server answered with HTTP {self.status} and no JSON",
                hint="check the server's address; a proxy or a web page may have answered",
            ) from None


class Transport(Protocol):
    """Sends requests. Held to one contract by fakes and by the network."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send *request* once and return the whole answer, whatever its status.

        Raises:
            ConnectionFailedError: It never reached the server.
            OutcomeUnknownError: The connection broke after it may have arrived.
            RequestTimeoutError: No complete answer in time; it may have arrived.
            ResponseTooLargeError: The answer exceeds the limit.
        """


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON
