"""The services in memory (tests/virgil_service.py) answer as the companion does, case by case."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from virgil_service import FakeClock, VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore, UserClient
from encrypted_parse.backup.keyknox import Place
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import are_linked, new_card, parse_card
from encrypted_parse.directory.links import LINK_SIGNER
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.envelope import DetachedEnvelope
from encrypted_parse.errors import DirectoryRefusedError

MakeUser = Callable[..., UserClient]
_SECONDS = itertools.count(int(time.time()))  # the companion wants its own day
ONE, TWO = DetachedEnvelope(b"meta", b"value"), DetachedEnvelope(b"more", b"content")
PLACE = Place("root", "path", "key")


class Party:
    """One user without a card, with the clients of the services laid open."""

    def __init__(self, e3kit: E3Kit, delete: Callable[[], object]) -> None:
        self.delete = delete
        self.user_id = e3kit.user_id
        self.cards = e3kit._directory.client
        self.keyknox = e3kit._services.keyknox

    def card(self, key: PrivateKey | None = None, **previous: Any) -> dict[str, Any]:
        """Return a new raw card of this user."""
        created_at = dt.datetime.fromtimestamp(next(_SECONDS), dt.UTC)
        return new_card(self.user_id, key or PrivateKey.generate(), created_at, **previous)

    def ended(self, user_id: str) -> list[str] | None:
        """Return the ids of a deleted user's last cards, sorted; None if the user is not."""
        found = (self.cards.search_ended([user_id]) or {}).get(user_id)
        return None if found is None else sorted(card.card_id for card in found)

    def chain(self, user_id: str | None = None) -> list[str]:
        """Return the ids of a user's served cards, sorted."""
        wanted = user_id or self.user_id
        return sorted(card.card_id for card in self.cards.search([wanted]).get(wanted, []))


@pytest.fixture(params=["in memory", "companion"])
def make_party(request: pytest.FixtureRequest) -> Callable[[], Party]:
    """Return what makes fresh users on one service: the fake, then the real one."""
    if request.param == "in memory":
        service, clock, names = VirgilService(), FakeClock(), itertools.count()

        def in_memory() -> Party:
            name = f"user{next(names)}"
            e3kit = make_e3kit(service, name, MemoryKeystore(), clock)
            return Party(e3kit, lambda: service.end(name))

        return in_memory
    make_user: MakeUser = request.getfixturevalue("make_user")

    def on_the_server() -> Party:
        user = make_user(registered=False)
        user.e3kit._directory.client.search([user.user_id])  # a token that outlives the user
        return Party(user.e3kit, lambda: user.parse.delete("_User", user.user_id))

    return on_the_server


def refused(call: Callable[[], object]) -> int | None:
    """Return the code that a call is refused with."""
    with pytest.raises(DirectoryRefusedError) as caught:
        call()
    return caught.value.code


def id_of(raw: dict[str, Any]) -> str:
    """Return a raw card's id."""
    return parse_card(raw, service_key=None).card_id


def test_cards_form_one_chain(make_party: Callable[[], Party]) -> None:
    """Published once or twice, replaced, never forked, never begun a second time."""
    alice, bob = make_party(), make_party()
    assert alice.chain() == []
    root = alice.card()
    published = alice.cards.publish(root)
    assert alice.cards.publish(root) == published
    assert refused(lambda: alice.cards.publish(alice.card())) == 40039
    second = alice.card(previous_card_id=id_of(root))
    alice.cards.publish(second)
    assert refused(lambda: alice.cards.publish(alice.card(previous_card_id=id_of(root)))) == 40038
    assert refused(lambda: bob.cards.publish(bob.card(previous_card_id="0" * 64))) == 40038
    assert bob.chain(alice.user_id) == sorted([id_of(root), id_of(second)])
    assert refused(lambda: bob.cards.publish(alice.card())) == 40034


def test_the_old_keys_signature_is_kept(make_party: Callable[[], Party]) -> None:
    """The link of a successor is served as it was published, and holds."""
    alice = make_party()
    old = PrivateKey.generate()
    root = alice.card(old)
    alice.cards.publish(root)
    successor = alice.card(previous_card_id=id_of(root), previous_key=old)
    alice.cards.publish(successor)
    served = alice.cards.search([alice.user_id])[alice.user_id]
    [card] = [card for card in served if card.card_id == id_of(successor)]
    signers = [item["signer"] for item in card.raw["signatures"]]
    assert sorted(signers) == [LINK_SIGNER, "self", "virgil"]
    [older] = [card for card in served if card.card_id == id_of(root)]
    assert are_linked(card, older)


def test_a_revoked_chain_is_gone_and_stays_so(make_party: Callable[[], Party]) -> None:
    """Only its head is revoked, only by its owner; nothing of it is published again."""
    alice, bob = make_party(), make_party()
    root = alice.card()
    alice.cards.publish(root)
    second = alice.card(previous_card_id=id_of(root))
    alice.cards.publish(second)
    assert refused(lambda: alice.cards.revoke(id_of(root))) == 40040
    assert refused(lambda: bob.cards.revoke(id_of(second))) == 40032
    alice.cards.revoke(id_of(second))
    assert alice.chain() == []
    assert refused(lambda: alice.cards.publish(root)) == 40043
    assert refused(lambda: alice.cards.publish(second)) == 40043
    alice.cards.publish(alice.card())
    assert len(alice.chain()) == 1


def test_the_last_chain_of_a_deleted_user_is_served_apart(
    make_party: Callable[[], Party],
) -> None:
    """By the route for ended chains alone; a chain of before stays out, a new card is refused."""
    alice, bob = make_party(), make_party()
    first = alice.card()
    alice.cards.publish(first)
    alice.cards.revoke(id_of(first))
    assert bob.ended(alice.user_id) is None
    root = alice.card()
    alice.cards.publish(root)
    second = alice.card(previous_card_id=id_of(root))
    alice.cards.publish(second)
    assert bob.ended(alice.user_id) is None
    alice.delete()
    assert bob.chain(alice.user_id) == []
    assert bob.ended(alice.user_id) == sorted([id_of(root), id_of(second)])
    assert bob.ended(bob.user_id) is None
    third = alice.card(previous_card_id=id_of(second))
    assert refused(lambda: alice.cards.publish(third)) == 40045


def test_the_v1_record_is_compared_and_swapped(make_party: Callable[[], Party]) -> None:
    """Empty, written, replaced only by who read it, reset; each user's alone."""
    alice, bob = make_party(), make_party()
    assert alice.keyknox.pull().envelope is None
    pushed = alice.keyknox.push(ONE, None)
    assert alice.keyknox.pull() == pushed
    assert pushed.envelope == ONE
    assert refused(lambda: alice.keyknox.push(TWO, None)) == 50010
    assert refused(lambda: alice.keyknox.push(TWO, "AAAA")) == 50010
    replaced = alice.keyknox.push(TWO, pushed.hash)
    assert replaced.hash != pushed.hash
    assert bob.keyknox.pull().envelope is None
    alice.keyknox.reset()
    alice.keyknox.reset()
    assert alice.keyknox.pull().envelope is None
    alice.keyknox.push(ONE, None)


def test_v2_records_have_recipients(make_party: Callable[[], Party]) -> None:
    """Recipients read their copies; others see nothing; one recipient's copy is reset alone."""
    alice, bob, carol = make_party(), make_party(), make_party()
    everybody = [alice.user_id, bob.user_id]
    pushed = alice.keyknox.push_record(PLACE, everybody, ONE, None)
    assert bob.keyknox.pull_record(PLACE, alice.user_id).envelope == ONE
    assert carol.keyknox.pull_record(PLACE, alice.user_id).envelope is None
    assert refused(lambda: alice.keyknox.push_record(PLACE, everybody, TWO, None)) == 50010
    alice.keyknox.push_record(PLACE, [carol.user_id], ONE, pushed.hash)
    assert carol.keyknox.pull_record(PLACE, alice.user_id).envelope == ONE
    assert bob.keyknox.list_keys("root", "path", alice.user_id) == ["key"]
    alice.keyknox.reset_records(PLACE, bob.user_id)
    assert bob.keyknox.pull_record(PLACE, alice.user_id).envelope is None
    assert carol.keyknox.pull_record(PLACE, alice.user_id).envelope == ONE
    alice.keyknox.reset_path("root", "path")
    for user in (alice, carol):
        assert user.keyknox.pull_record(PLACE, alice.user_id).envelope is None
    assert alice.keyknox.list_keys("root", "path", alice.user_id) == []
    alice.keyknox.push_record(PLACE, [alice.user_id], TWO, None)


def test_a_user_writes_only_below_the_own_name(make_party: Callable[[], Party]) -> None:
    """What bob pushes or resets never touches alice's record at the same place."""
    alice, bob = make_party(), make_party()
    alice.keyknox.push_record(PLACE, [alice.user_id, bob.user_id], ONE, None)
    bob.keyknox.push_record(PLACE, [alice.user_id, bob.user_id], TWO, None)
    bob.keyknox.reset_records(PLACE)
    assert alice.keyknox.pull_record(PLACE, alice.user_id).envelope == ONE
    assert alice.keyknox.pull_record(PLACE, bob.user_id).envelope is None
