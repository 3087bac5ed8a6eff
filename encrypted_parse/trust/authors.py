"""Whose signatures count as one user's, and whose counted before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

from attrs import frozen

from encrypted_parse.crypto import PublicKey
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import EncryptedParseError, FormerKeyError, SignerNotFoundError

T = TypeVar("T")


@front_door
@frozen
class AuthorKeys(Sequence[PublicKey]):
    """The keys whose signatures count as the user's, the present one first.

    Attributes:
        user_id: The author.
        counting: The keys of the sequence.
        former: Keys that were seen as the user's and stopped counting.
    """

    user_id: str
    counting: tuple[PublicKey, ...]
    former: tuple[PublicKey, ...] = ()

    @overload
    def __getitem__(self, index: int) -> PublicKey: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PublicKey]: ...
    def __getitem__(self, index: int | slice) -> PublicKey | Sequence[PublicKey]:
        """Return one of the keys that count, or several."""
        return self.counting[index]

    def __len__(self) -> int:
        return len(self.counting)


@front_door
def explain_former_key(
    signers: Sequence[PublicKey], outcome: T | EncryptedParseError
) -> T | EncryptedParseError:
    """Return *outcome*; or, where it is that nobody of *signers* signed, which former key did.

    That the envelope names the former key is not verified: the value stays locked either way.
    """
    if isinstance(signers, AuthorKeys) and isinstance(outcome, SignerNotFoundError):
        for key in signers.former:
            if outcome.signer_id in (key.key_id, key.long_key_id):
                return FormerKeyError(signers.user_id, key.long_key_id.hex())
    return outcome


@contextlib.contextmanager
def naming_former_keys(signers: Sequence[PublicKey]) -> Iterator[None]:
    """Let what is done inside raise `FormerKeyError` where a former key of *signers* signed.

    Raises:
        FormerKeyError: In place of `SignerNotFoundError`.
    """
    try:
        yield
    except SignerNotFoundError as error:
        explained = explain_former_key(signers, error)
        if explained is error:
            raise
        raise explained from error
