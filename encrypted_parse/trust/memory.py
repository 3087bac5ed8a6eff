"""A trust store that ends with the process."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from encrypted_parse.discretion import front_door
from encrypted_parse.locks import Lock
from encrypted_parse.trust.pins import Pin


@front_door
class MemoryTrustStore:
    """Remembers pins in memory: a key that was changed before this process began is not noticed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pins: dict[tuple[str, str], Pin] = {}
        self._revision = 0
        self._epochs: dict[tuple[str, str, str], int] = {}
        self._counters: dict[tuple[str, str], int] = {}
        self._logins: dict[tuple[str, str], str] = {}

    def find(self, owner: str, user_ids: Collection[str]) -> dict[str, Pin]:
        """See `TrustStore.find`."""
        found = ((user_id, self._pins.get((owner, user_id))) for user_id in user_ids)
        return {user_id: pin for user_id, pin in found if pin is not None}

    def save(
        self, owner: str, pins: Iterable[Pin], *, replacing: Mapping[str, Pin]
    ) -> frozenset[str]:
        """See `TrustStore.save`."""
        lost = set()
        with self._lock:
            for pin in pins:
                if self._pins.get((owner, pin.user_id)) == replacing.get(pin.user_id):
                    self._pins[owner, pin.user_id] = pin
                    self._revision += 1
                else:
                    lost.add(pin.user_id)
        return frozenset(lost)

    def revision(self) -> object:
        """See `TrustStore.revision`."""
        return self._revision

    def find_epoch(self, owner: str, initiator: str, group_id: str) -> int:
        """See `TrustStore.find_epoch`."""
        return self._epochs.get((owner, initiator, group_id), -1)

    def save_epoch(self, owner: str, initiator: str, group_id: str, epoch: int) -> None:
        """See `TrustStore.save_epoch`."""
        with self._lock:
            known = self._epochs.get((owner, initiator, group_id), -1)
            self._epochs[owner, initiator, group_id] = max(known, epoch) if epoch >= 0 else -1

    def find_counter(self, owner: str, record: str) -> int:
        """See `TrustStore.find_counter`."""
        with self._lock:
            return self._counters.get((owner, record), -1)

    def raise_counter(self, owner: str, record: str, counter: int) -> None:
        """See `TrustStore.raise_counter`."""
        with self._lock:
            self._counters[owner, record] = max(counter, self._counters.get((owner, record), -1))

    def forget_counter(self, owner: str, record: str) -> None:
        """See `TrustStore.forget_counter`."""
        with self._lock:
            self._counters.pop((owner, record), None)

    def find_login(self, application_id: str, username: str) -> str | None:
        """See `TrustStore.find_login`."""
        with self._lock:
            return self._logins.get((application_id, username))

    def find_usernames(self, application_id: str, user_id: str) -> frozenset[str]:
        """See `TrustStore.find_usernames`."""
        with self._lock:
            return frozenset(
                username
                for (app, username), known in self._logins.items()
                if (app, known) == (application_id, user_id)
            )

    def save_login(
        self, application_id: str, username: str, user_id: str, *, replacing: str | None
    ) -> None:
        """See `TrustStore.save_login`."""
        with self._lock:
            if self._logins.get((application_id, username)) == replacing:
                self._logins[application_id, username] = user_id

    def __repr__(self) -> str:
        return f"<MemoryTrustStore of {len(self._pins)} pins>"
