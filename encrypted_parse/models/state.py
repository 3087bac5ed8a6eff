"""The state of an object: what is known of its row, beside the values themselves."""

from __future__ import annotations

import datetime as dt
from typing import Any

from encrypted_parse.errors import InvalidValueError
from encrypted_parse.models.acl import ACL
from encrypted_parse.models.fields import LockedValue
from encrypted_parse.models.rules import Recipient


class ObjectState:
    """What is known of an object's row, beside the values themselves.

    Attributes:
        stored: By attribute, the value as last seen on the server: Parse JSON for a plain field,
            the plaintext bytes for an encrypted one. Absent means absent on the server.
        recipients: By encrypted attribute, whom the stored value was encrypted for, where we have
            saved or asked for it; see `rows.stored_recipients`.
        locked: By attribute, why a stored value could not be opened.
        released: Locked attributes that may be overwritten, by explicit call.
        deferred: Attributes that the query did not ask for.
        defaults: By attribute that shows its default because the row has no column for it, that
            default as it would be stored: unless it changes, it is not sent.
        read: By column that says who reads, or that is encrypted, a tag of what it held when it was
            fetched or saved; see `tags`.
        uncertain: Attributes that were included and are absent: Parse leaves pointers to what is
            gone out of its answer, so the row may hold one.
    """

    __slots__ = (
        "_acl",
        "created_at",
        "defaults",
        "deferred",
        "locked",
        "object_id",
        "read",
        "recipients",
        "released",
        "stored",
        "stored_acl",
        "uncertain",
        "updated_at",
    )

    def __init__(self) -> None:
        self.object_id: str | None = None
        self.created_at: dt.datetime | None = None
        self.updated_at: dt.datetime | None = None
        self._acl: ACL | None = None
        self.stored_acl: Any = None
        self.stored: dict[str, Any] = {}
        self.recipients: dict[str, frozenset[Recipient] | None] = {}
        self.locked: dict[str, LockedValue] = {}
        self.released: set[str] = set()
        self.deferred: frozenset[str] = frozenset()
        self.defaults: dict[str, Any] = {}
        self.read: dict[str, str] = {}
        self.uncertain: frozenset[str] = frozenset()

    @property
    def acl(self) -> ACL | None:
        """The object's ACL, which a program may have changed; None if it has none."""
        if self._acl is None and self.stored_acl is not None:
            try:
                self._acl = ACL.from_json(self.stored_acl)
            except InvalidValueError:
                self._acl = ACL()  # the server enforces it, whatever it is; to us it names nobody
        return self._acl

    @acl.setter
    def acl(self, value: ACL | None) -> None:
        self._acl = value
