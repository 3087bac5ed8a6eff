"""Annotations: from the type of a field to the codec of its values."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from attrs import evolve

from encrypted_parse._translating import translating
from encrypted_parse.errors import InvalidValueError, ModelDefinitionError
from encrypted_parse.models.codecs import ANY, SIMPLE, Codec
from encrypted_parse.parse.types import check_json_value


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
    if annotation in SIMPLE:
        return SIMPLE[annotation]
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
        return _list_codec(_part_codec(arguments[0], where) if arguments else ANY)
    if kind is dict:
        if arguments and arguments[0] is not str:
            raise ModelDefinitionError(f"{where}: a dict's keys are strings in Parse")
        return _dict_codec(_part_codec(arguments[1], where) if arguments else ANY)
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

    return Codec(
        f"list of {item.name}",
        check,
        to_json,
        from_json,
        item=item,
        ordered=False,
        files=None if item.files is None else _files_of_each(item, iter),
    )


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

    return Codec(
        f"dict of {item.name}",
        check,
        to_json,
        from_json,
        ordered=False,
        files=None if item.files is None else _files_of_each(item, dict.values),
    )


def _files_of_each(
    item: Codec, elements: Callable[[Any], Iterable[Any]]
) -> Callable[[Any], Iterable[Any]]:
    return lambda value: [file for one in elements(value) for file in item.files_in(one)]


def _tuple_codec(arguments: tuple[Any, ...], where: str) -> Codec:
    """A list in JSON: of one type and any length, or of one type a place."""
    same = _part_codec(arguments[0], where)
    items = None
    if arguments[-1] is not Ellipsis:
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

    def files(value: tuple[Any, ...]) -> list[Any]:
        return [file for item, element in places(value) for file in item.files_in(element)]

    some_hold_files = any(item.files is not None for item in items or [same])
    return Codec(
        "tuple",
        check,
        to_json,
        from_json,
        item=same if items is None else ANY,
        ordered=False,
        files=files if some_hold_files else None,
    )


def _literal_codec(choices: tuple[Any, ...], where: str) -> Codec:
    """One of some texts, or of some ints; a stored value that is none of them is an error."""
    kinds = {type(choice) for choice in choices}
    if kinds not in ({str}, {int}):
        raise ModelDefinitionError(f"{where}: a Literal's values are all str, or all int")
    values = SIMPLE[kinds.pop()]
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
    values = SIMPLE[types_of_values.pop()]
    for member in kind:
        values.check(member.value)

    def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
        if not isinstance(value, kind):
            raise InvalidValueError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    def from_json(value: Any) -> Any:  # noqa: ANN401 - whatever the server sent
        with translating(
            ValueError, to=lambda: InvalidValueError(f"the stored value is no {kind.__name__}")
        ):
            return kind(values.from_json(value))

    return Codec(kind.__name__, check, lambda member: member.value, from_json)
