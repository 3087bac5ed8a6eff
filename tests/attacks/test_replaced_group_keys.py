"""A thief of a group initiator's replaced key, who writes into the initiator's records.

Old tickets stay readable, and E3Kit's initiators never sign them again; but no epoch of a replaced
key counts as new once the key after it has signed one.
"""

from __future__ import annotations

import pytest
from security_model import not_promised
from virgil_service import URL, FakeClock, VirgilService, make_e3kit, token

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup.keyknox import KeyknoxClient, Place
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import Card, ServiceClient, TokenProvider, new_card
from encrypted_parse.e3kit import E3Kit, Group
from encrypted_parse.envelope import (
    GroupSession,
    GroupTicket,
    group_session_id,
    sign_then_encrypt_detached,
)
from encrypted_parse.errors import (
    DirectoryRefusedError,
    GroupError,
    MalformedGroupError,
    UnknownEpochError,
    UntrustedKeyError,
)
from encrypted_parse.transport import FakeTransport
from encrypted_parse.trust import KeyChangedWarning, MemoryTrustStore, TrustKeeper

GROUP = "the board of directors"
SESSION_ID = group_session_id(GROUP)
CHOSEN = bytes(range(32))


class World:
    """Alice's group with bob and carol, and a thief with alice's first key and her session."""

    def __init__(self) -> None:
        self.service, self.clock = VirgilService(), FakeClock()
        self.keystores = {user: MemoryKeystore() for user in ("alice", "bob", "carol")}
        self.memories = {user: MemoryTrustStore() for user in self.keystores}
        for user in self.keystores:
            self.start(user).register()
        self.alice = self.start("alice")
        self.stolen = self.alice._own_key()
        self.old_card = self.card()
        cards = self.alice.find_users(["bob", "carol"])
        self.members = list(cards.values())
        self.group = self.alice.create_group(GROUP, self.members)

    def start(self, user: str) -> E3Kit:
        """Return a new process of the user, with what the machine remembers."""
        keeper = TrustKeeper(user, self.memories[user])
        return make_e3kit(self.service, user, self.keystores[user], self.clock, trust=keeper)

    def card(self, viewer: str = "bob") -> Card:
        """Return alice's present card."""
        return self.start(viewer).find_users(["alice"], force_reload=True)["alice"]

    def load(self, user: str = "bob", *, made_anew: bool = False) -> Group:
        """Load the group in a new process."""
        e3kit = self.start(user)
        card = e3kit.find_users(["alice"])["alice"]
        return e3kit.load_group(GROUP, card, made_anew=made_anew)

    def plant(self, epoch: int, key: bytes = CHOSEN) -> None:
        """Put a ticket of the thief's choice in an epoch's place, signed by the stolen key."""
        readers = [self.start(user)._own_key().public_key for user in self.keystores]
        envelope = sign_then_encrypt_detached(
            GroupTicket(SESSION_ID, epoch, key).to_bytes(), signer=self.stolen, recipients=readers
        )
        session = ServiceClient(
            URL, FakeTransport(self.service.answer), TokenProvider(lambda: token("alice"))
        )
        keyknox, place = (
            KeyknoxClient(session),
            Place("group-sessions", SESSION_ID.hex(), str(epoch)),
        )
        keyknox.reset_records(place)
        keyknox.push_record(place, list(self.keystores), envelope, None)

    def spied(self, epoch: int, message: bytes) -> bytes:
        """Read a message as who knows the planted ticket."""
        sender = self.start("bob")._own_key().public_key
        return GroupSession([GroupTicket(SESSION_ID, epoch, CHOSEN)]).decrypt(message, sender)


@pytest.fixture
def world() -> World:
    """Return a service with a group."""
    return World()


def test_a_group_outlives_its_initiators_rotation(world: World) -> None:
    """As E3Kit leaves it, with old tickets alone: members read and write in them."""
    before = world.group.encrypt("before")
    world.alice.rotate_private_key()
    group = world.load()
    assert group.session.epochs == (0,)
    card = world.card("carol")
    assert world.load("carol").decrypt(group.encrypt("on"), world.members[0]) == "on"
    assert group.decrypt(before, world.old_card) == "before"
    world.alice.recreate_group(GROUP, world.members)
    group.update(card)
    assert group.session.epochs == (0, 1)
    assert group.decrypt(before, world.old_card) == "before"


def test_a_replaced_key_starts_no_epoch(world: World) -> None:
    """After the initiator made the group whole, the thief's next epoch is passed over."""
    world.alice.rotate_private_key()
    world.alice.recreate_group(GROUP, world.members)
    group, own = world.load(), world.load("alice")
    world.plant(2)
    for loaded in (group, own):
        loaded.update()
        assert loaded.session.newest.epoch == 1
    for fresh in (world.load(), world.load("alice"), world.load("carol")):
        assert fresh.session.newest.epoch == 1
        with pytest.raises(UnknownEpochError):
            world.spied(2, fresh.encrypt(b"the merger is on"))


def test_a_held_card_does_not_say_which_key_is_present(world: World) -> None:
    """An app that loads the group with a card from before the rotation is not misled."""
    world.alice.rotate_private_key()
    world.alice.recreate_group(GROUP, world.members)
    world.plant(2)
    bob = world.start("bob")
    group = bob.load_group(GROUP, world.old_card)
    group.update(world.old_card)
    assert group.session.newest.epoch == 1


def test_a_new_epoch_that_was_seen_is_not_forgotten(world: World) -> None:
    """The service takes the new key's tickets away: the next process refuses the old key's."""
    world.alice.rotate_private_key()
    world.alice.recreate_group(GROUP, world.members)
    world.load()
    for address in [address for address in world.service.records if len(address) == 4]:
        del world.service.records[address]
    world.plant(0)
    world.plant(5)
    with pytest.raises(MalformedGroupError, match="newer key"):
        world.load()
    assert world.load("bob", made_anew=True).session.newest.epoch == 5
    assert not_promised("before the initiator's new key has signed an epoch")


def test_the_newest_ticket_is_not_exchanged(world: World) -> None:
    """The same epoch with another key, signed by the replaced one: refused, in every process."""
    group = world.load()
    world.alice.rotate_private_key()
    world.plant(0)
    with pytest.raises(MalformedGroupError, match="another one"):
        group.update(world.card())
    with pytest.raises(MalformedGroupError, match="another one"):
        world.load()


def test_an_exchanged_ticket_is_not_signed_again(world: World) -> None:
    """Making the group whole keeps what the thief put beyond the new key's epochs out of it."""
    world.alice.rotate_private_key()
    world.alice.recreate_group(GROUP, world.members)
    world.plant(2)
    world.plant(7)
    group = world.alice.recreate_group(GROUP, world.members)
    assert group.session.epochs == (0, 1, 2)
    assert CHOSEN not in {GroupTicket.from_bytes(one).key for one in group.session.to_tickets()}
    assert world.load().session.epochs == (0, 1, 2)


def test_an_exchanged_ticket_is_noticed_before_it_is_signed(world: World) -> None:
    """Planted between rotation and recreation; giving the history up starts anew."""
    world.alice.rotate_private_key()
    world.plant(0)
    with pytest.raises(MalformedGroupError, match="another one"):
        world.alice.recreate_group(GROUP, world.members)
    group = world.alice.recreate_group(GROUP, world.members, give_up_history=True)
    assert group.session.newest.key != CHOSEN


def test_new_members_get_no_planted_ticket(world: World) -> None:
    """Adding a member shares the tickets that count, and no other."""
    world.alice.rotate_private_key()
    world.alice.recreate_group(GROUP, world.members[:1])
    world.plant(2)
    group = world.load("alice")
    group.add(world.members[1:])
    assert world.load("carol").session.epochs == (0, 1)


def test_a_replaced_key_changes_no_group(world: World) -> None:
    """A machine of the initiator that was left behind, and a group that was loaded before."""
    group, behind = world.group, MemoryKeystore()
    behind.save(world.keystores["alice"].find("alice"))  # type: ignore[arg-type]
    world.alice.rotate_private_key()
    laptop = make_e3kit(world.service, "alice", behind, world.clock)
    for change in (
        lambda: group.remove(world.members[:1], world.members[1:]),
        lambda: laptop.create_group("another group", world.members),
        lambda: laptop.recreate_group(GROUP, world.members),
    ):
        with pytest.raises(GroupError, match="another key is published"):
            change()


def test_two_rotations(world: World) -> None:
    """What a key between the first and the last signed still stands against the first."""
    world.alice.rotate_private_key()
    world.alice.recreate_group(GROUP, world.members)
    world.load()
    world.alice.rotate_private_key()
    world.plant(2)
    assert world.load().session.newest.epoch == 1
    assert world.load("carol").session.newest.epoch == 1


def test_a_group_that_was_made_anew_by_the_present_key(world: World) -> None:
    """As E3Kit's initiators do: deleted and made again, with epoch 0; the present key's word."""
    world.load()
    world.alice.rotate_private_key()
    world.group.delete()
    world.alice.create_group(GROUP, world.members)
    assert world.load().session.epochs == (0,)


def test_tickets_of_a_key_that_nobody_vouched_for(world: World) -> None:
    """The directory makes up a key for the initiator: reading warns, writing is refused."""
    world.load()
    liar = PrivateKey.generate()
    raw = world.service.countersign(new_card("alice", liar, world.old_card.created_at))
    world.service.lies["bob", "alice"] = [raw]
    world.stolen = liar
    world.plant(3)
    with pytest.warns(KeyChangedWarning):
        group = world.load()
    with pytest.raises(UntrustedKeyError):
        group.encrypt(b"the merger is on")
    del world.service.lies["bob", "alice"]
    service = world.start("alice")._services.keyknox
    service.reset_records(Place("group-sessions", SESSION_ID.hex(), "3"))
    assert world.load().session.epochs == (0,), "nothing of the lie is remembered"


def test_a_planted_record_is_in_nobodys_way(world: World) -> None:
    """The initiator cannot write over it unseen, and clears it by making the group whole."""
    world.alice.rotate_private_key()
    world.alice.recreate_group(GROUP, world.members)
    world.plant(2)
    group = world.load("alice")
    with pytest.raises(DirectoryRefusedError):
        group.remove(world.members[:1], world.members[1:])
    group = world.alice.recreate_group(GROUP, world.members[1:])
    assert group.session.epochs == (0, 1, 2)
    assert world.load("carol").session.newest.epoch == 2
