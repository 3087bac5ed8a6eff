"""A keystore in files: one per user, mode 0600, written atomically.

A crash at any point leaves the old file or the new one. A key file or folder that others may
read or write is refused, not repaired: its keys may be known already.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import (
    KeyFormatError,
    KeystoreError,
    KeystoreFileError,
    KeystorePermissionError,
)
from encrypted_parse.keystore.port import StoredKey

FORMAT_VERSION = 1
MAX_FILE_BYTES = 16 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_POSIX = os.name == "posix"


class FileKeystore:
    """Keeps each user's key in a file below *folder*.

    Args:
        folder: Made with mode 0700 when the first key is saved.
        application_id: The Parse app; keys of several apps never mix.
    """

    def __init__(self, folder: Path | str, application_id: str) -> None:
        self._root = Path(folder).expanduser()
        self._application_id = application_id
        self._folder = self._root / _file_name(application_id)
        self._cache: dict[str, tuple[tuple[int, ...], StoredKey]] = {}

    def find(self, user_id: str) -> StoredKey | None:
        """See `Keystore.find`.

        Raises:
            KeystorePermissionError: Others may read or write the file or its folder.
            KeystoreFileError: The file cannot be read, or is not a key file of this user.
        """
        path = self._path(user_id)
        try:
            descriptor = os.open(path, os.O_RDONLY | _no_follow())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeystoreFileError(f"cannot read {path}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            _check_private(path, status)
            _check_private(self._folder, self._folder.stat())
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            cached = self._cache.get(user_id)
            if cached is not None and cached[0] == version:
                return cached[1]
            content = file.read(MAX_FILE_BYTES + 1)
        stored = self._parse(path, user_id, content)
        self._cache[user_id] = (version, stored)
        return stored

    def save(self, stored: StoredKey, *, replacing: StoredKey | None = None) -> None:
        """See `Keystore.save`.

        Raises:
            KeystoreError: The user has another key already.
            KeystoreFileError: The file cannot be written; what was there is still there.
        """
        path = self._path(user_id)
        content = json.dumps(
            {
                "version": FORMAT_VERSION,
                "application_id": self._application_id,
                "user_id": user_id,
                "private_key": private_key.to_base64(),
            },
            indent=2,
        ).encode("ascii")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_private(self._folder, self._folder.stat())
            written = _write_new(path, content)
        except OSError as error:
            raise KeystoreFileError(
                f"cannot write {path}: {error.strerror}", hint="free space, or check the folder"
            ) from error
        if not written:
            present = self.find(user_id)
            if present is None or present.private_key != private_key:
                raise KeystoreError(
                    f"the user {user_id!r} has another key already", hint="delete it first"
                )

    def delete(self, user_id: str) -> None:
        """See `Keystore.delete`.

        Raises:
            KeystoreFileError: The file cannot be deleted.
        """
        self._cache.pop(user_id, None)
        path = self._path(user_id)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise KeystoreFileError(f"cannot delete {path}: {error.strerror}") from error

    def _path(self, user_id: str) -> Path:
        return self._folder / f"{_file_name(user_id)}.json"

    def _parse(self, path: Path, user_id: str, content: bytes) -> StoredKey:
        try:
            if len(content) > MAX_FILE_BYTES:
                raise ValueError("too long")
            fields = json.loads(content)
            expected = (FORMAT_VERSION, self._application_id, user_id)
            if (fields["version"], fields["application_id"], fields["user_id"]) != expected:
                raise ValueError("another key's file")
            return StoredKey(user_id, PrivateKey.from_base64(fields["private_key"]))
        except (ValueError, KeyError, TypeError, AttributeError, KeyFormatError):
            # `from None`: the cause may quote the file.
            raise KeystoreFileError(
                f"{path} is damaged or belongs to another user or app",
                hint="bring back a copy of the file; it was left as it is",
            ) from None

    def __repr__(self) -> str:
        return f"<FileKeystore {self._folder}>"


def default_keystore_folder(environ: Mapping[str, str]) -> Path:
    """Return where key files rest by default: the user's data folder."""
    base = environ.get("XDG_DATA_HOME") or environ.get("LOCALAPPDATA")
    root = Path(base) if base else Path(environ.get("HOME") or Path.home()) / ".local" / "share"
    return root / "encrypted_parse" / "keys"


def _file_name(identifier: str) -> str:
    """Return a name that cannot leave the folder and that no two identifiers share.

    Base32, since some file systems do not tell upper case from lower; a digest where that gets
    too long.
    """
    encoded = identifier.encode("utf-8", "surrogatepass")
    longest = 100
    if len(encoded) > longest:
        return "sha256-" + hashlib.sha256(encoded).hexdigest()
    return base64.b32encode(encoded).decode("ascii").rstrip("=").lower() or "empty"


def _write_new(path: Path, content: bytes) -> bool:
    """Write a file that was not there, whole or not at all; return False if it was there."""
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)  # fails if the file exists, and is atomic
        except FileExistsError:
            return False
        _sync_folder(path.parent)
        return True
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power loss."""
    if not _POSIX:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not _POSIX:
        return
    if status.st_uid != os.geteuid():
        raise KeystorePermissionError(f"{path} belongs to another user of this machine")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise KeystorePermissionError(
            f"{path} has mode {mode:04o}: others can reach private keys",
            hint="if nobody did, `chmod -R go-rwx` it; else register with new keys",
        )


def _no_follow() -> int:
    return getattr(os, "O_NOFOLLOW", 0)
