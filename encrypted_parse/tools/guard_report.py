"""What the guard has met in `report` mode, read with the master key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import MalformedResponseError, ObjectNotFoundError
from encrypted_parse.parse import ParseClient

REPORT_CLASS = "EncryptedParseReport"
_MOST_ROWS = 1000


@front_door
@frozen
class GuardCount:
    """How often one problem was met.

    Attributes:
        parse_class: The class that was saved.
        column: The encrypted column.
        problem: ``notAnEnvelope``, ``readerLeftOut``, ...: docs/companion.md lists them.
        count: How many times.
        last_at: When last, by the server's clock (ISO 8601).
    """

    parse_class: str
    column: str
    problem: str
    count: int
    last_at: str


@front_door
def read_guard_report(parse: ParseClient) -> list[GuardCount]:
    """Return the guard's counts, most frequent first; empty if it has met nothing.

    Rows that the guard did not make are left out: their object id is not what it would be.

    Args:
        parse: A client with the master key.

    Raises:
        PermissionDeniedError: The key is not the master key, or not allowed from here.
        MalformedResponseError: The rows are not the guard's.
    """
    try:
        rows = parse.find(REPORT_CLASS, limit=_MOST_ROWS)
    except ObjectNotFoundError:
        return []
    with translating(
        KeyError,
        TypeError,
        ValueError,
        to=lambda: MalformedResponseError("the guard's report is not in its form"),
    ):
        counts = [
            GuardCount(
                str(row["guardedClass"]),
                str(row["field"]),
                str(row["problem"]),
                int(row["count"]),
                str(row["lastAt"]),
            )
            for row in rows
            if _is_the_guards(row)
        ]
    return sorted(counts, key=lambda count: (-count.count, count.parse_class, count.column))


def _is_the_guards(row: Mapping[str, Any]) -> bool:
    """Whether the row's id is the one that its content gives: cloud_code/lib/report-store.js."""
    named = [row.get("guardedClass"), row.get("field"), row.get("problem")]
    text = json.dumps(named, ensure_ascii=False, separators=(",", ":"))
    return row.get("objectId") == hashlib.sha256(text.encode("utf-8")).hexdigest()
