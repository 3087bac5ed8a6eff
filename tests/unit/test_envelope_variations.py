"""What our writer never writes and some peer does: read it (sections 1, 3 and 5.3)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable

import pytest
from forgery import stanzas_of, swap_stanzas

from encrypted_parse.crypto import KeyType, PrivateKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.envelope import (
    add_recipients,
    asn1,
    decrypt,
    decrypt_and_verify,
    encrypt,
    sign,
    sign_and_encrypt,
    sign_then_encrypt,
    sign_then_encrypt_detached,
    verify,
)
from encrypted_parse.envelope.header import Header
from encrypted_parse.envelope.recipient import open_stanza
from encrypted_parse.envelope.signed import KeySchedule, body_associated_data
from encrypted_parse.envelope.stanza import Stanza, unwrap
from encrypted_parse.errors import (
    MalformedEnvelopeError,
    PlaintextTooLongError,
    SignatureError,
    TamperedEnvelopeError,
)
from encrypted_parse.streams import decrypt_file

ALICE, BOB = PrivateKey.generate(), PrivateKey.generate()
CONTENT_KEY = bytes(range(32))
MAC_BYTES = {asn1.SHA224: 28, asn1.SHA256: 32, asn1.SHA384: 48, asn1.SHA512: 64}


def _hash(oid: der.ObjectIdentifier, *, null: bool = True) -> asn1.HashAlgorithm:
    return asn1.HashAlgorithm(algorithm=oid, parameters=der.Null() if null else None)


def _stanza(  # noqa: PLR0913 - one keyword per variation
    *,
    kdf: der.ObjectIdentifier = asn1.KDF2,
    kdf_digest: der.ObjectIdentifier = asn1.SHA384,
    mac_digest: der.ObjectIdentifier = asn1.SHA384,
    cipher: der.ObjectIdentifier = asn1.AES256_CBC,
    null: bool = True,
    long_form: bool = False,
    wrong_length: int = 0,
    content_key: bytes = CONTENT_KEY,
    version: int = 0,
    nonce: bytes | None = None,
) -> Stanza:
    """Wrap the content key for bob as a peer might, written out independently of our writer."""
    ephemeral = PrivateKey.generate()
    okm = p.kdf2(
        ephemeral.exchange(BOB.public_key.raw),
        32 + MAC_BYTES[mac_digest],
        asn1.DIGESTS[kdf_digest],
        first_counter=1 if kdf == asn1.KDF2 else 0,
    )
    if nonce is None:
        nonce = bytes(16 if cipher == asn1.AES256_CBC else 12)
    if cipher == asn1.AES256_CBC:
        fill = 16 - len(content_key) % 16
        padded = content_key + bytes([fill]) * fill
        sealed = p.cbc_encrypt_blocks(okm[:32], nonce[:16].ljust(16, b"\0"), padded)
    else:
        sealed = p.gcm_encrypt(okm[:32], nonce, content_key)
    parameters: object = nonce
    if long_form:
        parameters = asn1.NonceAndLength(nonce=nonce, length=len(nonce) + wrong_length)
    point = der.BitString(ephemeral.public_key.raw, 0)
    algorithm = asn1.BareAlgorithm(algorithm=asn1.ED25519)
    envelope = asn1.KeyEnvelope(
        version=version,
        ephemeral=asn1.Spki(algorithm=algorithm, point=point),
        kdf=asn1.KdfAlgorithm(algorithm=kdf, digest=_hash(kdf_digest, null=null)),
        mac=asn1.EnvelopeMac(
            algorithm=_hash(mac_digest, null=null),
            mac=p.mac(okm[32:], sealed, asn1.DIGESTS[mac_digest]),
        ),
        key=asn1.WrappedKey(
            cipher=asn1.CipherAlgorithm(algorithm=cipher, parameters=parameters), sealed=sealed
        ),
    )
    return Stanza(BOB.public_key.key_id, asn1.ED25519, der.encode_der(envelope))


@pytest.mark.parametrize(
    ("kdf", "kdf_digest", "mac_digest", "cipher"),
    list(
        itertools.product(
            (asn1.KDF1, asn1.KDF2), MAC_BYTES, MAC_BYTES, (asn1.AES256_CBC, asn1.AES256_GCM)
        )
    ),
)
@pytest.mark.parametrize("null", [True, False], ids=["NULL", "no NULL"])
def test_stanzas_of_other_peers(
    *,
    kdf: der.ObjectIdentifier,
    kdf_digest: der.ObjectIdentifier,
    mac_digest: der.ObjectIdentifier,
    cipher: der.ObjectIdentifier,
    null: bool,
) -> None:
    """Either KDF, any digest in either place, either cipher, with the NULLs or without."""
    stanza = _stanza(
        kdf=kdf, kdf_digest=kdf_digest, mac_digest=mac_digest, cipher=cipher, null=null
    )
    assert unwrap(stanza, BOB) == CONTENT_KEY


@pytest.mark.parametrize("cipher", [asn1.AES256_CBC, asn1.AES256_GCM], ids=["CBC", "GCM"])
def test_long_form_of_cipher_parameters(cipher: der.ObjectIdentifier) -> None:
    """Nonce and length as a SEQUENCE is read when both agree, and malformed when not."""
    assert unwrap(_stanza(cipher=cipher, long_form=True), BOB) == CONTENT_KEY
    for wrong in (-1, 1, 4):
        with pytest.raises(MalformedEnvelopeError):
            unwrap(_stanza(cipher=cipher, long_form=True, wrong_length=wrong), BOB)


def test_unknown_algorithms_of_a_stanza() -> None:
    """What the format does not allow in a stanza is malformed, not tried."""
    with pytest.raises(MalformedEnvelopeError):
        unwrap(_stanza(version=1), BOB)
    stanza = _stanza()
    for known, unknown in (
        ("28818c71020502", "28818c71020503"),  # KDF2
        ("608648016503040202", "608648016503040205"),  # SHA-384
        ("60864801650304012a", "60864801650304012b"),  # AES256-CBC
    ):
        changed = stanza.envelope.replace(bytes.fromhex(known), bytes.fromhex(unknown))
        with pytest.raises(MalformedEnvelopeError):
            unwrap(stanza._replace(envelope=changed), BOB)


AES192_GCM = der.ObjectIdentifier("2.16.840.1.101.3.4.1.26")


def test_an_unknown_cipher_is_not_read_as_a_known_one() -> None:
    """A key that AES-256-GCM would open is malformed where the stanza names another cipher."""
    assert unwrap(_stanza(cipher=asn1.AES256_GCM), BOB) == CONTENT_KEY
    with pytest.raises(MalformedEnvelopeError, match="unknown cipher"):
        unwrap(_stanza(cipher=AES192_GCM), BOB)


@pytest.mark.parametrize("length", [8, 11, 13, 16])
def test_gcm_nonces_of_another_length(length: int) -> None:
    """A GCM nonce has 12 bytes, though the cipher itself takes others."""
    with pytest.raises(MalformedEnvelopeError, match="not a key envelope"):
        unwrap(_stanza(cipher=asn1.AES256_GCM, nonce=bytes(length)), BOB)


@pytest.mark.parametrize("length", [0, 12, 15, 17, 32])
def test_cbc_vectors_of_another_length(length: int) -> None:
    """An initialisation vector of CBC has 16 bytes."""
    with pytest.raises(MalformedEnvelopeError, match="not a key envelope"):
        unwrap(_stanza(nonce=bytes(length)), BOB)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_content_keys_of_another_length(length: int) -> None:
    """A stanza that holds anything but 32 bytes holds no content key, under either cipher."""
    short_of_48 = MalformedEnvelopeError if length != 33 else TamperedEnvelopeError
    with pytest.raises(short_of_48):
        unwrap(_stanza(content_key=bytes(length)), BOB)
    with pytest.raises(TamperedEnvelopeError, match="no content key"):
        unwrap(_stanza(cipher=asn1.AES256_GCM, content_key=bytes(length)), BOB)


@pytest.mark.parametrize(("length", "unused_bits"), [(0, 0), (31, 0), (33, 0), (64, 0), (32, 1)])
def test_ephemeral_points_of_another_length(length: int, unused_bits: int) -> None:
    """A point has 256 bits."""
    stanza = _stanza()
    parsed = der.decode_der(asn1.KeyEnvelope, stanza.envelope)
    parsed.ephemeral.point = der.BitString(bytes(length), unused_bits)
    changed = stanza._replace(envelope=der.encode_der(parsed))
    with pytest.raises(MalformedEnvelopeError):
        unwrap(changed, BOB)


def test_entries_of_other_kinds_are_skipped() -> None:
    """A recipient by password, or of a key type that we have not, stands in nobody's way."""
    envelope = sign_and_encrypt(b"x", signer=ALICE, recipients=[BOB.public_key], pad=False)
    [stanza] = stanzas_of(envelope)
    by_password = bytes.fromhex("a303020100")
    rsa = stanza.replace(BOB.public_key.key_id, bytes(8)).replace(
        bytes.fromhex("06032b6570"), bytes.fromhex("06032b6571"), 1
    )
    for other in (by_password, rsa):
        mixed = swap_stanzas(envelope, [other, stanza])
        first, second = sorted((other, stanza))
        for ordered in (mixed, mixed.replace(first + second, second + first)):
            opened = decrypt_and_verify(ordered, identities=[BOB], signers=[ALICE.public_key])
            assert opened == b"x"


def test_what_is_written_says_so() -> None:
    """The fields of what we write, read by the declared structures alone (sections 3 and 4)."""
    envelope = sign_and_encrypt(b"x", signer=ALICE, recipients=[BOB.public_key])
    [stanza] = stanzas_of(envelope)
    info = der.decode_der(asn1.RecipientInfo, stanza)
    assert info.version == 2
    assert info.recipient_id == BOB.public_key.key_id
    assert asn1.bare_algorithm(info.algorithm) == asn1.ED25519
    wrapped = der.decode_der(asn1.KeyEnvelope, info.envelope)
    assert wrapped.version == 0
    assert wrapped.ephemeral.algorithm.algorithm == asn1.ED25519
    assert (wrapped.kdf.algorithm, wrapped.kdf.digest.algorithm) == (asn1.KDF2, asn1.SHA384)
    assert wrapped.mac.algorithm.algorithm == asn1.SHA384
    assert wrapped.key.cipher.algorithm == asn1.AES256_CBC
    header = Header.from_bytes(envelope).info
    assert header.version == 3
    assert header.content_info.content.version == 2
    assert (header.footer.version, header.footer.signed.version) == (0, 0)
    assert header.kdf.algorithm == asn1.HKDF


def test_keys_are_named_by_8_bytes() -> None:
    """Every writer uses the identifiers that all of E3Kit's readers find, unless told otherwise."""
    to = {"recipients": [BOB.public_key]}
    shared = add_recipients(
        sign_and_encrypt(b"x", signer=ALICE, **to),
        identities=[BOB],
        signers=[ALICE.public_key],
        recipients=[ALICE.public_key],
    )
    for written in (
        sign_and_encrypt(b"x", signer=ALICE, **to),
        sign_then_encrypt(b"x", signer=ALICE, **to),
        sign_then_encrypt_detached(b"x", signer=ALICE, **to).metadata,
        encrypt(b"x", **to),
        shared,
    ):
        names = Header.from_bytes(written).recipient_ids()
        assert BOB.public_key.key_id in names
        assert {len(name) for name in names} == {8}
    names = Header.from_bytes(sign_and_encrypt(b"x", signer=ALICE, **to, long_ids=True))
    assert names.recipient_ids() == (BOB.public_key.long_key_id,)


@pytest.mark.parametrize("write", [sign_and_encrypt, sign_then_encrypt], ids=["signed", "old"])
def test_what_is_too_long_for_one_call(
    monkeypatch: pytest.MonkeyPatch, write: Callable[..., bytes]
) -> None:
    """The longest plaintext is written, one byte more is refused, with the way out."""
    monkeypatch.setattr(p, "ONE_CALL_MAX_BYTES", 10)
    assert write(bytes(10), signer=ALICE, recipients=[BOB.public_key])
    with pytest.raises(PlaintextTooLongError) as caught:
        write(bytes(11), signer=ALICE, recipients=[BOB.public_key])
    assert "stream" in str(caught.value.hint)


def test_a_footer_that_signs_nothing_is_no_message() -> None:
    """Announced without a digest, a footer has no associated data: malformed for every verb."""
    envelope = sign_and_encrypt(b"x", signer=ALICE, recipients=[BOB.public_key], pad=False)
    header = Header.from_bytes(envelope)
    info = header.info
    info.footer = asn1.FooterInfo(version=0, data_size=1, signed=None)
    changed = der.encode_der(info) + envelope[header.length :]
    with pytest.raises(MalformedEnvelopeError, match="lacks a field"):
        decrypt(changed, identities=[BOB])
    with pytest.raises(MalformedEnvelopeError, match="lacks a field"):
        decrypt_file(io.BytesIO(changed), io.BytesIO(), identities=[BOB])


def test_a_stanza_for_another_type_of_key() -> None:
    """An Ed25519 stanza under a Curve25519 key's identifier is malformed."""
    with pytest.raises(MalformedEnvelopeError):
        unwrap(_stanza(), PrivateKey.generate(KeyType.CURVE25519))


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("null", [True, False], ids=["NULL", "no NULL"])
def test_digests_of_other_peers(digest: str, *, null: bool) -> None:
    """The header's digest drives associated data and signature alike; its NULL may be absent."""
    oid = next(oid for oid, name in asn1.DIGESTS.items() if name == digest)
    envelope = sign_and_encrypt(b"x", signer=ALICE, recipients=[BOB.public_key], pad=False)
    header = Header.from_bytes(envelope)
    schedule = KeySchedule(open_stanza(header, [BOB]))
    signer = asn1.WrittenSignerInfo(
        version=0,
        signer_id=ALICE.public_key.key_id,
        algorithm=asn1.BareAlgorithm(algorithm=asn1.ED25519),
        signature=ALICE.sign(p.digest(b"x", digest)),
    )
    signers = asn1.SetHolder(set_of=der.set_of([der.encode_der(signer)]))
    footer = der.encode_der(asn1.Footer(version=0, signers=signers))
    info = header.info
    info.footer = asn1.FooterInfo(
        version=0, data_size=1, signed=asn1.SignedDataInfo(version=0, digest=_hash(oid, null=null))
    )
    forged = (
        der.encode_der(info)
        + p.gcm_encrypt(schedule.body_key, schedule.body_nonce, b"x", body_associated_data(digest))
        + p.gcm_encrypt(schedule.footer_key, schedule.footer_nonce, footer)
    )
    parsed = Header.from_bytes(forged)
    assert parsed.digest == digest
    assert parsed.to_bytes() == forged[: parsed.length]
    assert decrypt_and_verify(forged, identities=[BOB], signers=[ALICE.public_key]) == b"x"


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("null", [True, False], ids=["NULL", "no NULL"])
def test_signature_containers_of_other_peers(digest: str, *, null: bool) -> None:
    """A container names its digest, with the NULL or without."""
    oid = next(oid for oid, name in asn1.DIGESTS.items() if name == digest)
    container = asn1.SignatureContainer(
        digest=_hash(oid, null=null), signature=ALICE.sign(p.digest(b"data", digest))
    )
    verify(b"data", der.encode_der(container), ALICE.public_key)


def test_containers_that_are_none() -> None:
    """A bare signature, a trailing byte, an unknown digest and a long blob are refused."""
    good = sign(b"data", ALICE)
    sha512, sha224 = bytes.fromhex("03040203"), bytes.fromhex("03040204")
    for bad in (b"", good[-64:], good + b"\x00", good.replace(sha512, sha224), bytes(5000)):
        with pytest.raises(SignatureError):
            verify(b"data", bad, ALICE.public_key)
