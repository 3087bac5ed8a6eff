"""Names that every database behind Parse Server stores unchanged."""

from __future__ import annotations

import re
import urllib.parse

from encrypted_parse._translating import translating
from encrypted_parse.errors import InvalidValueError, ModelDefinitionError

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
        ModelDefinitionError: The name cannot be used.
    """
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


def quote_object_id(object_id: str) -> str:
    """Return *object_id* as one segment of a URL's path.

    Raises:
        InvalidValueError: It is empty, too long, or would change the path.
    """
    if not 0 < len(object_id) <= MAX_OBJECT_ID_CHARACTERS:
        raise InvalidValueError("an object id is a string of 1 to 512 characters")
    if object_id in (".", "..") or not object_id.isprintable():
        raise InvalidValueError("the object id cannot stand in an address")
    with translating(
        UnicodeEncodeError, to=lambda: InvalidValueError("the object id cannot stand in an address")
    ):
        return urllib.parse.quote(object_id, safe="")
