"""The network: bounded, never redirected, and repeated only where that is safe."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from raw_server import Peer, RawServer, answer, answering

from encrypted_parse import File, Model
from encrypted_parse.errors import (
    ConfigurationError,
    ConnectionFailedError,
    OutcomeUnknownError,
    ParseServerError,
    ResponseTooLargeError,
    TransportError,
)
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import (
    FakeTransport,
    HttpRequest,
    HttpResponse,
    Repeat,
    RequestsTransport,
    RetryingTransport,
)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/secret")
            self.end_headers()
        elif self.path == "/large":
            self.send_response(200)
            self.send_header("Content-Length", str(10**6))
            self.end_headers()
            self.wfile.write(bytes(10**6))
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"short")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Run a small server on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def network() -> Iterator[RequestsTransport]:
    """Give a transport with small limits."""
    transport = RequestsTransport(max_response_bytes=10_000, read_timeout_seconds=5)
    yield transport
    transport.close()


def test_redirects_are_not_followed(address: str, network: RequestsTransport) -> None:
    """A redirect is an answer like any other: tokens go where they were sent."""
    assert network.send(HttpRequest("GET", f"{address}/redirect")).status == 302


def test_a_large_answer_is_not_read(address: str, network: RequestsTransport) -> None:
    """An answer over the limit is an error, before it fills the memory."""
    with pytest.raises(ResponseTooLargeError):
        network.send(HttpRequest("GET", f"{address}/large"))


def test_a_cut_answer_is_an_error(address: str, network: RequestsTransport) -> None:
    """Half an answer is never taken for a whole one."""
    with pytest.raises(OutcomeUnknownError):
        network.send(HttpRequest("GET", f"{address}/cut"))


def test_nobody_there(network: RequestsTransport) -> None:
    """A refused connection is known not to have reached the server."""
    with pytest.raises(ConnectionFailedError):
        network.send(HttpRequest("GET", "http://127.0.0.1:1/"))


@pytest.mark.parametrize(
    "url", ["http://example.com", "ftp://x", "https://u:p@x", "https://x/?q", "x", "https://"]
)
def test_addresses_that_leak_are_refused(url: str) -> None:
    """Plain http to other machines, credentials and queries in addresses are refused."""
    with pytest.raises(ConfigurationError):
        ParseApp(url, "app")


def test_an_ambiguous_create_is_not_repeated() -> None:
    """After a lost answer a create is not sent again: a second row could come of it."""

    def lost(_: HttpRequest) -> HttpResponse:
        raise OutcomeUnknownError("lost")

    transport = FakeTransport(lost)
    retrying = RetryingTransport(transport, sleep=lambda _: None)
    with pytest.raises(OutcomeUnknownError):
        ParseClient(ParseApp("https://x", "app"), retrying).create("Message", {})
    assert len(transport.requests) == 1
    with pytest.raises(TransportError):
        retrying.send(HttpRequest("GET", "https://x", repeat=Repeat.SAFE))
    assert len(transport.requests) == 5


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"code":209,"error":"x"}'),
        (500, b'{"code":1,"message":"Internal server error."}'),
        (403, b'{"error":"unauthorized"}'),
        (502, b"<html>"),
    ],
)
def test_every_shape_of_error_is_ours(status: int, body: bytes) -> None:
    """The four shapes of Parse Server's errors all become errors of the tree."""
    transport = FakeTransport(lambda _: HttpResponse(status, {}, body))
    with pytest.raises(ParseServerError):
        ParseClient(ParseApp("https://x", "app"), transport).get("Message", "id")


class Album(Model, parse_class="NetworkAlbum"):
    """Holds a file, whose address the server says."""

    owner_id: str
    picture: File | None = None


def test_an_address_of_the_server_is_never_called() -> None:
    """Where a file lies is the server's word: it is shown, and no request goes there."""
    app = InMemoryApp()
    user = app.make_user()
    album = user.save(Album(owner_id=user.user_id))
    evil = {"__type": "File", "name": "a.bin", "url": "http://evil.example/steal"}

    def lie(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if request.method != "GET" or "NetworkAlbum" not in request.url:
            return response
        body = response.json()
        for row in body.get("results", [body]):
            row["picture"] = evil
        return HttpResponse(response.status, response.headers, json.dumps(body).encode())

    app.after = lie
    [found] = user.query(Album)
    assert found.picture is not None
    assert found.picture.url == evil["url"]
    found.owner_id = user.user_id
    user.save(found)
    user.refresh(album)
    hosts = {urllib.parse.urlsplit(request.url).hostname for request in app.requests}
    assert hosts <= {"parse.invalid", "service.invalid"}


def test_many_threads_share_one_transport() -> None:
    """Each thread's call has its own limits and its own answer, on few connections."""
    transport = RequestsTransport()

    def talk(peer: Peer) -> None:
        while head := peer.read_head():
            peer.send(answer(head.split(b" ")[1]))

    with RawServer(talk) as server, ThreadPoolExecutor(8) as pool:
        paths = [f"/{number}" for number in range(200)]
        requests = [HttpRequest("GET", f"{server.url}{path}") for path in paths]
        bodies = [response.body.decode() for response in pool.map(transport.send, requests)]
        assert bodies == paths
        assert server.connections <= 8
        transport.close()


def test_connections_stay_with_their_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fork the child opens its own: two processes never share a stream of bytes."""
    transport = RequestsTransport()
    with RawServer(answering(answer(b"{}"))) as server:
        transport.send(HttpRequest("GET", server.url))
        monkeypatch.setattr("encrypted_parse.transport.network.os.getpid", lambda: -1)
        transport.send(HttpRequest("GET", server.url))
        assert server.connections == 2
        transport.close()
