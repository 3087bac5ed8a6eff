"""Writing only over what was read: so that a stale object brings no reader back, and loses none.

With the companion's guard the server decides, in the moment of writing: the tags of what was read
go along, and a row that holds something else is refused. Without a guard for the class, or for one
of the columns, the row is looked at before it is written. Then a change of the moment between
the two is overwritten, as REST alone offers no better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from encrypted_parse.errors import (
    EncryptedParseError,
    GuardRefusedError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StaleObjectError,
)
from encrypted_parse.models.drafts import Draft
from encrypted_parse.models.tags import tag_of
from encrypted_parse.parse import ParseClient
from encrypted_parse.parse.features import Expected

CHANGED = 9017  # the guard's: cloud_code/lib/lease.js
_FIND_ROWS = 100
_REFRESH = "refresh() it, change it again, and save that"


def update(
    parse: ParseClient, draft: Draft, body: Mapping[str, Any], expected: Expected, *, fresh: bool
) -> Mapping[str, Any]:
    """Send the update of a fetched object, and return the server's answer.

    Args:
        parse: The user's client.
        draft: What changes.
        body: What is sent of it.
        expected: What the row has to hold, as tags by column.
        fresh: It was read just now, so that without a guard it is not looked at again.

    Raises:
        StaleObjectError: The row holds something else than *expected*.
        ObjectNotFoundError: There is no such row any more, or it is hidden.
        ParseServerError: The server refused.
    """
    class_name, object_id = draft.instance.parse_class, str(draft.instance.object_id)
    taken = guarded(parse, class_name, expected)
    if not fresh and len(taken) < len(expected):
        refuse_stale(draft, parse.get(class_name, object_id, keys=sorted(expected)), expected)
    try:
        return parse.update(class_name, object_id, body, expected=taken)
    except GuardRefusedError as error:
        refused = error
    return settle_refusal(parse, draft, body, refused)


def guarded(parse: ParseClient, class_name: str, expected: Expected) -> dict[str, str]:
    """Return those of the tags that the class's guard compares; asks the companion, once."""
    return parse.features().takes(class_name, expected) if expected else {}


def settle_refusal(
    parse: ParseClient, draft: Draft, body: Mapping[str, Any], refused: EncryptedParseError
) -> Mapping[str, Any]:
    """Return the answer to an update that arrived before, or raise what the refusal means.

    An update whose answer was lost is sent again, and then meets its own envelopes.

    Raises:
        StaleObjectError: The guard says that the row was changed.
        EncryptedParseError: *refused*, of any other meaning.
    """
    if not isinstance(refused, GuardRefusedError) or refused.code != CHANGED:
        raise refused
    sealed = [type(draft.instance).fields[name].column for name in draft.names]
    class_name, object_id = draft.instance.parse_class, str(draft.instance.object_id)
    row = parse.get(class_name, object_id) if sealed else {}
    if not sealed or any(row.get(column) != body[column] for column in sealed):
        raise _stale(draft)
    return {"updatedAt": row.get("updatedAt")}


def refuse_stale(draft: Draft, row: Mapping[str, Any], expected: Expected) -> None:
    """Compare *row* with what was read of it.

    Raises:
        StaleObjectError: It holds something else than *expected*.
    """
    if any(tag_of(column, row.get(column)) != tag for column, tag in expected.items()):
        raise _stale(draft)


def stale_ones(
    parse: ParseClient, drafts: Iterable[Draft], *, guard: bool
) -> dict[int, EncryptedParseError]:
    """Look at the rows of many drafts, and return why some must not be sent, by `id` of the draft.

    With *guard*, those that the class's guard looks at are left to it.

    Raises:
        EncryptedParseError: The rows could not be looked at.
    """
    waiting: dict[str, list[tuple[Draft, Expected]]] = {}
    for draft in drafts:
        expected = draft.expected
        class_name = draft.instance.parse_class
        if expected and not (guard and len(guarded(parse, class_name, expected)) == len(expected)):
            waiting.setdefault(class_name, []).append((draft, expected))
    found: dict[int, EncryptedParseError] = {}
    for class_name, group in waiting.items():
        for start in range(0, len(group), _FIND_ROWS):
            found |= _compare(parse, class_name, group[start : start + _FIND_ROWS])
    return found


def _compare(
    parse: ParseClient, class_name: str, group: Sequence[tuple[Draft, Expected]]
) -> dict[int, EncryptedParseError]:
    keys = sorted({column for _, expected in group for column in expected})
    rows = _rows(parse, class_name, [str(draft.instance.object_id) for draft, _ in group], keys)
    found: dict[int, EncryptedParseError] = {}
    for draft, expected in group:
        row = rows.get(str(draft.instance.object_id))
        try:
            if row is None:
                raise ObjectNotFoundError(
                    f"no {class_name} with that object id that you may read", code=101
                )
            refuse_stale(draft, row, expected)
        except EncryptedParseError as error:
            found[id(draft)] = error
    return found


def _rows(
    parse: ParseClient, class_name: str, object_ids: Sequence[str], keys: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    wanted = {"objectId": {"$in": sorted(set(object_ids))}}
    try:
        found = parse.find(class_name, where=wanted, limit=_FIND_ROWS, keys=keys)
    except PermissionDeniedError:  # some classes can be fetched from, and not searched
        found = []
    rows: dict[str, Mapping[str, Any]] = {str(row.get("objectId")): row for row in found}
    for object_id in object_ids:  # a server may cut pages
        if object_id not in rows:
            try:
                rows[object_id] = parse.get(class_name, object_id, keys=keys)
            except ObjectNotFoundError:
                continue
    return rows


def _stale(draft: Draft) -> StaleObjectError:
    instance = draft.instance
    return StaleObjectError(
        f"{instance.parse_class} {instance.object_id} has other readers than when it was fetched, "
        "or another value that would be encrypted for them",
        overwritten=False,
        hint=_REFRESH,
    )
