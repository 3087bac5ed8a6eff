"""E3Kit's verbs that make and find groups, for one user."""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card
from encrypted_parse.e3kit.groups import Group, GroupTrust
from encrypted_parse.e3kit.people import PeopleVerbs
from encrypted_parse.errors import MalformedGroupError
from encrypted_parse.trust import TrustStore

MAX_GROUPS = 1000
MEMBERS_SECONDS = 60.0  # how long a removed member may go unnoticed by `group_members`


class GroupVerbs(PeopleVerbs):
    """What `E3Kit` does with groups; those that were loaded are remembered by this object."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 - as Verbs
        super().__init__(*arguments, **keywords)
        self._groups_lock = threading.Lock()
        self._groups: OrderedDict[tuple[str, str], tuple[float, Group]] = OrderedDict()

    def create_group(self, group_id: str, members: Iterable[Card] = ()) -> Group:
        """Start a group with ourselves as its initiator.

        Args:
            group_id: At least 10 bytes; unique among our own groups.
            members: The current cards of the others, up to 99.

        Raises:
            GroupExistsError: We have a group with this id already.
            UntrustedKeyError: A member's key is not the remembered one.
            EnvelopeError: *group_id* is too short.
        """
        group = self._group(group_id, self.user_id, ())
        group.create(members)
        return self._remember(group)

    def load_group(self, group_id: str, initiator: Card, *, made_anew: bool = False) -> Group:
        """Return the group that *initiator* made and we are a member of.

        Args:
            group_id: Its id.
            initiator: The current card of who made it.
            made_anew: The initiator deleted the group and made it again: epochs begin anew.

        Raises:
            GroupNotFoundError: There is none, or we are no member.
            MalformedGroupError: A ticket is not *initiator*'s: the initiator has another key now,
                or the service lies; or an epoch that was seen before is gone.
        """
        group = self._group(group_id, initiator.user_id, [initiator.public_key])
        if made_anew:
            self._trust_store.save_epoch(self.user_id, group.initiator, group_id, -1)
        group.update()
        return self._remember(group)

    def get_group(self, group_id: str, initiator: str | None = None) -> Group | None:
        """Return a group that was created or loaded before, without asking the service, or None.

        Args:
            group_id: Its id.
            initiator: The user id of who made it; by default ourselves.
        """
        with self._groups_lock:
            found = self._groups.get((initiator or self.user_id, group_id))
        return None if found is None else found[1]

    def delete_group(self, group_id: str) -> None:
        """Delete a group of ours for everybody; nothing happens if there is none."""
        self._group(group_id, self.user_id, ()).delete()
        with self._groups_lock:
            self._groups.pop((self.user_id, group_id), None)

    def recreate_group(
        self, group_id: str, members: Iterable[Card], *, give_up_history: bool = False
    ) -> Group:
        """Make a group of ours whole again after our rotation. See `Group.recreate`."""
        group = self._group(group_id, self.user_id, ())
        group.recreate(members, give_up_history=give_up_history)
        return self._remember(group)

    def group_members(self, group_id: str, initiator: str) -> frozenset[str]:
        """Return the user ids of a group's members, as the service has them; a minute old at most.

        Raises:
            GroupNotFoundError: There is no such group, or we are no member.
            NotRegisteredError: The initiator has no card.
        """
        with self._groups_lock:
            found = self._groups.get((initiator, group_id))
        if found is not None and time.monotonic() - found[0] < MEMBERS_SECONDS:
            return found[1].participants
        card = self.find_users([initiator])[initiator]
        return self.load_group(group_id, card).participants

    def _group(self, group_id: str, initiator: str, signers: Iterable[PublicKey]) -> Group:
        keys = [*signers, *self.author_keys(initiator)]
        stored = self._stored()
        trust = GroupTrust(
            functools.partial(self._watch_epoch, initiator, group_id),
            functools.partial(self._sender_keys, stored),
            self._writable,
        )
        return Group(group_id, initiator, keys, stored, self._services.keyknox, trust)

    @property
    def _trust_store(self) -> TrustStore:
        return self._directory.keeper.store

    def _watch_epoch(self, initiator: str, group_id: str, epoch: int) -> None:
        """Remember the newest epoch, also from one run to the next; never go back by itself."""
        if initiator != self.user_id:
            known = self._trust_store.find_epoch(self.user_id, initiator, group_id)
            if epoch < known:
                raise MalformedGroupError(
                    "the newest ticket that we have seen is gone",
                    hint="if the initiator made the group anew: load_group(..., made_anew=True)",
                )
            if epoch > known:
                self._trust_store.save_epoch(self.user_id, initiator, group_id, epoch)

    def _remember(self, group: Group) -> Group:
        with self._groups_lock:
            self._groups[group.initiator, group.group_id] = time.monotonic(), group
            self._groups.move_to_end((group.initiator, group.group_id))
            while len(self._groups) > MAX_GROUPS:
                self._groups.popitem(last=False)
        return group
