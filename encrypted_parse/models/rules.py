"""Recipient rules: how a field finds the users that it is encrypted for.

The author is always a recipient too, as in E3Kit; rules name the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from encrypted_parse.errors import PublicReadError, RecipientRuleError
from encrypted_parse.models.acl import ACL, PUBLIC, ROLE_PREFIX


class RecipientRule(Protocol):
    """Anything that turns an object into user ids."""

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[str]:
        """Return the recipients' user ids, with or without the author.

        *acl* is None for a row without one, which everybody may read. *values* are the object's
        plain attributes.

        Raises:
            RecipientRuleError: There is no answer; the object is then not saved.
        """

    def attributes(self) -> Sequence[str]:
        """Return the names of the attributes that the rule reads."""


@frozen
class _OnlyMe:
    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - the protocol's
        return frozenset()

    def attributes(self) -> Sequence[str]:
        return ()


@frozen
class _Users:
    names: tuple[str, ...]

    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - the protocol's
        found: set[str] = set()
        for name in self.names:
            value = values.get(name)
            several = [value] if isinstance(value, str) or value is None else value
            if not isinstance(several, (list, tuple)) or not all(
                isinstance(user_id, str) and user_id for user_id in several
            ):
                raise RecipientRuleError(
                    f"users({name!r}) needs a user id, or a list of them, in {name!r}",
                    hint="set the attribute before saving",
                )
            found.update(several)
        return frozenset(found)

    def attributes(self) -> Sequence[str]:
        return self.names


@frozen
class _AclReaders:
    def user_ids(self, acl: ACL | None, values: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - the protocol's
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
        return readers

    def attributes(self) -> Sequence[str]:
        return ()


def only_me() -> RecipientRule:
    """Encrypt for the author alone."""
    return _OnlyMe()


def users(*attribute_names: str) -> RecipientRule:
    """Encrypt for the users whose ids stand in the named attributes (a str, or a list of str)."""
    return _Users(attribute_names)


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
