"""The object store: saves and fetches models through a Parse client and a sealer."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    EncryptedParseError,
    InvalidValueError,
    OutcomeUnknownError,
    TransactionNotPossibleError,
)
from encrypted_parse.models import current, drafts, homes, operations, resending, rows
from encrypted_parse.models.ahead import sealed_ahead
from encrypted_parse.models.arguments import (
    require_instances,
    require_model,
    saved_id,
)
from encrypted_parse.models.creating import create, find_created
from encrypted_parse.models.files import Files, own_parts
from encrypted_parse.models.model import Model
from encrypted_parse.models.outcomes import DeleteOutcome, SaveOutcome
from encrypted_parse.models.pages import PAGE_ROWS, Page
from encrypted_parse.models.query import Query
from encrypted_parse.models.sealer import Sealer
from encrypted_parse.models.values import Pointer
from encrypted_parse.models.versions import update_if_current
from encrypted_parse.models.workers import Workers
from encrypted_parse.parse import BatchOperation, ParseClient
from encrypted_parse.parse.batch import BatchResult

M = TypeVar("M", bound=Model)


@front_door
class ObjectStore:
    """Everything that one user does with objects."""

    def __init__(self, parse: ParseClient, sealer: Sealer, files: Files | None = None) -> None:
        self._parse = parse
        self._sealer = sealer
        self._files = files
        self._workers = Workers()
        self.whole_pages: dict[str, int] = {}

    def save(self, instance: M) -> M:
        """Create or update the object's row; only changed fields are sent. Returns *instance*.

        Everything is checked and encrypted before the one call is sent. If it raises, the
        object and the row are as before, except after an `OutcomeUnknownError`.

        Raises:
            ModelError: A value, rule, author or lock forbids it; or a file that is elsewhere.
            StaleObjectError: Somebody else has changed its readers since it was fetched, and it
                sends encrypted values or readers; or, with a `version` field, anything at all.
            RecipientsNotRegisteredError: Some recipients have no card.
            UntrustedKeyError: Some have another key than the trusted one.
            ParseServerError: The server refused.
            OutcomeUnknownError: The connection broke; the row may or may not be saved.
        """
        draft = drafts.draft(instance, self._sealer.user_id)
        if not draft.is_to_be_sent:
            return instance
        claims = homes.claim(draft.instance, draft.names, self._files)
        try:
            body, answer = resending.send_sealed(
                draft, self._sealer, lambda body: self._send(draft, body)
            )
            self._commit(draft, body, answer)
        except EncryptedParseError as error:
            homes.release(claims, error)
            raise
        return instance

    def save_all(
        self, instances: Sequence[Model], *, transaction: bool = False
    ) -> list[SaveOutcome]:
        """Save many objects in batches; one outcome per object, in order.

        What cannot be saved is reported in its outcome and hides no other. Cards are looked up
        once for all objects. Objects with a `version` field are saved one by one. Stale ones
        are found as by `save`.

        Args:
            instances: The objects; one that stands there twice is saved once.
            transaction: Save all of them or none: at most 50, without a `version` field, of
                classes whose columns exist. Then it raises, in place of outcomes with errors.

        Raises:
            EncryptedParseError: Of a transaction, the first error; nothing is saved.
            OutcomeUnknownError: Of a transaction whose connection broke.
        """
        outcomes: dict[int, SaveOutcome] = {}
        planned: dict[int, drafts.Draft] = {}
        claims: dict[int, homes.Claims] = {}
        seen: dict[int, int] = {}
        instances = require_instances(instances)
        for index, instance in enumerate(instances):
            if id(instance) in seen:
                continue
            seen[id(instance)] = index
            try:
                draft = drafts.draft(instance, self._sealer.user_id)
                claims[index] = homes.claim(draft.instance, draft.names, self._files)
                planned[index] = draft
            except EncryptedParseError as error:
                outcomes[index] = SaveOutcome(instance, error)
        self._sealer.prefetch(resending.readers_of(*planned.values()))
        if transaction:
            try:
                outcomes |= self._save_together(planned, outcomes)
            except EncryptedParseError as error:
                homes.release(itertools.chain.from_iterable(claims.values()), error)
                raise
        else:
            outcomes |= self._send_each(planned)
            outcomes |= self._send_each(resending.refused(planned, outcomes, self._sealer))
        for index, taken in claims.items():
            if outcomes[index].error is not None:
                homes.release(taken, outcomes[index].error)
        return [outcomes[seen[id(instance)]] for instance in instances]

    def _save_together(
        self, planned: Mapping[int, drafts.Draft], failed: Mapping[int, SaveOutcome]
    ) -> dict[int, SaveOutcome]:
        for outcome in failed.values():
            if outcome.error is not None:
                raise outcome.error
        self._send_transaction([draft for draft in planned.values() if draft.is_to_be_sent])
        return {index: SaveOutcome(draft.instance, None) for index, draft in planned.items()}

    def _send_each(self, planned: Mapping[int, drafts.Draft]) -> dict[int, SaveOutcome]:
        """Send the drafts; the next fifty are encrypted while the server works on the present."""
        outcomes: dict[int, SaveOutcome] = {}
        sent: dict[int, dict[str, Any]] = {}

        def operations_of_the_rest() -> Iterator[BatchOperation]:
            for index, body in self._looked_at(planned):
                draft = planned[index]
                instance = draft.instance
                try:
                    if isinstance(body, EncryptedParseError):
                        raise body
                    if instance.is_new or type(instance).version_field is None:
                        sent[index] = body
                        yield self._operation(draft, body)
                        continue
                    self._commit(draft, body, self._send(draft, body))
                    outcomes[index] = SaveOutcome(instance, None)
                except EncryptedParseError as error:
                    outcomes[index] = SaveOutcome(instance, error)

        for index, draft in planned.items():
            if not draft.is_to_be_sent:
                outcomes[index] = SaveOutcome(draft.instance, None)
        results = self._parse.batch(operations_of_the_rest())
        for (index, body), result in zip(sent.items(), results, strict=True):
            outcomes[index] = self._settle(planned[index], body, result)
        return outcomes

    def _settle(
        self, draft: drafts.Draft, body: Mapping[str, Any], result: BatchResult
    ) -> SaveOutcome:
        """Take over what a batch made of one object."""
        answer, error = result.success or {}, result.error
        try:
            if isinstance(error, OutcomeUnknownError) and draft.instance.is_new:
                answer, error = find_created(self._parse, draft, body, error), None
            if error is not None:
                answer, error = current.settle_refusal(self._parse, draft, body, error), None
            if error is None:
                self._commit(draft, body, answer)
        except EncryptedParseError as failure:
            error = failure
        return SaveOutcome(draft.instance, error)

    def _looked_at(
        self, planned: Mapping[int, drafts.Draft]
    ) -> Iterator[tuple[int, dict[str, Any] | EncryptedParseError]]:
        """Yield each body, or why it must not be sent: a part's rows are looked at just before."""
        for part in sealed_ahead(planned, self._sealer):
            unversioned = [
                planned[index]
                for index, _ in part
                if type(planned[index].instance).version_field is None
            ]
            try:
                stale = current.stale_ones(self._parse, unversioned, guard=True)
            except EncryptedParseError as error:
                stale = {id(draft): error for draft in unversioned if draft.expected}
            for index, body in part:
                yield index, stale.get(id(planned[index]), body)

    def _send_transaction(self, changed: Sequence[drafts.Draft]) -> None:
        bodies = [drafts.seal(draft, self._sealer) for draft in changed]
        columns: dict[str, set[str]] = {}
        for draft, body in zip(changed, bodies, strict=True):
            if type(draft.instance).version_field is not None:
                raise InvalidValueError("an object with a version is not part of a transaction")
            columns.setdefault(draft.instance.parse_class, set()).update(body)
        for class_name, wanted in columns.items():
            if not self._parse.columns_exist(class_name, wanted - {"ACL"}):
                raise TransactionNotPossibleError(
                    f"{class_name} may lack some of the columns {', '.join(sorted(wanted))}, "
                    "and a transaction that adds one would lock the class",
                    hint="save one object with all of them by itself first",
                )
        for error in current.stale_ones(self._parse, changed, guard=False).values():
            raise error

        def send(sent: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
            return self._parse.transaction(list(map(_untagged, changed, sent))) if sent else []

        bodies, answers = resending.send_together(changed, bodies, self._sealer, send)
        for draft, body, answer in zip(changed, bodies, answers, strict=True):
            self._commit(draft, body, answer)

    def get(self, model: type[M], object_id: str) -> M:
        """Fetch one object.

        Raises:
            ObjectNotFoundError: There is none, or you may not read it.
        """
        row = self._parse.get(require_model(model).parse_class, object_id)
        return rows.load_rows(model, [row], self._sealer)[0]

    def query(self, model: type[M]) -> Query[M]:
        """Return a query for all objects of *model*."""
        return Query(require_model(model), self)

    def delete(self, instance: Model) -> None:
        """Delete the object's row.

        Raises:
            InvalidValueError: The object was never saved.
            ObjectNotFoundError: There is no such row, or you may not delete it.
        """
        object_id = saved_id(instance)
        self._parse.delete(instance.parse_class, object_id)
        self._discard(own_parts(instance, self._sealer.user_id))

    def delete_all(self, instances: Sequence[Model]) -> list[DeleteOutcome]:
        """Delete many objects in batches; one outcome per object, in order.

        An object that was never saved, or that the server does not let go, is reported in its
        outcome and hides no other.

        Raises:
            TransportError: The server could not be reached; outcomes are then unknown.
        """
        outcomes: dict[int, DeleteOutcome] = {}
        deletions: dict[int, BatchOperation] = {}
        instances = require_instances(instances)
        for index, instance in enumerate(instances):
            try:
                operation = BatchOperation.delete(instance.parse_class, saved_id(instance))
            except InvalidValueError as error:
                outcomes[index] = DeleteOutcome(instance, error)
            else:
                deletions[index] = operation
        results = self._parse.batch(list(deletions.values()))
        for index, result in zip(deletions, results, strict=True):
            outcomes[index] = DeleteOutcome(instances[index], result.error)
            if result.error is None:
                self._discard(own_parts(instances[index], self._sealer.user_id))
        return [outcomes[index] for index in range(len(instances))]

    def refresh(self, instance: M) -> M:
        """Fetch the row again and return it as a new object; *instance* stays as it is.

        Raises:
            InvalidValueError: The object was never saved.
            ObjectNotFoundError: There is no such row any more, or you may not read it.
        """
        return self.get(type(instance), saved_id(instance))

    # --- atomic operations ------------------------------------------------------------------

    def increment(self, instance: M, **amounts: float) -> M:
        """Add to numbers on the server, at once: ``increment(post, likes=1)``.

        The attributes then hold what the server made of them; other changes stay unsaved. After
        a lost connection it is not repeated, since that could count twice.

        Raises:
            EncryptedOperationError: A field is encrypted, or says who reads encrypted fields.
            InvalidValueError: A field holds no number, or the object was never saved.
            OutcomeUnknownError: The connection broke; it may or may not have happened.
        """
        return self._operate(instance, operations.increments(instance, amounts))

    def append(self, instance: M, *, unique: bool = False, **items: Iterable[Any]) -> M:
        """Add to the end of lists on the server: ``append(post, tags=["new"])``.

        With *unique*, what is in the list already is left out, and the order is the server's.
        Raises as `increment`.
        """
        operation = "AddUnique" if unique else "Add"
        return self._operate(instance, operations.list_changes(instance, operation, items))

    def remove(self, instance: M, **items: Iterable[Any]) -> M:
        """Take every occurrence of some items out of lists on the server. Raises as `increment`."""
        return self._operate(instance, operations.list_changes(instance, "Remove", items))

    def relate(self, instance: Model, name: str, others: Sequence[Model | Pointer[Any]]) -> None:
        """Add saved objects, or pointers, to the relation *name*.

        Raises:
            InvalidValueError: It is no relation, others are not of its class, or not saved.
        """
        body = operations.relation_change(instance, "AddRelation", name, others)
        self._parse.update(instance.parse_class, saved_id(instance), body)

    def unrelate(self, instance: Model, name: str, others: Sequence[Model | Pointer[Any]]) -> None:
        """Take objects out of the relation *name*. Raises as `relate`."""
        body = operations.relation_change(instance, "RemoveRelation", name, others)
        self._parse.update(instance.parse_class, saved_id(instance), body)

    def _operate(self, instance: M, changes: operations.Operations) -> M:
        columns = type(instance).fields
        body = {columns[name].column: change for name, change in changes.items()}
        answer = self._parse.update(instance.parse_class, saved_id(instance), body)
        operations.take_over(instance, changes, answer)
        return instance

    def _commit(
        self, draft: drafts.Draft, body: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> None:
        before = own_parts(draft.instance, self._sealer.user_id)
        drafts.settle(draft, body, answer, self._sealer)
        self._discard(before - own_parts(draft.instance, self._sealer.user_id))

    def _operation(self, draft: drafts.Draft, body: Mapping[str, Any]) -> BatchOperation:
        class_name, object_id = draft.instance.parse_class, draft.instance.object_id
        if object_id is None:
            return BatchOperation.create(class_name, body)
        taken = current.guarded(self._parse, class_name, draft.expected)
        return BatchOperation.update(class_name, object_id, body, taken)

    def _discard(self, names: Collection[str]) -> None:
        """Delete what the server has no use for any more: last, since objects matter more."""
        if names and self._files is not None:
            self._files.discard(sorted(names))

    def _send(self, draft: drafts.Draft, body: Mapping[str, Any]) -> Mapping[str, Any]:
        instance = draft.instance
        if instance.object_id is None:
            return create(self._parse, draft, body)
        counted = type(instance).version_field
        if counted is not None:
            return update_if_current(self._parse, draft, body, counted, draft.expected)
        return current.update(self._parse, draft, body, draft.expected, fresh=False)

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
        self,
        model: type[M],
        found: Sequence[Mapping[str, Any]],
        only: frozenset[str] | None,
        include: Sequence[str],
    ) -> list[M]:
        """Return the objects of rows, decrypted and verified."""
        return rows.load_rows(
            model, found, self._sealer, only=only, include=include, workers=self._workers
        )

    def count(self, model: type[Model], where: Mapping[str, Any]) -> int:
        """Return how many rows match."""
        return self._parse.count(model.parse_class, where=where)


def _untagged(draft: drafts.Draft, body: Mapping[str, Any]) -> BatchOperation:
    """Return a write of a transaction, whose rows were looked at before."""
    class_name, object_id = draft.instance.parse_class, draft.instance.object_id
    if object_id is None:
        return BatchOperation.create(class_name, body)
    return BatchOperation.update(class_name, object_id, body)
