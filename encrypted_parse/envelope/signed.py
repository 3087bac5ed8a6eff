"""The signed form that E3Kit's `authEncrypt` writes (wire format, section 5.3).

Sign, then encrypt plaintext and signature for every recipient. What it promises and what not
(a value is not bound to its object, field or time) is said in docs/security-model.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.keys import SIGNATURE_BYTES
from encrypted_parse.envelope import asn1, padding
from encrypted_parse.envelope.header import (
    MAX_DATA_BYTES,
    MAX_RECIPIENTS,
    OLD_SIGNATURE_PARAM,
    Header,
    build_header,
)
from encrypted_parse.envelope.stanza import CONTENT_KEY_BYTES, StanzaWriter, unwrap
from encrypted_parse.errors import (
    EnvelopeError,
    KeyFormatError,
    NotARecipientError,
    NotSignedError,
    SignatureError,
    SignerNotFoundError,
    TamperedEnvelopeError,
)

_SCHEDULE_BYTES = 2 * (p.AES_KEY_BYTES + p.GCM_NONCE_BYTES)


def sign_and_encrypt(
    plaintext: bytes,
    *,
    signer: PrivateKey,
    recipients: Sequence[PublicKey],
    pad: bool = True,
) -> bytes:
    """Return an envelope of *plaintext* for *recipients*, signed by *signer*.

    The signer is a recipient only if named. Order and repetitions of *recipients* are lost.
    Costs 254 bytes a recipient, 431 for header, tags and signature, and the padding (1 to 160
    bytes, so that the length shows only in steps of 160).

    Raises:
        EnvelopeError: No recipient, more than 1,024, or a plaintext over 4 GiB.
        KeyFormatError: *signer* cannot sign, or a recipient's key is unusable.
    """
    return _sign_and_encrypt(plaintext, signer, recipients, pad=pad)


def _sign_and_encrypt(
    plaintext: bytes,
    signer: PrivateKey,
    recipients: Sequence[PublicKey],
    *,
    pad: bool,
    random: p.RandomSource = p.random_bytes,
) -> bytes:
    unique = dict.fromkeys(recipients)
    if not 0 < len(unique) <= MAX_RECIPIENTS:
        raise EnvelopeError(f"an envelope has 1 to {MAX_RECIPIENTS} recipients")
    if signer.key_type is not KeyType.ED25519:
        raise KeyFormatError("a Curve25519 key cannot sign")
    if padding.padded_bytes(len(plaintext)) > MAX_DATA_BYTES:
        raise EnvelopeError("the plaintext is too long for one envelope")

    content_key = random(CONTENT_KEY_BYTES)
    schedule = KeySchedule(content_key)
    writer = StanzaWriter(content_key, random)
    stanzas = [writer.wrap(recipient) for recipient in unique]
    data = padding.pad(plaintext, random) if pad else plaintext
    header = build_header(stanzas, schedule.body_nonce, data_size=len(data), padded=pad)
    body = p.gcm_encrypt(schedule.body_key, schedule.body_nonce, data, body_associated_data())
    footer = build_footer(p.digest(plaintext), signer)
    sealed_footer = p.gcm_encrypt(schedule.footer_key, schedule.footer_nonce, footer)
    return b"".join((header, body, sealed_footer))


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

    if header.data_size is None or header.digest is None:  # (1)
        old = header.param(OLD_SIGNATURE_PARAM) is not None
        form = "in the old form" if old else "unsigned"
        raise NotSignedError(
            f"the envelope is {form}, not one of authEncrypt",
            hint="a reader never falls back to another form",
        )

    content_key = open_stanza(header, identities)  # (2)
    schedule = KeySchedule(content_key)  # (3)
    if not p.constant_time_equal(schedule.body_nonce, header.nonce):
        # Writers repeat the derived nonce in the header; a difference is damage.
        raise TamperedEnvelopeError("the header was altered")

    view = memoryview(envelope)  # (4)
    body_end = header.length + header.data_size + p.GCM_TAG_BYTES
    if body_end > len(envelope):
        raise TamperedEnvelopeError("the body is cut off")
    associated = body_associated_data(header.digest)
    body = view[header.length : body_end]
    data = p.gcm_decrypt(schedule.body_key, schedule.body_nonce, body, associated)
    footer = p.gcm_decrypt(schedule.footer_key, schedule.footer_nonce, view[body_end:])

    plaintext = padding.unpad(data) if header.padded else data  # (5)
    verify_footer(footer, p.digest(plaintext, header.digest), signers)  # (6)
    return plaintext


def open_stanza(header: Header, identities: Sequence[PrivateKey]) -> bytes:
    """Return the content key from the first stanza that names one of *identities*.

    Raises:
        MalformedEnvelopeError: The stanza does not parse.
        NotARecipientError: No stanza names one of them.
        TamperedEnvelopeError: The stanza failed its check.
    """
    by_id: dict[bytes, PrivateKey] = {}
    for key in identities:
        by_id.setdefault(key.public_key.key_id, key)
        by_id.setdefault(key.public_key.long_key_id, key)
    stanza = header.find_stanza(by_id)
    if stanza is None:
        raise NotARecipientError(
            "this envelope was not encrypted for our key",
            hint="ask its author to share it with you",
        )
    return unwrap(stanza, by_id[stanza.recipient_id])


class KeySchedule:
    """Body and footer keys of one content key (section 5.3)."""

    __slots__ = ("body_key", "body_nonce", "footer_key", "footer_nonce")

    def __init__(self, content_key: bytes) -> None:
        okm = p.hkdf_sha512(content_key, _SCHEDULE_BYTES)
        self.body_key, self.body_nonce = okm[:32], okm[32:44]
        self.footer_key, self.footer_nonce = okm[44:76], okm[76:88]


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


def build_footer(digest: bytes, signer: PrivateKey) -> bytes:
    """Return the footer's DER with *signer*'s signature over a SHA-512 *digest*."""
    info = asn1.WrittenSignerInfo(
        version=0,
        signer_id=signer.public_key.key_id,
        algorithm=asn1.BareAlgorithm(algorithm=asn1.ED25519),
        signature=signer.sign(digest),
    )
    signers = asn1.SetHolder(set_of=der.set_of([der.encode_der(info)]))
    return der.encode_der(asn1.Footer(version=0, signers=signers))


def verify_footer(footer: bytes, digest: bytes, signers: Sequence[PublicKey]) -> None:
    """Check the first signer of an opened *footer* against *signers*.

    Raises:
        NotSignedError: The footer names no signer.
        SignerNotFoundError: The first signer is none of *signers*.
        TamperedEnvelopeError: The footer is malformed, or the signature does not hold.
    """
    try:
        parsed = der.decode_der(asn1.Footer, footer)
        if parsed.version != 0 or parsed.signers is None:
            raise ValueError("footer")
        entries = der.members(parsed.signers.set_of)
        info = entries[0].parse(asn1.SignerInfo) if entries else None
        algorithm = asn1.bare_algorithm(info.algorithm) if info is not None else None
    except ValueError as error:
        raise TamperedEnvelopeError("the footer is malformed") from error
    if info is None:
        raise NotSignedError("the envelope's footer holds no signature")
    signer = next((key for key in signers if info.signer_id in (key.key_id, key.long_key_id)), None)
    if signer is None:
        raise SignerNotFoundError(
            "the envelope is signed, but not by the expected author",
            hint="fetch the author's current card; if that does not help, somebody else wrote it",
        )
    if info.version != 0 or algorithm != asn1.ED25519 or len(info.signature) != SIGNATURE_BYTES:
        raise TamperedEnvelopeError("the footer is malformed")
    try:
        signer.verify(info.signature, digest)
    except SignatureError as error:
        raise TamperedEnvelopeError("the author's signature does not hold") from error
