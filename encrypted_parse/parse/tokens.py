"""Virgil JWTs, as the companion's cloud function gives them to a user with a session."""

from __future__ import annotations

from collections.abc import Mapping

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import TokenError
from encrypted_parse.parse.client import ParseClient

_FUNCTION = "virgil-jwt"


@front_door
def fetch_virgil_token(parse: ParseClient) -> str:
    """Return a new **secret** token of the user whose session *parse* has.

    Raises:
        TokenError: The function gave none.
        FunctionFailedError: It is not there, or refused.
    """
    answer = parse.call_function(_FUNCTION)
    token = answer.get("token") if isinstance(answer, Mapping) else None
    if not isinstance(token, str):
        raise TokenError(
            f"the cloud function {_FUNCTION} gave no token",
            hint="is the cloud code deployed, in its present version?",
        )
    return token
