"""Conditions: from ``field__operator=value`` to Parse's constraints, or a refusal."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from attrs import frozen

from encrypted_parse.errors import EncryptedQueryError, InvalidQueryError, InvalidValueError
from encrypted_parse.models.annotations import codec_for
from encrypted_parse.models.codecs import Codec, check_text
from encrypted_parse.models.model import Model
from encrypted_parse.models.values import GeoPoint, Pointer, Polygon, Relation

MAX_PATTERN_CHARACTERS = 1000  # a pattern runs on the server, for everybody
_OBJECT_ID = "objectId"
_ASK_EXISTENCE = "ask for existence"
_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}
_TEXTS = frozenset({str, dt.date, uuid.UUID})


class Subquery(Protocol):
    """What ``__in_query`` takes: a query of the pointer's model."""

    def to_subquery(self) -> dict[str, Any]:
        """Return Parse's form: the class and the conditions."""


@frozen
class Column:
    """What conditions need to know of one attribute."""

    where: str
    name: str
    codec: Codec

    def encode(self, value: Any) -> Any:  # noqa: ANN401 - values of any field
        """Return the Parse JSON of a value of the field.

        Raises:
            InvalidValueError: It is not one.
        """
        try:
            return self.codec.to_json(self.codec.check(value))
        except InvalidValueError as error:
            raise InvalidValueError(f"{self.where}: {error}", hint=error.hint) from None


_SERVER_COLUMNS = {
    "object_id": Column("object_id", _OBJECT_ID, codec_for(str, "object_id")[0]),
    "created_at": Column("created_at", "createdAt", codec_for(dt.datetime, "created_at")[0]),
    "updated_at": Column("updated_at", "updatedAt", codec_for(dt.datetime, "updated_at")[0]),
}


def column_of(model: type[Model], name: str, purpose: str) -> Column:
    """Return the column of the attribute *name*.

    Raises:
        EncryptedQueryError: The field is encrypted; *purpose* says what was wanted.
        InvalidQueryError: No such field, or a relation.
    """
    if name in _SERVER_COLUMNS:
        return _SERVER_COLUMNS[name]
    declared = model.fields.get(name)
    if declared is None:
        known = ", ".join([*_SERVER_COLUMNS, *model.fields])
        raise InvalidQueryError(f"{model.__name__} has no field {name!r}", hint=f"it has {known}")
    if declared.encryption is not None and purpose != _ASK_EXISTENCE:
        raise EncryptedQueryError(
            f"cannot {purpose} by {declared.where}: the server sees ciphertext only",
            hint=f"{purpose} by plain fields, then in Python over the fetched objects",
        )
    if declared.codec.kind is Relation:
        raise InvalidQueryError(
            f"{declared.where} is a relation",
            hint=f"query its objects: query(...).related_to(instance, {name!r})",
        )
    return Column(declared.where, declared.column, declared.codec)


def add_conditions(
    model: type[Model], where: Mapping[str, Mapping[str, Any]], conditions: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return *where* (by column, the constraints by operator) with more conditions.

    Raises:
        EncryptedQueryError: A condition names an encrypted field.
        InvalidQueryError: No such field or operator, or a condition given twice.
        InvalidValueError: The value is not of the field's type.
    """
    combined = {column: dict(tests) for column, tests in where.items()}
    for keyword, value in conditions.items():
        name, _, operator = keyword.partition("__")
        # Whether there is a value is all that a server can tell of an encrypted column.
        column = column_of(model, name, _ASK_EXISTENCE if operator == "exists" else "filter")
        encode = _OPERATORS.get(operator)
        if encode is None:
            known = ", ".join(sorted(filter(None, _OPERATORS)))
            raise InvalidQueryError(
                f"unknown operator {operator!r} in {keyword!r}", hint=f"there are {known}"
            )
        tests = combined.setdefault(column.name, {})
        for test, operand in encode(column, value).items():
            if test in tests:
                raise InvalidQueryError(
                    f"{keyword!r} has a condition already", hint="join them with or_()"
                )
            tests[test] = operand
    return combined


def to_where(conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return Parse's form of `add_conditions`."""
    return {
        column: tests["$eq"] if set(tests) == {"$eq"} else dict(tests)
        for column, tests in conditions.items()
    }


Encode = Callable[[Column, Any], dict[str, Any]]


def _equal(test: str) -> Encode:
    def encode(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - values of any field
        if column.codec.item is not None:
            raise InvalidQueryError(
                f"{column.where} is a list, which Parse does not compare as a whole",
                hint="use __contains, __contains_all or __contained_by",
            )
        if value is not None and isinstance(encoded := column.encode(value), dict):
            if "__type" not in encoded:
                raise InvalidQueryError(
                    f"{column.where} is an object, which Parse does not compare as a whole"
                )
            return {test: encoded}
        return {test: None if value is None else encoded}

    return encode


def _ordered(test: str) -> Encode:
    def encode(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - values of any field
        check_ordered(column, "compare")
        return {test: column.encode(value)}

    return encode


def check_ordered(column: Column, purpose: str) -> None:
    """Refuse an order that the database sees differently than Python.

    Raises:
        InvalidQueryError: The stored form has no order, or another one.
    """
    if not column.codec.ordered:
        raise InvalidQueryError(
            f"cannot {purpose} by {column.where}: the server does not order its stored form so",
            hint=f"{purpose} in Python over the fetched objects",
        )


def _members(test: str) -> Encode:
    def encode(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - values of any field
        element = column
        if column.codec.item is not None:
            element = Column(column.where, column.name, column.codec.item)
        return {test: [element.encode(one) for one in _several(column, value)]}

    return encode


def _elements(test: str, *, single: bool = False) -> Encode:
    def encode(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - values of any field
        if column.codec.item is None:
            raise InvalidQueryError(f"{column.where} is not a list of a declared type")
        element = Column(column.where, column.name, column.codec.item)
        several = [value] if single else _several(column, value)
        return {test: [element.encode(one) for one in several]}

    return encode


def _several(column: Column, value: Any) -> Collection[Any]:  # noqa: ANN401 - whatever was passed
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        raise InvalidQueryError(f"{column.where} is compared with a list of values here")
    return value


def _exists(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was passed
    if not isinstance(value, bool):
        raise InvalidQueryError(f"{column.where}: __exists takes True or False")
    return {"$exists": value}


def _regex(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was passed
    if column.codec.kind not in _TEXTS:
        raise InvalidQueryError(f"{column.where} is not text")
    flags = ""
    if isinstance(value, re.Pattern):
        flags = "".join(letter for flag, letter in _FLAGS.items() if value.flags & flag)
        value = value.pattern
    pattern = check_text(value)
    if not 0 < len(pattern) <= MAX_PATTERN_CHARACTERS:
        raise InvalidQueryError(f"{column.where}: a pattern has 1 to 1000 characters")
    return {"$regex": pattern, **({"$options": flags} if flags else {})}


def _starts_with(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was passed
    return _regex(column, f"^{quote_pattern(check_text(value))}")


def quote_pattern(text: str) -> str:
    """Return a pattern that matches *text* itself, in the database's dialect."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


def _in_query(test: str) -> Encode:
    def encode(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - a query
        target = column.codec.target
        if column.codec.kind is not Pointer or target is None or not hasattr(value, "to_subquery"):
            raise InvalidQueryError(f"{column.where}: a query matches a Pointer[Model] only")
        subquery = value.to_subquery()
        if subquery["className"] != target.parse_class:
            raise InvalidQueryError(f"{column.where} points to {target.parse_class}")
        return {test: subquery}

    return encode


def _near(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was passed
    point, kilometres = value if isinstance(value, tuple) else (value, None)
    _require_points(column)
    if not isinstance(point, GeoPoint):
        raise InvalidQueryError(f"{column.where}: __near takes a GeoPoint, or (GeoPoint, km)")
    tests: dict[str, Any] = {"$nearSphere": point.to_json()}
    if kilometres is not None:
        if type(kilometres) not in (int, float) or not 0 <= kilometres < float("inf"):
            raise InvalidQueryError(f"{column.where}: a distance is a number of kilometres")
        tests["$maxDistanceInKilometers"] = kilometres
    return tests


def _within(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was passed
    _require_points(column)
    if not isinstance(value, Polygon):
        raise InvalidQueryError(f"{column.where}: __within takes a Polygon")
    return {"$geoWithin": {"$polygon": [corner.to_json() for corner in value.corners]}}


def _covers(column: Column, value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was passed
    if column.codec.kind is not Polygon or not isinstance(value, GeoPoint):
        raise InvalidQueryError(f"{column.where}: __covers asks a Polygon for a GeoPoint")
    return {"$geoIntersects": {"$point": value.to_json()}}


def _require_points(column: Column) -> None:
    if column.codec.kind is not GeoPoint:
        raise InvalidQueryError(f"{column.where} is not a GeoPoint")


def pointer_json(instance: Model) -> dict[str, Any]:
    """Return the pointer to a saved object. Raises as `Pointer.to`."""
    return Pointer.to(instance).to_json()


_OPERATORS: dict[str, Encode] = {
    "": _equal("$eq"),
    "ne": _equal("$ne"),
    "lt": _ordered("$lt"),
    "lte": _ordered("$lte"),
    "gt": _ordered("$gt"),
    "gte": _ordered("$gte"),
    "in": _members("$in"),
    "nin": _members("$nin"),
    "exists": _exists,
    "regex": _regex,
    "startswith": _starts_with,
    "contains": _elements("$all", single=True),
    "contains_all": _elements("$all"),
    "contained_by": _elements("$containedBy"),
    "in_query": _in_query("$inQuery"),
    "not_in_query": _in_query("$notInQuery"),
    "near": _near,
    "within": _within,
    "covers": _covers,
}
