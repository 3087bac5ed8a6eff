"""Recovery codes: a key pair that fits on a slip of paper.

A code is 160 random bits and a checksum of 20, written in Crockford's base32 as six groups of six:
``7KQ2ZM-0D4XPA-...``. Case does not matter; O is read as 0, I and L as 1; U is in no code. The
key pair is a receiving key, derived from the 160 bits (docs/spec/archive.md).
"""

from __future__ import annotations

import re
from typing import NoReturn

from encrypted_parse.crypto.primitives import digest, random_bytes
from encrypted_parse.crypto.receiving import RECOVERY_SECRET_BYTES as SECRET_BYTES
from encrypted_parse.crypto.receiving import ReceivingKey
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import NotPicklableError, RecoveryCodeError

SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUP = 6
_GROUPS = 6
_BITS = 5
_CHECK_BITS = 20
_CHECK_LABEL = b"encrypted_parse recovery code 1: checksum"
_READ_AS = str.maketrans("OIL", "011")
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015]+")


@front_door
class RecoveryCode:
    """One code. It opens a user's key archive, so it is as secret as the keys; `text` shows it."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a recovery code has {SECRET_BYTES} bytes")
        self._secret = secret

    @classmethod
    def generate(cls) -> RecoveryCode:
        """Return a new random code."""
        return cls(random_bytes(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> RecoveryCode:
        """Read a code as a person types it.

        Raises:
            RecoveryCodeError: Too long or short, an impossible character, or mistyped. The
                message says where, and quotes nothing.
        """
        symbols = _SEPARATORS.sub("", text.upper()).translate(_READ_AS)
        if len(symbols) != _GROUP * _GROUPS:
            raise RecoveryCodeError(
                f"a recovery code has {_GROUP * _GROUPS} characters, not {len(symbols)}"
            )
        value = 0
        for position, symbol in enumerate(symbols):
            if symbol not in SYMBOLS:
                raise RecoveryCodeError(
                    f"character {position % _GROUP + 1} of group {position // _GROUP + 1} "
                    "is in no recovery code"
                )
            value = value << _BITS | SYMBOLS.index(symbol)
        secret = (value >> _CHECK_BITS).to_bytes(SECRET_BYTES, "big")
        if value & (1 << _CHECK_BITS) - 1 != _checksum(secret):
            raise RecoveryCodeError("the recovery code is mistyped: its checksum does not hold")
        return cls(secret)

    @property
    def text(self) -> str:
        """The **secret** code, for the user to write down."""
        value = int.from_bytes(self._secret, "big") << _CHECK_BITS | _checksum(self._secret)
        count = _GROUP * _GROUPS
        symbols = [SYMBOLS[value >> _BITS * (count - 1 - at) & 31] for at in range(count)]
        return "-".join("".join(symbols[at : at + _GROUP]) for at in range(0, count, _GROUP))

    @property
    def key(self) -> ReceivingKey:
        """The **secret** key that the archive is encrypted for."""
        return ReceivingKey.of_recovery_secret(self._secret)

    def __repr__(self) -> str:
        return "<RecoveryCode>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a recovery code is not written into pickles")


def _checksum(secret: bytes) -> int:
    return int.from_bytes(digest(_CHECK_LABEL + secret)[:4], "big") >> 32 - _CHECK_BITS
