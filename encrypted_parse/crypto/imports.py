"""Keys in the encodings that people have, read into the canonical one (section 2.1).

The rules are those of E3Kit's `importPrivateKey` and `importPublicKey`, with one difference: E3Kit
hashes a public key *as supplied* into its identifier, so that the same key as PEM gets another
one. Here a key has one identifier, that of its canonical encoding, and what is neither that nor
PEM around it is refused.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated

from encrypted_parse._translating import translating
from encrypted_parse.crypto import der
from encrypted_parse.crypto.keys import SEED_BYTES, KeyType, PrivateKey, PublicKey
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import KeyFormatError

_MAX_BYTES = 16 * 1024
_PEM = re.compile(
    rb"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s"
    rb"(?P<body>[A-Za-z0-9+/=\s]+)"
    rb"-----END (?P=label)-----"
)
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_DER_START = b"\x30"  # of a SEQUENCE; base64 of one begins with M
_PKCS8 = "pass PKCS#8, as E3Kit and `openssl genpkey` write it: DER, base64 or PEM"
_HINTS = {
    b"ENCRYPTED PRIVATE KEY": "it has a password, which `openssl pkey -in FILE` takes off",
    b"OPENSSH PRIVATE KEY": "that is SSH's form: `openssl genpkey -algorithm ed25519` makes a key",
    b"PUBLIC KEY": "that is the public half: the private key stays where it was made",
    b"PRIVATE KEY": "that is the private key: keep it, and pass the public one",
}
_OTHERS = "encrypted and traditional private keys have to be converted first"


@der.sequence
class _Algorithm:
    oid: der.ObjectIdentifier


@der.sequence
class _PrivateKeyInfo:
    version: int
    algorithm: _Algorithm
    private_key: bytes
    attributes: Annotated[list[der.TLV] | None, der.Implicit(0)]

    def __repr__(self) -> str:
        return "<PrivateKeyInfo>"


_TYPES = {"1.3.101.112": KeyType.ED25519, "1.3.101.110": KeyType.CURVE25519}
_SEED_PREFIX = b"\x04\x20"  # the OCTET STRING inside the OCTET STRING


@front_door
def import_private_key(encoded: bytes | str) -> PrivateKey:
    r"""Read a private key: PKCS#8 as DER, as base64, or as PEM. Attributes are dropped.

    The one reader of keys that people have: for the library, the command line and the variables
    for containers. A text may be given as bytes, too; byte order mark, white space, broken lines
    and PEM in one line with ``\n`` are read as meant.

    Raises:
        KeyFormatError: Anything else: encrypted keys, raw seeds, PKCS#8 version 1, other types.
    """
    data = _unarmor(encoded, b"PRIVATE KEY")
    if len(data) == SEED_BYTES:
        raise KeyFormatError("a raw seed does not say of which type its key is", hint=_PKCS8)
    try:
        return PrivateKey.from_bytes(data)
    except KeyFormatError:
        return _with_attributes(data)


@front_door
def import_public_key(encoded: bytes | str) -> PublicKey:
    """Read a public key: SubjectPublicKeyInfo as DER, as base64, or as PEM.

    Texts are read as by `import_private_key`.

    Raises:
        KeyFormatError: Anything else: other types, another encoding of the same key, a trailing
            byte, a point that nobody can encrypt to.
    """
    return PublicKey.from_bytes(_unarmor(encoded, b"PUBLIC KEY"))


def _unarmor(encoded: bytes | str, label: bytes) -> bytes:
    with translating(ValueError, to=_no_text):
        data = encoded.encode("utf-8") if isinstance(encoded, str) else encoded
    if len(data) > _MAX_BYTES:
        raise KeyFormatError("no key is so long", hint=_PKCS8)
    if data[:2] in _UTF16_MARKS:
        raise KeyFormatError("a key's text form is base64 or PEM", hint="save the file as UTF-8")
    if not isinstance(encoded, str) and (data.startswith(_DER_START) or len(data) == SEED_BYTES):
        return data
    text = data.strip().removeprefix(_UTF8_MARK).strip()
    found = _LABEL.search(text)
    if found is not None:
        text = _body(text.replace(rb"\n", b"\n").replace(rb"\r", b"").strip(), found[1], label)
    with translating(ValueError, to=_no_text):
        return base64.b64decode(b"".join(text.split()), validate=True)


def _body(text: bytes, found: bytes, label: bytes) -> bytes:
    """Return what stands between the lines of a PEM text, if it is a *label*."""
    if found != label:
        raise KeyFormatError(
            f"the PEM text holds no {label.decode().lower()}", hint=_HINTS.get(found, _OTHERS)
        )
    pem = _PEM.fullmatch(text)
    if pem is None:
        raise KeyFormatError(
            "the PEM text is broken, or not alone",
            hint="pass the lines from BEGIN to END of one key, and nothing else",
        )
    return pem["body"]


def _no_text() -> KeyFormatError:
    return KeyFormatError("a key's text form is base64 or PEM", hint=_PKCS8)


def _with_attributes(data: bytes) -> PrivateKey:
    with translating(
        ValueError,
        KeyError,
        to=lambda: KeyFormatError(
            "not a PKCS#8 Ed25519 or Curve25519 private key",
            hint="pass what E3Kit exports: DER, base64 or PEM, without a password",
        ),
    ):
        info = der.decode_der(_PrivateKeyInfo, data)
        key_type = _TYPES[info.algorithm.oid.dotted_string]
        if info.version != 0 or not info.private_key.startswith(_SEED_PREFIX):
            raise ValueError("version or inner key")
    seed = info.private_key[len(_SEED_PREFIX) :]
    return PrivateKey.from_bytes(key_type.private_prefix + seed)
