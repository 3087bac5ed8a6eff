"""A keystore that ends with the process."""

from __future__ import annotations

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import KeystoreConflictError
from encrypted_parse.keystore.port import StoredKey
from encrypted_parse.locks import Lock


@front_door
class MemoryKeystore:
    """Keeps keys in memory. For tests, and where keys come from elsewhere at every start."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: dict[str, StoredKey] = {}

    def find(self, user_id: str) -> StoredKey | None:
        """See `Keystore.find`."""
        return self._keys.get(user_id)

    def save(self, stored: StoredKey, *, replacing: StoredKey | None = None) -> None:
        """See `Keystore.save`."""
        with self._lock:
            if self._keys.get(stored.user_id) not in (stored, replacing):
                raise KeystoreConflictError(stored.user_id)
            self._keys[stored.user_id] = stored

    def user_ids(self) -> list[str]:
        """See `Keystore.user_ids`."""
        with self._lock:
            return sorted(self._keys)

    def delete(self, user_id: str) -> None:
        """See `Keystore.delete`."""
        with self._lock:
            self._keys.pop(user_id, None)

    def __repr__(self) -> str:
        return f"<MemoryKeystore of {len(self._keys)} users>"
