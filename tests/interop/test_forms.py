"""Every form, in both directions, with npm `virgil-crypto` 5.1.2 and `virgil-crypto-lib` 0.23.1."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from npm_peer import NpmPeer, PeerRefusedError

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.envelope import Form, Header, add_recipients
from encrypted_parse.errors import (
    EncryptedParseError,
    MissingExtraError,
    NotSignedError,
    TamperedEnvelopeError,
)
from encrypted_parse.models.files import PART_BYTES
from encrypted_parse.testing import InMemoryApp

SIZES = (0, 1, 155, 156, 65_537, 4 * 1024 * 1024)
COUNTS = (1, 3, 30)
# Every count with a short text, every size with one recipient, and one large text for several.
SHAPES = [
    *((count, size) for count in COUNTS for size in (0, 156)),
    *((1, size) for size in SIZES[1:] if size != 156),
    (3, 1024 * 1024),
]
SHAPE = pytest.mark.parametrize(("count", "size"), SHAPES)
PADDING = pytest.mark.parametrize("pad", [True, False], ids=["padded", "bare"])
CHUNK_SHAPES = [(1, 300), (7, 1000), (160, 1000), (65_536, 200_001), (1024 * 1024, 4_194_304)]
CHUNKS = pytest.mark.parametrize(("chunk", "size"), CHUNK_SHAPES)

AUTHOR = vc.generate_key_pair()
READERS = [vc.generate_key_pair() for _ in range(max(COUNTS))]
CURVE_READER = vc.generate_key_pair(vc.KeyType.CURVE25519)


class Peer(Protocol):
    """What both peers can do, keys as DER."""

    def write(self, form: str, data: bytes, recipients: list[bytes], *, pad: bool) -> bytes:
        """Encrypt *data*, by our author where the form is signed."""

    def read(self, form: str, message: bytes, identity: bytes) -> bytes:
        """Decrypt *message*, and verify our author where the form is signed."""


class Npm:
    """The npm package behind the interface of these tests."""

    def __init__(self, npm: NpmPeer) -> None:
        self.npm = npm

    def write(self, form: str, data: bytes, recipients: list[bytes], *, pad: bool) -> bytes:
        """See `Peer.write`."""
        signer = AUTHOR.private_key.to_bytes()
        return self.npm.ask_bytes(
            form, data=data, signer=signer, recipients=recipients, padding=pad
        )

    def read(self, form: str, message: bytes, identity: bytes) -> bytes:
        """See `Peer.read`."""
        signers = [AUTHOR.public_key.to_bytes()]
        return self.npm.ask_bytes(READ[form], message=message, identity=identity, signers=signers)


class Native:
    """The native library behind the same interface."""

    def __init__(self) -> None:
        from native_peer import NativePeer  # noqa: PLC0415 - not on every platform

        self.native = NativePeer()

    def write(self, form: str, data: bytes, recipients: list[bytes], *, pad: bool) -> bytes:
        """See `Peer.write`."""
        signer = AUTHOR.private_key.to_bytes()
        if form == "encrypt":
            return self.native.encrypt(data, recipients, padding=pad)
        if form == "sign_then_encrypt":
            return self.native.sign_then_encrypt(data, signer, recipients)
        return self.native.sign_and_encrypt(data, signer, recipients, padding=pad)

    def read(self, form: str, message: bytes, identity: bytes) -> bytes:
        """See `Peer.read`."""
        if form == "encrypt":
            return self.native.decrypt(message, identity)
        read: Any = getattr(self.native, READ[form])
        result: bytes = read(message, identity, AUTHOR.public_key.to_bytes())
        return result


READ = {
    "encrypt": "decrypt",
    "sign_then_encrypt": "decrypt_then_verify",
    "sign_and_encrypt": "decrypt_and_verify",
}
FORMS = {
    "encrypt": Form.PLAIN,
    "sign_then_encrypt": Form.SIGN_THEN_ENCRYPT,
    "sign_and_encrypt": Form.SIGN_AND_ENCRYPT,
}
FORM = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def npm() -> Iterator[NpmPeer]:
    """One Node for all tests of this file, stopped whatever happens."""
    try:
        peer = NpmPeer()
    except MissingExtraError as error:
        pytest.skip(f"{error}; {error.hint}")
    with peer:
        yield peer


@pytest.fixture(scope="module", params=["npm", "native"])
def peer(request: pytest.FixtureRequest) -> Peer:
    """Each of the two peers in turn."""
    if request.param == "npm":
        return Npm(request.getfixturevalue("npm"))
    pytest.importorskip("virgil_crypto_lib", reason="has no wheel for this platform")
    return Native()


def _text(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def _write(form: str, data: bytes, readers: list[vc.KeyPair], *, pad: bool) -> bytes:
    public_keys = [reader.public_key for reader in readers]
    if form == "encrypt":
        return vc.encrypt(data, public_keys, enable_padding=pad)
    write = vc.sign_then_encrypt if form == "sign_then_encrypt" else vc.sign_and_encrypt
    return write(data, AUTHOR.private_key, public_keys, enable_padding=pad)


def _read(form: str, message: bytes, reader: vc.KeyPair) -> bytes:
    if form == "encrypt":
        return vc.decrypt(message, reader.private_key)
    read = vc.decrypt_then_verify if form == "sign_then_encrypt" else vc.decrypt_and_verify
    return read(message, reader.private_key, AUTHOR.public_key)


@FORM
@PADDING
@SHAPE
def test_the_peer_reads_what_we_write(
    peer: Peer, form: str, count: int, size: int, *, pad: bool
) -> None:
    """Each form, padded or not, for one to thirty recipients, up to 4 MiB."""
    readers = READERS[:count]
    message = _write(form, _text(size), readers, pad=pad)
    for reader in (readers[0], readers[-1]) if count > 1 else readers:
        assert peer.read(form, message, reader.private_key.to_bytes()) == _text(size)


@FORM
@PADDING
@SHAPE
def test_we_read_what_the_peer_writes(
    peer: Peer, form: str, count: int, size: int, *, pad: bool
) -> None:
    """The same the other way, with the header encoded again and the stream reader beside."""
    readers = READERS[:count]
    message = peer.write(form, _text(size), [r.public_key.to_bytes() for r in readers], pad=pad)
    header = Header.from_bytes(message)
    assert header.to_bytes() == message[: header.length]
    assert header.form is FORMS[form]
    for reader in (readers[0], readers[-1]) if count > 1 else readers:
        assert _read(form, message, reader) == _text(size)
    assert _read_as_stream(form, message, readers[-1]) == _text(size)


@FORM
def test_a_curve25519_reader_among_others(peer: Peer, form: str) -> None:
    """A key that can only receive is written to and read by, beside an Ed25519 one."""
    readers = [READERS[0], CURVE_READER]
    message = _write(form, b"mixed", readers, pad=False)
    for reader in readers:
        assert peer.read(form, message, reader.private_key.to_bytes()) == b"mixed"
    message = peer.write(form, b"mixed", [r.public_key.to_bytes() for r in readers], pad=False)
    for reader in readers:
        assert _read(form, message, reader) == b"mixed"


def test_the_ephemeral_point_suits_both_signs(peer: Peer) -> None:
    """Whatever the sign of our ephemeral point, the peer derives the same key."""
    reader = READERS[0]
    for index in range(32):
        message = _write("sign_and_encrypt", b"%d" % index, [reader], pad=True)
        opened = peer.read("sign_and_encrypt", message, reader.private_key.to_bytes())
        assert opened == b"%d" % index


@PADDING
def test_what_is_shared_on(peer: Peer, *, pad: bool) -> None:
    """The peer reads what we shared on, its own and ours, by an old stanza and by a new one."""
    old, new = READERS[:2], [*READERS[2:5], CURVE_READER]
    keys = [reader.public_key.to_bytes() for reader in old]
    for message in (
        _write("sign_and_encrypt", b"shared", old, pad=pad),
        peer.write("sign_and_encrypt", b"shared", keys, pad=pad),
    ):
        shared = add_recipients(
            message,
            identities=[PrivateKey.from_bytes(old[0].private_key.to_bytes())],
            signers=[PublicKey.from_bytes(AUTHOR.public_key.to_bytes())],
            recipients=[PublicKey.from_bytes(one.public_key.to_bytes()) for one in new],
        )
        for reader in (*old, *new):
            opened = peer.read("sign_and_encrypt", shared, reader.private_key.to_bytes())
            assert opened == b"shared"


def test_the_parts_of_a_stored_file(npm: NpmPeer) -> None:
    """Joined, they are what `decryptSharedFile` reads: the signed form, for the file's key."""
    app = InMemoryApp()
    alice = app.make_user()
    content = random.Random(9).randbytes(PART_BYTES + 1000)
    file = alice.upload(content)
    joined = b"".join(app.parse.files[part.name] for part in file.parts)
    assert len(file.parts) == 2
    assert len(joined) > len(content)
    signer = alice.e3kit.find_users([alice.user_id])[alice.user_id].public_key
    opened = npm.ask_bytes(
        "decrypt_and_verify",
        message=joined,
        identity=file._key.to_bytes(),
        signers=[signer.to_bytes()],
    )
    assert opened == content


# --- npm alone: detached form, long identifiers, streams ------------------------------------


@pytest.mark.parametrize("count", COUNTS)
def test_detached(npm: NpmPeer, count: int) -> None:
    """Metadata and ciphertext travel apart, in both directions."""
    readers = READERS[:count]
    recipients = [reader.public_key for reader in readers]
    theirs = npm.ask(
        "sign_then_encrypt_detached",
        data=b"ticket",
        signer=AUTHOR.private_key.to_bytes(),
        recipients=[key.to_bytes() for key in recipients],
    )
    metadata, body = (base64.b64decode(theirs[name]) for name in ("metadata", "encrypted_data"))
    ours = vc.sign_then_encrypt_detached(b"ticket", AUTHOR.private_key, recipients)
    for reader in readers:
        opened = vc.decrypt_then_verify_detached(
            body, metadata, reader.private_key, AUTHOR.public_key
        )
        assert opened == b"ticket"
    opened = npm.ask_bytes(
        "decrypt_then_verify_detached",
        encrypted_data=ours.encrypted_data,
        metadata=ours.metadata,
        identity=readers[-1].private_key.to_bytes(),
        signers=[AUTHOR.public_key.to_bytes()],
    )
    assert opened == b"ticket"
    assert len(metadata) == len(ours.metadata)


@pytest.mark.parametrize("form", ["sign_then_encrypt", "sign_and_encrypt"])
def test_long_identifiers(npm: NpmPeer, form: str) -> None:
    """A peer with `useSha256Identifiers` reads what we write when told so, and only then."""
    write = vc.sign_then_encrypt if form == "sign_then_encrypt" else vc.sign_and_encrypt
    reader = READERS[0]
    question = {
        "identity": reader.private_key.to_bytes(),
        "signers": [AUTHOR.public_key.to_bytes(), READERS[1].public_key.to_bytes()],
        "long_ids": True,
    }
    message = write(b"long", AUTHOR.private_key, reader.public_key, use_sha256_identifiers=True)
    assert npm.ask_bytes(READ[form], message=message, **question) == b"long"
    assert _read(form, message, reader) == b"long"
    short = write(b"short", AUTHOR.private_key, reader.public_key)
    with pytest.raises(PeerRefusedError):
        npm.ask(READ[form], message=short, **question)


def _read_as_stream(form: str, message: bytes, reader: vc.KeyPair) -> bytes:
    target = io.BytesIO()
    identities, signers = [reader.private_key], [AUTHOR.public_key]
    if form == "encrypt":
        vc.decrypt_file(io.BytesIO(message), target, identities=identities)
    elif form == "sign_then_encrypt":
        vc.decrypt_then_verify_file(
            io.BytesIO(message), target, identities=identities, signers=signers
        )
    else:
        vc.decrypt_and_verify_file(
            io.BytesIO(message), target, identities=identities, signers=signers
        )
    return target.getvalue()


@PADDING
@CHUNKS
def test_signed_streams(npm: NpmPeer, chunk: int, size: int, *, pad: bool) -> None:
    """Both directions with the classes behind `authEncryptFile`, in any pieces."""
    reader, data = READERS[0], _text(size)
    theirs = npm.ask_bytes(
        "stream_sign_and_encrypt",
        data=data,
        signer=AUTHOR.private_key.to_bytes(),
        recipients=[reader.public_key.to_bytes(), AUTHOR.public_key.to_bytes()],
        padding=pad,
        chunk=chunk,
    )
    assert Header.from_bytes(theirs).padded is pad
    assert _read_as_stream("sign_and_encrypt", theirs, reader) == data
    assert _read("sign_and_encrypt", theirs, reader) == data

    ours = io.BytesIO()
    vc.sign_and_encrypt_file(
        io.BytesIO(data),
        ours,
        signer=AUTHOR.private_key,
        recipients=[reader.public_key, AUTHOR.public_key],
        pad=pad,
    )
    assert len(ours.getvalue()) == len(theirs)
    opened = npm.ask_bytes(
        "stream_decrypt_and_verify",
        message=ours.getvalue(),
        identity=reader.private_key.to_bytes(),
        signers=[AUTHOR.public_key.to_bytes()],
        chunk=chunk,
    )
    assert opened == data


@CHUNKS
def test_old_streams(npm: NpmPeer, chunk: int, size: int) -> None:
    """Both directions with the classes behind `encryptFile`: a signature, but no signer's name."""
    reader, data = READERS[0], _text(size)
    signature = npm.ask_bytes(
        "stream_sign", data=data, signer=AUTHOR.private_key.to_bytes(), chunk=chunk
    )
    assert signature == vc.sign_file(io.BytesIO(data), AUTHOR.private_key)
    vc.verify_file(io.BytesIO(data), signature, AUTHOR.public_key)
    theirs = npm.ask_bytes(
        "stream_encrypt",
        data=data,
        signature=signature,
        recipients=[reader.public_key.to_bytes()],
        chunk=chunk,
    )
    assert _read_as_stream("sign_then_encrypt", theirs, reader) == data

    ours = io.BytesIO()
    vc.sign_then_encrypt_file(
        io.BytesIO(data), ours, signer=AUTHOR.private_key, recipients=[reader.public_key]
    )
    assert len(ours.getvalue()) == len(theirs)
    answer = npm.ask(
        "stream_decrypt",
        message=ours.getvalue(),
        identity=reader.private_key.to_bytes(),
        chunk=chunk,
        signed=True,
    )
    assert base64.b64decode(answer["data"]) == data
    assert base64.b64decode(answer["signature"]) == signature


@CHUNKS
def test_unsigned_streams(npm: NpmPeer, chunk: int, size: int) -> None:
    """Both directions without a signature; a reader of signed files refuses them."""
    reader, data = READERS[0], _text(size)
    theirs = npm.ask_bytes(
        "stream_encrypt", data=data, recipients=[reader.public_key.to_bytes()], chunk=chunk
    )
    assert _read_as_stream("encrypt", theirs, reader) == data
    for form in ("sign_then_encrypt", "sign_and_encrypt"):
        with pytest.raises(NotSignedError):
            _read_as_stream(form, theirs, reader)
    ours = io.BytesIO()
    vc.encrypt_file(io.BytesIO(data), ours, recipients=[reader.public_key])
    answer = npm.ask(
        "stream_decrypt",
        message=ours.getvalue(),
        identity=reader.private_key.to_bytes(),
        chunk=chunk,
    )
    assert base64.b64decode(answer["data"]) == data


# --- groups ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 155, 156, 157, 29_915])
def test_group_messages(npm: NpmPeer, size: int) -> None:
    """Tickets and messages in both directions, in the newest epoch and in older ones."""
    theirs = npm.ask("group_create", group_id=b"lunch-group-1", epochs=2)
    tickets = [base64.b64decode(ticket) for ticket in theirs["tickets"]]
    session = vc.import_group_session(tickets)
    assert session.epochs == (0, 1, 2)
    assert session.session_id.hex() == theirs["id"]
    assert session.to_tickets() == tickets
    assert vc.create_group_session("lunch-group-1").session_id == session.session_id

    signer, public_key = AUTHOR.private_key, AUTHOR.public_key
    for held in (tickets, tickets[:1]):
        message = npm.ask_bytes(
            "group_encrypt", tickets=held, data=_text(size), signer=signer.to_bytes()
        )
        assert session.decrypt(message, public_key) == _text(size)
        with pytest.raises(TamperedEnvelopeError):
            session.decrypt(message, READERS[0].public_key)
        ours = vc.import_group_session(held).encrypt(_text(size), signer)
        assert len(ours) == len(message)
        opened = npm.ask_bytes(
            "group_decrypt", tickets=tickets, message=ours, signer=public_key.to_bytes()
        )
        assert opened == _text(size)


def test_our_epochs(npm: NpmPeer) -> None:
    """A group that we started, and its next epoch, are read by npm."""
    session = vc.create_group_session("a group of ours").with_new_epoch()
    message = session.encrypt(b"hello", AUTHOR.private_key)
    signer = AUTHOR.public_key.to_bytes()
    question = {"tickets": session.to_tickets(), "message": message, "signer": signer}
    assert npm.ask_bytes("group_decrypt", **question) == b"hello"
    with pytest.raises(PeerRefusedError):
        npm.ask("group_decrypt", **{**question, "tickets": session.to_tickets()[:1]})


def test_native_groups() -> None:
    """A ticket and a message of the native library; its Python wrapper cannot read any."""
    pytest.importorskip("virgil_crypto_lib", reason="has no wheel for this platform")
    ticket, message = Native().native.group_message(
        vc.group_session_id("a native group"), b"hello", AUTHOR.private_key.to_bytes()
    )
    session = vc.import_group_session([ticket])
    assert session.to_tickets() == [ticket]
    assert session.decrypt(message, AUTHOR.public_key) == b"hello"


# --- keys -----------------------------------------------------------------------------------


def test_imports_agree(npm: NpmPeer) -> None:
    """What section 2.1 says of imports holds at npm, and we follow it, but for stricter places."""
    key = AUTHOR.private_key
    public = AUTHOR.public_key.to_bytes()
    private = key.to_bytes()
    attributes = bytes.fromhex("a00b3009060355040331020c00")  # one attribute without a value
    accepted = [
        private,
        _pem("PRIVATE KEY", private),
        b"\x30" + bytes([len(private) - 2 + len(attributes)]) + private[2:] + attributes,
    ]
    for encoded in accepted:
        assert npm.ask_bytes("import_private_key", key=encoded) == private
        assert vc.import_private_key(encoded) == key
    refused = [
        private[-32:],
        private[-32:] + public[-32:],
        private + b"\0",
        private[:4] + b"\1" + private[5:],  # PKCS#8 version 1
        private[:-1],
    ]
    for encoded in refused:
        with pytest.raises(PeerRefusedError):
            npm.ask("import_private_key", key=encoded)
        with pytest.raises(EncryptedParseError):
            vc.import_private_key(encoded)
    for encoded in (public, _pem("PUBLIC KEY", public)):
        assert npm.ask_bytes("import_public_key", key=encoded) == public
        assert vc.import_public_key(encoded) == AUTHOR.public_key
    assert npm.ask_bytes("import_public_key", key=public + b"\0") == public  # with another id
    with pytest.raises(EncryptedParseError):
        vc.import_public_key(public + b"\0")


def _pem(label: str, der: bytes) -> bytes:
    body = base64.encodebytes(der).decode("ascii")
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode("ascii")
