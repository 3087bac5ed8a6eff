"""Calls of Virgil's services with a token: cards, Keyknox and BrainKey share host and manner."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from encrypted_parse._version import __version__
from encrypted_parse.directory.tokens import Token, TokenProvider
from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.errors import (
    DirectoryRefusedError,
    MalformedResponseError,
    NotPicklableError,
    ParseServerError,
    TokenError,
)
from encrypted_parse.transport import (
    Endpoint,
    HttpRequest,
    HttpResponse,
    Repeat,
    Transport,
    check_url,
    exchange,
    refusal_in_front,
)

MAX_MESSAGE_CHARACTERS = 300
_AGENT = f"encrypted_parse;python;{platform.system()}/{platform.machine()};{__version__}"
_FIRST_FAILURE = 400
_UNAUTHORIZED = 401
_TOKEN_EXPIRED = 20304
_HINTS = {  # cloud_code/lib/errors.js
    10006: "its operator has to run `encrypted-parse cloud doctor --repair`",
    40045: "make another account: the identity of a deleted user stays ended",
    50012: "keep less in one record: fewer recipients, or less of a backup",
    50014: "delete what you do not need, or ask the operator for more (VIRGIL_KEYKNOX_BYTES)",
}


@front_door
class ServiceClient:
    """Sends requests with the token's authority; a refused token is replaced once.

    Raises:
        ConfigurationError: *url* would give tokens to the network, or is no address: `check_url`.
    """

    def __init__(
        self,
        url: str,
        transport: Transport,
        tokens: TokenProvider,
        *,
        allow_insecure_http: bool | Collection[str] = False,
        setting: str = "directory_url",
    ) -> None:
        self._url = check_url(
            url, allow_insecure_http=allow_insecure_http, whose="directory", setting=setting
        )
        self._endpoint = Endpoint(self._url, setting)
        self._transport = transport
        self._tokens = tokens

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeat: Repeat = Repeat.NEVER,
    ) -> HttpResponse:
        """Send one request and return its successful answer.

        Raises:
            DirectoryRefusedError: The service answered with an error of its own.
            TokenError: The token is refused, also after a fresh one.
            ParseServerError: Not the service, but what stands in front of it, refused:
                `PermissionDeniedError`, `RateLimitedError` or `RequestTooLargeError`.
        """
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode("ascii")
        sent = {"Virgil-Agent": _AGENT, **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"

        def send(token: Token) -> HttpResponse:
            headers = hushed({**sent, "Authorization": f"Virgil {token.text}"})
            url = f"{self._url}/{path}"
            return exchange(
                self._transport,
                HttpRequest(
                    method, url, headers, body=content, repeat=repeat, endpoint=self._endpoint
                ),
            )

        token = self._tokens.get()
        response = send(token)
        if _refuses_token(response):
            # Once: a clock that is off, or a key that was replaced; never in a loop.
            response = send(self._tokens.replace(token))
            if _refuses_token(response):
                raise TokenError(
                    "the directory refuses the token, also a fresh one",
                    hint="do cloud function and directory use the same VIRGIL_APP_KEY?",
                )
        if response.status < _FIRST_FAILURE:
            return response
        raise _refusal(response)

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a client of Virgil's services holds a token and is not pickled")


def _refuses_token(response: HttpResponse) -> bool:
    return (response.status == _UNAUTHORIZED and not response.is_page) or (
        response.status >= _FIRST_FAILURE and _error(response).get("code") == _TOKEN_EXPIRED
    )


def _refusal(response: HttpResponse) -> DirectoryRefusedError | ParseServerError:
    fields = _error(response)
    code, message = fields.get("code"), fields.get("message")
    if not isinstance(code, int) or isinstance(code, bool):
        code = None
    text = message if isinstance(message, str) and message.isprintable() else "no reason given"
    shown = f"the directory refused: {text[:MAX_MESSAGE_CHARACTERS]}"
    if code is not None:
        return DirectoryRefusedError(
            shown, code=code, status=response.status, hint=_HINTS.get(code)
        )
    in_front = refusal_in_front(response.status, response.headers, response.body, response.endpoint)
    return in_front or DirectoryRefusedError(
        response.named(f"{shown} (HTTP {response.status})"),
        code=None,
        status=response.status,
        hint="is the address right? A proxy or a web page may have answered",
    )


def _error(response: HttpResponse) -> Mapping[str, Any]:
    try:
        body = response.json()
    except MalformedResponseError:
        return {}
    return body if isinstance(body, dict) else {}
