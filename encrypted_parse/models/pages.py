"""Pages: how the rows of a query are fetched, a request at a time, with the next one under way."""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from attrs import evolve, frozen

from encrypted_parse.errors import MalformedResponseError
from encrypted_parse.models.model import Model
from encrypted_parse.models.outcomes import Outcome
from encrypted_parse.models.workers import Ahead

M = TypeVar("M", bound=Model)

PAGE_ROWS = 100  # Parse Server's default limit; what one request asks for
BY_OBJECT_ID = ("objectId",)


@frozen
class Page:
    """What a query, or one request of it, asks for in Parse's terms. No limit: all rows."""

    where: Mapping[str, Any]
    order: Sequence[str] = ()
    limit: int | None = None
    skip: int = 0
    keys: Sequence[str] = ()
    include: Sequence[str] = ()


class Rows(Protocol):
    """Where queries get rows from, and give changed objects to."""

    def fetch(self, model: type[Model], page: Page) -> list[dict[str, Any]]:
        """Return the rows of one page."""

    def load(
        self, model: type[M], rows: Sequence[Mapping[str, Any]], only: frozenset[str] | None
    ) -> list[M]:
        """Return the objects of *rows*."""

    def count(self, model: type[Model], where: Mapping[str, Any]) -> int:
        """Return how many rows match."""

    def save_all(self, instances: Sequence[Model]) -> Sequence[Outcome]:
        """Save objects."""

    def delete_all(self, instances: Sequence[Model]) -> Sequence[Outcome]:
        """Delete objects."""


def walk(source: Rows, model: type[Model], whole: Page) -> Generator[list[dict[str, Any]]]:
    """Yield the rows of *whole* in pages; the next is requested while the present one is used.

    By object id alone, each page begins beyond the last row seen, so that rows which come or go
    meanwhile shift nothing. In any other order, pages are counted off.

    Raises:
        MalformedResponseError: The server gives rows again that were before.
    """
    keyset, remaining, after = tuple(whole.order) == BY_OBJECT_ID, whole.limit, None
    if remaining == 0:
        return
    page = evolve(whole, limit=_size(remaining))
    with Ahead("encrypted-parse-page") as ahead:
        rows = source.fetch(model, page)
        while rows:
            remaining = None if remaining is None else remaining - len(rows)
            if len(rows) < _size(page.limit) or remaining == 0:
                yield rows
                return
            if keyset:
                after = _last(rows, after)
                where = _beyond(whole.where, after)
                page = evolve(page, where=where, skip=0, limit=_size(remaining))
            else:
                page = evolve(page, skip=page.skip + len(rows), limit=_size(remaining))
            following = ahead.begin(functools.partial(source.fetch, model, page))
            yield rows
            rows = following()


def _size(remaining: int | None) -> int:
    return PAGE_ROWS if remaining is None else min(PAGE_ROWS, remaining)


def _beyond(where: Mapping[str, Any], object_id: str) -> dict[str, Any]:
    beyond = {"objectId": {"$gt": object_id}}
    if "objectId" not in where:
        return {**where, **beyond}
    return {**where, "$and": [*where.get("$and", []), beyond]}


def _last(rows: Sequence[Mapping[str, Any]], before: str | None) -> str:
    """Return the last object id of a page; a server that does not get on is an error."""
    last = rows[-1].get("objectId")
    if not isinstance(last, str) or (before is not None and last <= before):
        raise MalformedResponseError("the server does not get on with a query's pages")
    return last
