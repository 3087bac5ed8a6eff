"""The data folder: everything that one local server keeps, used by one process at a time."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from encrypted_parse.devserver.locks import locked_file
from encrypted_parse.devserver.postgres import Account, stop_orphan
from encrypted_parse.devserver.secrets import FILE_NAME as SECRETS_NAME
from encrypted_parse.errors import DevServerError
from encrypted_parse.ownership import PRIVATE_FOLDER, make_folder

_PREFIX = "encrypted-parse-dev-"
_LOCK_NAME = "lock"
# What a start that was interrupted before it had made the keys may leave.
_HARMLESS = {_LOCK_NAME, ".gitignore", f"{SECRETS_NAME}.new"}
_PASSABLE_FOLDER = 0o755  # Postgres' account has to come through
_ABANDONED_SECONDS = 60.0  # far longer than a new folder is without a lock
_PUBLIC_BASES = ("/tmp", "/var/tmp")  # noqa: S108 - mkdtemp makes a private folder inside


@contextmanager
def data_folder(named: Path | str | None, account: Account | None) -> Iterator[Path]:
    """Hold a data folder: *named*, which stays, or a temporary one, which is removed.

    No Postgres of an earlier server runs in it any more, and *account* can enter it.

    Raises:
        DevServerError: Another server uses it, it holds other things, or it cannot be made.
    """
    with ExitStack() as stack:
        with _disk_errors_explained():
            if named is None:
                folder = _make_temporary(account)
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
            else:
                folder = _make_named(named, account)
            stack.enter_context(_locked(folder))
            (folder / ".gitignore").write_text("*\n", "utf-8")  # it holds keys
            if account is not None:
                account.let_in(folder)
            stop_orphan(folder)
        yield folder


def _locked(folder: Path) -> AbstractContextManager[None]:
    return locked_file(
        folder / _LOCK_NAME,
        busy=f"another local server is using {folder}",
        hint="stop it, or choose another data folder",
    )


@contextmanager
def _disk_errors_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DevServerError(
            f"cannot use the data folder: {error.strerror or error}: {error.filename}",
            hint="choose a folder that you may write, on a disk with free space",
        ) from error


def _make_named(named: Path | str, account: Account | None) -> Path:
    # Resolved, because a Postgres that is left over is recognized by this path.
    folder = Path(named).expanduser().resolve()
    make_folder(folder.parent, PRIVATE_FOLDER if account is None else _PASSABLE_FOLDER)
    make_folder(folder, PRIVATE_FOLDER)
    present = {path.name for path in folder.iterdir()}
    if SECRETS_NAME not in present and not present <= _HARMLESS:
        raise DevServerError(
            f"{folder} holds other things, and no {SECRETS_NAME} of a local server",
            hint="choose a new or empty folder for the server's data",
        )
    return folder


def _make_temporary(account: Account | None) -> Path:
    bases = [tempfile.gettempdir(), *_PUBLIC_BASES]
    if account is not None:
        bases = [base for base in bases if account.can_enter(Path(base))] or bases
    base = Path(bases[0]).resolve()
    _remove_abandoned(base)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))


def _remove_abandoned(base: Path) -> None:
    """Remove our temporary folders whose servers were killed together with their launchers."""
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError, DevServerError):
            found = folder.lstat()
            mine = found.st_uid == (os.geteuid() if hasattr(os, "geteuid") else 0)
            old = time.time() - (folder / _LOCK_NAME).stat().st_mtime > _ABANDONED_SECONDS
            if mine and old and stat.S_ISDIR(found.st_mode):
                with _locked(folder):
                    stop_orphan(folder)
                    shutil.rmtree(folder, ignore_errors=True)
