"""A client of the directory: Virgil's cards v5, on Virgil Cloud or on the companion."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from encrypted_parse import envelope
from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory.cards import SELF_SIGNER, Card, parse_card, verify_card
from encrypted_parse.directory.raw_cards import RawCard, decode_base64, is_card_id
from encrypted_parse.directory.service import ServiceClient
from encrypted_parse.directory.tokens import TokenProvider
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    CardError,
    DirectoryRefusedError,
    InvalidValueError,
    MalformedCardError,
    MalformedResponseError,
    NotPicklableError,
    ResponseTooLargeError,
)
from encrypted_parse.transport import Repeat, Transport

SEARCH_USERS = 50  # section 8
MAX_ANSWER_BYTES = 4 * 1024 * 1024  # the companion's 200 cards of one user are 3.3 MB at the most
_ANSWER_TOO_LARGE = 40044  # the companion's: ask for fewer users
_SEARCH = "card/v5/actions/search"
_SEARCH_ENDED = "card/v5/actions/search-ended"  # the companion's own: no client of E3Kit asks it
_NO_SUCH_ROUTE = frozenset({404, 405})


@front_door
class DirectoryClient:
    """Every answer is verified before it is returned. Nothing is cached here.

    Raises:
        ConfigurationError: As `ServiceClient`.
    """

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        url: str,
        transport: Transport,
        tokens: TokenProvider,
        *,
        service_key: PublicKey | None,
        allow_insecure_http: bool | Collection[str] = False,
        setting: str = "directory_url",
    ) -> None:
        self._service = ServiceClient(
            url, transport, tokens, allow_insecure_http=allow_insecure_http, setting=setting
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

    def search(self, user_ids: Collection[str]) -> dict[str, list[Card] | CardError]:
        """Return all cards of each user, old ones included; users without a card are absent.

        Whatever is wrong with the cards of one user is that user's matter alone: a user whose
        cards cannot be used has the reason in their place. One request for up to 50 users; more
        where it is not plain at once whom a fault belongs to.

        Raises:
            MalformedResponseError: The answer is not that of a search at all.
            DirectoryRefusedError: The directory refused.
        """
        wanted = sorted(set(user_ids))
        found: dict[str, list[Card] | CardError] = {}
        for start in range(0, len(wanted), SEARCH_USERS):
            found |= self._search(wanted[start : start + SEARCH_USERS])
        return found

    def search_ended(self, user_ids: Collection[str]) -> dict[str, list[Card] | CardError] | None:
        """Return the last cards of those users whose account was deleted, to verify with.

        The companion keeps them. An operator may have erased a user's: then the list is empty.

        Returns:
            None if this directory does not know the question, as Virgil Cloud does not.

        Raises:
            MalformedResponseError: The answer is none to this question.
            DirectoryRefusedError: The directory refused.
        """
        wanted = sorted(set(user_ids))
        found: dict[str, list[Card] | CardError] = {}
        try:
            for start in range(0, len(wanted), SEARCH_USERS):
                found |= self._search_ended(wanted[start : start + SEARCH_USERS])
        except DirectoryRefusedError as error:
            if error.status in _NO_SUCH_ROUTE:
                return None
            raise
        return found

    def _search_ended(self, users: Sequence[str]) -> dict[str, list[Card] | CardError]:
        try:
            answer = self._ask(users, _SEARCH_ENDED)
            if not isinstance(answer, dict) or not isinstance(answer.get("cards"), list):
                raise MalformedResponseError("the answer to a search for ended cards has none")
            ended = answer.get("identities")
            if not isinstance(ended, list) or not all(one in users for one in ended):
                raise MalformedResponseError("the answer names users whom nobody asked for")
            found = self._sort(answer["cards"], ended)
        except MalformedCardError as error:
            if len(users) == 1:
                return {users[0]: blamed(users[0], error)}
        else:
            return {user_id: found.get(user_id, []) for user_id in ended}
        half = len(users) // 2
        return self._search_ended(users[:half]) | self._search_ended(users[half:])

    def _search(self, users: Sequence[str]) -> dict[str, list[Card] | CardError]:
        """Ask for *users* at once, or for halves of them, until each fault has its user."""
        try:
            return self._sort(self._ask_cards(users), users)
        except MalformedCardError as error:
            if len(users) == 1:
                return {users[0]: blamed(users[0], error)}
        half = len(users) // 2
        return self._search(users[:half]) | self._search(users[half:])

    def _ask_cards(self, users: Sequence[str]) -> list[Any]:
        """Return the directory's raw cards of *users*. Raises as `_ask`."""
        answer = self._ask(users, _SEARCH)
        if not isinstance(answer, list):
            raise MalformedResponseError("the answer to a search is not a list")
        return answer

    def _ask(self, users: Sequence[str], path: str) -> Any:  # noqa: ANN401 - whatever it answered
        """Return the directory's answer to a question about *users*.

        Raises:
            MalformedCardError: It is more than is read at once.
        """
        too_large = MalformedCardError(f"the cards are more than {MAX_ANSWER_BYTES} bytes")
        body = {"identities": list(users)}
        try:
            response = self._service.call("POST", path, body, repeat=Repeat.SAFE)
        except ResponseTooLargeError as error:
            raise too_large from error
        except DirectoryRefusedError as error:
            if error.code == _ANSWER_TOO_LARGE:
                raise too_large from error
            raise
        if len(response.body) > MAX_ANSWER_BYTES:
            raise too_large
        return response.json()

    def _sort(
        self, answer: Sequence[Any], users: Sequence[str]
    ) -> dict[str, list[Card] | CardError]:
        """Verify an answer's cards and sort them by user.

        Raises:
            MalformedCardError: One belongs to none of *users*, or does not say to whom.
        """
        found: dict[str, list[Card] | CardError] = {}
        for raw in answer:
            read = RawCard.from_json(raw)
            user_id = read.content["identity"]
            if user_id not in users:
                raise MalformedCardError("the directory sent a card that nobody asked for")
            cards = found.setdefault(user_id, [])
            if isinstance(cards, CardError):
                continue
            try:
                cards.append(verify_card(read, raw, service_key=self._service_key))
            except CardError as error:
                found[user_id] = blamed(user_id, error)
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

    def revoke_all(self, user_id: str) -> bool:
        """Revoke every current card of *user_id*, the token's user, usable or not.

        Nothing of the cards is believed: whether one may be revoked is the directory's to say.

        Returns:
            Whether there was any.

        Raises:
            DirectoryRefusedError: The directory goes on serving one.
            MalformedCardError: What it serves has no id that could be revoked.
        """
        served = [_outline(raw) for raw in self._ask_cards([user_id])]
        replaced = {previous for _, previous in served}
        ids = list(dict.fromkeys(card_id for card_id, _ in served))
        refusal = None
        for card_id in [one for one in ids if one not in replaced]:
            try:
                self.revoke(card_id)
            except DirectoryRefusedError as error:
                refusal = error  # one that was replaced in a way that we cannot read
        if refusal is not None and self._ask_cards([user_id]):
            raise refusal
        return bool(served)

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a directory client holds a token and is not pickled")


def blamed(user_id: str, error: CardError) -> CardError:
    """Return *error* as that of one user, with the way out for this user."""
    hint = error.hint or (
        "nobody else is affected; this user can unregister(), and register() with another key"
    )
    return type(error)(f"the directory's answer for {user_id!r}: {error}", hint=hint)


def _outline(raw: Any) -> tuple[str, str | None]:  # noqa: ANN401 - whatever the directory sent
    """Return the ids of an own card and of the one that it names as replaced, if that is plain."""
    snapshot = decode_base64(raw.get("content_snapshot") if isinstance(raw, dict) else None)
    previous = None
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        previous = json.loads(snapshot.decode("utf-8")).get("previous_card_id")
    return envelope.card_id(snapshot), previous if isinstance(previous, str) else None


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
