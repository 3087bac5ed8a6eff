"""Virgil tokens: fetched by a function of the caller's, kept until shortly before they expire."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, NoReturn

from attrs import field, frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import NotPicklableError, TokenError
from encrypted_parse.locks import Lock
from encrypted_parse.transport import is_header_value

EXPIRY_MARGIN_SECONDS = 30
MAX_TOKEN_CHARACTERS = 8192
MAX_EXPIRY = 2**53 - 1  # what a number of JSON can say exactly; far beyond what a clock can
_PARTS = 3
_SUBJECT_PREFIX = "identity-"


@front_door
@frozen
class Token:
    """A token as issued. We do not verify it: the directory does. Its text is a secret."""

    text: str = field(repr=False)
    user_id: str
    expires_at: int

    @classmethod
    def parse(cls, text: Any) -> Token:  # noqa: ANN401 - whatever the function gave
        """Read identity and expiry of a token (section 2).

        Raises:
            TokenError: Not a Virgil token. It is not shown.
        """
        if isinstance(text, str) and len(text) <= MAX_TOKEN_CHARACTERS:
            parts = text.split(".")
            payload = _decode(parts[1]) if len(parts) == _PARTS and text.isascii() else {}
            subject, expires_at = payload.get("sub"), payload.get("exp")
            if (
                isinstance(subject, str)
                and subject.startswith(_SUBJECT_PREFIX)
                and isinstance(expires_at, int)
                and 0 <= expires_at <= MAX_EXPIRY
                and is_header_value(text)
                and " " not in text
            ):
                return cls(text, subject.removeprefix(_SUBJECT_PREFIX), expires_at)
        raise TokenError("what the token function gave is not a Virgil token")

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a token is not written into pickles")


@front_door
class TokenProvider:
    """Keeps one token. Thread-safe: concurrent callers share one fetch.

    Args:
        fetch: Returns a fresh token's text.
        user_id: Whose it has to be; None takes anybody's.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        fetch: Callable[[], str],
        *,
        user_id: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._user_id = user_id
        self._clock = clock
        self._lock = Lock()
        self._token: Token | None = None

    def get(self) -> Token:
        """Return a token with at least 30 s left by our clock.

        Raises:
            TokenError: The function gave none, or another user's.
        """
        with self._lock:
            token = self._token
            if token is None or token.expires_at - self._clock() < EXPIRY_MARGIN_SECONDS:
                token = self._token = self._fetched()
            return token

    def replace(self, refused: Token) -> Token:
        """Return another token than *refused*; callers with the same one share one fetch."""
        with self._lock:
            if self._token is None or self._token is refused:
                self._token = self._fetched()
            return self._token

    def _fetched(self) -> Token:
        token = Token.parse(self._fetch())
        if self._user_id not in (None, token.user_id):
            raise TokenError(
                f"the token is of the user {token.user_id!r}, and {self._user_id!r} is logged in",
                hint="does the cloud function virgil-jwt use the session's user?",
            )
        return token


def _decode(part: str) -> dict[str, Any]:
    try:
        payload = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}
