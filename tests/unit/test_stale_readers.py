"""A stale object brings no reader back, and leaves none without a key."""

from __future__ import annotations

from typing import Any

import pytest

from encrypted_parse import (
    MemoryKeystore,
    Model,
    UserClient,
    acl_readers,
    encrypted,
    field,
    only_me,
    users,
    version,
)
from encrypted_parse.errors import GuardRefusedError, OutcomeUnknownError, StaleObjectError
from encrypted_parse.models.tags import tag_of
from encrypted_parse.parse.features import CONTEXT_HEADER
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse


class Note(Model, parse_class="StaleNote"):
    """Fields for the ACL's readers, for a list of users, for the author."""

    author_id: str
    title: str = "-"
    copy_to: list[str] = field(factory=list)
    body: str = encrypted(to=acl_readers(), author="author_id", default="-")
    remark: str | None = encrypted(to=users("copy_to"), author="author_id", default=None)
    diary: str | None = encrypted(to=only_me(), default=None)


class Counted(Model, parse_class="StaleCounted"):
    """The same, counted."""

    author_id: str
    revision: int = version()
    body: str = encrypted(to=acl_readers(), author="author_id")


@pytest.fixture(params=["no guard", "guard"])
def app(request: pytest.FixtureRequest) -> InMemoryApp:
    """Return an app without a guard, and one with it."""
    return InMemoryApp(guarded=[Note, Counted] if request.param == "guard" else [])


def devices(app: InMemoryApp) -> tuple[UserClient, UserClient, UserClient]:
    """Return ann, ann on another device, and ben."""
    keys = MemoryKeystore()
    ann, ben = app.make_user("ann", keystore=keys), app.make_user("ben")
    other = app.client(keystore=keys).log_in("ann", "password of ann")
    return ann, other, ben


def shared_note(ann: UserClient, ben: UserClient, **values: Any) -> Note:
    """Save a note that ben can read."""
    note = Note(author_id=ann.user_id, body="old", **values)
    note.acl.allow_read(ben)
    return ann.save(note)


def test_a_save_of_before_a_revoke_is_refused(app: InMemoryApp) -> None:
    """A changed encrypted field is not encrypted for who was revoked; the row stays as it is."""
    ann, other, ben = devices(app)
    note = shared_note(ann, ben)
    stale = other.get(Note, str(note.object_id))
    ann.revoke(note, from_=[ben.user_id])
    before = app.parse.rows("StaleNote")
    stale.body = "new"
    with pytest.raises(StaleObjectError, match="other readers") as caught:
        other.save(stale)
    assert caught.value.hint is not None
    assert "refresh()" in caught.value.hint
    assert not caught.value.overwritten
    assert app.parse.rows("StaleNote") == before
    again = other.refresh(stale)
    again.body = "new"
    other.save(again)
    assert ben.user_id not in app.parse.rows("StaleNote")[0]["ACL"]


def test_an_acl_of_before_a_revoke_is_refused(app: InMemoryApp) -> None:
    """An ACL is sent whole: with another reader it would bring back who was revoked."""
    ann, other, ben = devices(app)
    carl = app.make_user("carl")
    note = shared_note(ann, ben)
    stale = other.get(Note, str(note.object_id))
    ann.revoke(note, from_=[ben.user_id])
    before = app.parse.rows("StaleNote")
    stale.acl.allow_read(carl)
    with pytest.raises(StaleObjectError):
        other.save(stale)
    assert app.parse.rows("StaleNote") == before


def test_a_shared_reader_keeps_the_key(app: InMemoryApp) -> None:
    """A save of before a share does not leave the new reader without a stanza."""
    ann, other, ben = devices(app)
    note = ann.save(Note(author_id=ann.user_id, body="old"))
    stale = other.get(Note, str(note.object_id))
    ann.share(note, with_=[ben.user_id])
    stale.body = "new"
    with pytest.raises(StaleObjectError):
        other.save(stale)
    assert ben.get(Note, str(note.object_id)).body == "old"


def test_lists_count_as_the_acl_does(app: InMemoryApp) -> None:
    """Who was taken out of the list that a rule reads is not encrypted for again."""
    ann, other, ben = devices(app)
    note = shared_note(ann, ben, copy_to=[ben.user_id], remark="old")
    stale = other.get(Note, str(note.object_id))
    note.copy_to = []
    ann.save(note)
    stale.remark = "new"
    with pytest.raises(StaleObjectError):
        other.save(stale)


def test_no_text_of_before_is_encrypted_for_new_readers(app: InMemoryApp) -> None:
    """Another's change of a value is not undone by a change of its readers."""
    ann, other, ben = devices(app)
    note = ann.save(Note(author_id=ann.user_id, body="old"))
    stale = other.get(Note, str(note.object_id))
    note.body = "new"
    ann.save(note)
    stale.acl.allow_read(ben)
    with pytest.raises(StaleObjectError):
        other.save(stale)
    assert ann.refresh(note).body == "new"


def test_what_no_reader_depends_on_is_saved(app: InMemoryApp) -> None:
    """Plain fields, and values for the author alone, are saved from a stale object too."""
    ann, other, ben = devices(app)
    note = shared_note(ann, ben)
    stale = other.get(Note, str(note.object_id))
    ann.revoke(note, from_=[ben.user_id])
    stale.title, stale.diary = "new", "mine"
    other.save(stale)
    found = ann.refresh(note)
    assert (found.title, found.diary) == ("new", "mine")
    assert not found.acl.can_read(ben)


def test_save_all_tells_the_stale_from_the_others(app: InMemoryApp) -> None:
    """A stale object is reported in its outcome; the others are saved."""
    ann, other, ben = devices(app)
    notes = [shared_note(ann, ben) for _ in range(3)]
    held = [other.get(Note, str(note.object_id)) for note in notes]
    ann.revoke(notes[1], from_=[ben.user_id])
    for note in held:
        note.body = "new"
    outcomes = other.save_all([*held, Note(author_id=ann.user_id)])
    found = [type(one.error) for one in outcomes]
    assert found == [type(None), StaleObjectError, type(None), type(None)]
    assert [ann.refresh(note).body for note in notes] == ["new", "old", "new"]


def test_a_transaction_with_a_stale_object_is_not_sent(app: InMemoryApp) -> None:
    """All or none: none."""
    ann, other, ben = devices(app)
    notes = [shared_note(ann, ben) for _ in range(2)]
    held = [other.get(Note, str(note.object_id)) for note in notes]
    ann.revoke(notes[1], from_=[ben.user_id])
    before = app.parse.rows("StaleNote")
    for note in held:
        note.body = "new"
    with pytest.raises(StaleObjectError):
        other.save_all(held, transaction=True)
    assert app.parse.rows("StaleNote") == before


def test_versions_do_not_stand_for_readers(app: InMemoryApp) -> None:
    """A client that does not count has changed the readers: the version is the same, and stale."""
    ann, other, ben = devices(app)
    note = Counted(author_id=ann.user_id, body="old")
    note.acl.allow_read(ben)
    ann.save(note)
    stale = other.get(Counted, str(note.object_id))
    app.parse.change(
        "StaleCounted", str(note.object_id), ACL={ann.user_id: {"read": True, "write": True}}
    )
    stale.body = "new"
    with pytest.raises(StaleObjectError):
        other.save(stale)
    assert app.parse.rows("StaleCounted")[0]["revision"] == 1


def test_own_saves_make_no_object_stale(app: InMemoryApp) -> None:
    """An object that this program saves, shares and revokes itself is saved on and on."""
    ann, _, ben = devices(app)
    note = ann.save(Note(author_id=ann.user_id, body="1"))
    note.body = "2"
    ann.save(note)
    ann.share(note, with_=[ben.user_id])
    note.body, note.copy_to, note.remark = "3", [ben.user_id], "r"
    ann.save(note)
    ann.revoke(note, from_=[ben.user_id])
    note.body = "4"
    ann.save_all([note])
    part = ann.query(Note).only("body", "author_id").first()
    assert part is not None
    part.body = "5"
    ann.save(part)
    assert ann.refresh(note).body == "5"


def test_an_old_object_revokes_what_is_there_now(app: InMemoryApp) -> None:
    """Sharing and revoking start from the row as it is: nobody comes back by them."""
    ann, other, ben = devices(app)
    carl = app.make_user("carl")
    note = shared_note(ann, ben)
    stale = other.get(Note, str(note.object_id))
    ann.revoke(note, from_=[ben.user_id])
    other.share(stale, with_=[carl.user_id])
    assert not stale.acl.can_read(ben)
    assert carl.get(Note, str(note.object_id)).body == "old"


@pytest.mark.parametrize("act", ["share", "revoke", "save"])
def test_with_the_guard_no_moment_is_left(act: str) -> None:
    """A change between looking and writing is refused by the server: `StaleObjectError`."""
    app = InMemoryApp(guarded=[Note])
    ann, other, ben = devices(app)
    note = shared_note(ann, ben)
    held = other.get(Note, str(note.object_id))

    def change_before_the_write(request: HttpRequest) -> None:
        if request.method == "PUT":
            app.before = lambda _: None
            app.parse.change(
                "StaleNote", str(note.object_id), ACL={ann.user_id: {"read": True, "write": True}}
            )

    carl = app.make_user("carl")
    held.body = "new" if act == "save" else "old"
    acts = {
        "share": lambda: other.share(held, with_=[carl.user_id]),
        "revoke": lambda: other.revoke(held, from_=[ben.user_id]),
        "save": lambda: other.save(held),
    }
    app.before = change_before_the_write
    with pytest.raises(StaleObjectError):
        acts[act]()


def test_with_the_guard_a_save_is_one_request() -> None:
    """The companion is asked once per app; then the tags go along with the one call."""
    app = InMemoryApp(guarded=[Note])
    ann = app.make_user("ann")
    note = ann.save(Note(author_id=ann.user_id, body="1"))
    note.body = "2"
    ann.save(note)
    sent = len(app.requests)
    note.body = "3"
    ann.save(note)
    [request] = app.requests[sent:]
    assert CONTEXT_HEADER in request.headers


def test_a_lost_answer_is_not_a_stale_object() -> None:
    """A conditional update that is sent again meets its own envelope, and has succeeded."""
    app = InMemoryApp(guarded=[Note])
    ann = app.make_user("ann")
    note = ann.save(Note(author_id=ann.user_id, body="1"))

    def lose(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.method == "PUT":
            app.after = lambda _, one: one
            raise OutcomeUnknownError("cut")
        return answer

    app.after = lose
    note.body = "2"
    ann.save(note)
    assert ann.refresh(note).body == "2"


def test_a_client_cannot_write_the_lease() -> None:
    """The guard's own column is refused, and what is malformed is no unconditional write."""
    app = InMemoryApp(guarded=[Note])
    ann = app.make_user("ann")
    note = ann.save(Note(author_id=ann.user_id, body="1"))
    with pytest.raises(GuardRefusedError, match="9019"):
        ann.parse.update("StaleNote", str(note.object_id), {"guardLease": 0})
    for tags in ({"ACL": "short"}, {"nothing": "A" * 22}):
        with pytest.raises(GuardRefusedError, match="9020"):
            ann.parse.update("StaleNote", str(note.object_id), {"title": "t"}, expected=tags)


def test_tags_are_those_of_the_companion() -> None:
    """The texts: of strings, ACLs, lists, pointers, and of nothing."""
    granted = {"b": {"read": True, "write": False}, "a": {"read": True}, "c": {"read": False}}
    assert tag_of("ACL", granted) == tag_of("ACL", {"a": {"read": True}, "b": {"read": True}})
    pointer = {"__type": "Pointer", "className": "_User", "objectId": "u"}
    included = {**pointer, "__type": "Object", "username": "x"}
    assert tag_of("writers", [included]) == tag_of("writers", [pointer])
    assert tag_of("body", None) == tag_of("body", "") == "47DEQpj8HBSa-_TImW-5JC"
    assert tag_of("ACL", {"u": {"write": True, "read": True}}) == "YlTuYRGR_3eOxijWRBybgi"
    pointed = {"className": "_User", "objectId": "u", "__type": "Pointer"}
    assert tag_of("copyTo", ["ü", pointed]) == "JChYupM4HGdC_25GzZLHNY"
    assert len({tag_of("ACL", None), tag_of("ACL", {}), tag_of("l", [])}) == 3
