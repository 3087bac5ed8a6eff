"""The network of commands: whoever waits is told for whom, and says how long they would.

Notices go to standard error, so that they stand in no result.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import time
import typing
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, Any

import typer

from encrypted_parse.cli.terminal import write
from encrypted_parse.transport import RequestsTransport, RetryingTransport, Transport
from encrypted_parse.transport.calls import WAITING_SECONDS
from encrypted_parse.transport.network import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS

TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        max=86_400,
        help="Give a request up after so long without a byte moving. The whole may take as long, "
        "and a second more for every 64 KiB. Without it: 30, and 300 to deploy.",
        show_default=False,
    ),
]
_timeout: ContextVar[float | None] = ContextVar("_timeout", default=None)


def networked(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option `--timeout`, which is for what `network` returns inside of it."""

    @functools.wraps(command)
    def with_timeout(*args: Any, timeout: float | None = None, **kwargs: Any) -> Any:  # noqa: ANN401 - as the command's
        before = _timeout.set(timeout)
        try:
            return command(*args, **kwargs)
        finally:
            _timeout.reset(before)

    own = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(
        "timeout", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=TimeoutOption
    )
    with_timeout.__signature__ = own.replace(  # type: ignore[attr-defined]  # inspect reads it
        parameters=[*own.parameters.values(), option]
    )
    hints = typing.get_type_hints(command, include_extras=True)
    with_timeout.__annotations__ = {**hints, "timeout": TimeoutOption}
    return with_timeout


def network(default_seconds: float = READ_TIMEOUT_SECONDS) -> Transport:
    """Return the transport of a command, with the limits that its caller asked for."""
    asked = _timeout.get()
    seconds = default_seconds if asked is None else asked
    inner = RequestsTransport(
        connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS if asked is None else asked,
        read_timeout_seconds=seconds,
        total_timeout_seconds=seconds,
        on_waiting=lambda host: _say(f"still waiting for {host}"),
    )
    return RetryingTransport(inner, sleep=_pause)


def _pause(seconds: float) -> None:
    if seconds >= WAITING_SECONDS:
        _say(f"the server asks for a pause: going on in {seconds:.0f} s")
    time.sleep(seconds)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a closed standard error ends no request
        write(text, err=True)
