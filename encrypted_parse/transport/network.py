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
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies

from encrypted_parse._version import __version__
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ConnectionFailedError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseTooLargeError,
    TransportError,
)
from encrypted_parse.transport.addresses import is_loopback
from encrypted_parse.transport.calls import Call, running
from encrypted_parse.transport.connections import Adapter, context_trusting
from encrypted_parse.transport.decoding import ACCEPTED, decode
from encrypted_parse.transport.port import HttpRequest, HttpResponse

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
TOTAL_TIMEOUT_SECONDS = 120.0
MAX_RESPONSE_BYTES = 32 * 1024 * 1024  # Parse Server's own limit for requests is 20 MB
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
)
_LATE = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)
_NOT_SENDABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.MissingSchema,
    UnicodeError,
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
        read_timeout_seconds: Between two pieces of an answer, or of a request that is sent.
        total_timeout_seconds: For everything, from the connection to the last byte of the
            answer, however it drips.
        max_response_bytes: Of an answer after decompression, and on the wire.
        ca_bundle: A file or folder of certificates to trust, and no others: not the system's,
            nor those of the environment.
    """

    def __init__(  # noqa: PLR0913 - limits, all by keyword
        self,
        *,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        total_timeout_seconds: float = TOTAL_TIMEOUT_SECONDS,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        ca_bundle: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = (connect_timeout_seconds, read_timeout_seconds, total_timeout_seconds)
        self._max_bytes = max_response_bytes
        self._ca_bundle = ca_bundle
        self._clock = clock
        self._trusted: ssl.SSLContext | None = None
        self._open: _Open | None = None

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport.send`."""
        call = Call(*self._limits, clock=self._clock)
        failure: TransportError
        try:
            with running(call):
                response = self._exchange(request, call)
        except _FOREIGN as error:
            failure = _translate(error, call)
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
            bundle = (
                self._ca_bundle
                or os.environ.get("REQUESTS_CA_BUNDLE")
                or os.environ.get("CURL_CA_BUNDLE")
                or DEFAULT_CA_BUNDLE_PATH
            )
            self._trusted = context_trusting(bundle)
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
        proxies = {} if is_loopback(request.url) else get_environ_proxies(request.url)
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


def _translate(error: Exception, call: Call) -> TransportError:
    """Name what is known about whether the request reached the server, and *error*'s class."""
    if isinstance(error, ResponseTooLargeError):  # from a socket, below frames that hold secrets
        return ResponseTooLargeError(str(error))
    kind, reasons = type(error).__name__, list(_reasons(error))
    late = any(isinstance(one, _LATE) for one in reasons)
    if call.may_have_arrived and late:
        return RequestTimeoutError(f"no whole answer within the time limit ({kind})")
    if call.may_have_arrived:
        return OutcomeUnknownError(f"the connection broke before the end of the answer ({kind})")
    if any(isinstance(one, ssl.SSLError) for one in reasons):
        text = "no trusted TLS connection"
        hint = "check the server's certificate; never skip it"
    elif late:
        text, hint = "no connection within the time limit", "is the address, or the proxy's, right?"
    elif any(isinstance(one, _NOT_SENDABLE) for one in reasons):
        text, hint = "the request cannot be sent", "is the address, or the proxy's, right?"
    else:
        text, hint = "the server cannot be reached", "is it running, and is the address right?"
    return ConnectionFailedError(f"{text} ({kind})", hint=hint)


def _reasons(error: object) -> Iterator[BaseException]:
    """Yield *error* and what its libraries wrapped in it, which each does in its own way."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]


def _closes_behind(response: HttpResponse) -> bool:
    """Tell whether Parse Server destroys the connection that it just called keep-alive.

    It does so after every 5xx, and after a 4xx that body parsing raised, which has no code.
    """
    if response.status >= _SERVER_FAILURE:
        return True
    return response.status >= _FIRST_FAILURE and b'"code"' not in response.body
