"""Recipient rules: how a field finds the users that it is encrypted for.

The author is always a recipient too, as in E3Kit; rules name the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from encrypted_parse.errors import PublicReadError, RecipientRuleError
from encrypted_parse.models.acl import ACL, PUBLIC, ROLE_PREFIX
from encrypted_parse.models.values import USER_CLASS, Pointer


@frozen
class GroupMembers:
    """The members of an E3Kit group, whoever they are when an object is encrypted."""

    group_id: str
    initiator: str


Recipient = str | GroupMembers
"""A user id, or what stands for several until the object is encrypted."""


class RecipientRule(Protocol):
    """Anything that turns an object into user ids."""

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:
        """Return the recipients, with or without the author.

        *acl* is None for a row without one, which everybody may read. *values* are the object's
        plain attributes.

        Raises:
            RecipientRuleError: There is no answer; the object is then not saved.
        """

    def attributes(self) -> Sequence[str]:
        """Return the names of the attributes that the rule reads."""


@frozen
class _OnlyMe:
    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:  # noqa: ARG002 - the protocol's
        return frozenset()

    def attributes(self) -> Sequence[str]:
        return ()


@frozen
class _Users:
    names: tuple[str, ...]

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:  # noqa: ARG002 - the protocol's
        found: set[Recipient] = set()
        for name in self.names:
            value = values.get(name)
            several = value if isinstance(value, (list, tuple)) else [value]
            user_ids = [user_id_of(one) for one in several]
            if not all(user_ids):
                raise RecipientRuleError(
                    f"users({name!r}) needs a user id, a pointer to a user, or a list of them, "
                    f"in {name!r}",
                    hint="set the attribute before saving",
                )
            found.update(user_ids)
        return frozenset(found)

    def attributes(self) -> Sequence[str]:
        return self.names


def user_id_of(value: Any) -> str:  # noqa: ANN401 - any plain value
    """Return the user id that *value* is or points to; empty if it is none."""
    if isinstance(value, Pointer):
        return value.object_id if value.class_name == USER_CLASS else ""
    return value if isinstance(value, str) else ""


@frozen
class _AclReaders:
    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:  # noqa: ARG002 - the protocol's
        readers = frozenset([PUBLIC]) if acl is None else acl.readers
        if PUBLIC in readers:
            raise PublicReadError(
                "the ACL lets everybody read, so its readers cannot be enumerated",
                hint="name the readers with acl.allow_read(user_id), or use users(...)",
            )
        roles = sorted(who for who in readers if who.startswith(ROLE_PREFIX))
        if roles:
            raise RecipientRuleError(
                f"acl_readers() cannot resolve {roles[0]!r}",
                hint="name the role's users in the ACL: roles are not resolved by this version",
            )
        return frozenset[Recipient](readers)

    def attributes(self) -> Sequence[str]:
        return ()


@frozen
class _Group:
    id_from: str
    initiator_from: str

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:  # noqa: ARG002 - the protocol's
        found = [values.get(name) for name in self.attributes()]
        if not all(isinstance(value, str) and value for value in found):
            raise RecipientRuleError(
                f"group({self.id_from!r}) needs a group's id and its initiator's user id in "
                f"{self.id_from!r} and {self.initiator_from!r}",
                hint="set both attributes before saving",
            )
        return frozenset([GroupMembers(*(str(value) for value in found))])

    def attributes(self) -> Sequence[str]:
        return (self.id_from, self.initiator_from)


def only_me() -> RecipientRule:
    """Encrypt for the author alone."""
    return _OnlyMe()


def users(*attribute_names: str) -> RecipientRule:
    """Encrypt for the users that the named attributes hold: ids, pointers, or lists of either."""
    return _Users(attribute_names)


def group(id_from: str, *, initiator_from: str) -> RecipientRule:
    """Encrypt for the present members of the E3Kit group that the attribute *id_from* names.

    Members are looked up when the object is encrypted, and the service has the last word on who
    they are. An object that was saved before somebody joined or left is as it was: `reseal` it.

    Args:
        id_from: The attribute that holds the group's id.
        initiator_from: The attribute that holds the user id of who made the group.
    """
    return _Group(id_from, initiator_from)


def acl_readers() -> RecipientRule:
    """Encrypt for every user whom the object's ACL lets read.

    An ACL that lets everybody read is an error when the object is saved, not a guess.
    """
    return _AclReaders()


def readers_for_the_guard(rule: RecipientRule) -> str | list[str] | None:
    """Say in the guard's words whom *rule* means: ``"acl"``, attributes that name users, or None.

    None stands for a rule of an app's own, which cloud code cannot follow.
    """
    if isinstance(rule, _AclReaders):
        return "acl"
    if isinstance(rule, (_OnlyMe, _Users)):
        return list(rule.attributes())
    return None
