"""Cards: signed public records of users' keys (services document, section 3.1).

A card is its bytes: the snapshot is stored and compared as received, never serialised again.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from encrypted_parse import envelope
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.directory.links import sign_link
from encrypted_parse.errors import (
    CardSignatureError,
    InvalidValueError,
    KeyFormatError,
    MalformedCardError,
    SignatureError,
)

CARD_VERSION = "5.0"
SELF_SIGNER = "self"
SERVICE_SIGNER = "virgil"
MAX_SNAPSHOT_BYTES = 64 * 1024  # bounds work on hostile input
MAX_SIGNATURES = 8
MAX_CREATED_AT = 253_402_300_799  # the last second of the year 9999
_USER_ID = re.compile(r"[\x20-\x7e]{1,255}")
_CARD_ID = re.compile(r"[0-9a-f]{64}")


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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Card):
            return NotImplemented
        return self.card_id == other.card_id

    def __hash__(self) -> int:
        return hash(self.card_id)


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
    if not _USER_ID.fullmatch(user_id):
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


def parse_card(raw: Any, *, service_key: PublicKey | None) -> Card:  # noqa: ANN401 - whatever the directory sent
    """Read a raw card and verify it.

    Args:
        raw: The card's JSON.
        service_key: The pinned key of the directory. None verifies the self signature alone.

    Raises:
        MalformedCardError: Not a raw card of version 5.0, or of a key type that we cannot use.
        CardSignatureError: A signature is missing or wrong.
    """
    # (1) shape and bounds   (2) the content   (3) the key   (4) its own signature
    # (5) the service's
    if not isinstance(raw, dict) or not isinstance(raw.get("signatures"), list):
        raise MalformedCardError("not a card")
    snapshot = _decode(raw.get("content_snapshot"))  # (1)
    if len(snapshot) > MAX_SNAPSHOT_BYTES or len(raw["signatures"]) > MAX_SIGNATURES:
        raise MalformedCardError("the card is too large")
    content = _read_content(snapshot)  # (2)
    try:  # (3)
        key = PublicKey.from_base64(content["public_key"])
    except KeyFormatError as error:
        raise MalformedCardError("the card's key is of a type that cannot be used") from error
    _check_signature(raw, SELF_SIGNER, snapshot, key)  # (4)
    if service_key is not None:  # (5)
        _check_signature(raw, SERVICE_SIGNER, snapshot, service_key)
    return Card(
        card_id=envelope.card_id(snapshot),
        user_id=content["identity"],
        public_key=key,
        created_at=dt.datetime.fromtimestamp(content["created_at"], dt.UTC),
        previous_card_id=content.get("previous_card_id"),
        raw=raw,
    )


def is_card_id(value: object) -> bool:
    """Tell whether *value* has the form of a card id."""
    return isinstance(value, str) and _CARD_ID.fullmatch(value) is not None


def _read_content(snapshot: bytes) -> dict[str, Any]:
    try:
        content = json.loads(snapshot.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MalformedCardError("the card's snapshot is not JSON") from error
    if not isinstance(content, dict):
        raise MalformedCardError("the card's snapshot is not an object")
    created_at, previous = content.get("created_at"), content.get("previous_card_id")
    user_id = content.get("identity")
    for holds in (
        isinstance(user_id, str) and _USER_ID.fullmatch(user_id),
        "previous_card_id" not in content or is_card_id(previous),
        isinstance(created_at, int) and not isinstance(created_at, bool),
        isinstance(created_at, int) and 0 <= created_at <= MAX_CREATED_AT,
        content.get("version") == CARD_VERSION,
        isinstance(content.get("public_key"), str),
    ):
        if not holds:
            raise MalformedCardError("the card's snapshot has an impossible field")
    return content


def _check_signature(raw: Mapping[str, Any], signer: str, snapshot: bytes, key: PublicKey) -> None:
    found = [
        item
        for item in raw["signatures"]
        if isinstance(item, dict) and item.get("signer") == signer
    ]
    if len(found) != 1:
        raise CardSignatureError(f"the card has {len(found)} signatures of {signer!r}, not one")
    extra = found[0].get("snapshot")
    signed = snapshot if extra is None else snapshot + _decode(extra)
    try:
        envelope.verify(signed, _decode(found[0].get("signature")), key)
    except SignatureError as error:
        hint = None
        if signer == SERVICE_SIGNER:
            hint = "is service_public_key the key of this directory?"
        raise CardSignatureError(
            f"the card's signature of {signer!r} does not hold", hint=hint
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers could take different ones of a repeated key."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("repeated key")
    return content


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: Any) -> bytes:  # noqa: ANN401 - whatever the directory sent
    if isinstance(text, str) and len(text) <= 2 * MAX_SNAPSHOT_BYTES:
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError:
            pass
        else:
            if _encode(data) == text:
                return data
    raise MalformedCardError("the card is not base64")
