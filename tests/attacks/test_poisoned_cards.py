"""Cards that cannot be used: whatever one user publishes, only that user's values are lost.

The services in memory refuse most of these cards, as the companion does; here a directory serves
them all the same, as Virgil Cloud may, or a liar.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from vectors.make_cards import (
    base64_of,
    content,
    made_key,
    of_size,
    other,
    point,
    signed,
    text_of,
)

from encrypted_parse import Model, UserClient, acl_readers, encrypted, group, role, users
from encrypted_parse.directory.raw_cards import MAX_CARD_BYTES
from encrypted_parse.e3kit.health import Health
from encrypted_parse.errors import (
    CardChainError,
    CardSignatureError,
    DirectoryError,
    DirectoryRefusedError,
    MalformedCardError,
    MultipleCardsError,
    NotRegisteredError,
    RecipientsNotRegisteredError,
    UnsupportedKeyError,
    UnusableCardsError,
)
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.testing.virgil import VirgilService, card_id

Cards = list[Any]
_DATES = itertools.count(1_700_000_000)


class Note(Model):
    """An object with one encrypted field."""

    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


class ToMany(Model):
    """An object whose readers are found in every other way."""

    sender_id: str
    to: list[str]
    team: str
    body: str = encrypted(to=users("to"), author="sender_id")
    role_body: str | None = encrypted(to=role("Staff"), author="sender_id", default=None)
    group_body: str | None = encrypted(
        to=group("team", initiator_from="sender_id"), author="sender_id", default=None
    )


def of(who: str, **members: Any) -> str:
    """Return the content of an own card."""
    return text_of(identity=who, created_at=next(_DATES), **members)


def following(service: VirgilService, first: Any, *more: Any) -> Cards:
    """Return cards with the service's signature, as far as they can have one."""
    return [service.countersign(raw) for raw in (first, *more)]


P256 = base64_of(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\4" * 65)


def with_member(who: str, text: str) -> str:
    """Return the content of an own card with a member more."""
    return f"{of(who)[:-1]},{text}}}"


def two_roots(service: VirgilService, who: str) -> Cards:
    """Return two current cards."""
    return following(service, signed(of(who)), signed(of(who)))


def a_fork(service: VirgilService, who: str) -> Cards:
    """Return two cards that replace one."""
    root = signed(of(who))
    successors = [signed(of(who, previous_card_id=card_id(root))) for _ in range(2)]
    return following(service, root, *successors)


def a_good_card_and_a_bad(service: VirgilService, who: str) -> Cards:
    """Return a chain whose newest card cannot be used."""
    root = signed(of(who))
    return following(
        service, root, signed(of(who, previous_card_id=card_id(root), public_key=P256))
    )


POISONS: dict[str, tuple[Callable[[VirgilService, str], Cards], type[DirectoryError]]] = {
    "a P-256 key": (
        lambda s, who: following(s, signed(of(who, public_key=P256))),
        UnsupportedKeyError,
    ),
    "a key of small order": (
        lambda s, who: following(s, signed(of(who, public_key=point(1)))),
        MalformedCardError,
    ),
    "ten signatures": (
        lambda s, who: following(s, signed(of(who), *(other(f"s{n}") for n in range(8)))),
        MalformedCardError,
    ),
    "a repeated member": (
        lambda s, who: following(s, signed(with_member(who, '"a":1,"a":1'))),
        MalformedCardError,
    ),
    "somebody else's identity before the own": (
        lambda s, who: following(s, signed(of(who).replace("{", '{"identity":"alice",', 1))),
        MalformedCardError,
    ),
    "a byte order mark": (
        lambda s, who: following(s, signed("\ufeff" + of(who))),
        MalformedCardError,
    ),
    "a date with a fraction": (
        lambda s, who: following(
            s, signed(json.dumps({**content(identity=who), "created_at": 1.5}))
        ),
        MalformedCardError,
    ),
    "a huge integer": (
        lambda s, who: following(s, signed(with_member(who, '"a":' + "1" * 5000))),
        MalformedCardError,
    ),
    "deep nesting": (
        lambda s, who: following(s, signed(with_member(who, '"a":' + "[" * 5000 + "]" * 5000))),
        MalformedCardError,
    ),
    "bytes that are no text": (
        lambda s, who: following(s, signed(of(who).encode() + b"\xff")),
        MalformedCardError,
    ),
    "a card that is too large": (
        lambda s, who: following(s, signed(of(who, x="x" * MAX_CARD_BYTES))),
        MalformedCardError,
    ),
    "no object": (lambda _s, _who: [5], MalformedCardError),
    "no snapshot": (lambda _s, _who: [{"signatures": []}], MalformedCardError),
    "somebody else's card": (
        lambda s, _: following(s, signed(of("nobody-asked"))),
        MalformedCardError,
    ),
    "another service's signature": (
        lambda _, who: [
            {**(raw := signed(of(who))), "signatures": [*raw["signatures"], other("virgil", 83)]}
        ],
        CardSignatureError,
    ),
    "no service's signature": (lambda _, who: [signed(of(who))], CardSignatureError),
    "another key's self signature": (
        lambda s, who: following(s, signed(of(who), key=made_key("x"))),
        CardSignatureError,
    ),
    "two current cards": (two_roots, MultipleCardsError),
    "a fork": (a_fork, CardChainError),
    "a chain that ends badly": (a_good_card_and_a_bad, UnsupportedKeyError),
    "more than an answer holds": (
        lambda s, who: following(s, *[of_size(MAX_CARD_BYTES)] * 260),  # noqa: ARG005
        MalformedCardError,
    ),
}
poisoned = pytest.mark.parametrize("poison", POISONS)


class World:
    """Alice, bob and carol, who are honest; and mallory, whom the directory serves a poison for."""

    def __init__(self) -> None:
        self.app = InMemoryApp()
        self.names = {
            name: self.app.make_user(name) for name in ("alice", "bob", "carol", "mallory")
        }
        self.alice, self.bob, self.carol, self.mallory = self.names.values()
        self.honest = [self.alice, self.bob, self.carol]
        self.notes = [self.note(author) for author in (*self.honest, self.mallory)]

    def note(self, author: UserClient, *readers: UserClient) -> Note:
        """Save a note, by default for everybody."""
        made = Note(sender_id=author.user_id, body=f"by {author.user_id}")
        for reader in readers or (*self.honest, self.mallory):
            if reader is not author:
                made.acl.allow_read(reader.user_id)
        return author.save(made)

    def poison(self, poison: str) -> type[DirectoryError]:
        """Serve the poison as mallory's cards to everybody; returns what is expected of it."""
        make, error = POISONS[poison]
        cards = make(self.app.service, self.mallory.user_id)
        for viewer in (*self.honest, self.mallory):
            self.app.service.lies[viewer.user_id, self.mallory.user_id] = cards
            viewer.e3kit._directory.forget(self.mallory.user_id)
        return error

    def fresh(self, user: UserClient) -> UserClient:
        """Return the user in another process, with an empty cache."""
        [name] = [name for name, one in self.names.items() if one is user]
        client = self.app.client(keystore=user.e3kit._keystore)
        return client.log_in(name, f"password of {name}")


@pytest.fixture
def world() -> World:
    """A fresh app."""
    return World()


@poisoned
def test_a_page_loses_only_that_authors_values(world: World, poison: str) -> None:
    """Alice reads everybody else's; mallory's value says whose card is unusable, and why."""
    error = world.poison(poison)
    page = {note.sender_id: note for note in world.alice.query(Note)}
    assert len(page) == 4
    for author in world.honest:
        assert page[author.user_id].body == f"by {author.user_id}"
    lost = page[world.mallory.user_id]
    assert set(lost.locked) == {"body"}
    assert repr(world.mallory.user_id) in lost.locked["body"]
    with pytest.raises(error) as caught:
        _ = lost.body
    assert caught.value.hint


@poisoned
def test_a_save_names_that_recipient_alone(world: World, poison: str) -> None:
    """With mallory among the readers the save says so; without her it goes through."""
    error = world.poison(poison)
    made = Note(sender_id=world.alice.user_id, body="hello")
    for reader in (world.bob, world.carol, world.mallory):
        made.acl.allow_read(reader.user_id)
    with pytest.raises(UnusableCardsError) as caught:
        world.alice.save(made)
    assert caught.value.user_ids == (world.mallory.user_id,)
    assert type(caught.value.reasons[world.mallory.user_id]) is error
    assert repr(world.mallory.user_id) in str(caught.value)
    assert made.is_new
    made.acl.revoke(world.mallory.user_id)
    world.alice.save(made)
    assert world.bob.get(Note, str(made.object_id)).body == "hello"


@poisoned
def test_other_objects_of_a_batch_are_saved(world: World, poison: str) -> None:
    """`save_all` reports the one object, and saves those before and after it."""
    world.poison(poison)
    made = [Note(sender_id=world.alice.user_id, body=str(number)) for number in range(3)]
    made[1].acl.allow_read(world.mallory.user_id)
    outcomes = world.alice.save_all(made)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, DirectoryError)


@poisoned
def test_find_users_says_who_failed(world: World, poison: str) -> None:
    """Several users: one error that names mallory and why; alone: the reason; others: found."""
    error = world.poison(poison)
    others = [user.user_id for user in (world.bob, world.carol)]
    alice = world.fresh(world.alice)
    with pytest.raises(UnusableCardsError) as caught:
        alice.e3kit.find_users([*others, world.mallory.user_id])
    assert set(caught.value.reasons) == {world.mallory.user_id}
    assert set(alice.e3kit.find_users(others)) == set(others)
    with pytest.raises(error, match=repr(world.mallory.user_id)):
        alice.e3kit.find_users([world.mallory.user_id])


def test_the_missing_and_the_unusable_are_listed_together(world: World) -> None:
    """One error for a save lists whoever stands against it, each with the own reason."""
    world.poison("a P-256 key")
    made = Note(sender_id=world.alice.user_id, body="hello")
    for reader in (world.bob.user_id, world.mallory.user_id, "stranger"):
        made.acl.allow_read(reader)
    with pytest.raises(UnusableCardsError) as caught:
        world.alice.save(made)
    reasons = caught.value.reasons
    assert set(reasons) == {world.mallory.user_id, "stranger"}
    assert isinstance(reasons[world.mallory.user_id], UnsupportedKeyError)
    assert isinstance(reasons["stranger"], NotRegisteredError)
    assert "key type cannot be used from Python" in str(caught.value)
    made.acl.revoke(world.mallory.user_id)
    with pytest.raises(RecipientsNotRegisteredError):
        world.alice.save(made)


@poisoned
def test_readers_are_told_and_changed_beside_such_a_user(world: World, poison: str) -> None:
    """`who_can_read`, `explain`, `share` and `revoke` of alice's objects work for the others."""
    shared = world.notes[0]
    world.poison(poison)
    alice = world.fresh(world.alice)
    mine = alice.get(Note, str(shared.object_id))
    readers = alice.who_can_read(mine)["body"]
    assert {user.user_id for user in world.honest} <= readers.user_ids
    assert world.mallory.user_id not in readers.user_ids
    assert readers.unknown  # a key that nobody can name now
    explained = alice.explain(mine)
    assert not explained.can_be_saved
    assert repr(world.mallory.user_id) in str(explained)
    with pytest.raises(DirectoryError, match=repr(world.mallory.user_id)):
        alice.share(mine, with_=[world.mallory.user_id])
    report = alice.revoke(mine, from_=[world.mallory.user_id])
    assert report.fields == ("body",)
    alice.share(mine, with_=[world.bob.user_id])
    assert world.bob.get(Note, str(shared.object_id)).body == f"by {alice.user_id}"


@poisoned
def test_rules_roles_and_groups_name_that_recipient(world: World, poison: str) -> None:
    """Whatever rule leads to mallory, the error names her; other rules' objects are saved."""
    alice, team = world.alice, "a group of alice"
    cards = alice.e3kit.find_users([world.bob.user_id, world.mallory.user_id])
    alice.e3kit.create_group(team, cards.values())
    world.app.parse.functions["role-members"] = lambda _user, params: {
        "members": {name: [world.bob.user_id, world.mallory.user_id] for name in params["roles"]}
    }
    world.poison(poison)
    ids = {"sender_id": alice.user_id, "team": team}
    for values in ({"role_body": "x"}, {"group_body": "x"}):
        with pytest.raises(UnusableCardsError) as caught:
            alice.save(ToMany(**ids, to=[world.bob.user_id], body="x", **values))
        assert caught.value.user_ids == (world.mallory.user_id,)
    alice.save(ToMany(**ids, to=[world.bob.user_id], body="for bob"))


@poisoned
def test_a_group_that_such_a_user_made_locks_only_itself(world: World, poison: str) -> None:
    """Saving for mallory's group fails by name, in a batch beside others that are saved."""
    team = "a group of mallory"
    cards = world.mallory.e3kit.find_users([world.alice.user_id])
    world.mallory.e3kit.create_group(team, cards.values())
    world.poison(poison)

    class InGroup(Model):
        sender_id: str
        team: str
        initiator_id: str
        body: str = encrypted(to=group("team", initiator_from="initiator_id"), author="sender_id")

    alice = world.alice
    hers, own = (
        InGroup(sender_id=alice.user_id, team=team, initiator_id=world.mallory.user_id, body="x"),
        Note(sender_id=alice.user_id, body="own"),
    )
    outcomes = alice.save_all([hers, own])
    assert isinstance(outcomes[0].error, DirectoryError)
    assert outcomes[1].error is None


MENDED = sorted(
    set(POISONS) - {"no object", "no snapshot", "somebody else's card", "two current cards"}
)


@pytest.mark.parametrize("poison", MENDED)
def test_a_broken_own_card_is_ended_by_its_user(world: World, poison: str) -> None:
    """`unregister` needs no usable card; after `register` everybody reads and writes again."""
    service, mallory = world.app.service, world.mallory
    world.poison(poison)
    cards = service.lies[mallory.user_id, mallory.user_id]
    service.lies.clear()
    service.cards[mallory.user_id] = [cards[:200]]
    keystore = mallory.e3kit._keystore
    if len(cards) < 200:
        with pytest.raises(DirectoryError) as caught:
            mallory.register()
        assert caught.value.hint
    mallory.e3kit.unregister()
    assert service.chain_of(mallory.user_id) == []
    assert keystore.find(mallory.user_id) is None
    service.cards[mallory.user_id] = []
    mallory.register()
    note = world.note(mallory)
    assert world.fresh(world.alice).get(Note, str(note.object_id)).body == note.body


def test_a_readable_chain_takes_one_revocation(world: World) -> None:
    """Only the current card of a chain is revoked: asking for each of 200 would take minutes."""
    service, bob = world.app.service, world.bob
    bob.e3kit.rotate_private_key()
    before = len(service.requests)
    bob.e3kit.unregister()
    assert sum("revoke" in request for request in service.requests[before:]) == 1


def test_unregister_ends_every_current_card(world: World) -> None:
    """Of two chains, each is revoked, the older cards with them; a refusal is not hidden."""
    service, bob = world.app.service, world.bob
    chains = [[card] for card in two_roots(service, bob.user_id)]
    service.cards[bob.user_id] = chains

    def everything(users: list[str], *, viewer: str) -> list[Any]:
        del viewer
        return [
            card
            for user in users
            for chain in service.cards.get(user, [])
            for card in chain
            if card_id(chain[-1]) not in service.revoked
        ]

    service.search = everything  # type: ignore[method-assign]
    bob.e3kit.unregister()
    assert service.revoked == {card_id(chain[0]) for chain in chains}
    with pytest.raises(NotRegisteredError):
        bob.e3kit.unregister()
    foreign = service.chain_of(world.alice.user_id)
    service.search = lambda users, *, viewer: foreign  # type: ignore[method-assign]  # noqa: ARG005
    with pytest.raises(DirectoryRefusedError):
        bob.e3kit.unregister()


def test_health_names_an_unusable_card(world: World) -> None:
    """`diagnose` reports the own card as a problem, with the way out."""
    world.poison("a P-256 key")
    [first, *_] = world.mallory.e3kit.diagnose()
    assert first.health is Health.PROBLEM
    assert "cannot be used from Python" in first.message
    assert "unregister" in str(first.hint)


def test_a_poison_costs_few_requests(world: World) -> None:
    """One card without an identity among fifty users: found by halves, and remembered a while."""
    asked = [f"stranger{number:02}" for number in range(49)]
    world.poison("bytes that are no text")
    alice = world.fresh(world.alice)
    before = len(world.app.requests)
    found = alice.e3kit._directory.look_up_authors([*asked, world.mallory.user_id])
    assert isinstance(found[world.mallory.user_id], MalformedCardError)
    spent = sum(one.url.endswith("/search") for one in world.app.requests[before:])
    assert spent <= 13  # 1 + 2 for each halving of fifty
    before = len(world.app.requests)
    for _ in range(5):
        with pytest.raises(MalformedCardError):
            alice.e3kit.author_keys(world.mallory.user_id)
    assert len(world.app.requests) == before


def test_heavy_users_are_asked_for_apart(world: World) -> None:
    """Two users whose chains are full do not fit one answer; each alone does, and is read."""
    service = world.app.service
    for user in (world.bob, world.carol):
        [root] = service.chain_of(user.user_id)
        chain = [root]
        while len(chain) < 200:
            text = of(user.user_id, previous_card_id=card_id(chain[-1]), x="")
            filler = "x" * ((MAX_CARD_BYTES - 600) // 4 * 3 - len(text))
            raw = signed(text.replace('"x":""', f'"x":"{filler}"'))
            chain.append(service.publish(user.user_id, raw))
    alice = world.fresh(world.alice)
    found = alice.e3kit.find_users([world.bob.user_id, world.carol.user_id])
    assert len(found) == 2
    full = signed(of(world.bob.user_id, previous_card_id=card_id(chain[-1])))
    with pytest.raises(Exception, match="40041"):
        service.publish(world.bob.user_id, full)
