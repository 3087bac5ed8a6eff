"""What the app's companion can: asked once per app and client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from encrypted_parse.discretion import front_door

FEATURES_FUNCTION = "encrypted-parse-features"
CONTEXT_HEADER = "X-Parse-Cloud-Context"
MAX_HEADER_BYTES = 12 * 1024  # Node takes 16 KiB of headers, tokens and cookies among them

Expected = Mapping[str, str]


@front_door
@frozen
class Features:
    """The answer of the companion's function `encrypted-parse-features`; without one, nothing.

    Attributes:
        if_match: By class whose guard compares what a client has read with what is stored, in the
            moment of writing: the columns that it takes tags of.
    """

    if_match: Mapping[str, frozenset[str]] = field(factory=dict)

    def takes(self, class_name: str, expected: Expected) -> dict[str, str]:
        """Return those of the tags that the guard of a class compares."""
        columns = self.if_match.get(class_name, frozenset())
        return {column: tag for column, tag in expected.items() if column in columns}

    @classmethod
    def from_json(cls, answer: Any) -> Features:  # noqa: ANN401 - whatever the server sent
        """Read an answer; what is not understood is no feature."""
        fields = answer if isinstance(answer, Mapping) else {}
        guarded = fields.get("guarded")
        if fields.get("ifMatch") is not True or not isinstance(guarded, Mapping):
            return cls()
        return cls(
            {
                str(name): frozenset(map(str, columns))
                for name, columns in guarded.items()
                if isinstance(columns, list)
            }
        )


@frozen
class KnownFeatures:
    """The features of one app, shared by the clients of all its users; empty until asked."""

    answers: list[Features] = field(factory=list)


def context_header(expected: Iterable[tuple[str, Expected]]) -> dict[str, str]:
    """Return the header that says what rows have to hold: tags by object id; none for no tags."""
    tags = {object_id: dict(columns) for object_id, columns in expected if columns}
    if not tags:
        return {}
    return {CONTEXT_HEADER: json.dumps({"ifMatch": tags}, separators=(",", ":"))}
