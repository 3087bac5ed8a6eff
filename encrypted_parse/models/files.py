"""Encrypted files: content in Parse's files, its key and its name in an encrypted field.

Parse's files have no ACL: whoever knows an address can fetch it. So what lies there is one
envelope of E3Kit's shared-file form, cut into parts that any server takes, under random names and
as `application/octet-stream`. Everything that says something (the key, the name, the type, the
order of the parts) is the value of an encrypted field, and so for that field's readers.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs
from attrs import frozen

from encrypted_parse import streams
from encrypted_parse._translating import translating
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.errors import (
    EncryptedParseError,
    InvalidValueError,
    KeyFormatError,
    MalformedResponseError,
    NotPicklableError,
    ObjectNotFoundError,
    PermissionDeniedError,
    SignerNotFoundError,
    TamperedEnvelopeError,
)
from encrypted_parse.locks import Lock
from encrypted_parse.models import rows
from encrypted_parse.models.codecs import Codec, check_text
from encrypted_parse.models.homes import Home
from encrypted_parse.models.model import Model
from encrypted_parse.models.rules import user_id_of
from encrypted_parse.models.showing import shown
from encrypted_parse.parse import ParseClient
from encrypted_parse.trust import naming_former_keys

PART_BYTES = 8 * 1024 * 1024  # Parse Server takes 20 MB by default, and holds them in memory
MAX_PARTS = 4096  # bounds work on hostile input; the form itself ends at 4 GiB
MAX_NAME_CHARACTERS = 1024
OCTETS = "application/octet-stream"
_VERSION = 1
_DIGEST_BYTES = 32
# What `upload` calls a part, with what Parse Server puts before it. Nothing else is ever deleted.
_OWN_PART_NAME = re.compile(r"(?:[0-9a-f]{32}_)?([0-9a-f]{32}\.bin)")
_PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}", re.ASCII)
_log = logging.getLogger("encrypted_parse.files")

Progress = Callable[[int, int | None], None]
Content = str | os.PathLike[str] | bytes | BinaryIO


@frozen
class Part:
    """One stored piece: its name on the server, and how many bytes it has."""

    name: str
    size: int


@front_door
@frozen(repr=False)
class EncryptedFile:
    """A stored file as an encrypted field holds it: ``photo: EncryptedFile = encrypted(...)``.

    Made by `UserClient.upload`, opened by `UserClient.download`. It holds the file's key, so it
    is as secret as the field that it is in. It belongs to the first field that it is saved in,
    or that it was fetched from, and is refused in any other: its parts go with that object.

    Attributes:
        name: The file's name, as its author called it. Never a path; still, not yours to trust.
        content_type: Its type, as its author says.
        size: The content's length in bytes.
        author_id: The user who encrypted and signed it.
        home: Where it is saved, which is not for programs to change.
    """

    name: str
    content_type: str
    size: int
    author_id: str
    parts: tuple[Part, ...]
    _digest: bytes
    _key: PrivateKey
    home: Home = attrs.field(factory=Home, eq=False, kw_only=True)

    def __repr__(self) -> str:
        return f"<EncryptedFile of {self.size} bytes>"

    def __reduce__(self) -> Any:  # noqa: ANN401 - never returns
        raise NotPicklableError("an EncryptedFile holds a key and is not pickled")

    @classmethod
    def __parse_codec__(cls, arguments: tuple[Any, ...], where: str) -> Codec:
        def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
            if not isinstance(value, cls):
                raise InvalidValueError(
                    f"expected EncryptedFile, got {type(value).__name__}",
                    hint="upload() the content first, and assign what that returns",
                )
            return value

        return Codec(
            "EncryptedFile", check, _to_json, _from_json, kind=cls, ordered=False, files=_itself
        )


@shown.register
def _(value: EncryptedFile) -> dict[str, str]:
    return {"name": value.name}


@front_door
class Files:
    """One user's uploads and downloads. Thread-safe."""

    def __init__(self, parse: ParseClient, e3kit: E3Kit) -> None:
        self._parse = parse
        self._e3kit = e3kit
        self._lock = Lock()
        self._given_up: dict[str, bool] = {}  # by name, whether the server still has it
        self._may_delete = True

    @property
    def left(self) -> tuple[str, ...]:
        """Stored parts that no object of ours needs any more, and the server did not delete."""
        with self._lock:
            return tuple(name for name, is_left in self._given_up.items() if is_left)

    def is_given_up(self, name: str) -> bool:
        """Tell whether this client deleted a stored part, or would have."""
        with self._lock:
            return name in self._given_up

    def upload(
        self, content: Content, *, name: str | None, content_type: str, progress: Progress | None
    ) -> EncryptedFile:
        """Encrypt and store *content*. See `UserClient.upload`."""
        if name is None:
            name = Path(content).name if isinstance(content, (str, os.PathLike)) else "file"
        name = hushed(name)
        _check_name(name)
        check_text(content_type)
        writer = _PartWriter(self._parse)
        source = content = io.BytesIO(content) if isinstance(content, bytes) else content
        counted = _Counted(progress)
        try:
            key = self._e3kit.encrypt_shared_file(source, writer, progress=counted)
            writer.finish()
        except BaseException:
            self.discard(part.name for part in writer.parts)
            raise
        return EncryptedFile(
            str(name),
            content_type,
            counted.done,
            self._e3kit.user_id,
            tuple(writer.parts),
            writer.digest(),
            key,
        )

    def download(
        self,
        file: EncryptedFile,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        progress: Progress | None,
    ) -> None:
        """Fetch, verify and decrypt *file* into *target*. See `UserClient.download`."""

        def fetch() -> None:
            signers = self._e3kit.author_keys(file.author_id)
            source = _PartReader(self._parse, file)
            with naming_former_keys(signers):
                streams.decrypt_shared_file(
                    source,  # type: ignore[arg-type]  # a raw stream is read by readinto
                    target,
                    file_key=file._key,  # noqa: SLF001 - our own
                    signers=signers,
                    progress=progress,
                )

        try:
            fetch()
        except SignerNotFoundError:
            if not self._e3kit.renew_authors([file.author_id]):
                raise
            fetch()

    def discard(self, names: Iterable[str]) -> None:
        """Delete stored parts; what the server does not let go is in `left`, and logged once.

        Names that `upload` does not give are passed over: they are somebody else's files.
        """
        for name in names:
            if not _OWN_PART_NAME.fullmatch(name):
                continue
            is_left = not self._delete(name)
            with self._lock:
                self._given_up[name] = is_left

    def _delete(self, name: str) -> bool:
        try:
            if self._may_delete:
                self._parse.delete_file(name)
                return True
        except ObjectNotFoundError:
            return True
        except PermissionDeniedError:
            # Parse Server lets only the master key delete files: there is no use in asking on.
            self._may_delete = False
            _log.info("the server does not let users delete files: they are listed instead")
        except EncryptedParseError as error:
            _log.warning("a stored file is left: %s", error)
        return False


def own_parts(instance: Model, user_id: str) -> frozenset[str]:
    """Return the parts of an object's stored files, as far as *user_id* wrote them there.

    The field has to be of that user's hand: whom a file names as its author, and which parts as
    its own, is for whoever wrote the field to say.
    """
    stored, fields = instance._state.stored, type(instance).fields  # noqa: SLF001 - our own
    found: set[str] = set()
    for declared, encryption in rows.encrypted_fields(instance):
        if declared.codec.files is None or declared.name not in stored:
            continue
        author = encryption.author
        if author is not None:
            named = fields[author].codec.from_json(stored[author]) if author in stored else None
            if user_id_of(named) != user_id:
                continue
        value = declared.codec.from_plaintext(stored[declared.name])
        for file in declared.codec.files_in(value):
            if file.author_id == user_id:
                found.update(part.name for part in file.parts)
    return frozenset(found)


class _Counted:
    """Progress that also remembers how much was read."""

    def __init__(self, progress: Progress | None) -> None:
        self.done = 0
        self._progress = progress

    def __call__(self, done: int, total: int | None) -> None:
        self.done = done
        if self._progress is not None:
            self._progress(done, total)


class _PartWriter(io.RawIOBase, BinaryIO):
    """A file object whose content becomes stored parts."""

    def __init__(self, parse: ParseClient) -> None:
        super().__init__()
        self.parts: list[Part] = []
        self._parse = parse
        self._pending = bytearray()
        self._hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        self._pending += data
        self._hash.update(data)
        while len(self._pending) >= PART_BYTES:
            self._store(bytes(self._pending[:PART_BYTES]))
            del self._pending[:PART_BYTES]
        return len(data)

    def finish(self) -> None:
        """Store what is left."""
        if self._pending:
            self._store(bytes(self._pending))
            self._pending.clear()

    def digest(self) -> bytes:
        """Return the SHA-256 of everything that was written."""
        return self._hash.digest()

    def _store(self, piece: bytes) -> None:
        wanted = f"{secrets.token_hex(16)}.bin"
        name = _checked_part_name(self._parse.upload_file(wanted, piece, OCTETS))
        own = _OWN_PART_NAME.fullmatch(name)
        if own is not None and own[1] != wanted:  # a hook of the app's may give another form
            raise MalformedResponseError("the server stored a file under another file's name")
        self.parts.append(Part(name, len(piece)))


class _PartReader(io.RawIOBase):
    """Stored parts as one stream. The last byte is given only if the digest of all is right."""

    def __init__(self, parse: ParseClient, file: EncryptedFile) -> None:
        super().__init__()
        self._parse = parse
        self._waiting = list(reversed(file.parts))
        self._digest = file._digest  # noqa: SLF001 - our own
        self._hash = hashlib.sha256()
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        if not self._piece and self._waiting:
            self._fetch(self._waiting.pop())
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def _fetch(self, part: Part) -> None:
        piece = self._parse.download_file(part.name, max_bytes=part.size)
        self._hash.update(piece)
        short = len(piece) != part.size
        if short or (not self._waiting and self._hash.digest() != self._digest):
            raise TamperedEnvelopeError("the stored file is not what its author stored")
        self._piece = memoryview(piece)


def _itself(file: EncryptedFile) -> tuple[EncryptedFile, ...]:
    return (file,)


def _check_name(name: str) -> None:
    check_text(name)
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or "/" in name or "\\" in name:
        raise InvalidValueError("a file's name has 1 to 1024 characters and is no path")


def _checked_part_name(name: Any) -> str:  # noqa: ANN401 - whatever was stored
    if not isinstance(name, str) or not _PART_NAME.fullmatch(name):
        raise InvalidValueError("the name of a stored file is not usable")
    return name


def _to_json(value: EncryptedFile) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "name": value.name,
        "type": value.content_type,
        "size": value.size,
        "author": value.author_id,
        "sha256": value._digest.hex(),  # noqa: SLF001 - our own
        "key": value._key.to_base64(),  # noqa: SLF001 - our own
        "parts": [attrs.astuple(part) for part in value.parts],
    }


def _from_json(value: Any) -> EncryptedFile:  # noqa: ANN401 - whatever was decrypted
    with translating(
        KeyError,
        TypeError,
        ValueError,
        InvalidValueError,
        KeyFormatError,
        to=lambda: InvalidValueError("the decrypted value is no EncryptedFile"),
    ):
        if not isinstance(value, Mapping) or value["version"] != _VERSION:
            raise ValueError("version")
        parts = tuple(Part(_checked_part_name(name), _size(size)) for name, size in value["parts"])
        digest = bytes.fromhex(value["sha256"])
        if not 0 < len(parts) <= MAX_PARTS or len(digest) != _DIGEST_BYTES:
            raise ValueError("parts")
        if any(part.size > PART_BYTES for part in parts):
            raise ValueError("part size")
        _check_name(value["name"])
        return EncryptedFile(
            value["name"],
            check_text(value["type"]),
            _size(value["size"]),
            check_text(value["author"]),
            parts,
            digest,
            PrivateKey.from_base64(value["key"]),
        )


def _size(value: Any) -> int:  # noqa: ANN401 - whatever was decrypted
    if type(value) is not int or value < 0:
        raise ValueError("size")
    return value
