"""Optimistic concurrency: saving an object only if nobody else has, with what the server offers.

REST has no conditional update. What there is: a request id, of which a server that deduplicates
takes only the first update; reading before; and counting, which tells afterwards. Together they
leave next to no gap on such a server: a request id names the version that is replaced, so that of
all who replace it at about the same time one succeeds, and who comes later reads another one.
A save that was refused has used its id up as well, so the next waits a moment, looks again, and
takes another id; what that could overlook, counting tells.
Without deduplication, two who save within one moment are both saved, and one of them is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from encrypted_parse.errors import (
    DuplicateRequestError,
    GuardRefusedError,
    ObjectNotFoundError,
    StaleObjectError,
)
from encrypted_parse.models.current import guarded, refuse_stale, settle_refusal
from encrypted_parse.models.drafts import Draft
from encrypted_parse.models.fields import Field
from encrypted_parse.parse import ParseClient
from encrypted_parse.parse.features import Expected

ATTEMPTS = 4  # of one save, where others were refused: each has used an id up
PAUSE_SECONDS = 0.25  # for another's save to end; doubled each time
_DUPLICATE = 159
_REFRESH = "refresh() it, change it again, and save that"


def update_if_current(  # noqa: PLR0913 - what one update depends on
    parse: ParseClient,
    draft: Draft,
    body: Mapping[str, Any],
    counted: Field,
    expected: Expected,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any]:
    """Send the update of a versioned object, and return the server's answer.

    Not all who change a row count: what says who reads it has to be as *expected* as well.

    Raises:
        StaleObjectError: Somebody else has saved the object since it was fetched.
        ObjectNotFoundError: There is no such row any more.
        DuplicateRequestError: Nobody has saved this version, but several have been refused to.
        ParseServerError: The server refused.
    """
    instance = draft.instance
    state = instance._state  # noqa: SLF001 - our own
    class_name, object_id = instance.parse_class, str(state.object_id)
    replaced = state.stored.get(counted.name, 0)

    def fetch() -> Mapping[str, Any]:
        """Return the row, if it is still of the version that is replaced, or is ours already."""
        row = _fetch(parse, class_name, object_id, sorted({*body, *expected}))
        if row.get(counted.column, 0) != replaced and not _holds(row, body, counted, replaced + 1):
            raise _stale(class_name, object_id)
        if row.get(counted.column, 0) == replaced:
            refuse_stale(draft, row, expected)
        return row

    taken = guarded(parse, class_name, expected)
    refused: GuardRefusedError | None = None
    for attempt in range(ATTEMPTS):
        row = fetch()
        if row.get(counted.column, 0) != replaced:
            return {"updatedAt": row.get("updatedAt"), counted.column: replaced + 1}
        request_id = f"{class_name}:{object_id}:v{replaced}:{attempt}"
        try:
            answer = parse.update(
                class_name, object_id, body, request_id=request_id, expected=taken
            )
        except DuplicateRequestError:
            # Somebody's save of this version is under way, or was refused, or is ours and its
            # answer was lost. Whichever it is shows in a moment.
            sleep(PAUSE_SECONDS * 2**attempt)
            continue
        except GuardRefusedError as error:
            refused = error
            break
        if answer.get(counted.column) != replaced + 1:
            raise _stale(class_name, object_id, overwritten=True)
        return answer
    if refused is not None:
        return settle_refusal(parse, draft, body, refused)
    fetch()
    raise DuplicateRequestError(
        f"attempts to save this version of {class_name} {object_id} were refused",
        code=_DUPLICATE,
        hint="the server takes another one when it has forgotten them, in some minutes",
    )


def _fetch(
    parse: ParseClient, class_name: str, object_id: str, keys: list[str]
) -> Mapping[str, Any]:
    found = parse.find(class_name, where={"objectId": object_id}, limit=1, keys=keys)
    if not found:
        raise ObjectNotFoundError(
            f"no {class_name} with that object id that you may read", code=101
        )
    return found[0]


def _holds(row: Mapping[str, Any], body: Mapping[str, Any], counted: Field, version: int) -> bool:
    """Tell whether *row* is what *body* made: an envelope is like no other."""
    plain = {column: value for column, value in body.items() if column != counted.column}
    same = all(
        row.get(column) == (None if value == {"__op": "Delete"} else value)
        for column, value in plain.items()
    )
    return same and row.get(counted.column) == version


def _stale(class_name: str, object_id: str, *, overwritten: bool = False) -> StaleObjectError:
    lost = "; the other change is overwritten" if overwritten else ""
    return StaleObjectError(
        f"{class_name} {object_id} was saved by somebody else meanwhile{lost}",
        overwritten=overwritten,
        hint=_REFRESH,
    )
