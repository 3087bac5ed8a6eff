"""Encrypted files: through Parse's files and back, in memory and on a real server."""

from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse import EncryptedFile, Model, UserClient, acl_readers, encrypted
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.devserver import DevServer
from encrypted_parse.errors import (
    ConnectionFailedError,
    EncryptedParseError,
    InvalidValueError,
    ModelDefinitionError,
    NotPicklableError,
    ObjectNotFoundError,
    ParseServerError,
    ResponseTooLargeError,
    SignerNotFoundError,
    SourceSizeError,
    TamperedEnvelopeError,
    TransportError,
)
from encrypted_parse.models.annotations import codec_for
from encrypted_parse.models.files import MAX_PARTS, PART_BYTES
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest

MakeUser = Callable[..., UserClient]
CANARY = b"canary-7f3a-never-on-the-server"


class Photo(Model, parse_class="FilePhoto"):
    """An object with a file."""

    author_id: str
    title: str = ""
    picture: EncryptedFile | None = encrypted(to=acl_readers(), author="author_id", default=None)


def photo(author: UserClient, content: bytes, *readers: UserClient) -> Photo:
    """Save a photo of *author* for *readers*."""
    made = Photo(author_id=author.user_id, picture=author.upload(content, name="a b.jpg"))
    for reader in readers:
        made.acl.allow_read(reader.user_id)
    return author.save(made)


def fetched(reader: UserClient, saved: Photo) -> EncryptedFile:
    """Return the file as *reader* gets it."""
    picture = reader.get(Photo, str(saved.object_id)).picture
    assert picture is not None
    return picture


def content_of(reader: UserClient, file: EncryptedFile) -> bytes:
    """Download a file into memory."""
    target = io.BytesIO()
    reader.download(file, target)
    return target.getvalue()


@pytest.mark.parametrize("size", [0, 1, 100_000, PART_BYTES, 2 * PART_BYTES + 5])
def test_a_reader_gets_what_was_uploaded(any_user: MakeUser, tmp_path: Path, size: int) -> None:
    """Content, name, type and size arrive; so does progress."""
    alice, bob = any_user(), any_user()
    source = tmp_path / "holiday.jpg"
    source.write_bytes(os.urandom(size))
    seen: list[int] = []
    uploaded = alice.upload(
        source, content_type="image/jpeg", progress=lambda done, _: seen.append(done)
    )
    assert (uploaded.name, uploaded.content_type, uploaded.size) == (
        "holiday.jpg",
        "image/jpeg",
        size,
    )
    assert seen[-1:] == ([size] if size else [])
    made = Photo(author_id=alice.user_id, picture=uploaded)
    made.acl.allow_read(bob.user_id)
    alice.save(made)
    got = fetched(bob, made)
    assert got == uploaded
    bob.download(got, tmp_path / "copy.jpg")
    assert (tmp_path / "copy.jpg").read_bytes() == source.read_bytes()


def test_the_server_learns_nothing(memory_app: InMemoryApp) -> None:
    """Random names, octets, ciphertext: neither content nor name nor type."""
    alice = memory_app.make_user()
    photo(alice, CANARY)
    [(name, stored)] = memory_app.parse.files.items()
    assert CANARY not in stored
    assert name.endswith(".bin")
    for request in memory_app.requests:
        everything = b"".join(
            [request.url.encode(), request.body or b"", str(request.headers).encode()]
        )
        assert CANARY not in everything
        assert b"a b.jpg" not in everything


def test_parts_are_random_and_apart(memory_app: InMemoryApp) -> None:
    """The same content twice gives other names, another key, other bytes."""
    alice = memory_app.make_user()
    one, two = alice.upload(CANARY), alice.upload(CANARY)
    assert {part.name for part in one.parts}.isdisjoint(part.name for part in two.parts)
    assert len(set(memory_app.parse.files.values())) == 2


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda files, a, _: files.update({a: files[a][:-1]}), TamperedEnvelopeError),
        (lambda files, a, _: files.update({a: files[a] + b"x"}), ResponseTooLargeError),
        (
            lambda files, a, _: files.update({a: files[a][:-1] + bytes([files[a][-1] ^ 1])}),
            TamperedEnvelopeError,
        ),
        (lambda files, a, b: files.update({a: files[b], b: files[a]}), EncryptedParseError),
        (lambda files, _, b: files.update({b: b""}), TamperedEnvelopeError),
        (lambda files, a, _: files.pop(a), ObjectNotFoundError),
    ],
    ids=["cut", "longer", "altered", "swapped", "emptied", "gone"],
)
def test_a_lying_store(
    memory_app: InMemoryApp, tmp_path: Path, change: Callable[..., Any], error: type[Exception]
) -> None:
    """Whatever the server gives back instead: an error, and the target stays as it was."""
    alice = memory_app.make_user()
    file = alice.upload(os.urandom(PART_BYTES + 1000))
    first, second = (part.name for part in file.parts)
    change(memory_app.parse.files, first, second)
    target = tmp_path / "target"
    target.write_text("as it was")
    with pytest.raises(error):
        alice.download(file, target)
    assert target.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [target]


def test_another_reader_cannot_pass_off_its_own(memory_app: InMemoryApp) -> None:
    """A file is its author's by signature: whoever has the key cannot make another."""
    alice, bob = memory_app.make_user(), memory_app.make_user()
    saved = photo(alice, b"real", bob)
    got = fetched(bob, saved)
    own = bob.upload(b"fake")
    bob_says = EncryptedFile(
        own.name, own.content_type, own.size, got.author_id, own.parts, own._digest, own._key
    )
    with pytest.raises(SignerNotFoundError):
        content_of(alice, bob_says)


def test_files_that_are_not_needed_any_more(any_user: MakeUser) -> None:
    """A real server lets no user delete: replaced and deleted files are listed."""
    alice = any_user()
    saved = photo(alice, b"one")
    old = fetched(alice, saved)
    saved.picture = alice.upload(b"two")
    assert alice.files_left == ()
    alice.save(saved)
    assert alice.files_left == tuple(part.name for part in old.parts)
    saved.title = "the file stays"
    alice.save_all([saved])
    assert len(alice.files_left) == 1
    saved.picture = None
    alice.save(saved)
    assert len(alice.files_left) == 2
    other = photo(alice, b"three")
    alice.delete_all([alice.refresh(other)])
    assert len(alice.files_left) == 3
    assert content_of(alice, old) == b"one"


def test_files_are_deleted_where_that_is_permitted(memory_app: InMemoryApp) -> None:
    """On a server that lets users, nothing is left."""
    memory_app.parse.files_deletable = True
    alice = memory_app.make_user()
    saved = photo(alice, b"one")
    saved.picture = alice.upload(b"two")
    alice.save(saved)
    assert len(memory_app.parse.files) == 1
    alice.delete(saved)
    assert memory_app.parse.files == {}
    assert alice.files_left == ()


def test_a_broken_upload_cleans_up(memory_app: InMemoryApp) -> None:
    """If a later part fails, the earlier ones are deleted or listed."""
    alice = memory_app.make_user()
    uploads = iter(range(100))

    def cut(request: HttpRequest) -> None:
        if "/files/" in request.url and request.method == "POST" and next(uploads) >= 2:
            raise ConnectionFailedError("cut")

    memory_app.before = cut
    with pytest.raises(TransportError):
        alice.upload(os.urandom(3 * PART_BYTES))
    assert set(alice.files_left) == set(memory_app.parse.files)
    assert len(alice.files_left) == 2


def test_what_is_no_file(memory_app: InMemoryApp, tmp_path: Path) -> None:
    """Paths as names, pipes, missing sources, wrong values: clear errors."""
    alice = memory_app.make_user()
    for name in ("", "a/b", "a\\b", "\0", "x" * 1025):
        with pytest.raises(InvalidValueError):
            alice.upload(b"x", name=name)
    with pytest.raises(FileNotFoundError):
        alice.upload(tmp_path / "missing")
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, pytest.raises(SourceSizeError):
        alice.upload(pipe)
    with pytest.raises(InvalidValueError, match="upload"):
        Photo(author_id="a", picture=b"bytes")  # type: ignore[arg-type]
    with pytest.raises(ModelDefinitionError, match="encrypted"):

        class _Plain(Model, parse_class="Plain"):
            picture: EncryptedFile

    file = alice.upload(b"x", name="secret name")
    assert "secret" not in repr(file)
    with pytest.raises(NotPicklableError):
        file.__reduce__()


def test_hostile_values() -> None:
    """A reader that is no author can be sent anything: it is checked before it is used."""
    codec, _ = codec_for(EncryptedFile, "test")
    good = {
        "version": 1,
        "name": "n",
        "type": "t",
        "size": 1,
        "author": "a",
        "sha256": "00" * 32,
        "key": PrivateKey.generate().to_base64(),
        "parts": [["a.bin", 1]],
    }
    codec.from_json(good)
    changes: list[dict[str, Any]] = [
        {"version": 2},
        {"name": "../x"},
        {"name": 5},
        {"size": -1},
        {"size": True},
        {"sha256": "00"},
        {"sha256": "zz" * 32},
        {"key": "x"},
        {"parts": []},
        {"parts": [["a.bin", 1]] * (MAX_PARTS + 1)},
        {"parts": [["../etc/passwd", 1]]},
        {"parts": [["a.bin?x=1", 1]]},
        {"parts": [["a.bin", PART_BYTES + 1]]},
        {"parts": [["a.bin"]]},
        {"parts": 5},
    ]
    for change in changes:
        with pytest.raises(InvalidValueError) as caught:
            codec.from_json({**good, **change})
        assert caught.value.__cause__ is None


def test_plain_files(any_user: MakeUser) -> None:
    """The plain client stores and fetches files that are meant for everybody."""
    alice = any_user()
    name = alice.parse.upload_file("logo.txt", b"public", "text/plain")
    assert alice.parse.download_file(name, max_bytes=6) == b"public"
    with pytest.raises(ResponseTooLargeError):
        alice.parse.download_file(name, max_bytes=5)
    with pytest.raises(ObjectNotFoundError):
        alice.parse.download_file("missing.txt", max_bytes=5)
    with pytest.raises(ParseServerError):
        alice.parse.with_session(None).upload_file("logo.txt", b"public", "text/plain")


class _Noise(io.RawIOBase):
    """Bytes that are made while they are read; tells its size, and its digest afterwards."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size, self._at = size, 0
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._at)
        buffer[:count] = bytes([self._at % 251]) * count
        self.hash.update(buffer[:count])
        self._at += count
        return count


@pytest.mark.parametrize("mebibytes", [40, pytest.param(1024, marks=pytest.mark.long)], ids=str)
def test_memory_is_flat(
    make_user: MakeUser, dev_server: DevServer, tmp_path: Path, mebibytes: int
) -> None:
    """A gigabyte goes up and comes down in the memory of a few parts."""
    alice = make_user()
    source = _Noise(mebibytes * 1024 * 1024)
    tracemalloc.start()
    try:
        file = alice.upload(source, name="noise")  # type: ignore[arg-type]  # a raw stream
        alice.download(file, tmp_path / "noise")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * PART_BYTES
    with (tmp_path / "noise").open("rb") as copy:
        assert hashlib.file_digest(copy, "sha256").digest() == source.hash.digest()
