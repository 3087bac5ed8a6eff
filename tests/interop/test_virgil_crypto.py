"""Both directions with the npm package `virgil-crypto` 5.1.2, which E3Kit's JavaScript uses."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from npm_peer import NpmPeer, PeerRefusedError

from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.envelope import decrypt_and_verify, sign, sign_and_encrypt, verify
from encrypted_parse.envelope.header import Header
from encrypted_parse.errors import (
    EnvelopeError,
    MissingExtraError,
    NotSignedError,
    SignatureError,
    TamperedEnvelopeError,
)

PLAINTEXTS = {
    "empty": b"",
    "one byte": b"\x00",
    "unicode": "Привет, 世界 👋\N{COMBINING ACUTE ACCENT}".encode(),
    "frame": b"f" * 155,
    "next frame": b"f" * 156,
    "1 MiB": bytes(range(256)) * 4096,
}
RECIPIENT_COUNTS = (1, 2, 10)
PADDING = pytest.mark.parametrize("pad", [True, False], ids=["padded", "bare"])
PLAINTEXT = pytest.mark.parametrize("plaintext", PLAINTEXTS.values(), ids=PLAINTEXTS)
RECIPIENTS = pytest.mark.parametrize("count", RECIPIENT_COUNTS)

AUTHOR = PrivateKey.generate()
READERS = [PrivateKey.generate() for _ in range(max(RECIPIENT_COUNTS))]


@pytest.fixture(scope="module")
def npm() -> Iterator[NpmPeer]:
    """One Node for all tests of this file, stopped whatever happens."""
    try:
        peer = NpmPeer()
    except MissingExtraError as error:
        pytest.skip(f"{error}; {error.hint}")
    with peer:
        yield peer


def _public(keys: list[PrivateKey]) -> list[PublicKey]:
    return [key.public_key for key in keys]


def _encoded(keys: list[PrivateKey]) -> list[bytes]:
    return [key.public_key.to_bytes() for key in keys]


def _read_by_npm(npm: NpmPeer, envelope: bytes, reader: PrivateKey) -> bytes:
    return npm.ask_bytes(
        "decrypt_and_verify",
        message=envelope,
        identity=reader.to_bytes(),
        signers=_encoded([AUTHOR]),
    )


@PADDING
@PLAINTEXT
@RECIPIENTS
def test_npm_reads_what_we_write(npm: NpmPeer, count: int, plaintext: bytes, *, pad: bool) -> None:
    """Every recipient's `decryptAndVerify` gives the plaintext back."""
    readers = READERS[:count]
    envelope = sign_and_encrypt(plaintext, signer=AUTHOR, recipients=_public(readers), pad=pad)
    for reader in {readers[0], readers[-1]}:
        assert _read_by_npm(npm, envelope, reader) == plaintext


@PADDING
@PLAINTEXT
@RECIPIENTS
def test_we_read_what_npm_writes(npm: NpmPeer, count: int, plaintext: bytes, *, pad: bool) -> None:
    """Every recipient reads the output of `signAndEncrypt`, whose header re-encodes exactly."""
    readers = READERS[:count]
    envelope = npm.ask_bytes(
        "sign_and_encrypt",
        data=plaintext,
        signer=AUTHOR.to_bytes(),
        recipients=_encoded(readers),
        padding=pad,
    )
    header = Header.from_bytes(envelope)
    assert header.padded is pad
    assert header.to_bytes() == envelope[: header.length]
    for reader in readers:
        opened = decrypt_and_verify(envelope, identities=[reader], signers=[AUTHOR.public_key])
        assert opened == plaintext


@PADDING
@RECIPIENTS
def test_sizes_agree(npm: NpmPeer, count: int, *, pad: bool) -> None:
    """Our envelope and npm's of the same plaintext have the same length."""
    ours = sign_and_encrypt(b"x", signer=AUTHOR, recipients=_public(READERS[:count]), pad=pad)
    theirs = npm.ask_bytes(
        "sign_and_encrypt",
        data=b"x",
        signer=AUTHOR.to_bytes(),
        recipients=_encoded(READERS[:count]),
        padding=pad,
    )
    assert len(ours) == len(theirs)


def test_we_read_long_identifiers(npm: NpmPeer) -> None:
    """Envelopes of peers with `useSha256Identifiers` open without being told so."""
    envelope = npm.ask_bytes(
        "sign_and_encrypt",
        data=b"long",
        signer=AUTHOR.to_bytes(),
        recipients=_encoded(READERS[:2]),
        padding=True,
        long_ids=True,
    )
    ids = Header.from_bytes(envelope).recipient_ids()
    assert set(ids) == {key.long_key_id for key in _public(READERS[:2])}
    opened = decrypt_and_verify(envelope, identities=READERS[:1], signers=[AUTHOR.public_key])
    assert opened == b"long"


@pytest.mark.parametrize("reader", range(3))
def test_npm_refuses_a_flipped_body_bit(npm: NpmPeer, reader: int) -> None:
    """One flipped bit of the body is refused there, as it is here."""
    envelope = bytearray(sign_and_encrypt(b"whole", signer=AUTHOR, recipients=_public(READERS[:3])))
    envelope[Header.from_bytes(bytes(envelope)).length] ^= 1
    with pytest.raises(PeerRefusedError, match="Authentication failed"):
        _read_by_npm(npm, bytes(envelope), READERS[reader])
    with pytest.raises(TamperedEnvelopeError):
        decrypt_and_verify(
            bytes(envelope), identities=[READERS[reader]], signers=[AUTHOR.public_key]
        )


def test_npm_refuses_another_signer(npm: NpmPeer) -> None:
    """Our footer names its signer to npm, which refuses any other."""
    envelope = sign_and_encrypt(b"mine", signer=READERS[1], recipients=_public(READERS[:1]))
    with pytest.raises(PeerRefusedError, match="SIGNER_NOT_FOUND"):
        _read_by_npm(npm, envelope, READERS[0])


@pytest.mark.parametrize("operation", ["encrypt", "sign_then_encrypt"])
def test_we_never_fall_back(npm: NpmPeer, operation: str) -> None:
    """What npm writes unsigned or in the old form is refused, though we hold the keys."""
    message = npm.ask_bytes(
        operation,
        data=b"weaker",
        signer=AUTHOR.to_bytes(),
        recipients=_encoded(READERS[:1]),
        padding=False,
    )
    header = Header.from_bytes(message)
    assert header.to_bytes() == message[: header.length]
    with pytest.raises(NotSignedError) as caught:
        decrypt_and_verify(message, identities=READERS[:1], signers=[AUTHOR.public_key])
    assert isinstance(caught.value, EnvelopeError)


def test_keys_that_npm_generates(npm: NpmPeer) -> None:
    """We import npm's keys, agree on both identifiers, and export the same bytes."""
    pair = npm.ask("generate_keys")
    private = PrivateKey.from_base64(pair["private"])
    public = PublicKey.from_base64(pair["public"])
    assert private.public_key == public
    assert (private.to_base64(), public.to_base64()) == (pair["private"], pair["public"])
    ids = npm.ask("key_ids", key=public.to_bytes())
    assert base64.b64decode(ids["short"]) == public.key_id
    assert base64.b64decode(ids["long"]) == public.long_key_id


def test_keys_that_we_generate(npm: NpmPeer) -> None:
    """Npm imports our keys, and derives the same public key from the private one."""
    for key in READERS:
        public = npm.ask_bytes("extract_public_key", key=key.to_bytes())
        assert public == key.public_key.to_bytes()
        ids = npm.ask("key_ids", key=public)
        assert base64.b64decode(ids["short"]) == key.public_key.key_id


@PLAINTEXT
def test_signatures(npm: NpmPeer, plaintext: bytes) -> None:
    """Signature containers are equal byte for byte, and each side verifies the other's."""
    ours = sign(plaintext, AUTHOR)
    theirs = npm.ask_bytes("sign", data=plaintext, signer=AUTHOR.to_bytes())
    assert ours == theirs
    verify(plaintext, theirs, AUTHOR.public_key)
    signer = AUTHOR.public_key.to_bytes()
    assert npm.ask("verify", data=plaintext, signature=ours, signer=signer) is True


def test_signatures_over_other_data(npm: NpmPeer) -> None:
    """Neither side takes a signature for other data."""
    signature = sign(b"this", AUTHOR)
    signer = AUTHOR.public_key.to_bytes()
    assert npm.ask("verify", data=b"that", signature=signature, signer=signer) is False
    with pytest.raises(SignatureError):
        verify(b"that", signature, AUTHOR.public_key)
