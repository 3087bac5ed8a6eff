"""The directory as one user trusts it: cached chains, each judged once."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import CachingDirectory, Card, CardChain, DirectoryClient, Shelf
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import CardError, FormerKeyError, NotRegisteredError, UntrustedKeyError
from encrypted_parse.locks import Lock
from encrypted_parse.trust.authors import AuthorKeys
from encrypted_parse.trust.judgement import Finding
from encrypted_parse.trust.keeper import TrustedChain, TrustKeeper
from encrypted_parse.trust.pins import PinLevel

MAX_JUDGED = 10_000
MAX_JUDGED_BYTES = 32 * 1024 * 1024


@front_door
class TrustedDirectory:
    """Users' chains with what may be done with them. Thread-safe.

    A chain out of the cache that was judged before costs two look-ups, as long as nothing that is
    remembered has changed: what a person decides in another program holds here at once.
    """

    def __init__(self, directory: CachingDirectory, keeper: TrustKeeper) -> None:
        self._directory = directory
        self.keeper = keeper
        self._lock = Lock()
        self._judged: Shelf[tuple[object, TrustedChain]] = Shelf(MAX_JUDGED, MAX_JUDGED_BYTES)

    @property
    def client(self) -> DirectoryClient:
        """The client, to publish and revoke one's own cards."""
        return self._directory.client

    def look_up_authors(self, user_ids: Collection[str]) -> dict[str, TrustedChain | CardError]:
        """Return each user's chain to verify with, or why it cannot be used.

        Of a user whose account was deleted the last one. See `CachingDirectory.look_up_authors`.

        Raises:
            TrustStoreError: What is remembered cannot be read or written.
        """
        kept = self._directory.in_cache(user_ids)
        found = self._directory.look_up_authors(user_ids)
        chains = {user_id: one for user_id, one in found.items() if isinstance(one, CardChain)}
        unusable = {
            user_id: one for user_id, one in found.items() if not isinstance(one, CardChain)
        }
        return {**self._judge(chains, kept), **unusable}

    def prepare(self, user_ids: Collection[str]) -> None:
        """Fetch many users' cards at once, so that `get_chains` to write needs no network."""
        self._directory.look_up(user_ids, to_write=True)

    def renew(self, user_ids: Collection[str]) -> frozenset[str]:
        """Ask again for users whose signatures fail. See `CachingDirectory.renew`."""
        return self._directory.renew(user_ids)

    def replace(self, user_ids: Collection[str]) -> None:
        """Ask again for users of whom a key in the cache is known to be replaced."""
        self._directory.look_up(user_ids, force=True)

    def in_cache(self, user_ids: Collection[str]) -> frozenset[str]:
        """Return those about whom nothing would be asked to read. No network."""
        return self._directory.in_cache(user_ids)

    def deleted(self, user_ids: Collection[str]) -> tuple[str, ...]:
        """Return those whose account was deleted, as far as the directory tells."""
        return tuple(sorted(self._directory.look_up_ended(user_ids)))

    def find_chains(
        self, user_ids: Collection[str], *, force: bool = False
    ) -> dict[str, TrustedChain]:
        """Return the chain of each user who has one. See `CachingDirectory.find_chains`.

        Raises:
            TrustStoreError: What is remembered cannot be read or written.
        """
        kept = frozenset() if force else self._directory.in_cache(user_ids)
        return self._judge(self._directory.find_chains(user_ids, force=force), kept)

    def get_chains(
        self, user_ids: Collection[str], *, force: bool = False, to_write: bool = False
    ) -> dict[str, TrustedChain]:
        """Return the chain of every user. See `CachingDirectory.get_chains`.

        Raises:
            NotRegisteredError: Some have no card; lists all of them, and whose account is gone.
            TrustStoreError: What is remembered cannot be read or written.
        """
        kept = frozenset() if force else self._directory.in_cache(user_ids)
        try:
            found = self._directory.get_chains(user_ids, force=force, to_write=to_write)
        except NotRegisteredError as error:
            if deleted := self.deleted(error.user_ids):
                raise NotRegisteredError(error.user_ids, deleted=deleted) from error
            raise
        return self._judge(found, kept)

    def get_author_chain(self, user_id: str) -> TrustedChain:
        """Return a user's chain as it is now; of a deleted account the last one.

        Raises:
            NotRegisteredError: There is none.
            CardError: The user's cards cannot be used.
            TrustStoreError: What is remembered cannot be read or written.
        """
        try:
            return self.get_chains([user_id], force=True)[user_id]
        except NotRegisteredError as error:
            missing = error
        last = self.look_up_authors(missing.deleted).get(user_id)
        if last is None:
            raise missing
        if isinstance(last, CardError):
            raise copy.copy(last)
        return last

    def reading_keys(self, user_id: str, *, absent: bool = False) -> AuthorKeys:
        """Return the keys whose signatures count as the user's, and warn if the key changed.

        For a user whose account was deleted, those of the last chain, judged as any other; for
        one whom the directory does not know (any more), the remembered keys. With *absent*, that
        was just asked, and is not asked again.

        Raises:
            NotRegisteredError: There is no card, and nothing is remembered.
            CardError: The user's cards cannot be used.
            UntrustedKeyError: The policy lets no key of the user count.
        """
        found = None if absent else self.look_up_authors([user_id]).get(user_id)
        if isinstance(found, CardError):
            raise copy.copy(found)  # the cache's own would collect the frames of every caller
        if found is not None:
            self.keeper.warn([found])
            if not found.reading_keys:
                raise UntrustedKeyError([user_id])
            return found.reading_keys
        keys = self.keeper.remembered(user_id)
        if not keys:
            hint = "each user has to call register() once"
            deleted = tuple(self._directory.known_deleted([user_id]))
            raise NotRegisteredError([user_id], deleted=deleted, hint=hint)
        return keys

    def require_readable(self, card: Card) -> None:
        """Let nothing count as a user's that a key of *card* signed which does not. No network.

        Warns of a key that nobody vouched for, if it is let through.

        Raises:
            FormerKeyError: The key was only seen, and then somebody vouched for another.
            UntrustedKeyError: The policy lets the key not count.
            TrustStoreError: What is remembered cannot be read.
        """
        trusted = self._as_judged(card)
        if trusted is None:
            chain = CardChain((card,))
            trusted = self.keeper.examine({card.user_id: chain}, remember=False)[card.user_id]
        if card.public_key not in trusted.reading_keys:
            if card.public_key in trusted.reading_keys.former:
                raise FormerKeyError(card.user_id, card.public_key.long_key_id.hex())
            raise UntrustedKeyError([card.user_id])
        if trusted.finding is Finding.CHANGED:
            self.keeper.warn([trusted])

    def require_writable(self, cards: Iterable[Card]) -> None:
        """Let nothing be encrypted for a card that is not its user's trusted one. No network.

        Raises:
            UntrustedKeyError: Some are not; lists all of them.
            TrustStoreError: What is remembered cannot be read or written.
        """
        judged, unknown = [], {}
        for card in cards:
            known = self._as_judged(card)
            if known is not None:
                judged.append(known)
            elif card.user_id != self.keeper.owner:
                unknown[card.user_id] = CardChain((card,))
        if unknown:
            judged += self.keeper.examine(unknown).values()
        self.keeper.require_writable(judged)

    def accept(self, chain: CardChain, level: PinLevel) -> None:
        """Remember the current card of *chain* at *level*.

        Raises:
            TrustStoreError: It cannot be written.
        """
        self.keeper.accept(chain, level)
        with self._lock:
            self._judged.drop(chain.head.user_id)

    def accept_former(self, user_id: str, keys: Collection[PublicKey]) -> None:
        """Let former keys of a user count again.

        Raises:
            TrustStoreError: It cannot be written.
        """
        self.keeper.accept_former(user_id, keys)
        with self._lock:
            self._judged.drop(user_id)

    def forget(self, user_id: str) -> None:
        """Drop a user from the cache; what is remembered stays."""
        self._directory.forget(user_id)

    def forget_all(self) -> None:
        """Drop every user from the cache; what is remembered stays."""
        self._directory.forget_all()

    def _as_judged(self, card: Card) -> TrustedChain | None:
        known = self._find_judged([card.user_id], self.keeper.store.revision())
        trusted = known.get(card.user_id)
        return trusted if trusted is not None and trusted.head == card else None

    def _find_judged(self, user_ids: Iterable[str], revision: object) -> dict[str, TrustedChain]:
        """Return what was judged by what is remembered now."""
        with self._lock:
            entries = {user_id: self._judged.find(user_id) for user_id in user_ids}
        return {
            user_id: entry[1]
            for user_id, entry in entries.items()
            if entry is not None and entry[0] == revision
        }

    def _judge(
        self, chains: dict[str, CardChain], kept: Collection[str]
    ) -> dict[str, TrustedChain]:
        """Return what may be done with each; *kept* are those that were in the cache before.

        What does not fit to what is remembered may be older than that: another program saw the
        rotation, or a person accepted the new key there. So nobody is blamed before the directory
        was asked again, once for each change of what is remembered.
        """
        revision = self.keeper.store.revision()  # as it is before what is remembered is read
        trusted = {
            user_id: judged
            for user_id, judged in self._find_judged(chains, revision).items()
            if judged.chain is chains[user_id]
        }
        fresh = {user_id: chain for user_id, chain in chains.items() if user_id not in trusted}
        if fresh:
            examined = self.keeper.examine(fresh)
            doubted = [
                user_id for user_id in kept if user_id in fresh and examined[user_id].is_replaced
            ]
            if doubted:
                asked = self._directory.look_up(doubted, force=True)
                examined |= self.keeper.examine(
                    {user_id: one for user_id, one in asked.items() if isinstance(one, CardChain)}
                )
            trusted |= examined
            with self._lock:
                for user_id, judged in examined.items():
                    self._judged.put(user_id, (revision, judged), judged.chain.size_bytes)
        return {user_id: trusted[user_id] for user_id in chains}
