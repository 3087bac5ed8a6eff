"""Explaining: who will be able to read an object, and who is able to."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.errors import (
    EncryptedParseError,
    FieldLockedError,
    RecipientsNotRegisteredError,
    UntrustedKeyError,
)
from encrypted_parse.models import rows
from encrypted_parse.models.acl import PUBLIC
from encrypted_parse.models.arguments import require_instance, require_list, saved_id
from encrypted_parse.models.fields import Field
from encrypted_parse.models.model import Model
from encrypted_parse.models.rules import acl_readers
from encrypted_parse.models.sealer import Readers, Sealer
from encrypted_parse.parse import ParseClient


@front_door
@frozen
class FieldExplanation:
    """What saving would do with one encrypted field.

    Attributes:
        name: The attribute.
        readers: The users who will be able to read it, the author among them.
        not_registered: Those who have no card: saving raises until they have.
        untrusted: Those whose key changed and is not accepted: saving raises until it is.
        plaintext_bytes: How long the value is; None if there is none.
        stored_bytes: How long its column will be; None if it cannot be saved.
        problem: Why it cannot be saved as it is; None if it can.
    """

    name: str
    readers: frozenset[str] = frozenset()
    not_registered: frozenset[str] = frozenset()
    untrusted: frozenset[str] = frozenset()
    plaintext_bytes: int | None = None
    stored_bytes: int | None = None
    problem: str | None = None

    def __str__(self) -> str:
        if self.problem is not None:
            return f"{self.name}: cannot be saved: {self.problem}"
        who = ", ".join(sorted(self.readers))
        if self.plaintext_bytes is None:
            return f"{self.name}: no value; would be for {who}"
        return f"{self.name}: for {who}; {self.plaintext_bytes} bytes become {self.stored_bytes}"


@front_door
@frozen
class Explanation:
    """What saving an object would encrypt, and for whom. `str` of it is a text for people."""

    fields: tuple[FieldExplanation, ...]
    plain: tuple[str, ...]

    @property
    def can_be_saved(self) -> bool:
        """Whether nothing stands against it."""
        return all(one.problem is None for one in self.fields)

    def __str__(self) -> str:
        plain = f"plain, for the server and whom the ACL lets: {', '.join(self.plain) or 'nothing'}"
        return "\n".join([*map(str, self.fields), plain])


@front_door
def explain(instance: Model, sealer: Sealer) -> Explanation:
    """Tell who would be able to read what if *instance* were saved now. Changes nothing."""
    fields = []
    for declared, encryption in rows.encrypted_fields(require_instance(instance)):
        name = declared.name
        try:
            recipients = encryption.to.user_ids(
                rows.acl_to_save(instance, sealer.user_id), hushed(instance.__dict__)
            )
            readers = sealer.resolve(recipients) | {sealer.user_id}
            is_none = instance.__dict__.get(name) is None
            if name in instance.locked and is_none:
                raise FieldLockedError(f"it is locked: {instance.locked[name]}")
            plaintext = None if is_none else _plaintext(instance, declared)
            fields.append(_explain_field(instance, sealer, name, readers, plaintext))
        except EncryptedParseError as error:
            fields.append(FieldExplanation(name, problem=str(error)))
    plain = tuple(
        name for name, declared in type(instance).fields.items() if declared.encryption is None
    )
    return Explanation(tuple(fields), plain)


def _plaintext(instance: Model, declared: Field) -> bytes:
    value = declared.check(instance.__dict__[declared.name])
    return hushed(declared.codec.to_plaintext(value))


def _explain_field(
    instance: Model, sealer: Sealer, name: str, readers: frozenset[str], plaintext: bytes | None
) -> FieldExplanation:
    size = None if plaintext is None else len(plaintext)
    try:
        sealed = sealer.seal(rows.context_of(instance), {name: plaintext or b""}, readers)
    except RecipientsNotRegisteredError as error:
        missing = frozenset(error.user_ids)
        return FieldExplanation(name, readers, missing, plaintext_bytes=size, problem=str(error))
    except UntrustedKeyError as error:
        untrusted = frozenset(error.user_ids)
        return FieldExplanation(
            name, readers, untrusted=untrusted, plaintext_bytes=size, problem=str(error)
        )
    stored = None if plaintext is None else len(sealed[name])
    return FieldExplanation(name, readers, plaintext_bytes=size, stored_bytes=stored)


@front_door
def who_can_read(
    instance: Model, parse: ParseClient, sealer: Sealer, candidates: Iterable[str]
) -> dict[str, Readers]:
    """Tell from the stored envelopes who can read them. See `UserClient.who_can_read`."""
    object_id, candidates = saved_id(instance), require_list(candidates, "user ids")
    row = parse.get(instance.parse_class, object_id)
    [fresh] = rows.load_rows(type(instance), [row], sealer)
    acl = fresh._state.acl  # noqa: SLF001 - our own
    known = {sealer.user_id, *candidates}
    for rule in [acl_readers(), *(one.to for _, one in rows.encrypted_fields(fresh))]:
        try:
            known |= sealer.resolve(rule.user_ids(acl, hushed(fresh.__dict__)))
        except EncryptedParseError:
            continue  # a public ACL, a role that we may not see: the envelopes say the rest
    for _, encryption in rows.encrypted_fields(fresh):
        known.add(rows.author_of(fresh, encryption, sealer.user_id) or sealer.user_id)
    return {
        declared.name: sealer.readers(text, known - {PUBLIC})
        for declared, _ in rows.encrypted_fields(fresh)
        if isinstance(text := row.get(declared.column), str)
    }
