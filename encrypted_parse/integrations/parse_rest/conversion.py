"""Values of `parse_rest`: to Parse JSON, and to what recipient rules read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from encrypted_parse.errors import InvalidValueError
from encrypted_parse.integrations.parse_rest.package import load
from encrypted_parse.models import ACL, Pointer
from encrypted_parse.models.annotations import codec_for
from encrypted_parse.parse.types import check_whole, date_to_json

DELETE = {"__op": "Delete"}
_BYTES = codec_for(bytes, "bytes")[0]
_COLUMNS = "_encrypted_parse_columns"  # parse_rest sends no attribute that begins with _


def to_parse(value: Any, as_pointer: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002, PLR0911 - replaces ParseType.convert_to_parse
    """Return Parse JSON; nothing that is passed in is changed.

    An object becomes its attributes, or a pointer. An attribute that is None is deleted if the
    server has it, and left out if not: Postgres fails for columns that it does not know.
    """
    datatypes = load("datatypes")
    if isinstance(value, datatypes.ParseResource):
        return pointer_json(value) if as_pointer else _attributes(value)
    if isinstance(value, Mapping):
        converted = {key: to_parse(item, True) for key, item in value.items()}
        check_whole(converted)
        return converted
    if isinstance(value, dt.datetime):
        # What has no time zone is UTC, as parse_rest always meant it.
        return date_to_json(value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC))
    if isinstance(value, (bytes, bytearray)):
        return _BYTES.to_json(bytes(value))
    if isinstance(value, datatypes.ParseType):
        native = value._to_native()  # noqa: SLF001 - parse_rest's own protocol
        if isinstance(native, Mapping):
            check_whole(native)
        return native
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [to_parse(item, True) for item in value]
    return value


def pointer_json(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a ParseResource
    """Return the pointer to an object of parse_rest.

    Raises:
        InvalidValueError: It was never saved.
    """
    pointer = {"__type": "Pointer", "className": value.className, "objectId": value.objectId}
    check_whole(pointer)
    return pointer


def _attributes(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a ParseResource
    attributes = {}
    columns = value.__dict__.setdefault(_COLUMNS, set())
    for name, item in value._editable_attrs.items():  # noqa: SLF001 - parse_rest's own protocol
        if item is not None:
            attributes[name] = to_parse(item, True)
            columns.add(name)
        elif value.objectId and name in columns:
            attributes[name] = DELETE
    return attributes


def remember_columns(instance: Any, args: Mapping[str, Any]) -> None:  # noqa: ANN401 - a ParseResource
    """Note which columns a row from the server has."""
    if "createdAt" in args:
        instance.__dict__.setdefault(_COLUMNS, set()).update(args)


def plain_values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what recipient rules read: ids, pointers and lists of them, by attribute."""
    return {name: _plain(value) for name, value in attributes.items()}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any attribute, or its raw JSON
    datatypes = load("datatypes")
    if isinstance(value, datatypes.ParseResource):
        value = pointer_json(value)
    if isinstance(value, datatypes.Pointer):
        value = value._to_native()  # noqa: SLF001 - parse_rest's own protocol
    if isinstance(value, Mapping) and value.get("__type") in ("Pointer", "Object"):
        class_name, object_id = value.get("className"), value.get("objectId")
        if isinstance(class_name, str) and isinstance(object_id, str):
            return Pointer(class_name, object_id)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def acl_of(value: Any) -> ACL | None:  # noqa: ANN401 - an ACL of parse_rest, its JSON, or nothing
    """Return the ACL that an object has; None if it has none, so that everybody may read it."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        value = value._to_native()  # noqa: SLF001 - parse_rest's own protocol
    try:
        return ACL.from_json(value)
    except InvalidValueError:
        return ACL()  # the server enforces it, whatever it is; to us it names nobody
