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
from encrypted_parse.crypto.keys import KeyType, PrivateKey, PublicKey
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import KeyFormatError

_MAX_BYTES = 16 * 1024
_PEM = re.compile(
    rb"\s*-----BEGIN (?P<label>[A-Z ]+)-----\s"
    rb"(?P<body>[A-Za-z0-9+/=\s]+)"
    rb"-----END (?P=label)-----\s*"
)


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
    """Read a private key: PKCS#8 as DER, as base64, or as PEM. Attributes are dropped.

    Raises:
        KeyFormatError: Anything else: encrypted keys, raw seeds, PKCS#8 version 1, other types.
    """
    data = _unarmor(encoded, b"PRIVATE KEY")
    try:
        return PrivateKey.from_bytes(data)
    except KeyFormatError:
        return _with_attributes(data)


@front_door
def import_public_key(encoded: bytes | str) -> PublicKey:
    """Read a public key: SubjectPublicKeyInfo as DER, as base64, or as PEM.

    Raises:
        KeyFormatError: Anything else: other types, another encoding of the same key, a trailing
            byte, a point that nobody can encrypt to.
    """
    return PublicKey.from_bytes(_unarmor(encoded, b"PUBLIC KEY"))


def _unarmor(encoded: bytes | str, label: bytes) -> bytes:
    with translating(ValueError, to=lambda: KeyFormatError("a key's text form is base64 or PEM")):
        data = encoded.encode("ascii") if isinstance(encoded, str) else encoded
        if len(data) > _MAX_BYTES:
            raise ValueError("too long")
        pem = _PEM.fullmatch(data)
        if pem is not None:
            if pem["label"] != label:
                raise KeyFormatError(
                    f"the PEM text holds no {label.decode().lower()}",
                    hint="encrypted and traditional private keys have to be converted first",
                )
            return base64.b64decode(b"".join(pem["body"].split()), validate=True)
        return base64.b64decode(data, validate=True) if isinstance(encoded, str) else data


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
