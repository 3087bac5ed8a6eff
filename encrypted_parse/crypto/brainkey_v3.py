"""BrainKey v3's arithmetic, for reading backups of E3Kit for Kotlin 3 (services document, 5.2).

An oblivious PRF on P-256: the password is hashed to a point P (SHA-512, then the simplified SWU
map with u = the digest's first 32 bytes), blinded to rP, hardened by the service to x(rP), and
deblinded to xP. The seed is HKDF-SHA512 over the uncompressed point with the password as salt.

Plain integers, for the same reason as in `brainkey`; the same remarks hold. The answer's proof is
not read: nothing is encrypted for the key that comes out, and a wrong one opens nothing.
"""

from __future__ import annotations

import secrets

from encrypted_parse.crypto.brainkey import encode_password
from encrypted_parse.crypto.primitives import digest, hkdf_sha512
from encrypted_parse.errors import BrainKeyError

POINT_BYTES = 65
SEED_BYTES = 32
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_A = _P - 3
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COORDINATE_BYTES = 32
_UNCOMPRESSED = b"\x04"

_Point = tuple[int, int] | None  # None is the point at infinity


def blind(password: str, factor: int | None = None) -> tuple[bytes, int]:
    """Return the blinded point (65 bytes) that the service may see, and the **secret** 1/r.

    Raises:
        BrainKeyError: The password is empty or too long.
    """
    r = factor or 1 + secrets.randbelow(_ORDER - 1)
    u = int.from_bytes(digest(encode_password(password))[:_COORDINATE_BYTES], "big")
    return _encode(_multiply(_map_to_curve(u), r)), pow(r, -1, _ORDER)


def deblind(password: str, hardened: bytes, unblinding: int, key_name: bytes) -> bytes:
    """Return the **secret** seed (32 bytes) from the service's answer.

    Raises:
        BrainKeyError: The answer is not a point of the curve.
    """
    point = _encode(_multiply(_decode(hardened), unblinding))
    return hkdf_sha512(point, SEED_BYTES, salt=encode_password(password), info=key_name)


def _map_to_curve(u: int) -> _Point:
    alpha = -u * u % _P
    x = -_B * pow(_A, -1, _P) * (1 + pow(alpha * alpha + alpha, -1, _P)) % _P
    square = _right_side(x)
    inverse_root = pow(square, (_P - 3) // 4, _P)
    if inverse_root * inverse_root * square % _P == 1:
        return x, inverse_root * square % _P
    x = alpha * x % _P
    return x, pow(_right_side(x), (_P + 1) // 4, _P)


def _right_side(x: int) -> int:
    return (x * x * x + _A * x + _B) % _P


def _add(one: _Point, other: _Point) -> _Point:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2:
        if (y1 + y2) % _P == 0:
            return None
        slope = (3 * x1 * x1 + _A) * pow(2 * y1, -1, _P) % _P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, _P) % _P
    x = (slope * slope - x1 - x2) % _P
    return x, (slope * (x1 - x) - y1) % _P


def _multiply(point: _Point, scalar: int) -> _Point:
    total: _Point = None
    for bit in f"{scalar:b}":
        total = _add(total, total)
        if bit == "1":
            total = _add(total, point)
    return total


def _encode(point: _Point) -> bytes:
    if point is None:
        raise BrainKeyError("the point at infinity has no encoding")
    return _UNCOMPRESSED + b"".join(value.to_bytes(_COORDINATE_BYTES, "big") for value in point)


def _decode(encoded: bytes) -> _Point:
    x = int.from_bytes(encoded[1 : 1 + _COORDINATE_BYTES], "big")
    y = int.from_bytes(encoded[1 + _COORDINATE_BYTES :], "big")
    if (
        len(encoded) != POINT_BYTES
        or not encoded.startswith(_UNCOMPRESSED)
        or max(x, y) >= _P
        or y * y % _P != _right_side(x)
    ):
        raise BrainKeyError("the service's answer is not a point of P-256")
    return x, y
