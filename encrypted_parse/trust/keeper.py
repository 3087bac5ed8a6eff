"""The keeper: remembers first sights, follows successors, and says what may be done with a key."""

from __future__ import annotations

import enum
import logging
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import frozen

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card, CardChain
from encrypted_parse.discretion import front_door, level_outside
from encrypted_parse.errors import TrustStoreError, UntrustedKeyError
from encrypted_parse.locks import Lock
from encrypted_parse.trust.authors import AuthorKeys
from encrypted_parse.trust.judgement import Finding, judge
from encrypted_parse.trust.pins import Pin, PinLevel
from encrypted_parse.trust.store import TrustStore

_log = logging.getLogger("encrypted_parse.trust")
_FOLLOWS = (Finding.SAME, Finding.SUCCEEDED)
_MAX_RACES = 20  # each is lost to somebody who changed what is remembered


class TrustPolicy(enum.Enum):
    """What is done about keys that nobody vouched for.

    TOFU trusts a user's first card. Another key after it is not written to, and read from with a
    warning, until it is accepted; once a person verified or accepted a key, those that were only
    seen before do not count any more. STRICT uses no key that was not verified or accepted. LOG
    uses every key that the directory serves, and says so in the log: for services that cannot
    ask; it takes back nothing that a person decided.
    """

    TOFU = "tofu"
    STRICT = "strict"
    LOG = "log"


class KeyChangedWarning(UserWarning):
    """A value was asked for whose author has another key than the remembered one."""


@front_door
@frozen
class TrustedChain:
    """A user's chain as the directory serves it, and what it may be used for.

    Attributes:
        chain: As served, each card verified.
        finding: What it is beside the remembered card.
        level: Why the card in use is remembered; None if that is another one than served.
        writable: Whether values may be encrypted for its current key.
        reading_keys: The keys whose signatures count, the current one first; and those that no
            longer do.
    """

    chain: CardChain
    finding: Finding
    level: PinLevel | None
    writable: bool
    reading_keys: AuthorKeys

    @property
    def head(self) -> Card:
        """The current card."""
        return self.chain.head

    @property
    def cards(self) -> tuple[Card, ...]:
        """Newest first."""
        return self.chain.cards

    @property
    def is_replaced(self) -> bool:
        """Whether it is another key than the remembered one, or an older one again."""
        return self.finding in (Finding.CHANGED, Finding.ROLLED_BACK)


@front_door
class TrustKeeper:
    """One user's judgement of the others. Thread-safe.

    Args:
        owner: The user who remembers; never judged itself: its own keys are on this machine.
        store: Where pins are kept.
        policy: What is done about changes.
    """

    def __init__(
        self, owner: str, store: TrustStore, policy: TrustPolicy = TrustPolicy.TOFU
    ) -> None:
        self.owner = owner
        self.store = store
        self.policy = policy
        self._lock = Lock()
        self._warned: set[tuple[str, str]] = set()

    def examine(
        self, chains: Mapping[str, CardChain], *, remember: bool = True
    ) -> dict[str, TrustedChain]:
        """Judge what the directory served, and remember what may be remembered.

        Of two that see a user for the first time at once, each with another card, one is faster;
        the other one's card is then judged beside what the first has remembered.

        Args:
            chains: By user id; what they are is judged beside the pins.
            remember: Whether a first sight, or a successor, is to be remembered.

        Raises:
            TrustStoreError: The store cannot be used; nothing is trusted without it.
        """
        trusted: dict[str, TrustedChain] = {}
        waiting = dict(chains)
        for _ in range(_MAX_RACES):
            others = [user_id for user_id in waiting if user_id != self.owner]
            pins = self.store.find(self.owner, others) if others else {}
            fresh: list[Pin] = []
            for user_id, chain in waiting.items():
                pin = pins.get(user_id)
                finding = Finding.SAME if user_id == self.owner else judge(chain, pin)
                moved = None if user_id == self.owner else self._moved(chain, finding, pin)
                if moved is not None and moved != pin:
                    fresh.append(moved)
                trusted[user_id] = self._trusted(chain, finding, moved or pin)
            lost: Collection[str] = ()
            if fresh and remember:
                lost = self.store.save(self.owner, fresh, replacing=pins)
            waiting = {user_id: chains[user_id] for user_id in lost}
            if not waiting:
                return trusted
        raise _too_many_races()

    def accept(self, chain: CardChain, level: PinLevel = PinLevel.ACCEPTED) -> None:
        """Remember the current card of *chain*, whatever was remembered before.

        Raises:
            TrustStoreError: It cannot be written.
        """
        user_id = chain.head.user_id
        self._change(user_id, lambda before: Pin.on(chain, level, before))
        _log.info("%s: the key of %r is %s", self.owner, user_id, level.value)

    def accept_former(self, user_id: str, keys: Collection[PublicKey]) -> None:
        """Let former keys of a user count again.

        Raises:
            TrustStoreError: It cannot be written.
        """
        self._change(user_id, lambda pin: None if pin is None else pin.with_accepted(keys))
        _log.info("%s: %s former keys of %r are accepted", self.owner, len(keys), user_id)

    def remembered(self, user_id: str) -> AuthorKeys:
        """Return the keys that are remembered of a user, for one whom the directory hides."""
        pin = self.store.find(self.owner, [user_id]).get(user_id)
        if pin is None:
            return AuthorKeys(user_id, ())
        keys = pin.vouched_keys if self.policy is TrustPolicy.STRICT else pin.counting_keys
        return AuthorKeys(user_id, keys, pin.former_keys)

    def require_writable(self, chains: Iterable[TrustedChain]) -> None:
        """Let nothing be encrypted for a key that is not trusted.

        Raises:
            UntrustedKeyError: Some are not; lists all of them.
        """
        refused = [chain.head.user_id for chain in chains if not chain.writable]
        if refused:
            raise UntrustedKeyError(refused)

    def warn(self, chains: Collection[TrustedChain]) -> None:
        """Warn of keys that are in use though they changed; once a card and process."""
        for trusted in chains:
            if trusted.is_replaced:
                self._warn(trusted.head.user_id, trusted.head.card_id, trusted.finding)

    def _change(self, user_id: str, change: Callable[[Pin | None], Pin | None]) -> None:
        """Replace what is remembered of a user, as a person decided; whoever is faster first."""
        for _ in range(_MAX_RACES):
            pins = self.store.find(self.owner, [user_id])
            changed = change(pins.get(user_id))
            if changed is None or not self.store.save(self.owner, [changed], replacing=pins):
                return
        raise _too_many_races()

    def _moved(self, chain: CardChain, finding: Finding, pin: Pin | None) -> Pin | None:
        """Return what is to be remembered in place of *pin*; None if that is to stay."""
        if pin is None or (
            # Never in place of what a person decided: another policy may read it one day.
            finding is Finding.CHANGED
            and self.policy is TrustPolicy.LOG
            and not pin.level.is_vouched
        ):
            return Pin.on(chain, PinLevel.SEEN, pin)
        if finding is Finding.SUCCEEDED:
            _log.info("%s: %r has a new key, signed by the old", self.owner, chain.head.user_id)
        # The same card as before may be served with more of those before it than last time.
        return Pin.on(chain, pin.level, pin) if finding in _FOLLOWS else None

    def _trusted(self, chain: CardChain, finding: Finding, pin: Pin | None) -> TrustedChain:
        user_id = chain.head.user_id
        served = tuple(card.public_key for card in chain.cards)
        if pin is None:  # ourselves
            keys = AuthorKeys(user_id, served)
            return TrustedChain(chain, finding, None, writable=True, reading_keys=keys)
        level = pin.level if pin.card_id == chain.head.card_id else None
        if self.policy is TrustPolicy.STRICT:
            writable = pin.level.is_vouched and finding in _FOLLOWS
            count = pin.vouched_keys if pin.level.is_vouched else ()
        else:
            logs = self.policy is TrustPolicy.LOG
            writable = logs or finding in (*_FOLLOWS, Finding.FIRST_SIGHT)
            # Another key than the remembered one is read from with a warning; never one that was
            # seen before a person vouched for another.
            changed = served if logs or finding is Finding.CHANGED else ()
            former = frozenset(pin.former_keys)
            count = (*(key for key in changed if key not in former), *pin.counting_keys)
        keys = AuthorKeys(user_id, tuple(dict.fromkeys(count)), pin.former_keys)
        return TrustedChain(chain, finding, level, writable, keys)

    def _warn(self, user_id: str, card_id: str, finding: Finding) -> None:
        with self._lock:
            if (user_id, card_id) in self._warned:
                return
            self._warned.add((user_id, card_id))
        what = (
            "an older key again than the remembered one"
            if finding is Finding.ROLLED_BACK
            else "another key than the remembered one"
        )
        text = f"the directory serves {what} for the user {user_id!r}"
        if self.policy is TrustPolicy.LOG:
            _log.warning("%s: %s", self.owner, text)
        else:
            advice = "compare safety numbers with the user, then accept_key()"
            warnings.warn(f"{text}; {advice}", KeyChangedWarning, stacklevel=level_outside())


def _too_many_races() -> TrustStoreError:
    return TrustStoreError(
        "what is remembered of other users' keys changes faster than it can be read",
        hint="look for a program that accepts keys in a loop",
    )
