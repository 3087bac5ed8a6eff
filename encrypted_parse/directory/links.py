"""Links: how a card proves that it takes the place of another (ADR 11).

Whoever holds the directory's key can make a card that names any predecessor. So a link is signed
by both keys, the one that is replaced and the one that replaces it, over one string: the label
`CARD_LINK`, the replaced key, the digest of the new card's snapshot. It lies among the signatures
of the new card under a signer's name of its own, which other implementations keep and pass over.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from encrypted_parse import envelope
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.crypto.keys import SIGNATURE_BYTES
from encrypted_parse.crypto.labels import Label, encode
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import SignatureError

if TYPE_CHECKING:
    from encrypted_parse.directory.cards import Card

LINK_SIGNER = Label.CARD_LINK.value.decode("ascii")
LINK_BYTES = 2 * SIGNATURE_BYTES


@front_door
def sign_link(snapshot: bytes, key: PrivateKey, replaced: PrivateKey) -> dict[str, str]:
    """Return the signature that says: the card of *snapshot*, *key*'s, replaces that of *replaced*.

    Raises:
        SignatureError: One of the keys cannot sign.
    """
    statement = _statement(replaced.public_key, envelope.card_id(snapshot))
    link = replaced.sign(statement) + key.sign(statement)
    return {"signer": LINK_SIGNER, "signature": base64.b64encode(link).decode("ascii")}


@front_door
def are_linked(newer: Card, older: Card) -> bool:
    """Tell whether the keys of both cards say that *newer* takes the place of *older*.

    *newer* has to name *older*, of the same user, and to carry exactly one link, in its one
    encoding, that both keys signed.
    """
    # (1) one user, and the digest   (2) one link and nothing else in it   (3) its one encoding
    # (4) the replaced key's signature   (5) the new key's: it is nobody's who only held the old
    if newer.user_id != older.user_id or newer.previous_card_id != older.card_id:  # (1)
        return False
    signatures = newer.raw["signatures"]
    found = [item for item in signatures if _signer(item) == LINK_SIGNER]
    if len(found) != 1 or not found[0].keys() <= {"signer", "signature", "snapshot"}:  # (2)
        return False
    if found[0].get("snapshot") is not None:
        return False
    link = _decode(found[0].get("signature"))  # (3)
    if link is None:
        return False
    statement = _statement(older.public_key, newer.card_id)
    try:
        older.public_key.verify(link[:SIGNATURE_BYTES], statement)  # (4)
        newer.public_key.verify(link[SIGNATURE_BYTES:], statement)  # (5)
    except SignatureError:
        return False
    return True


def _statement(replaced: PublicKey, card_id: str) -> bytes:
    return encode(Label.CARD_LINK, replaced.raw, bytes.fromhex(card_id))


def _signer(item: Any) -> object:  # noqa: ANN401 - whatever the directory sent
    return item.get("signer") if isinstance(item, dict) else None


def _decode(text: object) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        link = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    canonical = base64.b64encode(link).decode("ascii") == text
    return link if canonical and len(link) == LINK_BYTES else None
