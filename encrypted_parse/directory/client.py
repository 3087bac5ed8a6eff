"""A client of the directory: Virgil's cards v5, on Virgil Cloud or on the companion."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from encrypted_parse._version import __version__
from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory.cards import SELF_SIGNER, Card, is_card_id, parse_card
from encrypted_parse.directory.tokens import TokenProvider
from encrypted_parse.errors import (
    DirectoryRefusedError,
    InvalidValueError,
    MalformedCardError,
    MalformedResponseError,
    NotPicklableError,
    TokenError,
)
from encrypted_parse.transport import HttpRequest, HttpResponse, Repeat, Transport

SEARCH_USERS = 50  # section 8
MAX_MESSAGE_CHARACTERS = 300
_AGENT = f"encrypted_parse;python;{platform.system()}/{platform.machine()};{__version__}"
_FIRST_FAILURE = 400
_UNAUTHORIZED = 401
_TOKEN_EXPIRED = 20304


class DirectoryClient:
    """Every answer is verified before it is returned. Nothing is cached here."""

    def __init__(
        self,
        url: str,
        transport: Transport,
        tokens: TokenProvider,
        *,
        service_key: PublicKey | None,
    ) -> None:
        self._url = url.rstrip("/")
        self._transport = transport
        self._tokens = tokens
        self._service_key = service_key

    def publish(self, raw: Mapping[str, Any]) -> Card:
        """Publish a raw card of the token's user and return it with the service's signature.

        Publishing the same card again is harmless.

        Raises:
            DirectoryRefusedError: The directory refuses it.
            MalformedCardError: The answer is another card than the one sent.
            TokenError: The token is refused, also after a fresh one.
        """
        answer = self._call("POST", "card/v5", raw, repeat=Repeat.SAFE)
        card = parse_card(answer, service_key=self._service_key)
        if card.raw["content_snapshot"] != raw["content_snapshot"] or _self_signature(
            card.raw
        ) != _self_signature(raw):
            raise MalformedCardError("the directory answered with another card")
        return card

    def search(self, user_ids: Collection[str]) -> dict[str, list[Card]]:
        """Return all cards, old ones included, by user id; users without a card are absent.

        One request for up to 50 users.

        Raises:
            MalformedCardError: A card of a user who was not asked for, or none at all.
            CardSignatureError: A card's signature does not hold.
        """
        wanted = sorted(set(user_ids))
        found: dict[str, list[Card]] = {}
        for start in range(0, len(wanted), SEARCH_USERS):
            chunk = wanted[start : start + SEARCH_USERS]
            body = {"identities": chunk}
            answer = self._call("POST", "card/v5/actions/search", body, repeat=Repeat.SAFE)
            if not isinstance(answer, list):
                raise MalformedResponseError("the answer to a search is not a list")
            for raw in answer:
                card = parse_card(raw, service_key=self._service_key)
                if card.user_id not in chunk:
                    raise MalformedCardError("the directory sent a card that nobody asked for")
                found.setdefault(card.user_id, []).append(card)
        return found

    def get_card(self, card_id: str) -> Card:
        """Return one card, also if it is replaced or revoked.

        Raises:
            DirectoryRefusedError: There is none.
            MalformedCardError: The answer is another card.
        """
        answer = self._call("GET", f"card/v5/{_checked(card_id)}", None, repeat=Repeat.SAFE)
        card = parse_card(answer, service_key=self._service_key)
        if card.card_id != card_id:
            raise MalformedCardError("the directory answered with another card")
        return card

    def revoke(self, card_id: str) -> None:
        """Revoke the token's user's current card, and with it the whole chain.

        Raises:
            DirectoryRefusedError: It is not the user's, or not the current one.
        """
        self._call("POST", f"card/v5/actions/revoke/{_checked(card_id)}", {})

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        repeat: Repeat = Repeat.NEVER,
    ) -> Any:  # noqa: ANN401 - any JSON
        token = self._tokens.get()
        response = self._send(method, path, body, token.text, repeat)
        if _refuses_token(response):
            # Once: a clock that is off, or a key that was replaced; never in a loop.
            token = self._tokens.replace(token)
            response = self._send(method, path, body, token.text, repeat)
            if _refuses_token(response):
                raise TokenError(
                    "the directory refuses the token, also a fresh one",
                    hint="do cloud function and directory use the same VIRGIL_APP_KEY?",
                )
        if response.status < _FIRST_FAILURE:
            return response.json()
        raise _refusal(response)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        token: str,
        repeat: Repeat,
    ) -> HttpResponse:
        headers = {"Authorization": f"Virgil {token}", "Virgil-Agent": _AGENT}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, separators=(",", ":")).encode("ascii")
        url = f"{self._url}/{path}"
        request = HttpRequest(method, url, headers, body=content, repeat=repeat)
        return self._transport.send(request)

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a directory client holds a token and is not pickled")


def _checked(card_id: str) -> str:
    if not is_card_id(card_id):
        raise InvalidValueError("a card id is 64 lower-case hexadecimal digits")
    return card_id


def _self_signature(raw: Mapping[str, Any]) -> Sequence[Any]:
    return [
        (item.get("signature"), item.get("snapshot"))
        for item in raw["signatures"]
        if item.get("signer") == SELF_SIGNER
    ]


def _refuses_token(response: HttpResponse) -> bool:
    return response.status == _UNAUTHORIZED or (
        response.status >= _FIRST_FAILURE and _error(response).get("code") == _TOKEN_EXPIRED
    )


def _refusal(response: HttpResponse) -> DirectoryRefusedError:
    fields = _error(response)
    code, message = fields.get("code"), fields.get("message")
    if not isinstance(code, int) or isinstance(code, bool):
        code = None
    text = message if isinstance(message, str) and message.isprintable() else "no reason given"
    return DirectoryRefusedError(
        f"the directory refused: {text[:MAX_MESSAGE_CHARACTERS]}",
        code=code,
        status=response.status,
    )


def _error(response: HttpResponse) -> Mapping[str, Any]:
    try:
        body = response.json()
    except MalformedResponseError:
        return {}
    return body if isinstance(body, dict) else {}
