"""Cards: signed public records of users' keys (services document, section 3.1).

A card is its bytes: the snapshot is stored and compared as received, never serialised again.
What a card's form may be stands in `raw_cards`.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from encrypted_parse import envelope
from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey
from encrypted_parse.directory.links import sign_link
from encrypted_parse.directory.raw_cards import CARD_VERSION, RawCard, decode_base64, is_user_id
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    CardSignatureError,
    InvalidValueError,
    KeyFormatError,
    MalformedCardError,
    SignatureError,
    UnsupportedKeyError,
)

SELF_SIGNER = "self"
SERVICE_SIGNER = "virgil"
# An Ed25519 signature over a SHA-512 digest, in the one encoding that Virgil's clients write.
_SIGNATURE_PREFIX = bytes.fromhex("3051300d060960864801650304020305000440")


@front_door
@frozen(eq=False)
class Card:
    """A verified card.

    Attributes:
        card_id: 64 hexadecimal digits: the start of SHA-512 over the snapshot.
        user_id: Whose key it is (Virgil's `identity`).
        public_key: The key.
        created_at: By its author's clock.
        previous_card_id: The card that it replaces, or None.
        raw: The card as received.
    """

    card_id: str
    user_id: str
    public_key: PublicKey
    created_at: dt.datetime
    previous_card_id: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """How much the raw card takes, about."""
        texts = [
            item.get(name) for item in self.raw["signatures"] for name in ("signature", "snapshot")
        ]
        return len(self.raw["content_snapshot"]) + sum(len(text) for text in texts if text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Card):
            return NotImplemented
        return self.card_id == other.card_id

    def __hash__(self) -> int:
        return hash(self.card_id)


@front_door
def new_card(
    user_id: str,
    key: PrivateKey,
    created_at: dt.datetime,
    *,
    previous_card_id: str | None = None,
    previous_key: PrivateKey | None = None,
) -> dict[str, Any]:
    """Return a raw card for *key*, signed by it.

    Args:
        user_id: Whose card it is.
        key: What it publishes.
        created_at: By our clock.
        previous_card_id: The card that it replaces.
        previous_key: That card's key; the link that both keys sign lets peers who remember it
            follow without asking (ADR 11).

    Raises:
        InvalidValueError: *user_id* is not printable ASCII: other identities are misread by
            Virgil's JavaScript (services document, section 2).
    """
    if not is_user_id(user_id):
        raise InvalidValueError("a user id is 1 to 255 printable ASCII characters")
    content: dict[str, Any] = {"identity": user_id}
    if previous_card_id is not None:
        content["previous_card_id"] = previous_card_id
    content["created_at"] = int(created_at.timestamp())
    content["version"] = CARD_VERSION
    content["public_key"] = key.public_key.to_base64()
    snapshot = json.dumps(content, separators=(",", ":")).encode("ascii")
    own = {"signer": SELF_SIGNER, "signature": _encode(envelope.sign(snapshot, key))}
    signatures = [own]
    if previous_key is not None and previous_card_id is not None:
        signatures.append(sign_link(snapshot, key, previous_key))
    return {"content_snapshot": _encode(snapshot), "signatures": signatures}


@front_door
def parse_card(raw: Any, *, service_key: PublicKey | None) -> Card:  # noqa: ANN401 - whatever the directory sent
    """Read a raw card and verify it.

    Args:
        raw: The card's JSON.
        service_key: The pinned key of the directory. None verifies the self signature alone.

    Raises:
        MalformedCardError: Not a raw card of version 5.0 (ADR 17).
        UnsupportedKeyError: Its key is none that we can verify and encrypt with.
        CardSignatureError: A signature is missing or wrong.
    """
    # (1) the form   (2) the key   (3) its own signature   (4) the service's
    return verify_card(RawCard.from_json(raw), raw, service_key=service_key)  # (1)


def verify_card(read: RawCard, raw: Mapping[str, Any], *, service_key: PublicKey | None) -> Card:
    """Verify a card whose form was read already. See `parse_card`."""
    key = _read_key(read.content["public_key"])  # (2)
    _check_signature(read, SELF_SIGNER, key)  # (3)
    if service_key is not None:  # (4)
        _check_signature(read, SERVICE_SIGNER, service_key)
    return Card(
        card_id=envelope.card_id(read.snapshot),
        user_id=read.content["identity"],
        public_key=key,
        created_at=dt.datetime.fromtimestamp(read.content["created_at"], dt.UTC),
        previous_card_id=read.content.get("previous_card_id"),
        raw=raw,
    )


def _read_key(text: str) -> PublicKey:
    der = decode_base64(text)
    if not der.startswith(KeyType.ED25519.public_prefix):
        raise UnsupportedKeyError
    try:
        return PublicKey.from_bytes(der)
    except KeyFormatError as error:
        raise MalformedCardError("the card's key is no usable Ed25519 key") from error


def _check_signature(read: RawCard, signer: str, key: PublicKey) -> None:
    found = read.signatures.get(signer)
    if found is None:
        raise CardSignatureError(f"the card has no signature of {signer!r}")
    try:
        if not found.signature.startswith(_SIGNATURE_PREFIX):
            raise SignatureError("another algorithm")
        envelope.verify(read.snapshot + found.extra, found.signature, key)
    except SignatureError as error:
        hint = None
        if signer == SERVICE_SIGNER:
            hint = "is service_public_key the key of this directory?"
        raise CardSignatureError(
            f"the card's signature of {signer!r} does not hold", hint=hint
        ) from error


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
