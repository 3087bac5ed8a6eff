"""Rows in memory as Parse Server keeps them: typed columns, field operations, dates."""

from __future__ import annotations

import copy
import datetime as dt
import secrets
import string
from collections.abc import Mapping
from typing import Any

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import InvalidValueError
from encrypted_parse.parse.types import check_json_value
from encrypted_parse.testing.refusals import RefusedError

_INCORRECT_TYPE = 111
_BAD_KEY = 105
_INTERNAL = 1
_FIRST_EXPONENT = 1e21  # where JavaScript begins to write numbers with one
_ALPHABET = string.ascii_letters + string.digits
_READ_ONLY = frozenset({"objectId", "createdAt", "updatedAt", "className"})

_SIMPLE_KINDS = {bool: "Boolean", int: "Number", float: "Number", str: "String", list: "Array"}
_OPERATION_KINDS = {
    "Increment": "Number",
    **dict.fromkeys(("Add", "AddUnique", "Remove"), "Array"),
    **dict.fromkeys(("AddRelation", "RemoveRelation"), "Relation"),
}

Row = dict[str, Any]


class Storage:
    """Classes, their columns' types, and their rows. Not thread-safe: the server locks."""

    def __init__(self) -> None:
        self.classes: dict[str, dict[str, Row]] = {}
        self._types: dict[tuple[str, str], str] = {}
        self._relations: dict[tuple[str, str, str], dict[str, None]] = {}
        self._last = dt.datetime.min.replace(tzinfo=dt.UTC)

    def rows(self, class_name: str) -> dict[str, Row]:
        """Return the rows of a class by object id; empty if there is no such class."""
        return self.classes.get(class_name, {})

    def related(self, class_name: str, object_id: str, column: str) -> set[str]:
        """Return the object ids that a row's relation holds."""
        return set(self._relations.get((class_name, object_id, column), {}))

    def snapshot(self) -> Any:  # noqa: ANN401 - opaque
        """Return what `restore` takes, to undo a transaction."""
        return copy.deepcopy((self.classes, self._types, self._relations))

    def restore(self, before: Any) -> None:  # noqa: ANN401 - of `snapshot`
        """Forget everything since `snapshot`."""
        self.classes, self._types, self._relations = before

    def create(self, class_name: str, fields: Mapping[str, Any]) -> Row:
        """Add a row and return it.

        Raises:
            RefusedError: A column or value is not possible.
        """
        object_id = "".join(secrets.choice(_ALPHABET) for _ in range(10))
        now = self._now()
        row: Row = {"objectId": object_id, "createdAt": now, "updatedAt": now}
        self._apply(class_name, row, fields)
        self.classes.setdefault(class_name, {})[object_id] = row
        return row

    def update(self, class_name: str, row: Row, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change a row, all of it or nothing; return ``updatedAt`` and what operations made.

        Raises:
            RefusedError: A column or value is not possible.
        """
        changed = copy.deepcopy(row)
        made = self._apply(class_name, changed, fields)
        changed["updatedAt"] = self._now()
        row.clear()
        row.update(changed)
        return {"updatedAt": row["updatedAt"], **made}

    def delete(self, class_name: str, object_id: str) -> None:
        """Remove a row."""
        del self.classes[class_name][object_id]

    def _apply(self, class_name: str, row: Row, fields: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for column, value in fields.items():
            if column in _READ_ONLY:
                raise RefusedError(_BAD_KEY, f"{column} is an invalid field name.")
            operation = value.get("__op") if isinstance(value, Mapping) else None
            if operation is None and column != "ACL":
                self._check(value)
            kind = _kind(value)
            if column != "ACL" and kind is not None:
                known = self._types.setdefault((class_name, column), kind)
                if known != kind:
                    raise RefusedError(_INCORRECT_TYPE, f"schema mismatch for {column}")
            if operation is None:
                row[column] = _stored(value)
                if value is None:
                    del row[column]
            elif operation == "Delete":
                row.pop(column, None)
            elif operation in ("AddRelation", "RemoveRelation"):
                self._relate(class_name, row, column, value)
            else:
                made |= _changed(row, column, _operate(operation, row.get(column), value))
        return made

    def _relate(self, class_name: str, row: Row, column: str, value: Mapping[str, Any]) -> None:
        key = (class_name, row["objectId"], column)
        related = self._relations.setdefault(key, {})
        for pointer in value["objects"]:
            row[column] = {"__type": "Relation", "className": pointer["className"]}
            if value["__op"] == "AddRelation":
                related[pointer["objectId"]] = None
            else:
                related.pop(pointer["objectId"], None)

    def _check(self, value: Any) -> None:  # noqa: ANN401 - any JSON
        try:
            check_json_value(value)
        except InvalidValueError as error:
            raise RefusedError(_BAD_KEY, str(error)) from error

    def _now(self) -> str:
        now = dt.datetime.now(dt.UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._last = max(now, self._last)
        return self._last.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _kind(value: Any) -> str | None:  # noqa: ANN401 - any JSON
    """Return the type that a value gives to its column; None if it gives none."""
    if not isinstance(value, Mapping):
        return _SIMPLE_KINDS.get(type(value))
    target = value
    if value.get("__op") in ("AddRelation", "RemoveRelation"):
        target = value["objects"][0] if value["objects"] else {}
    suffix = f" {target['className']}" if "className" in target else ""
    if "__type" in value:
        return f"{value['__type']}{suffix}"
    operation = value.get("__op")
    if operation is None:
        return "Object"
    kind = _OPERATION_KINDS.get(operation)
    return None if kind is None else f"{kind}{suffix}"


def _stored(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping) and value.get("__type") == "File":
        return {**value, "url": f"https://parse.invalid/parse/files/in-memory/{value['name']}"}
    if isinstance(value, Mapping):
        return {key: _stored(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_stored(part) for part in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _FIRST_EXPONENT:
        return int(value)  # JavaScript writes no point: 1e17 is 100000000000000000
    return value


def _changed(row: Row, column: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Set a column, and return it; nothing if it was so: servers leave that out of answers."""
    before, row[column] = row.get(column), _stored(value)
    return {} if row[column] == before else {column: row[column]}


def _operate(operation: str, before: Any, value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    if operation == "Increment":
        return (before or 0) + value["amount"]
    if operation not in ("Add", "AddUnique", "Remove"):
        raise RefusedError(_INTERNAL, "Internal server error.", 500)
    items = list(before or [])
    if operation == "Add":
        return items + list(value["objects"])
    if operation == "AddUnique":
        return items + [one for one in value["objects"] if one not in items]
    return [one for one in items if one not in value["objects"]]


@front_door
def only(row: Row, keys: object) -> Row:
    """Return a row with the columns of a request's *keys*, and those that are always there."""
    if not keys:
        return row
    always = {"objectId", "createdAt", "updatedAt", "ACL"}
    kept = always | {key.split(".")[0] for key in str(keys).split(",")}
    return {key: value for key, value in row.items() if key in kept}
