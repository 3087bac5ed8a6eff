"""The object store: saves and fetches models through a Parse client and a sealer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from encrypted_parse.errors import EncryptedParseError, InvalidValueError
from encrypted_parse.models import drafts, rows
from encrypted_parse.models.model import Model
from encrypted_parse.models.outcomes import DeleteOutcome, SaveOutcome
from encrypted_parse.models.pages import PAGE_ROWS, Page
from encrypted_parse.models.query import Query
from encrypted_parse.models.sealer import Sealer
from encrypted_parse.parse import BatchOperation, ParseClient

M = TypeVar("M", bound=Model)


class ObjectStore:
    """Everything that one user does with objects."""

    def __init__(self, parse: ParseClient, sealer: Sealer) -> None:
        self._parse = parse
        self._sealer = sealer

    def save(self, instance: M) -> M:
        """Create or update the object's row; only changed fields are sent. Returns *instance*.

        Everything is checked and encrypted before the one call is sent. If it raises, the
        object and the row are as before, except after an `OutcomeUnknownError`.

        Raises:
            ModelError: A value, rule, author or lock forbids it.
            RecipientsNotRegisteredError: Some recipients have no card.
            ParseServerError: The server refused.
            OutcomeUnknownError: The connection broke; the row may or may not be saved.
        """
        draft = drafts.draft(instance, self._sealer.user_id)
        if draft.is_empty and not instance.is_new:
            return instance
        body = drafts.seal(draft, self._sealer)
        drafts.commit(draft, self._send(instance, body))
        return instance

    def save_all(self, instances: Sequence[Model]) -> list[SaveOutcome]:
        """Save many objects in batches; one outcome per object, in order.

        What cannot be saved is reported in its outcome and hides no other. Cards are looked up
        once for all objects.

        Raises:
            TransportError: The server could not be reached; outcomes are then unknown.
        """
        outcomes: list[SaveOutcome | None] = [None] * len(instances)
        planned: list[tuple[int, drafts.Draft]] = []
        for index, instance in enumerate(instances):
            try:
                planned.append((index, drafts.draft(instance, self._sealer.user_id)))
            except EncryptedParseError as error:
                outcomes[index] = SaveOutcome(instance, error)
        self._sealer.prefetch({user for _, draft in planned for to in draft.sealed for user in to})
        operations: list[tuple[int, drafts.Draft, BatchOperation]] = []
        for index, draft in planned:
            instance = draft.instance
            try:
                if draft.is_empty and not instance.is_new:
                    outcomes[index] = SaveOutcome(instance, None)
                else:
                    body = drafts.seal(draft, self._sealer)
                    operations.append((index, draft, _operation(instance, body)))
            except EncryptedParseError as error:
                outcomes[index] = SaveOutcome(instance, error)
        results = self._parse.batch([operation for _, _, operation in operations])
        for (index, draft, _), result in zip(operations, results, strict=True):
            if result.error is None:
                drafts.commit(draft, result.success or {})
            outcomes[index] = SaveOutcome(draft.instance, result.error)
        return [outcome for outcome in outcomes if outcome is not None]

    def get(self, model: type[M], object_id: str) -> M:
        """Fetch one object.

        Raises:
            ObjectNotFoundError: There is none, or you may not read it.
        """
        row = self._parse.get(model.parse_class, object_id)
        return rows.load_rows(model, [row], self._sealer)[0]

    def query(self, model: type[M]) -> Query[M]:
        """Return a query for all objects of *model*."""
        return Query(model, self)

    def delete(self, instance: Model) -> None:
        """Delete the object's row.

        Raises:
            InvalidValueError: The object was never saved.
            ObjectNotFoundError: There is no such row, or you may not delete it.
        """
        self._parse.delete(instance.parse_class, _saved_id(instance))

    def delete_all(self, instances: Sequence[Model]) -> list[DeleteOutcome]:
        """Delete many objects in batches; one outcome per object, in order.

        An object that was never saved, or that the server does not let go, is reported in its
        outcome and hides no other.

        Raises:
            TransportError: The server could not be reached; outcomes are then unknown.
        """
        outcomes: dict[int, DeleteOutcome] = {}
        operations: list[tuple[int, BatchOperation]] = []
        for index, instance in enumerate(instances):
            try:
                operation = BatchOperation.delete(instance.parse_class, _saved_id(instance))
            except InvalidValueError as error:
                outcomes[index] = DeleteOutcome(instance, error)
            else:
                operations.append((index, operation))
        results = self._parse.batch([operation for _, operation in operations])
        for (index, _), result in zip(operations, results, strict=True):
            outcomes[index] = DeleteOutcome(instances[index], result.error)
        return [outcomes[index] for index in range(len(instances))]

    def refresh(self, instance: M) -> M:
        """Fetch the row again and return it as a new object; *instance* stays as it is.

        Raises:
            InvalidValueError: The object was never saved.
            ObjectNotFoundError: There is no such row any more, or you may not read it.
        """
        return self.get(type(instance), _saved_id(instance))

    def _send(self, instance: Model, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if instance.object_id is None:
            return self._parse.create(instance.parse_class, body)
        return self._parse.update(instance.parse_class, instance.object_id, body)

    # --- what queries need (`query.Rows`) ---------------------------------------------------

    def fetch(self, model: type[Model], page: Page) -> list[dict[str, Any]]:
        """Return the rows of one page of a query, as the server holds them."""
        return self._parse.find(
            model.parse_class,
            where=page.where,
            order=page.order,
            limit=PAGE_ROWS if page.limit is None else page.limit,
            skip=page.skip,
            keys=page.keys,
            include=page.include,
        )

    def load(
        self, model: type[M], found: Sequence[Mapping[str, Any]], only: frozenset[str] | None
    ) -> list[M]:
        """Return the objects of rows, decrypted and verified."""
        return rows.load_rows(model, found, self._sealer, only=only)

    def count(self, model: type[Model], where: Mapping[str, Any]) -> int:
        """Return how many rows match."""
        return self._parse.count(model.parse_class, where=where)


def _operation(instance: Model, body: Mapping[str, Any]) -> BatchOperation:
    if instance.object_id is None:
        return BatchOperation.create(instance.parse_class, body)
    return BatchOperation.update(instance.parse_class, instance.object_id, body)


def _saved_id(instance: Model) -> str:
    if instance.object_id is None:
        raise InvalidValueError("the object was never saved", hint="save it first")
    return instance.object_id
