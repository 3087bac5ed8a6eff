"""Resealing: encrypting a user's own values again, for the keys that their readers have now.

After a rotation, or when a group has other members, what was saved before is still encrypted for
the keys of that day. Only a value's author can encrypt it again: the signature inside is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import define, field

from encrypted_parse.discretion import as_value, front_door, hushed
from encrypted_parse.errors import EncryptedParseError, MalformedResponseError
from encrypted_parse.models import current, drafts, rows
from encrypted_parse.models.arguments import require_model
from encrypted_parse.models.model import Model
from encrypted_parse.models.resending import names_replaced_key, readers_of
from encrypted_parse.models.sealer import Sealer
from encrypted_parse.parse import BatchOperation, ParseClient

PAGE_ROWS = 50  # one batch; also how many are fetched before they are written back


@front_door
@define
class ResealReport:
    """What became of the objects that were looked at.

    Attributes:
        examined: How many rows.
        resealed: How many of them were encrypted again and saved.
        skipped: How many have values that are not ours, or that we cannot open.
        failed: Which were refused, and why: class name, object id, error.
    """

    examined: int = 0
    resealed: int = 0
    skipped: int = 0
    failed: list[tuple[str, str, EncryptedParseError]] = field(factory=list)


class ResealCheckpoint(Protocol):
    """Remembers how far a job has come, so that it may be stopped at any time."""

    def position(self, class_name: str) -> str:
        """Return the last object id that is done; empty at the beginning."""

    def advance(self, class_name: str, object_id: str) -> None:
        """Keep a new position."""


class NoCheckpoint:
    """Begins at the beginning, each time: what is current already is only read."""

    def position(self, class_name: str) -> str:  # noqa: ARG002 - the protocol's
        """See `ResealCheckpoint.position`."""
        return ""

    def advance(self, class_name: str, object_id: str) -> None:
        """See `ResealCheckpoint.advance`."""


@front_door
def reseal_objects(
    parse: ParseClient,
    sealer: Sealer,
    models: Iterable[type[Model]],
    *,
    checkpoint: ResealCheckpoint | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> ResealReport:
    """Encrypt the user's own values again where they are not for their readers' present keys.

    Goes through all rows of *models* that the user may read, fifty at a time, and saves those that
    need it. May be stopped and repeated. A row that somebody else changes between
    reading and writing keeps that change, and is reported; see `current` for what is left where no
    guard decides.

    Args:
        parse: The user's client.
        sealer: The user's sealer.
        models: The classes to go through.
        checkpoint: Where a stopped job goes on.
        progress: Called with the class name, the rows that are done, and how many there are.

    Raises:
        TransportError: The server could not be reached, or does not answer as Parse; go on later.
        ParseServerError: A class cannot be queried.
    """
    report, place = ResealReport(), checkpoint or NoCheckpoint()
    for model in list(map(require_model, models)):
        if not any(declared.encryption for declared in model.fields.values()):
            continue
        after, done = place.position(model.parse_class), 0
        total = parse.count(model.parse_class, where=_beyond(after))
        while page := parse.find(
            model.parse_class, where=_beyond(after), order=["objectId"], limit=PAGE_ROWS
        ):
            _reseal_page(parse, sealer, model, page, report)
            last, done = str(page[-1]["objectId"]), done + len(page)
            if last == after:
                raise MalformedResponseError("the server does not get on with a query's pages")
            after = last
            place.advance(model.parse_class, after)
            if progress is not None:
                progress(model.parse_class, done, max(done, total))
    return report


def _beyond(object_id: str) -> dict[str, Any]:
    return {"objectId": {"$gt": object_id}} if object_id else {}


def _reseal_page(
    parse: ParseClient,
    sealer: Sealer,
    model: type[Model],
    page: Sequence[Mapping[str, Any]],
    report: ResealReport,
) -> None:
    planned: list[drafts.Draft] = []
    bodies: list[dict[str, Any]] = []
    for row, instance in zip(page, rows.load_rows(model, page, sealer), strict=True):
        report.examined += 1
        object_id = str(instance.object_id)
        try:
            due = _stale_fields(instance, row, sealer, report)
            if not due:
                continue
            draft = drafts.draft(instance, sealer.user_id, reseal=due)
            body = drafts.seal(draft, sealer)
        except EncryptedParseError as error:
            report.failed.append((model.parse_class, object_id, as_value(error)))
            continue
        planned.append(draft)
        bodies.append(body)
    for draft, refusal in zip(planned, _send(parse, sealer, planned, bodies), strict=True):
        if refusal is None:
            report.resealed += 1
        else:
            report.failed.append((model.parse_class, str(draft.instance.object_id), refusal))


def _send(
    parse: ParseClient,
    sealer: Sealer,
    planned: Sequence[drafts.Draft],
    bodies: Sequence[Mapping[str, Any]],
) -> list[EncryptedParseError | None]:
    """Send drafts in a batch; those for a key that was replaced meanwhile once more."""
    errors = _try(parse, planned, bodies)
    refused = [place for place, error in enumerate(errors) if names_replaced_key(error)]
    if not refused:
        return errors
    sealer.prefetch(readers_of(*(planned[place] for place in refused)), replaced=True)
    again: dict[int, dict[str, Any]] = {}
    for place in refused:
        try:
            again[place] = drafts.seal(planned[place], sealer)
        except EncryptedParseError as error:
            errors[place] = as_value(error)
    results = _try(parse, [planned[place] for place in again], list(again.values()))
    for place, result in zip(again, results, strict=True):
        errors[place] = result
    return errors


def _try(
    parse: ParseClient, planned: Sequence[drafts.Draft], bodies: Sequence[Mapping[str, Any]]
) -> list[EncryptedParseError | None]:
    """Send those drafts whose rows are as they were read; return what is wrong with each."""
    errors: dict[int, EncryptedParseError] = current.stale_ones(parse, planned, guard=True)
    sent = [pair for pair in zip(planned, bodies, strict=True) if id(pair[0]) not in errors]
    operations = [
        BatchOperation.update(
            draft.instance.parse_class,
            str(draft.instance.object_id),
            body,
            current.guarded(parse, draft.instance.parse_class, draft.expected),
        )
        for draft, body in sent
    ]
    for (draft, body), result in zip(sent, parse.batch(operations), strict=True):
        try:
            if result.error is not None:
                current.settle_refusal(parse, draft, body, result.error)
        except EncryptedParseError as error:
            errors[id(draft)] = as_value(error)
    return [errors.get(id(draft)) for draft in planned]


def _stale_fields(
    instance: Model, row: Mapping[str, Any], sealer: Sealer, report: ResealReport
) -> list[str]:
    """Return the attributes that are ours and not for the present keys."""
    stale, skipped = [], False
    state = instance._state  # noqa: SLF001 - our own
    for declared, encryption in rows.encrypted_fields(instance):
        text = row.get(declared.column)
        if text is None:
            continue
        author = rows.author_of(instance, encryption, sealer.user_id)
        if author != sealer.user_id or declared.name in state.locked:
            skipped = True
            continue
        recipients = encryption.to.user_ids(state.acl, hushed(instance.__dict__)) | {sealer.user_id}
        if not sealer.is_current(text, recipients):
            stale.append(declared.name)
    report.skipped += skipped
    return stale
