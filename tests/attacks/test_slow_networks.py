"""Whoever answers slowly, endlessly or with too much: a call ends in its time and its size.

The servers of these tests would go on for many times the limit. A call that ends before they
have come to their end was ended by its limit; no test looks at a clock.
"""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Iterator
from random import Random

import pytest
from raw_server import Peer, RawServer, answer, answering

from encrypted_parse.errors import (
    ConnectionFailedError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseTooLargeError,
    TransportError,
)
from encrypted_parse.transport import HttpRequest, HttpResponse, RequestsTransport, calls, network

DRIPS = 1500  # 30 s, with pauses of 20 ms, against a limit of half a second
FLOOD_BYTES = 512 * 1024 * 1024
FEW_BYTES = 64 * 1024 * 1024  # what buffers of systems can swallow, and much more
NOISE = Random(16).randbytes(DRIPS)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# What comes at once, and what is then repeated: slowly for ever, or fast for ever.
ENDLESS = {
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "header": (OK, b"X"),
    "headers": (OK, b"X: y\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim answers with headers": (b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"),
    "body with a length": (OK + b"Content-Length: 999999999\r\n\r\n", b" "),
    "body without a length": (OK + b"\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "size of a chunk": (CHUNKED, b"0"),
    "extension of a chunk": (CHUNKED + b"1;", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n"),
    "body of a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n", b" "),
    "body of a failure": (b"HTTP/1.1 500 Oh\r\n\r\n", b" "),
}


@pytest.fixture
def network_() -> Iterator[RequestsTransport]:
    """Give a transport with half a second for everything, and small answers."""
    transport = RequestsTransport(
        connect_timeout_seconds=20,
        read_timeout_seconds=20,
        total_timeout_seconds=0.5,
        max_response_bytes=1_000_000,
    )
    yield transport
    transport.close()


@pytest.mark.parametrize("part", ENDLESS)
def test_no_part_of_an_answer_drips_past_the_deadline(
    part: str, network_: RequestsTransport
) -> None:
    """Each byte comes in time, and the answer never ends: the call does."""
    at_once, piece = ENDLESS[part]

    def talk(peer: Peer) -> None:
        peer.read_head()
        peer.send(at_once)
        peer.drip(piece, DRIPS)

    with RawServer(talk) as server:
        with pytest.raises(RequestTimeoutError):
            network_.send(HttpRequest("GET", f"{server.url}/"))
        assert not server.finished.is_set()


@pytest.mark.parametrize("part", ENDLESS)
def test_no_part_of_an_answer_fills_the_memory(part: str) -> None:
    """What comes fast and without end is received up to a limit, whichever part it is."""
    at_once, piece = ENDLESS[part]
    transport = RequestsTransport(max_response_bytes=1_000_000)

    def talk(peer: Peer) -> None:
        peer.read_head()
        peer.send(at_once)
        peer.flood(piece, FLOOD_BYTES)

    with RawServer(talk) as server:
        with pytest.raises((ResponseTooLargeError, OutcomeUnknownError)):
            transport.send(HttpRequest("GET", f"{server.url}/"))
        transport.close()
        assert server.sent < FEW_BYTES


def test_a_compressed_answer_does_not_drip_past_the_deadline(network_: RequestsTransport) -> None:
    """A byte of gzip at a time, none of which gives any content, ends in time too."""
    packed = zlib.compressobj(0, zlib.DEFLATED, 31)
    data = packed.compress(NOISE) + packed.flush()

    def talk(peer: Peer) -> None:
        peer.read_head()
        peer.send(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data))
        for number in range(len(data)):
            peer.drip(data[number : number + 1], 1)
            server.finished.clear()
        server.finished.set()

    with RawServer(talk) as server:
        with pytest.raises(RequestTimeoutError):
            network_.send(HttpRequest("GET", f"{server.url}/"))
        assert not server.finished.is_set()


def test_a_server_that_reads_slowly_does_not_hold_an_upload() -> None:
    """A request that is taken byte by byte ends in time; it may have arrived.

    The buffers of two systems take some megabytes at once, and what they took gives time. Then
    no byte moves.
    """
    transport = RequestsTransport(read_timeout_seconds=1, total_timeout_seconds=0.5)

    def talk(peer: Peer) -> None:
        for _ in range(DRIPS):
            if server.stopping.wait(0.02):
                return
            peer.socket.recv(1)
        server.finished.set()

    with RawServer(talk) as server:
        with pytest.raises(RequestTimeoutError):
            transport.send(HttpRequest("POST", f"{server.url}/", body=bytes(32 * 1024 * 1024)))
        assert not server.finished.is_set()
    transport.close()


def test_a_hand_shake_does_not_drip_past_the_deadline(network_: RequestsTransport) -> None:
    """TLS that begins and never ends fails in time, and nothing of the request was sent."""

    def talk(peer: Peer) -> None:
        peer.socket.recv(65536)
        peer.send(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")  # a record of 16 KB, begun
        peer.drip(b"\0", DRIPS)

    with RawServer(talk) as server:
        with pytest.raises(ConnectionFailedError):
            network_.send(HttpRequest("GET", f"https://127.0.0.1:{server.port}/"))
        assert not server.finished.is_set()


@pytest.mark.parametrize("part", ["status line", "headers", "interim answers"])
def test_a_proxy_does_not_drip_past_the_deadline(
    part: str, network_: RequestsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that never finishes its answer to CONNECT fails in time; nothing was sent."""
    at_once, piece = ENDLESS[part]

    def talk(peer: Peer) -> None:
        peer.read_head()
        peer.send(at_once)
        peer.drip(piece, DRIPS)

    with RawServer(talk) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url)
        with pytest.raises(ConnectionFailedError):
            network_.send(HttpRequest("GET", "https://parse.invalid/", {"X-Secret": "canary"}))
        assert not server.finished.is_set()
        assert not any(b"canary" in head for head in server.heads)


def test_many_addresses_share_one_deadline(
    network_: RequestsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with a thousand addresses, none of which answers, ends in time."""
    tried = []

    class Silent(socket.socket):
        def connect(self, _address: object) -> None:
            tried.append(_address)
            threading.Event().wait(0.02)
            raise TimeoutError

    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [place] * 1000)
    monkeypatch.setattr("encrypted_parse.transport.connections._Socket", Silent)
    with pytest.raises(ConnectionFailedError):
        network_.send(HttpRequest("GET", "http://parse.invalid/"))
    assert len(tried) < 100


def test_a_connection_that_timed_out_is_not_used_again() -> None:
    """The rest of a late answer is never taken for the answer to the next request."""
    transport = RequestsTransport(total_timeout_seconds=3)

    def talk(peer: Peer) -> None:
        peer.read_head()
        if server.connections == 1:
            over.wait(60)
            peer.send(answer(b"late"))
        else:
            peer.send(answer(b"right"))

    over = threading.Event()
    with RawServer(talk) as server:
        with pytest.raises(RequestTimeoutError):
            transport.send(HttpRequest("GET", f"{server.url}/1"))
        over.set()
        assert transport.send(HttpRequest("GET", f"{server.url}/2")).body == b"right"
        assert server.connections == 2
        transport.close()


def test_a_connection_is_used_again() -> None:
    """What ended in order is kept: the limits cost no connection."""
    transport = RequestsTransport()
    with RawServer(answering(answer(b"right"))) as server:
        for _ in range(3):
            assert transport.send(HttpRequest("GET", f"{server.url}/")).body == b"right"
        assert server.connections == 1
        transport.close()


def test_an_interim_answer_is_no_answer() -> None:
    """103 and its kin are refused, and the answer behind them is nobody's."""
    transport = RequestsTransport()
    data = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(b"behind")
    with RawServer(answering(data)) as server:
        for count in (1, 2):
            with pytest.raises(OutcomeUnknownError):
                transport.send(HttpRequest("GET", f"{server.url}/"))
            assert server.connections == count
    transport.close()


def test_a_call_is_given_up_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits for its answer ends when somebody else gives it up."""
    made: list[calls.Call] = []
    results: list[HttpResponse | TransportError] = []

    class Kept(calls.Call):
        def __init__(self, *args: float, **settings: object) -> None:
            super().__init__(*args, **settings)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(network, "Call", Kept)
    transport = RequestsTransport()
    arrived = threading.Event()

    def talk(peer: Peer) -> None:
        peer.read_head()
        arrived.set()
        server.stopping.wait()

    def send() -> None:
        try:
            results.append(transport.send(HttpRequest("GET", f"{server.url}/")))
        except TransportError as error:
            results.append(error)

    with RawServer(talk) as server:
        thread = threading.Thread(target=send)
        thread.start()
        assert arrived.wait(60)
        made[0].give_up()
        thread.join(60)
        assert not thread.is_alive()
    assert isinstance(results[0], (OutcomeUnknownError, RequestTimeoutError))
    transport.close()


def test_a_call_that_was_given_up_does_nothing_more() -> None:
    """Before its next step, a call looks whether anybody still wants it."""
    call = calls.Call(10, 10, 10)
    call.give_up()
    with pytest.raises(TimeoutError):
        call.seconds()
