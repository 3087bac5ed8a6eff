"""Connections under `requests`: its adapter, on sockets that keep to the limits of a call.

`requests` and `urllib3` bound each step and no sum of them. Here everything that waits is one of
four operations of a socket: connect, shake hands, receive, send. Each runs within the call of its
thread (see `calls`). What stands between is the libraries' own, whichever it is: proxies,
TLS inside TLS, chunks, headers.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import selectors
import socket
import ssl
from collections.abc import Callable
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from encrypted_parse._translating import translating
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.transport.calls import current

POOL_CONNECTIONS = 32
_PIECE_BYTES = 64 * 1024  # what is handed to the system at a time


class _Socket(socket.socket):
    """A socket whose every operation takes no longer than its call has left."""

    def connect(self, address: Any) -> None:  # noqa: ANN401 - an address of any family
        current().run(
            self,
            functools.partial(super().connect, address),
            resume=self._await_connection,  # a second connect() would be refused
        )

    def _await_connection(self) -> None:
        """Wait for a connection that is being made."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_WRITE)
            if not selector.select(self.gettimeout()):
                raise TimeoutError("no connection yet")
        failure = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, os.strerror(failure))

    def recv(self, *args: Any, **kwargs: Any) -> bytes:  # noqa: ANN401 - the base class's
        call = current()
        data = call.run(self, functools.partial(super().recv, *args, **kwargs))
        call.received(len(data))
        return data

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - the base class's
        call = current()
        count = call.run(self, functools.partial(super().recv_into, *args, **kwargs))
        call.received(count)
        return count

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ANN401 - anything with bytes
        call, send, done = current(), super().send, 0
        with memoryview(data) as view, view.cast("B") as octets:
            while done < len(octets):
                with octets[done : done + _PIECE_BYTES] as piece:
                    # Not the system's own loop, in which time passes while bytes move.
                    count = call.run(self, functools.partial(send, piece, flags))
                call.sent(count)
                done += count


class _TLSSocket(_Socket, ssl.SSLSocket):
    """The same with TLS: its hand-shake, as a whole, is one more operation."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the base class's
        current().run(self, functools.partial(super().do_handshake, block))


class _Connection(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        """Connect to one of the host's addresses, all within the call's time."""
        failure: Exception = OSError("the name has no address")
        try:
            host = self._dns_host.strip("[]")
            with translating(UnicodeError, to=lambda: OSError("no name of a host")):
                places = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, "no such name") from error
        for family, kind, protocol, _, address in places:
            current().seconds()  # once it is over, no further address is tried
            try:
                return self._connected(_Socket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError(self, "no answer") from failure
        raise urllib3.exceptions.NewConnectionError(self, "no connection") from failure

    def _connected(self, made: socket.socket, address: Any) -> socket.socket:  # noqa: ANN401 - of any family
        with contextlib.ExitStack() as stack:
            stack.callback(made.close)
            for option in self.socket_options or ():
                made.setsockopt(*option)
            made.connect(address)
            stack.pop_all()
        return made

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's
        """Connect before anything is sent, so that the call knows which of the two failed."""
        if self.is_closed:
            self.connect()
        current().connected()
        super().request(*args, **kwargs)


class _TLSConnection(_Connection, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}


class Adapter(HTTPAdapter):
    """A pool of connections with the limits of `calls`.

    Args:
        context: Gives the one context of all TLS connections, to proxies too. It alone says
            what is trusted; there is no connection that is not checked.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext]) -> None:
        self._context = context
        super().__init__(pool_connections=4, pool_maxsize=POOL_CONNECTIONS, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's
        """Make the pool of direct connections, of our kind."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401 - untyped there
        """Make the pool of a proxy's connections, of our kind. SOCKS has libraries of its own."""
        scheme = proxy.partition("://")[0].lower()
        if scheme not in _POOLS:
            raise requests.exceptions.InvalidProxyURL("only proxies of http and https are used")
        if scheme == "https":
            kwargs["proxy_ssl_context"] = self._context()
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ANN401 - not asked
        cert: Any = None,  # noqa: ANN401 - not asked
    ) -> Any:  # noqa: ANN401 - two dicts, of private types
        """Give every TLS connection our context, whatever else was said about certificates."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context()} if host["scheme"] == "https" else {}

    def cert_verify(self, *_: Any) -> None:  # noqa: ANN401 - not asked
        """Change nothing: the base class would load more certificates into the context."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:  # noqa: ANN401, ARG002 - the base class's
        """Wrap the answer; parse no cookies and no redirect, which we do not follow."""
        response = requests.Response()
        response.raw = resp
        return response


def context_trusting(bundle: str, setting: str) -> ssl.SSLContext:
    """Return a context that checks names, and certificates against *bundle* alone.

    Raises:
        ConfigurationError: It is neither a file nor a folder of certificates. *setting* is
            named.
    """
    with contextlib.suppress(OSError, ValueError):
        is_folder = pathlib.Path(bundle).is_dir()
        context = ssl.create_default_context(
            cafile=None if is_folder else bundle, capath=bundle if is_folder else None
        )
        context.sslsocket_class = _TLSSocket
        return context
    raise ConfigurationError(
        f"the trusted certificates cannot be read: {bundle!r}, from {setting}",
        hint=f"{setting} has to name a file of certificates in PEM, or a folder of them, that is "
        "there on this machine (in this container)",
    )
