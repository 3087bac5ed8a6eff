"""A passphrase becomes a key: Argon2id (RFC 9106)."""

from __future__ import annotations

import unicodedata

from attrs import frozen
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from encrypted_parse.crypto.primitives import AES_KEY_BYTES

SALT_BYTES = 16


@frozen
class Argon2Parameters:
    """What an attempt costs. The default is RFC 9106's second choice, for machines like any.

    Attributes:
        iterations: Passes over the memory.
        lanes: Threads.
        memory_kib: Memory, in KiB.
    """

    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 * 1024

    @property
    def bounded(self) -> bool:
        """Whether a file may ask for it: at most 16 passes over 1 GiB."""
        return (
            1 <= self.iterations <= 16  # noqa: PLR2004
            and 1 <= self.lanes <= 16  # noqa: PLR2004
            and 8 * self.lanes <= self.memory_kib <= 1024 * 1024
        )


def key_from_passphrase(passphrase: str, salt: bytes, parameters: Argon2Parameters) -> bytes:
    """Return 32 **secret** bytes. The passphrase is taken in Unicode's form NFC, as UTF-8."""
    return Argon2id(
        salt=salt,
        length=AES_KEY_BYTES,
        iterations=parameters.iterations,
        lanes=parameters.lanes,
        memory_cost=parameters.memory_kib,
    ).derive(unicodedata.normalize("NFC", passphrase).encode("utf-8"))
