"""What an error tracker gets to see: locals of frames, and all that hangs on an exception."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import encrypted_parse

PACKAGE = str(Path(encrypted_parse.__file__).parent)
TESTS = str(Path(__file__).parent)
STAND_IN = str(Path(PACKAGE) / "testing")  # plays the server, and knows what a server knows
LIBRARIES = ("requests", "urllib3", "http", "json", "encrypted_parse")

Shown = Iterator[tuple[str, str]]


def shown_by(error: BaseException) -> Shown:
    """Yield what *error* gives away, each with its place.

    The `repr` of every local of every frame, whoever's it is but a test's; and every text that can
    be reached through causes, contexts, attributes and containers.
    """
    waiting: list[tuple[str, object]] = [(type(error).__name__, error)]
    seen: set[int] = set()
    alive: list[object] = []  # so that no id is used twice
    while waiting:
        place, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        alive.append(one)
        if isinstance(one, BaseException):
            yield place, str(one)
            yield from _of_frames(one.__traceback__)
            parts = {"__cause__": one.__cause__, "__context__": one.__context__, "args": one.args}
            slots = {name: getattr(one, name, None) for name in ("object", "doc", "obj", "key")}
            for name, value in {**vars(one), **parts, **slots}.items():
                waiting.append((f"{place}.{name}", value))
        elif isinstance(one, (str, bytes)):
            yield place, one if isinstance(one, str) else repr(one)
        elif isinstance(one, Mapping):
            waiting += [(f"{place}[{key!r}]", value) for key, value in one.items()]
            waiting += [(f"{place} key", key) for key in one]
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting += [(f"{place}[]", value) for value in one]
        else:
            yield place, repr(one)
            if type(one).__module__.split(".")[0] in LIBRARIES[:-1] and hasattr(one, "__dict__"):
                waiting.append((f"{place}.__dict__", vars(one)))


def shown_by_running_frames() -> Shown:
    """Yield the `repr` of every local of the package's frames that run now, below a test's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE) and not name.startswith(STAND_IN):
            yield from _of_frame(frame)
        frame = frame.f_back


def frames_of(error: BaseException) -> list[FrameType]:
    """Return the frames of an exception's traceback, the outermost first."""
    frames: list[FrameType] = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _of_frames(traceback: TracebackType | None) -> Shown:
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(TESTS):
            yield from _of_frame(traceback.tb_frame)
        traceback = traceback.tb_next


def _of_frame(frame: FrameType) -> Shown:
    code = frame.f_code
    values: dict[str, Any] = dict(frame.f_locals)
    for name, value in values.items():
        try:
            shown = repr(value)
        except Exception as error:  # noqa: BLE001 - an object that is not yet made
            shown = type(error).__name__
        yield f"{code.co_filename}:{code.co_name}:{name}", shown
