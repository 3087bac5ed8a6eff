"""Models without a network: declaration, assignment, and what a save would send."""

from __future__ import annotations

import copy
import pickle

import pytest

from encrypted_parse import (
    ACL,
    Model,
    acl_readers,
    computed,
    encrypted,
    field,
    only_me,
    role,
    users,
)
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.envelope import sign_and_encrypt, to_text
from encrypted_parse.errors import (
    DoubleEncryptionError,
    EncryptedQueryError,
    InvalidQueryError,
    InvalidValueError,
    MissingValueError,
    ModelDefinitionError,
    NotPicklableError,
    PublicReadError,
    RecipientRuleError,
)
from encrypted_parse.models import Query, RoleMembers, drafts

KEY = PrivateKey.generate()


class Note(Model):
    """A model of the tests."""

    owner_id: str
    reader_id: str | None = None
    title: str = field(column="heading", default="untitled")
    body: str = encrypted(to=users("reader_id"), author="owner_id")
    secret: int | None = encrypted(to=only_me(), default=None)


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
    drafts.commit(first, {"objectId": "o1", "createdAt": "2026-11-23T12:00:00.000Z"})
    assert drafts.draft(instance, "me").is_empty
    instance.title = "new"
    assert drafts.draft(instance, "me").plain == {"heading": "new"}
    instance.reader_id = "third"
    assert drafts.draft(instance, "me").sealed == {frozenset({"me", "third"}): {"body": b"text"}}
    instance.secret = None
    assert drafts.draft(instance, "me").plain["secret"] == {"__op": "Delete"}


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
