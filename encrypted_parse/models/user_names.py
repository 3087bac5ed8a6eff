"""Users by their exact names, as far as the app lets them be found."""

from __future__ import annotations

from collections.abc import Mapping

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    FunctionFailedError,
    InvalidValueError,
    MalformedResponseError,
    ObjectNotFoundError,
)
from encrypted_parse.parse import ParseClient
from encrypted_parse.trust import KnownNames

MAX_NAME_CHARACTERS = 256  # as the companion takes them
_FUNCTION = "find-users"


@front_door
class UserNames:
    """From a name to a user id, through the companion's cloud function."""

    def __init__(self, parse: ParseClient, known: KnownNames) -> None:
        self._parse = parse
        self._known = known

    def user_id(self, username: object, expected: str | None = None) -> str:
        """Return the user id of *username*. See `UserClient.user`."""
        if not isinstance(username, str) or not 0 < len(username) <= MAX_NAME_CHARACTERS:
            raise InvalidValueError(f"a user name is a text of 1 to {MAX_NAME_CHARACTERS}")
        try:
            answer = self._parse.call_function(_FUNCTION, {"names": [username]})
        except FunctionFailedError as error:
            raise FunctionFailedError(
                f"the app does not look users up by name: {error}",
                code=error.code,
                status=error.status,
                hint="deploy the present cloud code, or use the user's id",
            ) from error
        found = answer.get("users") if isinstance(answer, Mapping) else None
        if not isinstance(found, Mapping) or not set(found) <= {username}:
            raise MalformedResponseError(f"the cloud function {_FUNCTION} answered something else")
        user_id = found.get(username)
        if user_id is None:
            raise ObjectNotFoundError(
                f"there is no user {username!r}, or none that you may find",
                hint=(
                    "names are exact, and by default Parse hides users from each other:"
                    " docs/companion.md, find-users; or use the user's id"
                ),
            )
        if not isinstance(user_id, str) or not user_id:
            raise MalformedResponseError(f"the cloud function {_FUNCTION} answered something else")
        self._known.confirm(username, user_id, expected)
        return user_id
