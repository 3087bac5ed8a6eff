"""A client of the directory: Virgil's cards v5, on Virgil Cloud or on the companion."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory.cards import SELF_SIGNER, Card, is_card_id, parse_card
from encrypted_parse.directory.service import ServiceClient
from encrypted_parse.directory.tokens import TokenProvider
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    InvalidValueError,
    MalformedCardError,
    MalformedResponseError,
    NotPicklableError,
)
from encrypted_parse.transport import Repeat, Transport

SEARCH_USERS = 50  # section 8


@front_door
class DirectoryClient:
    """Every answer is verified before it is returned. Nothing is cached here.

    Raises:
        ConfigurationError: As `ServiceClient`.
    """

    def __init__(
        self,
        url: str,
        transport: Transport,
        tokens: TokenProvider,
        *,
        service_key: PublicKey | None,
        allow_insecure_http: bool = False,
    ) -> None:
        self._service = ServiceClient(
            url, transport, tokens, allow_insecure_http=allow_insecure_http
        )
        self._service_key = service_key

    def publish(self, raw: Mapping[str, Any]) -> Card:
        """Publish a raw card of the token's user and return it with the service's signature.

        Publishing the same card again is harmless.

        Raises:
            DirectoryRefusedError: The directory refuses it.
            MalformedCardError: The answer is another card than the one sent.
            TokenError: The token is refused, also after a fresh one.
        """
        answer = self._service.call("POST", "card/v5", raw, repeat=Repeat.SAFE).json()
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
            path = "card/v5/actions/search"
            answer = self._service.call("POST", path, body, repeat=Repeat.SAFE).json()
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
        path = f"card/v5/{_checked(card_id)}"
        answer = self._service.call("GET", path, repeat=Repeat.SAFE).json()
        card = parse_card(answer, service_key=self._service_key)
        if card.card_id != card_id:
            raise MalformedCardError("the directory answered with another card")
        return card

    def revoke(self, card_id: str) -> None:
        """Revoke the token's user's current card, and with it the whole chain.

        Raises:
            DirectoryRefusedError: It is not the user's, or not the current one.
        """
        self._service.call("POST", f"card/v5/actions/revoke/{_checked(card_id)}", {})

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
