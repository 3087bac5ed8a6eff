"""Keys: the table of imports (section 2.1), points of small order, and what is kept quiet."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey
from encrypted_parse.crypto.keys import edwards_to_montgomery
from encrypted_parse.errors import KeyFormatError, NotPicklableError, SignatureError

P = 2**255 - 19
ORDER_8 = int("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
SEED = bytes(range(32))
KEY = PrivateKey(KeyType.ED25519, SEED)
FOREIGN = Ed25519PrivateKey.from_private_bytes(SEED)  # the same key, by another library
ED25519_OID = bytes.fromhex("06032b6570")


def _private(key: object, encoding: Encoding = Encoding.DER, password: bytes = b"") -> bytes:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(encoding, PrivateFormat.PKCS8, protection)


def _public(key: object, encoding: Encoding = Encoding.DER) -> bytes:
    return key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def _spliced(der: bytes, tail: bytes, version: int = 0) -> bytes:
    """Append *tail* inside the outer SEQUENCE of a short PKCS#8."""
    return bytes((0x30, der[1] + len(tail))) + b"\x02\x01" + bytes((version,)) + der[5:] + tail


P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)

PRIVATE_DER = _private(FOREIGN)
PUBLIC_DER = _public(FOREIGN)
PUBLIC_ATTRIBUTE = b"\x81\x21\x00" + KEY.public_key.raw

REFUSED_PRIVATE = {
    "PEM": _private(FOREIGN, Encoding.PEM),
    "attributes [0]": _spliced(PRIVATE_DER, b"\xa0\x00"),
    "version 1 with public key": _spliced(PRIVATE_DER, PUBLIC_ATTRIBUTE, version=1),
    "version 1": _spliced(PRIVATE_DER, b"", version=1),
    "version 0 with [1]": _spliced(PRIVATE_DER, PUBLIC_ATTRIBUTE),
    "encrypted DER": _private(FOREIGN, password=b"open sesame"),
    "encrypted PEM": _private(FOREIGN, Encoding.PEM, password=b"open sesame"),
    "raw 32 bytes": SEED,
    "raw 64 bytes": SEED + KEY.public_key.raw,
    "one trailing byte": PRIVATE_DER + b"\x00",
    "one byte short": PRIVATE_DER[:-1],
    "long-form length": b"\x30\x81" + PRIVATE_DER[1:],
    "seed of 31 bytes": bytes.fromhex("302d020100300506032b65700421041f") + SEED[:31],
    "public key": PUBLIC_DER,
    "P-256": _private(P256),
    "RSA": _private(RSA),
    "X448": _private(x448.X448PrivateKey.generate()),
    "empty": b"",
    "text": b"not a key",
}
REFUSED_PUBLIC = {
    "PEM": _public(FOREIGN, Encoding.PEM),
    "raw 32 bytes": KEY.public_key.raw,
    "raw 64 bytes": KEY.public_key.raw * 2,
    "one trailing byte": PUBLIC_DER + b"\x00",
    "one byte short": PUBLIC_DER[:-1],
    "NULL parameters": b"\x30\x2c\x30\x07" + ED25519_OID + b"\x05\x00" + PUBLIC_DER[9:],
    "long-form length": b"\x30\x81" + PUBLIC_DER[1:],
    "indefinite length": b"\x30\x80" + PUBLIC_DER[2:] + b"\x00\x00",
    "unused bits": PUBLIC_DER[:11] + b"\x01" + PUBLIC_DER[12:],
    "private key": PRIVATE_DER,
    "P-256": _public(P256),
    "RSA": _public(RSA),
    "X448": _public(x448.X448PrivateKey.generate()),
    "empty": b"",
}
# y, the Ed25519 coordinate that decides. Nobody could encrypt for these.
UNUSABLE_Y = {
    "order 1, y=1": 1,
    "order 2, y=p-1": P - 1,
    "order 4, y=0": 0,
    "order 8": ORDER_8,
    "order 8, other": P - ORDER_8,
    "not reduced, y=p": P,
    "not reduced, y=p+1": P + 1,
    "not reduced, y=2^255-1": 2**255 - 1,
}


def _each(name: str, table: dict[str, object]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(name, table.values(), ids=table.keys())


# --- imports --------------------------------------------------------------------------------


def test_canonical_encodings_are_read_and_written() -> None:
    """The two DER forms that other libraries write are ours, byte for byte."""
    assert PrivateKey.from_bytes(PRIVATE_DER).to_bytes() == PRIVATE_DER
    assert PublicKey.from_bytes(PUBLIC_DER).to_bytes() == PUBLIC_DER
    assert PrivateKey.from_bytes(PRIVATE_DER).public_key == PublicKey.from_bytes(PUBLIC_DER)
    assert (len(PRIVATE_DER), len(PUBLIC_DER)) == (48, 44)


def test_curve25519_is_read_and_written() -> None:
    """Keys that can only receive have the same shapes."""
    foreign = X25519PrivateKey.from_private_bytes(SEED)
    key = PrivateKey.from_bytes(_private(foreign))
    assert key.key_type is key.public_key.key_type is KeyType.CURVE25519
    assert key.to_bytes() == _private(foreign)
    assert key.public_key.to_bytes() == _public(foreign)
    assert key.public_key.agreement_raw() == foreign.public_key().public_bytes_raw()


@_each("encoding", REFUSED_PRIVATE)
def test_other_private_encodings_are_refused(encoding: bytes) -> None:
    """One encoding per key: everything else, though npm may take it, is a KeyFormatError."""
    with pytest.raises(KeyFormatError) as caught:
        PrivateKey.from_bytes(encoding)
    assert SEED.hex() not in str(caught.value)
    with pytest.raises(KeyFormatError):
        PrivateKey.from_base64(base64.b64encode(encoding).decode("ascii"))


@_each("encoding", REFUSED_PUBLIC)
def test_other_public_encodings_are_refused(encoding: bytes) -> None:
    """An encoding that would give the same key another identifier is refused."""
    with pytest.raises(KeyFormatError):
        PublicKey.from_bytes(encoding)
    with pytest.raises(KeyFormatError):
        PublicKey.from_base64(base64.b64encode(encoding).decode("ascii"))


@pytest.mark.parametrize(
    "text",
    ["", "MC4", " {}", "{}\n", "{}=", "\N{FULLWIDTH LATIN CAPITAL LETTER M}C4", "-_-_", "=" * 64],
)
def test_text_form_is_standard_base64(text: str) -> None:
    """White space, other alphabets and other characters are refused."""
    with pytest.raises(KeyFormatError):
        PrivateKey.from_base64(text.format(KEY.to_base64()))
    with pytest.raises(KeyFormatError):
        PublicKey.from_base64(text.format(KEY.public_key.to_base64()))


def test_text_form_is_unique() -> None:
    """The unused bits of a public key's last character are zero, so no second text is the same."""
    text = KEY.public_key.to_base64()
    assert text.endswith("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = text[:-2] + alphabet[alphabet.index(text[-2]) ^ 1] + "="
    assert base64.b64decode(stray, validate=True) == KEY.public_key.to_bytes()
    with pytest.raises(KeyFormatError):
        PublicKey.from_base64(stray)


def test_text_form_round_trip() -> None:
    """The text forms are those that E3Kit stores, with their well-known beginnings."""
    assert PrivateKey.from_base64(KEY.to_base64()) == KEY
    assert PublicKey.from_base64(KEY.public_key.to_base64()) == KEY.public_key
    assert KEY.to_base64().startswith("MC4CAQAwBQYDK2VwBCIEI")
    assert KEY.public_key.to_base64().startswith("MCowBQYDK2VwAyEA")


# --- points that nobody can encrypt for -----------------------------------------------------


@pytest.mark.parametrize("sign_bit", [0, 1])
@_each("y", UNUSABLE_Y)
def test_unusable_points_are_refused(y: int, sign_bit: int) -> None:
    """A public key of small order, or with a coordinate that is not reduced, is not imported."""
    point = (y | sign_bit << 255).to_bytes(32, "little")
    with pytest.raises(KeyFormatError):
        PublicKey.from_bytes(KeyType.ED25519.public_prefix + point)


@_each("y", UNUSABLE_Y)
def test_unusable_points_share_no_secret(y: int) -> None:
    """Where such a point comes in unchecked, as an ephemeral key does, the exchange refuses it."""
    small_order = y != 2**255 - 1  # u of this one is an ordinary point
    point = y.to_bytes(32, "little")
    if small_order:
        with pytest.raises(KeyFormatError):
            KEY.exchange(point)
    else:
        assert len(KEY.exchange(point)) == 32


def test_the_map_has_no_value_at_one() -> None:
    """The denominator of section 2.3 is checked before it is inverted, in both its forms."""
    for y in (1, P + 1):
        with pytest.raises(KeyFormatError):
            edwards_to_montgomery(y.to_bytes(32, "little"))


def test_both_sides_agree() -> None:
    """X25519 gives both sides the same secret, for each type of key."""
    for key_type in KeyType:
        left, right = PrivateKey.generate(key_type), PrivateKey.generate(key_type)
        assert left.exchange(right.public_key.raw) == right.exchange(left.public_key.raw)


# --- signing --------------------------------------------------------------------------------


def test_curve25519_cannot_sign() -> None:
    """A key that only receives says so, for both halves."""
    key = PrivateKey.generate(KeyType.CURVE25519)
    with pytest.raises(SignatureError):
        key.sign(b"data")
    with pytest.raises(SignatureError):
        key.public_key.verify(bytes(64), b"data")


@pytest.mark.parametrize("length", [0, 63, 65])
def test_signatures_of_another_length(length: int) -> None:
    """A signature that is not 64 bytes long does not hold."""
    with pytest.raises(SignatureError):
        KEY.public_key.verify(bytes(length), b"data")


def test_malleated_signatures_are_refused() -> None:
    """S + L, which npm accepts, is not a second signature of the same data."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = KEY.sign(b"data")
    KEY.public_key.verify(signature, b"data")
    s = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(SignatureError):
        KEY.public_key.verify(signature[:32] + s.to_bytes(32, "little"), b"data")


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("show", [repr, str, "{}".format, ascii])
@pytest.mark.parametrize("key_type", KeyType)
def test_private_keys_are_mute(show: object, key_type: KeyType) -> None:
    """A private key shows its public identifier and nothing of the seed."""
    key = PrivateKey(key_type, SEED)
    text = show(key)
    assert key.public_key.key_id.hex() in text
    for secret in (SEED.hex(), repr(SEED), key.to_base64(), base64.b64encode(SEED).decode()):
        assert secret not in text
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_private_keys_are_not_pickled(protocol: int) -> None:
    """Neither alone nor inside another value."""
    for value in (KEY, [KEY], {"key": KEY}):
        with pytest.raises(NotPicklableError):
            pickle.dumps(value, protocol)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_private_keys_are_not_copied(duplicate: object) -> None:
    """Copying goes the way of pickling."""
    with pytest.raises(NotPicklableError):
        duplicate(KEY)


def test_equality_is_that_of_the_encoding() -> None:
    """Equal bytes are equal keys; type, half and identifier alone never make two keys equal."""
    same, other = PrivateKey.from_bytes(KEY.to_bytes()), PrivateKey.generate()
    assert (same, same.public_key) == (KEY, KEY.public_key)
    assert len({same, KEY}) == len({same.public_key, KEY.public_key}) == 1
    assert other != KEY
    assert KEY.public_key != other.public_key
    assert PublicKey(KeyType.ED25519, SEED) != PublicKey(KeyType.CURVE25519, SEED)
    assert KEY.public_key != KEY
    assert KEY.public_key != KEY.public_key.to_bytes()

    twin = PublicKey.from_bytes(other.public_key.to_bytes())
    twin.key_id = KEY.public_key.key_id
    assert twin != KEY.public_key


def test_generated_keys_differ() -> None:
    """Every generated key is a fresh one."""
    assert len({PrivateKey.generate() for _ in range(50)}) == 50
