"""A digest that is computed beside the reading, ciphering and writing of a stream.

SHA-512 takes most of a stream's time, and hashlib lets other threads run meanwhile.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from encrypted_parse.crypto import primitives as p

_WORTH_A_THREAD_BYTES = 256 * 1024


class StreamHasher:
    """A digest fed in pieces, long ones by a second thread; a context, whose end stops it.

    A piece's buffer must stay as it is until the next piece was taken or the digest asked for.
    """

    def __init__(self, algorithm: str = "sha512") -> None:
        self._hasher = p.hasher(algorithm)
        self._pool: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None

    def update(self, piece: memoryview) -> None:
        """Take in the next piece; the one before is done by then."""
        self._wait()
        if len(piece) < _WORTH_A_THREAD_BYTES:
            self._hasher.update(piece)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "stream-hasher")
        self._running = self._pool.submit(self._hasher.update, piece)

    def digest(self) -> bytes:
        """Return the digest of all pieces."""
        self._wait()
        return self._hasher.digest()

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()
            self._running = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
