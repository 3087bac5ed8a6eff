"""Compressed answers: one encoding, once, whole, and never past the limit while it is inflated."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_server import RawServer, answer, answering

from encrypted_parse.errors import MalformedResponseError, ResponseTooLargeError
from encrypted_parse.transport import HttpRequest, HttpResponse, RequestsTransport
from encrypted_parse.transport.decoding import decode

LIMIT = 1024 * 1024
CONTENT = b'{"results":[]}' * 100
PACKED = gzip.compress(CONTENT)


@pytest.fixture
def transport() -> Iterator[RequestsTransport]:
    """Give a transport that reads a megabyte at most."""
    transport = RequestsTransport(max_response_bytes=LIMIT)
    yield transport
    transport.close()


def _get(transport: RequestsTransport, body: bytes, *headers: str) -> HttpResponse:
    with RawServer(answering(answer(body, *headers))) as server:
        return transport.send(HttpRequest("GET", f"{server.url}/"))


def _bomb(size: int) -> bytes:
    """Return gzip of *size* zeros, made without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(LIMIT)) for _ in range(size // LIMIT)) + packer.flush()


@pytest.mark.parametrize("name", ["gzip", "GZIP", " gzip ", "x-gzip"])
def test_gzip_is_read(name: str, transport: RequestsTransport) -> None:
    """The encoding that we ask for is inflated, under each of its spellings."""
    assert _get(transport, PACKED, f"Content-Encoding: {name}").body == CONTENT


@pytest.mark.parametrize("header", [(), ("Content-Encoding: identity",), ("Content-Encoding:",)])
def test_no_compression_is_read(header: tuple[str, ...], transport: RequestsTransport) -> None:
    """An answer without compression is taken as it is, also if it looks like gzip."""
    assert _get(transport, PACKED, *header).body == PACKED


def test_gzip_alone_is_asked_for(transport: RequestsTransport) -> None:
    """What a library could read besides is not offered to the server."""
    with RawServer(answering(answer(CONTENT))) as server:
        transport.send(HttpRequest("GET", f"{server.url}/"))
        [head] = server.heads
    lines = head.lower().split(b"\r\n")
    assert [line for line in lines if line.startswith(b"accept-encoding:")] == [
        b"accept-encoding: gzip"
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("gzip, gzip",),
        ("gzip", "gzip"),
        ("identity, gzip",),
        ("gzip,",),
        ("deflate",),
        ("br",),
        ("zstd",),
        ("compress",),
        ("gzip;q=1",),
        ("nonsense",),
    ],
)
def test_no_other_encoding_is_read(names: tuple[str, ...], transport: RequestsTransport) -> None:
    """Several encodings, and any that was not asked for, are refused whatever they hold."""
    body = gzip.compress(PACKED) if names == ("gzip, gzip",) else PACKED
    with pytest.raises(MalformedResponseError):
        _get(transport, body, *(f"Content-Encoding: {name}" for name in names))


@pytest.mark.parametrize(
    ("body", "crime"),
    [
        (PACKED[:-1], "cut"),
        (PACKED[:5], "cut in its header"),
        (PACKED + b"x", "a tail"),
        (PACKED + PACKED, "twice"),
        (PACKED + gzip.compress(b""), "twice, the second empty"),
        (PACKED[:-8] + bytes(8), "another checksum"),
        (CONTENT, "no gzip at all"),
        (zlib.compress(CONTENT), "deflate by name of gzip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_one_whole_gzip_is_refused(
    body: bytes, crime: str, transport: RequestsTransport
) -> None:
    """Half of an answer is none, and nothing stands behind its end."""
    with pytest.raises(MalformedResponseError):
        _get(transport, body, "Content-Encoding: gzip")


@pytest.mark.parametrize("layers", [1, 2], ids=["gzip", "gzip in gzip"])
@pytest.mark.parametrize("status", ["200 OK", "302 Found", "500 Oh"])
def test_a_bomb_does_not_fill_the_memory(
    layers: int, status: str, transport: RequestsTransport
) -> None:
    """Some hundred bytes of an answer never become more than the limit, redirects included."""
    body = _bomb(256 * LIMIT)
    names = "Content-Encoding: gzip"
    if layers == 2:
        body, names = gzip.compress(body), "Content-Encoding: gzip, gzip"
    data = answer(body, names, "Location: /there", status=status)
    tracemalloc.start()
    try:
        with RawServer(answering(data)) as server:
            before, _ = tracemalloc.get_traced_memory()
            with pytest.raises((ResponseTooLargeError, MalformedResponseError)):
                transport.send(HttpRequest("GET", f"{server.url}/"))
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 8 * LIMIT


def test_the_limit_is_of_the_content(transport: RequestsTransport) -> None:
    """Exactly the limit is read; one byte more is not."""
    header = "Content-Encoding: gzip"
    assert len(_get(transport, gzip.compress(bytes(LIMIT)), header).body) == LIMIT
    with pytest.raises(ResponseTooLargeError):
        _get(transport, gzip.compress(bytes(LIMIT + 1)), header)


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_any_content_in_any_pieces(content: bytes, step: int) -> None:
    """However the network cuts a body, the content is the same."""
    packed = gzip.compress(content)
    pieces = [packed[start : start + step] for start in range(0, len(packed), step)]
    assert decode(pieces, "gzip", LIMIT) == content


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_noise_is_refused_or_read(pieces: list[bytes]) -> None:
    """Whatever bytes come under the name of gzip: content, or one error of ours."""
    with contextlib.suppress(MalformedResponseError):
        decode(pieces, "gzip", LIMIT)
