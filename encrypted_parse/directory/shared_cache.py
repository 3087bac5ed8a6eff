"""What is kept of the directory's answers, for all users of one app in one process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from attrs import frozen

from encrypted_parse.directory.chains import CardChain
from encrypted_parse.directory.shelf import Shelf
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import CardError
from encrypted_parse.locks import Lock, PerProcess

CACHE_USERS = 10_000
CACHE_BYTES = 32 * 1024 * 1024
Found = CardChain | CardError


@front_door
@frozen
class Ended:
    """A user whose account was deleted.

    Attributes:
        found: The last chain, or why it cannot be used; None if the operator erased it.
    """

    found: Found | None


@front_door
class CardCache:
    """Verified chains and failures by user id. Its methods want *lock* to be held.

    Only what was verified with the pinned key comes in, whoever of the app's users asked. Whether
    a key is trusted is each user's own judgement, and not kept here.

    Args:
        users: How many are kept; the least recently used leave first.
        clock: Monotonic seconds.

    Attributes:
        lock: To be held over whatever reads or writes here.
        serves_ended: False once the directory did not know the question for ended chains.
    """

    def __init__(
        self, *, users: int = CACHE_USERS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self.lock = Lock()
        self.serves_ended = True
        self._users = users
        self._not_before = -math.inf
        self._kept: Shelf[tuple[float, Found]] = Shelf(users, CACHE_BYTES)
        self._ended: Shelf[Ended] = Shelf(users, CACHE_BYTES)
        self._renewed: Shelf[float] = Shelf(users, CACHE_BYTES)
        # What another thread fetches never arrives in a forked child, which fetches it itself.
        self._pending: PerProcess[dict[str, tuple[object, Future[Found | None]]]] = PerProcess(dict)

    @property
    def pending(self) -> dict[str, tuple[object, Future[Found | None]]]:
        """By user id, who is asking at the moment, and where the answer will be."""
        return self._pending.value

    def find(self, user_id: str, seconds: float, failure_seconds: float) -> Found | None:
        """Return what was asked for at most so long ago; a failure, *failure_seconds* if less."""
        entry = self._kept.find(user_id)
        if entry is None:
            return None
        asked_at, found = entry
        if isinstance(found, CardError):
            seconds = min(seconds, failure_seconds)
        return found if self.clock() - asked_at <= seconds else None

    def keep(self, user_id: str, found: Found | None, asked_at: float) -> None:
        """Take an answer, None for no card; not in place of one that was asked for later."""
        entry = self._kept.find(user_id)
        if asked_at < self._not_before or (entry is not None and entry[0] > asked_at):
            return
        if found is None:
            self._kept.drop(user_id)
        else:
            self._kept.put(user_id, (asked_at, found), _size(found))

    def drop(self, user_id: str) -> None:
        """Forget what was found of a user."""
        self._kept.drop(user_id)

    def forget_all(self) -> None:
        """Forget what was found; what is being asked for at this moment is not kept either."""
        self._not_before = self.clock()
        self._kept = Shelf(self._users, CACHE_BYTES)
        self.pending.clear()

    def settle(self, ours: Mapping[str, Future[Found | None]]) -> None:
        """Take back questions that are answered, or that failed."""
        for user_id, future in ours.items():
            if self.pending.get(user_id, (None, None))[1] is future:
                del self.pending[user_id]

    def may_renew(self, user_id: str, seconds: float) -> bool:
        """Tell whether no renewal of this user was granted in the last *seconds*; grant this one.

        Whoever writes values that do not verify must not cause a request for each.
        """
        now, last = self.clock(), self._renewed.find(user_id)
        if last is not None and now - last < seconds:
            return False
        self._renewed.put(user_id, now, 0)
        return True

    def find_ended(self, user_id: str) -> Ended | None:
        """Return what is known of a deleted account: for good, since that is final."""
        return self._ended.find(user_id)

    def keep_ended(self, user_id: str, ended: Ended) -> None:
        """Remember a deleted account."""
        self._ended.put(user_id, ended, _size(ended.found))


def _size(found: Found | None) -> int:
    return found.size_bytes if isinstance(found, CardChain) else 0
