"""E3Kit's verbs that make and find groups, for one user."""

from __future__ import annotations

import functools
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card
from encrypted_parse.e3kit.arguments import Cards, card_of
from encrypted_parse.e3kit.group_epochs import EpochMemory
from encrypted_parse.e3kit.group_trust import GroupTrust
from encrypted_parse.e3kit.groups import Group
from encrypted_parse.e3kit.people import PeopleVerbs
from encrypted_parse.errors import GroupError
from encrypted_parse.locks import Lock

MAX_GROUPS = 1000
MEMBERS_SECONDS = 60.0  # how long a removed member may go unnoticed by `group_members`


class GroupVerbs(PeopleVerbs):
    """What `E3Kit` does with groups; those that were loaded are remembered by this object."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 - as Verbs
        super().__init__(*arguments, **keywords)
        self._groups_lock = Lock()
        self._groups: OrderedDict[tuple[str, str], tuple[float, Group]] = OrderedDict()

    def create_group(self, group_id: str, members: Cards = ()) -> Group:
        """Start a group with ourselves as its initiator.

        Args:
            group_id: At least 10 bytes; unique among our own groups.
            members: The current cards of the others, up to 99.

        Raises:
            GroupExistsError: We have a group with this id already.
            UntrustedKeyError: A member's key is not the remembered one.
            EnvelopeError: *group_id* is too short.
        """
        group = self._group(group_id, self.user_id)
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
        group = self._group(group_id, card_of(initiator).user_id)
        if made_anew:
            group.begin_anew()
        group.update(initiator)
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
        self._group(group_id, self.user_id).delete()
        with self._groups_lock:
            self._groups.pop((self.user_id, group_id), None)

    def recreate_group(
        self, group_id: str, members: Cards, *, give_up_history: bool = False
    ) -> Group:
        """Make a group of ours whole again after our rotation. See `Group.recreate`."""
        group = self._group(group_id, self.user_id)
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

    def forget_group_members(self) -> None:
        """Let `group_members` ask the service next time; the loaded groups stay."""
        with self._groups_lock:
            for name, (_, group) in self._groups.items():
                self._groups[name] = -math.inf, group

    def _group(self, group_id: str, initiator: str) -> Group:
        stored = self._stored()
        trust = GroupTrust(
            functools.partial(self._initiator_keys, initiator),
            functools.partial(self._trusts_key_of, initiator),
            self._require_published,
            functools.partial(self._sender_keys, stored),
            self._writable,
        )
        memory = EpochMemory(self._directory.keeper.store, self.user_id, initiator, group_id)
        keys = self.author_keys(initiator)
        keyknox = self._services.keyknox
        return Group(group_id, initiator, keys, stored, keyknox, trust, memory)

    def _initiator_keys(
        self, initiator: str, card: Card | None, _: Sequence[PublicKey]
    ) -> list[PublicKey]:
        """Return the keys whose tickets count, the present one first, as the directory has them.

        A card that somebody held on to does not say which key is the present one.
        """
        keys = self.author_keys(initiator)
        if card is not None and card.public_key not in keys and initiator != self.user_id:
            self._directory.get_chains([initiator], force=True)
            keys = self.author_keys(initiator)
        return list(keys)

    def _trusts_key_of(self, initiator: str) -> bool:
        if initiator == self.user_id:
            return True
        found = self._directory.find_chains([initiator]).get(initiator)
        return found is not None and found.writable

    def _require_published(self, key: PublicKey) -> None:
        """Let no key that was replaced change a group.

        Raises:
            GroupError: Another key is published for us.
        """
        chain = self._find_own_chain()
        if chain is not None and chain.head.public_key != key:
            raise GroupError(
                "another key is published for us than the one that this group was loaded with",
                hint="load the group again, on a machine that has the published key",
            )

    def _remember(self, group: Group) -> Group:
        with self._groups_lock:
            self._groups[group.initiator, group.group_id] = time.monotonic(), group
            self._groups.move_to_end((group.initiator, group.group_id))
            while len(self._groups) > MAX_GROUPS:
                self._groups.popitem(last=False)
        return group
