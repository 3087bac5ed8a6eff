"""What the libraries below raise, in errors of ours: how far it came, where it went, and why.

How far is what the call knows; where are the request's endpoint and the environment's proxy; why
is read from the classes and numbers of foreign errors. Nothing of those is passed on: they hold
the request, with its password or token.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping

import requests
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from encrypted_parse.errors import (
    ConnectionFailedError,
    MalformedResponseError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseTooLargeError,
    TransportError,
)
from encrypted_parse.transport.addresses import Endpoint, is_loopback
from encrypted_parse.transport.calls import Call
from encrypted_parse.transport.looks import PROXY_HINT, PROXY_WANTS_PASSWORD
from encrypted_parse.transport.port import HttpRequest

_LATE = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)
_NOT_SENDABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.MissingSchema,
    UnicodeError,
)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})", re.ASCII)  # http.client's words
_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64  # X509_V_ERR_... of OpenSSL
_OF_CERTIFICATES = {
    _EXPIRED: ("its certificate has expired", "renew it, or set this machine's clock"),
    _NOT_YET_VALID: ("its certificate is not valid yet", "is this machine's clock right?"),
    _OTHER_HOST: ("its certificate is another host's", "is the address right?"),
    _OTHER_ADDRESS: ("its certificate is not for this IP address", "use the host's name"),
}
_UNKNOWN_AUTHORITY = (
    "nobody whom this machine trusts has signed its certificate",
    "if a company's proxy opens TLS: REQUESTS_CA_BUNDLE, or ca_bundle, names its certificates",
)
_PROXY_REFUSES_HINT = (
    "ask who runs the proxy, or name the host in NO_PROXY if it is reached without one"
)
_OTHERS = (
    (
        ssl.SSLError,
        "no trusted TLS connection",
        "is https:// spoken at this port? Else a proxy answers: HTTPS_PROXY, REQUESTS_CA_BUNDLE",
    ),
    (_NOT_SENDABLE, "the request cannot be sent", "is the address, or the proxy's, right?"),
    (
        socket.gaierror,
        "the server's name is not known",
        "is the address right? In a company's network HTTPS_PROXY may have to be set",
    ),
)


def proxies_for(url: str) -> Mapping[str, str]:
    """Return the environment's proxies for *url*; requests to this machine go through none."""
    return {} if is_loopback(url) else get_environ_proxies(url)


def failure_of(error: Exception, call: Call, request: HttpRequest) -> TransportError:
    """Return the error of ours that *error* is: whether the request may have arrived, and why."""
    proxy = _proxy_of(request.url)
    way = f"{request.endpoint}" + (f", through the proxy {proxy}" if proxy else "")
    if isinstance(error, (ResponseTooLargeError, MalformedResponseError)):  # ours, from below
        return type(error)(f"{error}: {way}", hint=error.hint)
    kind, reasons = type(error).__name__, list(_reasons(error))
    late = any(isinstance(one, _LATE) for one in reasons)
    if call.may_have_arrived and late:
        return RequestTimeoutError(f"no whole answer within the time limit ({kind}): {way}")
    if call.may_have_arrived:
        return OutcomeUnknownError(
            f"the connection broke before the end of the answer ({kind}): {way}"
        )
    text, hint = _why(reasons, late=late)
    if proxy and "proxy" not in hint:
        hint += f"; does the proxy of {proxy.setting} let this host through?"
    return ConnectionFailedError(f"{text} ({kind}): {way}", hint=hint)


def _why(reasons: list[BaseException], *, late: bool) -> tuple[str, str]:
    """Return why no connection was made, and what to do."""
    for one in reasons:
        found = _TUNNEL.match(str(one)) if type(one) is OSError else None
        if found is not None and int(found[1]) == PROXY_WANTS_PASSWORD:
            return f"the proxy wants a name and a password (HTTP {found[1]})", PROXY_HINT
        if found is not None:
            return f"the proxy refuses to connect (HTTP {found[1]})", _PROXY_REFUSES_HINT
        if isinstance(one, ssl.SSLCertVerificationError):
            why, hint = _OF_CERTIFICATES.get(one.verify_code, _UNKNOWN_AUTHORITY)
            return f"no trusted TLS connection: {why}", hint
    if late:
        return "no connection within the time limit", "is the address, or the proxy's, right?"
    return next(
        (
            (text, hint)
            for kinds, text, hint in _OTHERS
            if any(isinstance(one, kinds) for one in reasons)
        ),
        ("the server cannot be reached", "is it running, and is the address right?"),
    )


def _proxy_of(url: str) -> Endpoint | None:
    """Return the proxy that *url* is reached through, without its password."""
    with contextlib.suppress(Exception):  # the address that failed may be the reason
        proxies = proxies_for(url)
        proxy = select_proxy(url, proxies)
        if proxy:
            key = next(key for key, value in proxies.items() if value == proxy)
            name = f"{key.partition('://')[0]}_proxy"
            known = next((one for one in (name, name.upper()) if os.environ.get(one)), "")
            return Endpoint.of(proxy, known or "this system's settings")
    return None


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
