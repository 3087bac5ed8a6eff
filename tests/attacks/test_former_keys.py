"""Keys that a lying directory showed before people compared numbers, and races to be first."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import io
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from virgil_service import FakeClock, VirgilService, card_id, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import CardChain, new_card, parse_card
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.envelope import to_text
from encrypted_parse.errors import (
    FormerKeyError,
    InvalidValueError,
    SignerNotFoundError,
    TrustStoreError,
    UntrustedKeyError,
)
from encrypted_parse.models.sealer import ObjectContext
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.trust import (
    Finding,
    KeyChangedWarning,
    MemoryTrustStore,
    Pin,
    PinLevel,
    SqliteTrustStore,
    TrustKeeper,
    TrustPolicy,
    TrustStore,
)


class World:
    """A directory that lied to alice about bob, and does not any more."""

    def __init__(self, store: TrustStore, policy: TrustPolicy) -> None:
        self.service, self.clock = VirgilService(), FakeClock()
        self.store, self.policy = store, policy
        self.keystores: dict[str, MemoryKeystore] = {}
        self.bob, self.alice = self.start("bob"), self.start("alice")
        self.evil = PrivateKey.generate()
        self.lie = self.forged(self.evil)
        self.service.lies["alice", "bob"] = [self.lie]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KeyChangedWarning)
            self.alice.trust_of("bob")  # the first sight
        del self.service.lies["alice", "bob"]
        self.me = self.alice._own_key().public_key

    def start(self, user: str) -> E3Kit:
        """Return a new process of a user."""
        keystore = self.keystores.setdefault(user, MemoryKeystore())
        keeper = TrustKeeper(user, self.store, self.policy)
        e3kit = make_e3kit(self.service, user, keystore, self.clock, keeper)
        e3kit.register()
        return e3kit

    def forged(self, key: PrivateKey, previous: str | None = None) -> dict[str, Any]:
        """Return a card of bob's that the directory made."""
        now = dt.datetime.fromtimestamp(self.clock(), dt.UTC)
        return self.service.countersign(new_card("bob", key, now, previous_card_id=previous))

    def verify(self, how: str = "mark_verified") -> E3Kit:
        """Let alice verify or accept bob's key of now, and return her next process."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KeyChangedWarning)
            alice = self.start("alice")
            if how == "mark_verified":
                alice.mark_verified("bob", self.bob.safety_number("alice"))
            else:
                alice.accept_key("bob")
        return self.start("alice")


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TrustStore:
    """Each store in turn."""
    return MemoryTrustStore() if request.param == "memory" else SqliteTrustStore(tmp_path / "pins")


@pytest.fixture(params=[TrustPolicy.TOFU, TrustPolicy.STRICT, TrustPolicy.LOG])
def world(request: pytest.FixtureRequest, store: TrustStore) -> World:
    """A world under each policy."""
    return World(store, request.param)


def forge(world: World, text: bytes = b"send the money") -> bytes:
    """Return a message by the liar's key."""
    return vc.sign_and_encrypt(text, world.evil, [world.me], enable_padding=True)


@pytest.mark.parametrize("how", ["mark_verified", "accept_key"])
def test_a_key_that_was_only_seen_stops_counting(world: World, how: str) -> None:
    """What it signed is locked by a precise error, however it is opened; under each policy."""
    alice = world.verify(how)
    keys = alice.author_keys("bob")
    assert list(keys) == [world.bob._own_key().public_key]
    lie = parse_card(world.lie, service_key=None)
    sealed, sink = forge(world), io.BytesIO()
    vc.sign_and_encrypt_file(io.BytesIO(b"a file"), sink, signer=world.evil, recipients=[world.me])
    old = vc.sign_then_encrypt(b"old form", world.evil, [world.me])
    target = io.BytesIO()
    for attempt in (
        lambda: alice.open(sealed, keys),
        lambda: alice.share(sealed, keys, [world.me]),
        lambda: alice.auth_decrypt(sealed, lie),
        lambda: alice.decrypt(old, lie),
        lambda: alice.open_file(io.BytesIO(sink.getvalue()), target, keys),
        lambda: alice.auth_decrypt_file(io.BytesIO(sink.getvalue()), target, lie),
    ):
        with pytest.raises(FormerKeyError) as caught:
            attempt()
        assert caught.value.user_id == "bob"
        assert caught.value.fingerprint == world.evil.public_key.long_key_id.hex()
    assert target.getvalue() == b""
    true = vc.sign_and_encrypt(b"from bob", world.bob._own_key(), [world.me], enable_padding=True)
    errors = alice.open_all([true, sealed], keys)
    assert errors[0] == b"from bob"
    assert isinstance(errors[1], FormerKeyError)


def test_a_person_may_accept_a_former_key(world: World) -> None:
    """Then what it signed opens, in the next process too; nothing is written for it."""
    alice = world.verify()
    [former] = alice.former_keys("bob")
    assert former.public_key == world.evil.public_key
    assert former.safety_number.digits != str(alice.safety_number("bob").digits)
    for wrong in ("", "00" * 32, former.fingerprint[:-1]):
        with pytest.raises(InvalidValueError):
            alice.accept_former_key("bob", wrong)
    spaced = " ".join(former.fingerprint[at : at + 8] for at in range(0, 64, 8)).upper()
    alice.accept_former_key("bob", spaced)
    for again in (alice, world.start("alice")):
        assert again.open(forge(world), again.author_keys("bob")) == b"send the money"
        assert again.former_keys("bob") == ()
        assert again.trust_of("bob") is PinLevel.VERIFIED
        assert again.recipient_keys(["bob"])[0] == world.bob._own_key().public_key
    with pytest.raises(InvalidValueError):
        alice.accept_former_key("bob")


def test_the_only_former_key_needs_no_name(world: World) -> None:
    """One is accepted as it is; of several one has to be named, and is accepted alone."""
    second = PrivateKey.generate()
    world.service.lies["alice", "bob"] = [world.forged(second)]
    world.verify("accept_key")  # alice is told yet another lie, and takes it
    del world.service.lies["alice", "bob"]
    alice = world.verify()
    # What a person accepted stays; what was only seen does not count.
    assert [key.public_key for key in alice.former_keys("bob")] == [world.evil.public_key]
    alice.accept_former_key("bob")
    assert alice.former_keys("bob") == ()


@pytest.mark.parametrize("policy", [TrustPolicy.TOFU, TrustPolicy.STRICT])
def test_what_a_person_decides_in_another_program_holds_here(
    store: TrustStore, policy: TrustPolicy
) -> None:
    """A program that judged the liar's card, and has it in its cache, learns of the verification.

    It neither reads what the liar's key signed, nor writes to it, nor goes on refusing what a
    person accepted.
    """
    world = World(store, policy)
    world.service.lies["alice", "bob"] = [world.lie]
    running = world.start("alice")
    running.prefetch(["bob"])
    lied = parse_card(world.lie, service_key=None)
    forged = vc.sign_and_encrypt(
        b"send the money",
        world.evil,
        [world.keystores["alice"].find("alice").private_key.public_key],
    )
    del world.service.lies["alice", "bob"]
    person = world.start("alice")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KeyChangedWarning)
        person.mark_verified("bob", str(world.bob.safety_number("alice")))
        with pytest.raises(FormerKeyError):
            running.open(forged, running.author_keys("bob"))
        with pytest.raises(FormerKeyError):
            running.auth_decrypt(forged, lied)
        with pytest.raises(UntrustedKeyError):
            running.auth_encrypt(b"secret", [lied])
        assert world.evil.public_key not in running.recipient_keys(["bob"]), "asked for anew"
        world.service.lies["alice", "bob"] = [world.lie]
        with pytest.raises(UntrustedKeyError):
            world.start("alice").recipient_keys(["bob"])
        person.accept_former_key("bob")
        assert running.open(forged, running.author_keys("bob")) == b"send the money"


def test_a_cache_that_is_behind_blames_nobody(store: TrustStore) -> None:
    """Another program saw the rotation: this one asks again, and neither warns nor refuses."""
    world = World(store, TrustPolicy.TOFU)
    running, other = world.verify(), world.start("alice")
    running.prefetch(["bob"])
    world.bob.rotate_private_key()
    other.find_users(["bob"], force_reload=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert running.author_keys("bob")[0] == world.bob._own_key().public_key
        assert world.bob._own_key().public_key in running.recipient_keys(["bob"])


def test_honest_rotations_lose_nothing(store: TrustStore) -> None:
    """Keys that are linked with the verified one, before and after it, count with it."""
    world = World(store, TrustPolicy.TOFU)
    bob = world.bob
    first = bob.auth_encrypt(b"first", bob.find_users(["alice"]).values())
    bob.rotate_private_key()
    second = bob.auth_encrypt(b"second", bob.find_users(["alice"]).values())
    alice = world.verify()
    bob.rotate_private_key()
    third = bob.auth_encrypt(b"third", bob.find_users(["alice"]).values())
    alice = world.start("alice")
    keys = alice.author_keys("bob")
    assert alice.open_all([first, second, third], keys) == [b"first", b"second", b"third"]
    assert alice.trust_of("bob") is PinLevel.VERIFIED
    with pytest.raises(FormerKeyError):
        alice.open(forge(world), keys)


def test_naming_a_card_does_not_vouch_for_it(store: TrustStore) -> None:
    """Bob, whose key is lost, is told that the liar's card is his own, and replaces it.

    His new card names the liar's then, and alice verifies his new key. The liar's key signs all
    it can: the digest in bob's true snapshot and its own half of a link give it nothing.
    """
    world = World(store, TrustPolicy.TOFU)
    world.keystores["bob"] = MemoryKeystore()
    key = PrivateKey.generate()
    raw = new_card(
        "bob",
        key,
        dt.datetime.fromtimestamp(world.clock(), dt.UTC),
        previous_card_id=card_id(world.lie),
        previous_key=world.evil,
    )
    statement_half = next(item for item in raw["signatures"] if item["signer"] != "self")
    half = statement_half["signature"]
    evil_half = base64.b64decode(half)[:64]
    statement_half["signature"] = base64.b64encode(evil_half * 2).decode()
    card = world.service.countersign(raw)
    world.service.lies["alice", "bob"] = [card, world.lie]
    alice = world.start("alice")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KeyChangedWarning)
        alice.accept_key("bob")
    alice = world.start("alice")
    assert list(alice.author_keys("bob")) == [key.public_key]
    with pytest.raises(FormerKeyError):
        alice.open(forge(world), alice.author_keys("bob"))
    # Nor by its date.
    head = alice.find_users(["bob"])["bob"]
    with pytest.raises(FormerKeyError):
        alice.auth_decrypt(
            forge(world), head, encrypted_at=parse_card(world.lie, service_key=None).created_at
        )


def test_served_again_the_liars_key_still_does_not_count(store: TrustStore) -> None:
    """In its old card, which is a roll-back, and in a fresh one, which is another key."""
    world = World(store, TrustPolicy.TOFU)
    world.verify()
    for lie in ([world.lie], [world.forged(world.evil)]):
        world.service.lies["alice", "bob"] = lie
        alice = world.start("alice")
        with pytest.warns(KeyChangedWarning):
            keys = alice.author_keys("bob")
        with pytest.raises(FormerKeyError):
            alice.open(forge(world), keys)
        with pytest.raises(UntrustedKeyError):
            alice.recipient_keys(["bob"])


def test_our_own_card_is_not_the_directorys_word() -> None:
    """A card of ours with a key that is not on this machine opens nothing as our own."""
    world = World(MemoryTrustStore(), TrustPolicy.TOFU)
    mallory = PrivateKey.generate()
    raw = new_card("alice", mallory, dt.datetime.fromtimestamp(world.clock(), dt.UTC))
    world.service.lies["alice", "alice"] = [world.service.countersign(raw)]
    own = world.alice.find_users(["alice"], force_reload=True)["alice"]
    forged = vc.sign_and_encrypt(b"note to self", mallory, [world.me], enable_padding=True)
    with pytest.raises(UntrustedKeyError):
        world.alice.auth_decrypt(forged, own)
    with pytest.raises(SignerNotFoundError):
        world.alice.auth_decrypt(forged)


def test_a_user_who_is_hidden_keeps_the_levels(world: World) -> None:
    """Hiding bob does not make the liar's key count again."""
    alice = world.verify()
    world.service.lies["alice", "bob"] = []
    alice = world.start("alice")
    keys = alice.author_keys("bob")
    assert list(keys) == [world.bob._own_key().public_key]
    with pytest.raises(FormerKeyError):
        alice.open(forge(world), keys)


def test_log_takes_back_nothing(store: TrustStore) -> None:
    """A service under LOG beside a person's program does not replace what the person verified."""
    world = World(store, TrustPolicy.TOFU)
    world.verify()
    world.service.lies["alice", "bob"] = [world.forged(PrivateKey.generate())]
    world.policy = TrustPolicy.LOG
    service = world.start("alice")
    service.auth_encrypt("used, and logged", service.find_users(["bob"]).values())
    world.policy = TrustPolicy.TOFU
    assert world.start("alice").trust_of("bob") is Finding.CHANGED


def test_models_and_files_of_a_former_key_are_locked() -> None:
    """The attribute raises; an EncryptedFile of the liar's does too, and nothing is written."""
    app = InMemoryApp()
    bob = app.make_user("bob")
    alice = app.make_user("alice")
    evil = PrivateKey.generate()
    now = dt.datetime.now(dt.UTC)
    lie = app.service.countersign(new_card(bob.user_id, evil, now))
    app.service.lies[alice.user_id, bob.user_id] = [lie]
    alice.e3kit.find_users([bob.user_id])
    del app.service.lies[alice.user_id, bob.user_id]
    file = bob.upload(b"content", name="a.txt")
    forged = bob.upload(b"forged", name="b.txt")
    assert file.author_id == bob.user_id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KeyChangedWarning)
        number = bob.e3kit.safety_number(alice.user_id)
        alice.e3kit.mark_verified(bob.user_id, number)
    sealer = alice.sealer
    me = alice.e3kit._own_key().public_key
    context = ObjectContext("Letter", "x")
    text = to_text(vc.sign_and_encrypt(b"forged", evil, [me], enable_padding=True))
    [error] = sealer.unseal([(context, text)], bob.user_id)
    assert isinstance(error, FormerKeyError)
    # The stored part is exchanged for one by the liar's key, under the file's own key.
    sealed = io.BytesIO()
    vc.sign_and_encrypt_file(
        io.BytesIO(b"forged"), sealed, signer=evil, recipients=[forged._key.public_key]
    )
    [part] = forged.parts
    app.parse.files[part.name] = sealed.getvalue()
    digest = hashlib.sha256(sealed.getvalue()).digest()
    forged = evolve(forged, parts=(evolve(part, size=len(sealed.getvalue())),), digest=digest)
    target = io.BytesIO()
    with pytest.raises(FormerKeyError):
        alice.download(forged, target)
    assert target.getvalue() == b""


# --- races ----------------------------------------------------------------------------------


class RacedStore(MemoryTrustStore):
    """A store in which somebody else is faster, once."""

    def __init__(self, meanwhile: Callable[[MemoryTrustStore], object]) -> None:
        super().__init__()
        self.meanwhile: Callable[[MemoryTrustStore], object] | None = meanwhile

    def save(
        self, owner: str, pins: Iterable[Pin], *, replacing: Mapping[str, Pin]
    ) -> frozenset[str]:
        """Let the other one save first."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile(self)
        return super().save(owner, pins, replacing=replacing)


def chain(key: PrivateKey) -> CardChain:
    """Return a chain of one card of bob's."""
    raw = new_card("bob", key, dt.datetime(2026, 11, 24, tzinfo=dt.UTC))
    return CardChain((parse_card(raw, service_key=None),))


def test_who_loses_the_race_judges_again() -> None:
    """Two programs see bob for the first time, with different cards: the later one is refused."""
    true, lie = chain(PrivateKey.generate()), chain(PrivateKey.generate())
    store = RacedStore(lambda store: TrustKeeper("alice", store).examine({"bob": true}))
    keeper = TrustKeeper("alice", store)
    judged = keeper.examine({"bob": lie})["bob"]
    assert judged.finding is Finding.CHANGED
    assert not judged.writable
    assert store.find("alice", ["bob"])["bob"].card_id == true.head.card_id
    # The same card is no race.
    store = RacedStore(lambda store: TrustKeeper("alice", store).examine({"bob": true}))
    assert TrustKeeper("alice", store).examine({"bob": true})["bob"].writable


def test_a_first_sight_does_not_undo_what_a_person_did_meanwhile() -> None:
    """A person verifies while another program follows a successor or sees bob first."""
    true, lie = chain(PrivateKey.generate()), chain(PrivateKey.generate())
    store = RacedStore(lambda store: TrustKeeper("alice", store).accept(true, PinLevel.VERIFIED))
    judged = TrustKeeper("alice", store).examine({"bob": lie})["bob"]
    assert judged.finding is Finding.CHANGED
    assert judged.reading_keys.former == ()
    assert store.find("alice", ["bob"])["bob"].level is PinLevel.VERIFIED


def test_what_a_person_accepts_is_kept_after_a_race() -> None:
    """Acceptance meets a first sight of another card: both are remembered, the person's counts."""
    true, lie = chain(PrivateKey.generate()), chain(PrivateKey.generate())
    store = RacedStore(lambda store: TrustKeeper("alice", store).examine({"bob": lie}))
    TrustKeeper("alice", store).accept(true, PinLevel.VERIFIED)
    pin = store.find("alice", ["bob"])["bob"]
    assert pin.counting_keys == (true.head.public_key,)
    assert pin.former_keys == (lie.head.public_key,)


def test_a_store_that_never_keeps_still_ends() -> None:
    """A store in which somebody else is always faster is an error, not a loop."""

    class Hopeless(MemoryTrustStore):
        def save(
            self, owner: str, pins: Iterable[Pin], *, replacing: Mapping[str, Pin]
        ) -> frozenset[str]:
            del owner, replacing
            return frozenset(pin.user_id for pin in pins)

    keeper = TrustKeeper("alice", Hopeless())
    with pytest.raises(TrustStoreError):
        keeper.examine({"bob": chain(PrivateKey.generate())})
    with pytest.raises(TrustStoreError):
        keeper.accept(chain(PrivateKey.generate()))


def test_of_many_first_sights_one_is_writable(store: TrustStore) -> None:
    """Eight threads are served eight cards at once: one of them is written to, by all the same."""
    chains = [chain(PrivateKey.generate()) for _ in range(8)]
    start = threading.Barrier(8)
    writable: list[str] = []

    def look(served: CardChain) -> None:
        keeper = TrustKeeper("alice", store)
        start.wait()
        if keeper.examine({"bob": served})["bob"].writable:
            writable.append(served.head.card_id)

    threads = [threading.Thread(target=look, args=(served,)) for served in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writable == [store.find("alice", ["bob"])["bob"].card_id]
