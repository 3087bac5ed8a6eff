"""Locks that a forked child finds free: the only module that makes one.

`os.fork` copies the memory of a process, and of its threads only the one that called it. A lock
that another thread held at that moment is copied as it was: held, by nobody who could release it.
Whatever threads share is therefore made here, and begins anew in every child.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

_FORK_WAITS_SECONDS = 5.0  # for `FORK_GATE`; what it guards takes milliseconds


class _BegunAnew(Protocol):
    def begin_anew(self) -> None:
        """Forget what is the parent's; called first thing in every forked child."""


class PerProcess(Generic[T]):
    """A value of this process alone: a forked child begins with a new one.

    For what only threads of the parent can bring to an end: work that they have begun.

    Args:
        make: Makes the value; called here, and first thing in every forked child.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.value = make()
        _begun_anew.add(self)

    def begin_anew(self) -> None:
        """Forget the parent's value."""
        self.value = self._make()


class Lock:
    """Held by one thread at a time, which may take it again; a context manager.

    In a forked child it is free, unless the very thread that forked was holding it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holder: int | None = None  # written by who holds the lock
        self._depth = 0
        _begun_anew.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1
        self._holder = threading.get_ident()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._holder = None
        self._lock.release()

    def begin_anew(self) -> None:
        """Be free, if the holder was not copied into this process."""
        if self._holder != threading.get_ident():
            self._lock, self._holder, self._depth = threading.RLock(), None, 0


class ForkGate:
    """What no fork may fall into: a fork waits until nobody is inside. A context manager.

    For libraries in C that keep locks of their own and cannot begin anew, as SQLite. Only for
    work of milliseconds: who is inside for longer than five seconds is not waited for.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._closed = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def close(self) -> None:
        """Let nobody in, once everybody is out: a fork begins."""
        self._closed = self._lock.acquire(timeout=_FORK_WAITS_SECONDS)

    def open(self) -> None:
        """Let everybody in again: this is the parent, after the fork."""
        if self._closed:
            self._closed = False
            self._lock.release()

    def begin_anew(self) -> None:
        """Let everybody in: this is the child, in which nobody is inside."""
        if self._closed:
            self.open()
        else:  # somebody was waited for in vain
            self._lock = threading.RLock()


_begun_anew: weakref.WeakSet[_BegunAnew] = weakref.WeakSet()
FORK_GATE = ForkGate()


def _begin_anew() -> None:
    FORK_GATE.begin_anew()
    for one in list(_begun_anew):
        one.begin_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=FORK_GATE.close, after_in_parent=FORK_GATE.open, after_in_child=_begin_anew
    )
