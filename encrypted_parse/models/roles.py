"""Roles: who belongs to them, as the server says."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import FunctionFailedError, MalformedResponseError, RecipientRuleError
from encrypted_parse.locks import Lock
from encrypted_parse.parse import ParseClient

CACHE_SECONDS = 300.0  # as long as cards are kept
MAX_ROLES = 20  # of one call; the companion takes no more
MAX_MEMBERS = 10_000  # bounds work on hostile input; an envelope takes 1,024
_FUNCTION = "role-members"


@front_door
class RoleDirectory:
    """The users of roles, through the companion's cloud function; cached. Thread-safe."""

    def __init__(self, parse: ParseClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._parse = parse
        self._clock = clock
        self._lock = Lock()
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    def members(self, names: Collection[str]) -> dict[str, frozenset[str]]:
        """Return the users of each role, and of the roles in it.

        Raises:
            RecipientRuleError: A role does not exist, may not be read, or has too many users; or
                the companion is not deployed.
            MalformedResponseError: The answer is not the companion's.
        """
        now = self._clock()
        with self._lock:
            known = self._known  # `forget` puts another one in its place
            found = {
                name: members
                for name, (until, members) in known.items()
                if name in names and until > now
            }
        missing = sorted(set(names) - set(found))
        for start in range(0, len(missing), MAX_ROLES):
            found |= self._fetch(missing[start : start + MAX_ROLES])
        with self._lock:
            for name in missing:
                known[name] = (now + CACHE_SECONDS, found[name])
        return found

    def forget(self) -> None:
        """Ask again next time; what is being asked at this moment is not kept either."""
        with self._lock:
            self._known = {}

    def _fetch(self, names: list[str]) -> dict[str, frozenset[str]]:
        try:
            answer = self._parse.call_function(_FUNCTION, {"roles": names})
        except FunctionFailedError as error:
            raise RecipientRuleError(
                f"the roles {', '.join(map(repr, names))} cannot be resolved",
                hint="do they exist, may you read them, and is the cloud code deployed?",
            ) from error
        members = answer.get("members") if isinstance(answer, Mapping) else None
        if not isinstance(members, Mapping) or set(members) != set(names):
            raise MalformedResponseError(f"the cloud function {_FUNCTION} answered something else")
        return {name: _checked(users) for name, users in members.items()}


def _checked(users: object) -> frozenset[str]:
    if not isinstance(users, list) or len(users) > MAX_MEMBERS:
        raise MalformedResponseError(f"the cloud function {_FUNCTION} answered something else")
    if not all(isinstance(user_id, str) and user_id for user_id in users):
        raise MalformedResponseError(f"the cloud function {_FUNCTION} answered something else")
    return frozenset(users)
