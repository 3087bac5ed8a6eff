"""A service that lies about groups: swapped, forged, hidden and rolled back tickets."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from security_model import not_promised

from encrypted_parse.backup import Place
from encrypted_parse.backup.keyknox import KeyknoxRecord
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import Card, new_card, parse_card
from encrypted_parse.e3kit import Group
from encrypted_parse.envelope import (
    DetachedEnvelope,
    GroupSession,
    group_session_id,
    sign_then_encrypt_detached,
)
from encrypted_parse.errors import GroupError, GroupNotFoundError, MalformedGroupError
from encrypted_parse.keystore import StoredKey

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
GROUP = "a group of ours"
PATH = group_session_id(GROUP).hex()


def _user(user_id: str) -> tuple[PrivateKey, Card]:
    key = PrivateKey.generate()
    return key, parse_card(new_card(user_id, key, NOW), service_key=None)


(ALICE, ALICE_CARD), (BOB, BOB_CARD), (MALLORY, MALLORY_CARD) = map(
    _user, ("alice", "bob", "mallory")
)


class FakeKeyknox:
    """The records of alice, as a service that may change anything."""

    def __init__(self) -> None:
        self.records: dict[str, DetachedEnvelope] = {}
        self.identities = ("alice", "bob")

    def list_keys(self, *_: object) -> list[str]:
        """Return the epochs."""
        return list(self.records)

    def pull_record(self, place: Place, _: str) -> KeyknoxRecord:
        """Return one ticket."""
        return KeyknoxRecord(self.records.get(place.key), "hash", self.identities)

    def push_record(self, place: Place, identities: Any, envelope: Any, _: Any) -> None:
        """Keep one ticket."""
        self.records[place.key] = envelope
        self.identities = tuple(dict.fromkeys([*self.identities, *identities]))

    def reset_path(self, *_: object) -> None:
        """Do nothing."""


def _group(service: Any, user_id: str, key: PrivateKey) -> Group:
    """Return alice's group as a user sees it."""
    return Group(GROUP, "alice", [ALICE.public_key], StoredKey(user_id, key), service)


def _pair() -> tuple[FakeKeyknox, Group, Group]:
    """Return a service, the initiator's group and a member's, both loaded."""
    service: Any = FakeKeyknox()
    mine = _group(service, "alice", ALICE)
    mine.create([BOB_CARD])
    theirs = _group(service, "bob", BOB)
    theirs.update()
    return service, mine, theirs


def _ticket(session: GroupSession, signer: PrivateKey = ALICE) -> DetachedEnvelope:
    return sign_then_encrypt_detached(
        session.newest.to_bytes(), signer=signer, recipients=[ALICE.public_key, BOB.public_key]
    )


def test_a_group_between_two() -> None:
    """Without a lie everything works: the attacks below fail for their own reasons."""
    _, mine, theirs = _pair()
    assert theirs.decrypt(mine.encrypt("hello"), ALICE_CARD) == "hello"
    assert mine.decrypt(theirs.encrypt(b"hello"), BOB_CARD) == b"hello"


def test_a_ticket_of_somebody_else() -> None:
    """Signed by another than the initiator: refused."""
    service, _, theirs = _pair()
    service.records["0"] = _ticket(GroupSession.create(GROUP), MALLORY)
    with pytest.raises(MalformedGroupError):
        theirs.update()


def test_tickets_that_change_places() -> None:
    """The initiator's genuine ticket of another epoch or group is not what it is served as."""
    service, mine, theirs = _pair()
    other = _ticket(GroupSession.create("another group of ours"))
    service.records["1"] = service.records["0"]
    with pytest.raises(MalformedGroupError, match="epoch"):
        theirs.update()
    service.records = {"0": other}
    with pytest.raises(MalformedGroupError, match="another group"):
        theirs.update()
    with pytest.raises(MalformedGroupError, match="another group"):
        mine.update()


@pytest.mark.parametrize(
    "key", ["-1", "01", "x", "", "1.0", "٣", "9" * 30, "9" * 5000, "9999999999"]
)
def test_epochs_that_are_none(key: str) -> None:
    """A record's name is the epoch of its ticket, in decimal."""
    service, _, theirs = _pair()
    service.records[key] = service.records["0"]
    with pytest.raises(MalformedGroupError):
        theirs.update()


def test_a_rolled_back_group() -> None:
    """Who has seen an epoch notices that it is gone; who has not cannot."""
    service, mine, theirs = _pair()
    before = dict(service.records)
    service.identities = ("alice",)
    mine.remove([BOB_CARD], [])
    theirs = _group(service, "alice", ALICE)  # a second device of alice
    theirs.update()
    service.records = before
    with pytest.raises(MalformedGroupError, match="gone"):
        theirs.update()
    fresh = _group(service, "alice", ALICE)
    fresh.update()
    assert fresh.session.epochs == (0,)
    assert not_promised("hide a group's newest epoch")


def test_members_that_the_service_invents() -> None:
    """Whom the service names as a member gets no ticket by that."""
    service, mine, _ = _pair()
    service.identities = ("alice", "bob", "mallory")
    mine.update()
    assert "mallory" in mine.participants
    with pytest.raises(GroupError):
        _group(service, "mallory", MALLORY).update()
    assert not_promised("who is in a group")


def test_a_deleted_group() -> None:
    """No tickets, no group; an empty record is none."""
    service, _, theirs = _pair()
    service.records.clear()
    with pytest.raises(GroupNotFoundError):
        theirs.update()
