"""The object store: saves and fetches models through a Parse client and a sealer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from attrs import frozen

from encrypted_parse.errors import EncryptedParseError, InvalidValueError
from encrypted_parse.models import rows
from encrypted_parse.models.model import Model
from encrypted_parse.models.query import Query
from encrypted_parse.models.sealer import Sealer
from encrypted_parse.parse import BatchOperation, ParseClient

M = TypeVar("M", bound=Model)


@frozen
class SaveOutcome:
    """What became of one object of `save_all`: saved, or why not."""

    instance: Model
    error: EncryptedParseError | None

    @property
    def saved(self) -> bool:
        """True if the server holds the object's present values."""
        return self.error is None


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
        draft = rows.draft(instance, self._sealer.user_id)
        if draft.is_empty and not instance.is_new:
            return instance
        body = rows.seal(draft, self._sealer)
        rows.commit(draft, self._send(instance, body))
        return instance

    def save_all(self, instances: Sequence[Model]) -> list[SaveOutcome]:
        """Save many objects in batches; one outcome per object, in order.

        What cannot be saved is reported in its outcome and hides no other. Cards are looked up
        once for all objects.

        Raises:
            TransportError: The server could not be reached; outcomes are then unknown.
        """
        outcomes: list[SaveOutcome | None] = [None] * len(instances)
        drafts: list[tuple[int, rows.Draft]] = []
        for index, instance in enumerate(instances):
            try:
                drafts.append((index, rows.draft(instance, self._sealer.user_id)))
            except EncryptedParseError as error:
                outcomes[index] = SaveOutcome(instance, error)
        self._sealer.prefetch({user for _, draft in drafts for to in draft.sealed for user in to})
        operations: list[tuple[int, rows.Draft, BatchOperation]] = []
        for index, draft in drafts:
            instance = draft.instance
            try:
                if draft.is_empty and not instance.is_new:
                    outcomes[index] = SaveOutcome(instance, None)
                else:
                    body = rows.seal(draft, self._sealer)
                    operations.append((index, draft, _operation(instance, body)))
            except EncryptedParseError as error:
                outcomes[index] = SaveOutcome(instance, error)
        results = self._parse.batch([operation for _, _, operation in operations])
        for (index, draft, _), result in zip(operations, results, strict=True):
            if result.error is None:
                rows.commit(draft, result.success or {})
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
        return Query(model, self._fetch, self._count)

    def delete(self, instance: Model) -> None:
        """Delete the object's row.

        Raises:
            InvalidValueError: The object was never saved.
            ObjectNotFoundError: There is no such row, or you may not delete it.
        """
        self._parse.delete(instance.parse_class, _saved_id(instance))

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

    def _fetch(
        self,
        model: type[M],
        where: Mapping[str, Any],
        order: Sequence[str],
        limit: int,
        skip: int,
    ) -> list[M]:
        found = self._parse.find(
            model.parse_class, where=where, order=order, limit=limit, skip=skip
        )
        return rows.load_rows(model, found, self._sealer)

    def _count(self, model: type[Model], where: Mapping[str, Any]) -> int:
        return self._parse.count(model.parse_class, where=where)


def _operation(instance: Model, body: Mapping[str, Any]) -> BatchOperation:
    if instance.object_id is None:
        return BatchOperation.create(instance.parse_class, body)
    return BatchOperation.update(instance.parse_class, instance.object_id, body)


def _saved_id(instance: Model) -> str:
    if instance.object_id is None:
        raise InvalidValueError("the object was never saved", hint="save it first")
    return instance.object_id
