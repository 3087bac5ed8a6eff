"""Signature containers (section 7), and the card ids that are made alike (section 8).

Ed25519 over a digest, with the digest's name: what E3Kit's `calculateSignature` returns, what
signs cards, and, as `VEDS512`, JWTs.
"""

from __future__ import annotations

from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.crypto import PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.keys import SIGNATURE_BYTES
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import asn1
from encrypted_parse.errors import SignatureError

CONTAINER_BYTES = 83
CARD_ID_BYTES = 32
_MAX_CONTAINER_BYTES = 4096  # bounds work on hostile input; RSA-8192 would need 1,050


@frozen
class SignatureContainer:
    """A raw signature, and hashlib's name of the digest that it is over."""

    digest: str
    signature: bytes

    @classmethod
    def from_bytes(cls, encoded: bytes) -> SignatureContainer:
        """Read a container; SHA-2 of every length is followed.

        Raises:
            SignatureError: Not a container of an Ed25519 signature.
        """
        if len(encoded) > _MAX_CONTAINER_BYTES:
            raise SignatureError("not a signature container")
        with translating(ValueError, to=lambda: SignatureError("not a signature container")):
            parsed = der.decode_der(asn1.SignatureContainer, encoded)
            digest = asn1.digest_name(parsed.digest)
        if len(parsed.signature) != SIGNATURE_BYTES:
            raise SignatureError("not an Ed25519 signature")
        return cls(digest, parsed.signature)

    def digest_of(self, data: bytes) -> bytes:
        """Return the digest of *data* that this signature has to be over."""
        return p.digest(data, self.digest)


@front_door
def card_id(content_snapshot: bytes) -> str:
    """Return the id of a card: SHA-512(*content_snapshot*)[0:32] in hexadecimal (section 8)."""
    return p.digest(content_snapshot)[:CARD_ID_BYTES].hex()


@front_door
def sign(data: bytes, key: PrivateKey) -> bytes:
    """Return the 83-byte container with *key*'s signature over SHA-512(*data*).

    Raises:
        SignatureError: *key* cannot sign.
    """
    return sign_digest(p.digest(data), key)


def sign_digest(digest: bytes, key: PrivateKey) -> bytes:
    """Return the container over data whose SHA-512 *digest* is given.

    Raises:
        SignatureError: *key* cannot sign.
    """
    container = asn1.SignatureContainer(digest=asn1.SHA512_WRITTEN, signature=key.sign(digest))
    return der.encode_der(container)


@front_door
def verify(data: bytes, container: bytes, key: PublicKey) -> None:
    """Check that *container* is *key*'s signature over *data*.

    Raises:
        SignatureError: Not a container, or the signature does not hold.
    """
    parsed = SignatureContainer.from_bytes(container)
    key.verify(parsed.signature, parsed.digest_of(data))
