"""What was read of an object of parse_rest, so that a save of before a revoke is noticed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from encrypted_parse.errors import ObjectNotFoundError, StaleObjectError
from encrypted_parse.models.fields import Encryption
from encrypted_parse.models.rules import only_me
from encrypted_parse.models.tags import ACL_COLUMN, tag_of
from encrypted_parse.parse import ParseClient


def tags_of(row: Mapping[str, Any], encryptions: Iterable[Encryption]) -> dict[str, str]:
    """Return tags of the columns of *row* that say who reads, and who wrote."""
    columns = set()
    for one in encryptions:
        columns |= set() if one.to == only_me() else {ACL_COLUMN}
        columns |= one.attributes()
    return {column: tag_of(column, row.get(column)) for column in columns}


def refuse_stale(
    parse: ParseClient, class_name: str, object_id: str, read: Mapping[str, str]
) -> None:
    """Look at the stored row before it is written: parse_rest sends whole objects.

    Promises nothing about what somebody writes between the two. Of a row that is not found, the
    save itself tells.

    Raises:
        StaleObjectError: The row has other readers or another author than *read*, as tags.
    """
    row: Mapping[str, Any] | None = None
    with contextlib.suppress(ObjectNotFoundError):
        row = parse.get(class_name, object_id, keys=sorted(read)) if read else None
    if row is not None and any(
        tag_of(column, row.get(column)) != tag for column, tag in read.items()
    ):
        raise StaleObjectError(
            f"{class_name} {object_id} has other readers than when it was fetched",
            overwritten=False,
            hint="fetch it again, change it again, and save that",
        )
