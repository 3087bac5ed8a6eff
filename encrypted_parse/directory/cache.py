"""A cache of chains: one request for many users, one request for many callers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future

from encrypted_parse.directory.cards import Card
from encrypted_parse.directory.chains import CardChain, link_cards
from encrypted_parse.directory.client import DirectoryClient, blamed
from encrypted_parse.directory.shelf import Shelf
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    CardChainError,
    CardError,
    DirectoryError,
    MultipleCardsError,
    NotRegisteredError,
    UnusableCardsError,
)
from encrypted_parse.locks import Lock, PerProcess

CACHE_SECONDS = 300.0  # how long a rotated key may go unnoticed
FAILURE_SECONDS = 15.0  # how long a user's repair may: else each value of theirs costs a request
CACHE_USERS = 10_000
CACHE_BYTES = 32 * 1024 * 1024
_Found = CardChain | CardError


@front_door
class CachingDirectory:
    """Users' chains, fetched once and kept for a while. Thread-safe.

    That a user has no card is never remembered: the next call asks again. That a user's cards
    cannot be used is remembered for some seconds.

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
        self._clock = clock
        self._lock = Lock()
        self._users = cache_users
        self._kept: Shelf[tuple[float, _Found]] = Shelf(cache_users, CACHE_BYTES)
        # What another thread fetches never arrives in a forked child, which fetches it itself.
        self._pending: PerProcess[dict[str, Future[_Found | None]]] = PerProcess(dict)

    def look_up(self, user_ids: Collection[str], *, force: bool = False) -> dict[str, _Found]:
        """Return the chain of each user who has one, or why the user's cards cannot be used.

        Users that another thread is fetching already are waited for, not fetched again.

        Args:
            user_ids: Any number, repetitions allowed.
            force: Ask the directory even for users in the cache.

        Raises:
            DirectoryRefusedError: The directory refused the whole question.
            TokenError: It refuses the token.
            TransportError: It could not be reached, or sent no answer to a search.
        """
        found: dict[str, _Found] = {}
        ours: dict[str, Future[_Found | None]] = {}
        others: dict[str, Future[_Found | None]] = {}
        with self._lock:
            pending = self._pending.value
            for user_id in dict.fromkeys(user_ids):
                kept = None if force else self._cached(user_id)
                if kept is not None:
                    found[user_id] = kept
                elif user_id in pending and not force:
                    others[user_id] = pending[user_id]
                else:
                    pending[user_id] = ours[user_id] = Future()
        if ours:
            self._fetch(ours)
        for user_id, future in (ours | others).items():
            fetched = future.result()
            if fetched is not None:
                found[user_id] = fetched
        return found

    def find_chains(
        self, user_ids: Collection[str], *, force: bool = False
    ) -> dict[str, CardChain]:
        """Return the chain of each user who has one. See `look_up`.

        Raises:
            UnusableCardsError: Several users were asked for, and some have cards that cannot be
                used; says why for each.
            CardError: The same, for a single user.
        """
        found = self.look_up(user_ids, force=force)
        self._require(found, user_ids, missing_ok=True)
        return {user_id: one for user_id, one in found.items() if isinstance(one, CardChain)}

    def get_chains(self, user_ids: Collection[str], *, force: bool = False) -> dict[str, CardChain]:
        """Return the chain of every user.

        Raises:
            NotRegisteredError: Some have no card; lists all of them.
            UnusableCardsError: As `find_chains`; lists those without a card too.
        """
        found = self.look_up(user_ids, force=force)
        self._require(found, user_ids, missing_ok=False)
        return {user_id: one for user_id, one in found.items() if isinstance(one, CardChain)}

    def forget(self, user_id: str) -> None:
        """Drop a user from the cache."""
        with self._lock:
            self._kept.drop(user_id)

    def forget_all(self) -> None:
        """Empty the cache; what is being fetched at this moment does not get into it either."""
        with self._lock:
            self._kept = Shelf(self._users, CACHE_BYTES)
            self._pending.value.clear()

    @staticmethod
    def _require(found: dict[str, _Found], user_ids: Collection[str], *, missing_ok: bool) -> None:
        """Raise for users that cannot be used, and, unless *missing_ok*, for those without a card.

        What is raised is a copy: the cache's own would collect the frames of every caller.
        """
        wanted = list(dict.fromkeys(user_ids))
        missing = [] if missing_ok else [user_id for user_id in wanted if user_id not in found]
        reasons: dict[str, DirectoryError] = {
            user_id: copy.copy(one)
            for user_id in wanted
            if isinstance(one := found.get(user_id), CardError)
        }
        if reasons and len(wanted) == 1:
            raise reasons[wanted[0]]
        hint = "each user has to call register() once"
        if reasons:
            reasons |= {user_id: NotRegisteredError([user_id], hint=hint) for user_id in missing}
            raise UnusableCardsError(reasons)
        if missing:
            raise NotRegisteredError(missing, hint=hint)

    def _cached(self, user_id: str) -> _Found | None:
        entry = self._kept.find(user_id)
        if entry is None:
            return None
        since, found = entry
        seconds = self._seconds
        if isinstance(found, CardError):
            seconds = min(seconds, FAILURE_SECONDS)
        return found if self._clock() - since <= seconds else None

    def _fetch(self, ours: dict[str, Future[_Found | None]]) -> None:
        """Fetch for all callers; whatever happens, no waiter is left waiting."""
        kept = self._kept  # `forget_all` puts another one in its place
        try:
            answer = self.client.search(ours)
            fetched = {user_id: _one_chain(user_id, cards) for user_id, cards in answer.items()}
        except BaseException as error:  # noqa: BLE001 - handed to every waiter, ourselves included
            self._settle(ours)
            for future in ours.values():
                future.set_exception(error)
            return
        now = self._clock()
        with self._lock:
            for user_id in ours:
                one = fetched.get(user_id)
                if one is None:
                    kept.drop(user_id)
                else:
                    size = one.size_bytes if isinstance(one, CardChain) else 0
                    kept.put(user_id, (now, one), size)
        self._settle(ours)
        for user_id, future in ours.items():
            future.set_result(fetched.get(user_id))

    def _settle(self, ours: dict[str, Future[_Found | None]]) -> None:
        with self._lock:
            for user_id, future in ours.items():
                if self._pending.value.get(user_id) is future:
                    del self._pending.value[user_id]


def _one_chain(user_id: str, cards: list[Card] | CardError) -> _Found:
    """Return the one chain of a user's verified cards, or why there is none."""
    if isinstance(cards, CardError):
        return cards
    try:
        chains = link_cards(cards)
    except CardChainError as error:
        return blamed(user_id, error)
    if len(chains) > 1:
        several = f"there are {len(chains)} current cards, and no telling which key is right"
        return blamed(user_id, MultipleCardsError(several))
    return chains[0]
