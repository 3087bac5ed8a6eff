"""A directory that holds its own signing key and lies with it: what pins and numbers catch."""

from __future__ import annotations

import datetime as dt
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from virgil_service import FakeClock, VirgilService, card_id, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import new_card
from encrypted_parse.directory.links import LINK_SIGNER
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.envelope import from_text
from encrypted_parse.errors import (
    MalformedCardError,
    NotRegisteredError,
    RecipientsNotRegisteredError,
    SafetyNumberMismatchError,
    SignerNotFoundError,
    UntrustedKeyError,
)
from encrypted_parse.trust import (
    Finding,
    KeyChangedWarning,
    MemoryTrustStore,
    PinLevel,
    SqliteTrustStore,
    TrustKeeper,
    TrustPolicy,
    TrustStore,
)


class World:
    """A directory that may lie, and its users."""

    def __init__(self, make_store: Callable[[], TrustStore]) -> None:
        self.service = VirgilService()
        self.clock = FakeClock()
        self.make_store = make_store
        self.keystores: dict[str, MemoryKeystore] = {}

    def start(self, user: str, policy: TrustPolicy = TrustPolicy.TOFU) -> E3Kit:
        """Return a new process of a user: nothing cached, the same keys, the same memory."""
        keystore = self.keystores.setdefault(user, MemoryKeystore())
        keeper = TrustKeeper(user, self.make_store(), policy)
        e3kit = make_e3kit(self.service, user, keystore, self.clock, keeper)
        e3kit.register()
        return e3kit

    def forged(
        self,
        user: str,
        key: PrivateKey,
        previous: str | None = None,
        signed_by: PrivateKey | None = None,
    ) -> dict[str, Any]:
        """Return a card that *user* never published, with the directory's own signature."""
        raw = new_card(
            user,
            key,
            dt.datetime.fromtimestamp(self.clock(), dt.UTC),
            previous_card_id=previous,
            previous_key=signed_by,
        )
        return self.service.countersign(raw)

    def chain(self, user: str) -> list[dict[str, Any]]:
        """Return what is truly published."""
        return list(self.service.chain_of(user))


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A fresh directory; memory of keys in a process, or in a file."""
    memory = MemoryTrustStore()
    stores: dict[str, Callable[[], TrustStore]] = {
        "memory": lambda: memory,
        "sqlite": lambda: SqliteTrustStore(tmp_path / "trust.sqlite"),
    }
    return World(stores[request.param])


def assert_refused(alice: E3Kit, user: str = "bob") -> None:
    """Writing to *user* is refused by every verb; reading warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KeyChangedWarning)
        cards = alice.find_users([user])
    for attempt in (
        lambda: alice.recipient_keys([user]),
        lambda: alice.auth_encrypt("secret", cards.values()),
        lambda: alice.encrypt("secret", cards.values()),
        lambda: alice.create_group("a group of alice", cards.values()),
    ):
        with pytest.raises(UntrustedKeyError) as caught:
            attempt()
        assert caught.value.user_ids == (user,)


def test_the_control(world: World) -> None:
    """An honest directory: nothing warns, nothing is refused, also in the next process."""
    bob = world.start("bob")
    for _ in range(2):
        alice = world.start("alice")
        cards = alice.find_users(["bob"])
        message = alice.auth_encrypt("hello", cards.values())
        assert bob.auth_decrypt(message, bob.find_users(["alice"])["alice"]) == "hello"
        assert alice.trust_of("bob") is PinLevel.SEEN


def test_a_replaced_key_is_noticed_in_the_next_process(world: World) -> None:
    """After first sight, another card warns on reading and is not written to, until accepted."""
    world.start("bob")
    world.start("alice").find_users(["bob"])
    world.service.lies["alice", "bob"] = [world.forged("bob", PrivateKey.generate())]
    alice = world.start("alice")
    with pytest.warns(KeyChangedWarning, match="'bob'"):
        alice.find_users(["bob"])
    assert alice.trust_of("bob") is Finding.CHANGED
    assert_refused(alice)
    alice.accept_key("bob")
    for again in (alice, world.start("alice")):
        assert again.trust_of("bob") is PinLevel.ACCEPTED
        again.auth_encrypt("hello", again.find_users(["bob"]).values())


def test_what_the_remembered_key_signed_stays_readable(world: World) -> None:
    """A replaced key does not take away what the true one wrote, and warns once."""
    bob = world.start("bob")
    alice = world.start("alice")
    old = bob.auth_encrypt("from bob", bob.find_users(["alice"]).values())
    alice.author_keys("bob")
    world.service.lies["alice", "bob"] = [world.forged("bob", PrivateKey.generate())]
    alice = world.start("alice")
    with pytest.warns(KeyChangedWarning):
        keys = alice.author_keys("bob")
    assert alice.open(from_text(old), keys) == b"from bob"
    alice.author_keys("bob")  # would be an error here, were it a warning again


@pytest.mark.parametrize("lie", ["names the old card", "signs it itself", "signs with another key"])
def test_naming_the_old_card_is_not_enough(world: World, lie: str) -> None:
    """A forged card that claims to follow bob's, without his key's signature, is another key."""
    world.start("bob")
    world.start("alice").find_users(["bob"])
    [root] = world.chain("bob")
    mallory, other = PrivateKey.generate(), PrivateKey.generate()
    signer = {"signs it itself": mallory, "signs with another key": other}.get(lie)
    forged = world.forged("bob", mallory, card_id(root), signer)
    world.service.lies["alice", "bob"] = [root, forged]
    alice = world.start("alice")
    assert alice.trust_of("bob") is Finding.CHANGED
    assert_refused(alice)


def test_two_signatures_of_one_signer_are_no_card(world: World) -> None:
    """A forged card with two links is none: one of them might count."""
    world.start("bob")
    world.start("alice").find_users(["bob"])
    [root] = world.chain("bob")
    own = world.keystores["bob"].find("bob")
    assert own is not None
    forged = world.forged("bob", PrivateKey.generate(), card_id(root), own.private_key)
    extra = [item for item in forged["signatures"] if item["signer"] == LINK_SIGNER]
    assert extra
    forged = {**forged, "signatures": [*forged["signatures"], *extra]}
    world.service.lies["alice", "bob"] = [root, forged]
    alice = world.start("alice")
    for attempt in (alice.trust_of, alice.accept_key, alice.author_keys):
        with pytest.raises(MalformedCardError, match="twice"):
            attempt("bob")
    with pytest.raises(MalformedCardError, match="'bob'"):
        alice.recipient_keys(["bob"])


def test_an_old_signature_does_not_vouch_for_a_new_card(world: World) -> None:
    """The signature of a true rotation cannot be moved onto a forged card."""
    bob = world.start("bob")
    world.start("alice").find_users(["bob"])
    [root] = world.chain("bob")
    bob.rotate_private_key()
    true = world.chain("bob")[-1]
    forged = world.forged("bob", PrivateKey.generate(), card_id(root))
    moved = [item for item in true["signatures"] if item["signer"] == LINK_SIGNER]
    assert moved
    forged = {**forged, "signatures": [*forged["signatures"], *moved]}
    world.service.lies["alice", "bob"] = [root, forged]
    alice = world.start("alice")
    assert alice.trust_of("bob") is Finding.CHANGED
    assert_refused(alice)


def test_an_honest_rotation_is_followed_without_asking(world: World) -> None:
    """One or two rotations later nothing warns; a verified key's successor is verified."""
    bob = world.start("bob")
    alice = world.start("alice")
    alice.mark_verified("bob", bob.safety_number("alice"))
    bob.rotate_private_key()
    bob.rotate_private_key()
    alice = world.start("alice")
    message = alice.auth_encrypt("hello", alice.find_users(["bob"]).values())
    assert bob.auth_decrypt(message, bob.find_users(["alice"])["alice"]) == "hello"
    assert alice.trust_of("bob") is PinLevel.VERIFIED


def test_a_rotation_without_the_old_key_is_asked_about(world: World) -> None:
    """A successor that only names the old card, as E3Kit makes it, is another key for peers."""
    world.start("bob")
    world.start("alice").find_users(["bob"])
    world.keystores["bob"] = MemoryKeystore()  # the machine is lost
    bob = make_e3kit(world.service, "bob", world.keystores["bob"], world.clock)
    bob.rotate_private_key(lost=True)
    alice = world.start("alice")
    assert alice.trust_of("bob") is Finding.CHANGED
    assert_refused(alice)
    alice.mark_verified("bob", bob.safety_number("alice"))
    assert alice.trust_of("bob") is PinLevel.VERIFIED
    alice.recipient_keys(["bob"])


def test_a_chain_is_not_rolled_back(world: World) -> None:
    """A directory that serves the card before the remembered one is caught."""
    bob = world.start("bob")
    [root] = world.chain("bob")
    bob.rotate_private_key()
    world.start("alice").find_users(["bob"])
    message = bob.auth_encrypt("by the new key", bob.find_users(["alice"]).values())
    world.service.lies["alice", "bob"] = [root]
    alice = world.start("alice")
    with pytest.warns(KeyChangedWarning, match="older"):
        keys = alice.author_keys("bob")
    assert alice.trust_of("bob") is Finding.ROLLED_BACK
    assert_refused(alice)
    assert alice.open(from_text(message), keys) == b"by the new key"


def test_a_hidden_successor_shows(world: World) -> None:
    """Who is never served the new card does not take its messages, and sees other numbers."""
    bob = world.start("bob")
    alice = world.start("alice")
    alice.find_users(["bob"])
    world.service.lies["alice", "bob"] = world.chain("bob")
    bob.rotate_private_key()
    message = bob.auth_encrypt("new", bob.find_users(["alice"]).values())
    with pytest.raises(SignerNotFoundError):
        alice.auth_decrypt(message, alice.find_users(["bob"], force_reload=True)["bob"])
    with pytest.raises(SafetyNumberMismatchError):
        alice.mark_verified("bob", bob.safety_number("alice"))
    assert alice.trust_of("bob") is PinLevel.SEEN


def test_a_split_view_shows_in_the_numbers(world: World) -> None:
    """Different cards of one user for different people: the numbers differ, nothing is kept."""
    bob, carol = world.start("bob"), world.start("carol")
    world.start("alice")
    mallory = PrivateKey.generate()
    world.service.lies["alice", "bob"] = [world.forged("bob", mallory)]
    alice = world.start("alice")
    alice.find_users(["bob"])  # the first sight: nothing to compare with
    carol.find_users(["bob"])
    assert carol.safety_number("bob") == bob.safety_number("carol")
    assert alice.safety_number("bob") != bob.safety_number("alice")
    with pytest.raises(SafetyNumberMismatchError):
        alice.mark_verified("bob", bob.safety_number("alice"))
    with pytest.raises(SafetyNumberMismatchError):
        bob.mark_verified("alice", alice.safety_number("bob").qr_text)
    assert alice.trust_of("bob") is PinLevel.SEEN
    # Lying to both sides with one key in the middle does not help either.
    world.service.lies["bob", "alice"] = [world.forged("alice", mallory)]
    bob = world.start("bob")
    assert alice.safety_number("bob") != bob.safety_number("alice")


def test_a_user_who_vanishes_stays_readable_and_remembered(world: World) -> None:
    """Hiding a user takes nothing away, and does not make a new card a first sight."""
    bob = world.start("bob")
    alice = world.start("alice")
    message = bob.auth_encrypt("hello", bob.find_users(["alice"]).values())
    alice.find_users(["bob"])
    world.service.lies["alice", "bob"] = []
    alice = world.start("alice")
    with pytest.raises(NotRegisteredError):
        alice.find_users(["bob"])
    with pytest.raises(RecipientsNotRegisteredError):
        alice.recipient_keys(["bob"])
    assert alice.open(from_text(message), alice.author_keys("bob")) == b"hello"
    world.service.lies["alice", "bob"] = [world.forged("bob", PrivateKey.generate())]
    alice = world.start("alice")
    assert alice.trust_of("bob") is Finding.CHANGED
    assert_refused(alice)


def test_registering_anew_is_noticed(world: World) -> None:
    """After unregister and register, peers are asked."""
    bob = world.start("bob")
    world.start("alice").find_users(["bob"])
    bob.unregister()
    bob.register()
    alice = world.start("alice")
    assert alice.trust_of("bob") is Finding.CHANGED
    assert_refused(alice)


def test_strict_uses_nothing_that_nobody_vouched_for(world: World) -> None:
    """Under strict, a first sight is neither written to nor read from."""
    bob = world.start("bob")
    world.start("alice")
    message = bob.auth_encrypt("hello", bob.find_users(["alice"]).values())
    alice = world.start("alice", TrustPolicy.STRICT)
    for attempt in (
        lambda: alice.find_users(["bob"]),
        lambda: alice.recipient_keys(["bob"]),
        lambda: alice.author_keys("bob"),
    ):
        with pytest.raises(UntrustedKeyError):
            attempt()
    alice.mark_verified("bob", bob.safety_number("alice"))
    for _ in range(2):
        alice = world.start("alice", TrustPolicy.STRICT)
        assert alice.auth_decrypt(message, alice.find_users(["bob"])["bob"]) == "hello"
        alice.recipient_keys(["bob"])
    bob.rotate_private_key()
    alice = world.start("alice", TrustPolicy.STRICT)
    alice.recipient_keys(["bob"])
    world.service.lies["alice", "bob"] = [world.forged("bob", PrivateKey.generate())]
    alice = world.start("alice", TrustPolicy.STRICT)
    with pytest.raises(UntrustedKeyError):
        alice.find_users(["bob"])


def test_log_uses_everything_and_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Under log, a changed key is used; the log names the user."""
    world.start("bob")
    world.start("alice", TrustPolicy.LOG).find_users(["bob"])
    world.service.lies["alice", "bob"] = [world.forged("bob", PrivateKey.generate())]
    alice = world.start("alice", TrustPolicy.LOG)
    with caplog.at_level(logging.WARNING, "encrypted_parse.trust"):
        alice.auth_encrypt("hello", alice.find_users(["bob"]).values())
    assert "'bob'" in caplog.text


def test_our_own_published_card_is_checked_against_our_keys(world: World) -> None:
    """A directory that replaces our card does not get what we encrypt for ourselves."""
    alice = world.start("alice")
    alice.auth_encrypt("mine", alice.find_users(["alice"]).values())
    world.service.lies["alice", "alice"] = [world.forged("alice", PrivateKey.generate())]
    own = alice.find_users(["alice"], force_reload=True)
    for verb in (alice.auth_encrypt, alice.encrypt):
        with pytest.raises(UntrustedKeyError):
            verb("mine", own.values())


def test_a_card_from_elsewhere_is_judged_too(world: World) -> None:
    """A card that the program brings along is not trusted more than one from the directory."""
    world.start("bob")
    alice = world.start("alice")
    alice.find_users(["bob"])
    world.service.lies["alice", "bob"] = [world.forged("bob", PrivateKey.generate())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KeyChangedWarning)
        card = world.start("alice").find_users(["bob"])["bob"]
    fresh = world.start("alice")
    with pytest.raises(UntrustedKeyError):
        fresh.auth_encrypt("hello", [card])


def test_a_changed_key_gets_no_group_key(world: World) -> None:
    """Adding, re-adding, keeping and recreating with a changed key is refused; leaving is not."""
    world.start("bob")
    world.start("carol")
    alice = world.start("alice")
    cards = alice.find_users(["bob", "carol"])
    group = alice.create_group("a group of three", cards.values())
    world.service.lies["alice", "bob"] = [world.forged("bob", PrivateKey.generate())]
    alice = world.start("alice")
    with pytest.warns(KeyChangedWarning):
        forged = alice.find_users(["bob"])["bob"]
    mine = alice.load_group("a group of three", alice.find_users(["alice"])["alice"])
    for attempt in (
        lambda: mine.re_add(forged),
        lambda: mine.remove([cards["carol"]], [forged]),
        lambda: alice.recreate_group("a group of three", [forged]),
        lambda: alice.create_group("another of the group", [forged]),
    ):
        with pytest.raises(UntrustedKeyError):
            attempt()
    mine.remove([forged], [cards["carol"]])
    with pytest.raises(UntrustedKeyError):
        mine.add([forged])
    assert group.participants == {"alice", "bob", "carol"}
    assert mine.participants == {"alice", "carol"}
