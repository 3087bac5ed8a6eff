"""The network, through `requests`: the only module that imports it.

Timeouts and size limits always, redirects never, certificates checked always. There is no switch
that turns a check off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import requests
import urllib3
from requests.adapters import HTTPAdapter

from encrypted_parse.errors import (
    ConnectionFailedError,
    MalformedResponseError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseTooLargeError,
    TransportError,
)
from encrypted_parse.locks import Lock
from encrypted_parse.transport.port import HttpRequest, HttpResponse

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
TOTAL_TIMEOUT_SECONDS = 120.0
MAX_RESPONSE_BYTES = 32 * 1024 * 1024  # Parse Server's own limit for requests is 20 MB
POOL_CONNECTIONS = 32
_CHUNK_BYTES = 64 * 1024
_FIRST_FAILURE = 400
_SERVER_FAILURE = 500


class RequestsTransport:
    """A pool of connections, usable from many threads and after a fork.

    Proxies and certificates are taken from the environment as `requests` does; credentials from
    `.netrc` are not, and no cookie is kept.

    Args:
        connect_timeout_seconds: For a connection to be made.
        read_timeout_seconds: Between two pieces of an answer.
        total_timeout_seconds: For the whole answer, however it drips.
        max_response_bytes: Of an answer after decompression.
        ca_bundle: A file of certificates to trust instead of the system's.
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
        self._timeouts = (connect_timeout_seconds, read_timeout_seconds)
        self._total_seconds = total_timeout_seconds
        self._max_bytes = max_response_bytes
        self._ca_bundle = ca_bundle
        self._clock = clock
        self._lock = Lock()
        self._session: requests.Session | None = None
        self._process_id = 0

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport.send`."""
        deadline = self._clock() + self._total_seconds
        try:
            with self._pool().request(
                request.method,
                request.url,
                headers=dict(request.headers),
                params=dict(request.params),
                data=request.body,
                timeout=self._timeouts,
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = self._read(answer, deadline)
                response = HttpResponse(
                    answer.status_code,
                    {name.lower(): value for name, value in answer.headers.items()},
                    body,
                )
        except requests.RequestException as error:
            raise _translate(error) from error
        except urllib3.exceptions.HTTPError as error:  # from reading the body
            raise OutcomeUnknownError("the connection broke during the answer") from error
        if _closes_behind(response):
            self.close()
        return response

    def close(self) -> None:
        """Close idle connections; the next request opens new ones."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _pool(self) -> requests.Session:
        with self._lock:
            if self._session is None or self._process_id != os.getpid():
                # After a fork the sockets belong to the parent.
                self._session = self._new_session()
                self._process_id = os.getpid()
            return self._session

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.auth = _no_credentials  # or requests would read .netrc
        session.cookies.set_policy(_NoCookies())
        if self._ca_bundle is not None:
            session.verify = self._ca_bundle
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=POOL_CONNECTIONS, max_retries=0)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def _read(self, answer: requests.Response, deadline: float) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for piece in answer.iter_content(_CHUNK_BYTES):
            size += len(piece)
            if size > self._max_bytes:
                raise ResponseTooLargeError(f"the answer exceeds {self._max_bytes} bytes")
            if self._clock() > deadline:
                raise RequestTimeoutError(f"no whole answer within {self._total_seconds} s")
            pieces.append(piece)
        return b"".join(pieces)


class _NoCookies(requests.cookies.cookielib.DefaultCookiePolicy):  # type: ignore[name-defined, misc]  # untyped re-export
    """Keeps no cookie: a session token is the only state that we send."""

    def set_ok(self, cookie: object, request: object) -> bool:  # noqa: ARG002 - the base class's
        return False


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _translate(error: requests.RequestException) -> TransportError:  # noqa: PLR0911 - one a case
    """Name what is known about whether the request reached the server."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return ConnectionFailedError("no connection within the time limit")
    if isinstance(error, requests.exceptions.Timeout):
        return RequestTimeoutError("no answer within the time limit")
    if isinstance(error, requests.exceptions.SSLError):
        return ConnectionFailedError(
            "no trusted TLS connection", hint="check the server's certificate; never skip it"
        )
    if isinstance(error, requests.exceptions.ConnectionError):
        cause = error.args[0] if error.args else None
        reason = getattr(cause, "reason", cause)
        if isinstance(error, requests.exceptions.ProxyError) or isinstance(
            reason, urllib3.exceptions.NewConnectionError
        ):
            return ConnectionFailedError(
                "the server cannot be reached", hint="is it running, and is the address right?"
            )
        return OutcomeUnknownError("the connection broke before the answer")
    if isinstance(error, (ValueError, requests.exceptions.InvalidSchema)):
        return ConnectionFailedError("the request cannot be sent: its address is not usable")
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return MalformedResponseError("the answer's compression is broken")
    return OutcomeUnknownError("the connection broke during the answer")


def _closes_behind(response: HttpResponse) -> bool:
    """Tell whether Parse Server destroys the connection that it just called keep-alive.

    It does so after every 5xx, and after a 4xx that body parsing raised, which has no code.
    """
    if response.status >= _SERVER_FAILURE:
        return True
    return response.status >= _FIRST_FAILURE and b'"code"' not in response.body
