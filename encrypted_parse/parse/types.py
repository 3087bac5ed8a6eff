"""Parse's JSON: dates, and what a plain value may hold."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from encrypted_parse.errors import InvalidValueError

MAX_SAFE_INTEGER = 2**53 - 1  # numbers are IEEE doubles
MAX_DEPTH = 64  # bounds work on hostile input
MAX_BODY_DEPTH = 100  # the guard's bound, and MongoDB's; a batch is around what is saved
MAX_LATITUDE = 90.0
MAX_LONGITUDE = 180.0
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
            ``__type`` of its own kinds of values), a value of such a kind that is not whole, a
            type that JSON has not, or nesting deeper than 64.
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
        if tagged:
            check_whole(value)
        for key, element in value.items():
            if not (tagged and key == "__type"):
                _check_key(key)
            check_json_value(element, depth=depth + 1)
    else:
        raise InvalidValueError(f"{type(value).__name__} is not a JSON type")


def check_whole(value: Mapping[str, Any]) -> None:
    """Refuse a value of one of Parse's kinds that Parse Server cannot decode and encode again.

    It would take such a one, and then end with everybody's requests: where a class has a trigger
    or LiveQuery, nothing catches what its encoding throws (docs/companion.md).

    Raises:
        InvalidValueError: An invalid date, a pointer or an object without class or id, a file
            without name or address, a place that is none, bytes that are not base64.
    """
    kind = value.get("__type")
    if isinstance(kind, str) and kind in _WHOLE and not _WHOLE[kind](value):
        raise InvalidValueError(f"a {kind} is not whole, which Parse Server cannot encode")


def made_whole(value: Any, files_url: str, *, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """Return *value* as Parse Server can encode it again: the last look at whatever is sent.

    Each file that has no address gets the one that the server gives it.

    Raises:
        InvalidValueError: As `check_whole`; or it nests deeper than 100 levels.
    """
    if depth > MAX_BODY_DEPTH:
        raise InvalidValueError(f"nested deeper than {MAX_BODY_DEPTH} levels")
    if isinstance(value, Mapping):
        if value.get("__type") == "File" and _is_text(value.get("name")) and not value.get("url"):
            value = {**value, "url": f"{files_url}/{urllib.parse.quote(value['name'], safe='')}"}
        check_whole(value)
        return {name: made_whole(item, files_url, depth=depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [made_whole(item, files_url, depth=depth + 1) for item in value]
    return value


def _is_text(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(value, str) and value != ""


def _is_date(value: Mapping[str, Any]) -> bool:
    try:
        date_from_json(dict(value))
    except InvalidValueError:
        return False
    return True


def _is_bytes(value: Mapping[str, Any]) -> bool:
    try:
        base64.b64decode(value.get("base64", 0), validate=True)
    except (TypeError, ValueError, binascii.Error):
        return False
    return True


def _is_place(latitude: Any, longitude: Any) -> bool:  # noqa: ANN401 - any JSON
    return all(
        type(number) in (int, float) and -limit <= number <= limit  # NaN is not
        for number, limit in ((latitude, MAX_LATITUDE), (longitude, MAX_LONGITUDE))
    )


def _is_polygon(value: Mapping[str, Any]) -> bool:
    pairs = value.get("coordinates")
    return isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == len(("latitude", "longitude")) and _is_place(*pair)
        for pair in pairs
    )


_WHOLE: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "Bytes": _is_bytes,
    "Date": _is_date,
    "File": lambda value: _is_text(value.get("name")) and _is_text(value.get("url")),
    "GeoPoint": lambda value: _is_place(value.get("latitude"), value.get("longitude")),
    "Object": lambda value: _is_text(value.get("className")) and _is_text(value.get("objectId")),
    "Pointer": lambda value: _is_text(value.get("className")) and _is_text(value.get("objectId")),
    "Polygon": _is_polygon,
}


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
