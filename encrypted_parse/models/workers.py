"""Threads that decrypt: key exchanges and signature checks leave Python's lock, so two help.

And one that works ahead of a caller who uses what is there already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from encrypted_parse.locks import Lock, PerProcess

T = TypeVar("T")

MAX_THREADS = 4  # beyond that, Python's lock is what they wait for
WORTH_SHARING = 16  # fewer objects are opened by the calling thread


class Workers:
    """A pool that is made when it is first needed, and anew after a fork. Thread-safe."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = min(MAX_THREADS, os.cpu_count() or 1) if threads is None else threads
        self._lock = Lock()
        self._pool: PerProcess[list[ThreadPoolExecutor]] = PerProcess(list)

    def each(self, work: Callable[[Sequence[T]], object], items: Sequence[T]) -> None:
        """Call *work* with slices of *items* that cover them all; returns when all are done.

        Raises:
            Exception: Whatever *work* raised first.
        """
        if self._threads < 2 or len(items) < WORTH_SHARING:  # noqa: PLR2004 - one thread is no pool
            work(items)
            return
        size = -(-len(items) // self._threads)
        slices = [items[start : start + size] for start in range(0, len(items), size)]
        others = [self._started().submit(work, part) for part in slices[1:]]
        work(slices[0])
        for other in others:
            other.result()

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if not self._pool.value:
                pool = ThreadPoolExecutor(self._threads, thread_name_prefix="encrypted-parse-open")
                self._pool.value.append(pool)
            return self._pool.value[0]


class Ahead:
    """One thread that works ahead; a context manager, whose end waits for it.

    What a forked child has not got yet, it works out itself: the thread is the parent's.
    """

    def __init__(self, name: str) -> None:
        self._pool = PerProcess(lambda: ThreadPoolExecutor(1, thread_name_prefix=name))

    def begin(self, work: Callable[[], T]) -> Callable[[], T]:
        """Begin *work*, and return what waits for its result."""
        process_id, begun = os.getpid(), self._pool.value.submit(work)
        return lambda: begun.result() if os.getpid() == process_id else work()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.value.shutdown()
