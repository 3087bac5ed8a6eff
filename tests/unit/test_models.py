"""Models without a network: declaration, assignment, and what a save would send."""

from __future__ import annotations

import copy
import pickle
from typing import TypeVar

import pytest

from encrypted_parse import (
    ACL,
    Model,
    Relation,
    acl_readers,
    computed,
    encrypted,
    field,
    only_me,
    relation,
    role,
    users,
    version,
)
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.envelope import sign_and_encrypt, to_text
from encrypted_parse.errors import (
    AuthorMismatchError,
    DoubleEncryptionError,
    EncryptedQueryError,
    FieldLockedError,
    InvalidQueryError,
    InvalidValueError,
    MalformedResponseError,
    MissingValueError,
    ModelDefinitionError,
    NotPicklableError,
    PublicReadError,
    RecipientRuleError,
)
from encrypted_parse.models import Query, RoleMembers, drafts
from encrypted_parse.models.model import lock

M = TypeVar("M", bound=Model)
KEY = PrivateKey.generate()
CREATED = {"objectId": "o1", "createdAt": "2026-11-23T12:00:00.000Z"}
UPDATED = {"updatedAt": "2026-11-23T12:00:01.000Z"}


class Note(Model):
    """A model of the tests."""

    owner_id: str
    reader_id: str | None = None
    title: str = field(column="heading", default="untitled")
    body: str = encrypted(to=users("reader_id"), author="owner_id")
    secret: int | None = encrypted(to=only_me(), default=None)


class Remark(Model):
    """A model whose plain field nothing depends on."""

    text: str | None = None
    body: str = encrypted(to=only_me())


class Tagged(Model):
    """A model with everything that is not sent like a value."""

    owner_id: str
    title: str = "untitled"
    revision: int = version()
    friends: Relation[Remark] = relation()
    body: str | None = encrypted(to=acl_readers(), author="owner_id", default=None)


def note(**changes: object) -> Note:
    """Return a new note."""
    return Note(**{"owner_id": "me", "reader_id": "you", "body": "text", **changes})


@pytest.mark.parametrize("value", ["a\0b", "lone \ud800", 5, None, b"bytes"], ids=repr)
def test_bad_text_is_refused_when_assigned(value: object) -> None:
    """What no text column stores is refused at once, and the value is not in the message."""
    with pytest.raises(InvalidValueError) as caught:
        note(body=value)
    assert "Note.body" in str(caught.value)
    assert "lone \ud800" not in str(caught.value)


def test_an_envelope_is_not_encrypted_again() -> None:
    """Assigning ciphertext is refused."""
    sealed = to_text(sign_and_encrypt(b"x", signer=KEY, recipients=[KEY.public_key]))
    with pytest.raises(DoubleEncryptionError):
        note(body=sealed)


def test_columns() -> None:
    """snake_case becomes camelCase; `column` overrides."""
    columns = {name: declared.column for name, declared in Note.fields.items()}
    assert columns["owner_id"] == "ownerId"
    assert columns["title"] == "heading"


def test_a_draft_holds_changes_only() -> None:
    """A new object sends everything it has; after that, changes alone, with their recipients."""
    instance = note(secret=7)
    first = drafts.draft(instance, "me")
    assert set(first.plain) == {"ACL", "ownerId", "readerId", "heading"}
    assert first.sealed == {
        frozenset({"me", "you"}): {"body": b"text"},
        frozenset({"me"}): {"secret": b"7"},
    }
    drafts.commit(first, CREATED)
    assert drafts.draft(instance, "me").is_empty
    instance.title = "new"
    assert drafts.draft(instance, "me").plain == {"heading": "new"}
    instance.reader_id = "third"
    assert drafts.draft(instance, "me").sealed == {frozenset({"me", "third"}): {"body": b"text"}}
    instance.secret = None
    assert drafts.draft(instance, "me").plain["secret"] == {"__op": "Delete"}


def saved(instance: M) -> M:
    """Return *instance* as the server has taken it."""
    drafts.commit(drafts.draft(instance, "me"), CREATED)
    return instance


def test_none_clears_a_plain_field() -> None:
    """None deletes a stored value, once; where nothing is stored, nothing is sent."""
    instance = saved(Remark(text="kept", body="b"))
    instance.text = None
    change = drafts.draft(instance, "me")
    assert change.plain == {"text": {"__op": "Delete"}}
    drafts.commit(change, UPDATED)
    assert drafts.draft(instance, "me").is_empty
    instance.text = None
    assert drafts.draft(instance, "me").is_empty
    instance.text = "again"
    assert drafts.draft(instance, "me").plain == {"text": "again"}
    assert "text" not in drafts.draft(Remark(text=None, body="b"), "me").plain


def test_none_replaces_a_locked_plain_value() -> None:
    """A plain value that could not be read is deleted by None, after an explicit call."""
    instance = saved(Remark(body="b"))
    lock(instance, "text", InvalidValueError("not a string"))
    assert drafts.draft(instance, "me").is_empty
    instance.overwrite_locked("text")
    instance.text = None
    change = drafts.draft(instance, "me")
    assert change.plain == {"text": {"__op": "Delete"}}
    drafts.commit(change, UPDATED)
    assert not instance.locked
    assert drafts.draft(instance, "me").is_empty


def test_what_was_not_fetched_is_fetched_once_it_is_saved() -> None:
    """A value that was assigned and saved counts as known, and is then looked after like others."""
    instance = saved(note())
    state = instance._state
    state.deferred = frozenset({"body", "secret"})
    for name in state.deferred:
        instance.__dict__.pop(name, None)
        state.stored.pop(name, None)
    instance.body = "new"
    drafts.commit(drafts.draft(instance, "me"), UPDATED)
    assert state.deferred == {"secret"}


def _unfetched(instance: M, *names: str) -> M:
    """Return *instance* as a query that left out *names* gives it."""
    state = instance._state
    state.deferred = frozenset(names)
    for name in names:
        instance.__dict__.pop(name, None)
        state.stored.pop(name, None)
    return instance


def test_a_value_that_was_not_fetched_cannot_change_its_readers() -> None:
    """Other readers need the value; anything else is saved without it."""
    instance = _unfetched(saved(note()), "body")
    instance.title = "new"
    assert drafts.draft(instance, "me").plain == {"heading": "new"}
    instance.reader_id = "third"
    with pytest.raises(FieldLockedError, match="not fetched"):
        drafts.draft(instance, "me")
    kept = drafts.draft(instance, "me", keep=True)
    assert kept.plain == {"heading": "new", "readerId": "third"}
    assert not kept.sealed
    fetched = _unfetched(saved(Tagged(owner_id="me", body="b")), "body")
    fetched.acl.allow_read("you")
    with pytest.raises(FieldLockedError, match="not fetched"):
        drafts.draft(fetched, "me")


def test_a_cleared_encrypted_value_is_cleared_once() -> None:
    """What was deleted is not deleted again."""
    instance = saved(note(secret=7))
    instance.secret = None
    change = drafts.draft(instance, "me")
    assert change.plain == {"secret": {"__op": "Delete"}}
    drafts.commit(change, UPDATED)
    assert drafts.draft(instance, "me").is_empty


def test_a_locked_value_that_was_given_up_is_written() -> None:
    """After overwrite_locked the new value is encrypted, and the field is open again."""
    instance = saved(note())
    lock(instance, "body", InvalidValueError("not for us"))
    instance._state.stored.pop("body")
    instance.overwrite_locked("body")
    instance.body = "new"
    change = drafts.draft(instance, "me")
    assert change.sealed == {frozenset({"me", "you"}): {"body": b"new"}}
    drafts.commit(change, UPDATED)
    assert not instance.locked


@pytest.mark.parametrize("author", ["you", ""])
def test_nobody_signs_for_another(author: str) -> None:
    """A field whose author is somebody else, or nobody, is not encrypted, new or changed."""
    with pytest.raises(AuthorMismatchError):
        drafts.draft(note(owner_id=author), "me")
    instance = saved(note())
    instance.owner_id = author
    assert drafts.draft(instance, "me").names == frozenset()  # the value stays as it is
    instance.body = "new"
    with pytest.raises(AuthorMismatchError):
        drafts.draft(instance, "me")


def test_a_locked_value_cannot_change_its_readers() -> None:
    """Who cannot open a value cannot give it to others; all else is saved beside it."""
    instance = saved(note())
    lock(instance, "body", InvalidValueError("not for us"))
    instance.title = "new"
    assert drafts.draft(instance, "me").plain == {"heading": "new"}
    instance.reader_id = "third"
    with pytest.raises(FieldLockedError, match="it is locked"):
        drafts.draft(instance, "me")


def test_a_draft_is_mute() -> None:
    """What is about to be encrypted is in no repr."""
    assert "canary" not in repr(drafts.draft(note(body="canary"), "me"))


def test_readers_are_remembered_as_they_were_saved() -> None:
    """Whoever was taken out and comes back is encrypted for again."""
    instance = saved(note())
    instance.reader_id = "third"
    drafts.draft(instance, "me")  # a draft that was looked at, and not sent
    drafts.commit(drafts.draft(instance, "me"), UPDATED)
    instance.reader_id = "you"
    assert drafts.draft(instance, "me").sealed == {frozenset({"me", "you"}): {"body": b"text"}}


def test_a_row_that_does_not_tell_its_readers_is_left_alone() -> None:
    """Where the stored row has no answer, a change of something else asks for none."""
    instance = saved(Tagged(owner_id="me", body="b"))
    instance._state.stored_acl = {"*": {"read": True}}
    instance._state.acl = ACL(public_read=True)
    instance._state.recipients = {}
    instance.title = "new"
    change = drafts.draft(instance, "me")
    assert change.plain == {"title": "new", "revision": {"__op": "Increment", "amount": 1}}
    assert not change.sealed


def test_keeping_readers_keeps_them() -> None:
    """With `keep` a changed ACL is sent, and no value is encrypted again for it."""
    instance = saved(Tagged(owner_id="me", body="b"))
    instance.acl.allow_read("you")
    assert not drafts.draft(instance, "me", keep=True).sealed
    assert drafts.draft(instance, "me").names == {"body"}


def test_a_version_counts_each_save_once() -> None:
    """1 when it is new, one more for each save that sends something, and none for an empty one."""
    instance = Tagged(owner_id="me", body="b")
    first = drafts.draft(instance, "me")
    assert first.plain["revision"] == 1
    assert "friends" not in first.plain
    drafts.commit(first, CREATED)
    assert instance.revision == 1
    unchanged = drafts.draft(instance, "me")
    assert unchanged.is_empty
    one_more = {"__op": "Increment", "amount": 1}
    assert drafts.versioned(unchanged) == {"revision": one_more}
    assert drafts.versioned(unchanged) == {"revision": one_more}
    assert unchanged.stored["revision"] == 2
    instance.title = "new"
    change = drafts.draft(instance, "me")
    assert change.plain == drafts.versioned(change) == {"title": "new", "revision": one_more}
    drafts.commit(change, UPDATED)
    assert instance.revision == 2
    assert drafts.versioned(drafts.draft(saved(note()), "me")) == {}
    blank = Tagged.blank()
    blank._state.object_id = "o1"  # of a row that was made before the field was declared
    blank.owner_id = "me"
    late = drafts.draft(blank, "me")
    assert late.stored["revision"] == 1
    empty = drafts.Draft(blank, {}, {}, {}, {})
    drafts.versioned(empty)
    assert empty.stored["revision"] == 1


BAD_ANSWERS = {
    "nothing": {},
    "no id": {"createdAt": "2026-11-23T12:00:00.000Z"},
    "no date": {"objectId": "o1"},
    "a number for an id": {"objectId": 5, "createdAt": "2026-11-23T12:00:00.000Z"},
    "a list for an id": {"objectId": ["o1"], "createdAt": "2026-11-23T12:00:00.000Z"},
    "an empty id": {"objectId": "", "createdAt": "2026-11-23T12:00:00.000Z"},
    "an id that is a path": {"objectId": "..", "createdAt": "2026-11-23T12:00:00.000Z"},
    "no id, but null": {"objectId": None, "createdAt": "2026-11-23T12:00:00.000Z"},
    "a bad date": {"objectId": "o1", "createdAt": "yesterday", "updatedAt": "yesterday"},
    "a number for a date": {"objectId": "o1", "createdAt": 5, "updatedAt": 5},
    "a nested date": {"objectId": "o1", "createdAt": {"iso": []}, "updatedAt": {"iso": []}},
    "null for a date": {"objectId": "o1", "createdAt": None, "updatedAt": None},
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_malformed_answer_to_a_save(answer: dict[str, object]) -> None:
    """It is an error of ours, and the object is as unsaved as before, new or not."""
    created = note()
    with pytest.raises(MalformedResponseError):
        drafts.commit(drafts.draft(created, "me"), answer)
    assert created.is_new
    assert created.created_at is None
    assert not created._state.stored
    changed = saved(note(body="old"))
    before = changed.updated_at
    changed.body = "new"
    with pytest.raises(MalformedResponseError):
        drafts.commit(drafts.draft(changed, "me"), answer)
    assert changed.updated_at == before
    assert changed._state.stored["body"] == b"old"
    assert drafts.draft(changed, "me").names == {"body"}


def test_the_default_acl_is_the_author_alone() -> None:
    """A new object with encrypted fields is readable and writable by its author only."""
    assert drafts.draft(note(), "me").plain["ACL"] == {"me": {"read": True, "write": True}}


def test_rules() -> None:
    """Rules answer or refuse; a public ACL is never guessed at."""
    assert acl_readers().user_ids(ACL(read=["a", "b"]), {}) == {"a", "b"}
    for public in (ACL(public_read=True), None):
        with pytest.raises(PublicReadError):
            acl_readers().user_ids(public, {})
    assert acl_readers().user_ids(ACL(read=["role:Admins"]), {}) == {RoleMembers("Admins")}
    both = users("a") | only_me() | role("Admins")
    assert both.user_ids(None, {"a": "x"}) == {"x", RoleMembers("Admins")}
    assert both.attributes() == ("a",)
    for ids in (["x", ""], [5]):
        with pytest.raises(RecipientRuleError):
            computed(lambda _, found=ids: found).user_ids(None, {})  # type: ignore[misc]
    with pytest.raises(RecipientRuleError, match="no value"):
        computed(lambda values: [values["a"]], "a").user_ids(None, {})
    assert users("a", "b").user_ids(None, {"a": "x", "b": ["y", "z"]}) == {"x", "y", "z"}
    with pytest.raises(RecipientRuleError):
        users("a").user_ids(None, {})


def test_queries_on_encrypted_fields_are_refused() -> None:
    """A filter or an order that could never work is refused when it is built."""
    query = Query(Note, None)  # type: ignore[arg-type]  # nothing is fetched
    for build in (lambda: query.filter(body="x"), lambda: query.order_by("-secret")):
        with pytest.raises(EncryptedQueryError):
            build()
    with pytest.raises(InvalidQueryError):
        query.filter(nothing="x")
    with pytest.raises(InvalidValueError):
        query.filter(owner_id=5)


def test_bad_declarations_are_refused_by_the_class_statement() -> None:
    """A class that cannot be a Parse class never comes to be."""
    with pytest.raises(ModelDefinitionError, match="not a type"):

        class _Unknown(Model, parse_class="A"):
            value: object

    with pytest.raises(ModelDefinitionError, match="63"):

        class _Long(Model, parse_class="A" * 64):
            value: str

    with pytest.raises(ModelDefinitionError, match="signature"):

        class _NoAuthor(Model, parse_class="B"):
            value: str = encrypted(to=acl_readers())

    with pytest.raises(ModelDefinitionError, match="share"):

        class _Twice(Model, parse_class="C"):
            first: str
            second: str = field(column="first")


def test_wrong_names_are_noticed() -> None:
    """An attribute that is no field cannot be set."""
    with pytest.raises(AttributeError, match="title"):
        note().titel = "typo"


def test_no_plaintext_in_repr_and_pickles() -> None:
    """An object shows no decrypted value, and refuses pickling and copying."""
    instance = note(body="canary")
    assert "canary" not in repr(instance)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(NotPicklableError):
            leak(instance)


def test_a_missing_value_is_an_error() -> None:
    """A column without a value is None only where the type says so."""
    blank = Note.blank()
    assert blank.secret is None
    with pytest.raises(MissingValueError):
        _ = blank.body
