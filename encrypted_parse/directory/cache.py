"""The directory through a cache: one request for many users, one request for many callers."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from concurrent.futures import Future

from encrypted_parse.directory.cards import Card
from encrypted_parse.directory.chains import CardChain, link_cards
from encrypted_parse.directory.client import DirectoryClient, blamed
from encrypted_parse.directory.shared_cache import CardCache, Ended, Found
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    CardChainError,
    CardError,
    DirectoryError,
    MultipleCardsError,
    NotRegisteredError,
    UnusableCardsError,
)

CACHE_SECONDS = 300.0  # how long a rotated key may go unnoticed by who only reads
WRITING_SECONDS = 5.0  # and by who writes, where no guard refuses a replaced key
FAILURE_SECONDS = 15.0  # how long a user's repair may: else each value of theirs costs a request
RENEWAL_SECONDS = 5.0  # between two questions about a user whose signatures fail


@front_door
class CachingDirectory:
    """Users' chains, fetched once and kept for a while. Thread-safe.

    That a user has no card is never remembered: the next call asks again. That a user's cards
    cannot be used is remembered for some seconds.

    Args:
        client: Fetches and verifies, with one user's token.
        cache: What is kept, for every client of one directory and one pinned key that has it
            (ADR 24); by default one of its own.
        cache_seconds: How long a chain is taken for current by who reads.
        writing_seconds: And by who writes.
    """

    def __init__(
        self,
        client: DirectoryClient,
        *,
        cache: CardCache | None = None,
        cache_seconds: float = CACHE_SECONDS,
        writing_seconds: float = WRITING_SECONDS,
    ) -> None:
        self.client = client
        self._cache = cache or CardCache()
        self._seconds = cache_seconds
        self._writing_seconds = min(writing_seconds, cache_seconds)

    def look_up(
        self, user_ids: Collection[str], *, force: bool = False, to_write: bool = False
    ) -> dict[str, Found]:
        """Return the chain of each user who has one, or why the user's cards cannot be used.

        Users that another thread is fetching already are waited for, not fetched again.

        Args:
            user_ids: Any number, repetitions allowed.
            force: Ask the directory even for users in the cache.
            to_write: Ask it for those who have been in the cache for longer than who writes for
                them may rely on.

        Raises:
            DirectoryRefusedError: The directory refused the whole question.
            TokenError: It refuses the token.
            TransportError: It could not be reached, or sent no answer to a search.
        """
        found: dict[str, Found] = {}
        ours: dict[str, Future[Found | None]] = {}
        others: dict[str, tuple[object, Future[Found | None]]] = {}
        seconds = self._writing_seconds if to_write else self._seconds
        cache = self._cache
        with cache.lock:
            for user_id in dict.fromkeys(user_ids):
                kept = None if force else cache.find(user_id, seconds, FAILURE_SECONDS)
                if kept is not None:
                    found[user_id] = kept
                elif user_id in cache.pending and not force:
                    others[user_id] = cache.pending[user_id]
                else:
                    ours[user_id] = Future()
                    cache.pending[user_id] = self, ours[user_id]
        if ours:
            self._fetch(ours)
        refused: list[str] = []
        answers = {user_id: future.result() for user_id, future in ours.items()}
        for user_id, (asker, future) in others.items():
            if asker is not self and future.exception() is not None:
                refused.append(user_id)  # another user's token, say, is no fault of ours
            else:
                answers[user_id] = future.result()
        found |= {user_id: one for user_id, one in answers.items() if one is not None}
        return found | self.look_up(refused, force=True) if refused else found

    def look_up_authors(self, user_ids: Collection[str]) -> dict[str, Found]:
        """Return the same, to verify with: of users whose account was deleted their last chain.

        That an account was deleted is final, so it is asked for once.

        Raises:
            DirectoryRefusedError: As `look_up`, like the others.
        """
        wanted = set(user_ids)
        found = self.look_up(wanted - set(self._ended(wanted)))
        ended = self.look_up_ended(wanted - set(found))
        return found | {who: one.found for who, one in ended.items() if one.found is not None}

    def look_up_ended(self, user_ids: Collection[str]) -> dict[str, Ended]:
        """Return those of *user_ids* whose account was deleted, as far as the directory tells.

        Virgil Cloud tells of none.

        Raises:
            DirectoryRefusedError: As `look_up`, like the others.
        """
        known = self._ended(user_ids)
        unknown = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in known]
        if not unknown or not self._cache.serves_ended:
            return known
        answer = self.client.search_ended(unknown)
        if answer is None:
            self._cache.serves_ended = False
            return known
        told = {
            user_id: Ended(_one_chain(user_id, cards) if cards else None)
            for user_id, cards in answer.items()
        }
        with self._cache.lock:
            for user_id, one in told.items():
                self._cache.keep_ended(user_id, one)
        return known | told

    def known_deleted(self, user_ids: Collection[str]) -> frozenset[str]:
        """Return those of *user_ids* who are known to be deleted. No network."""
        return frozenset(self._ended(user_ids))

    def renew(self, user_ids: Collection[str]) -> frozenset[str]:
        """Ask again for users whose signatures fail, each once in `RENEWAL_SECONDS`.

        Returns:
            Those who were asked for now.

        Raises:
            DirectoryRefusedError: As `look_up`, like the others.
        """
        cache = self._cache
        with cache.lock:
            due = [user_id for user_id in user_ids if cache.may_renew(user_id, RENEWAL_SECONDS)]
        if due:
            self.look_up(due, force=True)
        return frozenset(due)

    def in_cache(self, user_ids: Collection[str]) -> frozenset[str]:
        """Return those of *user_ids* about whom nothing would be asked now to read."""
        with self._cache.lock:
            return frozenset(
                user_id
                for user_id in user_ids
                if self._cache.find(user_id, self._seconds, FAILURE_SECONDS) is not None
            )

    def find_chains(
        self, user_ids: Collection[str], *, force: bool = False, to_write: bool = False
    ) -> dict[str, CardChain]:
        """Return the chain of each user who has one. See `look_up`.

        Raises:
            UnusableCardsError: Several users were asked for, and some have cards that cannot be
                used; says why for each.
            CardError: The same, for a single user.
        """
        found = self.look_up(user_ids, force=force, to_write=to_write)
        self._require(found, user_ids, missing_ok=True)
        return {user_id: one for user_id, one in found.items() if isinstance(one, CardChain)}

    def get_chains(
        self, user_ids: Collection[str], *, force: bool = False, to_write: bool = False
    ) -> dict[str, CardChain]:
        """Return the chain of every user.

        Raises:
            NotRegisteredError: Some have no card; lists all of them.
            UnusableCardsError: As `find_chains`; lists those without a card too.
        """
        found = self.look_up(user_ids, force=force, to_write=to_write)
        self._require(found, user_ids, missing_ok=False)
        return {user_id: one for user_id, one in found.items() if isinstance(one, CardChain)}

    def forget(self, user_id: str) -> None:
        """Drop a user from the cache."""
        with self._cache.lock:
            self._cache.drop(user_id)

    def forget_all(self) -> None:
        """Empty the cache; what is being fetched at this moment does not get into it either."""
        with self._cache.lock:
            self._cache.forget_all()

    @staticmethod
    def _require(found: dict[str, Found], user_ids: Collection[str], *, missing_ok: bool) -> None:
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

    def _ended(self, user_ids: Collection[str]) -> dict[str, Ended]:
        with self._cache.lock:
            known = {user_id: self._cache.find_ended(user_id) for user_id in set(user_ids)}
        return {user_id: one for user_id, one in known.items() if one is not None}

    def _fetch(self, ours: Mapping[str, Future[Found | None]]) -> None:
        """Fetch for all callers; whatever happens, no waiter is left waiting."""
        cache = self._cache
        asked_at = cache.clock()
        try:
            answer = self.client.search(ours)
            fetched = {user_id: _one_chain(user_id, cards) for user_id, cards in answer.items()}
        except BaseException as error:  # noqa: BLE001 - handed to every waiter, ourselves included
            with cache.lock:
                cache.settle(ours)
            for future in ours.values():
                future.set_exception(error)
            return
        with cache.lock:
            for user_id in ours:
                cache.keep(user_id, fetched.get(user_id), asked_at)
            cache.settle(ours)
        for user_id, future in ours.items():
            future.set_result(fetched.get(user_id))


def _one_chain(user_id: str, cards: list[Card] | CardError) -> Found:
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
