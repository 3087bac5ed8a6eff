"""Writing files that are whole and verified, or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from encrypted_parse.streams.source import CHUNK_BYTES, File

_PRIVATE = 0o600
_USUAL = 0o666  # less the umask


@contextlib.contextmanager
def replaced(target: File, *, private: bool) -> Iterator[BinaryIO]:
    """Give a file that becomes *target* if the block ends well, and vanishes if it does not.

    A path is replaced in one step, so a crash at any point leaves the old file or the new one. A
    file object gets the content from a temporary file after the block; with *private* unset,
    that is while the block writes.

    Args:
        target: A path, or a binary file object that is writable.
        private: The content is plaintext: nobody else may read it, and nothing of it may be seen
            before the block has ended.
    """
    if isinstance(target, str | os.PathLike):
        with _replaced_path(Path(target), _PRIVATE if private else _USUAL) as file:
            yield file
    elif private:
        with tempfile.TemporaryFile() as spool:
            yield spool
            spool.seek(0)
            shutil.copyfileobj(spool, target, CHUNK_BYTES)
    else:
        yield target


@contextlib.contextmanager
def _replaced_path(path: Path, mode: int) -> Iterator[BinaryIO]:
    if path.is_dir():
        raise IsADirectoryError(f"the target {str(path)!r} is a folder")
    with _unnamed(path.parent, mode) or _named(path.parent, mode) as file:
        name = Path(file.name) if isinstance(file.name, str) else None
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            name = name or _give_name(file, path.parent)
            name.replace(path)
        except BaseException:
            if name is not None:
                name.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def _unnamed(folder: Path, mode: int) -> BinaryIO | None:
    """Make a file without a name, which even a crash cannot leave behind; None if unsupported."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.fdopen(os.open(folder, flag | os.O_RDWR, mode), "w+b", buffering=0)
    except FileNotFoundError:
        raise
    except OSError:
        return None


def _named(folder: Path, mode: int) -> BinaryIO:
    name = _new_name(folder)
    descriptor = os.open(
        name, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode
    )
    os.close(descriptor)
    return name.open("r+b", buffering=0)


def _give_name(file: BinaryIO, folder: Path) -> Path:
    name = _new_name(folder)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # With a folder's descriptor the system call follows the link to the open file.
        os.link(f"/proc/self/fd/{file.fileno()}", name, src_dir_fd=descriptor, follow_symlinks=True)
    finally:
        os.close(descriptor)
    return name


def _new_name(folder: Path) -> Path:
    return folder / f".{secrets.token_hex(8)}.part"


def sync_folder(folder: Path) -> None:
    """Make a new name in *folder* itself survive a loss of power."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
