"""Chains: the cards of one user, each replacing the one before (section 3.3)."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from encrypted_parse.directory.cards import Card
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import CardChainError


@front_door
@frozen
class CardChain:
    """A current card and those that it replaced.

    Attributes:
        cards: Newest first.
    """

    cards: tuple[Card, ...]

    @property
    def head(self) -> Card:
        """The current card."""
        return self.cards[0]

    @property
    def size_bytes(self) -> int:
        """How much its raw cards take, about: what a cache has to count."""
        return sum(card.size_bytes for card in self.cards)


@front_door
def link_cards(cards: Iterable[Card]) -> list[CardChain]:
    """Sort one answer's cards into chains.

    A card that another one names as its predecessor is old; the rest are heads. A predecessor
    that is missing from the answer ends its chain there, as in Virgil's SDK.

    Raises:
        CardChainError: Two cards replace the same one, cards replace each other in a circle, or
            a card replaces another user's. A consistent directory has none of these.
    """
    by_id = {card.card_id: card for card in cards}
    replaced: dict[str, Card] = {}
    for card in by_id.values():
        previous = card.previous_card_id
        if previous is None:
            continue
        if replaced.setdefault(previous, card) is not card:
            raise CardChainError(f"two cards of {card.user_id!r} replace the same card")
        if previous in by_id and by_id[previous].user_id != card.user_id:
            raise CardChainError(f"a card of {card.user_id!r} replaces another user's")
    chains = [
        CardChain(tuple(_backwards(card, by_id)))
        for card in by_id.values()
        if card.card_id not in replaced
    ]
    if sum(len(chain.cards) for chain in chains) != len(by_id):
        raise CardChainError("cards replace each other in a circle")
    return chains


def _backwards(head: Card, by_id: dict[str, Card]) -> Iterable[Card]:
    card: Card | None = head
    while card is not None:
        yield card
        previous = card.previous_card_id
        card = None if previous is None else by_id.get(previous)
