"""Codecs: a Python type, its Parse JSON, and the bytes that are encrypted.

An encrypted `str` is its UTF-8, as E3Kit apps write and read it; any other type is the UTF-8 of
its canonical Parse JSON (keys sorted, no spaces), so that equal values have equal plaintexts.
"""

from __future__ import annotations

import base64
import binascii
import copy
import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import InvalidValueError
from encrypted_parse.parse.types import MAX_DEPTH, check_json_value, date_from_json, date_to_json

MAX_SAFE_INTEGER = 2**53 - 1  # Parse stores numbers as IEEE doubles


@front_door
@frozen
class Codec:
    """How one Python type is checked, written and read.

    An app's own type gets one by ``field(codec=Codec(...))``, or by a class method
    ``__parse_codec__(arguments, where)`` that returns it.

    Attributes:
        name: For messages.
        check: Returns the value as it will be stored, or raises `InvalidValueError`.
        to_json: From a checked value to Parse JSON.
        from_json: From Parse JSON, strictly; raises `InvalidValueError`.
        is_text: Encrypted as bare UTF-8 rather than as JSON.
        kind: The Python type, for conditions that only some types have.
        item: Of a list, the codec of its elements.
        target: Of a pointer or a relation, the model that it leads to.
        ordered: Whether the server sorts the stored form as Python sorts the values.
        files: Returns the `EncryptedFile` values in a value; None if there can be none.
    """

    name: str
    check: Callable[[Any], Any]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]
    is_text: bool = False
    kind: type[Any] | None = None
    item: Codec | None = None
    target: type[Any] | None = None
    ordered: bool = True
    files: Callable[[Any], Iterable[Any]] | None = None

    def files_in(self, value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any value of the type
        """Return the `EncryptedFile` values in *value*, which may be None."""
        return () if self.files is None or value is None else tuple(self.files(value))

    def to_plaintext(self, value: Any) -> bytes:  # noqa: ANN401 - any checked value
        """Return the bytes that are encrypted.

        Raises:
            InvalidValueError: The value, changed in place since, is not storable any more.
        """
        if self.is_text:
            return str(value).encode("utf-8")
        encoded = json.dumps(
            self.to_json(value),
            allow_nan=False,
            ensure_ascii=False,
            separators=(",", ":"),
            sort_keys=True,
        )
        return encoded.encode("utf-8")

    def from_plaintext(self, plaintext: bytes) -> Any:  # noqa: ANN401 - any value
        """Read the bytes of `to_plaintext`.

        Raises:
            InvalidValueError: Not what this type writes. The bytes are not shown.
        """
        with translating(
            ValueError,
            RecursionError,
            to=lambda: InvalidValueError(f"the decrypted value is not a {self.name}"),
        ):
            text = plaintext.decode("utf-8")
            parsed = text if self.is_text else json.loads(text)
        return self.from_json(parsed)


def check_text(value: Any) -> str:  # noqa: ANN401 - whatever was assigned
    """Return *value* if it is text that every database behind Parse stores unchanged.

    Raises:
        InvalidValueError: Not a str, or it holds NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidValueError(f"expected str, got {type(value).__name__}")
    check_json_value(value)
    return value


def _check_exact(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
        if type(value) is not kind:
            raise InvalidValueError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


def _check_int(value: Any) -> int:  # noqa: ANN401 - whatever was assigned
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValueError(f"expected int, got {type(value).__name__}")
    if abs(value) > MAX_SAFE_INTEGER:
        raise InvalidValueError("the int exceeds 2**53 - 1", hint="store big integers as str")
    return value


def _read_int(value: Any) -> int:  # noqa: ANN401 - whatever the server sent
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _check_int(value)


def _check_float(value: Any) -> float:  # noqa: ANN401 - whatever was assigned
    number = _read_float(value)
    if number != value:
        raise InvalidValueError("no float holds this int exactly", hint="store big integers as str")
    return number


def _read_float(value: Any) -> float:  # noqa: ANN401 - whatever the server sent
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValueError(f"expected float, got {type(value).__name__}")
    try:
        # Servers write 1e17 as an int, in the fewest digits that mean this double.
        number = float(value)
    except OverflowError:
        raise InvalidValueError("the number is beyond every float") from None
    check_json_value(number)
    # JSON has no negative zero that survives Parse's number column.
    return number + 0.0


def _check_datetime(value: Any) -> dt.datetime:  # noqa: ANN401 - whatever was assigned
    if not isinstance(value, dt.datetime):
        raise InvalidValueError(f"expected datetime, got {type(value).__name__}")
    # Through the wire form and back: what the attribute shows is what will be stored.
    return date_from_json(date_to_json(value))


def _read_bytes(value: Any) -> bytes:  # noqa: ANN401 - whatever the server sent
    if isinstance(value, Mapping) and value.get("__type") == "Bytes":
        encoded = value.get("base64")
        if isinstance(encoded, str):
            with translating(
                ValueError,
                binascii.Error,
                to=lambda: InvalidValueError("the stored bytes are not base64"),
            ):
                return base64.b64decode(encoded, validate=True)
    raise InvalidValueError("the stored value is not bytes")


def _bytes_to_json(value: bytes) -> dict[str, str]:
    return {"__type": "Bytes", "base64": base64.b64encode(value).decode("ascii")}


def _check_any(value: Any) -> Any:  # noqa: ANN401 - any JSON
    check_json_value(value)
    return value


def _read_any(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """Return *value* with what is no int to Parse as the float that it is: 1e17 has no point."""
    if depth > MAX_DEPTH:
        raise InvalidValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [_read_any(element, depth + 1) for element in value]
    if isinstance(value, dict):
        return {key: _read_any(element, depth + 1) for key, element in value.items()}
    if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        return _read_float(value)
    return value


def _text_codec(kind: type, read: Callable[[str], Any], *, ordered: bool = False) -> Codec:
    """A type that is stored as its `str`, and has only one `str` for a value."""

    def from_json(value: Any) -> Any:  # noqa: ANN401 - whatever the server sent
        with translating(
            ValueError,
            ArithmeticError,
            to=lambda: InvalidValueError(f"the stored value is no {kind.__name__}"),
        ):
            found = read(check_text(value))
        return check(found)

    def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
        if type(value) is not kind:
            raise InvalidValueError(f"expected {kind.__name__}, got {type(value).__name__}")
        if isinstance(value, decimal.Decimal) and not value.is_finite():
            raise InvalidValueError("NaN and infinities are no amounts")
        return value

    return Codec(kind.__name__, check, str, from_json, kind=kind, ordered=ordered)


def _identity(value: Any) -> Any:  # noqa: ANN401 - any value
    return value


def _checked_any_json(value: Any) -> Any:  # noqa: ANN401 - any JSON
    # A copy, or a change inside the value would change what it is compared with.
    return copy.deepcopy(_check_any(value))


ANY = Codec("JSON value", _check_any, _checked_any_json, _read_any, ordered=False)
_BOOL = Codec("bool", _check_exact(bool), _identity, _check_exact(bool), kind=bool)
_BYTES = Codec("bytes", _check_exact(bytes), _bytes_to_json, _read_bytes, ordered=False, kind=bytes)
_DATE = Codec("datetime", _check_datetime, date_to_json, date_from_json, kind=dt.datetime)
_FLOAT = Codec("float", _check_float, _identity, _read_float, kind=float)
_INT = Codec("int", _check_int, _identity, _read_int, kind=int)
_STR = Codec("str", check_text, _identity, check_text, is_text=True, kind=str)
# Decimals sort as text in the database: 10 before 9.
_DECIMAL = _text_codec(decimal.Decimal, decimal.Decimal)
_DAY = _text_codec(dt.date, dt.date.fromisoformat, ordered=True)
_UUID = _text_codec(uuid.UUID, uuid.UUID, ordered=True)
SIMPLE: dict[Any, Codec] = {
    str: _STR,
    int: _INT,
    float: _FLOAT,
    bool: _BOOL,
    bytes: _BYTES,
    dt.datetime: _DATE,
    dt.date: _DAY,
    decimal.Decimal: _DECIMAL,
    uuid.UUID: _UUID,
    Any: ANY,
}
