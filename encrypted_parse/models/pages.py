"""Pages: how the rows of a query are fetched, a request at a time, with the next one under way."""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from attrs import evolve, frozen

from encrypted_parse.errors import MalformedResponseError, ResponseTooLargeError
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
    """Where queries get rows from, and give changed objects to.

    Attributes:
        whole_pages: By Parse class, the longest page that came as long as it was asked for.
    """

    whole_pages: dict[str, int]

    def fetch(self, model: type[Model], page: Page) -> list[dict[str, Any]]:
        """Return the rows of one page."""

    def load(
        self,
        model: type[M],
        rows: Sequence[Mapping[str, Any]],
        only: frozenset[str] | None,
        include: Sequence[str],
    ) -> list[M]:
        """Return the objects of *rows*, which hold the rows that were included."""

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

    A server may cut pages (`maxLimit`, a trigger), so a short page is the last one only if a whole
    page at least as long came before; else one more request tells. An answer that is too large is
    asked for again in half as many rows. How the server sorts object ids is its own affair: what
    it may not do is give a row of the last two pages again.

    Raises:
        MalformedResponseError: The server gives rows again that were before.
        ResponseTooLargeError: A single row exceeds the limit of answers.
    """
    keyset = tuple(whole.order) == BY_OBJECT_ID
    asking = _Asking(source, model)
    page, remaining, before = evolve(whole, limit=None), whole.limit, frozenset[str]()
    if remaining == 0:
        return
    with Ahead("encrypted-parse-page") as ahead:
        rows = asking.fetch(page, remaining)
        while rows:
            before = _new_ids(rows, before) if keyset else before
            remaining = None if remaining is None else max(0, remaining - len(rows))
            if remaining == 0 or asking.is_last(rows):
                yield rows
                return
            if keyset:
                page = evolve(page, where=_beyond(whole.where, rows[-1]["objectId"]), skip=0)
            else:
                page = evolve(page, skip=page.skip + len(rows))
            following = ahead.begin(functools.partial(asking.fetch, page, remaining))
            yield rows
            rows = following()


class _Asking:
    """One query's requests: how many rows each asks for, and what a short answer means."""

    def __init__(self, source: Rows, model: type[Model]) -> None:
        self._source = source
        self._model = model
        self._most = PAGE_ROWS
        self._asked = 0

    def fetch(self, page: Page, remaining: int | None) -> list[dict[str, Any]]:
        """Return the rows of *page*, as many as one answer holds; not while one is under way."""
        while True:
            self._asked = self._most if remaining is None else min(self._most, remaining)
            try:
                return self._source.fetch(self._model, evolve(page, limit=self._asked))
            except ResponseTooLargeError:
                if self._asked == 1:
                    raise
            self._most = self._asked // 2

    def is_last(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Tell whether the page that was fetched last surely ends the query."""
        class_name, longest = self._model.parse_class, self._source.whole_pages
        if len(rows) < self._asked:
            return longest.get(class_name, 0) >= self._asked
        longest[class_name] = max(self._asked, longest.get(class_name, 0))
        return False


def _beyond(where: Mapping[str, Any], object_id: str) -> dict[str, Any]:
    beyond = {"objectId": {"$gt": object_id}}
    if "objectId" not in where:
        return {**where, **beyond}
    return {**where, "$and": [*where.get("$and", []), beyond]}


def _new_ids(rows: Sequence[Mapping[str, Any]], before: frozenset[str]) -> frozenset[str]:
    """Return the object ids of a page; a server that does not get on is an error."""
    found = [row.get("objectId") for row in rows]
    ids = frozenset(one for one in found if isinstance(one, str))
    if len(ids) != len(found) or ids & before:
        raise MalformedResponseError("the server does not get on with a query's pages")
    return ids
