"""Stanzas: the content key, wrapped for one recipient (wire format, section 3).

One ephemeral key serves all recipients of one message. That is safe here: each shared secret is
hashed alone and yields a key for its own recipient only, and every stanza carries the same
ephemeral point, so nothing is revealed that a stanza does not show anyway.
"""

from __future__ import annotations

import functools

from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.envelope import asn1
from encrypted_parse.errors import KeyFormatError, MalformedEnvelopeError, TamperedEnvelopeError

CONTENT_KEY_BYTES = 32  # section 3
_MAC_BYTES = 48  # HMAC-SHA-384
_SEALED_BYTES = 48  # the content key and one full PKCS#7 block
_FULL_PADDING_BLOCK = bytes([p.AES_BLOCK_BYTES]) * p.AES_BLOCK_BYTES

_OID_OF = {KeyType.ED25519: asn1.ED25519, KeyType.CURVE25519: asn1.X25519}
_TYPE_OF = {oid: key_type for key_type, oid in _OID_OF.items()}


@functools.cache
def _template(key_type: KeyType, id_bytes: int) -> tuple[bytes, ...]:
    """Encode the declared structure once around markers, and return what lies between them.

    The parts that differ from stanza to stanza have fixed lengths, so the rest of the DER never
    changes. Order of the gaps: recipient id, ephemeral point, MAC, IV, wrapped key.
    """
    markers = [
        bytes([0xA0 + index]) * length
        for index, length in enumerate(
            (id_bytes, p.AES_KEY_BYTES, _MAC_BYTES, p.AES_BLOCK_BYTES, _SEALED_BYTES)
        )
    ]
    algorithm = asn1.BareAlgorithm(algorithm=_OID_OF[key_type])
    envelope = asn1.KeyEnvelope(
        version=0,
        ephemeral=asn1.Spki(algorithm=algorithm, point=der.BitString(markers[1], 0)),
        kdf=asn1.KdfAlgorithm(algorithm=asn1.KDF2, digest=asn1.SHA384_WRITTEN),
        mac=asn1.EnvelopeMac(algorithm=asn1.SHA384_WRITTEN, mac=markers[2]),
        key=asn1.WrappedKey(
            cipher=asn1.CipherAlgorithm(algorithm=asn1.AES256_CBC, parameters=markers[3]),
            sealed=markers[4],
        ),
    )
    recipient = asn1.WrittenRecipientInfo(
        version=2,
        recipient_id=markers[0],
        algorithm=algorithm,
        envelope=der.encode_der(envelope),
    )
    rest, parts = der.encode_der(recipient), []
    for marker in markers:
        part, rest = rest.split(marker, 1)
        parts.append(part)
    return (*parts, rest)


class StanzaWriter:
    """Wraps one content key for any number of recipients."""

    def __init__(self, content_key: bytes, random: p.RandomSource = p.random_bytes) -> None:
        self._content_key = content_key + _FULL_PADDING_BLOCK
        self._random = random
        self._ephemeral: dict[KeyType, PrivateKey] = {}

    def wrap(self, recipient: PublicKey, *, long_id: bool = False) -> bytes:
        """Return the encoded KeyTransRecipientInfo for *recipient*.

        *long_id* selects the SHA-256 identifiers of section 2.2.

        Raises:
            KeyFormatError: *recipient* is a point of small order.
        """
        ephemeral = self._ephemeral.get(recipient.key_type)
        if ephemeral is None:
            ephemeral = PrivateKey(recipient.key_type, self._random(p.AES_KEY_BYTES))
            self._ephemeral[recipient.key_type] = ephemeral
        aes_key, mac_key = _derive(ephemeral.exchange(recipient), _MAC_BYTES, "sha384", 1)
        iv = self._random(p.AES_BLOCK_BYTES)
        sealed = p.cbc_encrypt_blocks(aes_key, iv, self._content_key)
        recipient_id = recipient.long_key_id if long_id else recipient.key_id
        parts = _template(recipient.key_type, len(recipient_id))
        return b"".join(
            (
                parts[0],
                recipient_id,
                parts[1],
                ephemeral.public_key.raw,
                parts[2],
                p.mac(mac_key, sealed, "sha384"),
                parts[3],
                iv,
                parts[4],
                sealed,
                parts[5],
            )
        )


def unwrap(stanza: asn1.RecipientInfo, key: PrivateKey) -> bytes:
    """Return the 32-byte content key of the *stanza* that names *key*.

    Accepts every envelope that E3Kit's peers write: AES-CBC and AES-GCM, SHA-256/384/512, KDF1
    and KDF2.

    Raises:
        MalformedEnvelopeError: The stanza is not a key envelope.
        TamperedEnvelopeError: It was made for another key, or a byte differs.
    """
    try:
        envelope = der.decode_der(asn1.KeyEnvelope, stanza.envelope)
        ephemeral = _read_ephemeral(envelope.ephemeral)
        kdf_digest, first_counter = _read_kdf(envelope.kdf)
        mac_digest = asn1.digest_name(envelope.mac.algorithm)
        nonce = asn1.cipher_nonce(envelope.key.cipher)
        if envelope.version != 0 or asn1.bare_algorithm(stanza.algorithm) != _OID_OF[key.key_type]:
            raise ValueError("version or key type")
    except ValueError as error:
        raise MalformedEnvelopeError("our stanza is not a key envelope") from error
    if ephemeral.key_type is not key.key_type:
        raise MalformedEnvelopeError("our stanza's ephemeral key is of another type")

    try:
        secret = key.exchange(ephemeral)
    except KeyFormatError as error:
        raise TamperedEnvelopeError("our stanza's ephemeral key is unusable") from error
    # The MAC key is as long as the digest of the MAC (section 3, accepted variations).
    mac_bytes = p.digest_bytes(mac_digest)
    aes_key, mac_key = _derive(secret, mac_bytes, kdf_digest, first_counter)
    sealed = envelope.key.sealed
    if not p.constant_time_equal(p.mac(mac_key, sealed, mac_digest), envelope.mac.mac):
        raise TamperedEnvelopeError("our stanza failed its authentication")
    return _open_key(envelope.key.cipher.algorithm, aes_key, nonce, sealed)


def _derive(secret: bytes, mac_bytes: int, digest: str, counter: int) -> tuple[bytes, bytes]:
    okm = p.kdf2(secret, p.AES_KEY_BYTES + mac_bytes, digest, first_counter=counter)
    return okm[: p.AES_KEY_BYTES], okm[p.AES_KEY_BYTES :]


def _read_ephemeral(spki: asn1.Spki) -> PublicKey:
    key_type = _TYPE_OF.get(spki.algorithm.algorithm)
    raw = spki.point.as_bytes()
    if key_type is None or spki.point.padding_bits() or len(raw) != p.AES_KEY_BYTES:
        raise ValueError("ephemeral key")
    return PublicKey(key_type, raw)


def _read_kdf(kdf: asn1.KdfAlgorithm) -> tuple[str, int]:
    if kdf.digest is None or kdf.algorithm not in (asn1.KDF1, asn1.KDF2):
        raise ValueError("unknown KDF")
    return asn1.digest_name(kdf.digest), 1 if kdf.algorithm == asn1.KDF2 else 0


def _open_key(algorithm: der.ObjectIdentifier, key: bytes, nonce: bytes, sealed: bytes) -> bytes:
    if algorithm == asn1.AES256_GCM and len(nonce) == p.GCM_NONCE_BYTES:
        content_key = p.gcm_decrypt(key, nonce, sealed)
    elif (
        algorithm == asn1.AES256_CBC
        and len(nonce) == p.AES_BLOCK_BYTES
        and len(sealed) == _SEALED_BYTES
    ):
        padded = p.cbc_decrypt_blocks(key, nonce, sealed)
        content_key, padding = padded[:CONTENT_KEY_BYTES], padded[CONTENT_KEY_BYTES:]
        if not p.constant_time_equal(padding, _FULL_PADDING_BLOCK):
            raise TamperedEnvelopeError("our stanza failed its authentication")
    else:
        raise MalformedEnvelopeError("our stanza uses an unknown cipher")
    if len(content_key) != CONTENT_KEY_BYTES:
        raise TamperedEnvelopeError("our stanza holds no content key")
    return content_key
