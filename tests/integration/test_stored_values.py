"""Values as databases and other clients leave them: the app in memory and a real server agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from encrypted_parse import Model, Pointer, UserClient, encrypted, field, only_me
from encrypted_parse.errors import InvalidValueError
from encrypted_parse.testing import InMemoryApp

MakeUser = Callable[..., UserClient]


class Writer(Model):
    """Somebody who writes."""

    name: str
    secret: str | None = encrypted(to=only_me(), default=None)


class Volume(Model):
    """A row with many kinds of columns."""

    title: str
    total: int = 0
    weight: float = 0.0
    weights: list[float | None] = field(factory=list)
    tags: list[str] = field(factory=list)
    anything: Any = None
    answers: dict[str, int | None] = field(factory=dict)
    writer: Pointer[Writer] | None = None
    writers: list[Pointer[Writer] | None] = field(factory=list)
    note: str | None = encrypted(to=only_me(), default=None)
    scores: list[int | None] = encrypted(to=only_me(), factory=list)
    big: float | None = encrypted(to=only_me(), default=None)


NUMBERS = [2.0**53, 1e16, 1.7e18, 1e20, -1e17, 1e21, 1e300, 0.1, 5e-324]


def test_a_float_is_read_as_it_was_written(any_user: MakeUser) -> None:
    """Servers write 1e17 without a point: it is the same float, plain, encrypted, inside JSON."""
    ann = any_user()
    made = [
        Volume(title=str(n), weight=n, weights=[n, None], anything={"n": [n]}, big=n)
        for n in NUMBERS
    ]
    ann.save_all(made)
    found = {one.title: one for one in ann.query(Volume)}
    for number in NUMBERS:
        one = found[str(number)]
        shown = [one.weight, one.weights[0], one.anything["n"][0], one.big]
        assert shown == [number] * 4
        assert type(one.weight) is float
        assert ann.query(Volume).filter(weight=number).count() == 1
        one.title = "changed"
        ann.save(one)  # nothing else is to be sent, or refused


def test_an_int_that_no_float_holds_is_refused() -> None:
    """A float field does not round what it is given."""
    with pytest.raises(InvalidValueError):
        Volume(title="x", weight=2**53 + 1)
    with pytest.raises(InvalidValueError):
        Volume(title="x", weight=10**400)
    assert Volume(title="x", weight=2**60).weight == 2.0**60


def test_none_inside_lists_and_dicts(any_user: MakeUser) -> None:
    """`list[T | None]` means it, plain and encrypted."""
    ann = any_user()
    volume = Volume(title="x", weights=[None, 1.0], answers={"a": None, "b": 1}, scores=[None, 2])
    again = ann.refresh(ann.save(volume))
    assert (again.weights, again.answers, again.scores) == (
        [None, 1.0],
        {"a": None, "b": 1},
        [None, 2],
    )
    with pytest.raises(InvalidValueError):
        again.tags = ["a", None]  # type: ignore[list-item]  # the mistake


def test_operations_that_change_nothing(any_user: MakeUser) -> None:
    """The server leaves such results out of its answer; they are as they were."""
    ann = any_user()
    volume = ann.save(Volume(title="x", total=3, weight=1e15, tags=["tea"]))
    ann.increment(volume, total=0)
    ann.increment(volume, weight=0.01)
    ann.append(volume, unique=True, tags=["tea"])
    ann.append(volume, tags=[])
    ann.remove(volume, tags=["coffee"])
    assert (volume.total, volume.weight, volume.tags) == (3, 1e15, ["tea"])
    assert ann.save(volume) is volume
    ann.increment(volume, total=2)
    ann.append(volume, tags=["milk"])
    assert (volume.total, volume.tags) == (5, ["tea", "milk"])


def test_an_operation_that_happened_is_not_reported_as_broken() -> None:
    """A result that the field cannot hold locks it; the row has the change."""
    app = InMemoryApp()
    ann = app.make_user()
    volume = ann.save(Volume(title="x", tags=["a"]))
    app.parse.change("Volume", str(volume.object_id), tags=["a", None])
    ann.append(volume, tags=["b"])
    assert app.parse.rows("Volume")[0]["tags"] == ["a", None, "b"]
    assert "tags" in volume.locked


def test_whether_there_is_a_value_can_be_asked(any_user: MakeUser) -> None:
    """`__exists` is all that a server can tell of an encrypted column, and it may be asked."""
    ann = any_user()
    ann.save_all([Volume(title="with", note="x"), Volume(title="without")])
    assert [one.title for one in ann.query(Volume).filter(note__exists=False)] == ["without"]
    assert [one.title for one in ann.query(Volume).filter(note__exists=True)] == ["with"]


def test_lists_of_pointers_are_included(any_user: MakeUser) -> None:
    """Each pointer has its object, decrypted; one whose object is gone does no harm."""
    ann = any_user()
    ilf, petrov = (ann.save(Writer(name=n, secret=n)) for n in ("Ilf", "Petrov"))
    pointers = [Pointer.to(ilf), Pointer.to(petrov)]
    ann.save(Volume(title="The Twelve Chairs", writers=pointers, writer=ilf))
    [volume] = ann.query(Volume).include("writers", "writer")
    assert [one.target.secret for one in volume.writers if one] == ["Ilf", "Petrov"]
    volume.title = "Chairs"
    ann.save(volume)
    ann.delete(ilf)
    [volume] = ann.query(Volume).include("writers", "writer")
    assert [one.target.name for one in volume.writers if one] == ["Petrov"]
    assert volume.writer is None
    volume.writer = None
    ann.save(volume)
    assert ann.query(Volume).filter(writer__exists=True).count() == 0


def test_a_default_is_shown_and_not_written() -> None:
    """Rows of before a field was added show its default; only a change, or assigning, writes."""

    class Post(Model):
        title: str

    class PostOfToday(Model, parse_class="Post"):
        title: str
        likes: int = 0
        tags: list[str] = field(factory=list)
        draft: str = encrypted(to=only_me(), default="")
        maybe: int | None = 7

    app = InMemoryApp()
    ann = app.make_user()
    old = ann.save(Post(title="last year"))
    post = ann.get(PostOfToday, str(old.object_id))
    assert (post.likes, post.tags, post.draft, post.maybe) == (0, [], "", None)
    post.title = "changed"
    ann.save(post)
    assert not {"likes", "tags", "draft", "maybe"} & set(app.parse.rows("Post")[0])
    post.tags.append("new")
    post.likes = 0
    ann.save(post)
    row = app.parse.rows("Post")[0]
    assert (row["tags"], row["likes"], "draft" in row) == (["new"], 0, False)
    post.tags.clear()
    post.draft = "x"
    ann.save(post)
    assert app.parse.rows("Post")[0]["tags"] == []
    assert ann.get(PostOfToday, str(old.object_id)).draft == "x"
    part = ann.query(PostOfToday).only("title").first()
    assert part is not None
    assert not hasattr(part, "likes")
