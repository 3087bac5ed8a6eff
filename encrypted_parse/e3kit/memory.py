"""Which value of a record was accepted last, told with a trust store's counters alone."""

from __future__ import annotations

import json

from encrypted_parse.discretion import front_door
from encrypted_parse.trust import TrustStore


@front_door
def record_name(*parts: str) -> str:
    """Return the name of a counter; different parts give different names."""
    return json.dumps(parts)


@front_door
class LatestValue:
    """Remembers one value of a record: that which was accepted last.

    Counters only grow, so a value's counter is the number of its acceptance, and it is the latest
    while no other has a higher one. A value that was replaced is not taken for new again.
    """

    def __init__(self, store: TrustStore, owner: str, *record: str) -> None:
        self._store, self._owner, self._record = store, owner, record

    @property
    def is_open(self) -> bool:
        """Whether nothing is remembered, so that any value is a first sight."""
        latest = self._find()
        return latest < 0 or latest == self._find("any")

    def is_latest(self, value: bytes) -> bool:
        """Tell whether *value* is the one that was accepted last."""
        latest = self._find()
        return latest >= 0 and latest == self._find("is", value.hex())

    def accept(self, value: bytes) -> None:
        """Remember *value* in place of what was remembered."""
        if not self.is_latest(value):
            self._advance("is", value.hex())

    def forget(self) -> None:
        """Remember nothing: a person said that it may begin anew."""
        if not self.is_open:
            self._advance("any")

    def _find(self, *more: str) -> int:
        return self._store.find_counter(self._owner, record_name(*self._record, *more))

    def _advance(self, *more: str) -> None:
        number = self._find() + 1
        self._store.raise_counter(self._owner, record_name(*self._record, *more), number)
        self._store.raise_counter(self._owner, record_name(*self._record), number)
