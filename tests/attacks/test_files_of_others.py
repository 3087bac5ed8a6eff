"""Stored files: deleting an object destroys no other object's content, and nobody else's files.

On the app in memory, whose server lets users delete files, as few real ones do: the parts that go
here are those that are listed in `files_left` elsewhere, for a job with the master key.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from encrypted_parse import (
    Embedded,
    EncryptedFile,
    Model,
    Pointer,
    UserClient,
    acl_readers,
    encrypted,
    only_me,
)
from encrypted_parse.errors import (
    EncryptedParseError,
    InvalidValueError,
    MalformedResponseError,
    ModelDefinitionError,
    OutcomeUnknownError,
    ParseServerError,
    RecipientsNotRegisteredError,
)
from encrypted_parse.models.homes import Place
from encrypted_parse.models.model import ObjectState
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse


class Album(Embedded):
    """Files inside an embedded value."""

    cover: EncryptedFile
    more: list[EncryptedFile]


class Photo(Model):
    """An object with files in every way."""

    author_id: str
    title: str = ""
    picture: EncryptedFile | None = encrypted(to=acl_readers(), author="author_id", default=None)
    small: EncryptedFile | None = encrypted(to=acl_readers(), author="author_id", default=None)
    several: list[EncryptedFile] | None = encrypted(
        to=acl_readers(), author="author_id", default=None
    )
    named: dict[str, EncryptedFile] | None = encrypted(
        to=acl_readers(), author="author_id", default=None
    )
    album: Album | None = encrypted(to=acl_readers(), author="author_id", default=None)


class ByPointer(Model):
    """An object whose author is a pointer, and one of nobody but the reader."""

    author: Pointer[Any]
    picture: EncryptedFile | None = encrypted(to=acl_readers(), author="author", default=None)
    own: EncryptedFile | None = encrypted(to=only_me(), default=None)


@dataclasses.dataclass
class World:
    """Three users of an app that lets them delete files."""

    app: InMemoryApp
    alice: UserClient
    bob: UserClient
    mallory: UserClient

    def photo(self, author: UserClient | None = None, **values: Any) -> Photo:
        """Return an unsaved photo, which everybody may write."""
        made = Photo(author_id=(author or self.alice).user_id, **values)
        for user in (self.alice, self.bob, self.mallory):
            made.acl.allow_read(user.user_id)
            made.acl.allow_write(user.user_id)
        return made

    @property
    def files(self) -> set[str]:
        """What the server has."""
        return set(self.app.parse.files)


@pytest.fixture
def world() -> World:
    """A fresh app."""
    app = InMemoryApp()
    app.parse.files_deletable = True
    return World(app, app.make_user("alice"), app.make_user("bob"), app.make_user("mallory"))


def names(*files: EncryptedFile) -> set[str]:
    """Return the stored parts of files."""
    return {part.name for file in files for part in file.parts}


def content_of(reader: UserClient, file: EncryptedFile | None) -> bytes:
    """Download a file."""
    assert file is not None
    target = io.BytesIO()
    reader.download(file, target)
    return target.getvalue()


WAYS: dict[str, Callable[[EncryptedFile], dict[str, Any]]] = {
    "the same field": lambda file: {"picture": file},
    "another field": lambda file: {"small": file},
    "a list": lambda file: {"several": [file]},
    "a dict": lambda file: {"named": {"x": file}},
    "an embedded value": lambda file: {"album": Album(cover=file, more=[])},
    "a list in an embedded value": lambda file: {"album": Album(cover=file, more=[file])},
}


@pytest.mark.parametrize("way", WAYS)
def test_one_upload_is_in_one_object(world: World, way: str) -> None:
    """A second object is refused with the step to take; deleting it destroys nothing."""
    upload = world.alice.upload(b"content")
    first = world.alice.save(world.photo(picture=upload))
    second = world.photo(**WAYS[way](upload))
    with pytest.raises(InvalidValueError, match="another object") as caught:
        world.alice.save(second)
    assert caught.value.hint is not None
    assert "upload()" in caught.value.hint
    assert second.is_new
    assert content_of(world.bob, world.bob.get(Photo, str(first.object_id)).picture) == b"content"
    again = world.alice.upload(b"content")
    second = world.alice.save(world.photo(**WAYS[way](again)))
    world.alice.delete(second)
    assert world.files == names(upload)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_fetched_stays_where_it_came_from(world: World, way: str) -> None:
    """Neither its author nor a reader can put a fetched file into an object of their own."""
    saved = world.alice.save(world.photo(**WAYS[way](world.alice.upload(b"content"))))
    for user in (world.alice, world.bob):
        got = user.get(Photo, str(saved.object_id))
        value = got.picture or got.small or (got.several or [None])[0]
        value = value or (got.named or {}).get("x") or (got.album and got.album.cover)
        assert isinstance(value, EncryptedFile)
        with pytest.raises(InvalidValueError, match="another object"):
            user.save(world.photo(user, picture=value))


def test_another_field_of_the_object_is_another_place(world: World) -> None:
    """A query that fetches one of two fields could not know that the other needs the parts."""
    upload = world.alice.upload(b"content")
    with pytest.raises(InvalidValueError, match="another object or field"):
        world.alice.save(world.photo(picture=upload, small=upload))
    saved = world.alice.save(world.photo(picture=upload))
    saved.small = saved.picture
    with pytest.raises(InvalidValueError, match="another object or field"):
        world.alice.save(saved)


def test_a_batch_and_a_transaction_give_it_to_one(world: World) -> None:
    """`save_all` saves the first and refuses the second; a transaction saves neither."""
    upload = world.alice.upload(b"content")
    world.alice.save(world.photo())  # a transaction makes no class
    both = [world.photo(picture=upload), world.photo(picture=upload)]
    with pytest.raises(InvalidValueError, match="another object"):
        world.alice.save_all(both, transaction=True)
    assert [one.is_new for one in both] == [True, True]
    both.insert(0, world.photo(picture=upload))  # what was not saved gives it back
    outcomes = world.alice.save_all(both)
    assert [outcome.error is None for outcome in outcomes] == [True, False, False]
    assert isinstance(outcomes[1].error, InvalidValueError)
    assert world.files == names(upload)


def test_an_update_of_many_objects_gives_it_to_none_or_one(world: World) -> None:
    """One upload assigned to every object of a query is in one of them at the most."""
    for _ in range(3):
        world.alice.save(world.photo())
    upload = world.alice.upload(b"content")
    objects = list(world.alice.query(Photo))
    for one in objects:
        one.picture = upload
    assert [outcome.error is None for outcome in world.alice.save_all(objects)] == [
        True,
        False,
        False,
    ]


def test_what_was_surely_not_saved_is_free(world: World) -> None:
    """After a refusal the upload may go into another object."""
    upload = world.alice.upload(b"content")
    refused = world.photo(picture=upload)
    refused.acl.allow_read("stranger")
    with pytest.raises(RecipientsNotRegisteredError):
        world.alice.save(refused)
    [outcome] = world.alice.save_all([refused])
    assert isinstance(outcome.error, RecipientsNotRegisteredError)

    def refuse(request: HttpRequest) -> HttpResponse | None:
        if request.url.endswith("/Photo") and request.method == "POST":
            return HttpResponse(400, {}, b'{"code":119,"error":"no"}')
        return None

    world.app.before = refuse
    with pytest.raises(ParseServerError):
        world.alice.save(world.photo(picture=upload))
    world.app.before = lambda _: None
    saved = world.alice.save(world.photo(picture=upload))
    assert content_of(world.alice, saved.picture) == b"content"


@pytest.mark.parametrize("answer", ["lost", "broken", "failed"])
def test_what_was_perhaps_saved_is_not_free(world: World, answer: str) -> None:
    """When nobody knows whether the object was saved, only that object may be tried again."""
    upload = world.alice.upload(b"content")
    unsure = world.photo(picture=upload)
    answers = {"broken": HttpResponse(201, {}, b"{"), "failed": HttpResponse(500, {}, b"{}")}

    def lose(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if "/classes/Photo" in request.url:
            if answer == "lost":
                raise OutcomeUnknownError("cut")
            return answers[answer]
        return response

    world.app.after = lose
    with pytest.raises(EncryptedParseError):
        world.alice.save(unsure)
    world.app.after = lambda _, response: response
    with pytest.raises(InvalidValueError, match="another object"):
        world.alice.save(world.photo(picture=upload))
    world.alice.save(unsure)


def test_an_object_id_is_of_its_class() -> None:
    """Two classes may have objects of one id: they are two places."""
    one, two = ObjectState(), ObjectState()
    one.object_id = two.object_id = "abcdefghij"
    place = Place("Photo", "picture", one)
    assert place.is_same(Place("Photo", "picture", two))
    assert not place.is_same(Place("Image", "picture", two))
    assert not place.is_same(Place("Photo", "small", one))
    assert not place.is_same(Place("Photo", "picture", ObjectState()))
    assert not Place("Photo", "picture", ObjectState()).is_same(
        Place("Photo", "picture", ObjectState())
    )


def test_an_object_that_is_held_twice_is_one(world: World) -> None:
    """Two instances of one row may exchange their values; saving that changes nothing stored."""
    saved = world.alice.save(world.photo(picture=world.alice.upload(b"content")))
    again = world.alice.refresh(saved)
    again.picture = saved.picture
    again.acl.revoke(world.bob.user_id)
    world.alice.save(again)
    assert content_of(world.alice, world.alice.refresh(again).picture) == b"content"
    shared = world.alice.share(world.alice.refresh(again), with_=[world.bob.user_id])
    assert content_of(world.bob, world.bob.get(Photo, str(shared.object_id)).picture) == b"content"


def test_what_was_replaced_does_not_come_back(world: World) -> None:
    """A deleted upload is refused everywhere, and in an instance that is behind as well."""
    first = world.alice.upload(b"one")
    saved = world.alice.save(world.photo(picture=first))
    behind = world.alice.refresh(saved)
    saved.picture = world.alice.upload(b"two")
    world.alice.save(saved)
    assert world.files == names(saved.picture)
    saved.picture = first
    with pytest.raises(InvalidValueError, match="replaced or deleted"):
        world.alice.save(saved)
    behind.acl.revoke(world.bob.user_id)
    with pytest.raises(InvalidValueError, match="replaced or deleted") as caught:
        world.alice.save(behind)
    assert "refresh()" in str(caught.value.hint)
    assert content_of(world.alice, world.alice.refresh(saved).picture) == b"two"


def test_lists_and_embedded_values_leave_nothing_behind(world: World) -> None:
    """What is taken out of a list goes; what stays in it stays; all go with the object."""
    files = [world.alice.upload(str(number).encode()) for number in range(5)]
    album = Album(cover=files[3], more=[files[4]])
    saved = world.alice.save(world.photo(several=files[:2], named={"x": files[2]}, album=album))
    assert saved.several is not None
    del saved.several[0]
    world.alice.save(saved)
    assert world.files == names(*files[1:])
    world.alice.delete(world.alice.refresh(saved))
    assert world.files == set()


def forged(file: EncryptedFile, author: UserClient, parts: Any = None) -> EncryptedFile:
    """Return a file that names other parts and another author, as a hostile writer makes it."""
    return EncryptedFile(
        file.name,
        file.content_type,
        file.size,
        author.user_id,
        file.parts if parts is None else parts,
        file._digest,
        file._key,
    )


def ends(world: World, saved: Photo) -> Iterator[Callable[[], object]]:
    """Yield what alice can do so that the object needs its files no more."""

    def replace(value: EncryptedFile | None) -> object:
        mine = world.alice.get(Photo, str(saved.object_id))
        mine.author_id = world.alice.user_id
        mine.picture = value
        return world.alice.save(mine)

    yield lambda: replace(world.alice.upload(b"mine"))
    yield lambda: replace(None)
    yield lambda: world.alice.delete_all([world.alice.get(Photo, str(saved.object_id))])


@pytest.mark.parametrize("claimed", ["alice", "mallory"])
@pytest.mark.parametrize("end", range(3))
def test_parts_that_another_writer_names_are_not_touched(
    world: World, claimed: str, end: int
) -> None:
    """Mallory's object names alice's parts: alice deletes or replaces it, and keeps her own."""
    own = world.alice.save(world.photo(picture=world.alice.upload(b"precious")))
    read = world.mallory.get(Photo, str(own.object_id)).picture
    assert read is not None
    lie = forged(read, world.alice if claimed == "alice" else world.mallory)
    trap = world.mallory.save(world.photo(world.mallory, picture=lie))
    list(ends(world, trap))[end]()
    assert content_of(world.bob, world.bob.get(Photo, str(own.object_id)).picture) == b"precious"
    assert names(read).isdisjoint(world.alice.files_left)


def test_anothers_parts_are_not_touched_in_an_own_field(world: World) -> None:
    """A file whose author is somebody else is not ours to delete, though we saved the field."""
    bobs = world.bob.save(world.photo(world.bob, picture=world.bob.upload(b"precious")))
    read = world.alice.get(Photo, str(bobs.object_id)).picture
    assert read is not None
    mine = world.alice.save(world.photo(picture=forged(read, world.bob)))
    world.alice.delete(mine)
    assert names(read) <= world.files
    assert world.alice.files_left == ()


@pytest.mark.parametrize(
    "name", ["logo.png", "0" * 32 + ".txt", "x_" + "0" * 32 + ".bin", "0" * 31 + ".bin", "a.bin"]
)
def test_names_of_another_form_are_never_deleted(world: World, name: str) -> None:
    """An app's hook may rename uploads; what does not look like ours is not ours to delete."""
    world.app.parse.files[name] = b"the app's"
    upload = world.alice.upload(b"content")
    odd = forged(upload, world.alice, [attrs.evolve(upload.parts[0], name=name)])
    saved = world.alice.save(world.photo(picture=odd))
    world.alice.delete(saved)
    assert name in world.files
    assert world.alice.files_left == ()


def test_a_server_that_gives_anothers_name(world: World) -> None:
    """An upload that is answered with another random name is refused, and deletes nothing."""
    bobs = world.bob.upload(b"precious")
    [name] = names(bobs)

    def lie(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if "/files/" in request.url and request.method == "POST":
            return HttpResponse(201, {}, f'{{"name":"{name}"}}'.encode())
        return response

    world.app.after = lie
    with pytest.raises(MalformedResponseError, match="another file's name"):
        world.alice.upload(b"content")
    world.app.after = lambda _, response: response
    assert name in world.files
    assert world.alice.files_left == ()


def test_authors_by_pointer_and_without_a_field(world: World) -> None:
    """Own parts go where the author is a pointer to us, or nobody but ourselves."""
    picture, own = world.alice.upload(b"one"), world.alice.upload(b"two")
    saved = world.alice.save(
        ByPointer(author=Pointer.to_user(world.alice.user_id), picture=picture, own=own)
    )
    assert world.files == names(picture, own)
    world.alice.delete(world.alice.refresh(saved))
    assert world.files == set()


def test_no_plain_field_holds_a_file() -> None:
    """A list, a dict or an embedded value would store the file's key in plaintext, so: refused."""
    for kind in (EncryptedFile, list[EncryptedFile], dict[str, EncryptedFile], Album, list[Album]):
        with pytest.raises(ModelDefinitionError, match="encrypted"):
            type("Plain", (Model,), {"__annotations__": {"value": kind}})
