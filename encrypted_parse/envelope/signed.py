"""The signed form: E3Kit's `authEncrypt`, `signAndEncrypt` (wire format, section 5.3).

Sign, then encrypt plaintext and signature for every recipient. What it promises and what not
(a value is not bound to its object, field or time) is said in docs/security-model.md.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from encrypted_parse._translating import translating
from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.keys import SIGNATURE_BYTES, edwards_to_montgomery_all
from encrypted_parse.discretion import as_value, front_door
from encrypted_parse.envelope import asn1, padding
from encrypted_parse.envelope.header import Form, Header, build_header
from encrypted_parse.envelope.recipient import find_stanza
from encrypted_parse.envelope.stanza import CONTENT_KEY_BYTES, WrappedContentKey, wrap_for_all
from encrypted_parse.errors import (
    EncryptedParseError,
    KeyFormatError,
    MalformedEnvelopeError,
    NotSignedError,
    PlaintextTooLongError,
    SignatureError,
    SignerNotFoundError,
    TamperedEnvelopeError,
)

MAX_FOOTER_BYTES = 64 * 1024  # bounds work on hostile input; one signer takes 113
_SCHEDULE_BYTES = 2 * (p.AES_KEY_BYTES + p.GCM_NONCE_BYTES)


@front_door
def sign_and_encrypt(
    plaintext: bytes,
    *,
    signer: PrivateKey,
    recipients: Sequence[PublicKey],
    pad: bool = True,
    long_ids: bool = False,
) -> bytes:
    """Return an envelope of *plaintext* for *recipients*, signed by *signer*.

    The signer is a recipient only if named. Order and repetitions of *recipients* are lost.
    Costs 254 bytes a recipient, 431 for header, tags and signature, and the padding (1 to 160
    bytes, so that the length shows only in steps of 160). *long_ids* writes the 32-byte
    identifiers of peers that use SHA-256 ones (section 2.2); readers here need not be told.

    Raises:
        EnvelopeError: No recipient, or more than 1,024.
        PlaintextTooLongError: Over 2 GiB; such files are encrypted as streams.
        KeyFormatError: *signer* cannot sign, or a recipient's key is unusable.
    """
    return _sign_and_encrypt(plaintext, signer, recipients, pad=pad, long_ids=long_ids)


def _sign_and_encrypt(  # noqa: PLR0913 - with the seam through which tests fix randomness
    plaintext: bytes,
    signer: PrivateKey,
    recipients: Sequence[PublicKey],
    *,
    pad: bool,
    long_ids: bool = False,
    random: p.RandomSource = p.random_bytes,
) -> bytes:
    require_signing_key(signer)
    if len(plaintext) > p.ONE_CALL_MAX_BYTES:
        raise PlaintextTooLongError(len(plaintext), p.ONE_CALL_MAX_BYTES, hint="encrypt a stream")
    content_key = random(CONTENT_KEY_BYTES)
    schedule = KeySchedule(content_key)
    stanzas = wrap_for_all(recipients, content_key, random, long_ids=long_ids)
    data = padding.pad(plaintext, random) if pad else plaintext
    header = build_header(stanzas, schedule.body_nonce, data_size=len(data), padded=pad)
    body = p.gcm_encrypt(schedule.body_key, schedule.body_nonce, data, body_associated_data())
    footer = build_footer(p.digest(plaintext), signer, long_id=long_ids)
    return b"".join((header, body, schedule.seal_footer(footer)))


@front_door
def decrypt_and_verify(
    envelope: bytes, *, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> bytes:
    """Return the plaintext that one of *signers* encrypted to one of *identities*.

    Padded or not, with either key envelope and either identifier length. Promises nothing about
    when it was written or for which record: see docs/security-model.md.

    Raises:
        MalformedEnvelopeError: Not an envelope; decided before any key is used.
        NotARecipientError: Well formed, but no stanza names one of our keys.
        NotSignedError: Of a form without this kind of signature. Never read as another form.
        SignerNotFoundError: Signed, but by none of *signers*.
        TamperedEnvelopeError: Our stanza, the body, the footer, the padding or the signature
            failed its check.
    """
    # (0) parse the header   (1) it must be the signed form   (2) find and open our stanza
    # (3) derive the keys    (4) open body and footer         (5) remove the padding
    # (6) check the first signer's signature, and only then let the plaintext go
    header = Header.from_bytes(envelope)  # (0)
    digest = require_signed_form(header)  # (1)
    content_key = find_stanza(header, identities).open()  # (2)
    return _open(envelope, header, digest, content_key, signers)


def _open(
    envelope: bytes, header: Header, digest: str, content_key: bytes, signers: Sequence[PublicKey]
) -> bytes:
    schedule = KeySchedule(content_key)  # (3)
    data, footer = open_body_and_footer(envelope, header, schedule)  # (4)
    plaintext = padding.unpad(data) if header.padded else data  # (5)
    verify_footer(footer, p.digest(plaintext, digest), signers)  # (6)
    return plaintext


@front_door
def decrypt_and_verify_all(
    envelopes: Sequence[bytes], *, identities: Sequence[PrivateKey], signers: Sequence[PublicKey]
) -> list[bytes | EncryptedParseError]:
    """Do as `decrypt_and_verify` for many envelopes: each one's plaintext, or its error.

    Faster than one by one by about a twentieth, since the ephemeral points are mapped together;
    and two threads that read a half each stand in each other's way less.
    """
    found = [_find(envelope, identities) for envelope in envelopes]
    images = edwards_to_montgomery_all(
        wrapped.point for _, _, wrapped in (pair for pair in found if isinstance(pair, tuple))
    )
    opened: list[bytes | EncryptedParseError] = []
    for envelope, pair in zip(envelopes, found, strict=True):
        if isinstance(pair, EncryptedParseError):
            opened.append(pair)
            continue
        header, digest, wrapped = pair
        try:
            content_key = wrapped.open(images.get(wrapped.point))
            opened.append(_open(envelope, header, digest, content_key, signers))
        except EncryptedParseError as error:
            opened.append(as_value(error))
    return opened


def _find(
    envelope: bytes, identities: Sequence[PrivateKey]
) -> tuple[Header, str, WrappedContentKey] | EncryptedParseError:
    try:
        header = Header.from_bytes(envelope)
        return header, require_signed_form(header), find_stanza(header, identities)
    except EncryptedParseError as error:
        return as_value(error)


@front_door
def require_signing_key(signer: PrivateKey) -> None:
    """Refuse a key that cannot sign, before anything is done.

    Raises:
        KeyFormatError: A Curve25519 key.
    """
    if signer.key_type is not KeyType.ED25519:
        raise KeyFormatError("a Curve25519 key cannot sign")


def require_signed_form(header: Header) -> str:
    """Return the name of the signature's digest, if *header* is of the signed form.

    Raises:
        NotSignedError: It is not.
    """
    if header.form is not Form.SIGN_AND_ENCRYPT or header.digest is None:
        form = header.form.value if header.data_size is None else "without a signature"
        raise NotSignedError(
            f"the envelope is {form}, not one of authEncrypt",
            hint="a reader never falls back to another form",
        )
    return header.digest


class KeySchedule:
    """Body and footer keys of one content key (section 5.3)."""

    __slots__ = ("body_key", "body_nonce", "footer_key", "footer_nonce")

    def __init__(self, content_key: bytes) -> None:
        okm = p.hkdf_sha512(content_key, _SCHEDULE_BYTES)
        self.body_key, self.body_nonce = okm[:32], okm[32:44]
        self.footer_key, self.footer_nonce = okm[44:76], okm[76:88]

    def require_nonce(self, header: Header) -> None:
        """Refuse a header that does not repeat the derived nonce, as every writer does (ADR 3).

        Raises:
            TamperedEnvelopeError: It has another one.
        """
        if not p.constant_time_equal(self.body_nonce, header.nonce):
            raise TamperedEnvelopeError("the header was altered")

    def seal_footer(self, footer: bytes) -> bytes:
        """Return the encrypted footer."""
        return p.gcm_encrypt(self.footer_key, self.footer_nonce, footer)

    def open_footer(self, sealed: p.Buffer) -> bytes:
        """Return the footer's DER.

        Raises:
            TamperedEnvelopeError: Its tag does not hold, or it is longer than 64 KiB.
        """
        if len(sealed) > MAX_FOOTER_BYTES:
            raise TamperedEnvelopeError("the footer is too long")
        return p.gcm_decrypt(self.footer_key, self.footer_nonce, sealed)


def open_body_and_footer(
    envelope: bytes, header: Header, schedule: KeySchedule
) -> tuple[bytes, bytes]:
    """Return the (padded) plaintext and the footer's DER, **without a look at the signature**.

    Raises:
        MalformedEnvelopeError: The header names no digest, so there is no associated data.
        TamperedEnvelopeError: Header, body or footer failed its check.
    """
    if header.data_size is None or header.digest is None:
        raise MalformedEnvelopeError("not an envelope: the header lacks a field")
    schedule.require_nonce(header)
    view = memoryview(envelope)
    body_end = header.length + header.data_size + p.GCM_TAG_BYTES
    if body_end > len(envelope):
        raise TamperedEnvelopeError("the body is cut off")
    associated = body_associated_data(header.digest)
    body = view[header.length : body_end]
    data = p.gcm_decrypt(schedule.body_key, schedule.body_nonce, body, associated)
    return data, schedule.open_footer(view[body_end:])


def body_associated_data(digest: str = "sha512") -> bytes:
    """Return the 20 bytes that bind the signature's digest to the body.

    Rebuilt with its NULL even where the header left that out (section 5.3).
    """
    return _ASSOCIATED_DATA[digest]


_ASSOCIATED_DATA = {
    name: der.encode_der(
        asn1.SignedDataInfo(
            version=0, digest=asn1.HashAlgorithm(algorithm=oid, parameters=der.Null())
        )
    )
    for oid, name in asn1.DIGESTS.items()
}


def _encode_footer(signer_id: bytes, signature: bytes) -> bytes:
    info = asn1.WrittenSignerInfo(
        version=0,
        signer_id=signer_id,
        algorithm=asn1.BareAlgorithm(algorithm=asn1.ED25519),
        signature=signature,
    )
    signers = asn1.SetHolder(set_of=der.set_of([der.encode_der(info)]))
    return der.encode_der(asn1.Footer(version=0, signers=signers))


@functools.cache
def _footer_frame(id_bytes: int) -> der.Frame:
    """Return the form of every footer with one Ed25519 signer."""
    return der.Frame(_encode_footer, id_bytes, SIGNATURE_BYTES)


def build_footer(digest: bytes, signer: PrivateKey, *, long_id: bool = False) -> bytes:
    """Return the footer's DER with *signer*'s signature over a SHA-512 *digest*."""
    public_key = signer.public_key
    signer_id = public_key.long_key_id if long_id else public_key.key_id
    return _footer_frame(len(signer_id)).fill(signer_id, signer.sign(digest))


def verify_footer(footer: bytes, digest: bytes, signers: Sequence[PublicKey]) -> None:
    """Check the first signer of an opened *footer* against *signers*.

    Raises:
        NotSignedError: The footer names no signer.
        SignerNotFoundError: The first signer is none of *signers*.
        TamperedEnvelopeError: The footer is malformed, or the signature does not hold.
    """
    usual = _footer_frame(8).match(footer)
    signer_id, signature = usual if usual is not None else _read_footer(footer)
    verify_by_id(signer_id, signature, digest, signers)


def verify_by_id(
    signer_id: bytes, signature: bytes, digest: bytes, signers: Sequence[PublicKey]
) -> None:
    """Check a raw *signature* with that one of *signers* whom *signer_id* names.

    Raises:
        SignerNotFoundError: It names none of them.
        TamperedEnvelopeError: The signature does not hold.
    """
    signer = next((key for key in signers if signer_id in (key.key_id, key.long_key_id)), None)
    if signer is None:
        raise SignerNotFoundError(
            "the envelope is signed, but not by the expected author",
            signer_id=signer_id,
            hint="fetch the author's current card; if that does not help, somebody else wrote it",
        )
    try:
        signer.verify(signature, digest)
    except SignatureError as error:
        raise TamperedEnvelopeError("the author's signature does not hold") from error


def _read_footer(footer: bytes) -> tuple[bytes, bytes]:
    """Return identifier and signature of the first signer in encoded order."""
    with translating(ValueError, to=lambda: TamperedEnvelopeError("the footer is malformed")):
        parsed = der.decode_der(asn1.Footer, footer)
        if parsed.version != 0 or parsed.signers is None:
            raise ValueError("footer")
        entries = der.members(parsed.signers.set_of)
        if not entries:
            raise NotSignedError("the envelope's footer holds no signature")
        info = entries[0].parse(asn1.SignerInfo)
        if info.version != 0 or asn1.bare_algorithm(info.algorithm) != asn1.ED25519:
            raise ValueError("signer")
    if len(info.signature) != SIGNATURE_BYTES:
        raise TamperedEnvelopeError("the footer is malformed")
    return info.signer_id, info.signature
