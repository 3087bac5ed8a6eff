"""From rows to objects, and from objects to what has to be sent.

Reading never fails for one bad value: it locks the attribute. Writing checks everything before
anything is encrypted, and encrypts everything before anything is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import frozen

from encrypted_parse.errors import (
    AuthorMismatchError,
    EncryptedParseError,
    FieldLockedError,
    InvalidValueError,
    MalformedResponseError,
    MissingValueError,
    RecipientRuleError,
    UnexpectedPlaintextError,
)
from encrypted_parse.models.acl import ACL
from encrypted_parse.models.fields import Encryption, Field
from encrypted_parse.models.model import Model, ObjectState, lock
from encrypted_parse.models.rules import Recipient, user_id_of
from encrypted_parse.models.sealer import ObjectContext, Sealer
from encrypted_parse.models.values import Pointer, Relation
from encrypted_parse.parse.types import date_from_json

M = TypeVar("M", bound=Model)
_DELETE = {"__op": "Delete"}


# --- reading --------------------------------------------------------------------------------


def load_rows(model: type[M], rows: Sequence[Mapping[str, Any]], sealer: Sealer) -> list[M]:
    """Return one object per row, in order; values that cannot be opened are locked.

    Raises:
        MalformedResponseError: A row is not a Parse object.
    """
    instances = [_load_plain(model, row, sealer.user_id) for row in rows]
    sealer.prefetch(
        {
            author
            for instance in instances
            for declared, encryption in encrypted_fields(instance)
            if (author := author_of(instance, encryption, sealer.user_id)) is not None
        }
    )
    for instance, row in zip(instances, rows, strict=True):
        _open_encrypted(instance, row, sealer)
    _load_included(model, instances, rows, sealer)
    return instances


def _load_plain(model: type[M], row: Mapping[str, Any], user_id: str) -> M:
    instance = model.blank()
    state = instance._state  # noqa: SLF001 - our own
    try:
        state.object_id = row["objectId"]
        state.created_at = date_from_json(row["createdAt"])
        state.updated_at = date_from_json(row.get("updatedAt", row["createdAt"]))
        if not isinstance(state.object_id, str):
            raise InvalidValueError("object id")
    except (KeyError, TypeError, InvalidValueError) as error:
        raise MalformedResponseError(f"a row of {model.parse_class} is no Parse object") from error
    state.stored_acl = row.get("ACL")
    if state.stored_acl is not None:
        try:
            state.acl = ACL.from_json(state.stored_acl)
        except InvalidValueError:
            # The server enforces it, whatever it is; to us it names nobody.
            state.acl = ACL()
    for declared in model.fields.values():
        value = row.get(declared.column)
        if declared.encryption is not None or value is None:
            continue
        try:
            decoded = declared.codec.from_json(value)
            # As we would write it: what the server adds is no change of ours.
            state.stored[declared.name] = declared.codec.to_json(decoded)
        except InvalidValueError as error:
            lock(instance, declared.name, error)
        else:
            instance.__dict__[declared.name] = decoded
    for declared, encryption in encrypted_fields(instance):
        state.recipients[declared.name] = _known_recipients(instance, encryption, user_id)
    return instance


def _load_included(
    model: type[Model],
    instances: Sequence[Model],
    rows: Sequence[Mapping[str, Any]],
    sealer: Sealer,
) -> None:
    """Make objects of the rows that the server put in place of pointers, a model at a time."""
    for declared in model.fields.values():
        target = declared.target
        if target is None:
            continue
        found = [
            (instance, row[declared.column])
            for instance, row in zip(instances, rows, strict=True)
            if declared.name in instance.__dict__
            and instance.__dict__[declared.name] is not None
            and isinstance(row.get(declared.column), dict)
            and row[declared.column].get("__type") == "Object"
        ]
        loaded = load_rows(target, [row for _, row in found], sealer) if found else []
        for (instance, _), included in zip(found, loaded, strict=True):
            instance.__dict__[declared.name] = Pointer.to(included)


def _open_encrypted(instance: Model, row: Mapping[str, Any], sealer: Sealer) -> None:
    context = _context(instance)
    by_author: dict[str, dict[str, str]] = {}
    for declared, encryption in encrypted_fields(instance):
        value = row.get(declared.column)
        if value is None:
            continue
        author = author_of(instance, encryption, sealer.user_id)
        if not isinstance(value, str) or not _resembles_envelope(value):
            error = UnexpectedPlaintextError(
                "the encrypted column holds plaintext",
                hint="a client that does not encrypt wrote it; do not trust it",
            )
            lock(instance, declared.name, error)
        elif author is None:
            message = f"{encryption.author!r} names no author, so no signature can be checked"
            lock(instance, declared.name, MissingValueError(message))
        else:
            by_author.setdefault(author, {})[declared.name] = value
    for author, texts in by_author.items():
        for name, opened in sealer.unseal(context, texts, author).items():
            _accept(instance, type(instance).fields[name], opened)


def _accept(instance: Model, declared: Field, opened: bytes | EncryptedParseError) -> None:
    if isinstance(opened, EncryptedParseError):
        lock(instance, declared.name, opened)
        return
    try:
        instance.__dict__[declared.name] = declared.codec.from_plaintext(opened)
    except InvalidValueError as error:
        lock(instance, declared.name, error)
        return
    instance._state.stored[declared.name] = opened  # noqa: SLF001 - our own


def _resembles_envelope(value: str) -> bool:
    """Tell a damaged envelope from plaintext: base64 of a DER SEQUENCE begins with "M"."""
    shortest = 44  # base64 of 32 bytes, the shortest message of the format
    return value.startswith("M") and len(value) >= shortest and " " not in value


# --- writing --------------------------------------------------------------------------------


@frozen
class Draft:
    """Everything that one save has to send, before encryption.

    Attributes:
        plain: Parse JSON by column, the ACL included.
        sealed: By recipient set, the plaintexts by attribute.
        stored: What `ObjectState.stored` becomes when the save succeeds.
        recipients: The same for `ObjectState.recipients`.
    """

    instance: Model
    plain: dict[str, Any]
    sealed: dict[frozenset[Recipient], dict[str, bytes]]
    stored: dict[str, Any]
    recipients: dict[str, frozenset[Recipient] | None]

    @property
    def is_empty(self) -> bool:
        """True if nothing has changed."""
        return not self.plain and not self.sealed


def draft(instance: Model, user_id: str, *, reseal: Collection[str] = ()) -> Draft:
    """Work out what saving *instance* as *user_id* has to send. Nothing is changed.

    The encrypted attributes in *reseal* are encrypted again, changed or not.

    Raises:
        InvalidValueError: A value, changed in place, cannot be stored.
        AuthorMismatchError: A field would have to be signed by somebody else.
        RecipientRuleError: A rule has no answer.
        FieldLockedError: A locked field would have to be encrypted again.
        MissingValueError: A new object lacks a value.
    """
    state = instance._state  # noqa: SLF001 - our own
    acl = _acl_to_save(instance, user_id)
    acl_json = None if acl is None else acl.to_json()
    result = Draft(instance, {}, {}, dict(state.stored), dict(state.recipients))
    if acl_json is not None and acl_json != state.stored_acl:
        result.plain["ACL"] = acl_json
    for declared in type(instance).fields.values():
        if declared.encryption is None:
            _draft_plain(result, declared, state)
    changed = "ACL" in result.plain or any(
        declared.column in result.plain for declared in type(instance).fields.values()
    )
    for declared, encryption in encrypted_fields(instance):
        again = declared.name in reseal
        _draft_encrypted(result, declared, encryption, acl, user_id, changed=changed, again=again)
    return result


def _draft_plain(result: Draft, declared: Field, state: ObjectState) -> None:
    name, column = declared.name, declared.column
    values = result.instance.__dict__
    if name not in values or isinstance(values[name], Relation):
        return
    if values[name] is None:
        if name in state.stored or name in state.released:
            result.plain[column] = _DELETE
            result.stored.pop(name, None)
        return
    encoded = declared.codec.to_json(declared.check(values[name]))
    if name not in state.stored or state.stored[name] != encoded:
        result.plain[column] = encoded
        result.stored[name] = encoded


def _draft_encrypted(  # noqa: PLR0913 - what one decision depends on
    result: Draft,
    declared: Field,
    encryption: Encryption,
    acl: ACL | None,
    user_id: str,
    *,
    changed: bool,
    again: bool,
) -> None:
    instance, name = result.instance, declared.name
    state = instance._state  # noqa: SLF001 - our own
    values = instance.__dict__
    value = values.get(name)
    if value is None and name not in state.locked:
        if name in values and name in state.stored:
            result.plain[declared.column] = _DELETE
            result.stored.pop(name, None)
        return
    locked = name in state.locked and name not in values
    plaintext = None if locked else declared.codec.to_plaintext(declared.check(value))
    dirty = not locked and (again or state.stored.get(name) != plaintext)

    # Recipients are worked out again only when something that they depend on may have changed.
    before = state.recipients.get(name)
    if not dirty and (not changed or before is None):
        return
    recipients = encryption.to.user_ids(acl, values) | {user_id}
    if not dirty and recipients == before:
        return
    if plaintext is None:
        raise FieldLockedError(
            f"{declared.where} would have to be encrypted for other readers, but it is locked",
            hint="only somebody who can read the value can change its readers",
        )
    _check_author(instance, declared, encryption, user_id)
    result.sealed.setdefault(recipients, {})[name] = plaintext
    result.stored[name] = plaintext
    result.recipients[name] = recipients


def seal(result: Draft, sealer: Sealer) -> dict[str, Any]:
    """Encrypt a draft and return the complete body of the REST call.

    Raises:
        RecipientsNotRegisteredError: Some recipients have no card; lists all of them.
    """
    columns = type(result.instance).fields
    body = dict(result.plain)
    sealer.prefetch(frozenset().union(*result.sealed))
    for recipients, plaintexts in result.sealed.items():
        texts = sealer.seal(_context(result.instance), plaintexts, recipients)
        body.update({columns[name].column: text for name, text in texts.items()})
    return body


def commit(result: Draft, answer: Mapping[str, Any]) -> None:
    """Take over what the server answered to a draft that was sent.

    Raises:
        MalformedResponseError: The answer is not that of a create or update.
    """
    instance = result.instance
    state = instance._state  # noqa: SLF001 - our own
    try:
        if state.object_id is None:
            object_id, created = answer["objectId"], date_from_json(answer["createdAt"])
            state.object_id, state.created_at, state.updated_at = object_id, created, created
        elif "updatedAt" in answer:
            state.updated_at = date_from_json(answer["updatedAt"])
    except (KeyError, InvalidValueError) as error:
        raise MalformedResponseError("the answer to a save is no Parse object") from error
    state.stored = result.stored
    state.recipients = result.recipients
    if "ACL" in result.plain:
        state.stored_acl = result.plain["ACL"]
        state.acl = ACL.from_json(state.stored_acl)
    for name in [name for name in state.released if name in instance.__dict__]:
        state.locked.pop(name, None)
        state.released.discard(name)


def _acl_to_save(instance: Model, user_id: str) -> ACL | None:
    """Return the ACL with the default of a new object: its author, beside whom it names."""
    state = instance._state  # noqa: SLF001 - our own
    if state.object_id is not None:
        return state.acl
    if state.acl is None and not any(True for _ in encrypted_fields(instance)):
        return None  # an object without encrypted fields keeps Parse's default
    acl = ACL() if state.acl is None else state.acl.copy()
    if not acl.names(user_id):
        acl.allow_read(user_id)
        acl.allow_write(user_id)
    return acl


def _check_author(instance: Model, declared: Field, encryption: Encryption, user_id: str) -> None:
    if encryption.author is None:
        return
    author = user_id_of(instance.__dict__.get(encryption.author))
    if author != user_id:
        raise AuthorMismatchError(
            f"{declared.where} is signed by the user that {encryption.author!r} names, "
            "and that is not you",
            hint=f"set {encryption.author!r} to your own user id, or let its author save it",
        )


def author_of(instance: Model, encryption: Encryption, user_id: str) -> str | None:
    """Return whom the author attribute names; without one, ourselves; None if it names nobody."""
    if encryption.author is None:
        return user_id
    return user_id_of(instance.__dict__.get(encryption.author)) or None


def _known_recipients(
    instance: Model, encryption: Encryption, user_id: str
) -> frozenset[Recipient] | None:
    state = instance._state  # noqa: SLF001 - our own
    try:
        return encryption.to.user_ids(state.acl, instance.__dict__) | {user_id}
    except RecipientRuleError:
        return None


def encrypted_fields(instance: Model) -> Iterable[tuple[Field, Encryption]]:
    """Yield the declared fields that are encrypted."""
    for declared in type(instance).fields.values():
        if declared.encryption is not None:
            yield declared, declared.encryption


def _context(instance: Model) -> ObjectContext:
    return ObjectContext(type(instance).parse_class, instance.object_id)
