"""Homes: in which field of which object a stored file is, so that it is in no second one.

The parts of a file are deleted with the object that it is in. Were one upload in two objects,
deleting either would destroy the other's content. So an upload belongs to the first field that it
is saved in, and what was fetched belongs where it came from (ADR 18).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from encrypted_parse.errors import (
    DuplicateRequestError,
    EncryptedParseError,
    InvalidValueError,
    MalformedResponseError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseTooLargeError,
    ServerFailedError,
    StaleObjectError,
)
from encrypted_parse.locks import Lock

if TYPE_CHECKING:
    from encrypted_parse.models.model import Model
    from encrypted_parse.models.state import ObjectState

_PERHAPS_SAVED = (
    DuplicateRequestError,
    MalformedResponseError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseTooLargeError,
    ServerFailedError,
    StaleObjectError,
)


@frozen(eq=False)
class Place:
    """A field of an object, which may be new."""

    class_name: str
    attribute: str
    state: ObjectState

    @classmethod
    def of(cls, instance: Model, attribute: str) -> Place:
        """Return the place of one of *instance*'s attributes."""
        return cls(instance.parse_class, attribute, instance._state)  # noqa: SLF001 - our own

    def is_same(self, other: Place) -> bool:
        """Tell whether both are the same field of the same object, held twice perhaps."""
        if (self.class_name, self.attribute) != (other.class_name, other.attribute):
            return False
        object_id = self.state.object_id
        return self.state is other.state or (
            object_id is not None and object_id == other.state.object_id
        )


class Home:
    """The place of one upload; none before it is saved. Thread-safe."""

    __slots__ = ("_lock", "_place")

    def __init__(self) -> None:
        self._lock = Lock()
        self._place: Place | None = None

    def take(self, place: Place) -> bool:
        """Make *place* the home; False if it was before.

        Raises:
            InvalidValueError: Another place is.
        """
        with self._lock:
            if self._place is None:
                self._place = place
                return True
            if self._place.is_same(place):
                return False
        raise InvalidValueError(
            f"{place.class_name}.{place.attribute}: the file belongs to another object or field, "
            "and would be deleted with it",
            hint="upload() the content again for this one",
        )

    def release(self) -> None:
        """Have no home again: it was not saved."""
        with self._lock:
            self._place = None


Claims = tuple[Home, ...]


class GivenUp(Protocol):
    """What remembers the stored parts that were replaced or deleted."""

    def is_given_up(self, name: str) -> bool:
        """Tell whether the part *name* was given up."""
        ...


def claim(instance: Model, names: Iterable[str], store: GivenUp | None) -> Claims:
    """Take the files of *instance*, which is about to be saved; return the homes that are new.

    Args:
        instance: The object.
        names: The attributes that are sent.
        store: Knows which stored parts this client gave up; None if there are no files.

    Raises:
        InvalidValueError: A file belongs elsewhere, or was given up; nothing is taken.
    """
    taken: list[Home] = []
    fields = type(instance).fields
    try:
        for name in names:
            for file in fields[name].codec.files_in(instance.__dict__.get(name)):
                if store is not None and any(store.is_given_up(part.name) for part in file.parts):
                    raise InvalidValueError(
                        f"{instance.parse_class}.{name}: the file was replaced or deleted before",
                        hint="upload() it again, or refresh() an object that is behind",
                    )
                if file.home.take(Place.of(instance, name)):
                    taken.append(file.home)
    except InvalidValueError:
        release(taken)
        raise
    return tuple(taken)


def release(claims: Iterable[Home], error: BaseException | None = None) -> None:
    """Give claims up again, unless *error* leaves open whether the object was saved."""
    surely_not = error is None or (
        isinstance(error, EncryptedParseError) and not isinstance(error, _PERHAPS_SAVED)
    )
    if surely_not:
        for home in claims:
            home.release()


def settle(instance: Model, attribute: str, files: Iterable[Any]) -> None:
    """Remember where fetched *files* came from."""
    for file in files:
        file.home.take(Place.of(instance, attribute))
