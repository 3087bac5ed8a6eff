"""Recipient rules: how a field finds the users that it is encrypted for.

The author is always a recipient too, as in E3Kit; rules name the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import PublicReadError, RecipientRuleError
from encrypted_parse.models.acl import ACL, PUBLIC, ROLE_PREFIX
from encrypted_parse.models.values import USER_CLASS, Pointer


@front_door
@frozen
class GroupMembers:
    """The members of an E3Kit group, whoever they are when an object is encrypted."""

    group_id: str
    initiator: str


@front_door
@frozen
class RoleMembers:
    """The users of a Parse role and of the roles in it, whoever they are at that moment."""

    name: str


Recipient = str | GroupMembers | RoleMembers
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


@front_door
class Rule:
    """A rule of this package: rules join by ``|``."""

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:
        """See `RecipientRule.user_ids`."""
        raise NotImplementedError

    def attributes(self) -> Sequence[str]:
        """See `RecipientRule.attributes`."""
        return ()

    def __or__(self, other: RecipientRule) -> Rule:
        return _AnyOf((self, other))

    def __ror__(self, other: RecipientRule) -> Rule:
        return _AnyOf((other, self))


@frozen
class _AnyOf(Rule):
    rules: tuple[RecipientRule, ...]

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:
        return frozenset().union(*(rule.user_ids(acl, values) for rule in self.rules))

    def attributes(self) -> Sequence[str]:
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.attributes()))


@frozen
class _Role(Rule):
    name: str

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:  # noqa: ARG002 - the protocol's
        return frozenset([RoleMembers(self.name)])


@frozen
class _Computed(Rule):
    function: Callable[[Mapping[str, Any]], Iterable[str]]
    names: tuple[str, ...]

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:  # noqa: ARG002 - the protocol's
        missing = [name for name in self.names if values.get(name) is None]
        if missing:
            raise RecipientRuleError(f"the recipients depend on {missing[0]!r}, which has no value")
        found: list[Any] = list(self.function({name: values[name] for name in self.names}))
        if not all(isinstance(user_id, str) and user_id for user_id in found):
            raise RecipientRuleError("a recipient function returns user ids")
        return frozenset(found)

    def attributes(self) -> Sequence[str]:
        return self.names


@frozen
class _OnlyMe(Rule):
    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:  # noqa: ARG002 - the protocol's
        return frozenset()


@frozen
class _Users(Rule):
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
class _AclReaders(Rule):
    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[Recipient]:  # noqa: ARG002 - the protocol's
        readers = frozenset([PUBLIC]) if acl is None else acl.readers
        if PUBLIC in readers:
            raise PublicReadError(
                "the ACL lets everybody read, so its readers cannot be enumerated",
                hint="name the readers with acl.allow_read(user_id), or use users(...)",
            )
        return frozenset[Recipient](
            RoleMembers(who.removeprefix(ROLE_PREFIX)) if who.startswith(ROLE_PREFIX) else who
            for who in readers
        )


@frozen
class _Group(Rule):
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


def only_me() -> Rule:
    """Encrypt for the author alone."""
    return _OnlyMe()


def users(*attribute_names: str) -> Rule:
    """Encrypt for the users that the named attributes hold: ids, pointers, or lists of either."""
    return _Users(attribute_names)


def group(id_from: str, *, initiator_from: str) -> Rule:
    """Encrypt for the present members of the E3Kit group that the attribute *id_from* names.

    Members are looked up when the object is encrypted, and the service has the last word on who
    they are. An object that was saved before somebody joined or left is as it was: `reseal` it.

    Args:
        id_from: The attribute that holds the group's id.
        initiator_from: The attribute that holds the user id of who made the group.
    """
    return _Group(id_from, initiator_from)


def acl_readers() -> Rule:
    """Encrypt for every user whom the object's ACL lets read.

    Roles in it stand for their users, see `role`. An ACL that lets everybody read is an error
    when the object is saved, not a guess.
    """
    return _AclReaders()


def role(name: str) -> Rule:
    """Encrypt for the users of the Parse role *name*, and of the roles in it.

    They are looked up when the object is encrypted, by the companion's cloud function
    ``role-members``, and kept for five minutes. **The server says who they are**: see
    docs/security-model.md. An object that was saved before somebody joined or left the role is
    as it was: `reseal` it.
    """
    return _Role(name)


def computed(function: Callable[[Mapping[str, Any]], Iterable[str]], *attribute_names: str) -> Rule:
    """Encrypt for the user ids that *function* returns for the values of the named attributes.

    When one of them changes, the field is encrypted again. The function should be quick and
    depend on these values alone.
    """
    return _Computed(function, attribute_names)


def readers_for_the_guard(rule: RecipientRule) -> str | list[str] | None:
    """Say in the guard's words whom *rule* means: ``"acl"``, attributes that name users, or None.

    None stands for a rule of an app's own, which cloud code cannot follow.
    """
    if isinstance(rule, _AclReaders):
        return "acl"
    if isinstance(rule, (_OnlyMe, _Users)):
        return list(rule.attributes())
    return None
