"""The judgement: what a served chain of cards is, beside what is remembered. No I/O.

Whoever holds the directory's key can serve any card that names any predecessor. So a later card
follows the remembered one only if the remembered *key* signed it, under the name "previous", and
likewise each card in between (ADR 5).
"""

from __future__ import annotations

import base64
import enum
from itertools import pairwise

from encrypted_parse import envelope
from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card, CardChain
from encrypted_parse.directory.cards import PREVIOUS_SIGNER
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import SignatureError
from encrypted_parse.trust.pins import Pin


class Finding(enum.Enum):
    """What a chain is, beside a pin."""

    FIRST_SIGHT = "first sight"
    """Nothing is remembered of this user."""
    SAME = "same"
    """The remembered card is the current one."""
    SUCCEEDED = "succeeded"
    """The current card follows the remembered one, signed from key to key."""
    ROLLED_BACK = "rolled back"
    """The current card is one that the remembered card replaced."""
    CHANGED = "changed"
    """Another key: a new registration, a rotation without the old key, or a lie."""


@front_door
def judge(chain: CardChain, pin: Pin | None) -> Finding:
    """Tell what *chain*, whose cards are verified each, is beside *pin*."""
    # (1) nothing remembered   (2) the remembered card   (3) one before it
    # (4) one after it, vouched for at each step   (5) anything else
    if pin is None:  # (1)
        return Finding.FIRST_SIGHT
    head = chain.head
    if head.card_id == pin.card_id:  # (2)
        return Finding.SAME
    if head.card_id in {card.card_id for card in pin.cards}:  # (3)
        return Finding.ROLLED_BACK
    for newer, older in pairwise(chain.cards):  # (4)
        if newer.previous_card_id != older.card_id or not _vouched_for(newer, older.public_key):
            break
        if older.card_id == pin.card_id:
            return Finding.SUCCEEDED
    return Finding.CHANGED  # (5)


def _vouched_for(card: Card, previous: PublicKey) -> bool:
    """Tell whether *card* carries exactly one signature "previous", and it is by that key."""
    found = [
        item
        for item in card.raw["signatures"]
        if isinstance(item, dict) and item.get("signer") == PREVIOUS_SIGNER
    ]
    if len(found) != 1 or found[0].get("snapshot") is not None:
        return False
    try:
        signature = base64.b64decode(found[0]["signature"], validate=True)
        snapshot = base64.b64decode(card.raw["content_snapshot"], validate=True)
        envelope.verify(snapshot, signature, previous)
    except (SignatureError, KeyError, TypeError, ValueError):
        return False
    return True
