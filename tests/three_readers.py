"""Each signed form has three readers that promise the same: one call, many or parts, a stream.

An attack that one of them stops has to be stopped by all, so the tests of attacks run through each.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.envelope import (
    DetachedEnvelope,
    Header,
    decrypt_and_verify,
    decrypt_and_verify_all,
    decrypt_then_verify,
    decrypt_then_verify_detached,
)
from encrypted_parse.errors import EncryptedParseError, MalformedEnvelopeError
from encrypted_parse.streams import decrypt_and_verify_file, decrypt_then_verify_file

Reader = Callable[[bytes, Sequence[PrivateKey], Sequence[PublicKey]], bytes]
"""Takes a message, our keys and the expected authors; returns the plaintext, or raises."""


def _by_one_call(
    message: bytes, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    return decrypt_and_verify(message, identities=identities, signers=signers)


def _among_many(
    message: bytes, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    """Read *message* twice beside one that is none: each has an outcome of its own."""
    first, broken, second = decrypt_and_verify_all(
        [message, b"", message], identities=identities, signers=signers
    )
    assert isinstance(broken, MalformedEnvelopeError)
    if isinstance(first, EncryptedParseError):
        assert type(second) is type(first)
        raise first
    assert second == first
    return first


def _as_stream(
    message: bytes, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    return _through_file(decrypt_and_verify_file, message, identities, signers)


def _old_by_one_call(
    message: bytes, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    return decrypt_then_verify(message, identities=identities, signers=signers)


def _old_in_parts(
    message: bytes, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    end = Header.from_bytes(message).length
    parts = DetachedEnvelope(message[:end], message[end:])
    return decrypt_then_verify_detached(parts, identities=identities, signers=signers)


def _old_as_stream(
    message: bytes, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    return _through_file(decrypt_then_verify_file, message, identities, signers)


def _through_file(
    read: Callable[..., None],
    message: bytes,
    identities: Sequence[PrivateKey],
    signers: Sequence[PublicKey],
) -> bytes:
    """Read from and into file objects; on failure nothing has reached the target."""
    target = io.BytesIO()
    try:
        read(io.BytesIO(message), target, identities=identities, signers=signers)
    except EncryptedParseError:
        assert target.getvalue() == b""
        raise
    return target.getvalue()


SIGNED: dict[str, Reader] = {
    "one call": _by_one_call,
    "among many": _among_many,
    "stream": _as_stream,
}
OLD: dict[str, Reader] = {
    "one call": _old_by_one_call,
    "in parts": _old_in_parts,
    "stream": _old_as_stream,
}
