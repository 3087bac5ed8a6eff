"""A directory that lies: every lie that a signature, a pin or a chain can show is refused."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import (
    CachingDirectory,
    DirectoryClient,
    TokenProvider,
    new_card,
    parse_card,
)
from encrypted_parse.envelope import sign
from encrypted_parse.errors import (
    CardChainError,
    CardSignatureError,
    DirectoryError,
    MalformedCardError,
    MultipleCardsError,
    NotRegisteredError,
    TokenError,
)
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse

SERVICE = PrivateKey.generate()
NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
Handler = Callable[[HttpRequest], HttpResponse]


def token(user_id: str = "me", expires_at: int = 2**40) -> str:
    """Return an unsigned token: clients do not verify it."""
    payload = json.dumps({"sub": f"identity-{user_id}", "exp": expires_at}).encode()
    return "e30." + base64.urlsafe_b64encode(payload).decode().rstrip("=") + ".c2ln"


def card(
    user_id: str, *, previous: str | None = None, service: PrivateKey = SERVICE
) -> dict[str, Any]:
    """Return a published card."""
    raw = new_card(user_id, PrivateKey.generate(), NOW, previous_card_id=previous)
    snapshot = base64.b64decode(raw["content_snapshot"])
    signature = base64.b64encode(sign(snapshot, service)).decode()
    raw["signatures"].append({"signer": "virgil", "signature": signature})
    return raw


def id_of(raw: dict[str, Any]) -> str:
    """Return a card's id."""
    return parse_card(raw, service_key=None).card_id


def directory(handler: Handler) -> tuple[CachingDirectory, FakeTransport]:
    """Return a directory whose answers *handler* makes."""
    transport = FakeTransport(handler)
    tokens = TokenProvider(token)
    client = DirectoryClient("https://directory", transport, tokens, service_key=SERVICE.public_key)
    return CachingDirectory(client), transport


def answering(*cards: dict[str, Any]) -> CachingDirectory:
    """Return a directory that answers every search with *cards*."""
    body = json.dumps(cards).encode()
    return directory(lambda _: HttpResponse(200, {}, body))[0]


def test_an_honest_answer_is_believed() -> None:
    """The control: a chain of two cards is accepted, its newest card first."""
    root = card("bob")
    head = card("bob", previous=id_of(root))
    chain = answering(root, head).get_chains(["bob"])["bob"]
    assert [linked.card_id for linked in chain.cards] == [id_of(head), id_of(root)]


def test_an_own_key_under_a_users_name_needs_the_pinned_signature() -> None:
    """A card that another service signed, or none, is refused."""
    with pytest.raises(CardSignatureError):
        answering(card("bob", service=PrivateKey.generate())).get_chains(["bob"])
    with pytest.raises(CardSignatureError):
        answering(new_card("bob", PrivateKey.generate(), NOW)).get_chains(["bob"])


def test_a_card_with_another_content_than_signed_is_refused() -> None:
    """One changed byte of the snapshot breaks both signatures."""
    raw = card("bob")
    snapshot = base64.b64decode(raw["content_snapshot"]).replace(b"5.0", b"5.0 "[:3])
    changed = bytearray(snapshot)
    changed[13] ^= 1  # inside the user id
    raw["content_snapshot"] = base64.b64encode(changed).decode()
    with pytest.raises(DirectoryError):
        answering(raw).get_chains(["bob"])


def test_a_card_of_somebody_else_is_refused() -> None:
    """Mallory's card does not answer a question for bob's."""
    with pytest.raises(MalformedCardError):
        answering(card("mallory")).get_chains(["bob"])


def test_two_current_cards_are_not_chosen_between() -> None:
    """With two heads, there is no telling which key is right."""
    with pytest.raises(MultipleCardsError):
        answering(card("bob"), card("bob")).get_chains(["bob"])


def test_a_fork_is_refused() -> None:
    """Two successors of one card contradict each other."""
    root = card("bob")
    fork = [card("bob", previous=id_of(root)) for _ in range(2)]
    with pytest.raises(CardChainError):
        answering(root, *fork).get_chains(["bob"])


def test_everybody_missing_is_named() -> None:
    """An empty answer names all users, and is not remembered."""
    empty = answering()
    for _ in range(2):
        with pytest.raises(NotRegisteredError) as caught:
            empty.get_chains(["bob", "carol"])
        assert caught.value.user_ids == ("bob", "carol")


def test_a_refused_token_is_replaced_once() -> None:
    """A 401 costs one fresh token and one repetition, never a loop."""
    refusing, transport = directory(lambda _: HttpResponse(401, {}, b'{"code":20304}'))
    with pytest.raises(TokenError):
        refusing.get_chains(["bob"])
    assert len(transport.requests) == 2


def test_many_users_and_callers_share_requests() -> None:
    """1,000 users take twenty requests; 16 concurrent callers for one user take one."""
    users = [f"user{number}" for number in range(1000)]
    cards = {user_id: card(user_id) for user_id in users}
    gate = threading.Event()

    def answer(request: HttpRequest) -> HttpResponse:
        gate.wait(10)
        wanted = json.loads(request.body or b"{}")["identities"]
        return HttpResponse(200, {}, json.dumps([cards[user_id] for user_id in wanted]).encode())

    gate.set()
    many, transport = directory(answer)
    assert set(many.get_chains(users)) == set(users)
    assert len(transport.requests) == 20
    gate.clear()
    shared, transport = directory(answer)
    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(shared.get_chains, ["user1"]) for _ in range(16)]
        gate.set()
        assert all("user1" in future.result(10) for future in futures)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"{}", b"[null]", b"[{}]", b'[{"a":1}]'])
def test_nonsense_is_an_error_of_ours(body: bytes) -> None:
    """Whatever the directory answers, nothing but our errors comes out."""
    from encrypted_parse.errors import EncryptedParseError  # noqa: PLC0415 - used here only

    nonsense, _ = directory(lambda _: HttpResponse(200, {}, body))
    with pytest.raises(EncryptedParseError):
        nonsense.get_chains(["bob"])
