"""One call: how long it may take, how much it may receive, and how it is given up.

Every operation of a socket runs within the call of its thread, for the seconds that are left, so
no number of small steps adds up to more than the whole: connecting, the hand-shake of TLS, a
proxy's answer, sending, and each byte of an answer. There is no thread that watches.

The whole grows with what moves: a large file on a slow line takes its time, and whoever keeps to
the slowest rate is not cut off. Who drips gets what a drop is worth.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from encrypted_parse.errors import ResponseTooLargeError

SLOWEST_BYTES_PER_SECOND = 64 * 1024  # of what is sent and of what comes
WAITING_SECONDS = 3.0  # without an answer, until somebody is told
_HEAD_BYTES = 256 * 1024  # status lines, 1xx, headers, a proxy's answer; servers send some 16 KB

Result = TypeVar("Result")


class Call:
    """The limits of one request, from its first address look-up to the last byte of its answer.

    Used by the thread that runs it; `give_up` may be called by any other.

    Args:
        connect_seconds: For each step until there is a connection.
        idle_seconds: For each step after that: while no byte moves.
        total_seconds: For all of them, and one more for every `SLOWEST_BYTES_PER_SECOND` that
            were sent or came.
        on_waiting: Called once, when no answer has begun after `WAITING_SECONDS`.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        connect_seconds: float,
        idle_seconds: float,
        total_seconds: float,
        *,
        on_waiting: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._deadline = clock() + total_seconds
        self._notice_at = clock() + WAITING_SECONDS
        self._on_waiting = on_waiting
        self._step_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._bytes_left = _HEAD_BYTES
        self._given_up = False
        self._socket: socket.socket | None = None
        self.may_have_arrived = False  # is anything of the request sent?

    def connected(self) -> None:
        """From here on the request is sent: what fails now may have reached the server."""
        self._step_seconds = self._idle_seconds
        self.may_have_arrived = True

    def expect_body(self, count: int) -> None:
        """The head has ended: *count* more bytes may come. There is an answer."""
        self._on_waiting = None
        self._bytes_left += count

    def seconds(self) -> float:
        """Return how long the next step may take.

        Raises:
            TimeoutError: There is no time left, or the call was given up.
        """
        left = self._deadline - self._clock()
        if self._given_up or left <= 0:
            raise TimeoutError("no time is left")
        return min(self._step_seconds, left)

    def run(
        self,
        operation_of: socket.socket,
        operation: Callable[[], Result],
        resume: Callable[[], Result] | None = None,
    ) -> Result:
        """Let an operation of a socket take `seconds`, and no longer.

        Args:
            operation_of: The socket.
            operation: What waits. It may be called twice, if the first has timed out: the time
                is divided where somebody has to be told.
            resume: Goes on with what *operation* has begun, if calling that again would not.

        Raises:
            TimeoutError: As `seconds`.
        """
        self._socket = operation_of  # first: whoever gives up sees it, or we see that they did
        seconds = self.seconds()
        until_notice = self._notice_at - self._clock()
        if self._on_waiting is not None and until_notice < seconds:
            if until_notice > 0:
                operation_of.settimeout(until_notice)
                with contextlib.suppress(TimeoutError):
                    return operation()
                operation = resume or operation
                seconds -= until_notice
            notice, self._on_waiting = self._on_waiting, None
            notice()
            seconds = min(seconds, self.seconds())
        operation_of.settimeout(seconds)
        return operation()

    def sent(self, count: int) -> None:
        """Count what was taken of the request."""
        self._deadline += count / SLOWEST_BYTES_PER_SECOND

    def received(self, count: int) -> None:
        """Count what came.

        Raises:
            ResponseTooLargeError: It is more than an answer may have.
        """
        self._deadline += count / SLOWEST_BYTES_PER_SECOND
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ResponseTooLargeError("the answer exceeds the limit for what is received")

    def give_up(self) -> None:
        """End the call from another thread: what it waits for fails, and whatever comes next.

        Not the look-up of an address, which no system can interrupt; it is the last thing that
        the call then does.
        """
        self._given_up = True
        running = self._socket
        if running is not None:
            with contextlib.suppress(OSError):
                # Not the TLS socket's own method, which drops the encryption first.
                socket.socket.shutdown(running, socket.SHUT_RDWR)


_running = threading.local()


@contextlib.contextmanager
def running(call: Call) -> Iterator[None]:
    """Make *call* the one that this thread's sockets ask."""
    _running.call = call
    try:
        yield
    finally:
        _running.call = None


def current() -> Call:
    """Return the call of this thread. There is one whenever a socket of ours is used."""
    call: Call = _running.call
    return call
