"""Links between cards that are broken, borrowed, doubled or written in another way."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.crypto.labels import Label, encode
from encrypted_parse.directory import Card, CardChain, are_linked, new_card, parse_card
from encrypted_parse.directory.links import LINK_SIGNER
from encrypted_parse.errors import MalformedCardError
from encrypted_parse.trust import Finding, Pin, PinLevel, judge

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
OLD, NEW, EVIL, OTHER = (PrivateKey(KeyType.ED25519, bytes([n]) * 32) for n in range(1, 5))
ROOT = parse_card(new_card("bob", OLD, NOW), service_key=None)
TRUE = new_card("bob", NEW, NOW, previous_card_id=ROOT.card_id, previous_key=OLD)
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point

Item = dict[str, Any]


def link_of(raw: dict[str, Any]) -> Item:
    """Return the link of a raw card."""
    [link] = [item for item in raw["signatures"] if item["signer"] == LINK_SIGNER]
    return dict(link)


def linked(raw: dict[str, Any], older: Card = ROOT) -> bool:
    """Tell whether the judgement follows, in a chain of two."""
    card = parse_card(raw, service_key=None)
    chain = CardChain((card, older))
    pin = Pin.on(CardChain((older,)), PinLevel.VERIFIED)
    follows = judge(chain, pin) is Finding.SUCCEEDED
    assert follows is are_linked(card, older)
    return follows


def with_links(*links: Any, raw: dict[str, Any] = TRUE) -> dict[str, Any]:
    """Return a raw card with *links* in place of its own."""
    others = [item for item in raw["signatures"] if item["signer"] != LINK_SIGNER]
    return {**raw, "signatures": [*others, *links]}


def item(signature: bytes | str, **more: object) -> Item:
    """Return a link with this signature."""
    text = signature if isinstance(signature, str) else base64.b64encode(signature).decode()
    return {"signer": LINK_SIGNER, "signature": text, **more}


def signed(old: PrivateKey, new: PrivateKey, statement: bytes) -> bytes:
    """Return a link over any statement."""
    return old.sign(statement) + new.sign(statement)


TEXT = link_of(TRUE)["signature"]
BYTES = base64.b64decode(TEXT)
CARD_ID = parse_card(TRUE, service_key=None).card_id
STATEMENT = encode(Label.CARD_LINK, OLD.public_key.raw, bytes.fromhex(CARD_ID))
SNAPSHOT = base64.b64decode(TRUE["content_snapshot"])


def larger_s(signature: bytes) -> bytes:
    """Return the same signature with the group's order added to s: another encoding of it."""
    s = int.from_bytes(signature[32:], "little") + L
    return signature[:32] + s.to_bytes(32, "little")


def test_the_control() -> None:
    """What a rotation writes: raw Ed25519 of both keys over label, old key and new card."""
    assert linked(TRUE)
    assert signed(OLD, NEW, STATEMENT) == BYTES
    assert 65 <= len(STATEMENT) <= 113  # longer than a digest, shorter than a group's ciphertext
    assert linked(with_links(item(TEXT, snapshot=None)))


CRIMES: dict[str, list[Any]] = {
    "none": [],
    "the old key's half alone": [item(BYTES[:64])],
    "the halves exchanged": [item(BYTES[64:] + BYTES[:64])],
    "the old key's half twice": [item(BYTES[:64] * 2)],
    "the new key's half by another": [item(signed(OLD, OTHER, STATEMENT))],
    "the old key's half by another": [item(signed(OTHER, NEW, STATEMENT))],
    "longer": [item(BYTES + b"\x00")],
    "twice": [item(TEXT), item(TEXT)],
    "beside a broken one": [item(TEXT), item(BYTES[::-1])],
    "after a broken one": [item(b""), item(TEXT)],
    "beside one that is no text": [item(TEXT), {"signer": LINK_SIGNER, "signature": 7}],
    "with fields of its own": [item(TEXT, snapshot=base64.b64encode(b"{}").decode())],
    "with an empty snapshot": [item(TEXT, snapshot="")],
    "with a member that nobody knows": [item(TEXT, comment="x")],
    "with blanks in it": [item(TEXT[:4] + "\n" + TEXT[4:])],
    "without padding": [item(TEXT.rstrip("="))],
    "with unused bits": [item(TEXT[:-2] + chr(ord(TEXT[-2]) + 1) + "=")],
    "in the alphabet of addresses": [item(base64.urlsafe_b64encode(b"\xff" * 128).decode())],
    "no text": [{"signer": LINK_SIGNER, "signature": None}],
    "no signature": [{"signer": LINK_SIGNER}],
    "with a larger s of the old key": [item(larger_s(BYTES[:64]) + BYTES[64:])],
    "with a larger s of the new key": [item(BYTES[:64] + larger_s(BYTES[64:]))],
    "over the card's digest, as E3Kit signs": [item(signed(OLD, NEW, vc.calculate_hash(SNAPSHOT)))],
    "over the snapshot": [item(signed(OLD, NEW, SNAPSHOT))],
    "under another label": [
        item(signed(OLD, NEW, encode(Label.ARCHIVE, OLD.public_key.raw, bytes.fromhex(CARD_ID))))
    ],
    "of another key": [
        item(signed(OLD, NEW, encode(Label.CARD_LINK, NEW.public_key.raw, bytes.fromhex(CARD_ID))))
    ],
    "of another card": [
        item(
            signed(OLD, NEW, encode(Label.CARD_LINK, OLD.public_key.raw, bytes.fromhex("ab" * 32)))
        )
    ],
    "under another signer's name": [{**item(TEXT), "signer": "previous"}],
    "of the old form": [
        {
            "signer": "previous",
            "signature": base64.b64encode(vc.sign(SNAPSHOT, OLD)).decode(),
        }
    ],
    "of the old form under the new name": [item(vc.sign(SNAPSHOT, OLD))],
}


NO_CARDS = {
    "twice",
    "beside a broken one",
    "after a broken one",
    "beside one that is no text",
    "with blanks in it",
    "without padding",
    "with unused bits",
    "in the alphabet of addresses",
    "no text",
    "no signature",
}
"""Crimes that already leave no card: each signer signs once, in canonical base64."""


@pytest.mark.parametrize("crime", sorted(CRIMES.keys() - NO_CARDS))
def test_any_other_link_never_counts(crime: str) -> None:
    """It is another key, then, though the card itself is in order."""
    assert not linked(with_links(*CRIMES[crime]))


@pytest.mark.parametrize("crime", sorted(NO_CARDS))
def test_a_card_with_such_a_link_is_none(crime: str) -> None:
    """Nobody reads it at all; and were it read, the link would not count."""
    raw = with_links(*CRIMES[crime])
    with pytest.raises(MalformedCardError):
        parse_card(raw, service_key=None)
    card = evolve(parse_card(TRUE, service_key=None), raw=raw)
    assert not are_linked(card, ROOT)


@pytest.mark.parametrize("at", [0, 31, 32, 63, 64, 95, 96, 127])
def test_every_part_of_a_link_counts(at: int) -> None:
    """A flipped bit anywhere."""
    broken = bytearray(BYTES)
    broken[at] ^= 1
    assert not linked(with_links(item(bytes(broken))))


def test_a_link_is_for_one_card() -> None:
    """Of a true rotation, moved onto a card with another key or another date."""
    for key, date in ((EVIL, NOW), (NEW, NOW + dt.timedelta(seconds=1))):
        forged = new_card("bob", key, date, previous_card_id=ROOT.card_id)
        assert not linked(with_links(link_of(TRUE), raw=forged))


def test_a_link_is_within_one_user() -> None:
    """Mallory's card that follows bob's, though bob's own old key signed it."""
    mallorys = new_card("mallory", NEW, NOW, previous_card_id=ROOT.card_id, previous_key=OLD)
    card = parse_card(mallorys, service_key=None)
    assert not are_linked(card, ROOT)
    assert judge(CardChain((card, ROOT)), Pin.on(CardChain((ROOT,)), PinLevel.SEEN)) is (
        Finding.CHANGED
    )


def test_a_link_is_to_the_card_that_is_named() -> None:
    """Signed by the right keys, on a card that names another predecessor, or none."""
    make: list[Callable[[], dict[str, Any]]] = [
        lambda: new_card("bob", NEW, NOW),
        lambda: new_card("bob", NEW, NOW, previous_card_id="ab" * 32, previous_key=OLD),
    ]
    for one in make:
        raw = one()
        card = parse_card(raw, service_key=None)
        statement = encode(Label.CARD_LINK, OLD.public_key.raw, bytes.fromhex(card.card_id))
        assert not are_linked(
            parse_card(with_links(item(signed(OLD, NEW, statement)), raw=raw), service_key=None),
            ROOT,
        )


def test_what_an_old_link_had_brought_stays() -> None:
    """A pin that is on a card of the old form's chain stays on it; it follows no further one."""
    old_form = with_links(*CRIMES["of the old form"])
    successor = parse_card(old_form, service_key=None)
    pin = Pin.on(CardChain((successor, ROOT)), PinLevel.VERIFIED)
    assert judge(CardChain((successor, ROOT)), pin) is Finding.SAME
    assert judge(CardChain((ROOT,)), pin) is Finding.ROLLED_BACK
    assert pin.counting_keys == (NEW.public_key,)  # a digest gives the key before it nothing
    assert pin.former_keys == (OLD.public_key,)
