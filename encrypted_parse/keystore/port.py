"""The port: what a keystore keeps and promises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn, Protocol

from attrs import evolve, field, frozen

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import NotPicklableError

MAX_OLD_KEYS = 200  # bounds what is read, and tried, for one user


@front_door
@frozen
class StoredKey:
    """One user's private keys on this machine. They are in no `repr` and no pickle.

    Attributes:
        user_id: Whose they are.
        private_key: The current one: it signs, and its card is published.
        old_keys: Those that it replaced, newest first. They open what was written before.
        next_key: A rotation that is under way: kept before its card is published.
    """

    user_id: str
    private_key: PrivateKey = field(repr=False)
    old_keys: tuple[PrivateKey, ...] = field(default=(), repr=False)
    next_key: PrivateKey | None = field(default=None, repr=False)

    @property
    def identities(self) -> tuple[PrivateKey, ...]:
        """Every key that a message for the user may be encrypted for; the current one first."""
        following = () if self.next_key is None else (self.next_key,)
        return (self.private_key, *following, *self.old_keys)

    def with_next(self, key: PrivateKey | None) -> StoredKey:
        """Return the same with *key* as the one to come, or with none."""
        return evolve(self, next_key=key)

    def promoted(self) -> StoredKey:
        """Return the same with the next key as the current one, which becomes the newest old one.

        Raises:
            ValueError: There is no next key.
        """
        if self.next_key is None:
            raise ValueError("there is no next key")
        rotated = StoredKey(self.user_id, self.next_key)
        return rotated.with_old_keys([self.private_key, *self.old_keys])

    def with_old_keys(self, keys: Iterable[PrivateKey]) -> StoredKey:
        """Return the same with *keys* behind its own old ones, each once, the newest 200."""
        present = {self.private_key, self.next_key}
        merged = dict.fromkeys(key for key in (*self.old_keys, *keys) if key not in present)
        return evolve(self, old_keys=tuple(merged)[:MAX_OLD_KEYS])

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a stored key is not written into pickles")


class Keystore(Protocol):
    """Keeps private keys on this machine, by user id. Usable from many threads."""

    def find(self, user_id: str) -> StoredKey | None:
        """Return the user's keys, or None.

        Raises:
            KeystoreError: They are there but cannot be used.
        """

    def save(self, stored: StoredKey, *, replacing: StoredKey | None = None) -> None:
        """Keep a user's keys in place of *replacing*; afterwards they are there whatever happens.

        A crash leaves what was there or what is new. Saving what is there already is harmless.

        Args:
            stored: What to keep.
            replacing: What has to be there, as `find` returned it; None: nothing.

        Raises:
            KeystoreConflictError: Something else is there; it was left as it is.
            KeystoreError: It cannot be kept.
        """

    def user_ids(self) -> list[str]:
        """Return every user whose keys are here, sorted. Opens no key.

        Raises:
            KeystoreError: It cannot be told.
        """

    def delete(self, user_id: str) -> None:
        """Forget the user's keys; nothing happens if there are none.

        Raises:
            KeystoreError: They cannot be deleted.
        """
