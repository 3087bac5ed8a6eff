"""From rows to objects. Reading never fails for one bad value: it locks the attribute."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from encrypted_parse._translating import translating
from encrypted_parse.envelope import is_envelope
from encrypted_parse.errors import (
    AuthorMissingError,
    EncryptedParseError,
    InvalidValueError,
    MalformedResponseError,
    RecipientRuleError,
    SignerNotFoundError,
    UnexpectedPlaintextError,
)
from encrypted_parse.models import homes
from encrypted_parse.models.acl import ACL
from encrypted_parse.models.fields import OWN_ID, Encryption, Field
from encrypted_parse.models.model import Model, lock
from encrypted_parse.models.naming import point_out_names
from encrypted_parse.models.rules import Recipient, user_id_of
from encrypted_parse.models.sealer import ObjectContext, Sealer
from encrypted_parse.models.tags import remember, remembered_columns
from encrypted_parse.models.values import Pointer, Relation
from encrypted_parse.models.workers import Workers
from encrypted_parse.parse.types import date_from_json

M = TypeVar("M", bound=Model)
_CALLER = Workers(threads=1)
_Value = tuple[Model, Field, ObjectContext, str]
_Failed = tuple[str, _Value]  # with the author


def load_rows(  # noqa: PLR0913 - what a query says of its rows, by keyword
    model: type[M],
    rows: Sequence[Mapping[str, Any]],
    sealer: Sealer,
    *,
    only: frozenset[str] | None = None,
    include: Collection[str] = (),
    workers: Workers | None = None,
) -> list[M]:
    """Return one object per row, in order; values that cannot be opened are locked.

    If the rows hold some attributes *only*, the others are remembered as not fetched. *include*
    are the paths of columns that the server was asked to put objects into. With *workers*,
    values are opened by several threads.

    Raises:
        MalformedResponseError: A row is not a Parse object.
    """
    deferred = frozenset() if only is None else frozenset(model.fields) - only
    included = frozenset(path.partition(".")[0] for path in include)
    read = remembered_columns(model) - {model.fields[name].column for name in deferred}
    instances = [_load_plain(model, row, deferred, included) for row in rows]
    for instance, row in zip(instances, rows, strict=True):
        remember(instance, row, read)
    point_out_names(model, rows, deferred)
    authors = sealer.prefetch_authors(_authors(instances, sealer))
    pairs = list(zip(instances, rows, strict=True))

    failed: list[_Failed] = []
    (workers or _CALLER).each(
        lambda some: failed.extend(_open_encrypted(some, sealer, authors.absent)), pairs
    )
    _open_renewed(failed, sealer, authors.kept)
    _load_included(model, instances, rows, sealer, include)
    return instances


def _authors(instances: Iterable[Model], sealer: Sealer) -> set[str]:
    return {
        author
        for instance in instances
        for _, encryption in encrypted_fields(instance)
        if (author := author_of(instance, encryption, sealer.user_id)) is not None
    }


def _load_plain(
    model: type[M], row: Mapping[str, Any], deferred: frozenset[str], included: frozenset[str]
) -> M:
    instance = model.blank()
    state = instance._state  # noqa: SLF001 - our own
    state.deferred = deferred
    with translating(
        KeyError,
        TypeError,
        InvalidValueError,
        to=lambda: MalformedResponseError(f"a row of {model.parse_class} is no Parse object"),
    ):
        state.object_id = row["objectId"]
        state.created_at = date_from_json(row["createdAt"])
        state.updated_at = date_from_json(row.get("updatedAt", row["createdAt"]))
        if not isinstance(state.object_id, str):
            raise InvalidValueError("object id")
    state.stored_acl = row.get("ACL")
    for declared in model.fields.values():
        value = row.get(declared.column)
        if declared.name in deferred:
            continue
        if value is None:
            if declared.column in included:
                state.uncertain |= {declared.name}
            _show_default(instance, declared)
            continue
        if declared.encryption is None:
            accept_plain(instance, declared, value)
    return instance


def take_over(instance: Model, changed: Mapping[str, Any], sealer: Sealer) -> None:
    """Show the columns that the server answered with, whoever put them there."""
    state = instance._state  # noqa: SLF001 - our own
    remember(instance, changed, remembered_columns(type(instance)) & changed.keys())
    if changed.get("ACL") is not None:
        state.stored_acl = changed["ACL"]
        state.acl = None
    for declared in type(instance).fields.values():
        value = changed.get(declared.column)
        if value is None or declared.is_version or declared.codec.kind is Relation:
            continue
        state.deferred -= {declared.name}
        state.recipients.pop(declared.name, None)
        state.locked.pop(declared.name, None)
        if declared.encryption is None:
            accept_plain(instance, declared, value)
        else:
            instance.__dict__.pop(declared.name, None)
    authors = sealer.prefetch_authors(_authors([instance], sealer))
    failed = _open_encrypted([(instance, changed)], sealer, authors.absent)
    _open_renewed(failed, sealer, authors.kept)


def accept_plain(instance: Model, declared: Field, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Show the stored *value* of a plain field, or lock the field if it cannot hold that."""
    state = instance._state  # noqa: SLF001 - our own
    try:
        decoded = declared.codec.from_json(value)
        # As we would write it: what the server adds is no change of ours.
        state.stored[declared.name] = declared.codec.to_json(decoded)
    except InvalidValueError as error:
        lock(instance, declared.name, error)
    else:
        instance.__dict__[declared.name] = decoded
        state.defaults.pop(declared.name, None)


def _show_default(instance: Model, declared: Field) -> None:
    """Show the default of a field that the row has no value for; it is not sent as it is."""
    default = declared.shown_default()
    if default is not None:
        instance.__dict__[declared.name] = default
        instance._state.defaults[declared.name] = declared.stored_form(default)  # noqa: SLF001 - our own


def _load_included(
    model: type[Model],
    instances: Sequence[Model],
    rows: Sequence[Mapping[str, Any]],
    sealer: Sealer,
    include: Collection[str],
) -> None:
    """Make objects of the rows that the server put in place of pointers, a model at a time."""
    for declared in model.fields.values():
        target = declared.target
        if target is None:
            continue
        found: list[tuple[list[Any], int, Mapping[str, Any]]] = []  # a list, a place, a row
        single: list[tuple[Model, list[Any]]] = []
        for instance, row in zip(instances, rows, strict=True):
            value, stored = instance.__dict__.get(declared.name), row.get(declared.column)
            if value is None:
                continue
            pointers, stored = (value, stored) if isinstance(value, list) else ([value], [stored])
            if pointers is not value:
                single.append((instance, pointers))
            for place, one in enumerate(stored or ()):
                if isinstance(one, Mapping) and one.get("__type") == "Object":
                    found.append((pointers, place, one))
        head = f"{declared.column}."
        deeper = [path.removeprefix(head) for path in include if path.startswith(head)]
        loaded = load_rows(target, [row for _, _, row in found], sealer, include=deeper)
        for (pointers, place, _), one in zip(found, loaded, strict=True):
            pointers[place] = Pointer.to(one)
        for instance, [pointer] in single:
            instance.__dict__[declared.name] = pointer


def _open_encrypted(
    pairs: Sequence[tuple[Model, Mapping[str, Any]]], sealer: Sealer, absent: Collection[str]
) -> list[_Failed]:
    """Open the encrypted values of some objects, all those of one author together.

    Returns those that no known key of their author signed; they are locked.
    """
    waiting: dict[str, list[_Value]] = {}
    for instance, row in pairs:
        context = context_of(instance)
        for declared, encryption in encrypted_fields(instance):
            value = row.get(declared.column)
            if value is None or declared.name in instance._state.deferred:  # noqa: SLF001 - our own
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
                lock(instance, declared.name, AuthorMissingError(message))
            else:
                waiting.setdefault(author, []).append((instance, declared, context, value))
    return [
        (author, value)
        for author, values in waiting.items()
        for value in _open_of_author(values, author, sealer, absent=author in absent)
    ]


def _open_of_author(
    values: Sequence[_Value], author: str, sealer: Sealer, *, absent: bool = False
) -> list[_Value]:
    texts = [(context, text) for _, _, context, text in values]
    opened = sealer.unseal(texts, author, absent=absent)
    for (instance, declared, _, _), result in zip(values, opened, strict=True):
        _accept(instance, declared, result)
    return [
        value
        for value, result in zip(values, opened, strict=True)
        if isinstance(result, SignerNotFoundError)
    ]


def _open_renewed(failed: Sequence[_Failed], sealer: Sealer, kept: Collection[str]) -> None:
    """Open once more what failed against cards that were *kept*: its author may have rotated.

    One question for all authors of a page; whether a new key counts is judged as ever.
    """
    suspects = {author for author, _ in failed if author in kept}
    renewed = sealer.renew_authors(suspects) if suspects else frozenset()
    again: dict[str, list[_Value]] = {}
    for author, value in failed:
        if author in renewed:
            instance, declared, _, _ = value
            instance._state.locked.pop(declared.name, None)  # noqa: SLF001 - our own
            again.setdefault(author, []).append(value)
    for author, values in again.items():
        _open_of_author(values, author, sealer)


def _accept(instance: Model, declared: Field, opened: bytes | EncryptedParseError) -> None:
    if isinstance(opened, EncryptedParseError):
        lock(instance, declared.name, opened)
        return
    try:
        value = declared.codec.from_plaintext(opened)
    except InvalidValueError as error:
        lock(instance, declared.name, error)
        return
    homes.settle(instance, declared.name, declared.codec.files_in(value))
    instance.__dict__[declared.name] = value
    instance._state.stored[declared.name] = opened  # noqa: SLF001 - our own


def _resembles_envelope(value: str) -> bool:
    """Tell a damaged envelope from plaintext: base64 of a DER SEQUENCE begins with "M"."""
    shortest = 44  # base64 of 32 bytes, the shortest message of the format
    whole = value.startswith("M") and len(value) >= shortest and " " not in value
    return whole or is_envelope(value)  # as others write it: with white space before or inside


def author_of(instance: Model, encryption: Encryption, user_id: str) -> str | None:
    """Return whom the author attribute names; without one, ourselves; None if it names nobody."""
    if encryption.author is None:
        return user_id
    if encryption.author == OWN_ID:
        return instance.object_id
    return user_id_of(instance.__dict__.get(encryption.author)) or None


def stored_recipients(
    instance: Model, declared: Field, encryption: Encryption, user_id: str
) -> frozenset[Recipient] | None:
    """Return whom a stored value should be for, by the stored row; None if it does not tell."""
    state = instance._state  # noqa: SLF001 - our own
    if declared.name not in state.recipients:
        fields = type(instance).fields
        before = {
            name: fields[name].codec.from_json(state.stored[name])
            for name in encryption.to.attributes()
            if name in state.stored
        }
        try:
            acl = None if state.stored_acl is None else ACL.from_json(state.stored_acl)
            state.recipients[declared.name] = encryption.to.user_ids(acl, before) | {user_id}
        except (RecipientRuleError, InvalidValueError):
            state.recipients[declared.name] = None
    return state.recipients[declared.name]


def encrypted_fields(instance: Model) -> Iterable[tuple[Field, Encryption]]:
    """Yield the declared fields that are encrypted."""
    for declared in type(instance).fields.values():
        if declared.encryption is not None:
            yield declared, declared.encryption


def context_of(instance: Model) -> ObjectContext:
    """Return what a sealer may bind a value to."""
    return ObjectContext(type(instance).parse_class, instance.object_id)


def acl_to_save(instance: Model, user_id: str) -> ACL | None:
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
