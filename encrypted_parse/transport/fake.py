"""A transport without a network, held to the same contract tests as the real one."""

from __future__ import annotations

from collections.abc import Callable

from encrypted_parse.discretion import front_door
from encrypted_parse.transport.port import HttpRequest, HttpResponse


@front_door
class FakeTransport:
    """Answers every request with *handler*, and keeps what was sent in `requests`."""

    def __init__(self, handler: Callable[[HttpRequest], HttpResponse]) -> None:
        self._handler = handler
        self.requests: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport.send`."""
        self.requests.append(request)
        return self._handler(request)
