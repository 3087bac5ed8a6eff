"""Tags: what a client has read of a row, so short that a header holds it.

Who reads an encrypted value is decided by the row's ACL, by the columns that its recipient rule
reads, and by its author's. Whoever encrypts for the readers of back then undoes what somebody else
has changed since. So an object remembers a tag of each of these columns, and of its encrypted ones;
before it is saved they are compared with the row as stored (`current.py`).

A tag is 22 characters of base64url of the SHA-256 of the column's text, as cloud_code/lib/lease.js
makes it: a string is its own text; nothing is the empty text; all else is JSON with sorted keys,
of an ACL what it grants, of a pointer where it points.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from encrypted_parse.models.fields import OWN_ID, Encryption
from encrypted_parse.models.model import Model
from encrypted_parse.models.rules import only_me

ACL_COLUMN = "ACL"
TAG_CHARACTERS = 22  # 132 bits: nobody finds two texts of one tag
_POINTER = ("__type", "className", "objectId")


def tag_of(column: str, value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the tag of what *column* holds, as the server sends it."""
    digest = hashlib.sha256(_text(column, value).encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii")[:TAG_CHARACTERS]


def _text(column: str, value: Any) -> str:  # noqa: ANN401 - any JSON
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    plain = _granted(value) if column == ACL_COLUMN else _plain(value)
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _granted(acl: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return an ACL without what it does not grant, which servers may write out."""
    if not isinstance(acl, Mapping):
        return acl
    entries = {
        who: {access: True for access, yes in granted.items() if yes is True}
        for who, granted in acl.items()
        if isinstance(granted, Mapping)
    }
    return {who: granted for who, granted in entries.items() if granted}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return *value* with an included object as the pointer that is stored."""
    if isinstance(value, Mapping):
        if value.get("__type") in ("Object", "Pointer"):
            return {**{key: value.get(key) for key in _POINTER}, "__type": "Pointer"}
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JavaScript writes no point
    return value


def deciding_columns(model: type[Model]) -> frozenset[str]:
    """Return the columns of *model* that say who reads its encrypted values, and whose they are."""
    found = [declared.encryption for declared in model.fields.values() if declared.encryption]
    return frozenset().union(*(deciding_for(model, encryption) for encryption in found))


def deciding_for(model: type[Model], encryption: Encryption) -> frozenset[str]:
    """Return the columns that say who reads one field, and whose it is."""
    acl = set() if encryption.to == only_me() else {ACL_COLUMN}
    names = encryption.attributes() - {OWN_ID}
    return frozenset(acl | {model.fields[name].column for name in names})


def remembered_columns(model: type[Model]) -> frozenset[str]:
    """Return the columns that an object of *model* keeps tags of."""
    sealed = {one.column for one in model.fields.values() if one.encryption is not None}
    return deciding_columns(model) | sealed


def remember(instance: Model, row: Mapping[str, Any], columns: Iterable[str]) -> None:
    """Keep tags of what *row* holds in *columns*, nothing included."""
    for column in columns:
        value = row.get(column)
        tag = tag_of(column, None if _is_deletion(value) else value)
        instance._state.read[column] = tag  # noqa: SLF001 - our own


def _is_deletion(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(value, Mapping) and value.get("__op") == "Delete"
