"""Signatures over files (section 7)."""

from __future__ import annotations

from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope.signature import SignatureContainer, sign_digest
from encrypted_parse.streams.hashing import StreamHasher
from encrypted_parse.streams.source import File, Progress, Source, opened


@front_door
def sign_file(source: File, key: PrivateKey, *, progress: Progress | None = None) -> bytes:
    """Return the 83-byte signature container of *key* over *source*, as `sign` does over bytes.

    Raises:
        SignatureError: *key* cannot sign.
        OSError: *source* cannot be read.
    """
    with opened(source, progress) as stream:
        return sign_digest(digest_source(stream), key)


@front_door
def verify_file(
    source: File, container: bytes, key: PublicKey, *, progress: Progress | None = None
) -> None:
    """Check that *container* is *key*'s signature over *source*.

    Raises:
        SignatureError: Not a container, or the signature does not hold.
        OSError: *source* cannot be read.
    """
    parsed = SignatureContainer.from_bytes(container)
    with opened(source, progress) as stream:
        key.verify(parsed.signature, digest_source(stream, parsed.digest))


def digest_source(source: Source, algorithm: str = "sha512") -> bytes:
    """Return the digest of the rest of *source*."""
    with StreamHasher(algorithm) as hasher:
        for chunk in source.chunks():
            hasher.update(chunk)
        return hasher.digest()
