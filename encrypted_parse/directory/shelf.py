"""A shelf: what was looked up last, up to a number of users and a number of bytes.

A user may have 200 cards of 16 KiB, so that users alone are no bound on memory.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from encrypted_parse.discretion import front_door

V = TypeVar("V")


@front_door
class Shelf(Generic[V]):
    """Values by user id; the least recently used leave first. Not thread-safe by itself."""

    def __init__(self, max_users: int, max_bytes: int) -> None:
        self._max_users = max_users
        self._max_bytes = max_bytes
        self._bytes = 0
        self._values: OrderedDict[str, tuple[int, V]] = OrderedDict()

    def find(self, user_id: str) -> V | None:
        """Return a user's value, which is used then."""
        entry = self._values.get(user_id)
        if entry is None:
            return None
        self._values.move_to_end(user_id)
        return entry[1]

    def put(self, user_id: str, value: V, size_bytes: int) -> None:
        """Keep a user's value, in place of an earlier one; one that is too large is not kept."""
        self.drop(user_id)
        if size_bytes > self._max_bytes:
            return
        self._values[user_id] = size_bytes, value
        self._bytes += size_bytes
        while len(self._values) > self._max_users or self._bytes > self._max_bytes:
            self.drop(next(iter(self._values)))

    def drop(self, user_id: str) -> None:
        """Forget a user's value, if there is one."""
        size_bytes, _ = self._values.pop(user_id, (0, None))
        self._bytes -= size_bytes
