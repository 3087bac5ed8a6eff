"""Discretion: an exception that leaves this package takes no value along.

Error trackers send the local variables of every frame of a traceback. Ours hold plaintexts,
passwords and keys in whatever form the work of the moment needs, so no `repr` can hide them all.
Therefore everything public is a front door: when an exception passes it, the finished frames behind
it forget their locals, as `traceback.clear_frames` makes them. Files, lines and names of functions
stay. What has to stand in a frame that runs, while somebody else's code is called, is `hushed`.
ADR 20.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
import types
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final, TypeVar, cast

Thing = TypeVar("Thing", bound=Callable[..., Any])
Failure = TypeVar("Failure", bound=BaseException)
Value = TypeVar("Value")

SPECIAL_DOORS: Final = frozenset({"__call__", "__getitem__", "__init__", "__iter__", "__next__"})
"""The special methods that are doors of a class. The others are given no secret."""
_SECRET: Final = re.compile(r"passw(or)?d|passphrase|token$|^(code|environ|secret|variables)$")
"""Parameters that a door hands on hushed: secrets, and environments, which hold any program's.
Constructors are handed what they keep as it is."""
_MARK: Final = "__front_door__"
_PACKAGE: Final = f"{__package__}."


def front_door(thing: Thing) -> Thing:
    """Make a function, or what is public in a class, a door that exceptions leave empty-handed.

    Of a class: its own public methods, class methods, static methods and properties, and its
    `SPECIAL_DOORS`. Inherited ones are the business of the class that defines them.

    When an exception passes, every finished frame below the door is cleared, of this exception
    and of all that it is linked to, whoever's code the frame runs: an app's own codec or
    transport is given the same values. Exceptions that the caller was handling already stay as
    they are. Parameters that are named like a secret reach *thing* `hushed`. Its signature, name,
    type and docstring are kept.
    """
    if not isinstance(thing, type):
        return cast("Thing", _as_door(thing))
    for name, member in list(vars(thing).items()):
        if name in SPECIAL_DOORS or not name.startswith("_"):
            door = _member_as_door(member)
            if door is not member:
                setattr(thing, name, door)
    return thing


def is_front_door(member: object) -> bool:
    """Tell whether a function, a method as its class holds it, or a whole property is a door."""
    if isinstance(member, property):
        return all(map(is_front_door, filter(None, (member.fget, member.fset, member.fdel))))
    return hasattr(getattr(member, "__func__", member), _MARK)


def as_value(error: Failure) -> Failure:
    """Return *error* to be handed out as a value: its class, message, attributes, and no more.

    It was caught in a frame that still runs and cannot be cleared, so traceback, cause and
    context are dropped.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def hushed(value: Value) -> Value:
    """Return a text, bytes or a mapping in an equal form whose `repr` shows nothing.

    A callback, a transport or a handler of log records may look at the frames that called it, and
    a frame that runs cannot be cleared. `str` of the text, or a part of it, speaks again. Anything
    else is returned as it is.
    """
    mute: Any
    for kind, mute in ((str, _Text), (bytes, _Bytes), (Mapping, _Dict)):
        if isinstance(value, kind) and not isinstance(value, mute):
            return cast("Value", mute(value))
    return value


def level_outside() -> int:
    """Return the `stacklevel` with which a warning names the line that called this package."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001 - its documented use
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def _show_nothing(_: object) -> str:
    return "<hushed>"


class _Text(str):
    __slots__ = ()
    __repr__ = _show_nothing


class _Bytes(bytes):
    __slots__ = ()
    __repr__ = _show_nothing


class _Dict(dict[Any, Any]):
    __slots__ = ()
    __repr__ = _show_nothing


def _member_as_door(member: Any) -> Any:  # noqa: ANN401 - whatever a class holds
    if isinstance(member, types.FunctionType):
        return _as_door(member)
    if isinstance(member, (classmethod, staticmethod)):
        return type(member)(_as_door(member.__func__))
    if isinstance(member, property):
        parts = (member.fget, member.fset, member.fdel)
        getter, setter, deleter = (part and _as_door(part) for part in parts)
        return property(getter, setter, deleter, member.__doc__)
    return member


def _as_door(function: Any) -> Any:  # noqa: ANN401 - any callable, and the same again
    if is_front_door(function):
        return function
    secrets = _secrets_of(function)

    # A door is a running frame itself: what it hands on is on the way, never in a local of it.
    def door(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever *function* returns
        passed: list[Any] = [kwargs, args]
        if secrets:
            passed = _hushed_arguments(secrets, args, kwargs)
        del args, kwargs
        try:
            return function(*passed.pop(), **passed.pop())
        except BaseException as error:
            _empty_hands(error)
            raise

    def generator_door(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401
        passed: list[Any] = [kwargs, args]
        del args, kwargs
        try:
            return (yield from function(*passed.pop(), **passed.pop()))
        except BaseException as error:
            _empty_hands(error)
            raise

    made = functools.wraps(function)(
        generator_door if inspect.isgeneratorfunction(function) else door
    )
    setattr(made, _MARK, True)
    return made


def _secrets_of(function: types.FunctionType) -> dict[str, int]:
    """Return the parameters that are named like a secret, each with its place."""
    code = function.__code__
    if function.__name__ == "__init__":
        return {}
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {name: place for place, name in enumerate(names) if _SECRET.search(name)}


def _hushed_arguments(
    secrets: Mapping[str, int], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[Any]:
    places = set(secrets.values())
    return [
        {name: hushed(value) if name in secrets else value for name, value in kwargs.items()},
        [hushed(value) if place in places else value for place, value in enumerate(args)],
    ]


def _empty_hands(error: BaseException) -> None:
    """Take from *error*, which is passing a door, what it holds of the frames below that door."""
    for frame in _frames_of(error):
        _cleared(frame)
    _forget_values(error)
    waiting, seen = [*_linked(error)], {id(error)}
    while waiting:
        other = waiting.pop()
        frames = _frames_of(other)
        if id(other) in seen or (frames and not _cleared(frames[0])):
            continue  # it was caught in a frame that still runs: it is the caller's
        seen.add(id(other))
        for frame in frames:
            _cleared(frame)
        _forget_values(other)
        waiting.extend(_linked(other))


def _frames_of(error: BaseException) -> list[types.FrameType]:
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _cleared(frame: types.FrameType) -> bool:
    """Clear *frame*; return False if it still runs, as the door's own does."""
    try:
        frame.clear()
    except RuntimeError:
        return False
    return True


def _linked(error: BaseException) -> Iterator[BaseException]:
    if error.__suppress_context__ and error.__cause__ is None:
        error.__context__ = None  # `from None` only keeps it from being printed
    yield from (one for one in (error.__cause__, error.__context__) if one is not None)
    if isinstance(error, BaseExceptionGroup):
        yield from error.exceptions


def _forget_values(error: BaseException) -> None:
    """Drop the value that Python's own errors carry beside their message."""
    if isinstance(error, AttributeError):
        error.obj = None
    elif isinstance(error, json.JSONDecodeError):
        error.doc = ""
    elif isinstance(error, UnicodeDecodeError):
        error.object = b""
        error.args = (error.encoding, b"", error.start, error.end, error.reason)
    elif isinstance(error, UnicodeEncodeError):
        error.object = ""
        error.args = (error.encoding, "", error.start, error.end, error.reason)
