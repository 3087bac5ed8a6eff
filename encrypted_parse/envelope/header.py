"""The message header: one DER SEQUENCE at offset 0 (wire format, section 4).

Parsing is strict and uses no key. Whatever parses re-encodes to the same bytes.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.crypto import der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import asn1
from encrypted_parse.envelope.padding import FRAME_BYTES
from encrypted_parse.envelope.stanza import (
    MAX_RECIPIENTS,
    USUAL_STANZA_BYTES,
    USUAL_STANZA_START,
    Stanza,
)
from encrypted_parse.errors import EnvelopeError, MalformedEnvelopeError

MAX_HEADER_BYTES = 1024 * 1024  # bounds work on hostile input
MAX_PARAMS = 64  # the same; E3Kit writes two at the most
MAX_DATA_BYTES = 2**32 - 1  # section 4: dataSize
MIN_MESSAGE_BYTES = 32  # section 4: stream readers wait for that many

USUAL_TRAILER_BYTES = 129  # section 5.3: the body's tag, and a footer with one signer

_ENVELOPED_DATA_VERSION = 2

OLD_SIGNATURE_PARAM = "VIRGIL-DATA-SIGNATURE"  # section 5.2
OLD_SIGNER_PARAM = "VIRGIL-DATA-SIGNER-ID"


class Form(enum.Enum):
    """The three kinds of message, named by the E3Kit call that writes them (section 5).

    A reader decides by the header alone which one it has, never by trying.
    """

    PLAIN = "unsigned"
    SIGN_THEN_ENCRYPT = "in the old signed form"
    SIGN_AND_ENCRYPT = "in the signed form"


@front_door
@frozen(eq=False, repr=False)
class Header:
    """A parsed header.

    Attributes:
        encoded: The header's own bytes; the body follows them in the message.
        nonce: The body cipher's nonce as written (12 bytes).
        params: The custom parameters in encoded order.
        derives_keys: `[1]` is present: body and footer keys come from HKDF.
        data_size: `[2]`: length of the (padded) plaintext, or None if there is no footer.
        digest: hashlib's name of the footer's signature digest, or None.
        padded: `[3]` is present.
    """

    encoded: bytes
    nonce: bytes
    params: tuple[asn1.CustomParam, ...]
    derives_keys: bool
    data_size: int | None
    digest: str | None
    padded: bool
    _entries: Sequence[der.TLV | bytes]

    @classmethod
    def from_bytes(cls, message: bytes | memoryview) -> Header:
        """Parse the header that *message* starts with.

        Raises:
            MalformedEnvelopeError: Not a message of this format.
        """
        if len(message) < MIN_MESSAGE_BYTES:
            raise MalformedEnvelopeError("too short for an envelope")
        with translating(
            ValueError,
            to=lambda: MalformedEnvelopeError("not an envelope: the header does not parse"),
        ):
            # A view of the start is enough to read tag and length.
            length = der.sequence_length(bytes(message[:8]), MAX_HEADER_BYTES)
            if length > len(message):
                raise ValueError("cut off")
            encoded = bytes(message[:length])
            return _match_usual(encoded, len(message) - length) or _interpret(encoded)

    @property
    def length(self) -> int:
        """How many bytes of the message the header takes."""
        return len(self.encoded)

    @property
    def info(self) -> asn1.MessageInfo:
        """The declared structure, as read."""
        return der.decode_der(asn1.MessageInfo, self.encoded)

    def to_bytes(self) -> bytes:
        """Encode the declared structure again, which gives the bytes that were read."""
        return der.encode_der(self.info)

    @property
    def form(self) -> Form:
        """Which kind of message this is, by the fields that only that kind has."""
        if self.data_size is not None:
            return Form.SIGN_AND_ENCRYPT
        if self.param(OLD_SIGNATURE_PARAM) is not None:
            return Form.SIGN_THEN_ENCRYPT
        return Form.PLAIN

    def stanzas(self) -> Iterator[Stanza]:
        """Yield the stanzas in encoded order; entries of other kinds are skipped.

        Raises:
            MalformedEnvelopeError: An entry does not parse.
        """
        for entry in self._entries:
            with translating(
                ValueError, to=lambda: MalformedEnvelopeError("a recipient's entry does not parse")
            ):
                stanza = Stanza.read(entry)
            if stanza is not None:
                yield stanza

    def recipient_ids(self) -> tuple[bytes, ...]:
        """Return the key identifiers of all stanzas, in encoded order.

        Raises:
            MalformedEnvelopeError: An entry does not parse.
        """
        return tuple(stanza.recipient_id for stanza in self.stanzas())

    def with_stanzas(self, stanzas: Iterable[bytes]) -> bytes:
        """Return the encoding of this header with more stanzas; everything else stays as it is.

        Raises:
            EnvelopeError: It would have more recipients than readers accept.
        """
        info = self.info
        content = info.content_info.content
        entries = [*der.encoded_members(content.recipients), *stanzas]
        if len(entries) > MAX_RECIPIENTS:
            raise EnvelopeError(f"an envelope has 1 to {MAX_RECIPIENTS} recipients")
        enveloped = asn1.EnvelopedData(
            version=content.version, recipients=der.set_of(entries), content=content.content
        )
        outer = asn1.ContentInfo(content_type=info.content_info.content_type, content=enveloped)
        return der.encode_der(
            asn1.MessageInfo(
                version=info.version,
                content_info=outer,
                custom_params=info.custom_params,
                kdf=info.kdf,
                footer=info.footer,
                padding=info.padding,
            )
        )

    def param(self, key: str) -> asn1.CustomParam | None:
        """Return the first custom parameter named *key*, or None."""
        return next((param for param in self.params if param.key == key), None)


def _match_usual(encoded: bytes, rest_bytes: int) -> Header | None:
    """Read the header that E3Kit and we write most, if *encoded* is one: signed and padded.

    Whatever else it is, the decoder reads it. What matches is what the encoder would have
    written for these recipients and this size, so both ways agree; this one takes a fifth of
    the time, most of the reading of a header.
    """
    data_size = rest_bytes - USUAL_TRAILER_BYTES
    count = len(encoded) // USUAL_STANZA_BYTES  # all other fields are shorter than one stanza
    if data_size <= 0 or data_size % FRAME_BYTES or not 0 < count <= MAX_RECIPIENTS:
        return None
    parts = _frame(count * USUAL_STANZA_BYTES, data_size, True).match(encoded)
    if parts is None:
        return None
    recipients, nonce = parts
    entries = [
        recipients[start : start + USUAL_STANZA_BYTES]
        for start in range(0, len(recipients), USUAL_STANZA_BYTES)
    ]
    if not all(entry.startswith(USUAL_STANZA_START) for entry in entries):
        return None
    return Header(encoded, nonce, (), True, data_size, "sha512", True, entries)


def _interpret(encoded: bytes) -> Header:
    info = der.decode_der(asn1.MessageInfo, encoded)
    outer = info.content_info
    content = outer.content
    cipher = content.content.cipher
    nonce = asn1.cipher_nonce(cipher)
    if outer.content_type != asn1.ENVELOPED_DATA or content.content.content_type != asn1.DATA:
        raise ValueError("content type")
    if content.version != _ENVELOPED_DATA_VERSION or info.version != _version(info):
        raise ValueError("version")
    if cipher.algorithm != asn1.AES256_GCM or len(nonce) != p.GCM_NONCE_BYTES:
        raise ValueError("body cipher")
    if info.kdf is not None and (info.kdf.algorithm != asn1.HKDF or info.kdf.digest is not None):
        raise ValueError("key derivation")
    if info.padding is not None and info.padding.algorithm != asn1.RANDOM_PADDING:
        raise ValueError("padding")
    entries = der.members(content.recipients)
    if len(entries) > MAX_RECIPIENTS:
        raise ValueError("too many recipients")
    params: tuple[asn1.CustomParam, ...] = ()
    if info.custom_params is not None:
        members = der.members(info.custom_params.set_of)
        if len(members) > MAX_PARAMS:
            raise ValueError("too many custom parameters")
        params = tuple(member.parse(asn1.CustomParam) for member in members)
    data_size, digest = _read_footer_info(info.footer)
    return Header(
        encoded=encoded,
        nonce=nonce,
        params=params,
        derives_keys=info.kdf is not None,
        data_size=data_size,
        digest=digest,
        padded=info.padding is not None,
        entries=entries,
    )


def _version(info: asn1.MessageInfo) -> int:
    """Return the version that goes with the optional fields (section 4's table)."""
    if info.padding is not None:
        return 3
    if info.footer is not None:
        if info.kdf is None:
            raise ValueError("a footer needs derived keys")
        return 2
    return 0 if info.kdf is None else 1


def _read_footer_info(footer: asn1.FooterInfo | None) -> tuple[int | None, str | None]:
    if footer is None:
        return None, None
    if footer.version != 0 or not 0 <= footer.data_size <= MAX_DATA_BYTES:
        raise ValueError("footer info")
    if footer.signed is None:
        return footer.data_size, None
    if footer.signed.version != 0:
        raise ValueError("signed data info")
    return footer.data_size, asn1.digest_name(footer.signed.digest)


def build_header(
    stanzas: Sequence[bytes],
    nonce: bytes,
    *,
    data_size: int | None = None,
    padded: bool = False,
    params: Sequence[asn1.CustomParam] = (),
) -> bytes:
    """Encode a header; *data_size* selects the signed form of section 5.3.

    *stanzas* are encoded KeyTransRecipientInfos; sets are written in DER order.
    """
    recipients = b"".join(sorted(stanzas))
    if params:
        return _encode_header(recipients, nonce, data_size, padded, params)
    return _frame(len(recipients), data_size, padded).fill(recipients, nonce)


@functools.lru_cache(maxsize=256)
def _frame(recipients_bytes: int, data_size: int | None, padded: bool) -> der.Frame:  # noqa: FBT001
    def encode(recipients: bytes, nonce: bytes) -> bytes:
        return _encode_header(recipients, nonce, data_size, padded, ())

    return der.Frame(encode, recipients_bytes, p.GCM_NONCE_BYTES)


def _encode_header(
    recipients: bytes,
    nonce: bytes,
    data_size: int | None,
    padded: bool,  # noqa: FBT001 - build_header names it
    params: Sequence[asn1.CustomParam],
) -> bytes:
    footer = kdf = padding = custom = None
    version = 0
    if data_size is not None:
        version = 2
        kdf = asn1.KdfAlgorithm(algorithm=asn1.HKDF, digest=None)
        footer = asn1.FooterInfo(
            version=0,
            data_size=data_size,
            signed=asn1.SignedDataInfo(version=0, digest=asn1.SHA512_WRITTEN),
        )
    if padded:
        version = 3
        padding = asn1.BareAlgorithm(algorithm=asn1.RANDOM_PADDING)
    if params:
        custom = asn1.SetHolder(set_of=der.set_of(der.encode_der(param) for param in params))
    content = asn1.EnvelopedData(
        version=_ENVELOPED_DATA_VERSION,
        recipients=der.set_of((recipients,)),
        content=asn1.EncryptedContentInfo(
            content_type=asn1.DATA,
            cipher=asn1.CipherAlgorithm(algorithm=asn1.AES256_GCM, parameters=nonce),
        ),
    )
    info = asn1.MessageInfo(
        version=version,
        content_info=asn1.ContentInfo(content_type=asn1.ENVELOPED_DATA, content=content),
        custom_params=custom,
        kdf=kdf,
        footer=footer,
        padding=padding,
    )
    return der.encode_der(info)
