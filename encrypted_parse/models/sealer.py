"""The sealer: the one door between models and an encryption format.

Models speak in terms of one object: its context, its fields' plaintexts, its author, its
recipients. A format that binds values to their object can take this interface unchanged; E3Kit's
does not bind, so its sealer ignores the context.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import frozen

from encrypted_parse.discretion import as_value, front_door
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.e3kit.people import Prefetched
from encrypted_parse.envelope import Header, from_text, to_text
from encrypted_parse.errors import EncryptedParseError, RecipientRuleError, SignerNotFoundError
from encrypted_parse.models.roles import RoleDirectory
from encrypted_parse.models.rules import GroupMembers, Recipient, RoleMembers


@front_door
@frozen
class ObjectContext:
    """Which object a value belongs to; *object_id* is None before the first save."""

    class_name: str
    object_id: str | None


@front_door
@frozen
class Readers:
    """For whom an envelope is.

    Attributes:
        user_ids: The users of whom it names a key.
        current: Those of them of whom it names the current key.
        unknown: The identifiers of the other keys that it names, in hex.
    """

    user_ids: frozenset[str]
    current: frozenset[str]
    unknown: tuple[str, ...]


class Sealer(Protocol):
    """Encrypts and decrypts the fields of objects for one user."""

    @property
    def user_id(self) -> str:
        """The user who signs what is sealed."""

    def prefetch(self, recipients: Collection[Recipient], *, replaced: bool = False) -> None:
        """Fetch the cards of many users at once, so that the calls below need no network.

        Users without a card, or with one that cannot be used, are no error here. With *replaced*,
        kept cards do not count: a key in them is known to be replaced.
        """

    def prefetch_authors(self, user_ids: Collection[str]) -> Prefetched:
        """Do the same to verify with."""

    def renew_authors(self, user_ids: Collection[str]) -> frozenset[str]:
        """Ask again for users whose signatures fail against kept cards; returns who was asked for.

        Bounded: each user once in some seconds.
        """

    def seal(
        self, context: ObjectContext, fields: Mapping[str, bytes], recipients: Collection[Recipient]
    ) -> dict[str, str]:
        """Return the text form of each field, encrypted for *recipients* and the author.

        Raises:
            RecipientsNotRegisteredError: Some have no card; lists all of them.
            UnusableCardsError: Some have cards that cannot be used; lists all of them.
            CardError: The same, for a single recipient.
            UntrustedKeyError: Some have another key than the trusted one; lists all of them.
            GroupError: A group cannot be looked up.
        """

    def is_current(self, text: str, recipients: Collection[Recipient]) -> bool:
        """Tell whether an envelope is for the present keys of *recipients* and the author alone.

        Raises:
            RecipientsNotRegisteredError: As `seal`.
            GroupError: The same.
        """

    def unseal(
        self,
        values: Sequence[tuple[ObjectContext, str]],
        author: str,
        *,
        absent: bool = False,
    ) -> list[bytes | EncryptedParseError]:
        """Return for each value by *author* its plaintext, or the error that says why not.

        With *absent*, `prefetch_authors` just found no cards of the author, who is not asked for.
        """

    def share(self, text: str, author: str, recipients: Collection[Recipient]) -> str:
        """Return an envelope by *author* with *recipients* added; the same if it has them all.

        Raises:
            EnvelopeError: It cannot be opened, or is not the author's.
            RecipientsNotRegisteredError: As `seal`.
            UntrustedKeyError: The same.
        """

    def resolve(self, recipients: Collection[Recipient]) -> frozenset[str]:
        """Return the users that *recipients* stand for.

        Raises:
            RecipientRuleError: A role cannot be resolved.
            GroupError: A group cannot be looked up.
        """

    def readers(self, text: str, candidates: Collection[str]) -> Readers:
        """Tell for whom an envelope is, as far as *candidates* explain its recipients.

        Raises:
            EnvelopeError: It is not an envelope.
        """


@front_door
class E3KitSealer:
    """Seals each field as one E3Kit `authEncrypt` message."""

    def __init__(self, e3kit: E3Kit, roles: RoleDirectory | None = None) -> None:
        self._e3kit = e3kit
        self._roles = roles

    @property
    def user_id(self) -> str:
        """The user who signs what is sealed."""
        return self._e3kit.user_id

    def prefetch(self, recipients: Collection[Recipient], *, replaced: bool = False) -> None:
        """See `Sealer.prefetch`."""
        self._e3kit.prefetch(self._resolve(recipients, missing_ok=True), replaced=replaced)

    def prefetch_authors(self, user_ids: Collection[str]) -> Prefetched:
        """See `Sealer.prefetch_authors`."""
        return self._e3kit.prefetch_authors(user_ids)

    def renew_authors(self, user_ids: Collection[str]) -> frozenset[str]:
        """See `Sealer.renew_authors`."""
        return self._e3kit.renew_authors(user_ids)

    def seal(
        self,
        context: ObjectContext,  # noqa: ARG002 - E3Kit's format binds no context
        fields: Mapping[str, bytes],
        recipients: Collection[Recipient],
    ) -> dict[str, str]:
        """See `Sealer.seal`."""
        keys = self._e3kit.recipient_keys(self._resolve(recipients))
        return {name: to_text(self._e3kit.seal(value, keys)) for name, value in fields.items()}

    def is_current(self, text: str, recipients: Collection[Recipient]) -> bool:
        """See `Sealer.is_current`."""
        keys = self._e3kit.recipient_keys(self._resolve(recipients))
        try:
            named = [stanza.recipient_id for stanza in Header.from_bytes(from_text(text)).stanzas()]
        except EncryptedParseError:
            return False
        matched = [{key for key in keys if who in (key.key_id, key.long_key_id)} for who in named]
        return all(matched) and set().union(*matched) == set(keys)

    def unseal(
        self,
        values: Sequence[tuple[ObjectContext, str]],
        author: str,
        *,
        absent: bool = False,
    ) -> list[bytes | EncryptedParseError]:
        """See `Sealer.unseal`. E3Kit's format binds no context."""
        sealed: list[bytes | EncryptedParseError] = []
        for _, text in values:
            try:
                sealed.append(from_text(text))
            except EncryptedParseError as error:
                sealed.append(as_value(error))
        try:
            signers = self._e3kit.author_keys(author, absent=absent)
            envelopes = [one for one in sealed if isinstance(one, bytes)]
            opened = iter(self._e3kit.open_all(envelopes, signers))
        except EncryptedParseError as error:
            return [as_value(error)] * len(values)
        return [next(opened) if isinstance(one, bytes) else one for one in sealed]

    def share(self, text: str, author: str, recipients: Collection[Recipient]) -> str:
        """See `Sealer.share`."""
        keys = self._e3kit.recipient_keys(self._resolve(recipients))
        sealed = from_text(text)
        signers = self._e3kit.author_keys(author)
        try:
            shared = self._e3kit.share(sealed, signers, keys)
        except SignerNotFoundError:
            if not self._e3kit.renew_authors([author]):
                raise
            shared = self._e3kit.share(sealed, self._e3kit.author_keys(author), keys)
        return to_text(shared)

    def resolve(self, recipients: Collection[Recipient]) -> frozenset[str]:
        """See `Sealer.resolve`."""
        return self._resolve(recipients)

    def readers(self, text: str, candidates: Collection[str]) -> Readers:
        """See `Sealer.readers`."""
        named = Header.from_bytes(from_text(text)).recipient_ids()
        owners: dict[bytes, str] = {}
        current: dict[bytes, str] = {}
        for user_id, keys in self._e3kit.keys_ever_of(candidates).items():
            for index, key in enumerate(keys):
                for key_id in (key.key_id, key.long_key_id):
                    owners[key_id] = user_id
                    if index == 0:
                        current[key_id] = user_id
        return Readers(
            frozenset(owners[key_id] for key_id in named if key_id in owners),
            frozenset(current[key_id] for key_id in named if key_id in current),
            tuple(key_id.hex() for key_id in named if key_id not in owners),
        )

    def _resolve(
        self, recipients: Collection[Recipient], *, missing_ok: bool = False
    ) -> frozenset[str]:
        """Replace groups and roles by their members."""
        user_ids = {recipient for recipient in recipients if isinstance(recipient, str)}
        try:
            user_ids |= self._members_of_roles(recipients)
        except EncryptedParseError:
            if not missing_ok:
                raise
        for recipient in recipients:
            if isinstance(recipient, GroupMembers):
                try:
                    user_ids |= self._e3kit.group_members(recipient.group_id, recipient.initiator)
                except EncryptedParseError:
                    if not missing_ok:
                        raise
        return frozenset(user_ids)

    def _members_of_roles(self, recipients: Collection[Recipient]) -> frozenset[str]:
        names = [recipient.name for recipient in recipients if isinstance(recipient, RoleMembers)]
        if not names:
            return frozenset()
        if self._roles is None:
            raise RecipientRuleError("roles need a Parse session to be resolved")
        return frozenset().union(*self._roles.members(names).values())
