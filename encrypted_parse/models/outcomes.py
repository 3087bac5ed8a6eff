"""What became of objects that were saved or deleted together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from attrs import define, field, frozen

from encrypted_parse.discretion import as_value, front_door
from encrypted_parse.errors import EncryptedParseError
from encrypted_parse.models.model import Model


def _as_value(error: EncryptedParseError | None) -> EncryptedParseError | None:
    return error and as_value(error)


class Outcome(Protocol):
    """What became of one object."""

    @property
    def instance(self) -> Model:
        """The object."""

    @property
    def error(self) -> EncryptedParseError | None:
        """Why not; None if it was done."""


@front_door
@frozen
class SaveOutcome:
    """What became of one object of `save_all`: saved, or why not."""

    instance: Model
    error: EncryptedParseError | None = field(converter=_as_value)

    @property
    def saved(self) -> bool:
        """True if the server holds the object's present values."""
        return self.error is None


@front_door
@frozen
class DeleteOutcome:
    """What became of one object of `delete_all`: deleted, or why not."""

    instance: Model
    error: EncryptedParseError | None = field(converter=_as_value)

    @property
    def deleted(self) -> bool:
        """True if the server has deleted the row."""
        return self.error is None


@front_door
@define
class BatchReport:
    """What became of the objects that a query matched.

    Attributes:
        examined: How many matched.
        done: How many were changed or deleted.
        failed: Which were not, and why: object id and error.
    """

    examined: int = 0
    done: int = 0
    failed: list[tuple[str, EncryptedParseError]] = field(factory=list)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count what became of some objects."""
        for outcome in outcomes:
            self.examined += 1
            if outcome.error is None:
                self.done += 1
            else:
                self.failed.append((str(outcome.instance.object_id), outcome.error))
