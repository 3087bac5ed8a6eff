"""What a group asks about others: whose keys count, and for what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card
from encrypted_parse.discretion import front_door


@front_door
@frozen
class GroupTrust:
    """What a group asks about others; by default everything is believed.

    Attributes:
        initiator_keys: The keys of the initiator, the present one first: given the initiator's
            card, if somebody named one, and the keys known until now.
        may_write: Whether the initiator's present key is trusted.
        require_own_key: Raises if the given key is not our published one.
        sender_keys: The one key that counts for a sender's card at a moment.
        require_writable: Raises `UntrustedKeyError` for cards that are not trusted.
    """

    initiator_keys: Callable[[Card | None, Sequence[PublicKey]], list[PublicKey]] = (
        lambda card, known: [*([] if card is None else [card.public_key]), *known]
    )
    may_write: Callable[[], bool] = lambda: True
    require_own_key: Callable[[PublicKey], None] = lambda _: None
    sender_keys: Callable[[Card, dt.datetime | None], list[PublicKey]] = lambda card, _: [
        card.public_key
    ]
    require_writable: Callable[[Iterable[Card]], object] = lambda _: None
