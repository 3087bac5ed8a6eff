"""Queries: built without the network, refused where they could never match."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from encrypted_parse.errors import EncryptedQueryError, InvalidQueryError, ObjectNotFoundError
from encrypted_parse.models.codecs import codec_for
from encrypted_parse.models.model import Model

M = TypeVar("M", bound=Model)

PAGE_ROWS = 100  # Parse Server's default limit; what one request asks for
_OPERATORS = {
    "ne": "$ne",
    "lt": "$lt",
    "lte": "$lte",
    "gt": "$gt",
    "gte": "$gte",
    "in": "$in",
    "nin": "$nin",
    "exists": "$exists",
}
_SERVER_COLUMNS: dict[str, tuple[str, type]] = {
    "object_id": ("objectId", str),
    "created_at": ("createdAt", dt.datetime),
    "updated_at": ("updatedAt", dt.datetime),
}

Fetch = Callable[[type[Any], Mapping[str, Any], Sequence[str], int, int], list[Any]]
Count = Callable[[type[Any], Mapping[str, Any]], int]


class Results(list[M]):
    """The objects of one answer, with the number of values that could not be opened."""

    @property
    def locked_count(self) -> int:
        """How many attributes of these objects are locked."""
        return sum(len(instance.locked) for instance in self)


@frozen(eq=False, repr=False)
class Query(Generic[M]):
    """A query over one model. Immutable: each method returns a new query.

    Iterating fetches pages until the end, or up to `limit`.
    """

    _model: type[M]
    _fetch: Fetch
    _count: Count
    _where: Mapping[str, Any] = {}
    _order: tuple[str, ...] = ()
    _limit: int | None = None

    def filter(self, **conditions: Any) -> Query[M]:  # noqa: ANN401 - values of any field
        """Keep objects whose fields equal the given values, or compare as ``field__gt`` says.

        Operators: ne, lt, lte, gt, gte, in, nin, exists. Conditions of all calls hold together.

        Raises:
            EncryptedQueryError: A condition names an encrypted field.
            InvalidQueryError: No such field or operator, or a condition given twice.
            InvalidValueError: The value is not of the field's type.
        """
        where = {column: dict(tests) for column, tests in self._where.items()}
        for keyword, value in conditions.items():
            name, _, operator = keyword.partition("__")
            column, encode = self._column(name, "filter")
            tests = where.setdefault(column, {})
            test = "$eq" if not operator else _OPERATORS.get(operator)
            if test is None:
                raise InvalidQueryError(f"unknown operator {operator!r} in {keyword!r}")
            if test in tests:
                raise InvalidQueryError(f"{keyword!r} has a condition already")
            tests[test] = _encode_operand(test, value, encode)
        return evolve(self, where=where)

    def order_by(self, *names: str) -> Query[M]:
        """Sort by attributes; a leading ``-`` sorts downwards.

        Raises:
            EncryptedQueryError: A name is an encrypted field's.
            InvalidQueryError: No such field.
        """
        order = []
        for name in names:
            column, _ = self._column(name.removeprefix("-"), "order")
            order.append(f"-{column}" if name.startswith("-") else column)
        return evolve(self, order=tuple(order))

    def limit(self, count: int) -> Query[M]:
        """Fetch at most *count* objects.

        Raises:
            InvalidQueryError: *count* is negative.
        """
        if count < 0:
            raise InvalidQueryError("a limit is not negative")
        return evolve(self, limit=count)

    def all(self) -> Results[M]:
        """Fetch every object that matches (or up to `limit`)."""
        return Results(self)

    def first(self) -> M | None:
        """Fetch the first object that matches, or None."""
        return next(iter(self.limit(1)), None)

    def get(self, object_id: str) -> M:
        """Fetch the object with that id, if it matches the query.

        Raises:
            ObjectNotFoundError: There is none, or you may not read it.
        """
        found = self.filter(object_id=object_id).first()
        if found is None:
            raise ObjectNotFoundError(
                f"no {self._model.parse_class} with that object id that you may read", code=101
            )
        return found

    def count(self) -> int:
        """Count the objects that match, on the server."""
        return self._count(self._model, self._wire_where())

    def __iter__(self) -> Iterator[M]:
        remaining = self._limit
        order = self._order if self._order[-1:] == ("objectId",) else (*self._order, "objectId")
        by_id = order == ("objectId",)
        where, skip = self._wire_where(), 0
        while remaining is None or remaining > 0:
            rows = PAGE_ROWS if remaining is None else min(PAGE_ROWS, remaining)
            page = self._fetch(self._model, where, order, rows, skip)
            yield from page
            if len(page) < rows:
                return
            if remaining is not None:
                remaining -= len(page)
            if by_id:
                # Keyset paging: rows that come or go meanwhile shift nothing.
                last = {"objectId": {"$gt": page[-1].object_id}}
                base = self._wire_where()
                where = {"$and": [base, last]} if base else last
            else:
                skip += len(page)

    def __repr__(self) -> str:
        return f"<Query of {self._model.__name__}>"

    def _wire_where(self) -> dict[str, Any]:
        return {
            column: tests["$eq"] if set(tests) == {"$eq"} else dict(tests)
            for column, tests in self._where.items()
        }

    def _column(self, name: str, purpose: str) -> tuple[str, Callable[[Any], Any]]:
        if name in _SERVER_COLUMNS:
            column, kind = _SERVER_COLUMNS[name]
            codec = codec_for(kind, name)[0]
            return column, lambda value: codec.to_json(codec.check(value))
        declared = self._model.fields.get(name)
        if declared is None:
            raise InvalidQueryError(f"{self._model.__name__} has no field {name!r}")
        if declared.encryption is not None:
            raise EncryptedQueryError(
                f"cannot {purpose} by {declared.where}: the server sees ciphertext only",
                hint=f"{purpose} by plain fields, then in Python over the fetched objects",
            )
        return declared.column, lambda value: declared.codec.to_json(declared.check(value))


def _encode_operand(test: str, value: Any, encode: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - values of any field
    if test == "$exists":
        if not isinstance(value, bool):
            raise InvalidQueryError("__exists takes True or False")
        return value
    if test in ("$in", "$nin"):
        if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, set, frozenset)):
            raise InvalidQueryError("__in and __nin take a list")
        return [encode(element) for element in value]
    return None if value is None and test in ("$eq", "$ne") else encode(value)
