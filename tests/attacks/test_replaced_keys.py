"""A thief of a key that was replaced, with the user's session or the operator's help.

The thief has one old private key, writes and rolls back the user's records, and lets the directory
serve what it likes. Nothing of that may bring a later key, or what is written for it.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from security_model import not_promised
from virgil_service import URL, FakeClock, VirgilService, make_e3kit, token

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup import ArchiveContent, ArchivedKeys, KeyArchive, RecoveryCode
from encrypted_parse.backup.keyknox import KeyknoxClient
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.receiving import ReceivingKey
from encrypted_parse.directory import ServiceClient, TokenProvider
from encrypted_parse.e3kit import E3Kit, Health
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    BackupOutdatedError,
    CardChainError,
    InvalidValueError,
    NotARecipientError,
    UntrustedArchiveError,
)
from encrypted_parse.keystore import Keystore
from encrypted_parse.transport import FakeTransport
from encrypted_parse.trust import MemoryTrustStore, TrustKeeper


class World:
    """Alice with a recovery code and a memory that lasts, and a thief with her records."""

    def __init__(self) -> None:
        self.service, self.clock = VirgilService(), FakeClock()
        self.keystore, self.memory = MemoryKeystore(), MemoryTrustStore()
        self.alice = self.device(self.keystore, self.memory)
        self.alice.register()
        self.code = self.alice.create_recovery_code()
        transport = FakeTransport(self.service.answer)
        session = ServiceClient(URL, transport, TokenProvider(lambda: token("alice")))
        self.archive = KeyArchive("alice", KeyknoxClient(session))
        self.thiefs = RecoveryCode.generate()

    def device(
        self, keystore: Keystore | None = None, memory: MemoryTrustStore | None = None
    ) -> E3Kit:
        """Return a machine of alice; by default a new one without keys."""
        keeper = TrustKeeper("alice", memory or MemoryTrustStore())
        return make_e3kit(
            self.service, "alice", keystore or MemoryKeystore(), self.clock, trust=keeper
        )

    def plant(self, stolen: PrivateKey, *more: PrivateKey, counter: int = 99) -> None:
        """Write the archive anew as the thief: signed by *stolen*, for the thief's own code."""
        content = ArchiveContent(counter, (stolen, *more), self.thiefs.key.public_key)
        self.archive.delete()
        self.archive.store(content, None)

    def opened(self, *keys: ReceivingKey) -> set[PrivateKey]:
        """Return the keys that the thief finds in the archive as it is now."""
        try:
            found = self.archive.load(keys)
        except NotARecipientError:
            return set()
        assert isinstance(found, ArchivedKeys)
        assert found.content is not None
        return set(found.content.keys)


@pytest.fixture
def world() -> World:
    """Return a service with alice, and a thief."""
    return World()


def own_key(e3kit: E3Kit) -> PrivateKey:
    """Return the current key."""
    return e3kit._own_key()


# --- archives -------------------------------------------------------------------------------


def test_a_replaced_key_does_not_open_what_its_rotation_wrote(world: World) -> None:
    """The archive that brings the new key back is never one that the old key opens."""
    stolen = own_key(world.alice)
    world.alice.rotate_private_key()
    assert world.opened(ReceivingKey.of(stolen)) == set()
    world.alice.create_recovery_code()
    assert world.opened(ReceivingKey.of(stolen)) == set()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_archive_by_a_stolen_key_steers_nothing(world: World, when: str) -> None:
    """Planted after the rotation, or before it by a quick thief: no later key goes there."""
    stolen = own_key(world.alice)
    if when == "before":
        world.plant(stolen)
    world.alice.rotate_private_key()
    if when == "after":
        world.plant(stolen)
    for _ in range(2):
        world.alice.rotate_private_key()
        assert world.opened(world.thiefs.key, ReceivingKey.of(stolen)) <= {stolen}
    [finding] = [found for found in world.alice.diagnose() if found.topic == "recovery code"]
    assert finding.health is Health.PROBLEM
    assert finding.hint


def test_the_user_who_asks_for_a_code_is_told_of_the_planted_archive(world: World) -> None:
    """A clear error with the step; after it everything is as it should be."""
    stolen = own_key(world.alice)
    world.alice.rotate_private_key()
    world.plant(stolen)
    with pytest.raises(UntrustedArchiveError) as caught:
        world.alice.create_recovery_code()
    assert "delete_recovery_code()" in str(caught.value.hint)
    world.alice.delete_recovery_code()
    code = world.alice.create_recovery_code()
    world.device().restore_with_recovery_code(code)
    assert world.opened(world.thiefs.key, ReceivingKey.of(stolen)) == set()


def test_a_code_that_somebody_else_put_there_is_noticed(world: World) -> None:
    """While the key is stolen and current, the archive is genuine; the code in it is not ours."""
    stolen = own_key(world.alice)
    world.plant(stolen)
    [finding] = [found for found in world.alice.diagnose() if found.topic == "recovery code"]
    assert finding.health is Health.PROBLEM
    assert "does not know" in finding.message
    code = world.alice.create_recovery_code()
    world.alice.rotate_private_key()
    assert world.opened(world.thiefs.key, ReceivingKey.of(stolen)) == set()
    laptop = world.device()
    laptop.restore_with_recovery_code(code)
    assert laptop._stored() == world.alice._stored()


def test_a_code_of_another_machine_is_confirmed_by_typing_it(world: World) -> None:
    """Two machines, one user: the code that was made on the other counts once it is shown here."""
    laptop = world.device()
    laptop.restore_with_recovery_code(world.code)
    newer = laptop.create_recovery_code()
    world.alice.restore_with_recovery_code(newer)
    world.alice.rotate_private_key()
    tablet = world.device()
    tablet.restore_with_recovery_code(newer)
    assert own_key(tablet) == own_key(world.alice)


def test_a_first_sight_believes_any_code(world: World) -> None:
    """A machine that never saw an archive cannot know whose code is in it."""
    stolen = own_key(world.alice)
    world.plant(stolen)
    fresh = world.device(world.keystore)
    fresh.rotate_private_key()
    assert own_key(fresh) in world.opened(world.thiefs.key)
    assert not_promised("first archive that a machine sees")


@pytest.mark.parametrize("kept", [True, False])
def test_a_replaced_code_opens_nothing_new(world: World, kept: bool) -> None:
    """The service rolls the archive back once: nothing newer is written for the old code."""
    lost = world.code
    before = copy.deepcopy(world.service.records)
    world.alice.create_recovery_code()
    world.service.records = before
    alice = world.device(world.keystore, world.memory if kept else None)
    alice.rotate_private_key()
    keys = world.opened(lost.key)
    assert (own_key(alice) in keys) is not kept
    if kept:
        with pytest.raises(BackupOutdatedError):
            world.device().restore_with_recovery_code(lost)
    assert not_promised("older copy of the key archive")


def test_no_two_archives_of_one_machine_have_one_counter(world: World) -> None:
    """An archive that the service kept but called refused is not the next one's equal."""
    lost = world.code
    kept: list[dict[Any, Any]] = []

    def refuse(request: Any) -> None:
        if request.url.endswith("keyknox/v2/push"):
            kept.append(copy.deepcopy(world.service.records))
            raise ConnectionError

    world.service.after = refuse
    with pytest.raises(ConnectionError):
        world.alice.rotate_private_key()
    world.service.after = lambda _: None
    world.alice.create_recovery_code()
    world.service.records = kept[0]
    world.alice.rotate_private_key()
    world.alice.rotate_private_key()
    assert own_key(world.alice) not in world.opened(lost.key)


def test_a_thief_who_knows_the_code_s_public_half(world: World) -> None:
    """It stood in an archive that the key opened: still no key of the thief's is taken over."""
    stolen, mallory = own_key(world.alice), PrivateKey.generate()
    content = ArchiveContent(50, (mallory, stolen), world.code.key.public_key)
    world.archive.delete()
    world.archive.store(content, None)
    laptop = world.device()
    with pytest.raises(CardChainError):
        laptop.restore_with_recovery_code(world.code)
    laptop.restore_with_recovery_code(world.code, accept_older=True)
    laptop.rotate_private_key()
    assert own_key(laptop) not in (mallory, stolen)
    assert world.opened(ReceivingKey.of(mallory), ReceivingKey.of(stolen)) == {mallory, stolen}


# --- a directory that is set back ----------------------------------------------------------


def test_a_replaced_key_does_not_come_back_into_use(world: World) -> None:
    """The directory serves the old card: no verb takes its key for the current one."""
    stolen = own_key(world.alice)
    old_cards = copy.deepcopy(world.service.cards)
    world.alice.rotate_private_key()
    present, password = own_key(world.alice), "7KQ2Z-M0D4X-PA1BC-9RT3W"
    world.alice.backup_private_key(password)
    new_cards, world.service.cards = world.service.cards, old_cards
    for attempt in (
        world.alice.rotate_private_key,
        world.alice.create_recovery_code,
    ):
        with pytest.raises(AlreadyRegisteredError):
            attempt()
    with pytest.raises(CardChainError):
        world.alice.restore_private_key(password)
    for restore in (
        lambda device: device.restore_private_key(password),
        lambda device: device.restore_with_recovery_code(world.code),
    ):
        with pytest.raises(CardChainError):
            restore(world.device())
    assert own_key(world.alice) == present
    assert world.opened(ReceivingKey.of(stolen)) == set()
    world.service.cards = new_cards
    world.alice.rotate_private_key()


def test_a_published_key_is_not_rotated_to_again(world: World) -> None:
    """A replaced key stays replaced."""
    first = own_key(world.alice)
    world.alice.rotate_private_key()
    with pytest.raises(InvalidValueError):
        world.alice.rotate_private_key(first)


# --- two machines ---------------------------------------------------------------------------


def lagging(world: World) -> tuple[E3Kit, E3Kit]:
    """Return two machines with the first key, after the first one rotated."""
    keystore = MemoryKeystore()
    keystore.save(world.alice._stored())
    behind = world.device(keystore)
    world.alice.rotate_private_key()
    return world.alice, behind


def test_a_machine_that_was_left_behind_rotates_nothing_away(world: World) -> None:
    """It is refused with the ways to the present key; what the archive holds stays in it."""
    ahead, behind = lagging(world)
    present = own_key(ahead)
    with pytest.raises(AlreadyRegisteredError) as caught:
        behind.rotate_private_key()
    assert "restore_with_recovery_code()" in str(caught.value.hint)
    behind.restore_with_recovery_code(world.code)
    behind.rotate_private_key()
    tablet = world.device()
    tablet.restore_with_recovery_code(world.code)
    assert present in tablet._stored().identities
    assert len(tablet._stored().identities) == 3


def test_a_machine_that_was_left_behind_makes_no_code(world: World) -> None:
    """A code that would not bring the present key back is none; the one on paper still works."""
    ahead, behind = lagging(world)
    with pytest.raises(AlreadyRegisteredError):
        behind.create_recovery_code()
    tablet = world.device()
    tablet.restore_with_recovery_code(world.code)
    assert own_key(tablet) == own_key(ahead)


def test_giving_the_key_up_leaves_the_archive_as_it_is(world: World) -> None:
    """A rotation that says "lost" writes for a new key alone; the code brings the others back."""
    ahead, behind = lagging(world)
    present = own_key(ahead)
    behind.rotate_private_key(lost=True)
    behind.restore_with_recovery_code(world.code)
    assert present in behind._stored().old_keys
    tablet = world.device()
    tablet.restore_with_recovery_code(world.code)  # brought up to date by the restore before
    assert tablet._stored().identities[0] == own_key(behind)
    assert set(tablet._stored().identities) == set(behind._stored().identities)


@pytest.mark.parametrize("times", [1, 3])
def test_writers_that_race_merge(world: World, times: int) -> None:
    """The other machine writes between look and write: look again, and drop nothing."""
    keystore = MemoryKeystore()
    extra = PrivateKey.generate()
    keystore.save(world.alice._stored().with_old_keys([extra]))
    other, left = world.device(keystore), [times]
    codes = []

    def interfere(request: Any) -> None:
        if request.url.endswith("keyknox/v2/push") and left[0]:
            left[0] -= 1
            remaining, left[0] = left[0], 0
            codes.append(other.create_recovery_code())
            left[0] = remaining

    world.service.before = interfere
    code = world.alice.create_recovery_code()
    assert len(codes) == times
    tablet = world.device()
    tablet.restore_with_recovery_code(code)
    assert extra in tablet._stored().identities
