"""Stanzas: the content key, wrapped for one recipient (wire format, section 3).

One ephemeral key serves all recipients of one message. That is safe here: each shared secret is
hashed alone and yields a key for its own recipient only, and every stanza carries the same
ephemeral point, so nothing is revealed that a stanza does not show anyway.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

from encrypted_parse._translating import translating
from encrypted_parse.crypto import EphemeralKey, KeyType, PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.keys import KEY_ID_BYTES
from encrypted_parse.envelope import asn1
from encrypted_parse.errors import (
    EnvelopeError,
    KeyFormatError,
    MalformedEnvelopeError,
    TamperedEnvelopeError,
)

CONTENT_KEY_BYTES = 32  # section 3
MAX_RECIPIENTS = 1024  # bounds work on hostile input; npm's own sort makes more impractical
_RECIPIENT_VERSION = 2
_SEQUENCE = b"\x30"
_POINT_BYTES = 32
_MAC_BYTES = 48  # HMAC-SHA-384
_SEALED_BYTES = 48  # the content key and one full PKCS#7 block
_FULL_PADDING_BLOCK = bytes([p.AES_BLOCK_BYTES]) * p.AES_BLOCK_BYTES

_OID_OF = {KeyType.ED25519: asn1.ED25519, KeyType.CURVE25519: asn1.X25519}
_TYPE_OF = {oid: key_type for key_type, oid in _OID_OF.items()}


def _encode_envelope(
    key_type: KeyType, point: bytes, mac: bytes, initial: bytes, sealed: bytes
) -> bytes:
    envelope = asn1.KeyEnvelope(
        version=0,
        ephemeral=asn1.Spki(
            algorithm=asn1.BareAlgorithm(algorithm=_OID_OF[key_type]),
            point=der.BitString(point, 0),
        ),
        kdf=asn1.KdfAlgorithm(algorithm=asn1.KDF2, digest=asn1.SHA384_WRITTEN),
        mac=asn1.EnvelopeMac(algorithm=asn1.SHA384_WRITTEN, mac=mac),
        key=asn1.WrappedKey(
            cipher=asn1.CipherAlgorithm(algorithm=asn1.AES256_CBC, parameters=initial),
            sealed=sealed,
        ),
    )
    return der.encode_der(envelope)


def _encode_recipient(key_type: KeyType, recipient_id: bytes, *envelope: bytes) -> bytes:
    recipient = asn1.WrittenRecipientInfo(
        version=_RECIPIENT_VERSION,
        recipient_id=recipient_id,
        algorithm=asn1.BareAlgorithm(algorithm=_OID_OF[key_type]),
        envelope=_encode_envelope(key_type, *envelope),
    )
    return der.encode_der(recipient)


_ENVELOPE_HOLES = (_POINT_BYTES, _MAC_BYTES, p.AES_BLOCK_BYTES, _SEALED_BYTES)


@functools.cache
def _envelope_frame(key_type: KeyType) -> der.Frame:
    """Return the form in which every writer of AES-CBC envelopes writes them."""
    return der.Frame(functools.partial(_encode_envelope, key_type), *_ENVELOPE_HOLES)


@functools.cache
def _recipient_frame(key_type: KeyType, id_bytes: int) -> der.Frame:
    """Return that of the whole stanza."""
    encode = functools.partial(_encode_recipient, key_type)
    return der.Frame(encode, id_bytes, *_ENVELOPE_HOLES)


class Stanza(NamedTuple):
    """One entry of the recipient list.

    `algorithm` is the recipient key's, None where it has parameters, as keys of other kinds do.
    """

    recipient_id: bytes
    algorithm: der.ObjectIdentifier | None
    envelope: bytes

    @classmethod
    def read(cls, entry: der.TLV | bytes) -> Stanza | None:
        """Read an entry as parsed, or as the bytes of the usual length; None if of another kind.

        Raises:
            ValueError: It does not parse.
        """
        if isinstance(entry, bytes):
            parts = _USUAL_FRAME.match(entry)
            if parts is not None:
                return cls(parts[0], asn1.ED25519, parts[1])
            return cls._interpret(der.decode_der(asn1.RecipientInfo, entry))
        if entry.tag_bytes != _SEQUENCE:
            return None  # password recipients and the like carry a context tag
        return cls._interpret(entry.parse(asn1.RecipientInfo))

    @classmethod
    def _interpret(cls, info: asn1.RecipientInfo) -> Stanza:
        if info.version != _RECIPIENT_VERSION:
            raise ValueError("recipient version")
        return cls(info.recipient_id, asn1.bare_algorithm(info.algorithm), info.envelope)


def _encode_usual(recipient_id: bytes, envelope: bytes) -> bytes:
    recipient = asn1.WrittenRecipientInfo(
        version=_RECIPIENT_VERSION,
        recipient_id=recipient_id,
        algorithm=asn1.BareAlgorithm(algorithm=asn1.ED25519),
        envelope=envelope,
    )
    return der.encode_der(recipient)


# An Ed25519 recipient with a short identifier and an AES-CBC envelope: nearly every stanza.
_USUAL_FRAME = der.Frame(_encode_usual, KEY_ID_BYTES, _envelope_frame(KeyType.ED25519).length)
USUAL_STANZA_BYTES = _USUAL_FRAME.length
USUAL_STANZA_START = _USUAL_FRAME.fill(b"", b"")[:3]  # tag and length


class StanzaWriter:
    """Wraps one content key for any number of recipients."""

    def __init__(self, content_key: bytes, random: p.RandomSource = p.random_bytes) -> None:
        self._content_key = content_key + _FULL_PADDING_BLOCK
        self._random = random
        self._ephemeral: dict[KeyType, EphemeralKey] = {}

    def wrap(self, recipient: PublicKey, *, long_id: bool = False) -> bytes:
        """Return the encoded KeyTransRecipientInfo for *recipient*.

        *long_id* selects the SHA-256 identifiers of section 2.2.

        Raises:
            KeyFormatError: *recipient* is a point of small order.
        """
        key_type = recipient.key_type
        ephemeral = self._ephemeral.get(key_type)
        if ephemeral is None:
            ephemeral = self._ephemeral[key_type] = EphemeralKey(key_type, self._random)
        aes_key, mac_key = _derive(ephemeral.exchange(recipient), _MAC_BYTES, "sha384", 1)
        iv = self._random(p.AES_BLOCK_BYTES)
        sealed = p.cbc_encrypt_blocks(aes_key, iv, self._content_key)
        recipient_id = recipient.long_key_id if long_id else recipient.key_id
        return _recipient_frame(key_type, len(recipient_id)).fill(
            recipient_id, ephemeral.point, p.mac(mac_key, sealed, "sha384"), iv, sealed
        )


def wrap_for_all(
    recipients: Iterable[PublicKey],
    content_key: bytes,
    random: p.RandomSource = p.random_bytes,
    *,
    long_ids: bool = False,
) -> list[bytes]:
    """Return one encoded stanza for each different key of *recipients*.

    Raises:
        EnvelopeError: No recipient, or more than 1,024.
        KeyFormatError: A recipient's key is unusable.
    """
    unique = dict.fromkeys(recipients)
    if not 0 < len(unique) <= MAX_RECIPIENTS:
        raise EnvelopeError(f"an envelope has 1 to {MAX_RECIPIENTS} recipients")
    writer = StanzaWriter(content_key, random)
    return [writer.wrap(recipient, long_id=long_ids) for recipient in unique]


def unwrap(stanza: Stanza, key: PrivateKey) -> bytes:
    """Return the 32-byte content key of the *stanza* that names *key*.

    Accepts every envelope that E3Kit's peers write: AES-CBC and AES-GCM, SHA-2 of every length,
    KDF1 and KDF2.

    Raises:
        MalformedEnvelopeError: The stanza is not a key envelope.
        TamperedEnvelopeError: It was made for another key, or a byte differs.
    """
    return WrappedContentKey.read(stanza, key).open()


def _derive(secret: bytes, mac_bytes: int, digest: str, counter: int) -> tuple[bytes, bytes]:
    okm = p.kdf2(secret, p.AES_KEY_BYTES + mac_bytes, digest, first_counter=counter)
    return okm[: p.AES_KEY_BYTES], okm[p.AES_KEY_BYTES :]


class WrappedContentKey:
    """A stanza that names one of our keys, read; whichever way it says what it says."""

    __slots__ = (
        "_cipher",
        "_first_counter",
        "_kdf_digest",
        "_key",
        "_mac",
        "_mac_digest",
        "_nonce",
        "_sealed",
        "point",
    )

    point: bytes  # the ephemeral one, as it travels

    def __init__(
        self, key: PrivateKey, point: bytes, mac: bytes, nonce: bytes, sealed: bytes
    ) -> None:
        self._key = key
        self.point, self._mac, self._nonce, self._sealed = point, mac, nonce, sealed
        # What is written, and nearly always read.
        self._kdf_digest = self._mac_digest = "sha384"
        self._first_counter = 1
        self._cipher = asn1.AES256_CBC

    @classmethod
    def read(cls, stanza: Stanza, key: PrivateKey) -> WrappedContentKey:
        """Read the *stanza* that names *key*.

        Raises:
            MalformedEnvelopeError: It is not a key envelope for a key of this type.
        """
        with translating(
            ValueError, to=lambda: MalformedEnvelopeError("our stanza is not a key envelope")
        ):
            if stanza.algorithm != _OID_OF[key.key_type]:
                raise ValueError("key type")
            usual = _envelope_frame(key.key_type).match(stanza.envelope)
            if usual is not None:
                return cls(key, *usual)
            return cls._interpret(der.decode_der(asn1.KeyEnvelope, stanza.envelope), key)

    @classmethod
    def _interpret(cls, parsed: asn1.KeyEnvelope, key: PrivateKey) -> WrappedContentKey:
        spki, kdf = parsed.ephemeral, parsed.kdf
        point = spki.point.as_bytes()
        if parsed.version != 0:
            raise ValueError("version")
        if _TYPE_OF.get(spki.algorithm.algorithm) is not key.key_type:
            raise ValueError("the ephemeral key is of another type")
        if spki.point.padding_bits() or len(point) != _POINT_BYTES:
            raise ValueError("ephemeral key")
        if kdf.digest is None or kdf.algorithm not in (asn1.KDF1, asn1.KDF2):
            raise ValueError("unknown KDF")
        nonce = asn1.cipher_nonce(parsed.key.cipher)
        wrapped = cls(key, point, parsed.mac.mac, nonce, parsed.key.sealed)
        wrapped._kdf_digest = asn1.digest_name(kdf.digest)
        wrapped._mac_digest = asn1.digest_name(parsed.mac.algorithm)
        wrapped._first_counter = 1 if kdf.algorithm == asn1.KDF2 else 0
        wrapped._cipher = parsed.key.cipher.algorithm
        return wrapped

    def open(self, image: bytes | None = None) -> bytes:
        """Return the content key; *image* is the point's X25519 image, if it is known already.

        Raises:
            MalformedEnvelopeError: The key is under a cipher that the format does not know.
            TamperedEnvelopeError: It was wrapped for another key, or a byte differs.
        """
        try:
            secret = self._key.exchange(self.point, image)
        except KeyFormatError as error:
            raise TamperedEnvelopeError("our stanza's ephemeral key is unusable") from error
        # The MAC key is as long as the digest of the MAC (section 3, accepted variations).
        aes_key, mac_key = _derive(
            secret, p.digest_bytes(self._mac_digest), self._kdf_digest, self._first_counter
        )
        if not p.constant_time_equal(p.mac(mac_key, self._sealed, self._mac_digest), self._mac):
            raise TamperedEnvelopeError("our stanza failed its authentication")
        content_key = self._decrypt(aes_key)
        if len(content_key) != CONTENT_KEY_BYTES:
            raise TamperedEnvelopeError("our stanza holds no content key")
        return content_key

    def _decrypt(self, key: bytes) -> bytes:
        nonce, sealed = self._nonce, self._sealed
        if self._cipher == asn1.AES256_CBC:
            if len(nonce) != p.AES_BLOCK_BYTES or len(sealed) != _SEALED_BYTES:
                raise MalformedEnvelopeError("our stanza is not a key envelope")
            padded = p.cbc_decrypt_blocks(key, nonce, sealed)
            if not p.constant_time_equal(padded[CONTENT_KEY_BYTES:], _FULL_PADDING_BLOCK):
                raise TamperedEnvelopeError("our stanza failed its authentication")
            return padded[:CONTENT_KEY_BYTES]
        if self._cipher == asn1.AES256_GCM:
            if len(nonce) != p.GCM_NONCE_BYTES:
                raise MalformedEnvelopeError("our stanza is not a key envelope")
            return p.gcm_decrypt(key, nonce, sealed)
        raise MalformedEnvelopeError("our stanza uses an unknown cipher")
