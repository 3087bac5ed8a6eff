"""Of the companion's guard, that nothing is written over what the client has not read.

As cloud_code/lib/lease.js. Requests come one after the other here, so there is no lease to take;
what a client sees of one is the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from encrypted_parse.models import Model
from encrypted_parse.models.tags import remembered_columns, tag_of
from encrypted_parse.parse.features import CONTEXT_HEADER, FEATURES_FUNCTION
from encrypted_parse.testing.refusals import RefusedError

_INVALID_JSON = 107
_CHANGED = 9017
_LEASE_WRITTEN = 9019
_MALFORMED = 9020
_LEASE = "guardLease"
_TAG = re.compile(r"[A-Za-z0-9_-]{22}")


def read_context(headers: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what a client says to triggers.

    Raises:
        RefusedError: It is no JSON object.
    """
    try:
        context = json.loads(headers.get(CONTEXT_HEADER, "{}"))
    except ValueError:
        context = None
    if not isinstance(context, dict):
        raise RefusedError(_INVALID_JSON, "Invalid object for context.")
    return context


class Guard:
    """The guard of some models' classes."""

    def __init__(self, guarded: Iterable[type[Model]]) -> None:
        self._columns: dict[str, frozenset[str]] = {}
        for model in guarded:
            known = self._columns.get(model.parse_class, frozenset())
            self._columns[model.parse_class] = known | remembered_columns(model)

    @property
    def functions(self) -> dict[str, Any]:
        """What a server with a guard has; one without answers that there is no such function."""
        if not self._columns:
            return {}
        guarded = {name: sorted(columns) for name, columns in self._columns.items()}
        return {FEATURES_FUNCTION: lambda _, __: {"ifMatch": True, "guarded": guarded}}

    def check(
        self,
        class_name: str,
        row: Mapping[str, Any] | None,
        body: Mapping[str, Any],
        context: Mapping[str, Any],
    ) -> None:
        """Look at one write, of a row that is there or of a new one.

        Raises:
            RefusedError: It must not be.
        """
        if class_name not in self._columns:
            return
        if _LEASE in body:
            raise RefusedError(_LEASE_WRITTEN, "guardLease is the guard's own")
        if "ifMatch" not in context:
            return
        by_id = context["ifMatch"]
        if not isinstance(by_id, dict) or not by_id:
            raise RefusedError(_MALFORMED, "ifMatch is malformed")
        tags = by_id.get(row["objectId"]) if row is not None else None
        if row is None or (tags is None and row["objectId"] not in by_id):
            return
        if not isinstance(tags, dict) or not tags:
            raise RefusedError(_MALFORMED, "ifMatch is malformed")
        for column, tag in tags.items():
            known = column in self._columns[class_name] and isinstance(tag, str)
            if not known or _TAG.fullmatch(tag) is None:
                raise RefusedError(_MALFORMED, "ifMatch is malformed")
            if tag != tag_of(column, row.get(column)):
                raise RefusedError(_CHANGED, "the row was changed since it was read")
