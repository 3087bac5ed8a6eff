"""The body of an answer, inflated by us: in pieces, and never past a limit.

One encoding is asked for, so one is accepted. A list of them multiplies (gzip in gzip makes a
million bytes of one), and what a library accepts depends on what else is installed.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable
from typing import Any

from encrypted_parse.errors import MalformedResponseError, ResponseTooLargeError

ACCEPTED = "gzip"
_NONE = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})  # one name, RFC 9110, section 8.4.1.3
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib's way to say: with gzip's header and checksum
_PIECE_BYTES = 256 * 1024


def decode(pieces: Iterable[bytes], encoding: str, max_bytes: int) -> bytes:
    """Return the content of a body that came in *pieces*.

    Holds at most *max_bytes* and a piece of the content at a time, whatever the ratio.

    Raises:
        ResponseTooLargeError: The content has more than *max_bytes*.
        MalformedResponseError: Compressed otherwise than we asked for, more than once, cut, or
            followed by anything.
    """
    name = encoding.strip().lower()
    if name not in _NONE | _GZIP:
        raise MalformedResponseError("the answer is compressed in a way that was not asked for")
    content = bytearray()
    for piece in _inflated(pieces) if name in _GZIP else pieces:
        content += piece
        if len(content) > max_bytes:
            raise ResponseTooLargeError(f"the answer exceeds {max_bytes} bytes")
    return bytes(content)


def _inflated(pieces: Iterable[bytes]) -> Iterable[bytes]:
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    empty = True
    for piece in pieces:
        empty = False
        waiting = piece
        while waiting and not inflater.eof:
            yield _inflate(inflater, waiting)
            waiting = inflater.unconsumed_tail
        if inflater.eof and (waiting or inflater.unused_data):
            raise MalformedResponseError("the answer goes on behind the end of its compression")
    if not (empty or inflater.eof):
        raise MalformedResponseError("the answer's compression is cut")


def _inflate(inflater: Any, piece: bytes) -> bytes:  # noqa: ANN401 - zlib does not name the type
    with contextlib.suppress(zlib.error):
        return bytes(inflater.decompress(piece, _PIECE_BYTES))
    raise MalformedResponseError("the answer's compression is broken")
