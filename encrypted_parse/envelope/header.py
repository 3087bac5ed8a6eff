"""The message header: one DER SEQUENCE at offset 0 (wire format, section 4).

Parsing is strict and uses no key. Whatever parses re-encodes to the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from encrypted_parse.crypto import der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.envelope import asn1
from encrypted_parse.errors import MalformedEnvelopeError

MAX_HEADER_BYTES = 1024 * 1024  # bounds work on hostile input
MAX_RECIPIENTS = 1024  # the same; npm's own sort makes more impractical (section 12)
MAX_DATA_BYTES = 2**32 - 1  # section 4: dataSize
_MIN_MESSAGE_BYTES = 32  # section 4: stream readers wait for that many

_ENVELOPED_DATA_VERSION = 2
_RECIPIENT_VERSION = 2
_SEQUENCE = b"\x30"

OLD_SIGNATURE_PARAM = "VIRGIL-DATA-SIGNATURE"  # section 5.2
OLD_SIGNER_PARAM = "VIRGIL-DATA-SIGNER-ID"


@frozen(eq=False, repr=False)
class Header:
    """A parsed header.

    Attributes:
        length: How many bytes of the message it takes; the body follows.
        nonce: The body cipher's nonce as written (12 bytes).
        params: The custom parameters in encoded order.
        derives_keys: `[1]` is present: body and footer keys come from HKDF.
        data_size: `[2]`: length of the (padded) plaintext, or None if there is no footer.
        digest: hashlib's name of the footer's signature digest, or None.
        padded: `[3]` is present.
    """

    length: int
    nonce: bytes
    params: tuple[asn1.CustomParam, ...]
    derives_keys: bool
    data_size: int | None
    digest: str | None
    padded: bool
    info: asn1.MessageInfo
    _recipients: tuple[der.TLV, ...]

    @classmethod
    def from_bytes(cls, message: bytes | memoryview) -> Header:
        """Parse the header that *message* starts with.

        Raises:
            MalformedEnvelopeError: Not a message of this format.
        """
        if len(message) < _MIN_MESSAGE_BYTES:
            raise MalformedEnvelopeError("too short for an envelope")
        try:
            # A view of the start is enough to read tag and length.
            length = der.sequence_length(bytes(message[:8]), MAX_HEADER_BYTES)
            if length > len(message):
                raise ValueError("cut off")
            return _interpret(length, der.decode_der(asn1.MessageInfo, bytes(message[:length])))
        except ValueError as error:
            raise MalformedEnvelopeError("not an envelope: the header does not parse") from error

    def to_bytes(self) -> bytes:
        """Return the encoded header."""
        return der.encode_der(self.info)

    def find_stanza(self, key_ids: Iterable[bytes]) -> asn1.RecipientInfo | None:
        """Return the first stanza that names one of *key_ids*, or None.

        Only the first counts, as in E3Kit: a later entry with the same identifier is never
        tried (section 4).

        Raises:
            MalformedEnvelopeError: An entry before it does not parse.
        """
        wanted = frozenset(key_ids)
        return next((s for s in self.stanzas() if s.recipient_id in wanted), None)

    def stanzas(self) -> Iterable[asn1.RecipientInfo]:
        """Yield the stanzas in encoded order; entries of other kinds are skipped.

        Raises:
            MalformedEnvelopeError: An entry does not parse.
        """
        for entry in self._recipients:
            if entry.tag_bytes != _SEQUENCE:
                continue  # password recipients and the like carry a context tag
            try:
                stanza = entry.parse(asn1.RecipientInfo)
                if stanza.version != _RECIPIENT_VERSION:
                    raise ValueError("recipient version")
            except ValueError as error:
                raise MalformedEnvelopeError("a recipient's entry does not parse") from error
            yield stanza

    def recipient_ids(self) -> tuple[bytes, ...]:
        """Return the key identifiers of all stanzas, in encoded order.

        Raises:
            MalformedEnvelopeError: An entry does not parse.
        """
        return tuple(stanza.recipient_id for stanza in self.stanzas())

    def param(self, key: str) -> asn1.CustomParam | None:
        """Return the first custom parameter named *key*, or None."""
        return next((param for param in self.params if param.key == key), None)


def _interpret(length: int, info: asn1.MessageInfo) -> Header:
    content = info.content_info.content
    cipher = content.content.cipher
    nonce = asn1.cipher_nonce(cipher)
    recipients = der.members(content.recipients)
    for holds in (
        info.content_info.content_type == asn1.ENVELOPED_DATA,
        content.version == _ENVELOPED_DATA_VERSION,
        content.recipients.tag_bytes == b"\x31",
        len(recipients) <= MAX_RECIPIENTS,
        content.content.content_type == asn1.DATA,
        cipher.algorithm == asn1.AES256_GCM,
        len(nonce) == p.GCM_NONCE_BYTES,
        info.kdf is None or (info.kdf.algorithm == asn1.HKDF and info.kdf.digest is None),
        info.padding is None or info.padding.algorithm == asn1.RANDOM_PADDING,
        info.version == _version(info),
    ):
        if not holds:
            raise ValueError("a field has an impossible value")
    params: list[asn1.CustomParam] = []
    if info.custom_params is not None:
        params = [param.parse(asn1.CustomParam) for param in der.members(info.custom_params.set_of)]
    data_size, digest = _read_footer_info(info.footer)
    return Header(
        length=length,
        nonce=nonce,
        params=tuple(params),
        derives_keys=info.kdf is not None,
        data_size=data_size,
        digest=digest,
        padded=info.padding is not None,
        info=info,
        recipients=tuple(recipients),
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
    footer = kdf = None
    version = 0
    if data_size is not None:
        version = 2
        kdf = asn1.KdfAlgorithm(algorithm=asn1.HKDF, digest=None)
        footer = asn1.FooterInfo(
            version=0,
            data_size=data_size,
            signed=asn1.SignedDataInfo(version=0, digest=asn1.SHA512_WRITTEN),
        )
    padding = None
    if padded:
        version = 3
        padding = asn1.BareAlgorithm(algorithm=asn1.RANDOM_PADDING)
    custom = None
    if params:
        custom = asn1.SetHolder(set_of=der.set_of(der.encode_der(param) for param in params))
    content = asn1.EnvelopedData(
        version=_ENVELOPED_DATA_VERSION,
        recipients=der.set_of(stanzas),
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
