"""The old signed form: E3Kit's `encrypt`, `signThenEncrypt` (wire format, section 5.2).

Read because years of messages have it; written only through the verb that E3Kit names for it.
The signature stands in clear in the header: it confirms guesses of the plaintext to anybody, and
a recipient can put its own in its place (docs/security-model.md). New data takes the signed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from encrypted_parse.crypto import PrivateKey, PublicKey, der
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import asn1
from encrypted_parse.envelope.header import (
    OLD_SIGNATURE_PARAM,
    OLD_SIGNER_PARAM,
    Form,
    Header,
)
from encrypted_parse.envelope.plain import open_body, seal_parts
from encrypted_parse.envelope.signature import SignatureContainer, sign
from encrypted_parse.envelope.signed import require_signing_key
from encrypted_parse.errors import (
    MalformedEnvelopeError,
    NotSignedError,
    SignatureError,
    SignerNotFoundError,
    TamperedEnvelopeError,
)


class DetachedEnvelope(NamedTuple):
    """An envelope in two parts, as E3Kit keeps key backups and group tickets."""

    metadata: bytes  # the header: recipients and signature
    encrypted_data: bytes  # the body: ciphertext and tag


@front_door
def sign_then_encrypt(
    plaintext: bytes,
    *,
    signer: PrivateKey,
    recipients: Sequence[PublicKey],
    pad: bool = False,
    long_ids: bool = False,
) -> bytes:
    """Return an envelope of *plaintext* in the old form, for *recipients*, signed by *signer*.

    Raises:
        EnvelopeError: No recipient, or more than 1,024.
        PlaintextTooLongError: Over 2 GiB; such files are encrypted as streams.
        KeyFormatError: *signer* cannot sign, or a recipient's key is unusable.
    """
    require_signing_key(signer)
    params = signature_params(sign(plaintext, signer), signer.public_key, long_id=long_ids)
    return b"".join(seal_parts(plaintext, recipients, params, pad=pad, long_ids=long_ids))


@front_door
def sign_then_encrypt_detached(
    plaintext: bytes, *, signer: PrivateKey, recipients: Sequence[PublicKey], pad: bool = False
) -> DetachedEnvelope:
    """Return what `sign_then_encrypt` returns, header and body apart.

    Raises:
        EnvelopeError: See `sign_then_encrypt`.
        KeyFormatError: The same.
    """
    require_signing_key(signer)
    params = signature_params(sign(plaintext, signer), signer.public_key)
    return DetachedEnvelope(*seal_parts(plaintext, recipients, params, pad=pad, long_ids=False))


@front_door
def decrypt_then_verify(
    envelope: bytes, *, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    """Return the plaintext that one of *signers* encrypted to one of *identities* in this form.

    With one key in *signers*, that key has to verify, whatever the message says of its signer
    (some writers leave that out); with several, the message's word selects one.

    Raises:
        MalformedEnvelopeError: Not an envelope; decided before any key is used.
        NotARecipientError: Well formed, but no stanza names one of our keys.
        NotSignedError: Of a form without this kind of signature. Never read as another form.
        SignerNotFoundError: Signed, but by none of *signers*.
        TamperedEnvelopeError: Our stanza, the body, the padding or the signature failed its
            check.
    """
    header = Header.from_bytes(envelope)
    return _open(header, envelope[header.length :], identities, signers)


@front_door
def decrypt_then_verify_detached(
    detached: DetachedEnvelope,
    *,
    identities: Sequence[PrivateKey],
    signers: Sequence[PublicKey],
) -> bytes:
    """Return the plaintext of an envelope in two parts. Raises as `decrypt_then_verify`."""
    header = Header.from_bytes(detached.metadata)
    if header.length != len(detached.metadata):
        raise MalformedEnvelopeError("the metadata is more than a header")
    return _open(header, detached.encrypted_data, identities, signers)


def _open(
    header: Header, body: bytes, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    container = read_container(header)
    plaintext = open_body(header, body, identities)
    verify_container(header, container, container.digest_of(plaintext), signers)
    return plaintext


def signature_params(
    signature: bytes, signer: PublicKey | None, *, long_id: bool = False
) -> list[asn1.CustomParam]:
    """Return the custom parameters of this form; stream writers name no *signer*."""
    params = {OLD_SIGNATURE_PARAM: signature}
    if signer is not None:
        params[OLD_SIGNER_PARAM] = signer.long_key_id if long_id else signer.key_id
    return [
        asn1.CustomParam(key=key, value=der.Variant(value, "bytes"))
        for key, value in params.items()
    ]


def read_container(header: Header) -> SignatureContainer:
    """Return the signature that *header* shows.

    Raises:
        NotSignedError: It is of another form.
        MalformedEnvelopeError: What it shows is not a signature container.
    """
    if header.form is not Form.SIGN_THEN_ENCRYPT:
        raise NotSignedError(
            f"the envelope is {header.form.value}, not in the old signed form",
            hint="a reader never falls back to another form",
        )
    try:
        return SignatureContainer.from_bytes(_octets(header, OLD_SIGNATURE_PARAM) or b"")
    except SignatureError as error:
        raise MalformedEnvelopeError("the header shows no signature container") from error


MAX_CANDIDATES = 256  # bounds the work for a file of a user who rotated often


def verify_container(
    header: Header, container: SignatureContainer, digest: bytes, signers: Sequence[PublicKey]
) -> None:
    """Check *container* over a plaintext's *digest* with that one of *signers* who signed.

    The header of a message names its signer, that of a file does not: then each is tried.

    Raises:
        SignerNotFoundError: None of several *signers* is named in *header*, or none was given.
        TamperedEnvelopeError: The signature does not hold.
    """
    candidates = list(dict.fromkeys(signers))
    named = _octets(header, OLD_SIGNER_PARAM)
    if named is not None and len(candidates) > 1:
        candidates = [key for key in candidates if named in (key.key_id, key.long_key_id)]
    if not candidates:
        raise SignerNotFoundError(
            "the envelope is signed, but by none of the expected authors", signer_id=named
        )
    for key in candidates[:MAX_CANDIDATES]:
        try:
            key.verify(container.signature, digest)
        except SignatureError:
            continue
        return
    raise TamperedEnvelopeError("the author's signature does not hold")


def _octets(header: Header, key: str) -> bytes | None:
    param = header.param(key)
    if param is None:
        return None
    if not isinstance(param.value.value, bytes):
        raise MalformedEnvelopeError("a custom parameter is of the wrong type")
    return param.value.value
