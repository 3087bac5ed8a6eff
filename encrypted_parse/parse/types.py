"""Parse's JSON: dates, and what a plain value may hold."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

from encrypted_parse.errors import InvalidValueError

MAX_SAFE_INTEGER = 2**53 - 1  # numbers are IEEE doubles
MAX_DEPTH = 64  # bounds work on hostile input
_REFUSED_KEYS = frozenset({"__op", "__proto__", "__type", "_bsontype", "constructor"})
_PARSE_TYPES = frozenset({"Bytes", "Date", "File", "GeoPoint", "Object", "Pointer", "Polygon"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


def date_to_json(value: dt.datetime) -> dict[str, str]:
    """Return Parse's Date: UTC, cut to milliseconds, which is all that Parse keeps.

    Raises:
        InvalidValueError: *value* has no time zone.
    """
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidValueError(
            "a datetime without time zone has no one meaning",
            hint="use an aware one: datetime.now(timezone.utc)",
        )
    try:
        utc = value.astimezone(dt.UTC)
    except OverflowError:
        raise InvalidValueError("the datetime is out of range in UTC") from None
    milliseconds = utc.microsecond // 1000
    text = f"{utc.year:04d}-{utc:%m-%dT%H:%M:%S}.{milliseconds:03d}Z"
    return {"__type": "Date", "iso": text}


def date_from_json(value: Any) -> dt.datetime:  # noqa: ANN401 - whatever the server sent
    """Read a Parse Date, or the bare string that `createdAt` and `updatedAt` are.

    Raises:
        InvalidValueError: Neither.
    """
    if isinstance(value, dict):
        value = value.get("iso") if value.get("__type") == "Date" else None
    if isinstance(value, str) and _ISO.fullmatch(value):
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidValueError("the stored value is not a date")


def check_json_value(value: Any, *, depth: int = 0) -> None:  # noqa: ANN401, C901, PLR0912 - any value; one branch a type
    """Refuse what Parse Server or its database would refuse, change, or interpret.

    The value is never part of the message.

    Raises:
        InvalidValueError: NaN or an infinity, an int beyond 2**53 - 1, NUL or a lone surrogate
            in a string, a key with ``$`` or ``.``, a key that Parse interprets (but for the
            ``__type`` of its own kinds of values), a type that JSON has not, or nesting deeper
            than 64.
    """
    if depth > MAX_DEPTH:
        raise InvalidValueError(f"nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_string(value)
    elif isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise InvalidValueError("an int exceeds 2**53 - 1", hint="store big ints as str")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidValueError("NaN and infinities have no JSON")
    elif isinstance(value, list):
        for element in value:
            check_json_value(element, depth=depth + 1)
    elif isinstance(value, dict):
        tagged = isinstance(value.get("__type"), str) and value["__type"] in _PARSE_TYPES
        for key, element in value.items():
            if not (tagged and key == "__type"):
                _check_key(key)
            check_json_value(element, depth=depth + 1)
    else:
        raise InvalidValueError(f"{type(value).__name__} is not a JSON type")


def _check_string(value: str) -> None:
    if "\0" in value:
        raise InvalidValueError("the text holds NUL, which databases refuse")
    if _SURROGATE.search(value):
        raise InvalidValueError("the text holds a lone surrogate, which has no UTF-8")


def _check_key(key: Any) -> None:  # noqa: ANN401 - a dict may have any key
    if not isinstance(key, str):
        raise InvalidValueError("a dict's keys are strings in JSON")
    _check_string(key)
    if "$" in key or "." in key:
        raise InvalidValueError("a key holds '$' or '.', which Parse refuses")
    if key in _REFUSED_KEYS:
        raise InvalidValueError(f"Parse interprets the key {key!r}; use another")
