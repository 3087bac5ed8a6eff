"""A keystore that ends with the process."""

from __future__ import annotations

import threading

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import KeystoreError
from encrypted_parse.keystore.port import StoredKey


class MemoryKeystore:
    """Keeps keys in memory. For tests, and where keys come from elsewhere at every start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, StoredKey] = {}

    def find(self, user_id: str) -> StoredKey | None:
        """See `Keystore.find`."""
        return self._keys.get(user_id)

    def save(self, user_id: str, private_key: PrivateKey) -> None:
        """See `Keystore.save`."""
        with self._lock:
            present = self._keys.setdefault(user_id, StoredKey(user_id, private_key))
        if present.private_key != private_key:
            raise KeystoreError(
                f"the user {user_id!r} has another key already", hint="delete it first"
            )

    def delete(self, user_id: str) -> None:
        """See `Keystore.delete`."""
        with self._lock:
            self._keys.pop(user_id, None)

    def __repr__(self) -> str:
        return f"<MemoryKeystore of {len(self._keys)} users>"
