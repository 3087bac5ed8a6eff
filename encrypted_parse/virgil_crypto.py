"""The calls of npm's `virgil-crypto` in snake_case, so that its documentation carries over.

```python
from encrypted_parse import virgil_crypto as vc

alice, bob = vc.generate_key_pair(), vc.generate_key_pair()
envelope = vc.sign_and_encrypt(b"hi", alice.private_key, [bob.public_key])
assert vc.decrypt_and_verify(envelope, bob.private_key, [alice.public_key]) == b"hi"
```

Arguments have E3Kit's order. Data are bytes; keys are values that show no secret. What differs from
the JavaScript: `verify` raises instead of returning False; a reader recognises long identifiers by
itself; what JavaScript accepts against the format (impossible padding, altered headers) raises.

**These calls sign anything.** A card, a group's ticket and a message are signed alike in E3Kit, so
whoever lets a user's key sign bytes that somebody else chose may have signed a card of the user's:
for content of users take E3Kit's verbs, which refuse such bytes, or ask
`envelope.refuse_other_meaning` first.

docs/formats.md says which call of which E3Kit writes which form; sections are those of the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from encrypted_parse import envelope
from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.imports import import_private_key, import_public_key
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import (
    DetachedEnvelope,
    GroupSession,
    GroupTicket,
    group_session_id,
)
from encrypted_parse.errors import EncryptedParseError
from encrypted_parse.streams import (
    decrypt_and_verify_file,
    decrypt_file,
    decrypt_shared_file,
    decrypt_then_verify_file,
    encrypt_file,
    encrypt_shared_file,
    sign_and_encrypt_file,
    sign_file,
    sign_then_encrypt_file,
    verify_file,
)

__all__ = [
    "DetachedEnvelope",
    "GroupSession",
    "GroupTicket",
    "KeyPair",
    "KeyType",
    "PrivateKey",
    "PublicKey",
    "calculate_hash",
    "card_id",
    "create_group_session",
    "decrypt",
    "decrypt_and_verify",
    "decrypt_and_verify_all",
    "decrypt_and_verify_file",
    "decrypt_file",
    "decrypt_shared_file",
    "decrypt_then_verify",
    "decrypt_then_verify_detached",
    "decrypt_then_verify_file",
    "encrypt",
    "encrypt_file",
    "encrypt_shared_file",
    "export_private_key",
    "export_public_key",
    "extract_public_key",
    "fingerprint",
    "generate_key_pair",
    "group_session_id",
    "import_group_session",
    "import_private_key",
    "import_public_key",
    "sign",
    "sign_and_encrypt",
    "sign_and_encrypt_file",
    "sign_file",
    "sign_then_encrypt",
    "sign_then_encrypt_detached",
    "sign_then_encrypt_file",
    "verify",
    "verify_file",
]

PublicKeys = PublicKey | Sequence[PublicKey]


class KeyPair(NamedTuple):
    """Both halves; the private one knows the public one."""

    private_key: PrivateKey
    public_key: PublicKey


# --- keys (section 2) -----------------------------------------------------------------------


@front_door
def generate_key_pair(key_type: KeyType = KeyType.ED25519) -> KeyPair:
    """Make a fresh key pair. `KeyType.CURVE25519` makes one that receives but cannot sign."""
    private_key = PrivateKey.generate(key_type)
    return KeyPair(private_key, private_key.public_key)


@front_door
def export_private_key(private_key: PrivateKey) -> bytes:
    """Return the **secret** 48-byte PKCS#8 DER that E3Kit stores (as base64)."""
    return private_key.to_bytes()


@front_door
def export_public_key(public_key: PublicKey) -> bytes:
    """Return the 44-byte SubjectPublicKeyInfo DER."""
    return public_key.to_bytes()


@front_door
def extract_public_key(private_key: PrivateKey) -> PublicKey:
    """Return the public half."""
    return private_key.public_key


@front_door
def fingerprint(public_key: PublicKey) -> str:
    """Return 64 hexadecimal digits in groups of four, for people to compare.

    SHA-256 of the canonical encoding, which is also E3Kit's long identifier (section 2.2).
    """
    digits = public_key.long_key_id.hex()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


# --- hashes, signatures, cards (sections 7 and 8) -------------------------------------------


@front_door
def calculate_hash(data: bytes, algorithm: str = "sha512") -> bytes:
    """Return the digest of *data*: sha224, sha256, sha384 or sha512.

    Raises:
        ValueError: Another algorithm.
    """
    if algorithm not in p.DIGEST_NAMES:
        raise ValueError(f"unknown digest {algorithm!r}; known are {', '.join(p.DIGEST_NAMES)}")
    return p.digest(data, algorithm)


@front_door
def card_id(content_snapshot: bytes) -> str:
    """Return the id of a card, 64 hexadecimal digits, from its snapshot exactly as received."""
    return envelope.card_id(content_snapshot)


@front_door
def sign(data: bytes, private_key: PrivateKey) -> bytes:
    """Return the 83-byte signature container of *private_key* over *data*; deterministic.

    E3Kit's `calculateSignature`. Signs anything, cards and tickets included: see above.

    Raises:
        SignatureError: A Curve25519 key, which cannot sign.
    """
    return envelope.sign(data, private_key)


@front_door
def verify(data: bytes, signature: bytes, public_key: PublicKey) -> None:
    """Check a signature container over *data*. E3Kit's `verifySignature`, which returns a bool.

    Raises:
        SignatureError: It does not hold, or is not a signature container.
    """
    envelope.verify(data, signature, public_key)


# --- messages (section 5) -------------------------------------------------------------------


@front_door
def encrypt(
    data: bytes,
    public_keys: PublicKeys,
    *,
    enable_padding: bool = False,
    use_sha256_identifiers: bool = False,
) -> bytes:
    """Encrypt *data* for *public_keys*, **unsigned** (form 5.1).

    Raises:
        EnvelopeError: No recipient, more than 1,024, or over 2 GiB.
        KeyFormatError: A key is unusable.
    """
    return envelope.encrypt(
        data,
        recipients=_several(public_keys),
        pad=enable_padding,
        long_ids=use_sha256_identifiers,
    )


@front_door
def decrypt(encrypted_data: bytes, private_key: PrivateKey) -> bytes:
    """Decrypt an envelope of any form, **whoever wrote it**; a signature is not looked at.

    Raises:
        EnvelopeError: See `envelope.decrypt`.
    """
    return envelope.decrypt(encrypted_data, identities=[private_key])


@front_door
def sign_then_encrypt(
    data: bytes,
    private_key: PrivateKey,
    public_keys: PublicKeys,
    *,
    enable_padding: bool = False,
    use_sha256_identifiers: bool = False,
) -> bytes:
    """Sign and encrypt in the old form (5.2), which E3Kit's `encrypt` writes.

    Its header shows the signature to everybody; new data takes `sign_and_encrypt`.

    Raises:
        EnvelopeError: No recipient, more than 1,024, or over 2 GiB.
        KeyFormatError: A key is unusable.
    """
    return envelope.sign_then_encrypt(
        data,
        signer=private_key,
        recipients=_several(public_keys),
        pad=enable_padding,
        long_ids=use_sha256_identifiers,
    )


@front_door
def decrypt_then_verify(
    encrypted_data: bytes, private_key: PrivateKey, public_keys: PublicKeys
) -> bytes:
    """Decrypt the old form (5.2), written by one of *public_keys*.

    Raises:
        EnvelopeError: See `envelope.decrypt_then_verify`.
    """
    return envelope.decrypt_then_verify(
        encrypted_data, identities=[private_key], signers=_several(public_keys)
    )


@front_door
def sign_then_encrypt_detached(
    data: bytes,
    private_key: PrivateKey,
    public_keys: PublicKeys,
    *,
    enable_padding: bool = False,
) -> DetachedEnvelope:
    """Sign and encrypt in the old form, header and body apart: key backups, group tickets.

    Raises:
        EnvelopeError: No recipient, more than 1,024, or over 2 GiB.
        KeyFormatError: A key is unusable.
    """
    return envelope.sign_then_encrypt_detached(
        data, signer=private_key, recipients=_several(public_keys), pad=enable_padding
    )


@front_door
def decrypt_then_verify_detached(
    encrypted_data: bytes,
    metadata: bytes,
    private_key: PrivateKey,
    public_keys: PublicKeys,
) -> bytes:
    """Decrypt the old form in two parts, written by one of *public_keys*.

    Raises:
        EnvelopeError: See `envelope.decrypt_then_verify`.
    """
    return envelope.decrypt_then_verify_detached(
        DetachedEnvelope(metadata, encrypted_data),
        identities=[private_key],
        signers=_several(public_keys),
    )


@front_door
def sign_and_encrypt(
    data: bytes,
    private_key: PrivateKey,
    public_keys: PublicKeys,
    *,
    enable_padding: bool = False,
    use_sha256_identifiers: bool = False,
) -> bytes:
    """Sign and encrypt (5.3), as E3Kit's `authEncrypt` does, which also pads.

    Raises:
        EnvelopeError: No recipient, more than 1,024, or over 2 GiB.
        KeyFormatError: A key is unusable.
    """
    return envelope.sign_and_encrypt(
        data,
        signer=private_key,
        recipients=_several(public_keys),
        pad=enable_padding,
        long_ids=use_sha256_identifiers,
    )


@front_door
def decrypt_and_verify(
    encrypted_data: bytes, private_key: PrivateKey, public_keys: PublicKeys
) -> bytes:
    """Decrypt the signed form (5.3), written by one of *public_keys*.

    Raises:
        EnvelopeError: See `envelope.decrypt_and_verify`.
    """
    return envelope.decrypt_and_verify(
        encrypted_data, identities=[private_key], signers=_several(public_keys)
    )


@front_door
def decrypt_and_verify_all(
    encrypted_data: Sequence[bytes], private_key: PrivateKey, public_keys: PublicKeys
) -> list[bytes | EncryptedParseError]:
    """Do as `decrypt_and_verify` for many envelopes, faster: each one's plaintext, or its error.

    The errors stand in the list where the plaintexts would; none is raised.
    """
    return envelope.decrypt_and_verify_all(
        encrypted_data, identities=[private_key], signers=_several(public_keys)
    )


# --- groups (section 9) ---------------------------------------------------------------------


@front_door
def create_group_session(group_id: str | bytes) -> GroupSession:
    """Start a group session at epoch 0. E3Kit's `generateGroupSession`.

    Raises:
        EnvelopeError: *group_id* has fewer than 10 bytes.
    """
    return GroupSession.create(group_id)


@front_door
def import_group_session(tickets: Sequence[bytes]) -> GroupSession:
    """Read the tickets that `GroupSession.to_tickets`, or E3Kit's `export`, returned.

    Raises:
        MalformedEnvelopeError: One is not a ticket, or they do not belong together.
    """
    return GroupSession.from_tickets(tickets)


def _several(public_keys: PublicKeys) -> Sequence[PublicKey]:
    return [public_keys] if isinstance(public_keys, PublicKey) else public_keys
