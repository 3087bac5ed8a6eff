"""What an error tracker finds: everything that can be reached from an exception."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_OURS_AND_THEIRS = {"requests", "urllib3", "http", "encrypted_parse", "json"}
_SLOTS_OF_ERRORS = ("object", "doc", "filename", "filename2", "strerror", "name")
_MAX_PATH = 600


def reachable(error: BaseException, secret: str) -> str | None:
    """Return the way from *error* to a text or bytes that hold *secret*; None if there is none.

    By causes, contexts, notes, arguments and attributes, through containers and objects.
    """
    seen: set[int] = set()
    waiting: list[tuple[Any, str]] = [(error, "error")]
    raw = secret.encode("utf-8", "surrogatepass")
    while waiting:
        one, path = waiting.pop()
        if id(one) in seen or len(path) > _MAX_PATH:
            continue
        seen.add(id(one))
        if isinstance(one, str):
            if secret in one:
                return path
        elif isinstance(one, (bytes, bytearray, memoryview)):
            if raw in bytes(one):
                return path
        else:
            waiting += _inside(one, path)
    return None


def _inside(one: Any, path: str) -> Iterable[tuple[Any, str]]:
    if isinstance(one, BaseException):
        for name in ("__cause__", "__context__", "args", *_SLOTS_OF_ERRORS):
            yield getattr(one, name, None), f"{path}.{name}"
    if isinstance(one, Mapping):
        for key, value in one.items():
            yield key, f"{path} key"
            yield value, f"{path}[{key!r}]"
    elif isinstance(one, (list, tuple, set, frozenset)):
        for number, value in enumerate(one):
            yield value, f"{path}[{number}]"
    if isinstance(one, BaseException) or type(one).__module__.split(".")[0] in _OURS_AND_THEIRS:
        yield getattr(one, "__dict__", None), f"{path}.__dict__"
        slots = {name for cls in type(one).__mro__ for name in getattr(cls, "__slots__", ())}
        for name in slots - {"__weakref__"}:
            yield getattr(one, name, None), f"{path}.{name}"
