"""A server that is asked for a user by name, and answers with somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from encrypted_parse import UserClient
from encrypted_parse.errors import MalformedResponseError, UnexpectedUserIdError
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.trust import KnownNames, MemoryTrustStore, SqliteTrustStore, TrustStore


class World:
    """Ann, who looked Ben up while the server was honest, and Mallory."""

    def __init__(self, store: TrustStore) -> None:
        self.app = InMemoryApp()
        self.app.parse.finds_users = True
        self.store = store
        self.ann: UserClient = self.app.make_user("ann", trust_store=store)
        self.ben = self.app.make_user("ben")
        self.mallory = self.app.make_user("mallory")
        assert self.ann.user("ben") == self.ben.user_id

    def lie(self, **users: Any) -> None:
        """Answer every search with *users*."""
        self.app.parse.functions["find-users"] = lambda *_: {"users": users}


@pytest.fixture(params=["in memory", "in a file"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Names are remembered in memory and in files alike."""
    if request.param == "in memory":
        return World(MemoryTrustStore())
    return World(SqliteTrustStore(tmp_path / "private" / "trust.sqlite"))


def test_another_user_for_a_known_name(world: World) -> None:
    """Refused, with both ids named, also by the next process; who knows better says so once."""
    mallory = world.mallory.user_id
    world.lie(ben=mallory)
    for _ in range(2):
        with pytest.raises(UnexpectedUserIdError, match="for this machine that name") as caught:
            world.ann.user("ben")
        assert (caught.value.user_id, caught.value.known) == (mallory, world.ben.user_id)
        assert "expect_user_id" in str(caught.value.hint)
    with pytest.raises(UnexpectedUserIdError, match="was expected"):
        world.ann.user("ben", expect_user_id=world.ben.user_id)
    assert world.ann.user("ben", expect_user_id=mallory) == mallory
    assert world.ann.user("ben") == mallory
    world.lie(ben=world.ben.user_id)
    with pytest.raises(UnexpectedUserIdError):
        world.ann.user("ben")


def test_a_known_user_for_another_name(world: World) -> None:
    """What is for carol does not go to Ben; a renamed user is accepted by a person."""
    world.lie(carol=world.ben.user_id)
    with pytest.raises(UnexpectedUserIdError, match="that user is 'ben'"):
        world.ann.user("carol")
    renamed = world.ann.user("carol", expect_user_id=world.ben.user_id)
    assert renamed == world.ann.user("carol") == world.ben.user_id


def test_a_name_that_logged_in_here(world: World) -> None:
    """Who logged in on this machine by a name is that name's user."""
    world.lie(ann=world.mallory.user_id)
    with pytest.raises(UnexpectedUserIdError, match="for this machine that name"):
        world.ann.user("ann")


def test_a_search_does_not_say_whose_keys_a_log_in_opens(world: World) -> None:
    """Names that were looked up are no log-ins: what a server says to one tells nothing to it."""
    world.lie(eve=world.mallory.user_id)
    world.ann.user("eve")
    application_id = world.app.client().parse.app.application_id
    assert world.store.find_login(application_id, "eve") is None
    assert world.store.find_usernames(application_id, world.mallory.user_id) == frozenset()


def test_names_are_remembered_by_user(world: World) -> None:
    """What one user of a machine was told does not bind another."""
    application_id = world.app.client().parse.app.application_id
    KnownNames(application_id, "another", world.store).confirm("ben", world.mallory.user_id)
    assert world.ann.user("ben") == world.ben.user_id


def test_two_answers_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two first answers that differ, one is refused."""
    application_id = world.app.client().parse.app.application_id
    known = KnownNames(application_id, "another", world.store)
    save = type(world.store).save_login

    def slower(store: Any, app: str, name: str, user_id: str, *, replacing: str | None) -> None:
        save(store, app, name, world.ben.user_id, replacing=None)  # the other was faster
        save(store, app, name, user_id, replacing=replacing)

    monkeypatch.setattr(type(world.store), "save_login", slower)
    with pytest.raises(UnexpectedUserIdError, match="at the same time"):
        known.confirm("ben", world.mallory.user_id)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        {},
        {"users": None},
        {"users": ["ben"]},
        {"users": {"ben": 5}},
        {"users": {"ben": ""}},
        {"users": {"ben": ["x"]}},
        {"users": {"Ben": "x"}},
        {"users": {"ben": "x", "ann": "y"}},
    ],
)
def test_answers_that_are_none(world: World, answer: Any) -> None:
    """Everything but one id for the one name is refused, and remembered as nothing."""
    world.app.parse.functions["find-users"] = lambda *_: answer
    with pytest.raises(MalformedResponseError):
        world.ann.user("ben")
