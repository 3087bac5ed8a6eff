"""The unsigned form: E3Kit's low-level `encrypt` and `decrypt` (wire format, section 5.1).

The tag proves that whoever wrote the message knew its content key, which anybody can make up:
**nothing here says who wrote it.** Use a signed form unless another layer signs.
"""

from __future__ import annotations

from collections.abc import Sequence

from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.crypto import primitives as p
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import asn1, padding
from encrypted_parse.envelope.header import Form, Header, build_header
from encrypted_parse.envelope.recipient import open_stanza
from encrypted_parse.envelope.signed import KeySchedule, open_body_and_footer
from encrypted_parse.envelope.stanza import CONTENT_KEY_BYTES, wrap_for_all
from encrypted_parse.errors import MalformedEnvelopeError, PlaintextTooLongError


@front_door
def encrypt(
    plaintext: bytes,
    *,
    recipients: Sequence[PublicKey],
    pad: bool = False,
    long_ids: bool = False,
) -> bytes:
    """Return an **unsigned** envelope of *plaintext* for *recipients*.

    *pad* and *long_ids* are those of `sign_and_encrypt`; E3Kit does not pad this form.

    Raises:
        EnvelopeError: No recipient, or more than 1,024.
        PlaintextTooLongError: Over 2 GiB; such files are encrypted as streams.
        KeyFormatError: A recipient's key is unusable.
    """
    header, body = seal_parts(plaintext, recipients, (), pad=pad, long_ids=long_ids)
    return header + body


@front_door
def decrypt(envelope: bytes, *, identities: Sequence[PrivateKey]) -> bytes:
    """Return the plaintext of an envelope of any form, **whoever wrote it**.

    As in E3Kit, a signature that is there is not looked at: use `decrypt_and_verify` or
    `decrypt_then_verify` where the author matters.

    Raises:
        MalformedEnvelopeError: Not an envelope; decided before any key is used.
        NotARecipientError: Well formed, but no stanza names one of our keys.
        TamperedEnvelopeError: Our stanza, the body, the footer or the padding failed its check.
    """
    header = Header.from_bytes(envelope)
    if header.form is Form.SIGN_AND_ENCRYPT:
        schedule = KeySchedule(open_stanza(header, identities))
        data, _ = open_body_and_footer(envelope, header, schedule)
        return padding.unpad(data) if header.padded else data
    return open_body(header, memoryview(envelope)[header.length :], identities)


def seal_parts(
    plaintext: bytes,
    recipients: Sequence[PublicKey],
    params: Sequence[asn1.CustomParam],
    *,
    pad: bool,
    long_ids: bool,
) -> tuple[bytes, bytes]:
    """Return header and body of a message whose content key encrypts the body directly.

    Raises:
        EnvelopeError: See `encrypt`.
        KeyFormatError: A recipient's key is unusable.
    """
    if len(plaintext) > p.ONE_CALL_MAX_BYTES:
        raise PlaintextTooLongError(len(plaintext), p.ONE_CALL_MAX_BYTES, hint="encrypt a stream")
    content_key = p.random_bytes(CONTENT_KEY_BYTES)
    nonce = p.random_bytes(p.GCM_NONCE_BYTES)
    stanzas = wrap_for_all(recipients, content_key, long_ids=long_ids)
    header = build_header(stanzas, nonce, padded=pad, params=params)
    return header, p.gcm_encrypt(content_key, nonce, padding.pad(plaintext) if pad else plaintext)


def open_body(header: Header, body: p.Buffer, identities: Sequence[PrivateKey]) -> bytes:
    """Return the plaintext of a *body* that `seal_parts` made.

    Raises:
        EnvelopeError: See `decrypt`.
    """
    require_direct_key(header)
    data = p.gcm_decrypt(open_stanza(header, identities), header.nonce, body)
    return padding.unpad(data) if header.padded else data


def require_direct_key(header: Header) -> None:
    """Refuse the combination of fields that no writer has ever written: derived keys, no footer.

    Raises:
        MalformedEnvelopeError: *header* has it.
    """
    if header.derives_keys:
        raise MalformedEnvelopeError("not an envelope: derived keys, but nothing signed by them")
