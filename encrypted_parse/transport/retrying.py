"""Retries: which failures are worth another try, and when."""

from __future__ import annotations

import datetime as dt
import email.utils
import random
import time
from collections.abc import Callable

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ConnectionFailedError,
    OutcomeUnknownError,
    RequestTimeoutError,
    TransportError,
)
from encrypted_parse.transport.port import HttpRequest, HttpResponse, Repeat, Transport

ATTEMPTS = 4
FIRST_DELAY_SECONDS = 0.25
MAX_DELAY_SECONDS = 8.0
MAX_RETRY_AFTER_SECONDS = 30.0
_TOO_MANY_REQUESTS = 429  # refused before it did anything, so any request may be repeated
_UNAVAILABLE = frozenset({502, 503, 504})


@front_door
class RetryingTransport:
    """Repeats what may be repeated, with exponential backoff and full jitter.

    Every try has all the time that a transport gives to one; there is no limit for all together
    but their number and that of the longest pause.

    A request that is not safe to repeat is sent again only if it surely never reached the
    server; if nobody knows, the error is `OutcomeUnknownError`.
    """

    def __init__(
        self,
        inner: Transport,
        *,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._inner = inner
        self._attempts = attempts
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `Transport.send`."""
        for attempt in range(1, self._attempts):
            answer = self._try(request)
            if isinstance(answer, HttpResponse):
                if not _worth_repeating(request, answer):
                    return answer
                delay = self._retry_after(answer) or self._backoff(attempt)
            else:
                if not _may_repeat(request, answer):
                    raise _for_caller(request, answer)
                delay = self._backoff(attempt)
            self._sleep(delay)
        answer = self._try(request)
        if isinstance(answer, HttpResponse):
            return answer
        raise _for_caller(request, answer)

    def _try(self, request: HttpRequest) -> HttpResponse | TransportError:
        try:
            return self._inner.send(request)
        except TransportError as error:
            return error

    def _backoff(self, attempt: int) -> float:
        ceiling = min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** (attempt - 1))
        return float(ceiling * self._jitter())

    def _retry_after(self, response: HttpResponse) -> float | None:
        """Return the seconds that the server asks for, as a number or a date, bounded."""
        value = response.headers.get("retry-after")
        if value is None:
            return None
        try:
            seconds = float(value)
        except ValueError:
            try:
                when = email.utils.parsedate_to_datetime(value)
                if when.tzinfo is None:
                    when = when.replace(tzinfo=dt.UTC)
                seconds = when.timestamp() - self._clock()
            except (ValueError, OverflowError):  # a date, or an offset, that no calendar has
                return None
        if not seconds > 0:  # NaN too
            return None
        return min(seconds, MAX_RETRY_AFTER_SECONDS)


def _may_repeat(request: HttpRequest, error: TransportError) -> bool:
    if isinstance(error, ConnectionFailedError):
        return True
    ambiguous = isinstance(error, (OutcomeUnknownError, RequestTimeoutError))
    return ambiguous and request.repeat is Repeat.SAFE


def _worth_repeating(request: HttpRequest, response: HttpResponse) -> bool:
    if response.status == _TOO_MANY_REQUESTS:
        return True
    return response.status in _UNAVAILABLE and request.repeat is Repeat.SAFE


def _for_caller(request: HttpRequest, error: TransportError) -> TransportError:
    """A time-out of a write is, to its caller, an unknown outcome."""
    if isinstance(error, RequestTimeoutError) and request.repeat is Repeat.NEVER:
        return OutcomeUnknownError(
            "no answer to a write within the time limit, so it may or may not have happened: "
            f"{request.endpoint}",
            hint="fetch the object before you try again",
        )
    return error
