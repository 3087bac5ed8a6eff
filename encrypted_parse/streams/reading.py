"""Decrypting files: nothing appears at the target before tag and signature hold (section 5.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from encrypted_parse._translating import translating
from encrypted_parse.crypto import PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope.header import MAX_HEADER_BYTES, MIN_MESSAGE_BYTES, Form, Header
from encrypted_parse.envelope.old_signed import read_container, verify_container
from encrypted_parse.envelope.padding import LENGTH_BYTES, MAX_PADDING_BYTES, unpad
from encrypted_parse.envelope.plain import require_direct_key
from encrypted_parse.envelope.recipient import open_stanza
from encrypted_parse.envelope.signed import (
    MAX_FOOTER_BYTES,
    KeySchedule,
    body_associated_data,
    require_signed_form,
    verify_footer,
)
from encrypted_parse.errors import MalformedEnvelopeError, TamperedEnvelopeError
from encrypted_parse.streams.hashing import StreamHasher
from encrypted_parse.streams.source import CHUNK_BYTES, File, Progress, Source, opened
from encrypted_parse.streams.target import replaced

_LONGEST_PADDING = MAX_PADDING_BYTES + LENGTH_BYTES


@front_door
def decrypt_file(
    source: File,
    target: File,
    *,
    identities: Sequence[PrivateKey],
    progress: Progress | None = None,
) -> None:
    """Decrypt *source* of any form into *target*, **whoever wrote it**.

    Args:
        source: A path, or a file object that is read from where it stands to its end.
        target: A path, replaced (mode 0600) when everything was verified; or a file object, to
            which nothing is written before that.
        identities: Our private keys.
        progress: Called with the bytes read so far and the size of the source, if known.

    Raises:
        MalformedEnvelopeError: Not an envelope; decided before any key is used.
        NotARecipientError: Well formed, but no stanza names one of our keys.
        TamperedEnvelopeError: Our stanza, the body, the footer or the padding failed its check.
        OSError: Reading or writing failed; a path is left as it was.
    """
    with opened(source, progress) as stream, replaced(target, private=True) as file:
        header = _read_header(stream)
        if header.form is Form.SIGN_AND_ENCRYPT:
            _read_signed(stream, file, header, identities, None)
        else:
            _read_plain(stream, file, header, identities, None)


@front_door
def decrypt_then_verify_file(
    source: File,
    target: File,
    *,
    identities: Sequence[PrivateKey],
    signers: Sequence[PublicKey],
    progress: Progress | None = None,
) -> None:
    """Decrypt *source* of the old signed form (E3Kit's `encryptFile`) into *target*.

    This form's files do not name their signer: each of *signers* is tried. Arguments and errors
    as `decrypt_file`, and:

    Raises:
        NotSignedError: Of a form without this kind of signature. Never read as another form.
        SignerNotFoundError: Signed, but by none of *signers*.
    """
    with opened(source, progress) as stream, replaced(target, private=True) as file:
        header = _read_header(stream)
        container = read_container(header)
        with StreamHasher(container.digest) as hasher:
            _read_plain(stream, file, header, identities, hasher)
            verify_container(header, container, hasher.digest(), signers)


@front_door
def decrypt_and_verify_file(
    source: File,
    target: File,
    *,
    identities: Sequence[PrivateKey],
    signers: Sequence[PublicKey],
    progress: Progress | None = None,
) -> None:
    """Decrypt *source* of the signed form (E3Kit's `authEncryptFile`) into *target*.

    Arguments and errors as `decrypt_file`, and:

    Raises:
        NotSignedError: Of a form without this kind of signature. Never read as another form.
        SignerNotFoundError: Signed, but by none of *signers*.
    """
    with opened(source, progress) as stream, replaced(target, private=True) as file:
        header = _read_header(stream)
        with StreamHasher(require_signed_form(header)) as hasher:
            footer = _read_signed(stream, file, header, identities, hasher)
            verify_footer(footer, hasher.digest(), signers)


@front_door
def decrypt_shared_file(
    source: File,
    target: File,
    *,
    file_key: PrivateKey,
    signers: Sequence[PublicKey],
    progress: Progress | None = None,
) -> None:
    """Decrypt what `encrypt_shared_file` wrote, with the one-time key that it returned.

    Arguments and errors as `decrypt_and_verify_file`.
    """
    decrypt_and_verify_file(
        source, target, identities=[file_key], signers=signers, progress=progress
    )


def _read_header(source: Source) -> Header:
    start = source.read(MIN_MESSAGE_BYTES)
    with translating(
        ValueError, to=lambda: MalformedEnvelopeError("not an envelope: the header does not parse")
    ):
        length = der.sequence_length(start[:8], MAX_HEADER_BYTES)
    if length < MIN_MESSAGE_BYTES:
        raise MalformedEnvelopeError("not an envelope: the header is too short")
    return Header.from_bytes(start + source.read(length - len(start)))


def _read_signed(
    source: Source,
    file: BinaryIO,
    header: Header,
    identities: Sequence[PrivateKey],
    hasher: StreamHasher | None,
) -> bytes:
    """Decrypt the body into *file* and return the footer; its signature is still to be checked."""
    if header.data_size is None or header.digest is None:
        raise MalformedEnvelopeError("not an envelope: the header lacks a field")
    schedule = KeySchedule(open_stanza(header, identities))
    schedule.require_nonce(header)
    cipher = p.GcmDecryptor(
        schedule.body_key, schedule.body_nonce, body_associated_data(header.digest)
    )
    body = _Body(file, cipher, hasher, padded=header.padded)
    for chunk in source.chunks(header.data_size):
        body.decrypt(chunk)
    tag = source.read(p.GCM_TAG_BYTES)
    if len(tag) != p.GCM_TAG_BYTES:
        raise TamperedEnvelopeError("the body is cut off")
    cipher.finish(tag)
    opened_footer = schedule.open_footer(source.read(MAX_FOOTER_BYTES + 1))
    body.finish()
    return opened_footer


def _read_plain(
    source: Source,
    file: BinaryIO,
    header: Header,
    identities: Sequence[PrivateKey],
    hasher: StreamHasher | None,
) -> None:
    require_direct_key(header)
    cipher = p.GcmDecryptor(open_stanza(header, identities), header.nonce)
    body = _Body(file, cipher, hasher, padded=header.padded)
    held = _HeldBack(p.GCM_TAG_BYTES, body.decrypt)
    for chunk in source.chunks():
        held.push(chunk)
    if len(held.rest) != p.GCM_TAG_BYTES:
        raise TamperedEnvelopeError("the body is cut off")
    cipher.finish(held.rest)
    body.finish()


class _Body:
    """Decrypts into a private file; what may be padding is held back until the tag was checked."""

    def __init__(
        self, file: BinaryIO, cipher: p.GcmDecryptor, hasher: StreamHasher | None, *, padded: bool
    ) -> None:
        self._file = file
        self._cipher = cipher
        self._hasher = hasher
        self._padded = padded
        self._buffers = [memoryview(bytearray(CHUNK_BYTES)) for _ in range(2)]
        self._held = _HeldBack(_LONGEST_PADDING if padded else 0, self._release)

    def decrypt(self, chunk: memoryview) -> None:
        """Decrypt the next piece, of 1 MiB at the most."""
        self._buffers.reverse()  # the other one may still be hashed
        buffer = self._buffers[0]
        self._held.push(buffer[: self._cipher.update_into(chunk, buffer)])

    def finish(self) -> None:
        """Remove the padding of a body whose tag holds.

        Raises:
            TamperedEnvelopeError: The padding is malformed.
        """
        if self._padded:
            self._release(memoryview(unpad(self._held.rest)))

    def _release(self, plaintext: memoryview) -> None:
        if self._hasher is not None:
            self._hasher.update(plaintext)
        while plaintext:
            plaintext = plaintext[self._file.write(plaintext) :]


class _HeldBack:
    """Passes a stream on, but for its last *count* bytes, which stay in `rest`."""

    def __init__(self, count: int, emit: Callable[[memoryview], None]) -> None:
        self._count = count
        self._emit = emit
        self.rest = b""

    def push(self, data: memoryview) -> None:
        """Take the next piece."""
        if not self._count:
            self._emit(data)
            return
        if len(data) < self._count:
            data = memoryview(self.rest + bytes(data))
        elif self.rest:
            self._emit(memoryview(self.rest))
        surplus = len(data) - self._count
        if surplus > 0:
            self._emit(data[:surplus])
        self.rest = bytes(data[max(0, surplus) :])
