"""Pins, their stores, the judgement and safety numbers, each by itself."""

from __future__ import annotations

import datetime as dt
import hashlib
import sqlite3
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virgil_service import VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.directory import Card, CardChain, new_card, parse_card
from encrypted_parse.errors import (
    InvalidValueError,
    MalformedGroupError,
    SafetyNumberMismatchError,
    TrustStoreError,
)
from encrypted_parse.trust import (
    Finding,
    MemoryTrustStore,
    Pin,
    PinLevel,
    SafetyNumber,
    SqliteTrustStore,
    TrustKeeper,
    TrustStore,
    judge,
)
from encrypted_parse.trust.pins import MAX_CARDS

KEYS = [PrivateKey(KeyType.ED25519, bytes([number]) * 32) for number in range(1, 9)]
VECTOR = "416020298573960490773440898576815103076319401660731631142158"
NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)


def chain_of(vouched: list[bool], user_id: str = "bob") -> CardChain:
    """Return a chain of one card more than *vouched*, which says whose successors are signed."""
    cards: list[Card] = []
    for number in range(len(vouched) + 1):
        arguments: dict[str, Any] = {}
        if number:
            arguments["previous_card_id"] = cards[-1].card_id
            if vouched[number - 1]:
                arguments["previous_key"] = KEYS[number - 1]
        raw = new_card(user_id, KEYS[number], NOW, **arguments)
        cards.append(parse_card(raw, service_key=None))
    return CardChain(tuple(reversed(cards)))


@given(st.lists(st.booleans(), max_size=6), st.data())
def test_only_an_unbroken_row_of_signatures_succeeds(vouched: list[bool], data: Any) -> None:
    """A chain follows a pinned card exactly if each card after it is signed by the one before."""
    chain = chain_of(vouched)
    at = data.draw(st.integers(0, len(vouched)))  # how many cards there were when it was pinned
    pinned = CardChain(chain.cards[len(vouched) - at :])
    pin = Pin.on(pinned, PinLevel.SEEN)
    later = vouched[at:]
    expected = Finding.SAME if not later else Finding.SUCCEEDED if all(later) else Finding.CHANGED
    assert judge(chain, pin) is expected
    assert judge(chain, None) is Finding.FIRST_SIGHT
    if at:
        older = CardChain(pinned.cards[1:])
        assert judge(older, pin) is Finding.ROLLED_BACK
    # The middle of the chain left out: nothing proves what was between.
    if len(later) > 1:
        gap = CardChain((chain.head, *chain.cards[len(later) :]))
        assert judge(gap, pin) is Finding.CHANGED


def test_a_pin_remembers_what_it_held_before() -> None:
    """Moved to a successor or to an unrelated card, it keeps the keys before, a bounded number."""
    first = chain_of([True])
    other = chain_of([], "bob")
    pin = Pin.on(other, PinLevel.ACCEPTED, Pin.on(first, PinLevel.SEEN))
    assert pin.card_id == other.head.card_id
    assert set(pin.counting_keys) == {KEYS[0].public_key}
    assert set(pin.former_keys) == {KEYS[1].public_key}
    for before, after in pairwise([first, other] * (MAX_CARDS + 1)):
        pin = Pin.on(after, PinLevel.SEEN, Pin.on(before, PinLevel.SEEN, pin))
    assert len(pin.cards) <= MAX_CARDS


def test_each_key_has_its_own_level() -> None:
    """A vouched key gives its level along links, both ways; a digest gives nothing."""
    chain = chain_of([True, False, True, True])  # keys 0-1 linked, 2-3-4 linked
    pin = Pin.on(chain, PinLevel.VERIFIED)
    assert [card.level for card in pin.cards] == [PinLevel.VERIFIED] * 3 + [PinLevel.SEEN] * 2
    assert pin.former_keys == (KEYS[1].public_key, KEYS[0].public_key)
    seen = Pin.on(chain, PinLevel.SEEN)
    assert seen.former_keys == ()
    assert len(seen.counting_keys) == 5
    assert Pin.on(chain, PinLevel.SEEN, pin) == pin
    accepted = pin.with_accepted([KEYS[0].public_key, KEYS[4].public_key])
    assert accepted.former_keys == (KEYS[1].public_key,)
    assert accepted.level is PinLevel.VERIFIED
    assert accepted.vouched_keys == accepted.counting_keys


def test_a_key_counts_by_itself_whatever_its_card() -> None:
    """The same key in another card has the level that it had."""
    now = NOW + dt.timedelta(days=1)
    again = parse_card(new_card("bob", KEYS[0], now), service_key=None)
    first = Pin.on(chain_of([]), PinLevel.VERIFIED)
    pin = Pin.on(CardChain((again,)), PinLevel.ACCEPTED, first)
    assert pin.level is PinLevel.VERIFIED
    assert pin.former_keys == ()


# --- stores ---------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TrustStore:
    """Each store in turn, empty."""
    if request.param == "memory":
        return MemoryTrustStore()
    return SqliteTrustStore(tmp_path / "trust" / "pins.sqlite")


def pin_of(user_id: str, count: int = 0, level: PinLevel = PinLevel.SEEN) -> Pin:
    """Return a pin on a chain of *count* and one cards."""
    return Pin.on(chain_of([True] * count, user_id), level)


def test_a_store_keeps_pins_by_owner(store: TrustStore) -> None:
    """What alice remembers of bob is not what carol does; any number of users at once."""
    pins = [pin_of(f"user{number}", number % 3) for number in range(1200)]
    store.save("alice", pins, replacing={})
    store.save("carol", [pin_of("user1", 2, PinLevel.VERIFIED)], replacing={})
    wanted = [f"user{number}" for number in range(1500)]
    assert store.find("alice", wanted) == {pin.user_id: pin for pin in pins}
    assert store.find("carol", wanted) == {"user1": pin_of("user1", 2, PinLevel.VERIFIED)}
    assert store.find("nobody", wanted) == {}


def test_a_store_replaces_only_what_was_seen(store: TrustStore) -> None:
    """Two programs that saw different first cards do not overwrite each other."""
    first, second, third = (pin_of("bob", count) for count in range(3))
    other = pin_of("carol")
    assert store.save("alice", [first], replacing={}) == frozenset()
    assert store.save("alice", [second, other], replacing={}) == {"bob"}
    assert store.find("alice", ["bob", "carol"]) == {"bob": first, "carol": other}
    assert store.save("alice", [third], replacing={"bob": second}) == {"bob"}
    assert store.find("alice", ["bob"]) == {"bob": first}
    assert store.save("alice", [third], replacing={"bob": first}) == frozenset()
    assert store.find("alice", ["bob"]) == {"bob": third}


def test_a_store_keeps_epochs(store: TrustStore) -> None:
    """By owner, initiator and group; -1 where there is none."""
    assert store.find_epoch("alice", "bob", "group") == -1
    store.save_epoch("alice", "bob", "group", 3)
    store.save_epoch("alice", "carol", "group", 4)
    store.save_epoch("alice", "bob", "group", 5)
    assert store.find_epoch("alice", "bob", "group") == 5
    assert store.find_epoch("alice", "carol", "group") == 4
    assert store.find_epoch("carol", "bob", "group") == -1
    store.save_epoch("alice", "bob", "group", 4)  # of one who was slower
    assert store.find_epoch("alice", "bob", "group") == 5
    store.save_epoch("alice", "bob", "group", -1)
    assert store.find_epoch("alice", "bob", "group") == -1


def test_a_store_keeps_log_ins(store: TrustStore) -> None:
    """By app and name; replaced only by whoever saw what is there; found by user too."""
    assert store.find_login("app", "bob") is None
    store.save_login("app", "bob", "u1", replacing=None)
    store.save_login("app", "bob", "u2", replacing=None)
    store.save_login("app", "bob", "u3", replacing="u2")
    assert store.find_login("app", "bob") == "u1"
    store.save_login("app", "robert", "u1", replacing=None)
    store.save_login("other", "rob", "u1", replacing=None)
    assert store.find_usernames("app", "u1") == {"bob", "robert"}
    store.save_login("app", "bob", "u2", replacing="u1")
    assert store.find_login("app", "bob") == "u2"
    assert store.find_usernames("app", "u1") == {"robert"}
    assert store.find_usernames("app", "u9") == frozenset()


@pytest.mark.parametrize(
    ("version", "step"), [(1, "move the file away"), (99, "pip install --upgrade")]
)
def test_a_file_of_another_form_is_refused_by_its_version(
    tmp_path: Path, version: int, step: str
) -> None:
    """The error names the version and the step; the file stays."""
    path = tmp_path / "pins.sqlite"
    SqliteTrustStore(path).save("alice", [pin_of("bob")], replacing={})
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    with pytest.raises(TrustStoreError, match=f"version {version}\\b") as caught:
        SqliteTrustStore(path).find("alice", ["bob"])
    assert step in str(caught.value.hint)


def test_one_of_many_first_sights_wins(store: TrustStore) -> None:
    """Of eight threads that see different first cards, one pin is there, whole."""
    pins = [pin_of("bob", count % 6, PinLevel.SEEN) for count in range(8)]
    start = threading.Barrier(8)

    def save(pin: Pin) -> None:
        start.wait()
        store.save("alice", [pin], replacing={})

    threads = [threading.Thread(target=save, args=(pin,)) for pin in pins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.find("alice", ["bob"])["bob"] in pins


def test_a_file_outlives_the_process(tmp_path: Path) -> None:
    """Another process finds what this one saved, and the reverse."""
    path = tmp_path / "pins.sqlite"
    store = SqliteTrustStore(path)
    store.save("alice", [pin_of("bob")], replacing={})
    script = (
        "import sys\n"
        "from encrypted_parse.trust import SqliteTrustStore\n"
        "store = SqliteTrustStore(sys.argv[1])\n"
        "assert 'bob' in store.find('alice', ['bob'])\n"
        "store.save_epoch('alice', 'bob', 'group', 7)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
    assert store.find_epoch("alice", "bob", "group") == 7
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("version", "step"), [(1, "move the file away"), (99, "--upgrade")])
def test_another_version_is_refused_by_its_number(tmp_path: Path, version: int, step: str) -> None:
    """Older and newer files say which they are, what this release reads, and what to do."""
    path = tmp_path / "pins.sqlite"
    SqliteTrustStore(path).save("alice", [pin_of("bob")], replacing={})
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    with pytest.raises(TrustStoreError, match=rf"has version {version}\b") as caught:
        SqliteTrustStore(path).find("alice", ["bob"])
    assert step in (caught.value.hint or "")


@pytest.mark.parametrize("damage", ["mode", "nonsense", "version", "content", "link", "folder"])
def test_a_file_that_proves_nothing_is_not_begun_anew(tmp_path: Path, damage: str) -> None:
    """Open to others, damaged, newer, a link: an error each time, and the file stays."""
    path = tmp_path / "pins.sqlite"
    store = SqliteTrustStore(path)
    store.save("alice", [pin_of("bob")], replacing={})
    if damage == "mode":
        path.chmod(0o660)
    elif damage == "nonsense":
        path.write_bytes(b"nonsense" * 1000)
    elif damage == "version":
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    elif damage == "content":
        with sqlite3.connect(path) as database:
            database.execute("UPDATE pins SET content = '{\"cards\": []}'")
        database.close()
    elif damage == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.unlink()
        path.mkdir()
    for _ in range(2):
        with pytest.raises(TrustStoreError):
            store.find("alice", ["bob"])


# --- safety numbers -------------------------------------------------------------------------


def expected_half(user_id: str, number: int) -> str:
    """Half a safety number, written anew from its docstring's words."""
    key = KEYS[number].public_key.to_bytes()
    name = user_id.encode()
    state = hashlib.sha512(
        b"encrypted_parse safety number 1" + len(name).to_bytes(2, "big") + name + key
    ).digest()
    for _ in range(5200):
        state = hashlib.sha512(state + key).digest()
    return "".join(
        str(int.from_bytes(state[5 * at : 5 * at + 5], "big") % 100000).zfill(5) for at in range(6)
    )


def number_of(one: tuple[str, int], other: tuple[str, int]) -> SafetyNumber:
    """Return the number of two users with test keys."""
    return SafetyNumber.of((one[0], KEYS[one[1]].public_key), (other[0], KEYS[other[1]].public_key))


def test_a_safety_number_is_the_documented_one() -> None:
    """Sixty digits, the same on both sides, and as fixed here for ever."""
    number = number_of(("alice", 0), ("bob", 1))
    assert number == number_of(("bob", 1), ("alice", 0))
    assert number.digits == "".join(sorted([expected_half("alice", 0), expected_half("bob", 1)]))
    assert number.digits == VECTOR
    assert len(number.digits) == 60
    assert str(number).replace("\n", " ").split() == [VECTOR[at : at + 5] for at in range(0, 60, 5)]


def test_another_key_or_user_has_another_number() -> None:
    """Each of the four parts counts."""
    numbers = {
        number_of(*pair).digits
        for pair in (
            (("alice", 0), ("bob", 1)),
            (("alice", 2), ("bob", 1)),
            (("alice", 0), ("bob", 2)),
            (("alicf", 0), ("bob", 1)),
            (("alice", 0), ("boc", 1)),
            (("alice", 1), ("bob", 0)),
        )
    }
    assert len(numbers) == 6


def test_numbers_are_compared_as_people_give_them() -> None:
    """Any blanks and hyphens, or the QR code's text; a wrong digit is a mismatch."""
    number = number_of(("alice", 0), ("bob", 1))
    for shown in (number.digits, str(number), number.qr_text, f" {number.digits} \n"):
        number.compare(shown)
    number.compare("-".join(number.digits))
    wrong = str((int(number.digits[0]) + 1) % 10) + number.digits[1:]
    with pytest.raises(SafetyNumberMismatchError):
        number.compare(wrong)
    arabic = "".join(chr(0x660 + int(digit)) for digit in number.digits)
    for nonsense in ("", number.digits[:-1], number.digits + "0", "x" * 60, arabic):
        with pytest.raises(InvalidValueError):
            number.compare(nonsense)


# --- groups' epochs -------------------------------------------------------------------------


def test_a_group_does_not_go_back_between_runs() -> None:
    """A service that hides a group's newest epochs is caught by the next process as well."""
    service, pins, keystore = VirgilService(), MemoryTrustStore(), MemoryKeystore()
    alice = make_e3kit(service, "alice", MemoryKeystore())
    bob = make_e3kit(service, "bob", keystore, trust=TrustKeeper("bob", pins))
    carol = make_e3kit(service, "carol", MemoryKeystore())
    for user in (alice, bob, carol):
        user.register()
    cards = alice.find_users(["bob", "carol"])
    group = alice.create_group("a group of three", cards.values())
    old = {address: dict(record) for address, record in service.records.items()}
    group.remove([cards["carol"]], [cards["bob"]])
    bob.load_group("a group of three", bob.find_users(["alice"])["alice"])
    service.records = old
    again = make_e3kit(service, "bob", keystore, trust=TrustKeeper("bob", pins))
    initiator = again.find_users(["alice"])["alice"]
    with pytest.raises(MalformedGroupError):
        again.load_group("a group of three", initiator)
    assert again.load_group("a group of three", initiator, made_anew=True).participants
