"""Signature containers: Ed25519 over a digest, with the digest's name (section 7).

This is what E3Kit's `calculateSignature` returns, what signs cards, and, as `VEDS512`, JWTs.
"""

from __future__ import annotations

from encrypted_parse.crypto import PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.envelope import asn1
from encrypted_parse.errors import SignatureError

CONTAINER_BYTES = 83
_MAX_CONTAINER_BYTES = 4096  # bounds work on hostile input; RSA-8192 would need 1,050


def sign(data: bytes, key: PrivateKey) -> bytes:
    """Return the 83-byte container with *key*'s signature over SHA-512(*data*).

    Raises:
        SignatureError: *key* cannot sign.
    """
    signature = key.sign(p.digest(data))
    return der.encode_der(asn1.SignatureContainer(digest=asn1.SHA512_WRITTEN, signature=signature))


def verify(data: bytes, container: bytes, key: PublicKey) -> None:
    """Check that *container* is *key*'s signature over *data*.

    The container names its digest: SHA-256, SHA-384 and SHA-512 are followed.

    Raises:
        SignatureError: Not a container, or the signature does not hold.
    """
    if len(container) > _MAX_CONTAINER_BYTES:
        raise SignatureError("not a signature container")
    try:
        parsed = der.decode_der(asn1.SignatureContainer, container)
        digest = asn1.digest_name(parsed.digest)
    except ValueError as error:
        raise SignatureError("not a signature container") from error
    key.verify(parsed.signature, p.digest(data, digest))
