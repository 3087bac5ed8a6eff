"""Private and public keys in the encodings that E3Kit stores and publishes.

A key is Ed25519 (E3Kit's default: signs, and receives through its X25519 image) or Curve25519
(receives only). The one encoding accepted is the canonical DER of section 2.1 of the wire
format, because key identifiers are hashes of the encoding.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Iterable
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from encrypted_parse._translating import translating
from encrypted_parse.crypto.primitives import RandomSource, random_bytes
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import KeyFormatError, NotPicklableError, SignatureError

SEED_BYTES = 32
POINT_BYTES = 32
SIGNATURE_BYTES = 64
KEY_ID_BYTES = 8  # wire format, section 2.2
LONG_KEY_ID_BYTES = 32  # the same with useSha256Identifiers
_P = 2**255 - 19
_SIGN_BIT = 1 << 255
_ORDER_8_Y = int("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
_SMALL_ORDER_Y = frozenset((0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y))


class KeyType(enum.Enum):
    """What a key can do, with the constant part of its encodings (section 2.1)."""

    ED25519 = (
        bytes.fromhex("302e020100300506032b657004220420"),
        bytes.fromhex("302a300506032b6570032100"),
    )
    CURVE25519 = (
        bytes.fromhex("302e020100300506032b656e04220420"),
        bytes.fromhex("302a300506032b656e032100"),
    )

    def __init__(self, private_prefix: bytes, public_prefix: bytes) -> None:
        self.private_prefix = private_prefix
        self.public_prefix = public_prefix


def _strip_prefix(der: bytes, *, private: bool) -> tuple[KeyType, bytes]:
    for key_type in KeyType:
        prefix = key_type.private_prefix if private else key_type.public_prefix
        if der.startswith(prefix) and len(der) == len(prefix) + SEED_BYTES:
            return key_type, der[len(prefix) :]
    kind = "private (PKCS#8)" if private else "public (SubjectPublicKeyInfo)"
    raise KeyFormatError(
        f"not a canonical {kind} Ed25519 or Curve25519 key",
        hint="pass the DER bytes, or their base64, as E3Kit exports them",
    )


def _from_base64(text: str) -> bytes:
    with translating(ValueError, to=lambda: KeyFormatError("a key's text form is standard base64")):
        der = base64.b64decode(text.encode("ascii"), validate=True)
        if base64.b64encode(der).decode("ascii") != text:
            raise ValueError("surplus padding, or unused bits that are not zero")
    return der


@front_door
class PublicKey:
    """A public key: verifies signatures and receives content keys.

    Equality and hash are those of the canonical encoding, never of the short identifier, which
    can collide (section 11, item 5).
    """

    __slots__ = ("_agreement", "_der", "_long_id", "_verifying", "key_id", "key_type")

    key_type: KeyType
    key_id: bytes  # SHA-512(encoding)[0:8]: selects, never authenticates

    def __init__(self, key_type: KeyType, raw: bytes) -> None:
        self.key_type = key_type
        self._der = key_type.public_prefix + raw
        self.key_id = hashlib.sha512(self._der).digest()[:KEY_ID_BYTES]
        self._agreement: X25519PublicKey | None = None
        self._verifying: Ed25519PublicKey | None = None
        self._long_id: bytes | None = None

    @classmethod
    def from_bytes(cls, der: bytes) -> PublicKey:
        """Read the 44-byte SubjectPublicKeyInfo.

        Raises:
            KeyFormatError: Another type, another encoding of the same key, or a point that
                nobody can encrypt to and anybody can sign for (of small order, or y not
                reduced).
        """
        key_type, raw = _strip_prefix(der, private=False)
        if key_type is KeyType.ED25519:
            y = int.from_bytes(raw, "little") & (_SIGN_BIT - 1)
            if y in _SMALL_ORDER_Y or y >= _P:
                raise KeyFormatError("the public key is not a usable curve point")
        return cls(key_type, raw)

    @classmethod
    def from_base64(cls, text: str) -> PublicKey:
        """Read the base64 of `from_bytes`.

        Raises:
            KeyFormatError: As `from_bytes`, or not standard base64.
        """
        return cls.from_bytes(_from_base64(text))

    def to_bytes(self) -> bytes:
        """Return the 44-byte SubjectPublicKeyInfo."""
        return self._der

    def to_base64(self) -> str:
        """Return the text form that cards and E3Kit use (60 characters)."""
        return base64.b64encode(self._der).decode("ascii")

    @property
    def raw(self) -> bytes:
        """The 32-byte point."""
        return self._der[len(self.key_type.public_prefix) :]

    @property
    def long_key_id(self) -> bytes:
        """The 32-byte identifier of peers that use SHA-256 identifiers (section 2.2)."""
        if self._long_id is None:
            self._long_id = hashlib.sha256(self._der).digest()
        return self._long_id

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a raw 64-byte Ed25519 *signature* over *data*.

        Raises:
            SignatureError: It does not hold, or this key cannot sign.
        """
        if self.key_type is not KeyType.ED25519:
            raise SignatureError("a Curve25519 key cannot sign")
        with translating(
            InvalidSignature, ValueError, to=lambda: SignatureError("the signature does not hold")
        ):
            if self._verifying is None:
                self._verifying = Ed25519PublicKey.from_public_bytes(self.raw)
            self._verifying.verify(signature, data)

    def agreement_key(self) -> X25519PublicKey:
        """Return the X25519 image of this key (section 2.3), computed once and kept.

        Raises:
            KeyFormatError: The point has no image (y = 1).
        """
        if self._agreement is None:
            self._agreement = X25519PublicKey.from_public_bytes(self.agreement_raw())
        return self._agreement

    def agreement_raw(self) -> bytes:
        """Return the 32 bytes of `agreement_key`."""
        raw = self.raw
        return raw if self.key_type is KeyType.CURVE25519 else edwards_to_montgomery(raw)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey):
            return NotImplemented
        return self._der == other._der

    def __hash__(self) -> int:
        return hash(self._der)

    def __repr__(self) -> str:
        return f"<PublicKey {self.key_type.name} id={self.key_id.hex()}>"


@front_door
class PrivateKey:
    """A private key: opens stanzas, and signs if it is Ed25519.

    Its `repr` shows the public identifier only, and it refuses to be pickled or copied.
    """

    __slots__ = ("_agreement", "_key_type", "_seed", "_signing", "public_key")

    public_key: PublicKey

    def __init__(self, key_type: KeyType, seed: bytes) -> None:
        self._key_type = key_type
        self._seed = seed
        self._agreement: X25519PrivateKey | None = None
        self._signing: Ed25519PrivateKey | None = None
        if key_type is KeyType.ED25519:
            self._signing = Ed25519PrivateKey.from_private_bytes(seed)
            point = self._signing.public_key().public_bytes_raw()
        else:
            point = self.agreement_key().public_key().public_bytes_raw()
        self.public_key = PublicKey(key_type, point)

    @classmethod
    def generate(cls, key_type: KeyType = KeyType.ED25519) -> PrivateKey:
        """Make a fresh key from the operating system's randomness."""
        return cls(key_type, random_bytes(SEED_BYTES))

    @classmethod
    def from_bytes(cls, der: bytes) -> PrivateKey:
        """Read the 48-byte PKCS#8 encoding.

        Raises:
            KeyFormatError: Anything else, encrypted keys and raw seeds included.
        """
        return cls(*_strip_prefix(der, private=True))

    @classmethod
    def from_base64(cls, text: str) -> PrivateKey:
        """Read the base64 of `from_bytes`.

        Raises:
            KeyFormatError: As `from_bytes`, or not standard base64.
        """
        return cls.from_bytes(_from_base64(text))

    def to_bytes(self) -> bytes:
        """Return the **secret** 48-byte PKCS#8 encoding."""
        return self._key_type.private_prefix + self._seed

    def to_base64(self) -> str:
        """Return the **secret** text form that E3Kit stores (64 characters)."""
        return base64.b64encode(self.to_bytes()).decode("ascii")

    @property
    def key_type(self) -> KeyType:
        """Ed25519 or Curve25519."""
        return self._key_type

    def sign(self, data: bytes) -> bytes:
        """Return the raw 64-byte Ed25519 signature over *data*, whatever that may mean elsewhere.

        What a user's key signs is a digest of E3Kit's or begins with a `labels.Label`.

        Raises:
            SignatureError: This is a Curve25519 key.
        """
        if self._signing is None:
            raise SignatureError("a Curve25519 key cannot sign")
        return self._signing.sign(data)

    def agreement_key(self) -> X25519PrivateKey:
        """Return the X25519 image of this key (section 2.3), computed once and kept."""
        if self._agreement is None:
            scalar = self._seed
            if self._key_type is KeyType.ED25519:
                scalar = hashlib.sha512(self._seed).digest()[:SEED_BYTES]
            self._agreement = X25519PrivateKey.from_private_bytes(scalar)
        return self._agreement

    def exchange(self, point: bytes, image: bytes | None = None) -> bytes:
        """Return the 32-byte X25519 secret shared with the owner of a raw *point* of our type.

        *image* is the point's X25519 image, if it is known already.

        Raises:
            KeyFormatError: A point of small order (the secret would be all zero), or none.
        """
        if self._key_type is KeyType.CURVE25519:
            image = point
        elif image is None:
            image = edwards_to_montgomery(point)
        with translating(
            ValueError, to=lambda: KeyFormatError("the public key is a point of small order")
        ):
            return self.agreement_key().exchange(X25519PublicKey.from_public_bytes(image))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrivateKey):
            return NotImplemented
        return self.public_key == other.public_key

    def __hash__(self) -> int:
        return hash(self.public_key)

    def __repr__(self) -> str:
        return f"<PrivateKey {self._key_type.name} id={self.public_key.key_id.hex()}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError(
            "a private key is not written into pickles", hint="use a keystore, or to_bytes()"
        )


@front_door
class EphemeralKey:
    """One half of an agreement that is made for one message and then forgotten.

    For an Ed25519 recipient the point that travels is an Ed25519 one (section 3). Only its
    X25519 image takes part in the agreement, so the pair is made there and mapped back: half the
    work of making an Ed25519 pair and its image, and the same distribution. ADR 4.
    """

    __slots__ = ("_private", "point")

    point: bytes  # 32 bytes: what goes into the stanza

    def __init__(self, key_type: KeyType, random: RandomSource = random_bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(random(SEED_BYTES))
        self.point = self._private.public_key().public_bytes_raw()
        if key_type is KeyType.ED25519:
            self.point = montgomery_to_edwards(self.point, sign=random(1)[0] & 1)

    def exchange(self, recipient: PublicKey) -> bytes:
        """Return the 32-byte X25519 secret shared with *recipient*.

        Raises:
            KeyFormatError: *recipient* is a point of small order.
        """
        with translating(
            ValueError, to=lambda: KeyFormatError("the public key is a point of small order")
        ):
            return self._private.exchange(recipient.agreement_key())

    def __repr__(self) -> str:
        return f"<EphemeralKey {self.point.hex()}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("an ephemeral key is not written into pickles")


def montgomery_to_edwards(u: bytes, *, sign: int) -> bytes:
    """Map an X25519 u-coordinate to an Ed25519 point: y = (u - 1) / (u + 1).

    Both signs of x are points of the curve with that image; *sign* (0 or 1) chooses. The
    inverse of `edwards_to_montgomery`.

    Raises:
        KeyFormatError: u = -1, which has no image.
    """
    value = int.from_bytes(u, "little") & (_SIGN_BIT - 1)
    with translating(ValueError, to=lambda: KeyFormatError("the public key has no Ed25519 image")):
        inverse = pow(value + 1, -1, _P)
    y = (value - 1) * inverse % _P
    return (y | sign << 255).to_bytes(POINT_BYTES, "little")


def edwards_to_montgomery(point: bytes) -> bytes:
    """Map a 32-byte Ed25519 point to its X25519 u-coordinate: u = (1 + y) / (1 - y).

    The sign bit is ignored and the point is not checked to lie on the curve, as the wire format
    prescribes (section 2.3). The input is public, so its timing may show.

    Raises:
        KeyFormatError: y = 1, which has no image.
    """
    y = int.from_bytes(point, "little") & (_SIGN_BIT - 1)
    with translating(ValueError, to=lambda: KeyFormatError("the public key has no X25519 image")):
        inverse = pow(1 - y, -1, _P)
    return ((1 + y) * inverse % _P).to_bytes(POINT_BYTES, "little")


def edwards_to_montgomery_all(points: Iterable[bytes]) -> dict[bytes, bytes]:
    """Map many points at once: point -> image; points without an image are left out.

    One inversion for all of them (Montgomery's trick: the inverse of a product gives the inverse
    of each factor), where an inversion is most of what a single map costs.
    """
    ys = {point: int.from_bytes(point, "little") & (_SIGN_BIT - 1) for point in points}
    ys = {point: y for point, y in ys.items() if (1 - y) % _P}
    products, product = [], 1
    for y in ys.values():
        products.append(product)
        product = product * (1 - y) % _P
    inverse = pow(product, -1, _P)
    images = {}
    for (point, y), before in zip(reversed(ys.items()), reversed(products), strict=True):
        images[point] = ((1 + y) * inverse * before % _P).to_bytes(POINT_BYTES, "little")
        inverse = inverse * (1 - y) % _P
    return images
