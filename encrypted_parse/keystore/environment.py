"""A keystore in an environment variable, for containers. It is only read."""

from __future__ import annotations

import re
from typing import NoReturn

from encrypted_parse.crypto.imports import import_private_key
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ConfigurationError,
    KeyFormatError,
    KeystoreReadOnlyError,
    NotPicklableError,
)
from encrypted_parse.keystore.port import MAX_OLD_KEYS, StoredKey
from encrypted_parse.settings import strip

_PART = r"[0-9A-Za-z_.@-]{1,59}"  # of a user id: shorter than a key, and without its separators
_USER_ID = re.compile(rf"{_PART}(?::{_PART})*", re.ASCII)
_PEM = re.compile(
    r"(?:(?<=[:,])\s*)?-----BEGIN [^-]*-----.*?-----END [^-]*-----(?:\s*(?=,))?", re.DOTALL
)
_HINT = "entries are separated by blanks or lines; keys by commas, the current one first"


@front_door
class EnvironmentKeystore:
    """Keeps what a variable says: ``USER:KEY`` for each user, with blanks or new lines between.

    ``USER:KEY,OLD,OLDER`` adds keys that were replaced. Keys are base64, as ``encrypted-parse
    keygen`` prints them, or PEM: what `import_private_key` reads. They are read once, here; what
    this process starts inherits the variable, so that it is better to delete it from `os.environ`
    afterwards.

    Args:
        text: The variable's **secret** value.

    Raises:
        ConfigurationError: It is something else, or empty. The message quotes user ids alone.
    """

    def __init__(self, text: str) -> None:
        self._keys: dict[str, StoredKey] = {}
        try:
            entries = _PEM.sub(_as_base64, strip(text).replace("\\n", "\n")).split()
        except KeyFormatError as error:
            message, hint, entries = str(error), error.hint, None
        if entries is None:
            raise ConfigurationError(f"a PEM text of the private keys: {message}", hint=hint)
        if not entries:
            raise ConfigurationError("there is no private key", hint=_HINT)
        for number, entry in enumerate(entries, 1):
            user_id, _, keys = entry.rpartition(":")
            if not _USER_ID.fullmatch(user_id):  # which may hold a key: it is not quoted
                raise ConfigurationError(
                    f"entry {number} of the private keys is not USER:KEY", hint=_HINT
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


def _as_base64(pem: re.Match[str]) -> str:
    """Return the key of a PEM text in the form that stands in one entry."""
    return import_private_key(pem[0]).to_base64()


def _parse(user_id: str, texts: list[str]) -> StoredKey:
    if len(texts) > MAX_OLD_KEYS + 1:
        raise ConfigurationError(f"more than {MAX_OLD_KEYS} old keys of {user_id!r}")
    try:
        current, *old = map(import_private_key, texts)
        return StoredKey(user_id, current, tuple(old))
    except KeyFormatError as error:
        message, hint = str(error), error.hint
    raise ConfigurationError(f"a private key of {user_id!r}: {message}", hint=hint)
