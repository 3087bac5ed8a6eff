"""Threads that decrypt: key exchanges and signature checks leave Python's lock, so two help."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MAX_THREADS = 4  # beyond that, Python's lock is what they wait for
WORTH_SHARING = 16  # fewer objects are opened by the calling thread


class Workers:
    """A pool that is made when it is first needed, and anew after a fork. Thread-safe."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = min(MAX_THREADS, os.cpu_count() or 1) if threads is None else threads
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process_id = 0

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
            if self._pool is None or self._process_id != os.getpid():
                # After a fork the threads are the parent's.
                self._pool = ThreadPoolExecutor(
                    self._threads, thread_name_prefix="encrypted-parse-open"
                )
                self._process_id = os.getpid()
            return self._pool
