"""The ASN.1 of the wire format, each structure declared once, beside its definition.

Reading accepts what E3Kit's peers write: hash parameters NULL or absent, SET OFs in any order,
AES parameters bare or as a SEQUENCE. A set is kept as its encoded bytes, so that writing a parsed
structure again gives the bytes that were read. Sections are those of the wire format.
"""

from __future__ import annotations

from typing import Annotated, Literal

from encrypted_parse.crypto.der import (
    TLV,
    BitString,
    Explicit,
    Implicit,
    Null,
    ObjectIdentifier,
    Variant,
    sequence,
)

# --- section 1: algorithms ------------------------------------------------------------------

ED25519 = ObjectIdentifier("1.3.101.112")
X25519 = ObjectIdentifier("1.3.101.110")
SHA224 = ObjectIdentifier("2.16.840.1.101.3.4.2.4")
SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
SHA384 = ObjectIdentifier("2.16.840.1.101.3.4.2.2")
SHA512 = ObjectIdentifier("2.16.840.1.101.3.4.2.3")
KDF1 = ObjectIdentifier("1.0.18033.2.5.1")
KDF2 = ObjectIdentifier("1.0.18033.2.5.2")
HKDF = ObjectIdentifier("1.2.840.113549.1.9.16.3.30")
AES256_CBC = ObjectIdentifier("2.16.840.1.101.3.4.1.42")
AES256_GCM = ObjectIdentifier("2.16.840.1.101.3.4.1.46")
RANDOM_PADDING = ObjectIdentifier("1.3.6.1.4.1.54811.1.3")
DATA = ObjectIdentifier("1.2.840.113549.1.7.1")
ENVELOPED_DATA = ObjectIdentifier("1.2.840.113549.1.7.3")

DIGESTS = {SHA224: "sha224", SHA256: "sha256", SHA384: "sha384", SHA512: "sha512"}
"""Digests that a reader follows, with hashlib's names; writers use SHA-512."""


@sequence
class BareAlgorithm:
    """AlgorithmIdentifier without parameters: ED25519, X25519, RANDOM-PADDING."""

    algorithm: ObjectIdentifier


@sequence
class HashAlgorithm:
    """AlgorithmIdentifier of a digest; NULL is written, and may be absent."""

    algorithm: ObjectIdentifier
    parameters: Null | None


@sequence
class KdfAlgorithm:
    """KDF2 with its digest; HKDF-SHA512 has none, its digest is in its name."""

    algorithm: ObjectIdentifier
    digest: HashAlgorithm | None


@sequence
class NonceAndLength:
    """The long form of AES parameters: the integer repeats the nonce's length."""

    nonce: bytes
    length: int


@sequence
class CipherAlgorithm:
    """AES256-CBC or AES256-GCM with its initialisation vector or nonce."""

    algorithm: ObjectIdentifier
    parameters: bytes | NonceAndLength


def cipher_nonce(cipher: CipherAlgorithm) -> bytes:
    """Return the nonce of either form of AES parameters.

    Raises:
        ValueError: The long form's integer disagrees with the nonce.
    """
    parameters = cipher.parameters
    if isinstance(parameters, bytes):
        return parameters
    if parameters.length != len(parameters.nonce):
        raise ValueError("nonce length disagrees")
    return parameters.nonce


def digest_name(algorithm: HashAlgorithm) -> str:
    """Return hashlib's name of *algorithm*.

    Raises:
        ValueError: Not a digest that the format allows.
    """
    name = DIGESTS.get(algorithm.algorithm)
    if name is None:
        raise ValueError("unknown digest")
    return name


SHA384_WRITTEN = HashAlgorithm(algorithm=SHA384, parameters=Null())
SHA512_WRITTEN = HashAlgorithm(algorithm=SHA512, parameters=Null())

# --- section 3: the key envelope ------------------------------------------------------------


@sequence
class Spki:
    """SubjectPublicKeyInfo of the ephemeral key."""

    algorithm: BareAlgorithm
    point: BitString


@sequence
class EnvelopeMac:
    """HMAC over the wrapped key."""

    algorithm: HashAlgorithm
    mac: bytes


@sequence
class WrappedKey:
    """The content key under AES."""

    cipher: CipherAlgorithm
    sealed: bytes


@sequence
class KeyEnvelope:
    """One recipient's copy of the content key."""

    version: int
    ephemeral: Spki
    kdf: KdfAlgorithm
    mac: EnvelopeMac
    key: WrappedKey


# --- section 4: the message header ----------------------------------------------------------


@sequence
class RecipientInfo:
    """KeyTransRecipientInfo; the algorithm is left unparsed, since peers have other key types."""

    version: int
    recipient_id: Annotated[bytes, Explicit(0)]
    algorithm: list[TLV]
    envelope: bytes


@sequence
class WrittenRecipientInfo:
    """`RecipientInfo` of the two key types that we write."""

    version: int
    recipient_id: Annotated[bytes, Explicit(0)]
    algorithm: BareAlgorithm
    envelope: bytes


@sequence
class EncryptedContentInfo:
    """Content type and body cipher."""

    content_type: ObjectIdentifier
    cipher: CipherAlgorithm


@sequence
class EnvelopedData:
    """Recipients (a SET OF, in any order) and the body's cipher."""

    version: int
    recipients: TLV
    content: EncryptedContentInfo


@sequence
class ContentInfo:
    """PKCS#7's outer type."""

    content_type: ObjectIdentifier
    content: Annotated[EnvelopedData, Explicit(0)]


@sequence
class SignedDataInfo:
    """Which digest the footer's signature uses; its encoding is the body's associated data."""

    version: int
    digest: HashAlgorithm


@sequence
class FooterInfo:
    """How long the body is, and what signs it."""

    version: int
    data_size: int
    signed: Annotated[SignedDataInfo | None, Explicit(0)]


@sequence
class CustomParam:
    """One key with a value of three types."""

    key: str
    value: (
        Annotated[Variant[int, Literal["int"]], Explicit(0)]
        | Annotated[Variant[str, Literal["str"]], Explicit(1)]
        | Annotated[Variant[bytes, Literal["bytes"]], Explicit(2)]
    )


@sequence
class SetHolder:
    """`[n] EXPLICIT SET OF`, with the set left unparsed because peers may not sort it."""

    set_of: TLV


@sequence
class MessageInfo:
    """The header as read."""

    version: int
    content_info: ContentInfo
    custom_params: Annotated[SetHolder | None, Implicit(0)]
    kdf: Annotated[KdfAlgorithm | None, Explicit(1)]
    footer: Annotated[FooterInfo | None, Explicit(2)]
    padding: Annotated[BareAlgorithm | None, Explicit(3)]


# --- section 5.3: the footer; section 7: the signature container ----------------------------


@sequence
class SignerInfo:
    """Who signed, and the raw signature."""

    version: int
    signer_id: bytes
    algorithm: list[TLV]
    signature: bytes


@sequence
class WrittenSignerInfo:
    """`SignerInfo` of the one key type that signs."""

    version: int
    signer_id: bytes
    algorithm: BareAlgorithm
    signature: bytes


@sequence
class Footer:
    """The signers, encrypted after the body."""

    version: int
    signers: Annotated[SetHolder | None, Implicit(0)]


@sequence
class SignatureContainer:
    """A detached signature with the digest that it is over."""

    digest: HashAlgorithm
    signature: bytes


def bare_algorithm(parts: list[TLV]) -> ObjectIdentifier | None:
    """Return the OID of an AlgorithmIdentifier without parameters; None if it has some.

    Raises:
        ValueError: It is empty or does not begin with an OID.
    """
    if not parts:
        raise ValueError("empty algorithm identifier")
    oid = parts[0].parse(ObjectIdentifier)
    return oid if len(parts) == 1 else None
