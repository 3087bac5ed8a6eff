"""What E3Kit's verbs take for users: one or several, in every form that E3Kit itself takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from encrypted_parse.directory import Card
from encrypted_parse.errors import InvalidValueError

Cards = Card | Mapping[str, Card] | Iterable[Card]
"""One card, what `find_users` returned, or any iterable of cards."""

_HINT = "pass what find_users returns: find_users(user_id), or find_users([user_id, ...])"


def cards_of(given: Cards) -> list[Card]:
    """Return the cards that *given* is or holds, each once.

    Raises:
        InvalidValueError: It is, or holds, something else: a user id, say.
    """
    if isinstance(given, Card):
        return [given]
    if isinstance(given, Mapping):
        given = given.values()
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidValueError(f"{_kind(given)} is no card", hint=_HINT)
    return list(dict.fromkeys(card_of(one) for one in given))


def card_of(given: Card) -> Card:
    """Return *given*, which has to be one card.

    Raises:
        InvalidValueError: It is something else.
    """
    if not isinstance(given, Card):
        raise InvalidValueError(f"{_kind(given)} is no card", hint=_HINT)
    return given


def user_ids_of(given: str | Iterable[str]) -> list[str]:
    """Return the user ids that *given* is or holds, each once.

    Raises:
        InvalidValueError: It is, or holds, something else: a card, say.
    """
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, Iterable):
        raise InvalidValueError(f"{_kind(given)} is no user id", hint="pass user_id or [user_id]")
    found = list(several)
    for one in found:
        if not isinstance(one, str):
            raise InvalidValueError(f"{_kind(one)} is no user id", hint="pass user.user_id")
    return list(dict.fromkeys(found))


def _kind(given: object) -> str:
    """Name what was passed by its type alone: it may be a secret that stands in the wrong place."""
    return f"a value of type {type(given).__name__}"
