"""The judgement: what a served chain of cards is, beside what is remembered. No I/O.

Whoever holds the directory's key can serve any card that names any predecessor. So a later card
follows the remembered one only if the remembered *key* signed the link to it, and likewise each
card in between (ADR 11). Signatures "previous", which earlier releases of this package wrote, are
no links: any text that a user signed could be one.
"""

from __future__ import annotations

import enum
from itertools import pairwise

from encrypted_parse.directory import CardChain, are_linked
from encrypted_parse.discretion import front_door
from encrypted_parse.trust.pins import Pin


class Finding(enum.Enum):
    """What a chain is, beside a pin."""

    FIRST_SIGHT = "first sight"
    """Nothing is remembered of this user."""
    SAME = "same"
    """The remembered card is the current one."""
    SUCCEEDED = "succeeded"
    """The current card follows the remembered one, linked from key to key."""
    ROLLED_BACK = "rolled back"
    """The current card is one that the remembered card replaced."""
    CHANGED = "changed"
    """Another key: a new registration, a rotation without the old key, or a lie."""


@front_door
def judge(chain: CardChain, pin: Pin | None) -> Finding:
    """Tell what *chain*, whose cards are verified each, is beside *pin*."""
    # (1) nothing remembered   (2) the remembered card   (3) one before it
    # (4) one after it, linked at each step   (5) anything else
    if pin is None:  # (1)
        return Finding.FIRST_SIGHT
    head = chain.head
    if head.card_id == pin.card_id:  # (2)
        return Finding.SAME
    if head.card_id in {card.card_id for card in pin.cards}:  # (3)
        return Finding.ROLLED_BACK
    for newer, older in pairwise(chain.cards):  # (4)
        if not are_linked(newer, older):
            break
        if older.card_id == pin.card_id:
            return Finding.SUCCEEDED
    return Finding.CHANGED  # (5)
