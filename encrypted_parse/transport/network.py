"""The network, through `requests`.

Timeouts and size limits always, redirects never, certificates checked always. There is no switch
that turns a check off.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import requests
import urllib3
from attrs import frozen
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from encrypted_parse._version import __version__
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    MalformedResponseError,
    ResponseTooLargeError,
    TransportError,
)
from encrypted_parse.transport.calls import Call, running
from encrypted_parse.transport.connections import Adapter, context_trusting
from encrypted_parse.transport.decoding import ACCEPTED, decode
from encrypted_parse.transport.failures import failure_of, proxies_for
from encrypted_parse.transport.port import HttpRequest, HttpResponse

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 30.0
TOTAL_TIMEOUT_SECONDS = 30.0  # and the time of what moves: `calls.SLOWEST_BYTES_PER_SECOND`
MAX_RESPONSE_BYTES = 32 * 1024 * 1024  # Parse Server's own limit for requests is 20 MB
_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CHUNK_BYTES = 64 * 1024
_FIRST_FINAL = 200
_FIRST_FAILURE = 400
_SERVER_FAILURE = 500
_ALWAYS = {
    "Accept": "*/*",
    "Accept-Encoding": ACCEPTED,
    "User-Agent": f"encrypted-parse/{__version__}",
}
# What `requests` and all below it are known to raise. They hold the request, with its password or
# token, and frames that hold its bytes: none of them leaves `send`, not as a cause either.
_FOREIGN = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    ResponseTooLargeError,  # raised by our sockets, through theirs
    MalformedResponseError,  # named with its address, as the others
)


@frozen
class _Open:
    """Connections of one process: after a fork the sockets belong to the parent."""

    process_id: int
    adapter: Adapter


@front_door
class RequestsTransport:
    """A pool of connections, usable from many threads and after a fork.

    Proxies (of http and https) and certificates are taken from the environment as `requests`
    does; credentials from `.netrc` are not, and no cookie is kept. Requests to this machine go
    through no proxy.

    The look-up of a host's address is the system's, and nothing can end it before the system
    does; its time counts, though.

    Args:
        connect_timeout_seconds: For each step of making a connection: an address, a proxy's
            answer, TLS.
        read_timeout_seconds: While no byte moves, of the request or of the answer.
        total_timeout_seconds: For everything, from the connection to the last byte of the
            answer, however it drips; and a second more for every 64 KiB that were sent or came.
        max_response_bytes: Of an answer after decompression, and on the wire.
        ca_bundle: A file or folder of certificates to trust, and no others: not the system's,
            nor those of the environment.
        on_waiting: Called with host and port, in the thread that waits and at most once per
            request, when no answer has begun after 3 s. The look-up of an address is over then.
    """

    def __init__(  # noqa: PLR0913 - limits, all by keyword
        self,
        *,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        total_timeout_seconds: float = TOTAL_TIMEOUT_SECONDS,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        ca_bundle: str | None = None,
        on_waiting: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = (connect_timeout_seconds, read_timeout_seconds, total_timeout_seconds)
        self._max_bytes = max_response_bytes
        self._ca_bundle = ca_bundle
        self._on_waiting = on_waiting
        self._clock = clock
        self._trusted: ssl.SSLContext | None = None
        self._open: _Open | None = None

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport.send`."""
        notice = self._on_waiting
        call = Call(
            *self._limits,
            on_waiting=None if notice is None else lambda: notice(request.endpoint.host),
            clock=self._clock,
        )
        failure: TransportError
        try:
            with running(call):
                response = self._exchange(request, call)
        except _FOREIGN as error:
            failure = failure_of(error, call, request)
        else:
            if _closes_behind(response):
                self.close()
            return response
        raise failure  # behind the block, or its context would be the foreign error

    def close(self) -> None:
        """Close idle connections; the next request opens new ones."""
        # No lock, here and below: a fork could leave it locked for ever. A race makes one pool
        # too many, whose connections are closed with it.
        opened, self._open = self._open, None
        if opened is not None:
            opened.adapter.close()

    def _adapter(self) -> Adapter:
        opened = self._open
        if opened is None or opened.process_id != os.getpid():
            opened = self._open = _Open(os.getpid(), Adapter(self._context))
        return opened.adapter

    def _context(self) -> ssl.SSLContext:
        if self._trusted is None:
            named = {"ca_bundle": self._ca_bundle}
            named |= {name: os.environ.get(name) for name in _BUNDLE_VARIABLES}
            named["the package certifi"] = DEFAULT_CA_BUNDLE_PATH
            setting, bundle = next((name, path) for name, path in named.items() if path)
            self._trusted = context_trusting(bundle, setting)
        return self._trusted

    def _exchange(self, request: HttpRequest, call: Call) -> HttpResponse:
        prepared = requests.Request(
            request.method,
            request.url,
            headers={**_ALWAYS, **request.headers},
            params=dict(request.params),
            data=request.body,
        ).prepare()
        # Not by a session of `requests`: it reads the bodies of redirects to their end, whatever
        # their size, even where it is told not to follow them.
        proxies = proxies_for(request.url)
        answer = self._adapter().send(prepared, stream=True, proxies=proxies).raw
        try:
            if answer.status < _FIRST_FINAL:  # 100 is skipped below us; 101 to 199 are no answers
                raise http.client.BadStatusLine("an interim answer")
            call.expect_body(self._max_bytes)
            headers = {name.lower(): value for name, value in answer.headers.itermerged()}
            encoding = headers.get("content-encoding", "")
            body = decode(_pieces(answer), encoding, self._max_bytes)
            return HttpResponse(answer.status, headers, body)
        finally:
            answer.close()  # whoever read to the end has given the connection back before


def _pieces(answer: Any) -> Iterator[bytes]:  # noqa: ANN401 - urllib3's answer, untyped in requests
    while piece := answer.read(_CHUNK_BYTES, decode_content=False):
        yield piece


def _closes_behind(response: HttpResponse) -> bool:
    """Tell whether Parse Server destroys the connection that it just called keep-alive.

    It does so after every 5xx, and after a 4xx that body parsing raised, which has no code.
    """
    if response.status >= _SERVER_FAILURE:
        return True
    return response.status >= _FIRST_FAILURE and b'"code"' not in response.body
