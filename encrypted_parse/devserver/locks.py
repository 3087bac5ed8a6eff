"""One process at a time, by a lock that ends with the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from encrypted_parse.errors import DevServerError


@contextmanager
def locked_file(
    path: Path, *, busy: str, hint: str, timeout_seconds: float = 0.0
) -> Iterator[None]:
    """Hold an exclusive lock on *path* during the block; the file itself stays.

    Raises:
        DevServerError: *busy*: another process holds it longer than *timeout_seconds*.
        OSError: The file cannot be made.
    """
    try:
        lock = filelock.FileLock(path, timeout=timeout_seconds).acquire()
    except filelock.Timeout:
        raise DevServerError(busy, hint=hint) from None
    with lock:
        yield
