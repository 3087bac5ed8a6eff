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
import enum
import json
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from encrypted_parse.errors import InvalidValueError, ModelDefinitionError
from encrypted_parse.parse.types import check_json_value, date_from_json, date_to_json

MAX_SAFE_INTEGER = 2**53 - 1  # Parse stores numbers as IEEE doubles


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
        try:
            text = plaintext.decode("utf-8")
            parsed = text if self.is_text else json.loads(text)
        except (ValueError, RecursionError):
            # `from None`: both errors carry the plaintext.
            raise InvalidValueError(f"the decrypted value is not a {self.name}") from None
        return self.from_json(parsed)


def codec_for(annotation: Any, where: str) -> tuple[Codec, bool]:  # noqa: ANN401 - a type form
    """Return the codec of a type annotation, and whether it allows None.

    Raises:
        ModelDefinitionError: No Parse type holds it; *where* names the field.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        inner = [argument for argument in arguments if argument is not types.NoneType]
        if len(inner) == 1 and len(inner) < len(arguments):
            return codec_for(inner[0], where)[0], True
        raise ModelDefinitionError(f"{where}: a union may only add None to one type")
    if origin is typing.Annotated:
        return codec_for(arguments[0], where)
    return _codec_of(annotation, origin or annotation, arguments, where), annotation is Any


def _codec_of(annotation: Any, kind: Any, arguments: tuple[Any, ...], where: str) -> Codec:  # noqa: ANN401 - type forms
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    maker = getattr(kind, "__parse_codec__", None)
    if maker is not None:
        own: Codec = maker(arguments, where)
        return own
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum_codec(kind, where)
    if kind is typing.Literal:
        return _literal_codec(arguments, where)
    made = _container_codec(kind, arguments, where)
    if made is None:
        raise ModelDefinitionError(
            f"{where}: {annotation!r} is not a type that Parse can hold",
            hint="docs/guide/models.md lists the types; for another one, pass field(codec=...)",
        )
    return made


def _container_codec(kind: Any, arguments: tuple[Any, ...], where: str) -> Codec | None:  # noqa: ANN401 - a type form
    if kind is list:
        return _list_codec(_part_codec(arguments[0], where) if arguments else _ANY)
    if kind is dict:
        if arguments and arguments[0] is not str:
            raise ModelDefinitionError(f"{where}: a dict's keys are strings in Parse")
        return _dict_codec(_part_codec(arguments[1], where) if arguments else _ANY)
    if kind is tuple and arguments:
        return _tuple_codec(arguments, where)
    if kind in (set, frozenset):
        raise ModelDefinitionError(
            f"{where}: JSON has no sets",
            hint="declare list[...]; append(..., unique=True) adds what is not there yet",
        )
    return None


def _part_codec(annotation: Any, where: str) -> Codec:  # noqa: ANN401 - a type form
    """Return the codec of what a list or a dict holds, where None may stand beside others."""
    codec, optional = codec_for(annotation, where)
    if not optional:
        return codec

    def or_none(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda value: None if value is None else function(value)

    return evolve(
        codec,
        name=f"{codec.name} or None",
        check=or_none(codec.check),
        to_json=or_none(codec.to_json),
        from_json=or_none(codec.from_json),
    )


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
            try:
                return base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                raise InvalidValueError("the stored bytes are not base64") from None
    raise InvalidValueError("the stored value is not bytes")


def _bytes_to_json(value: bytes) -> dict[str, str]:
    return {"__type": "Bytes", "base64": base64.b64encode(value).decode("ascii")}


def _check_any(value: Any) -> Any:  # noqa: ANN401 - any JSON
    check_json_value(value)
    return value


def _read_any(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return *value* with what is no int to Parse as the float that it is: 1e17 has no point."""
    if isinstance(value, list):
        return [_read_any(element) for element in value]
    if isinstance(value, dict):
        return {key: _read_any(element) for key, element in value.items()}
    if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        return _read_float(value)
    return value


def _list_codec(item: Codec) -> Codec:
    def check(value: Any) -> list[Any]:  # noqa: ANN401 - whatever was assigned
        if not isinstance(value, list):
            raise InvalidValueError(f"expected list, got {type(value).__name__}")
        # Normalised in place: the caller's list stays the attribute's list.
        value[:] = [item.check(element) for element in value]
        return value

    def to_json(value: list[Any]) -> list[Any]:
        return [item.to_json(item.check(element)) for element in value]

    def from_json(value: Any) -> list[Any]:  # noqa: ANN401 - whatever the server sent
        if not isinstance(value, list):
            raise InvalidValueError("the stored value is not a list")
        return [item.from_json(element) for element in value]

    return Codec(f"list of {item.name}", check, to_json, from_json, item=item, ordered=False)


def _dict_codec(item: Codec) -> Codec:
    def check(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was assigned
        if not isinstance(value, dict):
            raise InvalidValueError(f"expected dict, got {type(value).__name__}")
        check_json_value(dict.fromkeys(value))
        for key in value:
            value[key] = item.check(value[key])
        return value

    def to_json(value: dict[str, Any]) -> dict[str, Any]:
        check_json_value(dict.fromkeys(value))
        return {key: item.to_json(item.check(element)) for key, element in value.items()}

    def from_json(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever the server sent
        if not isinstance(value, dict):
            raise InvalidValueError("the stored value is not a dict")
        check_json_value(dict.fromkeys(value))
        return {key: item.from_json(element) for key, element in value.items()}

    return Codec(f"dict of {item.name}", check, to_json, from_json, ordered=False)


def _tuple_codec(arguments: tuple[Any, ...], where: str) -> Codec:
    """A list in JSON: of one type and any length, or of one type a place."""
    if arguments[-1] is Ellipsis:
        items = None
        same = _part_codec(arguments[0], where)
    else:
        items = [_part_codec(argument, where) for argument in arguments]

    def places(values: Any) -> list[tuple[Codec, Any]]:  # noqa: ANN401 - list or tuple
        if items is not None and len(items) != len(values):
            raise InvalidValueError(f"expected {len(items)} values, got {len(values)}")
        return [(same if items is None else items[at], one) for at, one in enumerate(values)]

    def check(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - whatever was assigned
        if not isinstance(value, tuple):
            raise InvalidValueError(f"expected tuple, got {type(value).__name__}")
        return tuple(item.check(element) for item, element in places(value))

    def to_json(value: tuple[Any, ...]) -> list[Any]:
        return [item.to_json(item.check(element)) for item, element in places(value)]

    def from_json(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - whatever the server sent
        if not isinstance(value, list):
            raise InvalidValueError("the stored value is not a list")
        return tuple(item.from_json(element) for item, element in places(value))

    return Codec(
        "tuple", check, to_json, from_json, item=same if items is None else _ANY, ordered=False
    )


def _literal_codec(choices: tuple[Any, ...], where: str) -> Codec:
    """One of some texts, or of some ints; a stored value that is none of them is an error."""
    kinds = {type(choice) for choice in choices}
    if kinds not in ({str}, {int}):
        raise ModelDefinitionError(f"{where}: a Literal's values are all str, or all int")
    values = _SIMPLE[kinds.pop()]
    for choice in choices:
        values.check(choice)
    allowed = frozenset(choices)

    def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
        if values.check(value) not in allowed:
            raise InvalidValueError("the value is none of the Literal's")
        return value

    def from_json(value: Any) -> Any:  # noqa: ANN401 - whatever the server sent
        return check(values.from_json(value))

    return evolve(values, name="Literal", check=check, from_json=from_json)


def _enum_codec(kind: type[enum.Enum], where: str) -> Codec:
    """Members are stored as their values, and a value without a member is an error."""
    types_of_values = {type(member.value) for member in kind}
    if types_of_values not in ({str}, {int}):
        raise ModelDefinitionError(f"{where}: an enum's values are all str, or all int")
    values = _SIMPLE[types_of_values.pop()]
    for member in kind:
        values.check(member.value)

    def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
        if not isinstance(value, kind):
            raise InvalidValueError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    def from_json(value: Any) -> Any:  # noqa: ANN401 - whatever the server sent
        try:
            return kind(values.from_json(value))
        except ValueError:
            raise InvalidValueError(f"the stored value is no {kind.__name__}") from None

    return Codec(kind.__name__, check, lambda member: member.value, from_json)


def _text_codec(kind: type, read: Callable[[str], Any], *, ordered: bool = False) -> Codec:
    """A type that is stored as its `str`, and has only one `str` for a value."""

    def from_json(value: Any) -> Any:  # noqa: ANN401 - whatever the server sent
        try:
            found = read(check_text(value))
        except (ValueError, ArithmeticError):
            raise InvalidValueError(f"the stored value is no {kind.__name__}") from None
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


_ANY = Codec("JSON value", _check_any, _checked_any_json, _read_any, ordered=False)
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
_SIMPLE: dict[Any, Codec] = {
    str: _STR,
    int: _INT,
    float: _FLOAT,
    bool: _BOOL,
    bytes: _BYTES,
    dt.datetime: _DATE,
    dt.date: _DAY,
    decimal.Decimal: _DECIMAL,
    uuid.UUID: _UUID,
    Any: _ANY,
}
