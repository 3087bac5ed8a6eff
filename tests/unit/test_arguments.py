"""One user or several, one card or several: every verb takes them in every form."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse import Model, UserClient, acl_readers, encrypted
from encrypted_parse.directory import Card
from encrypted_parse.envelope import Header, from_text, is_envelope
from encrypted_parse.errors import (
    DoubleEncryptionError,
    InvalidValueError,
    NotRegisteredError,
    RecipientsNotRegisteredError,
)
from encrypted_parse.models import Pointer
from encrypted_parse.testing import InMemoryApp

GROUP = "our lunch group"


class Note(Model):
    """A text for its readers."""

    owner_id: str
    text: str = encrypted(to=acl_readers(), author="owner_id")


class World:
    """Ann, who knows Ben and Cem."""

    def __init__(self) -> None:
        self.app = InMemoryApp()
        self.ann = self.app.make_user("ann")
        self.ben = self.app.make_user("ben")
        self.cem = self.app.make_user("cem")
        self.kit = self.ann.e3kit
        self.card = self.kit.find_users(self.ben.user_id)

    def note(self) -> Note:
        """Return a saved note of Ann's."""
        return self.ann.save(Note(owner_id=self.ann.user_id, text="hello"))


@pytest.fixture
def world() -> World:
    """Return three registered users."""
    return World()


FORMS: dict[str, Callable[[Card], Any]] = {
    "a card": lambda card: card,
    "a list": lambda card: [card],
    "a tuple": lambda card: (card,),
    "a set": lambda card: {card},
    "what find_users gave": lambda card: {card.user_id: card},
    "its values": lambda card: {card.user_id: card}.values(),
    "a generator": lambda card: (one for one in [card]),
    "twice the same": lambda card: [card, card],
}
anything = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def test_find_users_of_one(world: World) -> None:
    """A single user id gives a card, several give a mapping, in whatever they come."""
    ben, cem = world.ben.user_id, world.cem.user_id
    assert isinstance(world.card, Card)
    assert world.card.user_id == ben
    several: list[Any] = [
        [ben, cem],
        (ben, cem),
        {ben: 1, cem: 2},
        iter([ben, cem]),
        [ben, cem, ben],
    ]
    for user_ids in several:
        assert set(world.kit.find_users(user_ids)) == {ben, cem}
    assert world.kit.find_users([]) == {}
    with pytest.raises(NotRegisteredError) as caught:
        world.kit.find_users("Nobody1234")
    assert caught.value.user_ids == ("Nobody1234",)


@anything
def test_messages(world: World, form: Callable[[Card], Any]) -> None:
    """`auth_encrypt` and `encrypt`: for Ben and ourselves, each once."""
    for encrypt, decrypt in (
        (world.kit.auth_encrypt, world.ben.e3kit.auth_decrypt),
        (world.kit.encrypt, world.ben.e3kit.decrypt),
    ):
        sealed = encrypt("hello", form(world.card))
        assert len(Header.from_bytes(from_text(sealed)).recipient_ids()) == 2
        assert decrypt(sealed, world.ben.e3kit.find_users(world.ann.user_id)) == "hello"


@anything
def test_files(world: World, form: Callable[[Card], Any]) -> None:
    """`auth_encrypt_file` and `encrypt_file`."""
    ann = world.ben.e3kit.find_users(world.ann.user_id)
    for encrypt, decrypt in (
        (world.kit.auth_encrypt_file, world.ben.e3kit.auth_decrypt_file),
        (world.kit.encrypt_file, world.ben.e3kit.decrypt_file),
    ):
        sealed, opened = io.BytesIO(), io.BytesIO()
        encrypt(io.BytesIO(b"hello"), sealed, form(world.card))
        decrypt(io.BytesIO(sealed.getvalue()), opened, ann)
        assert opened.getvalue() == b"hello"


@anything
def test_groups(world: World, form: Callable[[Card], Any]) -> None:
    """`create_group`, `add`, `remove`, `recreate_group`."""
    group = world.kit.create_group(GROUP, form(world.card))
    cem = world.kit.find_users(world.cem.user_id)
    group.add(form(cem))
    assert group.participants == {user.user_id for user in (world.ann, world.ben, world.cem)}
    group.remove(form(cem), form(world.card))
    assert group.participants == {world.ann.user_id, world.ben.user_id}
    assert world.kit.recreate_group(GROUP, form(world.card)).participants == group.participants


WRONG: list[Any] = [
    "SECRETuser",
    b"SECRETuser",
    ["SECRETuser"],
    None,
    5,
    [None],
    {"a": "SECRETuser"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_is_no_card_is_refused_in_our_words(world: World, wrong: Any, tmp_path: Path) -> None:
    """Each verb says what to pass, with a hint, and does not show what stood there."""
    kit, file = world.kit, tmp_path / "source"
    file.write_bytes(b"x")
    group = kit.create_group(GROUP, world.card)
    verbs: list[Callable[[], object]] = [
        lambda: kit.auth_encrypt("x", wrong),
        lambda: kit.encrypt(b"x", wrong),
        lambda: kit.auth_encrypt_file(file, tmp_path / "target", wrong),
        lambda: kit.encrypt_file(file, tmp_path / "target", wrong),
        lambda: kit.create_group("another lunch group", wrong),
        lambda: kit.recreate_group(GROUP, wrong),
        lambda: group.add(wrong),
        lambda: group.remove(wrong, []),
        lambda: group.remove(world.card, wrong),
        lambda: group.re_add(wrong),
        lambda: kit.load_group(GROUP, wrong),
    ]
    if wrong is not None:
        verbs += [
            lambda: kit.auth_decrypt(kit.auth_encrypt("x"), wrong),
            lambda: kit.decrypt(kit.encrypt("x"), wrong),
            lambda: group.update(wrong),
        ]
    for verb in verbs:
        with pytest.raises(InvalidValueError, match="is no card") as caught:
            verb()
        assert "find_users" in str(caught.value.hint)
        assert "SECRET" not in str(caught.value)
    assert not (tmp_path / "target").exists()


def test_a_sender_is_one_card(world: World) -> None:
    """A mapping in a sender's place is refused: E3Kit takes one card there."""
    sealed = world.ben.e3kit.auth_encrypt("x", world.ben.e3kit.find_users([world.ann.user_id]))
    senders: Any = {world.ben.user_id: world.card}
    with pytest.raises(InvalidValueError, match="is no card"):
        world.kit.auth_decrypt(sealed, senders)
    assert world.kit.auth_decrypt(sealed, world.card) == "x"


@pytest.mark.parametrize("verb", ["find_users", "recipient_keys", "keys_ever_of", "prefetch"])
def test_what_is_no_user_id_is_refused(world: World, verb: str) -> None:
    """A card where a user id belongs is an error of ours; a single id is one user."""
    call = getattr(world.kit, verb)
    wrong: list[Any] = [None, 5, [None], [world.card]]
    for one in wrong:
        with pytest.raises(InvalidValueError, match="is no user id"):
            call(one)
    before = len(world.app.requests)
    world.kit.forget_cards()
    call(world.ben.user_id)
    assert len(world.app.requests) == before + 1  # and none for each letter


USERS: dict[str, Callable[[UserClient], Any]] = {
    "an id": lambda user: user.user_id,
    "a client": lambda user: user,
    "a pointer": lambda user: Pointer.to_user(user.user_id),
    "a list": lambda user: [user.user_id],
    "a list of clients": lambda user: [user],
    "a generator": lambda user: iter([Pointer.to_user(user.user_id)]),
}


@pytest.mark.parametrize("form", USERS.values(), ids=USERS)
def test_share_and_revoke(world: World, form: Callable[[UserClient], Any]) -> None:
    """One user or several, also for whole queries, where a text was once taken apart."""
    note = world.ann.share(world.note(), with_=form(world.ben))
    assert world.ben.get(Note, str(note.object_id)).text == "hello"
    readers = world.ann.who_can_read(note, candidates=form(world.ben))["text"]
    assert world.ben.user_id in readers.user_ids
    assert world.ann.revoke(note, from_=form(world.ben)).users == {world.ben.user_id}
    query = world.ann.query(Note)
    assert world.ann.share_all(query, with_=form(world.ben)).failed == []
    assert world.ben.get(Note, str(note.object_id)).text == "hello"
    assert world.ann.revoke_all(query, from_=form(world.ben)).failed == []


@pytest.mark.parametrize("wrong", ["", None, 5, [""], [None], b"id"], ids=repr)
def test_who_is_nobody_is_refused(world: World, wrong: Any) -> None:
    """Nothing is shared with nobody in silence."""
    note = world.note()
    for verb in (
        lambda: world.ann.share(note, with_=wrong),
        lambda: world.ann.revoke(note, from_=wrong),
        lambda: world.ann.share_all([note], with_=wrong),
        lambda: world.ann.revoke_all([note], from_=wrong),
        lambda: world.ann.who_can_read(note, candidates=wrong),
    ):
        with pytest.raises(InvalidValueError, match="name users by"):
            verb()


# --- base64 in lines ------------------------------------------------------------------------------


def lines_of(text: str) -> Iterator[str]:
    """Yield the same base64 as others write it."""
    yield text + "\n"
    yield "\n".join(textwrap.wrap(text, 76)) + "\n"  # Android's default, `base64`
    yield "\r\n".join(textwrap.wrap(text, 64))
    yield " \t" + text


def test_lines_are_read_everywhere(world: World) -> None:
    """Messages of every form, columns, sharing, resealing: white space changes nothing."""
    kit, note = world.kit, world.note()
    group = kit.create_group(GROUP)
    column = world.app.parse.rows("Note")[0]["text"]
    for text in lines_of(kit.auth_encrypt("hello")):
        assert kit.auth_decrypt(text) == "hello"
        assert is_envelope(text)
    for text in lines_of(kit.encrypt("hello")):
        assert kit.decrypt(text) == "hello"
    for text in lines_of(group.encrypt("hello")):
        assert group.decrypt(text, kit.find_users(world.ann.user_id)) == "hello"
    for text in lines_of(column):
        world.app.parse.change("Note", str(note.object_id), text=text)
        fresh = world.ann.refresh(note)
        assert fresh.text == "hello"
        assert world.ann.who_can_read(fresh)["text"].user_ids == {world.ann.user_id}
    shared = world.ann.share(fresh, with_=world.ben)
    assert world.ben.get(Note, str(shared.object_id)).text == "hello"


def test_an_envelope_in_lines_is_not_encrypted_again(world: World) -> None:
    """What is recognised as an envelope is recognised in lines too."""
    for text in lines_of(world.kit.auth_encrypt("hello")):
        with pytest.raises(DoubleEncryptionError):
            Note(owner_id=world.ann.user_id, text=text)


# --- caches ---------------------------------------------------------------------------------------


def asked(world: World, path: str) -> int:
    """Count the requests to *path* so far."""
    return sum(request.url.endswith(path) for request in world.app.requests)


def test_caches_can_be_dropped(world: World) -> None:
    """`forget_cards`, `forget_roles`, `forget_group_members`, and `reload` for all of them."""
    kit, ben = world.kit, world.ben.user_id
    search = "card/v5/actions/search"
    before = asked(world, search)
    kit.find_users(ben)
    assert asked(world, search) == before
    kit.forget_cards(ben)
    kit.find_users(ben)
    assert asked(world, search) == before + 1
    kit.forget_cards()
    kit.find_users([ben])
    assert asked(world, search) == before + 2
    kit.create_group(GROUP)
    before = asked(world, "keyknox/v2/keys")
    kit.group_members(GROUP, world.ann.user_id)
    assert asked(world, "keyknox/v2/keys") == before
    kit.forget_group_members()
    kit.group_members(GROUP, world.ann.user_id)
    assert asked(world, "keyknox/v2/keys") == before + 1
    world.ann.reload()
    kit.group_members(GROUP, world.ann.user_id)
    kit.find_users([ben])
    assert asked(world, "keyknox/v2/keys") == before + 2


def test_a_role_is_asked_for_again(world: World) -> None:
    """`forget_roles`: somebody who joined meanwhile is a reader at once."""
    answers = [[world.ann.user_id], [world.ann.user_id, world.ben.user_id]]
    world.app.parse.functions["role-members"] = lambda *_: {"members": {"team": answers[0]}}

    class Plan(Model):
        owner_id: str
        text: str = encrypted(to=acl_readers(), author="owner_id")

    def readers() -> frozenset[str]:
        plan = Plan(owner_id=world.ann.user_id, text="x")
        plan.acl.allow_read("role:team")
        return world.ann.explain(plan).fields[0].readers

    assert readers() == {world.ann.user_id}
    answers.pop(0)
    assert readers() == {world.ann.user_id}
    world.ann.forget_roles()
    assert readers() == set(answers[0])


def test_what_is_on_its_way_when_a_cache_is_dropped_is_not_kept(world: World) -> None:
    """Who drops the cards sees no card of before, though another thread was just fetching it."""
    directory = world.kit._directory._directory
    world.kit.forget_cards()
    search = directory.client.search

    def dropped_meanwhile(user_ids: Any) -> Any:
        found = search(user_ids)
        directory.forget_all()
        return found

    directory.client.search = dropped_meanwhile  # type: ignore[method-assign]
    world.kit.find_users(world.ben.user_id)
    directory.client.search = search  # type: ignore[method-assign]
    before = len(world.app.requests)
    world.kit.find_users(world.ben.user_id)
    assert len(world.app.requests) == before + 1


# --- sessions and names ---------------------------------------------------------------------------


def test_logging_out_of_what_has_ended(world: World) -> None:
    """What was wanted is the case; other refusals are still errors."""
    world.ann.log_out()
    world.ann.log_out()
    world.app.parse.end_sessions()
    world.ben.log_out()


@pytest.mark.parametrize("user_id", ["ben", "ben@example.org", "Jürgen", "twelve chars"])
def test_a_name_in_an_ids_place_is_pointed_out(world: World, user_id: str) -> None:
    """The hint says that it looks like a name; for what looks like an id it does not."""
    note = Note(owner_id=world.ann.user_id, text="x")
    note.acl.allow_read(user_id)
    calls: list[Callable[[], object]] = [lambda: world.ann.save(note)]
    if user_id.isascii():
        calls.append(lambda: world.kit.find_users(user_id))
    for call in calls:
        with pytest.raises((NotRegisteredError, RecipientsNotRegisteredError)) as caught:
            call()
        assert f"{user_id!r} looks like a user name" in str(caught.value.hint)
        assert "register()" in str(caught.value.hint)
    with pytest.raises(NotRegisteredError) as other:
        world.kit.find_users("Abcdefg123")
    assert "looks like" not in str(other.value.hint)
