"""A cache of chains: one request for many users, one request for many callers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future

from encrypted_parse.directory.chains import CardChain, link_cards
from encrypted_parse.directory.client import DirectoryClient
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import MultipleCardsError, NotRegisteredError
from encrypted_parse.locks import Lock, PerProcess

CACHE_SECONDS = 300.0  # how long a rotated key may go unnoticed
CACHE_USERS = 10_000


@front_door
class CachingDirectory:
    """Users' chains, fetched once and kept for a while. Thread-safe.

    That a user has no card is never remembered: the next call asks again.

    Args:
        client: Fetches and verifies.
        cache_seconds: How long a chain is taken for current.
        cache_users: How many users are kept; the least recently used leave first.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: DirectoryClient,
        *,
        cache_seconds: float = CACHE_SECONDS,
        cache_users: int = CACHE_USERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self._seconds = cache_seconds
        self._users = cache_users
        self._clock = clock
        self._lock = Lock()
        self._chains: OrderedDict[str, tuple[float, CardChain]] = OrderedDict()
        # What another thread fetches never arrives in a forked child, which fetches it itself.
        self._pending: PerProcess[dict[str, Future[CardChain | None]]] = PerProcess(dict)

    def find_chains(
        self, user_ids: Collection[str], *, force: bool = False
    ) -> dict[str, CardChain]:
        """Return the chain of each user who has one.

        Users that another thread is fetching already are waited for, not fetched again.

        Args:
            user_ids: Any number, repetitions allowed.
            force: Ask the directory even for users in the cache.

        Raises:
            DirectoryError: The directory refused, or sent what cannot be trusted.
            MultipleCardsError: A user has several current cards.
        """
        found: dict[str, CardChain] = {}
        ours: dict[str, Future[CardChain | None]] = {}
        others: dict[str, Future[CardChain | None]] = {}
        with self._lock:
            pending = self._pending.value
            for user_id in dict.fromkeys(user_ids):
                chain = None if force else self._cached(user_id)
                if chain is not None:
                    found[user_id] = chain
                elif user_id in pending and not force:
                    others[user_id] = pending[user_id]
                else:
                    pending[user_id] = ours[user_id] = Future()
        if ours:
            self._fetch(ours)
        for user_id, future in (ours | others).items():
            chain = future.result()
            if chain is not None:
                found[user_id] = chain
        return found

    def get_chains(self, user_ids: Collection[str], *, force: bool = False) -> dict[str, CardChain]:
        """Return the chain of every user.

        Raises:
            NotRegisteredError: Some have no card; lists all of them.
            DirectoryError: As `find_chains`.
        """
        found = self.find_chains(user_ids, force=force)
        missing = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in found]
        if missing:
            raise NotRegisteredError(missing, hint="each user has to call register() once")
        return found

    def forget(self, user_id: str) -> None:
        """Drop a user from the cache."""
        with self._lock:
            self._chains.pop(user_id, None)

    def _cached(self, user_id: str) -> CardChain | None:
        entry = self._chains.get(user_id)
        if entry is None or self._clock() - entry[0] > self._seconds:
            return None
        self._chains.move_to_end(user_id)
        return entry[1]

    def _fetch(self, ours: dict[str, Future[CardChain | None]]) -> None:
        """Fetch for all callers; whatever happens, no waiter is left waiting."""
        try:
            answer = self.client.search(ours)
            linked = {user_id: link_cards(cards) for user_id, cards in answer.items()}
        except BaseException as error:  # noqa: BLE001 - handed to every waiter, ourselves included
            self._settle(ours)
            for future in ours.values():
                future.set_exception(error)
            return
        now = self._clock()
        with self._lock:
            for user_id, chains in linked.items():
                if len(chains) == 1:
                    self._chains[user_id] = (now, chains[0])
                    self._chains.move_to_end(user_id)
            while len(self._chains) > self._users:
                self._chains.popitem(last=False)
        self._settle(ours)
        for user_id, future in ours.items():
            chains = linked.get(user_id, [])
            if len(chains) > 1:
                future.set_exception(
                    MultipleCardsError(
                        f"the user {user_id!r} has {len(chains)} current cards",
                        hint="unregister and register the user again",
                    )
                )
            else:
                future.set_result(chains[0] if chains else None)

    def _settle(self, ours: dict[str, Future[CardChain | None]]) -> None:
        with self._lock:
            for user_id, future in ours.items():
                if self._pending.value.get(user_id) is future:
                    del self._pending.value[user_id]
