"""Labels: what each signature, digest and derived key of ours is for.

Everything that this package itself signs, hashes or derives begins with a label of its own, in one
encoding, so that no such string can be taken for another, for a message of a user, or for
anything that E3Kit signs. E3Kit signs digests of at most 64 bytes, and ciphertext of group
messages, which has at least 176; what we sign is longer than the one and shorter than the other
(docs/spec/labels.md lists the labels, and a test reads it).
"""

from __future__ import annotations

import enum

MAX_SIGNED_BYTES = 113  # docs/spec/labels.md
MIN_SIGNED_BYTES = 65


class Label(enum.Enum):
    """One use each; the value is what is encoded. Never used for two things."""

    CARD_LINK = b"ep1/card-link"
    """Signed by a replaced key: the card that takes its place."""
    ARCHIVE = b"ep1/archive"
    """Digest of a key archive: what `ARCHIVE_SIGN` is a signature over."""
    ARCHIVE_SIGN = b"ep1/archive-sign"
    """Signed by the user's newest key: a key archive."""
    ARCHIVE_WRAP = b"ep1/archive-wrap"
    """HPKE's `info` for an archive's content key."""
    RECEIVING_KEY = b"ep1/receiving-key"
    """The seed of a user's receiving key, from the Ed25519 seed."""
    RECOVERY_RECEIVING_KEY = b"ep1/recovery-receiving-key"
    """The seed of a recovery code's receiving key, from its 160 bits."""
    TICKET_MARK = b"ep1/ticket-mark"
    """Digest of a group's newest ticket: what is remembered of it on this machine."""


def encode(label: Label, *parts: bytes) -> bytes:
    """Return ``u8 len(label) || label || (u32 len(part) || part)*``, big-endian.

    No two different calls give the same bytes.
    """
    encoded = [len(label.value).to_bytes(1, "big"), label.value]
    for part in parts:
        encoded += [len(part).to_bytes(4, "big"), part]
    return b"".join(encoded)
