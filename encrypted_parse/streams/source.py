"""Reading a file or file object from where it stands to its end, in pieces."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from encrypted_parse.errors import SourceSizeError

File = str | os.PathLike[str] | BinaryIO
"""A path, or a binary file object."""

Progress = Callable[[int, int | None], None]
"""Called after each piece with the bytes done and, if it is known, how many there are."""

CHUNK_BYTES = 1024 * 1024


class Source:
    """A binary file object, read to its end or for a known number of bytes.

    Attributes:
        size: How many bytes are left, or None if the object cannot tell.
    """

    def __init__(self, file: BinaryIO, progress: Progress | None) -> None:
        self._file = file
        self._progress = progress
        self._buffers = [memoryview(bytearray(CHUNK_BYTES)) for _ in range(2)]
        self._read_into: Callable[[memoryview], int | None]
        self._read_into = getattr(file, "readinto", None) or functools.partial(_by_read, file)
        self._done = 0
        self._ahead = b""
        self.size = self._total = _bytes_left(file)

    def chunks(self, limit: int | None = None) -> Iterator[memoryview]:
        """Yield the rest of the source, or its next *limit* bytes, in pieces up to 1 MiB.

        Each piece is valid until the next but one is asked for. Stops early where the source
        ends.
        """
        left = limit
        while left is None or left > 0:
            wanted = CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)
            self._buffers.reverse()
            buffer = self._buffers[0]
            count = self._fill(buffer[:wanted])
            if count == 0:
                return
            left = None if left is None else left - count
            yield buffer[:count]
            self._done += count
            if self._progress is not None:
                self._progress(self._done, self._total)

    def peek(self, count: int) -> bytes:
        """Return the next *count* bytes, or fewer at the end; they are still to be read."""
        buffer = memoryview(bytearray(count))
        self._ahead = bytes(buffer[: self._fill(buffer)])
        return self._ahead

    def read(self, count: int) -> bytes:
        """Return the next *count* bytes, or fewer at the source's end."""
        return b"".join(map(bytes, self.chunks(count)))

    def rewind(self) -> None:
        """Go back to where the first pass began; progress goes on, over two passes.

        Raises:
            SourceSizeError: The source can be read only once.
        """
        if self.size is None:
            raise SourceSizeError(
                "this form reads its source twice, and this source cannot go back",
                hint="pass a file, or use the form of sign_and_encrypt_file",
            )
        self._file.seek(-self._done, os.SEEK_CUR)

    def expect_passes(self, passes: int) -> None:
        """Let progress count that many passes over the source."""
        self._total = None if self.size is None else self.size * passes

    def _fill(self, buffer: memoryview) -> int:
        filled = min(len(self._ahead), len(buffer))
        buffer[:filled], self._ahead = self._ahead[:filled], self._ahead[filled:]
        while filled < len(buffer):
            count = self._read_into(buffer[filled:])
            if count is None:
                raise BlockingIOError("the source is not ready, and a stream is read by waiting")
            if count == 0:
                break
            filled += count
        return filled


def _by_read(file: BinaryIO, buffer: memoryview) -> int | None:
    """Do what `readinto` does, for objects that have no such method."""
    piece: bytes | None = file.read(len(buffer))
    if piece is None:
        return None
    buffer[: len(piece)] = piece
    return len(piece)


@contextlib.contextmanager
def opened(source: File, progress: Progress | None = None) -> Iterator[Source]:
    """Open a path for reading, or take a file object as it is (and leave it open)."""
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb", buffering=0) as file:
            yield Source(file, progress)
    else:
        yield Source(source, progress)


def _bytes_left(file: BinaryIO) -> int | None:
    try:
        if not file.seekable():
            return None
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (AttributeError, OSError, io.UnsupportedOperation):
        return None
    return max(0, end - here)
