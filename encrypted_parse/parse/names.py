"""Names that every database behind Parse Server stores unchanged."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from encrypted_parse._translating import translating
from encrypted_parse.errors import ArgumentError, InvalidValueError, ModelDefinitionError

MAX_NAME_BYTES = 63  # Postgres cuts identifiers here without a word; two names then share a table
MAX_OBJECT_ID_CHARACTERS = 512
_NAME = re.compile(r"[A-Za-z][0-9A-Za-z_]*", re.ASCII)
_SYSTEM_CLASSES = frozenset({"_User", "_Role", "_Session", "_Installation"})
_RESERVED_FIELDS = frozenset(
    {
        "ACL",
        "className",
        "constructor",
        "createdAt",
        "hasOwnProperty",
        "id",
        "length",
        "objectId",
        "updatedAt",
    }
)


def check_class_name(name: str) -> None:
    """Refuse a class name that Parse Server or its database would refuse or cut.

    Raises:
        ArgumentError: The name is no text.
        ModelDefinitionError: The name cannot be used.
    """
    given: Any = name  # whatever the annotation says
    if not isinstance(given, str):
        raise ArgumentError(f"a class is named by a string, not a {type(name).__name__}")
    if name not in _SYSTEM_CLASSES:
        _check(name, "class")


def check_field_name(name: str) -> None:
    """Refuse a column name that Parse Server or its database would refuse or cut.

    Raises:
        ModelDefinitionError: The name cannot be used.
    """
    _check(name, "column")
    if name in _RESERVED_FIELDS:
        raise ModelDefinitionError(f"{name!r} is reserved by Parse and cannot be a column")


def _check(name: str, kind: str) -> None:
    if not _NAME.fullmatch(name):
        raise ModelDefinitionError(
            f"{name!r} cannot be a Parse {kind}",
            hint="names are ASCII letters, digits and _, and begin with a letter",
        )
    if len(name) > MAX_NAME_BYTES:
        raise ModelDefinitionError(
            f"the {kind} name {name[:20]!r}... exceeds {MAX_NAME_BYTES} bytes",
            hint="Postgres would cut it silently; give a shorter one",
        )


def check_object_id(object_id: str) -> str:
    """Return *object_id*.

    Raises:
        ArgumentError: It is no text.
    """
    given: Any = object_id  # whatever the annotation says
    if not isinstance(given, str):
        kind = "None" if given is None else f"a value of type {type(given).__name__}"
        raise ArgumentError(
            f"an object id is a string, not {kind}",
            hint="it is the attribute object_id of what was saved; None of what never was",
        )
    return object_id


def quote_object_id(object_id: str) -> str:
    """Return *object_id* as one segment of a URL's path.

    Raises:
        ArgumentError: It is no text.
        InvalidValueError: It is empty, too long, or would change the path.
    """
    if not 0 < len(check_object_id(object_id)) <= MAX_OBJECT_ID_CHARACTERS:
        raise InvalidValueError("an object id is a string of 1 to 512 characters")
    if object_id in (".", "..") or not object_id.isprintable():
        raise InvalidValueError("the object id cannot stand in an address")
    with translating(
        UnicodeEncodeError, to=lambda: InvalidValueError("the object id cannot stand in an address")
    ):
        return urllib.parse.quote(object_id, safe="")
