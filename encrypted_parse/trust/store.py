"""The port: where one machine remembers what no server may decide."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from encrypted_parse.trust.pins import Pin


class TrustStore(Protocol):
    """Remembers pins, epochs and counters by the user who remembers, and who logs in as whom.

    Usable from many threads. Every call raises `TrustStoreError` if what is remembered is there
    but cannot be used; it is never begun anew by itself.
    """

    def find(self, owner: str, user_ids: Collection[str]) -> dict[str, Pin]:
        """Return what *owner* remembers of *user_ids*; strangers are absent."""

    def save(
        self, owner: str, pins: Iterable[Pin], *, replacing: Mapping[str, Pin]
    ) -> frozenset[str]:
        """Remember *pins*, each in place of the one in *replacing*, or of none.

        A pin that somebody changed meanwhile is left as it is, and its user is among those that
        are returned: whoever lost the race has to judge again by what is there.
        """

    def revision(self) -> object:
        """Return what is another value once a pin was changed, by this program or another one.

        So that a judgement that was made before is made anew. It may change more often.
        """

    def find_epoch(self, owner: str, initiator: str, group_id: str) -> int:
        """Return the newest epoch of a group that was seen; -1 if there is none."""

    def save_epoch(self, owner: str, initiator: str, group_id: str, epoch: int) -> None:
        """Remember *epoch* if it is newer than what is remembered; -1 forgets that.

        Of several that save at once, the newest stays.
        """

    def find_counter(self, owner: str, record: str) -> int:
        """Return the highest counter of a record that was seen; -1 if there is none."""

    def raise_counter(self, owner: str, record: str, counter: int) -> None:
        """Remember *counter* if it is higher than what is remembered; never goes back."""

    def forget_counter(self, owner: str, record: str) -> None:
        """Forget a record's counter: a person said that it may begin anew."""

    def find_login(self, application_id: str, username: str) -> str | None:
        """Return the user id that this user name of the app was answered with; None if none."""

    def find_usernames(self, application_id: str, user_id: str) -> frozenset[str]:
        """Return the user names of the app that are remembered for *user_id*."""

    def save_login(
        self, application_id: str, username: str, user_id: str, *, replacing: str | None
    ) -> None:
        """Remember a user name's user id in place of *replacing*, or of none.

        What somebody changed meanwhile is left as it is: look again.
        """
