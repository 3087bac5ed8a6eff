"""BrainKey's arithmetic: a password becomes a key pair, helped by a service that does not see it.

BLS12-381 in the conventions of the clients' library (services document, section 5.1): the password
is hashed to a point P of G1, blinded to x = rP, transformed by the service to y = e(x, Q)^k, and
deblinded to u = y^(1/r), which depends on the password, the user and the service's secret alone.

No package that we use has this hash to the curve or this packing, so the field arithmetic is here,
on Python's integers. It is not constant-time; the blinding factor is used once, on this machine.
"""

from __future__ import annotations

import hashlib
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from encrypted_parse.crypto.keys import KeyType, PrivateKey
from encrypted_parse.crypto.primitives import kdf2
from encrypted_parse.errors import BrainKeyError

P = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f624"
    "1eabfffeb153ffffb9feffffffffaaab",
    16,
)
ORDER = int("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)
COFACTOR = 0x396C8C005555E1568C00AAAB0000AAAB
POINT_BYTES = 49
SEED_BYTES = 384
MAX_PASSWORD_BYTES = 128
_FIELD_BYTES = 48
_MONTGOMERY = 1 << 384

Point = tuple[int, int]
Fp2 = tuple[int, int]  # real and imaginary part; i² = -1
Fp12 = tuple[Fp2, ...]  # coefficients of w⁰ to w⁵; w⁶ = 1 + i
_ONE: Fp12 = ((1, 0), *((0, 0),) * 5)


def encode_password(password: str) -> bytes:
    """Return the UTF-8 of a password, 1 to 128 **secret** bytes.

    Raises:
        BrainKeyError: It is empty or too long.
    """
    encoded = password.encode("utf-8")
    if not 1 <= len(encoded) <= MAX_PASSWORD_BYTES:
        raise BrainKeyError(f"a password has 1 to {MAX_PASSWORD_BYTES} bytes")
    return encoded


def blind(password: str, factor: int | None = None) -> tuple[bytes, int]:
    """Return the blinded point (49 bytes) that the service may see, and the **secret** 1/r.

    Args:
        password: 1 to 128 bytes of UTF-8.
        factor: Fixed by tests alone.

    Raises:
        BrainKeyError: The password is empty or too long.
    """
    encoded = encode_password(password)
    r = factor or 1 + secrets.randbelow(ORDER - 1)
    return _encode_point(_multiply(_hash_to_curve(encoded), r)), pow(r, -1, ORDER)


def deblind(transformed: bytes, unblinding: int) -> bytes:
    """Return u = y^(1/r), 384 **secret** bytes, from the service's answer.

    Raises:
        BrainKeyError: Not an element of the group of prime order. A service that answered
            with one of small order would know the outcome.
    """
    y = _unpack(transformed)
    if y == _ONE or _power(y, ORDER) != _ONE:
        raise BrainKeyError("the service's answer is not an element of the group")
    return _pack(_power(y, unblinding))


def key_from_material(material: bytes) -> PrivateKey:
    """Return the Ed25519 key that E3Kit derives from key material (32 to 512 bytes).

    Raises:
        BrainKeyError: The material has another length.
    """
    if not 32 <= len(material) <= 512:  # noqa: PLR2004 - the services document's numbers
        raise BrainKeyError("key material has 32 to 512 bytes")
    return PrivateKey(KeyType.ED25519, _ctr_drbg(kdf2(material, 48, "sha512"), 32))


# --- G1 -------------------------------------------------------------------------------------


def _hash_to_curve(password: bytes) -> Point:
    x = int.from_bytes(hashlib.sha384(password).digest(), "big") % P
    while True:
        square = (x * x * x + 4) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            return _multiply((x, y), COFACTOR)
        x += 1


def _multiply(point: Point, scalar: int) -> Point:
    """Multiply in Jacobian coordinates; neither the point nor the outcome is at infinity."""
    x, y, z = 0, 1, 0
    for bit in f"{scalar:b}":
        x, y, z = _double(x, y, z)
        if bit == "1":
            x, y, z = _add_affine((x, y, z), point)
    inverse = pow(z, -1, P)
    return x * inverse * inverse % P, y * inverse * inverse * inverse % P


def _double(x: int, y: int, z: int) -> tuple[int, int, int]:
    if z == 0:
        return x, y, z
    a, b = x * x % P, y * y % P
    c = b * b % P
    d = 2 * ((x + b) ** 2 - a - c) % P
    e = 3 * a
    double_x = (e * e - 2 * d) % P
    return double_x, (e * (d - double_x) - 8 * c) % P, 2 * y * z % P


def _add_affine(left: tuple[int, int, int], right: Point) -> tuple[int, int, int]:
    x, y, z = left
    if z == 0:
        return right[0], right[1], 1
    zz = z * z % P
    u, s = right[0] * zz % P, right[1] * zz * z % P
    h, r = (u - x) % P, (s - y) % P
    if h == 0:
        return _double(x, y, z) if r == 0 else (0, 1, 0)
    hh = h * h % P
    hhh, v = h * hh % P, x * hh % P
    sum_x = (r * r - hhh - 2 * v) % P
    return sum_x, (r * (v - sum_x) - y * hhh) % P, z * h % P


def _encode_point(point: Point) -> bytes:
    """Tag and x; the tag tells y's lowest bit in Montgomery form, as the clients' library does."""
    x, y = point
    return bytes((2 + (y * _MONTGOMERY % P) % 2,)) + x.to_bytes(_FIELD_BYTES, "big")


# --- GT -------------------------------------------------------------------------------------


def _multiply12(left: Fp12, right: Fp12) -> Fp12:
    real, imaginary = [0] * 11, [0] * 11
    for i, (a, b) in enumerate(left):
        for j, (c, d) in enumerate(right):
            real[i + j] += a * c - b * d
            imaginary[i + j] += a * d + b * c
    for k in range(5):  # w⁶ = 1 + i
        real[k] += real[k + 6] - imaginary[k + 6]
        imaginary[k] += real[k + 6] + imaginary[k + 6]
    return tuple((real[k] % P, imaginary[k] % P) for k in range(6))


def _power(base: Fp12, exponent: int) -> Fp12:
    window = [_ONE]
    for _ in range(15):
        window.append(_multiply12(window[-1], base))
    result = _ONE
    for digit in f"{exponent:x}":
        for _ in range(4):
            result = _multiply12(result, result)
        result = _multiply12(result, window[int(digit, 16)])
    return result


def _mul(left: Fp2, right: Fp2) -> Fp2:
    (a, b), (c, d) = left, right
    return (a * c - b * d) % P, (a * d + b * c) % P


def _sum(*terms: tuple[int, Fp2]) -> Fp2:
    """Return the sum of the terms, each a factor and an element."""
    return (
        sum(factor * value[0] for factor, value in terms) % P,
        sum(factor * value[1] for factor, value in terms) % P,
    )


def _divide(left: Fp2, right: Fp2) -> Fp2:
    c, d = right
    norm = (c * c + d * d) % P
    if norm == 0:
        raise BrainKeyError("the service's answer is not an element of the group")
    inverse = pow(norm, -1, P)
    return _mul(left, (c * inverse % P, -d * inverse % P))


def _times_xi(value: Fp2) -> Fp2:
    return (value[0] - value[1]) % P, (value[0] + value[1]) % P


def _pack(element: Fp12) -> bytes:
    """Write the coefficients of w², w⁴, w and w⁵, from which a reader has the others."""
    return b"".join(part.to_bytes(_FIELD_BYTES, "big") for k in (2, 4, 1, 5) for part in element[k])


def _unpack(packed: bytes) -> Fp12:
    if len(packed) != SEED_BYTES:
        raise BrainKeyError("the service's answer has another length")
    numbers = [
        int.from_bytes(packed[start : start + _FIELD_BYTES], "big")
        for start in range(0, SEED_BYTES, _FIELD_BYTES)
    ]
    if max(numbers) >= P:
        raise BrainKeyError("the service's answer is not an element of the group")
    g4, g3, g2, g5 = ((numbers[k], numbers[k + 1]) for k in range(0, 8, 2))
    if g2 == (0, 0):
        g1 = _divide(_sum((2, _mul(g4, g5))), g3)
    else:
        numerator = _sum((1, _times_xi(_mul(g5, g5))), (3, _mul(g4, g4)), (-2, g3))
        g1 = _divide(numerator, _sum((4, g2)))
    inner = _sum((2, _mul(g1, g1)), (1, _mul(g2, g5)), (-3, _mul(g3, g4)))
    g0 = _sum((1, _times_xi(inner)), (1, (1, 0)))
    return g0, g2, g4, g1, g3, g5


# --- key material ---------------------------------------------------------------------------

_BLOCK = 16
_KEY = 32
_SEED = 48


def _ctr_drbg(entropy: bytes, count: int) -> bytes:
    """Return bytes of AES-256 CTR_DRBG (SP 800-90A) with derivation function, seeded once."""
    derived = _derive(entropy)
    seeded = bytes(
        a ^ b for a, b in zip(_counter_blocks(bytes(_KEY), bytes(_BLOCK), 3), derived, strict=True)
    )
    blocks = -(-count // _BLOCK)
    return _counter_blocks(seeded[:_KEY], seeded[_KEY:], blocks)[:count]


def _counter_blocks(key: bytes, counter: bytes, count: int) -> bytes:
    first = int.from_bytes(counter, "big")
    return b"".join(
        _encrypt(key, ((first + n) % 2**128).to_bytes(_BLOCK, "big")) for n in range(1, count + 1)
    )


def _derive(entropy: bytes) -> bytes:
    """The block cipher derivation function (SP 800-90A, 10.3.2)."""
    data = len(entropy).to_bytes(4, "big") + _SEED.to_bytes(4, "big") + entropy + b"\x80"
    data += bytes(-len(data) % _BLOCK)
    key = bytes(range(_KEY))
    chained = b"".join(
        _chain(key, n.to_bytes(4, "big") + bytes(12) + data) for n in range(_SEED // _BLOCK)
    )
    key, block, derived = chained[:_KEY], chained[_KEY:], b""
    while len(derived) < _SEED:
        block = _encrypt(key, block)
        derived += block
    return derived


def _chain(key: bytes, data: bytes) -> bytes:
    value = bytes(_BLOCK)
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        value = _encrypt(key, bytes(a ^ b for a, b in zip(value, block, strict=True)))
    return value


def _encrypt(key: bytes, block: bytes) -> bytes:
    # One block: what ECB is unsafe for, several of them, does not happen here.
    return Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update(block)  # noqa: S305
