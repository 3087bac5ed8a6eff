"""The keeper: remembers first sights, follows successors, and says what may be done with a key."""

from __future__ import annotations

import enum
import logging
import warnings
from collections.abc import Collection, Iterable, Mapping

from attrs import frozen

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card, CardChain
from encrypted_parse.discretion import front_door, level_outside
from encrypted_parse.errors import UntrustedKeyError
from encrypted_parse.locks import Lock
from encrypted_parse.trust.judgement import Finding, judge
from encrypted_parse.trust.pins import Pin, PinLevel, TrustStore

_log = logging.getLogger("encrypted_parse.trust")
_FOLLOWS = (Finding.SAME, Finding.SUCCEEDED)


class TrustPolicy(enum.Enum):
    """What is done about keys that nobody vouched for.

    TOFU trusts a user's first card. Another key after it is not written to, and read from with a
    warning, until it is accepted. STRICT uses no key that was not verified or accepted. LOG uses
    every key that the directory serves, and says so in the log: for services that cannot ask.
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
        reading_keys: The keys whose signatures count, the current one first.
    """

    chain: CardChain
    finding: Finding
    level: PinLevel | None
    writable: bool
    reading_keys: tuple[PublicKey, ...]

    @property
    def head(self) -> Card:
        """The current card."""
        return self.chain.head

    @property
    def cards(self) -> tuple[Card, ...]:
        """Newest first."""
        return self.chain.cards


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

    def examine(self, chains: Mapping[str, CardChain]) -> dict[str, TrustedChain]:
        """Judge what the directory served, and remember what may be remembered.

        Raises:
            TrustStoreError: The store cannot be used; nothing is trusted without it.
        """
        others = [user_id for user_id in chains if user_id != self.owner]
        pins = self.store.find(self.owner, others) if others else {}
        fresh: list[Pin] = []
        trusted = {}
        for user_id, chain in chains.items():
            pin = pins.get(user_id)
            finding = Finding.SAME if user_id == self.owner else judge(chain, pin)
            if user_id != self.owner:
                moved = self._moved(chain, finding, pin)
                if moved is not None:
                    fresh.append(moved)
                    pin = moved
            trusted[user_id] = self._trusted(chain, finding, pin)
        if fresh:
            self.store.save(self.owner, fresh, replacing=pins)
        return trusted

    def accept(self, chain: CardChain, level: PinLevel = PinLevel.ACCEPTED) -> None:
        """Remember the current card of *chain*, whatever was remembered before.

        Raises:
            TrustStoreError: It cannot be written.
        """
        user_id = chain.head.user_id
        pins = self.store.find(self.owner, [user_id])
        before = pins.get(user_id)
        if before is not None and before.card_id == chain.head.card_id:
            level = max(level, before.level, key=list(PinLevel).index)
        self.store.save(self.owner, [Pin.on(chain, level, before)], replacing=pins)
        _log.info("%s: the key of %r is %s", self.owner, user_id, level.value)

    def remembered_keys(self, user_id: str) -> tuple[PublicKey, ...]:
        """Return the keys that are remembered of a user, for one whom the directory hides."""
        pin = self.store.find(self.owner, [user_id]).get(user_id)
        if pin is None or (self.policy is TrustPolicy.STRICT and pin.level is PinLevel.SEEN):
            return ()
        return pin.keys

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
            if trusted.finding in (Finding.CHANGED, Finding.ROLLED_BACK):
                self._warn(trusted.head.user_id, trusted.head.card_id, trusted.finding)

    def _moved(self, chain: CardChain, finding: Finding, pin: Pin | None) -> Pin | None:
        """Return the pin that takes the place of *pin*, if it has to move."""
        if finding is Finding.SUCCEEDED and pin is not None:
            _log.info("%s: %r has a new key, signed by the old", self.owner, chain.head.user_id)
            return Pin.on(chain, pin.level, pin)
        if finding is Finding.FIRST_SIGHT or (
            finding is Finding.CHANGED and self.policy is TrustPolicy.LOG
        ):
            return Pin.on(chain, PinLevel.SEEN, pin)
        return None

    def _trusted(self, chain: CardChain, finding: Finding, pin: Pin | None) -> TrustedChain:
        served = tuple(card.public_key for card in chain.cards)
        if pin is None:  # ourselves
            return TrustedChain(chain, finding, None, writable=True, reading_keys=served)
        follows = finding in (*_FOLLOWS, Finding.FIRST_SIGHT)
        level = pin.level if pin.card_id == chain.head.card_id else None
        if self.policy is TrustPolicy.LOG:
            writable, keys = True, (*served, *pin.keys)
        elif self.policy is TrustPolicy.STRICT:
            vouched = pin.level is not PinLevel.SEEN
            writable = vouched and finding in _FOLLOWS
            keys = pin.keys if vouched else ()
        else:
            writable = follows
            # After a roll-back the served cards are among the remembered ones.
            keys = (*served, *pin.keys) if finding is not Finding.ROLLED_BACK else pin.keys
        return TrustedChain(chain, finding, level, writable, tuple(dict.fromkeys(keys)))

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
