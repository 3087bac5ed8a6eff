"""One process at a time, by a lock that ends with the process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encrypted_parse.errors import DevServerError

try:
    import fcntl
except ImportError:  # not on Windows, where the local server does not run either
    fcntl = None  # type: ignore[assignment]

_POLL_SECONDS = 0.2


@contextmanager
def locked_file(path: Path, *, timeout_seconds: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on *path* during the block; the file itself stays.

    Raises:
        DevServerError: Another process holds it longer than *timeout_seconds*.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + timeout_seconds
        while fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise DevServerError(
                        f"another process is using {path.parent}",
                        hint="stop the other local server, or choose another folder",
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
