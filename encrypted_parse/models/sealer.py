"""The sealer: the one door between models and an encryption format.

Models speak in terms of one object: its context, its fields' plaintexts, its author, its
recipients. A format that binds values to their object can take this interface unchanged; E3Kit's
does not bind, so its sealer ignores the context.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from attrs import frozen

from encrypted_parse.e3kit import E3Kit
from encrypted_parse.envelope import from_text, to_text
from encrypted_parse.errors import EncryptedParseError, NotRegisteredError


@frozen
class ObjectContext:
    """Which object a value belongs to; *object_id* is None before the first save."""

    class_name: str
    object_id: str | None


class Sealer(Protocol):
    """Encrypts and decrypts the fields of objects for one user."""

    @property
    def user_id(self) -> str:
        """The user who signs what is sealed."""

    def prefetch(self, user_ids: Collection[str]) -> None:
        """Fetch the cards of many users at once, so that the calls below need no network.

        Users without a card are no error here.
        """

    def seal(
        self, context: ObjectContext, fields: Mapping[str, bytes], recipients: Collection[str]
    ) -> dict[str, str]:
        """Return the text form of each field, encrypted for *recipients* and the author.

        Raises:
            RecipientsNotRegisteredError: Some have no card; lists all of them.
        """

    def unseal(
        self, context: ObjectContext, fields: Mapping[str, str], author: str
    ) -> dict[str, bytes | EncryptedParseError]:
        """Return for each field its plaintext, or the error that says why there is none."""


class E3KitSealer:
    """Seals each field as one E3Kit `authEncrypt` message."""

    def __init__(self, e3kit: E3Kit) -> None:
        self._e3kit = e3kit

    @property
    def user_id(self) -> str:
        """The user who signs what is sealed."""
        return self._e3kit.user_id

    def prefetch(self, user_ids: Collection[str]) -> None:
        """See `Sealer.prefetch`."""
        self._e3kit.prefetch(user_ids)

    def seal(
        self,
        context: ObjectContext,  # noqa: ARG002 - E3Kit's format binds no context
        fields: Mapping[str, bytes],
        recipients: Collection[str],
    ) -> dict[str, str]:
        """See `Sealer.seal`."""
        keys = self._e3kit.recipient_keys(recipients)
        return {name: to_text(self._e3kit.seal(value, keys)) for name, value in fields.items()}

    def unseal(
        self,
        context: ObjectContext,  # noqa: ARG002 - E3Kit's format binds no context
        fields: Mapping[str, str],
        author: str,
    ) -> dict[str, bytes | EncryptedParseError]:
        """See `Sealer.unseal`."""
        try:
            signers = self._e3kit.author_keys(author)
        except NotRegisteredError as error:
            return dict.fromkeys(fields, error)
        unsealed: dict[str, bytes | EncryptedParseError] = {}
        sealed: dict[str, bytes] = {}
        for name, text in fields.items():
            try:
                sealed[name] = from_text(text)
            except EncryptedParseError as error:
                unsealed[name] = error
        try:
            opened = self._e3kit.open_all(list(sealed.values()), signers)
        except EncryptedParseError as error:
            return dict.fromkeys(fields, error)
        return unsealed | dict(zip(sealed, opened, strict=True))
