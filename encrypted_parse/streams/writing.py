"""Encrypting files: the forms of E3Kit's stream and file calls (section 5.6).

The bytes are those of the one-shot forms; how the source was cut into pieces does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.crypto import primitives as p
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import asn1, padding
from encrypted_parse.envelope.header import MAX_DATA_BYTES, build_header
from encrypted_parse.envelope.meanings import MAX_MEANING_BYTES
from encrypted_parse.envelope.old_signed import signature_params
from encrypted_parse.envelope.signature import sign_digest
from encrypted_parse.envelope.signed import (
    KeySchedule,
    body_associated_data,
    build_footer,
    require_signing_key,
)
from encrypted_parse.envelope.stanza import CONTENT_KEY_BYTES, wrap_for_all
from encrypted_parse.errors import PlaintextTooLongError, SourceSizeError
from encrypted_parse.streams.hashing import StreamHasher
from encrypted_parse.streams.signing import digest_source
from encrypted_parse.streams.source import CHUNK_BYTES, File, Progress, Source, opened
from encrypted_parse.streams.target import replaced

Inspect = Callable[[bytes], None]
"""Looks at the beginning of what is to be signed, and raises if that must not be."""


@front_door
def encrypt_file(
    source: File,
    target: File,
    *,
    recipients: Sequence[PublicKey],
    pad: bool = False,
    progress: Progress | None = None,
) -> None:
    """Encrypt *source* into *target*, **unsigned**: the form of `encrypt`, up to 64 GiB.

    Args:
        source: A path, or a file object that is read from where it stands.
        target: A path, replaced when all is written; or a file object.
        recipients: 1 to 1,024 keys.
        pad: Hide the length within steps of 160 bytes; E3Kit does not for this form.
        progress: Called with the bytes read so far and the size of the source, if known.

    Raises:
        EnvelopeError: No recipient, or more than 1,024.
        PlaintextTooLongError: The source is longer than the format can carry.
        OSError: Reading or writing failed; a path is left as it was.
    """
    with opened(source, progress) as stream, replaced(target, private=False) as file:
        _write_plain(stream, file, recipients, (), pad=pad)


@front_door
def sign_then_encrypt_file(  # noqa: PLR0913 - keywords of one call that writes one file
    source: File,
    target: File,
    *,
    signer: PrivateKey,
    recipients: Sequence[PublicKey],
    inspect: Inspect | None = None,
    progress: Progress | None = None,
) -> None:
    """Encrypt *source* into *target* in the old signed form: E3Kit's `encryptFile`.

    Reads the source twice, and refuses one that changed in between. The signer's identifier is
    not in the message, as E3Kit's stream cipher leaves it out. New files take
    `sign_and_encrypt_file`. Arguments and errors as `encrypt_file`, *inspect* as
    `sign_and_encrypt_file`, and:

    Raises:
        SourceSizeError: The source cannot be read twice, or changed between the passes.
        KeyFormatError: *signer* cannot sign.
    """
    require_signing_key(signer)
    with (
        opened(source, progress) as stream,
        replaced(target, private=False) as file,
        StreamHasher() as hasher,
    ):
        _look_at(stream, inspect)
        stream.expect_passes(2)
        digest = digest_source(stream)
        stream.rewind()
        params = signature_params(sign_digest(digest, signer), None)
        _write_plain(stream, file, recipients, params, pad=False, hasher=hasher)
        if hasher.digest() != digest:
            raise SourceSizeError("the source changed while it was read", hint="try again")


@front_door
def sign_and_encrypt_file(  # noqa: PLR0913 - keywords of one call that writes one file
    source: File,
    target: File,
    *,
    signer: PrivateKey,
    recipients: Sequence[PublicKey],
    pad: bool = True,
    size: int | None = None,
    inspect: Inspect | None = None,
    progress: Progress | None = None,
) -> None:
    """Sign and encrypt *source* into *target*: E3Kit's `authEncryptFile`, up to 4 GiB.

    Args:
        source: A path, or a file object that is read from where it stands.
        target: A path, replaced when all is written; or a file object.
        signer: Its public key verifies; a recipient only if named.
        recipients: 1 to 1,024 keys.
        pad: Hide the length within steps of 160 bytes.
        size: The source's length in bytes, needed only where it cannot tell (a pipe, a socket).
        inspect: Called with the beginning of the source before anything is written; what it
            raises ends the call. Without it **anything is signed**, cards and tickets included.
        progress: Called with the bytes read so far and the size of the source, if known.

    Raises:
        EnvelopeError: No recipient, or more than 1,024.
        PlaintextTooLongError: Over 4 GiB, for which this form has no number.
        SourceSizeError: The size is not known, or the source turned out to have another.
        KeyFormatError: *signer* cannot sign, or a recipient's key is unusable.
        OSError: Reading or writing failed; a path is left as it was.
    """
    require_signing_key(signer)
    with (
        opened(source, progress) as stream,
        replaced(target, private=False) as file,
        StreamHasher() as hasher,
    ):
        _look_at(stream, inspect)
        total = stream.size if size is None else size
        if total is None:
            raise SourceSizeError("the source cannot tell its size", hint="pass size=")
        data_size = padding.padded_bytes(total) if pad else total
        if data_size > MAX_DATA_BYTES:
            limit = MAX_DATA_BYTES - padding.FRAME_BYTES - padding.LENGTH_BYTES
            raise PlaintextTooLongError(total, limit, hint="encrypt_file() takes 64 GiB, unsigned")
        content_key = p.random_bytes(CONTENT_KEY_BYTES)
        schedule = KeySchedule(content_key)
        stanzas = wrap_for_all(recipients, content_key)
        _write(file, build_header(stanzas, schedule.body_nonce, data_size=data_size, padded=pad))
        cipher = p.GcmEncryptor(schedule.body_key, schedule.body_nonce, body_associated_data())
        _write_body(stream, file, cipher, total, hasher=hasher, pad=pad)
        _write(file, schedule.seal_footer(build_footer(hasher.digest(), signer)))


@front_door
def encrypt_shared_file(  # noqa: PLR0913 - as sign_and_encrypt_file
    source: File,
    target: File,
    *,
    signer: PrivateKey,
    pad: bool = True,
    inspect: Inspect | None = None,
    progress: Progress | None = None,
) -> PrivateKey:
    """Sign and encrypt *source* for whoever is given the returned one-time key.

    E3Kit's `encryptSharedFile`; its `fileKey` is the key's `to_bytes()`. Whoever holds the key
    reads the file: send it encrypted, apart from the file. Arguments and errors as
    `sign_and_encrypt_file`.
    """
    file_key = PrivateKey.generate()
    sign_and_encrypt_file(
        source,
        target,
        signer=signer,
        recipients=[file_key.public_key],
        pad=pad,
        inspect=inspect,
        progress=progress,
    )
    return file_key


def _look_at(source: Source, inspect: Inspect | None) -> None:
    if inspect is not None:
        inspect(source.peek(MAX_MEANING_BYTES))


def _write_plain(  # noqa: PLR0913 - inner half of two public calls
    source: Source,
    file: BinaryIO,
    recipients: Sequence[PublicKey],
    params: Sequence[asn1.CustomParam],
    *,
    pad: bool,
    hasher: StreamHasher | None = None,
) -> None:
    limit = p.GCM_MAX_BYTES - padding.FRAME_BYTES - padding.LENGTH_BYTES
    if source.size is not None and source.size > limit:
        raise PlaintextTooLongError(source.size, limit)
    content_key = p.random_bytes(CONTENT_KEY_BYTES)
    nonce = p.random_bytes(p.GCM_NONCE_BYTES)
    stanzas = wrap_for_all(recipients, content_key)
    _write(file, build_header(stanzas, nonce, padded=pad, params=params))
    cipher = p.GcmEncryptor(content_key, nonce)
    _write_body(source, file, cipher, source.size, hasher=hasher, pad=pad)


def _write_body(  # noqa: PLR0913 - inner half of two public calls
    source: Source,
    file: BinaryIO,
    cipher: p.GcmEncryptor,
    size: int | None,
    *,
    hasher: StreamHasher | None,
    pad: bool,
) -> None:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    count = 0
    for chunk in source.chunks():
        count += len(chunk)
        if count > (p.GCM_MAX_BYTES - padding.FRAME_BYTES if size is None else size):
            break
        if hasher is not None:
            hasher.update(chunk)
        _write(file, buffer[: cipher.update_into(chunk, buffer)])
    if size is not None and count != size:
        raise SourceSizeError(
            f"the source was to have {size} bytes and has {'more' if count > size else count}",
            hint="do not write to it meanwhile",
        )
    if size is None and count > p.GCM_MAX_BYTES - padding.FRAME_BYTES:
        raise PlaintextTooLongError(count, p.GCM_MAX_BYTES - padding.FRAME_BYTES)
    if pad:
        tail = padding.suffix(count)
        _write(file, buffer[: cipher.update_into(tail, buffer)])
    _write(file, cipher.finish())


def _write(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of *data*: an unbuffered file may take less at once."""
    rest = memoryview(data)
    while rest:
        written = file.write(rest)
        if written is None:
            raise BlockingIOError("the target is not ready, and a stream is written by waiting")
        rest = rest[written:]
