"""One process at a time, by a lock that ends with the process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encrypted_parse.errors import DevServerError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_POLL_SECONDS = 0.2


@contextmanager
def locked_file(
    path: Path, *, busy: str, hint: str, timeout_seconds: float = 0.0
) -> Iterator[None]:
    """Hold an exclusive lock on *path* during the block; the file itself stays.

    Raises:
        DevServerError: *busy*: another process holds it longer than *timeout_seconds*.
        OSError: The file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)  # not inherited by child processes
    try:
        deadline = time.monotonic() + timeout_seconds
        while not _lock(descriptor):
            if time.monotonic() >= deadline:
                raise DevServerError(busy, hint=hint)
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
