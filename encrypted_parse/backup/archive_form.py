"""The bytes of a key archive, version 2 (docs/spec/archive.md): pure, strict, canonical.

The first of the keys inside is the user's newest one. It alone signs the archive, and it and the
recovery code alone open it; a reader compares both with what is inside, so that nothing else can
be put in their places.
"""

from __future__ import annotations

from typing import NoReturn

from attrs import field, frozen

from encrypted_parse._translating import translating
from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.keys import KEY_ID_BYTES, SEED_BYTES, SIGNATURE_BYTES
from encrypted_parse.crypto.labels import Label, encode
from encrypted_parse.crypto.receiving import (
    CONTENT_KEY_BYTES,
    PUBLIC_BYTES,
    WRAP_BYTES,
    ReceivingKey,
    ReceivingPublicKey,
)
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    KeyFormatError,
    MalformedBackupError,
    NotARecipientError,
    NotPicklableError,
    SignatureError,
    TamperedEnvelopeError,
)

MAX_KEYS = 256
MAX_COUNTER = 2**53 - 1  # what every language counts to exactly, and SQLite keeps
MAX_BYTES = 16 * 1024  # two wraps, 256 keys and the longest user id have 11.5 KiB
MAX_USER_ID_BYTES = 255
_HEAD = b"\xa1\x02\x01"  # archive, version 2, suite 1
_OLD_FORM = b"\x30"  # version 1 was an E3Kit envelope: DER
_MAX_WRAPS = 2
_REST_BYTES = p.GCM_NONCE_BYTES + p.GCM_TAG_BYTES + SIGNATURE_BYTES  # and a body
_KEY_KINDS = {KeyType.ED25519: 1, KeyType.CURVE25519: 2}
_KINDS_OF = {kind: key_type for key_type, kind in _KEY_KINDS.items()}


@front_door
@frozen
class ArchiveContent:
    """What is inside.

    Attributes:
        counter: Grows with every writing, from 1.
        keys: The user's private keys, each once; the first is the newest one.
        recovery_key: The public half of the recovery code; None if there is no code.
    """

    counter: int
    keys: tuple[PrivateKey, ...] = field(repr=False)
    recovery_key: ReceivingPublicKey | None = None

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("archived keys are not written into pickles")


@front_door
def is_old_form(sealed: bytes) -> bool:
    """Tell whether this is an archive of version 1, which nothing reads any more."""
    return sealed.startswith(_OLD_FORM)


@front_door
def is_for_a_code(sealed: bytes) -> bool:
    """Tell whether an archive says that a recovery code opens it; unsigned, so a hint at most."""
    try:
        return len(_wraps(sealed)[0]) == _MAX_WRAPS
    except MalformedBackupError:
        return False


@front_door
def seal(content: ArchiveContent, user_id: str, random: p.RandomSource = p.random_bytes) -> bytes:
    """Return the archive of *user_id*, signed by the newest key, for it and the recovery code.

    Raises:
        KeyFormatError: The newest key is not Ed25519, so it cannot sign.
        ValueError: No keys, more than 256, one twice, or a counter that is none.
    """
    newest = content.keys[0] if content.keys else None
    if newest is None or len(content.keys) > MAX_KEYS or len(set(content.keys)) < len(content.keys):
        raise ValueError("an archive holds 1 to 256 keys, each once")
    if not 1 <= content.counter <= MAX_COUNTER:
        raise ValueError("an archive's counter is 1 to 2^53 - 1")
    readers = [ReceivingKey.of(newest).public_key]
    if content.recovery_key is not None:
        readers.append(content.recovery_key)
    content_key, info = random(CONTENT_KEY_BYTES), _info(user_id)
    prefix = _HEAD + bytes([len(readers)])
    for reader in readers:
        prefix += reader.key_id + reader.wrap(content_key, info)
    nonce, body = random(p.GCM_NONCE_BYTES), _body(content, user_id)
    unsigned = prefix + nonce + p.gcm_encrypt(content_key, nonce, body, prefix)
    return unsigned + newest.sign(_signed(unsigned, user_id, newest.public_key))


@front_door
def open_archive(sealed: bytes, user_id: str, key: ReceivingKey) -> ArchiveContent:
    """Open an archive of *user_id* with the newest key inside, or with its recovery code.

    It was signed by the first key inside, which is all that is promised: whether that one is the
    user's newest is the caller's question.

    Raises:
        NotARecipientError: It is well formed, but not for *key*.
        MalformedBackupError: Not an archive of this user, or one that was altered.
    """
    # (1) shape   (2) our wrap   (3) the body   (4) the signature   (5) wraps and body agree
    wraps, at = _wraps(sealed)  # (1)
    wrapped = next((wrap for key_id, wrap in wraps if key_id == key.public_key.key_id), None)
    if wrapped is None:  # (2)
        raise NotARecipientError("the key archive is not for this key")
    unsigned, signature = sealed[:-SIGNATURE_BYTES], sealed[-SIGNATURE_BYTES:]
    nonce, ciphertext = unsigned[at : at + p.GCM_NONCE_BYTES], unsigned[at + p.GCM_NONCE_BYTES :]
    with translating(
        TamperedEnvelopeError, SignatureError, KeyFormatError, ValueError, to=_altered
    ):
        content_key = key.unwrap(wrapped, _info(user_id))
        content = _read_body(p.gcm_decrypt(content_key, nonce, ciphertext, sealed[:at]), user_id)
        newest = content.keys[0].public_key  # (3)
        newest.verify(signature, _signed(unsigned, user_id, newest))  # (4)
        expected = [ReceivingKey.of(content.keys[0]).public_key, content.recovery_key]
        if [key_id for key_id, _ in wraps] != [one.key_id for one in expected if one is not None]:
            raise ValueError("for others than it says")  # (5)
        if key.public_key not in expected:
            raise ValueError("for others than it says")
    return content


def _altered() -> MalformedBackupError:
    return MalformedBackupError("the key archive was altered, or was not written by this user")


def _wraps(sealed: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Return the wraps with their key ids, and where the nonce begins."""
    if sealed[:1] == _HEAD[:1] and len(sealed) > len(_HEAD) and not sealed.startswith(_HEAD):
        raise MalformedBackupError(
            "the key archive has a newer form", hint="use the newest version of this package"
        )
    count = sealed[len(_HEAD)] if len(sealed) > len(_HEAD) else 0
    at, step = len(_HEAD) + 1, KEY_ID_BYTES + WRAP_BYTES
    end = at + count * step
    if (
        not sealed.startswith(_HEAD)
        or not 1 <= count <= _MAX_WRAPS
        or not end + p.GCM_NONCE_BYTES + p.GCM_TAG_BYTES + SIGNATURE_BYTES
        < len(sealed)
        <= MAX_BYTES
    ):
        raise MalformedBackupError("the service keeps something else in the key archive's place")
    pieces = [sealed[start : start + step] for start in range(at, end, step)]
    return [(piece[:KEY_ID_BYTES], piece[KEY_ID_BYTES:]) for piece in pieces], end


def _body(content: ArchiveContent, user_id: str) -> bytes:
    name = user_id.encode("ascii")
    recovery = b"" if content.recovery_key is None else content.recovery_key.to_bytes()
    pieces = [
        bytes([len(name)]),
        name,
        content.counter.to_bytes(8, "big"),
        bytes([bool(recovery)]),
        recovery,
        len(content.keys).to_bytes(2, "big"),
    ]
    for key in content.keys:
        pieces += [bytes([_KEY_KINDS[key.key_type]]), key.to_bytes()[-SEED_BYTES:]]
    return b"".join(pieces)


def _read_body(body: bytes, user_id: str) -> ArchiveContent:
    """Read what `_body` wrote; a ValueError or KeyFormatError tells of anything else."""
    rest = memoryview(body)

    def take(count: int) -> bytes:
        nonlocal rest
        if len(rest) < count:
            raise ValueError("cut off")
        piece, rest = bytes(rest[:count]), rest[count:]
        return piece

    if take(take(1)[0]) != user_id.encode("ascii"):
        raise ValueError("another user's")
    counter, flag = int.from_bytes(take(8), "big"), take(1)[0]
    if not 1 <= counter <= MAX_COUNTER or flag > 1:
        raise ValueError("an impossible number")
    recovery_key = ReceivingPublicKey.from_bytes(take(PUBLIC_BYTES)) if flag else None
    count = int.from_bytes(take(2), "big")
    if not 1 <= count <= MAX_KEYS or len(rest) != count * (1 + SEED_BYTES):
        raise ValueError("no keys, too many, or leftovers")
    keys = []
    for _ in range(count):
        kind = take(1)[0]
        if kind not in _KINDS_OF:
            raise ValueError("an unknown kind of key")
        keys.append(PrivateKey(_KINDS_OF[kind], take(SEED_BYTES)))
    if len(set(keys)) < count:
        raise ValueError("a key twice")
    return ArchiveContent(counter, tuple(keys), recovery_key)


def _info(user_id: str) -> bytes:
    return encode(Label.ARCHIVE_WRAP, user_id.encode("ascii"))


def _signed(unsigned: bytes, user_id: str, signer: PublicKey) -> bytes:
    digest = p.digest(encode(Label.ARCHIVE, user_id.encode("ascii"), unsigned), "sha256")
    return encode(Label.ARCHIVE_SIGN, signer.raw, digest)
