"""Queries: built without the network, refused where they could never match."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from encrypted_parse.discretion import as_value, front_door, hushed
from encrypted_parse.errors import (
    EncryptedParseError,
    InvalidQueryError,
    ObjectNotFoundError,
)
from encrypted_parse.models.arguments import require_instance, require_list
from encrypted_parse.models.conditions import (
    add_conditions,
    check_ordered,
    column_of,
    pointer_json,
    to_where,
)
from encrypted_parse.models.model import Model
from encrypted_parse.models.outcomes import BatchReport
from encrypted_parse.models.pages import BY_OBJECT_ID, PAGE_ROWS, Page, Rows, walk
from encrypted_parse.models.showing import as_html
from encrypted_parse.parse.names import check_object_id

M = TypeVar("M", bound=Model)

MAX_INCLUDE_DEPTH = 3
Conditions = Mapping[str, Any]
Progress = Callable[[int], None]


@front_door
class Results(list[M]):
    """The objects of one answer, with the number of values that could not be opened."""

    @property
    def locked_count(self) -> int:
        """How many attributes of these objects are locked."""
        return sum(len(instance.locked) for instance in self)

    def _repr_html_(self) -> str:
        return as_html(type(self[0]), self) if self else "<p>no objects</p>"


@front_door
@frozen(eq=False, repr=False)
class Query(Generic[M]):
    """A query over one model. Immutable: each method that narrows it returns a new query.

    Iterating fetches pages until the end, or up to `limit`; the next page is under way while the
    present one is used. Without `order_by`, objects come by object id, and rows that come or go
    meanwhile shift nothing.
    """

    _model: type[M]
    _rows: Rows
    _where: Mapping[str, Mapping[str, Any]] = {}
    _clauses: tuple[Mapping[str, Any], ...] = ()
    _related: Mapping[str, Any] | None = None
    _order: tuple[str, ...] = ()
    _limit: int | None = None
    _skip: int = 0
    _only: frozenset[str] | None = None
    _include: tuple[str, ...] = ()

    # --- narrowing --------------------------------------------------------------------------

    def filter(self, **conditions: Any) -> Query[M]:  # noqa: ANN401 - values of any field
        """Keep objects whose fields equal the given values, or compare as ``field__gt`` says.

        For any type: ``ne``, ``in``, ``nin``, ``exists``; where the server orders as Python does:
        ``lt``, ``lte``, ``gt``, ``gte``; for text: ``regex`` (a str or `re.compile`'s),
        ``startswith``; for lists: ``contains``, ``contains_all``, ``contained_by``; for
        pointers: ``in_query``, ``not_in_query``; for a `GeoPoint`: ``near`` (a point, or a point
        and kilometres; nearest first) and ``within`` (a `Polygon`); for a `Polygon`: ``covers``.
        Conditions of all calls hold together.

        Raises:
            EncryptedQueryError: A condition names an encrypted field.
            InvalidQueryError: No such field or operator, or a condition given twice.
            InvalidValueError: The value is not of the field's type.
        """
        return evolve(self, where=add_conditions(self._model, self._where, conditions))

    def or_(self, *alternatives: Conditions) -> Query[M]:
        """Keep objects that match at least one of the given groups of conditions.

        ``query.filter(thread_id="t").or_({"stars__gt": 3}, {"pinned": True})``. Raises as
        `filter`.
        """
        if not alternatives:
            raise InvalidQueryError("or_() takes conditions: or_({'a': 1}, {'b__gt': 2})")
        wheres = [to_where(add_conditions(self._model, {}, one)) for one in alternatives]
        return evolve(self, clauses=(*self._clauses, {"$or": wheres}))

    def exclude(self, **conditions: Any) -> Query[M]:  # noqa: ANN401 - values of any field
        """Leave out objects that match all of *conditions*. Raises as `filter`."""
        where = to_where(add_conditions(self._model, {}, conditions))
        return evolve(self, clauses=(*self._clauses, {"$nor": [where]}))

    def related_to(self, instance: Model, name: str) -> Query[M]:
        """Keep objects that the relation *name* of *instance* holds.

        Raises:
            InvalidQueryError: *name* is no relation to this model.
            InvalidValueError: *instance* was never saved.
        """
        declared = type(require_instance(instance)).fields.get(name)
        relation = None if declared is None else declared.relation_to
        if declared is None or relation != self._model.parse_class:
            raise InvalidQueryError(
                f"{type(instance).__name__}.{name} is no Relation to {self._model.__name__}"
            )
        if self._related is not None:
            raise InvalidQueryError("a query is related to one object only")
        related = {"object": pointer_json(instance), "key": declared.column}
        return evolve(self, related=related)

    def order_by(self, *names: str) -> Query[M]:
        """Sort by attributes; a leading ``-`` sorts downwards.

        Raises:
            EncryptedQueryError: A name is an encrypted field's.
            InvalidQueryError: No such field, or one that the server orders otherwise.
        """
        order = []
        for name in names:
            column = column_of(self._model, name.removeprefix("-"), "order")
            check_ordered(column, "order")
            order.append(f"-{column.name}" if name.startswith("-") else column.name)
        return evolve(self, order=tuple(order))

    def limit(self, count: int) -> Query[M]:
        """Fetch at most *count* objects.

        Raises:
            InvalidQueryError: *count* is negative.
        """
        if count < 0:
            raise InvalidQueryError("a limit is not negative")
        return evolve(self, limit=count)

    def skip(self, count: int) -> Query[M]:
        """Leave out the first *count* objects. Slow for many: rather filter by the last seen.

        Raises:
            InvalidQueryError: *count* is negative.
        """
        if count < 0:
            raise InvalidQueryError("a number of objects is not negative")
        return evolve(self, skip=count)

    def include(self, *names: str) -> Query[M]:
        """Fetch what pointers point to as well: ``include("thread", "thread.owner")``.

        Included objects are decrypted as any other. A pointer whose object is gone, or hidden
        from this user, comes as None, and is left out of a list: Parse Server answers so.

        Raises:
            InvalidQueryError: A name is no plain ``Pointer[Model]`` or list of such, or goes too
                deep.
        """
        paths = [_include_path(self._model, name) for name in names]
        return evolve(self, include=tuple(dict.fromkeys([*self._include, *paths])))

    def only(self, *names: str) -> Query[M]:
        """Fetch these attributes alone; the others raise `MissingValueError`.

        The attributes that encrypted fields depend on are fetched too.

        Raises:
            InvalidQueryError: No such field.
        """
        chosen = set(names)
        for name in names:
            declared = self._model.fields.get(name)
            if declared is None:
                raise InvalidQueryError(f"{self._model.__name__} has no field {name!r}")
            if declared.encryption is not None:
                chosen |= {*declared.encryption.attributes()}
        return evolve(self, only=frozenset(chosen))

    # --- answers ----------------------------------------------------------------------------

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
        found = self.filter(object_id=check_object_id(object_id)).first()
        if found is None:
            raise ObjectNotFoundError(
                f"no {self._model.parse_class} with that object id that you may read", code=101
            )
        return found

    def by_id(self, object_ids: Iterable[str]) -> Results[M]:
        """Fetch the objects with these ids, in their order; what is not found is left out.

        Any number of ids, a hundred a request.
        """
        wanted = [*dict.fromkeys(map(check_object_id, require_list(object_ids, "object ids")))]
        found: dict[str | None, M] = {}
        for start in range(0, len(wanted), PAGE_ROWS):
            chunk = wanted[start : start + PAGE_ROWS]
            found.update({one.object_id: one for one in self.filter(object_id__in=chunk)})
        return Results(found[object_id] for object_id in wanted if object_id in found)

    def count(self) -> int:
        """Count the objects that match, on the server."""
        return self._rows.count(self._model, self._wire_where())

    def exists(self) -> bool:
        """Tell whether any object matches, without fetching its values."""
        page = Page(self._wire_where(), limit=1, keys=BY_OBJECT_ID)
        return bool(self._rows.fetch(self._model, page))

    def __iter__(self) -> Iterator[M]:
        with closing(self._pages()) as pages:
            for page in pages:
                yield from page

    # --- changes ----------------------------------------------------------------------------

    def update(self, progress: Progress | None = None, /, **values: Any) -> BatchReport:  # noqa: ANN401 - values of any field
        """Set attributes of every object that matches, and save them page by page.

        Encrypted fields are encrypted, each object for its own readers. What cannot be saved is
        reported and hides no other. May be repeated: what is done already is not sent again.

        Args:
            progress: Called with the number of objects that are done with.
            values: The new values by attribute.

        Raises:
            AttributeError: No such field.
            TransportError: The server could not be reached; the rest is as it was.
        """
        unknown = sorted(set(values) - set(self._model.fields))
        if unknown:
            raise AttributeError(f"{self._model.__name__} has no field {unknown[0]!r}")
        values = hushed(values)
        report = BatchReport()
        for page in self._whole()._pages():  # noqa: SLF001 - our own
            ready: list[Model] = []
            for instance in page:
                try:
                    _assign(instance, values)
                except EncryptedParseError as error:
                    report.examined += 1
                    report.failed.append((str(instance.object_id), as_value(error)))
                else:
                    ready.append(instance)
            report.add(self._rows.save_all(ready))
            if progress is not None:
                progress(report.examined)
        return report

    def delete(self, progress: Progress | None = None, /) -> BatchReport:
        """Delete every object that matches, page by page; nothing of them is decrypted.

        Args:
            progress: Called with the number of objects that are done with.

        Raises:
            TransportError: The server could not be reached; the rest is as it was.
        """
        report = BatchReport()
        for page in evolve(self._whole(), only=frozenset(), include=())._pages():  # noqa: SLF001 - our own
            report.add(self._rows.delete_all(page))
            if progress is not None:
                progress(report.examined)
        return report

    @property
    def parse_class(self) -> str:
        """The Parse class that is queried."""
        return self._model.parse_class

    # --- inside -----------------------------------------------------------------------------

    def to_subquery(self) -> dict[str, Any]:
        """Return Parse's form of this query inside another: its class and conditions."""
        if self._limit is not None or self._skip or self._order:
            raise InvalidQueryError("a query inside another has conditions only")
        return {"className": self._model.parse_class, "where": self._wire_where()}

    def _whole(self) -> Query[M]:
        """Return this query in an order that changes of the rows do not disturb."""
        if self._order or self._skip:
            raise InvalidQueryError(
                "update() and delete() of a query go by object id",
                hint="leave out order_by() and skip(), or save_all() what you fetched",
            )
        return evolve(self, only=None)

    def _pages(self) -> Generator[list[M]]:
        page = Page(
            self._wire_where(),
            () if self._by_distance() else tuple(dict.fromkeys([*self._order, *BY_OBJECT_ID])),
            self._limit,
            self._skip,
            self._keys(),
            self._include,
        )
        for rows in walk(self._rows, self._model, page):
            yield self._rows.load(self._model, rows, self._only, self._include)

    def _keys(self) -> tuple[str, ...]:
        if self._only is None:
            return ()
        return ("ACL", *(self._model.fields[name].column for name in sorted(self._only)))

    def _by_distance(self) -> bool:
        return not self._order and any("$nearSphere" in tests for tests in self._where.values())

    def _wire_where(self) -> dict[str, Any]:
        where = to_where(self._where)
        if self._clauses:
            where["$and"] = list(self._clauses)
        if self._related is not None:
            where["$relatedTo"] = dict(self._related)
        return where

    def __repr__(self) -> str:
        return f"<Query of {self._model.__name__}>"


def _assign(instance: Model, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(instance, name, value)


def _include_path(model: type[Model], name: str) -> str:
    columns: list[str] = []
    at: type[Model] = model
    for part in name.split("."):
        declared = at.fields.get(part)
        target = None if declared is None else declared.target
        if declared is None or target is None or len(columns) == MAX_INCLUDE_DEPTH:
            raise InvalidQueryError(
                f"cannot include {name!r}: {at.__name__}.{part} is no plain Pointer[Model], or a "
                "list of such"
            )
        columns.append(declared.column)
        at = target
    return ".".join(columns)
