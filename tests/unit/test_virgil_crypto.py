"""The public module: its names, its example, its imports, and what its verbs refuse."""

from __future__ import annotations

import base64
import hashlib
import inspect
import re

import pytest

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.errors import EnvelopeError, KeyFormatError, NotSignedError, SignatureError

ALICE, BOB = vc.generate_key_pair(), vc.generate_key_pair()
PRIVATE, PUBLIC = ALICE.private_key.to_bytes(), ALICE.public_key.to_bytes()


def _pem(label: str, der: bytes) -> str:
    body = base64.encodebytes(der).decode("ascii")
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def test_the_example_runs() -> None:
    """What the docstring shows works."""
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(vc) or "", re.DOTALL)
    exec(code, {})  # noqa: S102 - our own docstring


def test_every_public_call_has_its_errors_documented() -> None:
    """A call that can raise says so."""
    for name in vc.__all__:
        call = getattr(vc, name)
        if not inspect.isfunction(call) or name.startswith(("export_", "extract_", "generate_")):
            continue
        if name in ("card_id", "fingerprint"):
            continue  # cannot fail
        text = call.__doc__ or ""
        promises = ("Raises:", "errors as", "none is raised")
        assert any(promise in text or promise in text.casefold() for promise in promises), name


@pytest.mark.parametrize("key_type", vc.KeyType)
def test_key_round_trip(key_type: vc.KeyType) -> None:
    """Exported keys are imported again, from DER, base64 and PEM."""
    pair = vc.generate_key_pair(key_type)
    private, public = vc.export_private_key(pair.private_key), vc.export_public_key(pair.public_key)
    for encoded in (private, pair.private_key.to_base64(), _pem("PRIVATE KEY", private)):
        assert vc.import_private_key(encoded) == pair.private_key
    for text in (public, pair.public_key.to_base64(), _pem("PUBLIC KEY", public)):
        assert vc.import_public_key(text) == pair.public_key
    assert vc.extract_public_key(pair.private_key) == pair.public_key
    assert (
        vc.import_public_key(_pem("PUBLIC KEY", public).encode()).key_id == pair.public_key.key_id
    )


ATTRIBUTES = bytes.fromhex("a00b3009060355040331020c00")


def _with_tail(tail: bytes) -> bytes:
    return b"\x30" + bytes([len(PRIVATE) - 2 + len(tail)]) + PRIVATE[2:] + tail


def test_attributes_are_dropped() -> None:
    """PKCS#8 version 0 with attributes is read (section 2.1)."""
    assert vc.import_private_key(_with_tail(ATTRIBUTES)) == ALICE.private_key
    assert vc.import_private_key(_pem("PRIVATE KEY", _with_tail(ATTRIBUTES))) == ALICE.private_key


REFUSED_PRIVATE: dict[str, bytes | str] = {
    "raw seed": PRIVATE[-32:],
    "raw seed as base64": base64.b64encode(PRIVATE[-32:]).decode(),
    "seed and point": PRIVATE[-32:] + PUBLIC[-32:],
    "trailing byte": PRIVATE + b"\0",
    "cut": PRIVATE[:-1],
    "version 1": PRIVATE[:4] + b"\1" + PRIVATE[5:],
    "version 1 with public key": _with_tail(b"\x81\x21\x00" + PUBLIC[-32:]).replace(
        b"\x02\x01\x00", b"\x02\x01\x01", 1
    ),
    "version 0 with public key": _with_tail(b"\x81\x21\x00" + PUBLIC[-32:]),
    "attributes and more": _with_tail(ATTRIBUTES) + b"\0",
    "encrypted PEM": _pem("ENCRYPTED PRIVATE KEY", PRIVATE),
    "traditional PEM": _pem("EC PRIVATE KEY", PRIVATE),
    "public key": PUBLIC,
    "public PEM": _pem("PUBLIC KEY", PUBLIC),
    "two PEMs": _pem("PRIVATE KEY", PRIVATE) * 2,
    "PEM without its end": _pem("PRIVATE KEY", PRIVATE)[:-20],
    "PEM with a broken body": _pem("PRIVATE KEY", PRIVATE).replace("M", "=", 1),
    "P-256 key": bytes.fromhex("302e020100300506032a030204220420") + PRIVATE[-32:],
    "text beyond ASCII": "ключ",
    "nothing": b"",
    "nothing as text": "",
    "far too much": b"\x30" * 100_000,
}


@pytest.mark.parametrize("name", REFUSED_PRIVATE)
def test_refused_private_keys(name: str) -> None:
    """Anything else is refused, and the error does not quote it."""
    with pytest.raises(KeyFormatError) as caught:
        vc.import_private_key(REFUSED_PRIVATE[name])
    shown = "".join(str(part) for part in (caught.value, caught.value.__cause__))
    assert ALICE.private_key.to_base64()[-20:] not in shown
    assert caught.value.__cause__ is None or "KeyFormat" in type(caught.value.__cause__).__name__


@pytest.mark.parametrize(
    "encoded",
    [
        PUBLIC + b"\0",
        PUBLIC[:-1],
        PUBLIC[-32:],
        b"\x30\x81\x2a" + PUBLIC[2:],  # long-form length
        b"\x30\x2c\x30\x07\x06\x03\x2b\x65\x70\x05\x00" + PUBLIC[9:],  # NULL parameters
        _pem("PRIVATE KEY", PUBLIC),
        PRIVATE,
        b"",
    ],
)
def test_refused_public_keys(encoded: bytes | str) -> None:
    """An encoding whose identifier would differ at other readers is refused (section 2.2)."""
    with pytest.raises(KeyFormatError):
        vc.import_public_key(encoded)


def test_fingerprints_and_hashes() -> None:
    """Fingerprints are E3Kit's long identifiers, in groups; digests have their names."""
    shown = vc.fingerprint(ALICE.public_key)
    assert shown.replace(" ", "") == hashlib.sha256(PUBLIC).hexdigest()
    assert [len(group) for group in shown.split(" ")] == [4] * 16
    for name in ("sha224", "sha256", "sha384", "sha512"):
        assert vc.calculate_hash(b"x", name) == hashlib.new(name, b"x").digest()
    with pytest.raises(ValueError, match="known are"):
        vc.calculate_hash(b"x", "md5")


def test_signatures() -> None:
    """A signature holds for its data and key, or raises."""
    signature = vc.sign(b"data", ALICE.private_key)
    vc.verify(b"data", signature, ALICE.public_key)
    for data, key in ((b"Data", ALICE), (b"data", BOB)):
        with pytest.raises(SignatureError):
            vc.verify(data, signature, key.public_key)
    with pytest.raises(SignatureError):
        vc.sign(b"data", vc.generate_key_pair(vc.KeyType.CURVE25519).private_key)


WRITERS = {
    "encrypt": vc.encrypt,
    "sign_then_encrypt": lambda data, keys: vc.sign_then_encrypt(data, ALICE.private_key, keys),
    "sign_and_encrypt": lambda data, keys: vc.sign_and_encrypt(data, ALICE.private_key, keys),
}


@pytest.mark.parametrize("name", WRITERS)
def test_one_key_or_several(name: str) -> None:
    """A single key may stand for a list of one, as in E3Kit; without any there is an error."""
    for keys in (BOB.public_key, [BOB.public_key], (BOB.public_key, ALICE.public_key)):
        assert vc.decrypt(WRITERS[name](b"text", keys), BOB.private_key) == b"text"
    with pytest.raises(EnvelopeError):
        WRITERS[name](b"text", [])


@pytest.mark.parametrize("written", WRITERS)
@pytest.mark.parametrize("read", ["decrypt_then_verify", "decrypt_and_verify"])
def test_no_form_is_read_as_another(written: str, read: str) -> None:
    """A signed verb reads its own form alone."""
    message = WRITERS[written](b"text", BOB.public_key)
    call = getattr(vc, read)
    if {"sign_then_encrypt": "decrypt_then_verify"}.get(written) == read or (
        written == "sign_and_encrypt" and read == "decrypt_and_verify"
    ):
        assert call(message, BOB.private_key, ALICE.public_key) == b"text"
        return
    with pytest.raises(NotSignedError):
        call(message, BOB.private_key, ALICE.public_key)
