"""Virgil's services in memory, behind the transport port: cards and Keyknox. No BrainKey.

Held to the same contract as the real companion by tests/integration/test_service_contract.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import Card, parse_card
from encrypted_parse.directory.raw_cards import RawCard
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    CardSignatureError,
    DirectoryError,
    MalformedCardError,
    UnsupportedKeyError,
)
from encrypted_parse.locks import Lock
from encrypted_parse.transport import HttpRequest, HttpResponse

URL = "https://service.invalid"
MAX_SEARCHED = 50
MAX_CARDS = 200
MAX_ANSWER_BYTES = 4 * 1024 * 1024
_REFUSALS: dict[type[DirectoryError], int] = {
    MalformedCardError: 40031,
    CardSignatureError: 40035,
    UnsupportedKeyError: 40036,
}
_SIGNATURE_MEMBERS = ("signer", "signature", "snapshot")
_V2_PARTS = 4  # owner, root, path, key


class RefusalError(Exception):
    """An error answer of the service."""

    def __init__(self, code: int, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


def token(user_id: str) -> str:
    """Return a token that this service believes."""

    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    return f"{part({})}.{part({'sub': f'identity-{user_id}', 'exp': 2**40})}.AA"


@front_door
class VirgilService:
    """The services' state. `answer` is what a FakeTransport calls.

    Attributes:
        before: Called with each request; may raise to cut the connection.
        after: Called with each request after it was carried out; may raise to lose the answer.
    """

    def __init__(self) -> None:
        self.key = PrivateKey.generate()
        self.requests: list[str] = []
        self.before: Callable[[HttpRequest], None] = lambda _: None
        self.after: Callable[[HttpRequest], None] = lambda _: None
        self._lock = Lock()
        self.cards: dict[str, list[list[dict[str, Any]]]] = {}  # by user: chains, oldest first
        self.revoked: set[str] = set()
        self.ended: set[str] = set()  # users whose account was deleted
        self.lies: dict[tuple[str, str], list[dict[str, Any]]] = {}  # (viewer, user): cards
        self.records: dict[tuple[str, ...], dict[str, Any]] = {}

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Carry one request out."""
        self.before(request)
        with self._lock:
            path = request.url.removeprefix(URL + "/")
            self.requests.append(f"{request.method} {path}")
            payload = request.headers["Authorization"].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            user = claims["sub"].removeprefix("identity-")
            body = json.loads(request.body or b"{}")
            try:
                status, headers, content = self._route(request, user, path, body)
            except RefusalError as error:
                status, headers = error.status, {}
                content = {"code": error.code, "message": f"code {error.code}"}
        self.after(request)
        return HttpResponse(status, headers, json.dumps(content).encode())

    def _route(
        self, request: HttpRequest, user: str, path: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, str], Any]:
        previous = request.headers.get("Virgil-Keyknox-Previous-Hash")
        if path == "card/v5":
            return 201, {}, self.publish(user, body)
        if path in ("card/v5/actions/search", "card/v5/actions/search-ended"):
            ended, users = path.endswith("-ended"), body["identities"]
            return 200, {}, self.search_ended(users) if ended else self.search(users, viewer=user)
        if match := re.fullmatch(r"card/v5/actions/revoke/([0-9a-f]{64})", path):
            return 200, {}, self._revoke(user, match[1])
        if path == "keyknox/v1":
            return self._v1(request.method, user, body, previous)
        if path == "keyknox/v1/reset":
            self.records.pop((user,), None)
            return 200, {}, {"meta": "", "value": ""}
        if path.startswith("keyknox/v2/"):
            return self._v2(path.removeprefix("keyknox/v2/"), user, body, previous)
        raise RefusalError(10000, 404)

    # --- cards ------------------------------------------------------------------------------

    def chain_of(self, user: str) -> list[dict[str, Any]]:
        """Return the user's current chain, oldest first; empty if there is none."""
        chains = [] if user in self.ended else self.cards.get(user, [])
        current = [chain for chain in chains if card_id(chain[-1]) not in self.revoked]
        return current[-1] if current else []

    def search(self, users: list[str], *, viewer: str) -> list[dict[str, Any]]:
        """Return the raw cards of *users*, or the lie that is prepared for *viewer*."""
        if not 1 <= len(users) <= MAX_SEARCHED:
            raise RefusalError(40033)
        chains = (self.lies.get((viewer, user), self.chain_of(user)) for user in users)
        cards = [card for chain in chains for card in chain]
        if len(json.dumps(cards, separators=(",", ":"))) > MAX_ANSWER_BYTES:
            raise RefusalError(40044)
        return cards

    def search_ended(self, users: list[str]) -> dict[str, Any]:
        """Return those whose account was deleted, and the cards that they had last."""
        if not 1 <= len(users) <= MAX_SEARCHED:
            raise RefusalError(40033)
        ended = [user for user in users if user in self.ended]
        last = [self.cards[user][-1] for user in ended if self.cards.get(user)]
        return {"identities": ended, "cards": [card for chain in last for card in chain]}

    def end(self, user: str) -> None:
        """Do as the companion when the user's account is deleted."""
        with self._lock:
            self.ended.add(user)
            self.records = {where: one for where, one in self.records.items() if where[0] != user}

    def erase(self, user: str) -> None:
        """Delete a deleted user's cards, as the companion's operator can."""
        with self._lock:
            self.cards.pop(user, None)

    def replaced_keys(self, user: str) -> frozenset[bytes]:
        """Return the identifiers of keys that a user has cards of, and no current one."""
        with self._lock:
            if [len(chain) for chain in self.cards.get(user, [])] == [1] and self.chain_of(user):
                return frozenset()
            current = _key_ids(self.chain_of(user)[-1:])
            ever = _key_ids(card for chain in self.cards.get(user, []) for card in chain)
        return ever - current

    def countersign(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Return a raw card with the service's signature, whatever it says."""
        snapshot = base64.b64decode(raw["content_snapshot"])
        signature = base64.b64encode(vc.sign(snapshot, self.key)).decode()
        return {
            **raw,
            "signatures": [*raw["signatures"], {"signer": "virgil", "signature": signature}],
        }

    def publish(self, user: str, raw: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was sent
        """Take *user*'s raw card, as the companion would, but for its date."""
        if user in self.ended:
            raise RefusalError(40045)
        signed, card = self._accept(raw)
        if card.user_id != user:
            raise RefusalError(40034)
        chain = self.chain_of(user)
        if chain and card_id(chain[-1]) == card.card_id:
            return chain[-1]
        known = {card_id(old) for old_chain in self.cards.get(user, []) for old in old_chain}
        if card.card_id in known:
            raise RefusalError(40043)
        if len(known) + sum(one in self.revoked for one in known) >= MAX_CARDS:
            raise RefusalError(40041)
        if card.previous_card_id is None:
            if chain:
                raise RefusalError(40039)
            self.cards.setdefault(user, []).append([signed])
        elif not chain or card_id(chain[-1]) != card.previous_card_id:
            raise RefusalError(40038)
        else:
            chain.append(signed)
        return signed

    def _accept(self, raw: Any) -> tuple[dict[str, Any], Card]:  # noqa: ANN401 - whatever was sent
        """Return a card as it will be served, if it is one that the client reads."""
        try:
            RawCard.from_json(raw)
            if any(item["signer"] == "virgil" for item in raw["signatures"]):
                raise RefusalError(40031)
            kept = [
                {name: item[name] for name in _SIGNATURE_MEMBERS if item.get(name) is not None}
                for item in raw["signatures"]
            ]
            signed = self.countersign(
                {"content_snapshot": raw["content_snapshot"], "signatures": kept}
            )
            return signed, parse_card(signed, service_key=self.key.public_key)
        except DirectoryError as error:
            raise RefusalError(_REFUSALS[type(error)]) from error

    def _revoke(self, user: str, wanted: str) -> dict[str, Any]:
        chains = self.cards.get(user, [])
        if wanted not in {card_id(card) for chain in chains for card in chain}:
            raise RefusalError(40032)
        if wanted not in {card_id(chain[-1]) for chain in chains} - self.revoked:
            raise RefusalError(40040)
        self.revoked.add(wanted)
        return {}

    # --- Keyknox ----------------------------------------------------------------------------

    def _v1(
        self, method: str, user: str, body: dict[str, Any], previous: str | None
    ) -> tuple[int, dict[str, str], Any]:
        record = self.records.get((user,))
        if method == "PUT":
            if previous != (None if record is None else record["hash"]):
                raise RefusalError(50010)
            record = {"meta": body["meta"], "value": body["value"], "hash": _hash(body)}
            self.records[(user,)] = record
        if record is None:
            return 200, {"virgil-keyknox-hash": _hash({})}, {"meta": "", "value": ""}
        content = {"meta": record["meta"], "value": record["value"]}
        return 200, {"virgil-keyknox-hash": record["hash"]}, content

    def _v2(
        self, verb: str, user: str, body: dict[str, Any], previous: str | None
    ) -> tuple[int, dict[str, str], Any]:
        names = ("root", "path", "key")
        if verb == "reset":
            for address, record in list(self.records.items()):
                if (
                    address[0] == user
                    and all(
                        name not in body or body[name] == part
                        for name, part in zip(names, address[1:], strict=False)
                    )
                    and len(address) == _V2_PARTS
                ):
                    record["copies"] = {
                        who: copy
                        for who, copy in record["copies"].items()
                        if "identity" in body and who != body["identity"]
                    }
                    if not record["copies"]:
                        del self.records[address]
            return 200, {}, {}
        if verb == "keys":
            owner = body.get("identity", user)
            return (
                200,
                {},
                [
                    address[3]
                    for address, record in self.records.items()
                    if address[:-1] == (owner, body["root"], body["path"])
                    and (user in record["copies"] or user == owner)
                ],
            )
        owner = user if verb == "push" else body["identity"]
        address = (owner, *(body[name] for name in names))
        found = self.records.get(address)
        if verb == "push":
            if previous != (None if found is None else found["hash"]):
                raise RefusalError(50010)
            copy = {"meta": body["meta"], "value": body["value"]}
            copies = {} if found is None else found["copies"]
            copies = {**copies, **dict.fromkeys(body["identities"], copy)}
            digest = _hash(body)
            self.records[address] = {"copies": copies, "hash": digest}
            return (
                200,
                {"virgil-keyknox-hash": digest},
                {**copy, "identities": list(copies)},
            )
        if found is None or user not in found["copies"]:
            return (
                200,
                {"virgil-keyknox-hash": _hash({})},
                {"meta": "", "value": "", "identities": []},
            )
        answer = {**found["copies"][user], "identities": list(found["copies"])}
        return 200, {"virgil-keyknox-hash": found["hash"]}, answer


def card_id(raw: dict[str, Any]) -> str:
    """Return a raw card's id."""
    return vc.card_id(base64.b64decode(raw["content_snapshot"]))


def _key_ids(cards: Iterable[dict[str, Any]]) -> frozenset[bytes]:
    keys = [parse_card(card, service_key=None).public_key for card in cards]
    return frozenset(key_id for key in keys for key_id in (key.key_id, key.long_key_id))


def _hash(body: dict[str, Any]) -> str:
    content = base64.b64decode(body.get("meta", "")) + base64.b64decode(body.get("value", ""))
    return base64.b64encode(hashlib.sha512(content).digest()).decode()
