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
    CardCache,
    CardChain,
    DirectoryClient,
    Shelf,
    TokenProvider,
    new_card,
    parse_card,
    shared_cache,
)
from encrypted_parse.directory.cache import FAILURE_SECONDS
from encrypted_parse.directory.client import MAX_ANSWER_BYTES
from encrypted_parse.envelope import sign
from encrypted_parse.errors import (
    CardChainError,
    CardError,
    CardSignatureError,
    DirectoryError,
    DirectoryRefusedError,
    MalformedCardError,
    MalformedResponseError,
    MultipleCardsError,
    NotRegisteredError,
    ResponseTooLargeError,
    TokenError,
    UnusableCardsError,
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


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"{}", b"5", b'"[]"'])
def test_no_answer_to_a_search_is_everybodys_matter(body: bytes) -> None:
    """What is no list says nothing about any user; it is asked for once."""
    nonsense, transport = directory(lambda _: HttpResponse(200, {}, body))
    for ask in (nonsense.get_chains, nonsense.look_up):
        with pytest.raises(MalformedResponseError):
            ask(["bob", "carol"])
    assert len(transport.requests) == 2


@pytest.mark.parametrize("body", [b"[null]", b"[{}]", b'[{"a":1}]', b"[[]]", b'["bob"]', b"[5]"])
def test_cards_that_are_none_are_of_whom_they_are_served_for(body: bytes) -> None:
    """Whoever is asked for alone and gets them is unusable; nothing but our errors comes out."""
    nonsense, _ = directory(lambda _: HttpResponse(200, {}, body))
    with pytest.raises(MalformedCardError, match="'bob'"):
        nonsense.get_chains(["bob"])
    with pytest.raises(UnusableCardsError) as caught:
        nonsense.get_chains(["bob", "carol"])
    assert caught.value.user_ids == ("bob", "carol")


def serving(cards: dict[str, list[Any]]) -> tuple[CachingDirectory, FakeTransport]:
    """Return a directory that answers a search with these raw cards of each user."""

    def answer(request: HttpRequest) -> HttpResponse:
        wanted = json.loads(request.body or b"{}")["identities"]
        found = [raw for user_id in wanted for raw in cards.get(user_id, [])]
        return HttpResponse(200, {}, json.dumps(found).encode())

    return directory(answer)


@pytest.mark.parametrize("bad", [5, {}, {"content_snapshot": "", "signatures": []}])
@pytest.mark.parametrize("place", [0, 24, 49])
def test_a_fault_without_a_name_is_found_by_halves(bad: Any, place: int) -> None:
    """Of fifty users one has what names nobody: the others are found, in few requests."""
    users = [f"user{number:02}" for number in range(50)]
    cards: dict[str, list[Any]] = {user_id: [card(user_id)] for user_id in users}
    cards[users[place]] = [card(users[place]), bad]
    served, transport = serving(cards)
    found = served.look_up(users)
    failed = {user_id for user_id, one in found.items() if isinstance(one, CardError)}
    assert failed == {users[place]}
    assert set(found) == set(users)
    assert len(transport.requests) <= 13


def test_a_card_of_somebody_else_costs_whom_it_came_with() -> None:
    """Mallory's card in bob's answer is bob's fault only, also if mallory was asked for too."""
    served, _ = serving({"bob": [card("mallory")], "carol": [card("carol")]})
    found = served.look_up(["bob", "carol"])
    assert isinstance(found["bob"], MalformedCardError)
    assert "nobody asked for" in str(found["bob"])
    assert isinstance(found["carol"], CardChain)


def test_one_answer_tells_users_apart() -> None:
    """Bad cards that say whose they are cost no further request, and hide nobody behind them."""
    wrong = [card("bob", service=PrivateKey.generate()) for _ in range(2)]
    served, transport = serving({"bob": wrong, "carol": [card("carol")]})
    found = served.look_up(["bob", "carol"])
    assert isinstance(found["bob"], CardSignatureError)
    assert isinstance(found["carol"], CardChain)
    assert len(transport.requests) == 1


def test_heavy_chains_leave_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache counts bytes too: room for one chain keeps one."""
    cards = {user_id: [card(user_id)] for user_id in ("bob", "carol")}
    monkeypatch.setattr(shared_cache, "CACHE_BYTES", 600)
    served, transport = serving(cards)
    for user_id in ("bob", "carol", "carol", "bob"):
        served.get_chains([user_id])
    assert len(transport.requests) == 3


def test_answers_that_are_too_large_are_asked_for_in_parts() -> None:
    """Over 4 MiB, over the transport's limit, or refused by code: halves, then that user alone."""
    filler = [{"x": "x" * 1000}] * 5000
    for failure in ("body", "transport", "refusal"):

        def answer(request: HttpRequest, failure: str = failure) -> HttpResponse:
            wanted = json.loads(request.body or b"{}")["identities"]
            found: list[Any] = [card(user_id) for user_id in wanted if user_id != "bob"]
            if "bob" in wanted:
                if failure == "transport":
                    raise ResponseTooLargeError("too large")
                if failure == "refusal":
                    return HttpResponse(400, {}, b'{"code":40044,"message":"ask for fewer"}')
                found += filler
            return HttpResponse(200, {}, json.dumps(found).encode())

        served, _ = directory(answer)
        found = served.look_up(["alice", "bob", "carol"])
        assert isinstance(found["bob"], MalformedCardError)
        assert str(MAX_ANSWER_BYTES) in str(found["bob"])
        assert all(isinstance(found[user_id], CardChain) for user_id in ("alice", "carol"))


def test_other_refusals_are_everybodys_matter() -> None:
    """A refusal that is not about the size is raised, and asked for once."""
    refusing, transport = directory(lambda _: HttpResponse(400, {}, b'{"code":40033}'))
    with pytest.raises(DirectoryRefusedError):
        refusing.look_up(["alice", "bob"])
    assert len(transport.requests) == 1


def test_crossing_predecessors_concern_nobody_else() -> None:
    """A card that names another user's card as its predecessor changes nothing for that user."""
    alice, bob = card("alice"), card("bob")
    served, _ = serving(
        {
            "alice": [alice, card("alice", previous=id_of(bob))],
            "bob": [bob, card("bob", previous=id_of(alice))],
            "carol": [card("carol")],
        }
    )
    found = served.look_up(["alice", "bob", "carol"])
    assert isinstance(found["alice"], MultipleCardsError)
    assert isinstance(found["bob"], MultipleCardsError)
    assert isinstance(found["carol"], CardChain)
    honest, _ = serving({"alice": [alice], "bob": [card("bob", previous=id_of(alice))]})
    assert all(isinstance(one, CardChain) for one in honest.look_up(["alice", "bob"]).values())


def test_what_is_raised_is_not_the_caches_own() -> None:
    """Each caller gets an error of its own, which holds no other caller's frames."""
    served, transport = serving({"bob": [card("bob"), card("bob")]})
    raised = []
    for _ in range(3):
        with pytest.raises(MultipleCardsError) as caught:
            served.get_chains(["bob"])
        raised.append(caught.value)
    assert len({id(error) for error in raised}) == 3
    assert all(error.hint and "unregister()" in error.hint for error in raised)
    assert len(transport.requests) == 1


def test_failures_are_forgotten_soon_and_on_demand() -> None:
    """A user's repair is seen after seconds, at once with force, and a vanished user at once."""
    now = [0.0]
    cards: dict[str, list[Any]] = {"bob": [5], "carol": [card("carol")]}

    def answer(request: HttpRequest) -> HttpResponse:
        wanted = json.loads(request.body or b"{}")["identities"]
        found = [raw for user_id in wanted for raw in cards.get(user_id, [])]
        return HttpResponse(200, {}, json.dumps(found).encode())

    client = directory(answer)[0].client
    cached = CachingDirectory(client, cache=CardCache(clock=lambda: now[0]))
    assert isinstance(cached.look_up(["bob"])["bob"], CardError)
    cards["bob"] = [card("bob")]
    now[0] = FAILURE_SECONDS
    assert isinstance(cached.look_up(["bob"])["bob"], CardError)
    now[0] += 0.1
    assert isinstance(cached.look_up(["bob"])["bob"], CardChain)
    cards["bob"] = [5]
    assert isinstance(cached.look_up(["bob"], force=True)["bob"], CardError)
    cards["bob"] = [card("bob")]
    assert isinstance(cached.look_up(["bob"], force=True)["bob"], CardChain)
    assert set(cached.look_up(["carol"])) == {"carol"}
    cards["carol"] = []
    assert set(cached.look_up(["carol"])) == {"carol"}
    assert cached.look_up(["carol"], force=True) == {}
    assert cached.look_up(["carol"]) == {}


def test_a_shelf_counts_users_and_bytes() -> None:
    """The least recently used leave first, by number or by size; what is larger is not kept."""
    shelf: Shelf[str] = Shelf(3, 100)
    for name in ("a", "b", "c"):
        shelf.put(name, name, 30)
    assert shelf.find("a") == "a"
    shelf.put("d", "d", 30)
    assert [shelf.find(name) for name in "abcd"] == ["a", None, "c", "d"]
    shelf.put("c", "again", 50)
    assert [shelf.find(name) for name in "acd"] == [None, "again", "d"]
    shelf.drop("d")
    shelf.drop("d")
    shelf.put("e", "e", 50)
    assert [shelf.find(name) for name in "ce"] == ["again", "e"]
    shelf.put("f", "f", 101)
    assert [shelf.find(name) for name in "cef"] == ["again", "e", None]
    shelf.put("c", "c", 101)
    assert [shelf.find(name) for name in "ce"] == [None, "e"]


def test_the_cache_counts_what_cards_hold() -> None:
    """A chain's size is that of its texts, so that heavy chains leave the cache."""
    raw = card("bob")
    chain = answering(raw).get_chains(["bob"])["bob"]
    texts = [raw["content_snapshot"], *(item["signature"] for item in raw["signatures"])]
    assert chain.size_bytes == sum(map(len, texts))
