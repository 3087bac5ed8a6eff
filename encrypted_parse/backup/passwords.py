"""Passwords of backups: strong enough for offline guesses, and never the one that the server saw.

Whoever holds the database and the BrainKey secret (an own companion's operator holds both) tries a
password for the price of one pairing. So a new password has to be beyond such guesses; a password
that opens a backup which exists is never judged.
"""

from __future__ import annotations

from typing import NoReturn

from attrs import field, frozen
from zxcvbn import zxcvbn

from encrypted_parse.backup.recovery_code import SYMBOLS
from encrypted_parse.crypto import primitives as p
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import NotPicklableError, WeakPasswordError

MIN_GUESSES_LOG10 = 10  # zxcvbn's score 4: at 10,000 pairings a second some eleven days
MAX_JUDGED_CHARACTERS = 72  # the estimator's time grows with the square of the length
_SALT_BYTES = 32
_GROUPS, _GROUP = 4, 5  # 20 symbols of 5 bits


@front_door
@frozen
class LoginPassword:
    """What is kept of the password that a session logged in with: a digest, to compare with.

    The salt is random and in this object alone, so that the digest is worth nothing elsewhere.
    """

    _salt: bytes = field(repr=False)
    _digest: bytes = field(repr=False)

    @classmethod
    def of(cls, password: str) -> LoginPassword:
        """Return the digest of *password*."""
        salt = p.random_bytes(_SALT_BYTES)
        return cls(salt, _digest(salt, password))

    def is_same(self, password: str) -> bool:
        """Tell whether *password* is the one that this was made of."""
        return p.constant_time_equal(self._digest, _digest(self._salt, password))

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("passwords are not written into pickles")


@front_door
def require_good_password(password: str, login: LoginPassword | None) -> None:
    """Let no new backup have a password that can be guessed, or that the server knows.

    Args:
        password: What somebody chose.
        login: That of the session; None if it is not known.

    Raises:
        WeakPasswordError: It is the login's, or zxcvbn finds it within 10^10 guesses.
    """
    hint = "generate_backup_password() makes one; or take some words that have nothing in common"
    if login is not None and login.is_same(password):
        raise WeakPasswordError("that is the login password: the server has seen it", hint=hint)
    judged = password[:MAX_JUDGED_CHARACTERS]
    if not judged or zxcvbn(judged)["guesses_log10"] < MIN_GUESSES_LOG10:
        raise WeakPasswordError("the password can be guessed", hint=hint)


@front_door
def generate_backup_password(random: p.RandomSource = p.random_bytes) -> str:
    """Return a **secret** random password of 100 bits, in four groups that can be written down."""
    symbols = "".join(SYMBOLS[byte % len(SYMBOLS)] for byte in random(_GROUPS * _GROUP))
    return "-".join(symbols[at : at + _GROUP] for at in range(0, len(symbols), _GROUP))


def _digest(salt: bytes, password: str) -> bytes:
    return p.mac(salt, password.encode("utf-8", "surrogatepass"), "sha256")
