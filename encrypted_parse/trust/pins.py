"""Pins: what is remembered of another user's keys, each with its own level (ADR 12)."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from itertools import pairwise

from attrs import evolve, frozen

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card, CardChain, are_linked
from encrypted_parse.discretion import front_door

MAX_CARDS = 400  # what is kept of one user; the companion serves up to 200


class PinLevel(enum.Enum):
    """Why a key is remembered, from the weakest reason to the strongest."""

    SEEN = "seen"
    """The directory served it, and nobody vouched for it."""
    ACCEPTED = "accepted"
    """The user said to use it, or a key that is linked with it."""
    VERIFIED = "verified"
    """The users compared safety numbers, of it or of a key that is linked with it."""

    @property
    def is_vouched(self) -> bool:
        """Whether a person stands behind it."""
        return self is not PinLevel.SEEN


_ORDER = tuple(PinLevel)


@frozen
class PinnedCard:
    """A card that a pin holds: its identifier, its key, and why that is remembered."""

    card_id: str
    public_key: PublicKey
    level: PinLevel = PinLevel.SEEN

    @classmethod
    def of(cls, card: Card, level: PinLevel = PinLevel.SEEN) -> PinnedCard:
        """Return what a pin holds of *card*."""
        return cls(card.card_id, card.public_key, level)


@front_door
@frozen
class Pin:
    """What one user remembers of another.

    Attributes:
        user_id: The other user.
        cards: The remembered card, before it those that it replaced (it names its predecessor by
            a digest, and so on, so that they are as genuine as itself), and before them what was
            remembered until an unrelated card was accepted.
    """

    user_id: str
    cards: tuple[PinnedCard, ...]

    @classmethod
    def on(cls, chain: CardChain, level: PinLevel, before: Pin | None = None) -> Pin:
        """Return a pin on the current card of *chain*, in place of *before*.

        The current key gets *level*, and with it the keys before it as far as they are linked:
        each link is signed by both its keys. A key never loses a level that it had. That a card
        names another one before it gives that one nothing.
        """
        known = {} if before is None else before._levels()  # noqa: SLF001 - our own
        level = _stronger(level, known.get(chain.head.public_key, level))
        linked, cards = True, []
        followed = (*(are_linked(*pair) for pair in pairwise(chain.cards)), False)
        for card, goes_on in zip(chain.cards, followed, strict=True):
            had = known.get(card.public_key, PinLevel.SEEN)
            cards.append(PinnedCard.of(card, _stronger(had, level) if linked else had))
            linked = linked and goes_on
        there = {card.card_id for card in cards}
        if before is not None:
            cards += [card for card in before.cards if card.card_id not in there]
        return cls(chain.head.user_id, tuple(cards[:MAX_CARDS]))

    @property
    def card_id(self) -> str:
        """The remembered card."""
        return self.cards[0].card_id

    @property
    def level(self) -> PinLevel:
        """Why the remembered card's key is."""
        return self._levels()[self.cards[0].public_key]

    @property
    def counting_keys(self) -> tuple[PublicKey, ...]:
        """The keys whose signatures count as the user's, the remembered card's first.

        All of them, as long as nobody vouched for the remembered one; from then on those alone
        that somebody vouched for.
        """
        former = set(self.former_keys)
        return tuple(key for key in self._levels() if key not in former)

    @property
    def former_keys(self) -> tuple[PublicKey, ...]:
        """The keys that were only seen, and stopped counting when somebody vouched for another."""
        if not self.level.is_vouched:
            return ()
        return tuple(key for key, level in self._levels().items() if not level.is_vouched)

    @property
    def vouched_keys(self) -> tuple[PublicKey, ...]:
        """The keys that somebody vouched for."""
        return tuple(key for key, level in self._levels().items() if level.is_vouched)

    def with_accepted(self, keys: Iterable[PublicKey]) -> Pin:
        """Return the same with *keys* accepted, where they were only seen."""
        chosen = set(keys)
        return evolve(
            self,
            cards=tuple(
                evolve(card, level=_stronger(card.level, PinLevel.ACCEPTED))
                if card.public_key in chosen
                else card
                for card in self.cards
            ),
        )

    def _levels(self) -> dict[PublicKey, PinLevel]:
        """Return each key's level, the strongest of its cards'; the newest key first."""
        levels: dict[PublicKey, PinLevel] = {}
        for card in self.cards:
            levels[card.public_key] = _stronger(
                levels.get(card.public_key, PinLevel.SEEN), card.level
            )
        return levels


def _stronger(one: PinLevel, other: PinLevel) -> PinLevel:
    return max(one, other, key=_ORDER.index)
