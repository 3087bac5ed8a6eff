"""The port: what a keystore keeps and promises."""

from __future__ import annotations

from typing import NoReturn, Protocol

from attrs import field, frozen

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import NotPicklableError


@frozen
class StoredKey:
    """One user's private key. It is in no `repr` and no pickle."""

    user_id: str
    private_key: PrivateKey = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a stored key is not written into pickles")


class Keystore(Protocol):
    """Keeps private keys on this machine, by user id. Usable from many threads."""

    def find(self, user_id: str) -> StoredKey | None:
        """Return the user's key, or None.

        Raises:
            KeystoreError: It is there but cannot be used.
        """

    def save(self, user_id: str, private_key: PrivateKey) -> None:
        """Keep a key; afterwards it is there whatever happens.

        Saving the same key again is harmless.

        Raises:
            KeystoreError: It cannot be kept, or the user has another key already.
        """

    def delete(self, user_id: str) -> None:
        """Forget the user's key; nothing happens if there is none.

        Raises:
            KeystoreError: It cannot be deleted.
        """
