"""Files that one user of the machine owns alone, replaced whole or not at all."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock
from attrs import frozen

from encrypted_parse.errors import KeystoreFileError, KeystorePermissionError
from encrypted_parse.ownership import OTHERS, make_private_folder, require_own, require_safe_way
from encrypted_parse.streams.target import sync_folder

LOCK_SECONDS = 20.0
_LOCK_NAME = ".lock"
_NEW_PREFIX = ".new-"
_LONGEST_NAME_BYTES = 100


@frozen
class FileContent:
    """What a file held, and what tells that version of it from any other."""

    version: tuple[int, ...]
    content: bytes


def file_name(identifier: str) -> str:
    """Return a name that cannot leave its folder and that no two identifiers share.

    Base32, since some file systems do not tell upper case from lower; a digest where that gets
    too long.
    """
    encoded = identifier.encode("utf-8", "surrogatepass")
    if len(encoded) > _LONGEST_NAME_BYTES:
        return "sha256-" + hashlib.sha256(encoded).hexdigest()
    return base64.b32encode(encoded).decode("ascii").rstrip("=").lower() or "empty"


def read_private(path: Path, limit_bytes: int) -> FileContent | None:
    """Return a file's content, at most *limit_bytes* and one; None if it is not there.

    Raises:
        KeystorePermissionError: Others may read or write it or its folder, or exchange one on the
            way to it.
        KeystoreFileError: It cannot be read, or is a symbolic link.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeystoreFileError(f"cannot read {path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        _require_private(path, status)
        require_safe_way(path.parent, KeystorePermissionError)
        _require_private(path.parent, path.parent.stat())
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        return FileContent(version, os.read(descriptor, limit_bytes + 1))  # a file: all at once
    except OSError as error:
        raise KeystoreFileError(f"cannot read {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold *folder* against every other writer; it and what is missing above it get mode 0700.

    Raises:
        KeystorePermissionError: Others may read or write it, or exchange a folder on the way.
        KeystoreFileError: It cannot be made or written, or another program holds it for longer
            than 20 seconds.
    """
    with _translated(folder):
        make_private_folder(folder, KeystorePermissionError)
        _require_private(folder, folder.stat())
        lock = filelock.FileLock(folder / _LOCK_NAME, timeout=LOCK_SECONDS, mode=0o600)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise KeystoreFileError(
                f"another program has been writing in {folder} for {LOCK_SECONDS:.0f} s",
                hint="look for one that hangs, and try again",
            ) from None
    try:
        yield
    finally:
        lock.release()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, mode 0600, whole or not at all; the caller holds its folder.

    Returns once it would survive a loss of power.

    Raises:
        KeystoreFileError: It cannot be written; what was there is still there.
    """
    with _translated(path):
        for leftover in path.parent.glob(f"{_NEW_PREFIX}*"):  # of a program that was killed here
            leftover.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_NEW_PREFIX, dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)  # noqa: PTH105 - the call whose place in time counts
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - as above
            raise
        sync_folder(path.parent)


def delete_file(path: Path) -> None:
    """Delete a file for good, if it is there; the caller holds its folder.

    Raises:
        KeystoreFileError: It cannot be deleted.
    """
    with _translated(path):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeystoreFileError(
            f"cannot write {path}: {error.strerror}", hint="free space, or check the folder"
        ) from error


def _require_private(path: Path, status: os.stat_result) -> None:
    hint = "if nobody did, `chmod -R go-rwx` it; else register with new keys"
    require_own(path, status, KeystorePermissionError, forbidden=OTHERS, hint=hint)
