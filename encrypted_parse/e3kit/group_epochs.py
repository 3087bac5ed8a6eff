"""Which epochs of a group count, and what this machine remembers of them (ADR 13).

Tickets stay readable whichever of the initiator's keys signed them, and E3Kit's initiators leave
old ones as they are when they rotate. But a key that was replaced starts no epoch: once a newer
key has signed one, a later epoch by an older key is passed over, and what was seen never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from attrs import field, frozen

from encrypted_parse.backup.keyknox import KeyknoxRecord
from encrypted_parse.crypto import PublicKey
from encrypted_parse.crypto.labels import Label, encode
from encrypted_parse.crypto.primitives import digest
from encrypted_parse.discretion import front_door
from encrypted_parse.e3kit.memory import LatestValue, record_name
from encrypted_parse.envelope import GroupTicket
from encrypted_parse.errors import MalformedGroupError, NotPicklableError
from encrypted_parse.trust import TrustStore


@front_door
@frozen
class SeenTicket:
    """A ticket as the service serves it.

    Attributes:
        record: Its record: who has copies, and what may replace it.
        ticket: What is inside.
        signer: The initiator's key that signed it.
    """

    record: KeyknoxRecord
    ticket: GroupTicket = field(repr=False)
    signer: PublicKey

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a group ticket is not written into pickles")


Seen = Mapping[int, SeenTicket]


@front_door
def counted(seen: Seen, keys: Sequence[PublicKey]) -> dict[int, SeenTicket]:
    """Return *seen* without epochs by a key that an earlier epoch shows to be replaced.

    Args:
        seen: Tickets by epoch.
        keys: The initiator's keys, the newest first; every signer is among them.
    """
    ranks, newest_rank, kept = {key: rank for rank, key in enumerate(keys)}, len(keys), {}
    for epoch in sorted(seen):
        rank = ranks[seen[epoch].signer]
        if rank <= newest_rank:
            newest_rank, kept[epoch] = rank, seen[epoch]
    return kept


@front_door
class EpochMemory:
    """What one user remembers of one group, from one run to the next; never goes back by itself.

    The newest epoch and its ticket, and for each key of the initiator the newest epoch that it,
    or a key after it, signed.
    """

    def __init__(self, store: TrustStore, owner: str, initiator: str, group_id: str) -> None:
        self._store, self._owner = store, owner
        self._initiator, self._group_id = initiator, group_id
        self._ticket = LatestValue(store, owner, "group ticket", initiator, group_id)

    def require_newest(self, seen: Seen, keys: Sequence[PublicKey]) -> None:
        """Let nothing be served that is older than what was seen.

        Raises:
            MalformedGroupError: The newest epoch, or the newest by one of *keys*, is gone; or the
                newest epoch has another ticket, which the initiator's present key did not sign.
        """
        newest = max(seen)
        known = self._store.find_epoch(self._owner, self._initiator, self._group_id)
        signed = -1
        for key in keys:
            signed = max([signed, *(epoch for epoch in seen if seen[epoch].signer == key)])
            if signed < self._store.find_counter(self._owner, self._key_record(key)):
                self._refuse("the newest ticket by a newer key of the initiator is gone")
        if newest < known:
            self._refuse("the newest ticket that we have seen is gone")
        if (
            newest == known
            and seen[newest].signer != keys[0]
            and not (self._ticket.is_open or self._ticket.is_latest(_mark(seen[newest].ticket)))
        ):
            self._refuse("the newest ticket that we have seen is another one now")

    def remember(self, newest: GroupTicket, signer: PublicKey) -> None:
        """Remember the newest epoch, its ticket, and the key that signed it."""
        self._store.save_epoch(self._owner, self._initiator, self._group_id, newest.epoch)
        self._store.raise_counter(self._owner, self._key_record(signer), newest.epoch)
        self._ticket.accept(_mark(newest))

    def forget(self, keys: Sequence[PublicKey]) -> None:
        """Let epochs begin anew: the group was deleted and made again."""
        self._store.save_epoch(self._owner, self._initiator, self._group_id, -1)
        for key in keys:
            self._store.forget_counter(self._owner, self._key_record(key))
        self._ticket.forget()

    def _key_record(self, key: PublicKey) -> str:
        names = (self._initiator, self._group_id, key.long_key_id.hex())
        return record_name("group key", *names)

    def _refuse(self, what: str) -> NoReturn:
        raise MalformedGroupError(
            what, hint="if the initiator made the group anew: load_group(..., made_anew=True)"
        )


def _mark(ticket: GroupTicket) -> bytes:
    return digest(encode(Label.TICKET_MARK, ticket.to_bytes()), "sha256")
