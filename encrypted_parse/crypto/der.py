"""Strict DER, declared as classes: a thin door to `cryptography.hazmat.asn1`.

Two things of the wire format that strict DER has no word for are added: a SET OF that a peer
wrote unsorted can still be read, and the extent of the one structure at the start of a longer
message can be measured, bounded, before anything is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cryptography.hazmat.asn1 import (
    TLV,
    BitString,
    Explicit,
    Implicit,
    Null,
    Variant,
    decode_der,
    encode_der,
    sequence,
)
from cryptography.x509 import ObjectIdentifier

__all__ = [
    "TLV",
    "BitString",
    "Explicit",
    "Frame",
    "Implicit",
    "Null",
    "ObjectIdentifier",
    "Variant",
    "decode_der",
    "encode_der",
    "encoded_members",
    "members",
    "sequence",
    "sequence_length",
    "set_of",
]

SEQUENCE_TAG = 0x30
SET_TAG = 0x31
_LONG_FORM = 0x80


@sequence
class _Members:
    items: list[TLV]


@sequence
class _Holder:
    value: TLV


class Frame:
    """The DER of one structure whose only variable parts are octets of fixed lengths.

    Made once, by encoding the *declared* structure around markers, so it cannot drift from the
    declaration that reading uses. Filling it in gives what the encoder would give, and what it
    matches is what the decoder would read, at a fifth of the time.

    Args:
        encode: Encodes the structure with the given octets in its variable places.
        hole_bytes: Their lengths, in encoded order; three at the least.
    """

    __slots__ = ("_constants", "_holes", "_pieces", "length")

    length: int  # of the whole encoding, in bytes

    def __init__(self, encode: Callable[..., bytes], *hole_bytes: int) -> None:
        # Each begins with a byte that it does not repeat, so that it cannot be found too early.
        markers = [
            bytes((0xE0 + index, *[0xA0 + index] * (length - 1)))
            for index, length in enumerate(hole_bytes)
        ]
        rest = encode(*markers)
        self.length = len(rest)
        self._pieces: list[bytes] = []
        self._constants: list[tuple[slice, bytes]] = []
        self._holes: list[slice] = []
        start = 0
        for marker in markers:
            constant, rest = rest.split(marker, 1)
            self._pieces += (constant, b"")
            self._constants.append((slice(start, start + len(constant)), constant))
            start += len(constant) + len(marker)
            self._holes.append(slice(start - len(marker), start))
        self._pieces.append(rest)
        self._constants.append((slice(start, None), rest))

    def fill(self, *octets: bytes) -> bytes:
        """Return the structure with *octets* in its variable places, of the declared lengths."""
        pieces = self._pieces.copy()
        pieces[1::2] = octets
        return b"".join(pieces)

    def match(self, encoded: bytes) -> list[bytes] | None:
        """Return the variable parts of *encoded*; None if anything else in it differs."""
        if len(encoded) != self.length:
            return None
        for place, constant in self._constants:
            if encoded[place] != constant:
                return None
        return [encoded[place] for place in self._holes]


def _length_octets(length: int) -> bytes:
    if length < _LONG_FORM:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((_LONG_FORM | len(octets),)) + octets


def _wrap(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _length_octets(len(content)) + content


def members(constructed: TLV) -> list[TLV]:
    """Return the elements of a SET OF in the order in which they are encoded.

    Raises:
        ValueError: *constructed* is none, or an element is cut off or not DER.
    """
    if constructed.tag_bytes != b"\x31":
        raise ValueError("no SET OF")
    as_sequence = _wrap(SEQUENCE_TAG, bytes(constructed.data))
    return decode_der(_Members, _wrap(SEQUENCE_TAG, as_sequence)).items


def encoded_members(constructed: TLV) -> list[bytes]:
    """Return the elements of a SET OF as they are encoded.

    Raises:
        ValueError: As `members`.
    """
    return [
        member.tag_bytes + _length_octets(len(member.data)) + bytes(member.data)
        for member in members(constructed)
    ]


def set_of(elements: Iterable[bytes]) -> TLV:
    """Return the SET OF of already encoded *elements*, in DER order (section 4)."""
    encoded = _wrap(SET_TAG, b"".join(sorted(elements)))
    return decode_der(_Holder, _wrap(SEQUENCE_TAG, encoded)).value


def sequence_length(data: bytes, limit_bytes: int) -> int:
    """Return the length, with tag and length octets, of the SEQUENCE that *data* starts with.

    Reads the tag and the length alone; the content may still be cut off or not DER.

    Raises:
        ValueError: Another tag, a length that is indefinite, not minimal or over
            *limit_bytes*.
    """
    if len(data) < 2 or data[0] != SEQUENCE_TAG:  # noqa: PLR2004 - one tag, one length octet
        raise ValueError("no SEQUENCE")
    first = data[1]
    if first < _LONG_FORM:
        return 2 + first
    octets = first - _LONG_FORM
    if not 0 < octets <= 4 or len(data) < 2 + octets:  # noqa: PLR2004 - four hold 4 GiB
        raise ValueError("unusable length")
    content = int.from_bytes(data[2 : 2 + octets], "big")
    if _length_octets(content) != data[1 : 2 + octets]:
        raise ValueError("length is not minimal")
    total = 2 + octets + content
    if total > limit_bytes:
        raise ValueError("length exceeds the limit")
    return total
