"""A server that shows one value and wants another one shared."""

from __future__ import annotations

import pytest

from encrypted_parse import Model, UserClient, acl_readers, encrypted
from encrypted_parse.errors import StaleObjectError
from encrypted_parse.testing import InMemoryApp


class Memo(Model, parse_class="SharingAttackMemo"):
    """What is shared."""

    owner_id: str
    title: str = ""
    text: str = encrypted(to=acl_readers(), author="owner_id")


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

    class Note(Model, parse_class=Memo.parse_class):
        """The same rows, whose text may be absent."""

        owner_id: str
        title: str = ""
        text: str | None = encrypted(to=acl_readers(), author="owner_id", default=None)

    blank = alice.save(Note(owner_id=alice.user_id, title="a"))
    secret = alice.save(Note(owner_id=alice.user_id, title="b", text="the secret"))
    _swap(memory_app, blank, secret)
    with pytest.raises(StaleObjectError):
        alice.share(blank, with_=[bob.user_id])
    assert bob.query(Note).first() is None
