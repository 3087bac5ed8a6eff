"""Pins: what is remembered of another user's card, and the port of where it is remembered."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from attrs import frozen

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card, CardChain
from encrypted_parse.discretion import front_door

MAX_CARDS = 400  # what is kept of one user; the companion serves up to 200


class PinLevel(enum.Enum):
    """Why a card is remembered."""

    SEEN = "seen"
    """It was the first one, or one that the remembered key signed."""
    ACCEPTED = "accepted"
    """The user said to use it."""
    VERIFIED = "verified"
    """The users compared safety numbers; a successor that its key signed inherits it."""


@frozen
class PinnedCard:
    """A card that a pin holds: its identifier and its key."""

    card_id: str
    public_key: PublicKey

    @classmethod
    def of(cls, card: Card) -> PinnedCard:
        """Return what a pin holds of *card*."""
        return cls(card.card_id, card.public_key)


@front_door
@frozen
class Pin:
    """What one user remembers of another.

    Attributes:
        user_id: The other user.
        cards: The remembered card, before it those that it replaced (it names its predecessor by
            a digest, and so on, so that they are as genuine as itself), and before them what was
            remembered until an unrelated card was accepted.
        level: Why it is remembered.
    """

    user_id: str
    cards: tuple[PinnedCard, ...]
    level: PinLevel

    @classmethod
    def on(cls, chain: CardChain, level: PinLevel, before: Pin | None = None) -> Pin:
        """Return a pin on the current card of *chain*, in place of *before*."""
        earlier = () if before is None else before.cards
        cards = dict.fromkeys((*map(PinnedCard.of, chain.cards), *earlier))
        return cls(chain.head.user_id, tuple(cards)[:MAX_CARDS], level)

    @property
    def card_id(self) -> str:
        """The remembered card."""
        return self.cards[0].card_id

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys of the remembered card and of those before it."""
        return tuple(card.public_key for card in self.cards)


class TrustStore(Protocol):
    """Remembers pins, by the user who remembers. Usable from many threads."""

    def find(self, owner: str, user_ids: Collection[str]) -> dict[str, Pin]:
        """Return what *owner* remembers of *user_ids*; strangers are absent.

        Raises:
            TrustStoreError: It is there but cannot be used. It is never begun anew by itself.
        """

    def save(self, owner: str, pins: Iterable[Pin], *, replacing: Mapping[str, Pin]) -> None:
        """Remember *pins*, each in place of the one in *replacing*, or of none.

        A pin that somebody changed meanwhile is left as it is: the next look will judge it.

        Raises:
            TrustStoreError: It cannot be written.
        """

    def find_epoch(self, owner: str, initiator: str, group_id: str) -> int:
        """Return the newest epoch of a group that was seen; -1 if there is none."""

    def save_epoch(self, owner: str, initiator: str, group_id: str, epoch: int) -> None:
        """Remember the newest epoch of a group."""

    def find_counter(self, owner: str, record: str) -> int:
        """Return the highest counter of a record that was seen; -1 if there is none."""

    def raise_counter(self, owner: str, record: str, counter: int) -> None:
        """Remember *counter* if it is higher than what is remembered; never goes back."""

    def forget_counter(self, owner: str, record: str) -> None:
        """Forget a record's counter: a person said that it may begin anew."""

    def find_login(self, application_id: str, username: str) -> str | None:
        """Return the user id that this user name of the app was answered with; None if none."""

    def save_login(
        self, application_id: str, username: str, user_id: str, *, replacing: str | None
    ) -> None:
        """Remember a user name's user id in place of *replacing*, or of none.

        What somebody changed meanwhile is left as it is: look again.
        """
