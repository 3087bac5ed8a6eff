"""Random padding: hides the length of a plaintext within frames of 160 bytes (section 5.4)."""

from __future__ import annotations

from encrypted_parse.crypto import primitives as p
from encrypted_parse.errors import TamperedEnvelopeError

FRAME_BYTES = 160
LENGTH_BYTES = 4
MAX_PADDING_BYTES = 256  # other platforms' frames; npm readers cannot remove more than 160


def padding_bytes(plaintext_bytes: int) -> int:
    """Return how many random bytes (1 to 160) follow a plaintext of that length."""
    return FRAME_BYTES - (plaintext_bytes + LENGTH_BYTES) % FRAME_BYTES


def padded_bytes(plaintext_bytes: int) -> int:
    """Return the length of the padded plaintext, a multiple of 160."""
    return plaintext_bytes + padding_bytes(plaintext_bytes) + LENGTH_BYTES


def pad(plaintext: bytes, random: p.RandomSource = p.random_bytes) -> bytes:
    """Return plaintext || n random bytes || n as four bytes little-endian."""
    return plaintext + suffix(len(plaintext), random)


def suffix(plaintext_bytes: int, random: p.RandomSource = p.random_bytes) -> bytes:
    """Return what follows a plaintext of that length: n random bytes || n."""
    count = padding_bytes(plaintext_bytes)
    return random(count) + count.to_bytes(LENGTH_BYTES, "little")


def unpad(padded: bytes) -> bytes:
    """Return the plaintext of an *authenticated* padded one.

    Raises:
        TamperedEnvelopeError: The count is impossible. npm's readers accept that silently; a
            malformed length is never right, so we refuse (section 5.4).
    """
    count = int.from_bytes(padded[-LENGTH_BYTES:], "little")
    end = len(padded) - LENGTH_BYTES - count
    if not 1 <= count <= MAX_PADDING_BYTES or end < 0:
        raise TamperedEnvelopeError("the padding is malformed")
    return padded[:end]
