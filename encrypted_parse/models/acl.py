"""Access control lists: who may read and write an object's row.

An ACL decides access, encryption decides secrecy. The rule `acl_readers()` ties the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import InvalidValueError

PUBLIC = "*"
ROLE_PREFIX = "role:"
USER_CLASS = "_User"
_ACCESS = ("read", "write")
_MAX_ENTRIES = 10_000  # bounds work on hostile input


class HasUserId(Protocol):
    """A client, who is a user."""

    @property
    def user_id(self) -> str:
        """The user's id."""


class PointsToUser(Protocol):
    """A pointer to a user, or a fetched user."""

    @property
    def object_id(self) -> str | None:
        """The user's id."""


Who = str | HasUserId | PointsToUser


def user_name_of(who: Who) -> str:
    """Return what an ACL calls *who*; empty if that is no user."""
    if isinstance(who, str):
        return who
    class_name = getattr(who, "class_name", getattr(type(who), "parse_class", None))
    user_id = getattr(who, "object_id" if class_name == USER_CLASS else "user_id", None)
    return user_id if isinstance(user_id, str) and class_name in (None, USER_CLASS) else ""


@front_door
class ACL:
    """A set of permissions, keyed by user id, ``"role:NAME"`` or ``"*"``.

    An empty ACL lets nobody in but the master key. A new object's ACL starts empty, and the user
    who first saves the object is added to it with read and write, unless it names that user
    already.
    """

    __slots__ = ("_entries",)

    def __init__(
        self, *, read: Iterable[Who] = (), write: Iterable[Who] = (), public_read: bool = False
    ) -> None:
        self._entries: dict[str, set[str]] = {}
        for who in read:
            self.allow_read(who)
        for who in write:
            self.allow_write(who)
        if public_read:
            self.allow_public_read()

    def allow_read(self, who: Who) -> None:
        """Let a user read, or all of ``"role:NAME"``.

        *who* is a user id, or what stands for a user: a pointer, a fetched user, a client.

        Raises:
            InvalidValueError: *who* is empty, stands for no user, or is ``"*"``.
        """
        self._allow(who, "read")

    def allow_write(self, who: Who) -> None:
        """Let a user id or ``"role:NAME"`` write. Raises as `allow_read`."""
        self._allow(who, "write")

    def allow_public_read(self) -> None:
        """Let everybody read the row. Encrypted fields stay encrypted for their recipients."""
        self._entries.setdefault(PUBLIC, set()).add("read")

    def revoke(self, who: Who) -> None:
        """Take all permissions from *who*; nothing happens if there were none.

        Saving the object then re-encrypts the fields whose readers this changes. What *who* has
        read before cannot be taken back.
        """
        self._entries.pop(user_name_of(who), None)

    def can_read(self, who: Who) -> bool:
        """Tell whether *who* is named as a reader. Roles and ``"*"`` are not resolved."""
        return "read" in self._entries.get(user_name_of(who), ())

    def can_write(self, who: Who) -> bool:
        """Tell whether *who* is named as a writer. Roles and ``"*"`` are not resolved."""
        return "write" in self._entries.get(user_name_of(who), ())

    def names(self, who: Who) -> bool:
        """Tell whether the ACL has an entry for *who*."""
        return user_name_of(who) in self._entries

    @property
    def readers(self) -> frozenset[str]:
        """Everybody named as a reader: user ids, roles and ``"*"`` as written."""
        return frozenset(who for who, access in self._entries.items() if "read" in access)

    def copy(self) -> ACL:
        """Return an independent copy."""
        return ACL.from_json(self.to_json())

    def to_json(self) -> dict[str, dict[str, bool]]:
        """Return Parse's form: ``{"USERID": {"read": true}}``."""
        return {
            who: {access: True for access in _ACCESS if access in granted}
            for who, granted in sorted(self._entries.items())
            if granted
        }

    @classmethod
    def from_json(cls, value: Any) -> ACL:  # noqa: ANN401 - whatever the server sent
        """Read Parse's form strictly: an entry that we do not understand must not grant.

        Raises:
            InvalidValueError: Not an ACL. Parse Server itself stores anything here.
        """
        if not isinstance(value, Mapping) or len(value) > _MAX_ENTRIES:
            raise InvalidValueError("the ACL is not an object of permissions")
        acl = cls()
        for who, granted in value.items():
            if not isinstance(granted, Mapping) or not set(granted) <= set(_ACCESS):
                raise InvalidValueError("the ACL holds an entry that is not a permission")
            allowed = {access for access, yes in granted.items() if yes is True}
            acl._entries[who] = allowed
        return acl

    def _allow(self, whom: Who, access: str) -> None:
        who = user_name_of(whom)
        if not who:
            raise InvalidValueError("an ACL names user ids and 'role:NAME' strings")
        if who == PUBLIC:
            raise InvalidValueError(
                "'*' is everybody", hint="call allow_public_read() if that is meant"
            )
        self._entries.setdefault(who, set()).add(access)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ACL):
            return NotImplemented
        return self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"ACL({self.to_json()})"
