"""Messages, keys and signatures that E3Kit and its libraries wrote, read and written again."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.keys import edwards_to_montgomery
from encrypted_parse.envelope import (
    decrypt_and_verify,
    from_text,
    is_envelope,
    sign,
    to_text,
    verify,
)
from encrypted_parse.envelope.header import Header, build_header
from encrypted_parse.envelope.padding import padded_bytes, unpad
from encrypted_parse.envelope.recipient import open_stanza
from encrypted_parse.envelope.signature import CONTAINER_BYTES
from encrypted_parse.envelope.signed import (
    KeySchedule,
    body_associated_data,
    build_footer,
)
from encrypted_parse.errors import (
    EncryptedParseError,
    KeyFormatError,
    NotARecipientError,
    NotSignedError,
    SignatureError,
    SignerNotFoundError,
    TamperedEnvelopeError,
)

Vector = dict[str, Any]

FILE = Path(__file__).with_name("e3kit-crypto.json")
KEY_COUNT = 6
COUNTS = {
    "hash": 4,
    "signature": 3,
    "encrypt": 2,
    "sign_then_encrypt": 3,
    "sign_then_encrypt_detached": 1,
    "sign_and_encrypt": 9,
    "stream_encrypt": 1,
    "stream_sign_and_encrypt": 1,
    "e3kit_encrypt": 1,
    "e3kit_auth_encrypt": 1,
    "card": 1,
    "group_session": 1,
    "group_message": 3,
    "reject": 12,
}
OURS = ("sign_and_encrypt", "stream_sign_and_encrypt", "e3kit_auth_encrypt")  # section 5.3
OTHER_FORMS = ("encrypt", "sign_then_encrypt", "stream_encrypt", "e3kit_encrypt")  # 5.1, 5.2
REFUSALS = {
    "reject-body-bit": TamperedEnvelopeError,
    "reject-footer-bit": TamperedEnvelopeError,
    "reject-footer-missing": TamperedEnvelopeError,
    "reject-trailing-byte": TamperedEnvelopeError,
    "reject-unknown-signer": SignerNotFoundError,
    "reject-not-recipient": NotARecipientError,
    "reject-old-format-as-new": NotSignedError,
}

DOCUMENT: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
KEYS: dict[str, Vector] = DOCUMENT["keys"]


def _load(*kinds: str) -> list[Vector]:
    """Return the vectors of *kinds*; an unexpected number of any of them ends the run."""
    found = [vector for vector in DOCUMENT["vectors"] if vector["kind"] in kinds]
    counts = Counter(vector["kind"] for vector in found)
    expected = {kind: COUNTS[kind] for kind in kinds}
    if not found or counts != expected:
        raise AssertionError(f"{FILE.name}: expected {expected}, found {dict(counts)}")
    return found


def _each(name: str, vectors: list[Vector]) -> pytest.MarkDecorator:
    if not vectors:
        raise AssertionError(f"no vectors for {name}")
    return pytest.mark.parametrize(name, vectors, ids=[vector["name"] for vector in vectors])


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _private(name: str) -> PrivateKey:
    return PrivateKey.from_base64(KEYS[name]["private_key"])


def _public(name: str) -> PublicKey:
    return PublicKey.from_base64(KEYS[name]["public_key"])


WITH_INTERMEDIATES = [v for v in _load("sign_and_encrypt") if "intermediates" in v]
REJECT_ENVELOPE = [v for v in _load("reject") if v["operation"] == "decrypt_and_verify"]
REJECT_IMPORT = [v for v in _load("reject") if v["operation"] == "import_private_key"]


def test_the_file_holds_what_it_claims() -> None:
    """Every kind has its exact count, here and in the file's own list; nothing is left out."""
    assert Counter(vector["kind"] for vector in DOCUMENT["vectors"]) == COUNTS
    assert DOCUMENT["counts"] == COUNTS
    assert len(KEYS) == KEY_COUNT
    assert len({vector["name"] for vector in DOCUMENT["vectors"]}) == sum(COUNTS.values())
    assert len(WITH_INTERMEDIATES) == 2
    assert {vector["name"] for vector in REJECT_ENVELOPE} == REFUSALS.keys()
    assert len(REJECT_IMPORT) == 1


# --- keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYS)
def test_key_encodings(name: str) -> None:
    """Both halves are read and written as E3Kit writes them, and belong together."""
    expected = KEYS[name]
    private, public = _private(name), _public(name)
    assert private.key_type is public.key_type is KeyType[expected["type"]]
    assert private.public_key == public
    assert private.to_base64() == expected["private_key"]
    assert public.to_base64() == expected["public_key"]
    assert private.to_bytes()[-32:].hex() == expected["raw_private"]
    assert public.raw.hex() == expected["raw_public"]


@pytest.mark.parametrize("name", KEYS)
def test_key_identifiers(name: str) -> None:
    """Short and long identifier are those that peers select stanzas by."""
    assert _public(name).key_id.hex() == KEYS[name]["id"]
    assert _public(name).long_key_id.hex() == KEYS[name]["id_sha256"]


@pytest.mark.parametrize("name", KEYS)
def test_x25519_images(name: str) -> None:
    """Both halves map to the X25519 keys that section 2.3 prescribes."""
    expected = KEYS[name]
    assert _public(name).agreement_raw().hex() == expected["x25519_public"]
    image = _private(name).agreement_key()
    assert image.private_bytes_raw().hex() == expected["x25519_private"]
    assert image.public_key().public_bytes_raw().hex() == expected["x25519_public"]


# --- hashes, signatures, cards --------------------------------------------------------------


@_each("vector", _load("hash"))
def test_hashes(vector: Vector) -> None:
    """Digests have the algorithms that their names say."""
    digest = p.digest(_bytes(vector["data"]), vector["algorithm"].lower())
    assert digest.hex() == vector["digest_hex"]


@_each("vector", _load("signature"))
def test_signatures(vector: Vector) -> None:
    """Signature containers are written byte for byte, verified, and refused over other data."""
    data, container = _bytes(vector["data"]), _bytes(vector["signature"])
    assert vector["deterministic"] is True
    assert sign(data, _private(vector["signer"])) == container
    assert len(container) == CONTAINER_BYTES
    verify(data, container, _public(vector["signer"]))
    with pytest.raises(SignatureError):
        verify(data + b"\x00", container, _public(vector["signer"]))


@_each("vector", _load("card"))
def test_cards(vector: Vector) -> None:
    """A card's id is the snapshot's digest, and its self-signature holds and is reproduced."""
    snapshot = _bytes(vector["raw_card"]["content_snapshot"])
    assert snapshot.decode("ascii") == vector["content_snapshot_utf8"]
    assert p.digest(snapshot)[:32].hex() == vector["card_id"]
    key = PublicKey.from_base64(json.loads(snapshot)["public_key"])
    assert key == _public(vector["signer"])
    (signature,) = vector["raw_card"]["signatures"]
    assert signature["signer"] == "self"
    verify(snapshot, _bytes(signature["signature"]), key)
    assert sign(snapshot, _private(vector["signer"])) == _bytes(signature["signature"])
    with pytest.raises(SignatureError):
        verify(snapshot.replace(b"alice", b"mally"), _bytes(signature["signature"]), key)


# --- envelopes ------------------------------------------------------------------------------


@_each("vector", _load(*OURS))
def test_every_recipient_reads(vector: Vector) -> None:
    """Each named recipient gets the plaintext, with the author among other offered keys too."""
    message, plaintext = _bytes(vector["message"]), _bytes(vector["plaintext"])
    if "plaintext_sha256" in vector:
        assert hashlib.sha256(plaintext).hexdigest() == vector["plaintext_sha256"]
    if "plaintext_utf8" in vector:
        assert plaintext.decode("utf-8") == vector["plaintext_utf8"]
    author = _public(vector["signer"])
    others = [_public(name) for name in KEYS if name != vector["signer"]]
    for name in vector["recipients"]:
        for signers in ([author], [*others, author]):
            opened = decrypt_and_verify(message, identities=[_private(name)], signers=signers)
            assert opened == plaintext
        with pytest.raises(SignerNotFoundError):
            decrypt_and_verify(message, identities=[_private(name)], signers=others)


@_each("vector", _load(*OURS))
def test_nobody_else_reads(vector: Vector) -> None:
    """Whoever is not named is told so, the author included."""
    outsiders = [_private(name) for name in KEYS if name not in vector["recipients"]]
    assert outsiders
    with pytest.raises(NotARecipientError):
        decrypt_and_verify(
            _bytes(vector["message"]), identities=outsiders, signers=[_public(vector["signer"])]
        )


@_each("vector", _load(*OURS))
def test_headers_say_what_was_asked_for(vector: Vector) -> None:
    """Padding, recipients, size and digest are read from the header alone."""
    header = Header.from_bytes(_bytes(vector["message"]))
    long = vector.get("use_sha256_identifiers", False)
    recipients = [_public(name) for name in vector["recipients"]]
    expected = sorted(key.long_key_id if long else key.key_id for key in recipients)
    assert header.padded is vector["padding"]
    assert header.derives_keys
    assert header.digest == "sha512"
    assert list(header.recipient_ids()) == expected
    size = len(_bytes(vector["plaintext"]))
    assert header.data_size == (padded_bytes(size) if header.padded else size)


@_each("vector", _load(*OURS, *OTHER_FORMS))
def test_headers_encode_again(vector: Vector) -> None:
    """A parsed header of any form is written back byte for byte."""
    message = _bytes(vector["message"])
    header = Header.from_bytes(message)
    assert header.to_bytes() == message[: header.length]


@_each("vector", _load("sign_then_encrypt_detached"))
def test_detached_headers_encode_again(vector: Vector) -> None:
    """A header that travels without its body is all header."""
    metadata = _bytes(vector["metadata"])
    header = Header.from_bytes(metadata)
    assert header.length == len(metadata)
    assert header.to_bytes() == metadata


@_each("vector", _load(*OURS))
def test_headers_are_built_alike(vector: Vector) -> None:
    """Our writer, given the peer's stanzas, builds the peer's header."""
    message = _bytes(vector["message"])
    header = Header.from_bytes(message)
    members = der.members(header.info.content_info.content.recipients)
    stanzas = [_wrap(entry.data) for entry in members]
    built = build_header(
        stanzas[::-1], header.nonce, data_size=header.data_size, padded=header.padded
    )
    assert built == message[: header.length]


@_each("vector", _load(*OURS, *OTHER_FORMS))
def test_text_form(vector: Vector) -> None:
    """The base64 that peers store is recognised and is ours."""
    assert is_envelope(vector["message"])
    assert to_text(from_text(vector["message"])) == vector["message"]


@_each("vector", _load(*OTHER_FORMS))
def test_other_forms_are_not_read_as_ours(vector: Vector) -> None:
    """Plain and old signed messages are refused, by each of their recipients."""
    for name in vector["recipients"]:
        with pytest.raises(NotSignedError):
            decrypt_and_verify(
                _bytes(vector["message"]),
                identities=[_private(name)],
                signers=[_public(vector["signer"] or "alice")],
            )


@_each("vector", WITH_INTERMEDIATES)
def test_intermediates_of_the_stanza(vector: Vector) -> None:
    """Ephemeral key, shared secret, KDF2 output and content key are those of the peer."""
    expected = vector["intermediates"]
    (reader,) = [_private(name) for name in vector["recipients"]]
    header = Header.from_bytes(_bytes(vector["message"]))
    (stanza,) = header.stanzas()
    assert stanza.envelope.hex() == expected["recipient_encrypted_key_hex"]
    point = bytes.fromhex(expected["ephemeral_ed25519_public_hex"])
    assert point in stanza.envelope
    assert edwards_to_montgomery(point).hex() == expected["ephemeral_x25519_public_hex"]
    secret = reader.exchange(point)
    assert secret.hex() == expected["shared_secret_hex"]
    assert p.kdf2(secret, 80, "sha384").hex() == expected["kdf2_output_hex"]
    assert open_stanza(header, [reader]).hex() == expected["master_key_hex"]


@_each("vector", WITH_INTERMEDIATES)
def test_intermediates_of_body_and_footer(vector: Vector) -> None:
    """The key schedule, associated data, padded body and footer are those of the peer."""
    expected, message = vector["intermediates"], _bytes(vector["message"])
    header = Header.from_bytes(message)
    assert (header.length, header.data_size) == (expected["header_len"], expected["data_size"])
    content_key = bytes.fromhex(expected["master_key_hex"])
    assert p.hkdf_sha512(content_key, 88).hex() == expected["hkdf_sha512_okm_hex"]
    schedule = KeySchedule(content_key)
    for name in ("body_key", "body_nonce", "footer_key", "footer_nonce"):
        assert getattr(schedule, name).hex() == expected[f"{name}_hex"]
    assert header.nonce == schedule.body_nonce
    assert body_associated_data().hex() == expected["aad_hex"]

    body_end = header.length + expected["data_size"] + p.GCM_TAG_BYTES
    body = p.gcm_decrypt(
        schedule.body_key,
        schedule.body_nonce,
        message[header.length : body_end],
        body_associated_data(),
    )
    assert body.hex() == expected["padded_body_hex"]
    plaintext = _bytes(vector["plaintext"])
    assert (unpad(body) if header.padded else body) == plaintext
    footer = p.gcm_decrypt(schedule.footer_key, schedule.footer_nonce, message[body_end:])
    assert footer.hex() == expected["footer_der_hex"]
    assert build_footer(p.digest(plaintext), _private(vector["signer"])) == footer


# --- what must be refused -------------------------------------------------------------------


@_each("vector", REJECT_ENVELOPE)
def test_refused_envelopes(vector: Vector) -> None:
    """What npm refuses, we refuse with the error that names the reason."""
    with pytest.raises(EncryptedParseError) as caught:
        decrypt_and_verify(
            _bytes(vector["message"]),
            identities=[PrivateKey.from_base64(vector["private_key"])],
            signers=[PublicKey.from_base64(text) for text in vector["signer_public_keys"]],
        )
    assert type(caught.value) is REFUSALS[vector["name"]]


@_each("vector", REJECT_IMPORT)
def test_refused_keys(vector: Vector) -> None:
    """A raw seed is not a private key."""
    with pytest.raises(KeyFormatError):
        PrivateKey.from_base64(vector["private_key"])


def _wrap(content: memoryview | bytes) -> bytes:
    """Encode the SEQUENCE of *content*, independently of the code under test."""
    length = len(content)
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    prefix = bytes((length,)) if length < 0x80 else bytes((0x80 | len(octets),)) + octets
    return b"\x30" + prefix + bytes(content)
