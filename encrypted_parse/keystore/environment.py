"""A keystore in an environment variable, for containers. It is only read."""

from __future__ import annotations

from typing import NoReturn

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ConfigurationError,
    KeyFormatError,
    KeystoreReadOnlyError,
    NotPicklableError,
)
from encrypted_parse.keystore.port import MAX_OLD_KEYS, StoredKey


@front_door
class EnvironmentKeystore:
    """Keeps what a variable says: ``USER:KEY`` for each user, with blanks or new lines between.

    ``USER:KEY,OLD,OLDER`` adds keys that were replaced. Keys are what ``encrypted-parse keygen``
    prints. They are read once, here; what this process starts inherits the variable, so that it
    is better to delete it from `os.environ` afterwards.

    Args:
        text: The variable's **secret** value.

    Raises:
        ConfigurationError: It is something else. The message quotes user ids alone.
    """

    def __init__(self, text: str) -> None:
        self._keys: dict[str, StoredKey] = {}
        for number, entry in enumerate(text.split(), 1):
            user_id, colon, keys = entry.rpartition(":")
            if not colon or not user_id:
                raise ConfigurationError(
                    f"entry {number} of the private keys is not USER:KEY",
                    hint="entries are separated by blanks; keys by commas, the current one first",
                )
            if user_id in self._keys:
                raise ConfigurationError(f"the private keys of {user_id!r} are given twice")
            self._keys[user_id] = _parse(user_id, keys.split(","))

    def find(self, user_id: str) -> StoredKey | None:
        """See `Keystore.find`."""
        return self._keys.get(user_id)

    def save(self, stored: StoredKey, *, replacing: StoredKey | None = None) -> None:  # noqa: ARG002
        """Do nothing if that is what is there.

        Raises:
            KeystoreReadOnlyError: It is not.
        """
        if self._keys.get(stored.user_id) != stored:
            raise KeystoreReadOnlyError(
                f"the keys of {stored.user_id!r} come from the environment and cannot be changed",
                hint="register or rotate with a keystore of files, then set the variable anew",
            )

    def user_ids(self) -> list[str]:
        """See `Keystore.user_ids`."""
        return sorted(self._keys)

    def delete(self, user_id: str) -> None:
        """Do nothing if there is nothing.

        Raises:
            KeystoreReadOnlyError: There is.
        """
        if user_id in self._keys:
            raise KeystoreReadOnlyError(
                f"the keys of {user_id!r} come from the environment and cannot be deleted",
                hint="take them out of the variable",
            )

    def __repr__(self) -> str:
        return f"<EnvironmentKeystore of {len(self._keys)} users>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a keystore is not written into pickles")


def _parse(user_id: str, texts: list[str]) -> StoredKey:
    if len(texts) > MAX_OLD_KEYS + 1:
        raise ConfigurationError(f"more than {MAX_OLD_KEYS} old keys of {user_id!r}")
    try:
        current, *old = (PrivateKey.from_base64(text) for text in texts)
    except KeyFormatError:
        raise ConfigurationError(
            f"what is given as private key of {user_id!r} is none",
            hint="`encrypted-parse keygen` prints one",
        ) from None
    return StoredKey(user_id, current, tuple(old))
