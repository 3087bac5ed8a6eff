"""The little of Protocol Buffers that group messages need (wire format, section 9).

Varints and length-delimited fields of proto2. A field may stand once; unknown fields are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_VARINT = 0
_FIXED64 = 1
_BYTES = 2
_FIXED32 = 5
_MAX_VARINT_BYTES = 10
_MAX_VALUE = 2**64 - 1
_CONTINUES = 0x80


def encode(fields: Mapping[int, int | bytes]) -> bytes:
    """Encode *fields* (number -> value) in the given order; zero is written too."""
    encoded = bytearray()
    for number, value in fields.items():
        if isinstance(value, int):
            encoded += _varint(number << 3 | _VARINT) + _varint(value)
        else:
            encoded += _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    return bytes(encoded)


def decode(data: bytes) -> dict[int, int | bytes]:
    """Return the fields of *data* by number.

    Raises:
        ValueError: Cut off, a repeated field, a field of an unknown wire type.
    """
    fields: dict[int, int | bytes] = {}
    place = 0
    while place < len(data):
        number, value, place = _read_field(data, place)
        if number in fields:
            raise ValueError("a field is repeated")
        fields[number] = value
    return fields


def walk(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of *data*, repeated ones too, up to its end or to what is no field."""
    place = 0
    while place < len(data):
        try:
            number, value, place = _read_field(data, place)
        except ValueError:
            return
        yield number, value


def _read_field(data: bytes, place: int) -> tuple[int, int | bytes, int]:
    key, place = _read_varint(data, place)
    number, wire_type = key >> 3, key & 7
    if number == 0:
        raise ValueError("a field has no number")
    if wire_type == _VARINT:
        value, place = _read_varint(data, place)
        return number, value, place
    if wire_type == _BYTES:
        length, place = _read_varint(data, place)
    elif wire_type in (_FIXED32, _FIXED64):
        length = 4 if wire_type == _FIXED32 else 8
    else:
        raise ValueError("unknown wire type")
    if length > len(data) - place:
        raise ValueError("cut off")
    return number, data[place : place + length], place + length


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _CONTINUES:
        encoded.append(value & 0x7F | _CONTINUES)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for index, octet in enumerate(data[place : place + _MAX_VARINT_BYTES]):
        value |= (octet & 0x7F) << 7 * index
        if octet < _CONTINUES:
            if value > _MAX_VALUE:
                break
            return value, place + index + 1
    raise ValueError("cut off, or a number beyond 64 bits")
