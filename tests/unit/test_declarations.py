"""What a class statement means, or why it is refused."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest

from encrypted_parse import Embedded, Model, Pointer, acl_readers, encrypted, field, only_me
from encrypted_parse.errors import (
    AuthorMismatchError,
    EncryptedParseError,
    InvalidValueError,
    MissingValueError,
    ModelDefinitionError,
)
from encrypted_parse.testing import InMemoryApp


class Part(Embedded):
    """A part of something."""

    name: str = ""


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (list[str], []),
        (dict[str, int], {}),
        (Part, Part()),
        (list[Any], [{}]),
        (bytes, bytearray()),
    ],
)
@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("bare", [False, True])
def test_no_default_is_shared(annotation: Any, default: Any, secret: bool, bare: bool) -> None:
    """A default that could be changed in place is refused, and the hint names `factory=`."""
    declared = encrypted(to=only_me(), default=default) if secret else field(default=default)
    body = {"__annotations__": {"value": annotation}, "value": default if bare else declared}
    with pytest.raises(ModelDefinitionError) as raised:
        type("Shared", (Model,), body)
    assert "factory=" in str(raised.value.hint)
    if not secret:
        with pytest.raises(ModelDefinitionError):
            type("SharedPart", (Embedded,), body)


def test_a_factory_makes_a_value_for_each() -> None:
    """Two objects of one class share no list."""

    class Two(Model):
        tags: list[str] = field(factory=list)

    one, other = Two(), Two()
    one.tags.append("x")
    assert other.tags == []


@pytest.mark.parametrize(
    "name", ["fields", "parse_class", "version_field", "locked", "self", "acl"]
)
@pytest.mark.parametrize("as_text", [False, True])
def test_names_of_model_are_refused(name: str, as_text: bool) -> None:
    """A column that is called as something of `Model` is declared with `column=`."""
    body = {"__annotations__": {name: "str" if as_text else str}, name: "a default"}
    with pytest.raises(ModelDefinitionError) as raised:
        type("Taken", (Model,), body)
    assert "column=" in str(raised.value.hint)


def test_a_class_variable_is_no_field() -> None:
    """What is annotated as ClassVar stays the class's own, whatever its name."""

    class Described(Model):
        fields_shown: ClassVar[int] = 3
        title: str

    assert list(Described.fields) == ["title"]


def test_statements_that_attrs_would_misread() -> None:
    """A rule that was not called, no type, an own `__init__`, `id`: each with what to write."""
    with pytest.raises(ModelDefinitionError) as raised:
        encrypted(to=acl_readers)  # type: ignore[arg-type]  # the mistake
    assert raised.value.hint == "call it: to=acl_readers()"
    with pytest.raises(ModelDefinitionError, match="a field has a type"):
        type("Untyped", (Model,), {"body": encrypted(to=only_me())})
    with pytest.raises(ModelDefinitionError, match="__init__"):
        type("Own", (Model,), {"__annotations__": {"a": str}, "__init__": object.__init__})
    with pytest.raises(ModelDefinitionError) as raised:
        type("Identified", (Model,), {"__annotations__": {"id": str}})
    assert "object_id" in str(raised.value.hint)


def test_a_model_of_a_model_names_its_class() -> None:
    """A derived model shares its base's rows by saying so; an abstract base has none."""

    class Post(Model):
        title: str

    with pytest.raises(ModelDefinitionError) as raised:
        type("Draft", (Post,), {"__annotations__": {"note": str}})
    assert 'parse_class="Post"' in str(raised.value.hint)

    class Longer(Post, parse_class="Post"):
        note: str | None = None

    assert (Longer.parse_class, list(Longer.fields)) == ("Post", ["title", "note"])

    class Owned(Model, abstract=True, keep_names=True):
        owner_id: str

    class Thing(Owned):
        first_name: str

    assert (Thing.parse_class, list(Thing.fields)) == ("Thing", ["owner_id", "first_name"])
    assert [one.column for one in Thing.fields.values()] == ["owner_id", "first_name"]
    assert Thing(owner_id="u", first_name="A").first_name == "A"
    with pytest.raises(ModelDefinitionError, match="abstract"):
        Owned(owner_id="u")


def test_columns_keep_their_names() -> None:
    """With keep_names an attribute is its column; `column=` still wins."""

    class Person(Model, keep_names=True):
        first_name: str
        last_name: str = field(column="surname")

    assert [one.column for one in Person.fields.values()] == ["first_name", "surname"]


def test_a_twin_of_a_missing_column_is_pointed_out() -> None:
    """Rows of an app that writes snake_case: the first look says what to declare."""
    app = InMemoryApp()
    ann = app.make_user()

    class Written(Model, parse_class="Person", keep_names=True):
        first_name: str

    class Read(Model, parse_class="Person"):
        first_name: str | None = None

    ann.save(Written(first_name="Ada"))
    with pytest.warns(UserWarning, match="keep_names=True"):
        assert ann.query(Read).all()[0].first_name is None


def test_saved_objects_are_equal_by_their_row() -> None:
    """Two fetches of one row are one object to `==` and sets; an unsaved one is only itself."""

    class Post(Model):
        title: str

    class Other(Model):
        title: str

    app = InMemoryApp()
    ann = app.make_user()
    one, unsaved = ann.save(Post(title="a")), Post(title="a")
    again = ann.refresh(one)
    assert one == again
    assert len({one, again}) == 1
    assert unsaved != Post(title="a")
    assert unsaved == unsaved  # noqa: PLR0124 - the claim
    assert one != ann.save(Other(title="a"))
    assert one != "a"
    with pytest.raises(TypeError, match="when it is saved"):
        hash(unsaved)


def test_literals_and_tuples() -> None:
    """They are kept as JSON and come back as what they are; sets are refused with a way out."""

    class Ticket(Model):
        state: Literal["open", "closed"] = "open"
        level: Literal[1, 2] = 1
        place: tuple[str, int] = ("a", 1)
        tags: tuple[str, ...] = ()
        secret: Literal["x", "y"] = encrypted(to=only_me(), default="x")
        path: tuple[int | None, ...] = encrypted(to=only_me(), default=(1, None))

    app = InMemoryApp()
    ann = app.make_user()
    ticket = ann.save(Ticket(state="closed", tags=("a", "b")))
    again = ann.refresh(ticket)
    assert (again.state, again.level, again.place) == ("closed", 1, ("a", 1))
    assert (again.tags, again.secret, again.path) == (("a", "b"), "x", (1, None))
    assert ann.query(Ticket).filter(tags__contains="a").count() == 1
    for name, wrong in (("state", "lost"), ("level", True), ("place", ("a",)), ("tags", ["a"])):
        with pytest.raises(InvalidValueError):
            setattr(again, name, wrong)
    for annotation in (set[str], frozenset[int], Literal["a", 1]):
        with pytest.raises(ModelDefinitionError):
            type("Refused", (Model,), {"__annotations__": {"value": annotation}})


def test_a_missing_value_is_an_attribute_error() -> None:
    """`getattr` with a default and `hasattr` see that nothing is there; a locked value is there."""

    class Post(Model):
        title: str
        owner_id: str
        secret: str = encrypted(to=only_me())
        signed: str | None = encrypted(to=acl_readers(), author="owner_id", default=None)

    app = InMemoryApp()
    ann = app.make_user()
    post = ann.save(Post(title="a", owner_id=ann.user_id, secret="s", signed="t"))
    app.parse.change("Post", post.object_id, title=None, ownerId=None, secret="M" + "A" * 60)
    post = ann.refresh(post)
    assert getattr(post, "title", "none") == "none"
    assert not hasattr(post, "title")
    with pytest.raises(MissingValueError) as raised:
        _ = post.title
    assert raised.value.obj is None, "the object, with all its values, is no part of the error"
    for name in ("secret", "signed"):
        with pytest.raises(EncryptedParseError) as locked:
            getattr(post, name, "none")
        assert not isinstance(locked.value, AttributeError)


def test_an_acl_takes_what_stands_for_a_user() -> None:
    """A client, a pointer, a fetched user; nothing else is taken for one."""
    app = InMemoryApp()
    ann, ben = app.make_user(), app.make_user()

    class User(Model, parse_class="_User"):
        username: str

    class Note(Model):
        text: str

    note = Note(text="x")
    note.acl.allow_read(ben)
    note.acl.allow_write(Pointer.to_user(ann.user_id))
    assert note.acl.readers == {ben.user_id}
    assert note.acl.can_write(ann)
    note.acl.revoke(ann.get(User, ann.user_id))
    assert not note.acl.names(ann.user_id)
    for wrong in (7, None, Pointer("Thread", "t1"), ann.save(Note(text="y")), ""):
        with pytest.raises(InvalidValueError):
            note.acl.allow_read(wrong)  # type: ignore[arg-type]  # the mistake


def test_own_columns_of_users_are_signed_by_them() -> None:
    """`author="object_id"` is for `_User` alone: the row's user is its author."""

    class Me(Model, parse_class="_User"):
        username: str
        diary: str | None = encrypted(to=acl_readers(), author="object_id", default=None)

    with pytest.raises(ModelDefinitionError):

        class Note(Model):
            text: str = encrypted(to=acl_readers(), author="object_id")

    app = InMemoryApp()
    ann, ben = app.make_user(), app.make_user()
    me = ann.get(Me, ann.user_id)
    me.diary = "dear diary"
    me.acl.allow_read(ben)
    ann.save(me)
    assert ben.get(Me, ann.user_id).diary == "dear diary"
    stolen = ben.get(Me, ann.user_id)
    stolen.diary = "dear ben"
    with pytest.raises(AuthorMismatchError, match="that is not you"):
        ben.save(stolen)
