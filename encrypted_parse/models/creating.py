"""Creating a row, once: also if the answer is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from encrypted_parse.errors import (
    DuplicateRequestError,
    EncryptedParseError,
    OutcomeUnknownError,
)
from encrypted_parse.models.drafts import Draft
from encrypted_parse.parse import ParseClient


def create(parse: ParseClient, draft: Draft, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Create the row of a draft, and return the server's answer, or the row itself.

    Raises:
        ParseServerError: The server refused.
        OutcomeUnknownError: The answer was lost, and no row tells.
    """
    try:
        return parse.create(draft.instance.parse_class, body)
    except (DuplicateRequestError, OutcomeUnknownError) as error:
        unknown = error
    return find_created(parse, draft, body, unknown)


def find_created(
    parse: ParseClient, draft: Draft, body: Mapping[str, Any], unknown: EncryptedParseError
) -> Mapping[str, Any]:
    """Return the row of a create whose answer was lost; raise *unknown* if it is not there.

    No two envelopes are alike, so one tells whether the row is there, and which it is.
    """
    columns = (type(draft.instance).fields[name].column for name in draft.names)
    sealed = {column: body[column] for column in columns}
    found: list[dict[str, Any]] = []
    with contextlib.suppress(EncryptedParseError):
        found = parse.find(draft.instance.parse_class, where=sealed, limit=1) if sealed else []
    if not found:
        raise unknown
    return found[0]
