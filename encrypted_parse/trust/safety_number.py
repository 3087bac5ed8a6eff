"""Safety numbers: 60 digits that two users compare by voice or side by side.

Each user's half is 30 digits: SHA-512 over LABEL || length of the user id (two bytes, big-endian)
|| user id (UTF-8) || public key (SPKI DER), then 5,200 times SHA-512 over the digest before ||
public key; six groups of five bytes of the last digest, each as a big-endian number modulo
100,000 in five digits. The two halves follow each other in ascending order, so both sides see the
same. Shape and rounds are Signal's; the label keeps them apart.
"""

from __future__ import annotations

import re

from attrs import frozen

from encrypted_parse.crypto import PublicKey
from encrypted_parse.crypto.primitives import constant_time_equal, digest
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import InvalidValueError, SafetyNumberMismatchError

LABEL = b"encrypted_parse safety number 1"
ROUNDS = 5200
QR_PREFIX = "encrypted-parse:1:"
_DIGITS = 60
_GROUP_BYTES, _GROUP_DIGITS, _GROUPS = 5, 5, 6
_IN_BETWEEN = re.compile(r"[\s\-]+")


@front_door
@frozen
class SafetyNumber:
    """The number of two users. Not a secret.

    Attributes:
        digits: 60 of them.
    """

    digits: str

    @classmethod
    def of(cls, one: tuple[str, PublicKey], other: tuple[str, PublicKey]) -> SafetyNumber:
        """Return the number of two users, each a user id and a public key, in either order."""
        return cls("".join(sorted(_half(*side) for side in (one, other))))

    @property
    def qr_text(self) -> str:
        """What the QR code says: the same on both sides."""
        return QR_PREFIX + self.digits

    def compare(self, shown: str) -> None:
        """Compare with what the other side shows: digits with any spaces, or its QR code's text.

        Raises:
            SafetyNumberMismatchError: They differ: one of the two sees a key that is not the
                other's.
            InvalidValueError: *shown* is not a safety number.
        """
        text = _IN_BETWEEN.sub("", shown.strip().removeprefix(QR_PREFIX))
        if len(text) != _DIGITS or not (text.isascii() and text.isdigit()):
            raise InvalidValueError("a safety number has 60 digits")
        if not constant_time_equal(text.encode("ascii"), self.digits.encode("ascii")):
            raise SafetyNumberMismatchError(
                "the safety numbers differ: one of you sees a key that is not the other's",
                hint="do not accept it; look whether both use the same app, and ask the operator",
            )

    def __str__(self) -> str:
        groups = [self.digits[at : at + 5] for at in range(0, _DIGITS, 5)]
        return "\n".join(" ".join(groups[at : at + 4]) for at in range(0, len(groups), 4))


def _half(user_id: str, key: PublicKey) -> str:
    name, encoded = user_id.encode("utf-8"), key.to_bytes()
    state = digest(LABEL + len(name).to_bytes(2, "big") + name + encoded)
    for _ in range(ROUNDS):
        state = digest(state + encoded)
    groups = (
        int.from_bytes(state[at : at + _GROUP_BYTES], "big") % 10**_GROUP_DIGITS
        for at in range(0, _GROUPS * _GROUP_BYTES, _GROUP_BYTES)
    )
    return "".join(f"{group:0{_GROUP_DIGITS}}" for group in groups)
