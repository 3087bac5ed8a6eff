"""A server that shows one value and wants another one shared."""

from __future__ import annotations

import pytest

from encrypted_parse import Model, UserClient, acl_readers, encrypted, only_me
from encrypted_parse.envelope import Header, from_text
from encrypted_parse.errors import (
    NotRevokedError,
    SignerNotFoundError,
    StaleObjectError,
    UnexpectedPlaintextError,
)
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse


class Memo(Model, parse_class="SharingAttackMemo"):
    """What is shared."""

    owner_id: str
    title: str = ""
    text: str = encrypted(to=acl_readers(), author="owner_id")


class Note(Model, parse_class="SharingAttackMemo"):
    """The same rows, with values that may be absent, and some for their author alone."""

    owner_id: str
    title: str = ""
    text: str | None = encrypted(to=acl_readers(), author="owner_id", default=None)
    remark: str | None = encrypted(to=only_me(), default=None)
    signed_remark: str | None = encrypted(to=only_me(), author="owner_id", default=None)


@pytest.fixture
def alice(memory_app: InMemoryApp) -> UserClient:
    """The author."""
    return memory_app.make_user("alice")


@pytest.fixture
def bob(memory_app: InMemoryApp) -> UserClient:
    """Whom the server wants to have what is not meant for him."""
    return memory_app.make_user("bob")


def _swap(app: InMemoryApp, shown: Model, secret: Model) -> None:
    """Let the server put alice's other value in place of the one that she means."""
    [other] = [
        row["text"]
        for row in app.parse.rows(Memo.parse_class)
        if row["objectId"] == secret.object_id
    ]
    app.parse.change(Memo.parse_class, str(shown.object_id), text=other)


@pytest.mark.parametrize("fetched_whole", [True, False])
def test_a_value_that_was_assigned_is_what_is_shared(
    memory_app: InMemoryApp, alice: UserClient, bob: UserClient, *, fetched_whole: bool
) -> None:
    """What an object got by assignment after a partial fetch is held against the server too."""
    memo = alice.save(Memo(owner_id=alice.user_id, title="a", text="draft"))
    secret = alice.save(Memo(owner_id=alice.user_id, title="b", text="the secret"))
    query = alice.query(Memo).filter(title="a")
    held = (query if fetched_whole else query.only("owner_id", "title")).first()
    assert held is not None
    held.text = "for bob"
    alice.save(held)
    _swap(memory_app, memo, secret)
    before = len(memory_app.requests)
    with pytest.raises(StaleObjectError):
        alice.share(held, with_=[bob.user_id])
    with pytest.raises(StaleObjectError):
        alice.revoke(held, from_=[bob.user_id])
    assert {request.method for request in memory_app.requests[before:]} == {"GET"}
    assert bob.query(Memo).first() is None


def test_a_cleared_value_is_not_shared(
    memory_app: InMemoryApp, alice: UserClient, bob: UserClient
) -> None:
    """An object without a value shares none that the server puts there."""
    blank = alice.save(Note(owner_id=alice.user_id, title="a"))
    secret = alice.save(Note(owner_id=alice.user_id, title="b", text="the secret"))
    _swap(memory_app, blank, secret)
    with pytest.raises(StaleObjectError):
        alice.share(blank, with_=[bob.user_id])
    assert bob.query(Note).first() is None


def _key_ids(text: str) -> tuple[bytes, ...]:
    return Header.from_bytes(from_text(text)).recipient_ids()


def test_what_is_only_mine_is_not_shared(
    memory_app: InMemoryApp, alice: UserClient, bob: UserClient
) -> None:
    """A field with the rule only_me stays its author's, whether it names its author or not."""
    note = alice.save(
        Note(owner_id=alice.user_id, text="for bob", remark="mine", signed_remark="mine too")
    )
    [before] = memory_app.parse.rows(Memo.parse_class)
    alice.share(note, with_=[bob.user_id])
    [after] = memory_app.parse.rows(Memo.parse_class)
    assert len(_key_ids(after["text"])) == 2
    for column in ("remark", "signedRemark"):
        assert after[column] == before[column]
        assert len(_key_ids(after[column])) == 1
    seen = bob.query(Note).first()
    assert seen is not None
    assert seen.text == "for bob"
    assert {"remark", "signed_remark"} <= seen.locked.keys()


def test_what_was_forged_meanwhile_is_named(
    memory_app: InMemoryApp, alice: UserClient, bob: UserClient
) -> None:
    """A value that no longer opens says why, and nothing is sent."""
    memo = alice.save(Memo(owner_id=alice.user_id, text="for bob"))
    cards = bob.e3kit.find_users([alice.user_id])
    before = len(memory_app.requests)
    for forged, error in (
        (bob.e3kit.auth_encrypt("forged", cards.values()), SignerNotFoundError),
        ("plaintext", UnexpectedPlaintextError),
    ):
        memory_app.parse.change(Memo.parse_class, str(memo.object_id), text=forged)
        with pytest.raises(error):
            alice.share(memo, with_=[bob.user_id])
    writes = [one for one in memory_app.requests[before:] if one.method in ("PUT", "POST")]
    assert all("/classes/" not in one.url for one in writes)


@pytest.mark.parametrize("lie", ["another value", "no value", "one too many"])
def test_a_server_that_revokes_something_else(
    memory_app: InMemoryApp, alice: UserClient, bob: UserClient, lie: str
) -> None:
    """After `revoke` the row has to hold what was saved, and no more: each lie is noticed."""
    note = Note(owner_id=alice.user_id, title="a", text="was for both", remark="mine")
    note.acl.allow_read(bob.user_id)
    alice.save(note)
    other = alice.save(Note(owner_id=alice.user_id, title="b", text="mine"))
    rows = {row["objectId"]: row for row in memory_app.parse.rows(Memo.parse_class)}
    for_bob, for_alice = (rows[str(one.object_id)]["text"] for one in (note, other))
    changes = {
        "another value": {"text": for_alice},
        "no value": {"text": None},
        "one too many": {"signedRemark": for_bob},
    }

    def put_back(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.method == "PUT":
            memory_app.parse.change(Memo.parse_class, str(note.object_id), **changes[lie])
        return answer

    memory_app.after = put_back
    with pytest.raises(NotRevokedError):
        alice.revoke(note, from_=[bob.user_id])
