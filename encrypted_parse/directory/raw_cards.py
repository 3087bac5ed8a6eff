"""Raw cards: their form and their bounds, before any key is used (ADR 17).

The companion accepts exactly the same, so that what one user can publish never stands in another
user's way: tests/vectors/cards.json holds both to it, case by case.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from encrypted_parse._translating import translating
from encrypted_parse.errors import MalformedCardError

CARD_VERSION = "5.0"
MAX_CARD_BYTES = 16 * 1024  # as it is served: compact JSON, the service's signature included
MAX_SIGNATURES = 9  # as it is served: the user's, the service's, and seven others
MAX_SIGNER_CHARACTERS = 64
MAX_CREATED_AT = 253_402_300_799  # the last second of the year 9999
MAX_CONTAINERS = 8  # objects and lists in a snapshot, itself included: bounds its depth as well
_USER_ID = re.compile(r"[\x20-\x7e]{1,255}")
_SIGNER = re.compile(rf"[\x20-\x7e]{{1,{MAX_SIGNER_CHARACTERS}}}")
_CARD_ID = re.compile(r"[0-9a-f]{64}")
# The strings of a JSON text, the last of which may be cut off: what is left is its skeleton.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
# Fractions, exponents, and what a double does not hold: readers differ in what they make of them.
_INEXACT = re.compile(r"[0-9][.eE]|[0-9]{16}")


@frozen
class RawSignature:
    """A signature's bytes, and those that it covers beside the card's snapshot."""

    signature: bytes
    extra: bytes


@frozen
class RawCard:
    """A card whose form is right. Nothing of it is verified.

    Attributes:
        snapshot: The bytes that are signed, and that the card's id is made of.
        content: What they say.
        signatures: By signer.
    """

    snapshot: bytes
    content: Mapping[str, Any] = field(repr=False)
    signatures: Mapping[str, RawSignature] = field(repr=False)

    @classmethod
    def from_json(cls, raw: Any) -> RawCard:  # noqa: ANN401 - whatever the directory sent
        """Read a raw card's form. Members without a meaning here are passed over.

        Raises:
            MalformedCardError: It is not that of a card of version 5.0.
        """
        # (1) shape   (2) size   (3) texts that are base64   (4) the content
        if not isinstance(raw, dict) or not isinstance(raw.get("signatures"), list):
            raise MalformedCardError("not a card")
        if len(raw["signatures"]) > MAX_SIGNATURES:
            raise MalformedCardError(f"the card has more than {MAX_SIGNATURES} signatures")
        items = [_read_item(item) for item in raw["signatures"]]  # (1)
        known = {"content_snapshot": raw.get("content_snapshot"), "signatures": items}
        if _compact_size(known) > MAX_CARD_BYTES:  # (2)
            raise MalformedCardError(f"the card is larger than {MAX_CARD_BYTES} bytes")
        signatures = {  # (3)
            item["signer"]: RawSignature(
                decode_base64(item["signature"]), decode_base64(item.get("snapshot", ""))
            )
            for item in items
        }
        if len(signatures) != len(items):
            raise MalformedCardError("one signer signed the card twice")
        snapshot = decode_base64(raw.get("content_snapshot"))
        return cls(snapshot, _read_content(snapshot), signatures)  # (4)


def is_card_id(value: object) -> bool:
    """Tell whether *value* has the form of a card id."""
    return isinstance(value, str) and _CARD_ID.fullmatch(value) is not None


def is_user_id(value: object) -> bool:
    """Tell whether *value* can be the user id of a card: 1 to 255 printable ASCII characters.

    Other identities are misread by Virgil's JavaScript (services document, section 2).
    """
    return isinstance(value, str) and _USER_ID.fullmatch(value) is not None


def decode_base64(text: Any) -> bytes:  # noqa: ANN401 - whatever the directory sent
    """Read canonical standard base64.

    Raises:
        MalformedCardError: It is something else.
    """
    if isinstance(text, str):
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError:
            pass
        else:
            if base64.b64encode(data).decode("ascii") == text:
                return data
    raise MalformedCardError("a part of the card is not base64")


def _read_item(item: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever the directory sent
    """Return the members of one signature that have a meaning; null stands for none."""
    if not isinstance(item, dict):
        raise MalformedCardError("a signature of the card is none")
    signer = item.get("signer")
    if not isinstance(signer, str) or not _SIGNER.fullmatch(signer):
        raise MalformedCardError("a signature of the card names no signer")
    known = {"signer": signer, "signature": item.get("signature")}
    if item.get("snapshot") is not None:
        known["snapshot"] = item["snapshot"]
    return known


def _compact_size(value: Any) -> int:  # noqa: ANN401 - any JSON
    try:
        return len(json.dumps(value, separators=(",", ":")))
    except RecursionError as error:
        raise MalformedCardError("not a card") from error


def _read_content(snapshot: bytes) -> dict[str, Any]:
    content = _read_json(snapshot)
    created_at = content.get("created_at")
    for holds in (
        is_user_id(content.get("identity")),
        "previous_card_id" not in content or is_card_id(content["previous_card_id"]),
        type(created_at) is int and 0 <= created_at <= MAX_CREATED_AT,
        content.get("version") == CARD_VERSION,
        isinstance(content.get("public_key"), str),
    ):
        if not holds:
            raise MalformedCardError("the card's snapshot has an impossible member")
    return content


def _read_json(snapshot: bytes) -> dict[str, Any]:
    """Read a JSON object that no two readers understand differently."""
    with translating(ValueError, to=_not_plain):
        text = snapshot.decode("utf-8")
        skeleton = _STRING.sub("", text)
        if skeleton.count("{") + skeleton.count("[") > MAX_CONTAINERS:
            raise ValueError("nested too deep")
        if _INEXACT.search(skeleton):
            raise ValueError("a number that is not exact")
        content = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    if not isinstance(content, dict):
        raise MalformedCardError("the card's snapshot is not an object")
    return content


def _not_plain() -> MalformedCardError:
    return MalformedCardError("the card's snapshot is not JSON of the plain kind")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a repeated member")
    return content


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON
