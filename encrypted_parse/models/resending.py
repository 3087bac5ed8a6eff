"""Sending once more what the guard refuses because a reader's key was replaced meanwhile.

The usual save asks nothing more than before. Only one that was encrypted for a replaced key asks
the directory for its readers; whether their new keys are trusted is judged as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import EncryptedParseError, GuardRefusedError, ServerFailedError
from encrypted_parse.models import drafts
from encrypted_parse.models.outcomes import SaveOutcome
from encrypted_parse.models.rules import Recipient
from encrypted_parse.models.sealer import Sealer
from encrypted_parse.parse import REPLACED_KEY

T = TypeVar("T")


@front_door
def send_sealed(
    result: drafts.Draft, sealer: Sealer, send: Callable[[dict[str, Any]], T]
) -> tuple[dict[str, Any], T]:
    """Encrypt a draft and *send* its body; returns both. Once more if a reader's key is replaced.

    Raises:
        GuardRefusedError: The directory still serves the key that the guard takes for replaced.
        UntrustedKeyError: A reader's new key is not trusted.
        RecipientsNotRegisteredError: As `drafts.seal`.
    """
    return send_anew(lambda: drafts.seal(result, sealer), readers_of(result), sealer, send)


@front_door
def send_anew(
    make: Callable[[], dict[str, Any]],
    readers: Collection[Recipient],
    sealer: Sealer,
    send: Callable[[dict[str, Any]], T],
) -> tuple[dict[str, Any], T]:
    """Do as `send_sealed` with a body that *make* makes, for *readers*."""
    body = make()
    try:
        return body, send(body)
    except GuardRefusedError as error:
        if not names_replaced_key(error):
            raise
    sealer.prefetch(readers, replaced=True)
    body = make()
    return body, send(body)


@front_door
def send_together(
    changed: Sequence[drafts.Draft],
    bodies: list[dict[str, Any]],
    sealer: Sealer,
    send: Callable[[list[dict[str, Any]]], list[Mapping[str, Any]]],
) -> tuple[list[dict[str, Any]], list[Mapping[str, Any]]]:
    """Do as `send_sealed` with the *bodies* of a transaction.

    Of a transaction the server does not say why it failed, only that nothing happened: so the
    directory tells whether a value was for a key that is no longer its user's.

    Raises:
        ParseServerError: The server refused, for that reason or for another.
        UntrustedKeyError: A reader's new key is not trusted.
    """
    try:
        return bodies, send(bodies)
    except (GuardRefusedError, ServerFailedError) as error:
        failure = error
    sealer.prefetch(readers_of(*changed), replaced=True)
    if all(_is_current(draft, body, sealer) for draft, body in zip(changed, bodies, strict=True)):
        raise failure
    bodies = [drafts.seal(draft, sealer) for draft in changed]
    return bodies, send(bodies)


def _is_current(result: drafts.Draft, body: Mapping[str, Any], sealer: Sealer) -> bool:
    columns = type(result.instance).fields
    return all(
        sealer.is_current(body[columns[name].column], recipients)
        for recipients, plaintexts in result.sealed.items()
        for name in plaintexts
    )


@front_door
def refused(
    planned: Mapping[int, drafts.Draft], outcomes: Mapping[int, SaveOutcome], sealer: Sealer
) -> dict[int, drafts.Draft]:
    """Return the drafts of a batch that are to be sent once more, now with their readers' cards."""
    again = {
        index: draft
        for index, draft in planned.items()
        if names_replaced_key(outcomes[index].error)
    }
    if again:
        sealer.prefetch(readers_of(*again.values()), replaced=True)
    return again


def names_replaced_key(error: EncryptedParseError | None) -> bool:
    """Tell whether the guard refused a value because a key in it was replaced."""
    return isinstance(error, GuardRefusedError) and error.code == REPLACED_KEY


def readers_of(*planned: drafts.Draft) -> frozenset[Recipient]:
    """Return whom anything of some drafts is encrypted for."""
    return frozenset(user for draft in planned for to in draft.sealed for user in to)
