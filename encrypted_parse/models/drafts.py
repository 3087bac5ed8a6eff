"""Drafts: from objects to what has to be sent.

Writing checks everything before anything is encrypted, and encrypts everything before anything is
sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.discretion import hushed
from encrypted_parse.errors import (
    AuthorMismatchError,
    FieldLockedError,
    InvalidValueError,
    MalformedResponseError,
)
from encrypted_parse.models.acl import ACL
from encrypted_parse.models.arguments import require_instance
from encrypted_parse.models.fields import Encryption, Field
from encrypted_parse.models.model import Model
from encrypted_parse.models.rows import (
    acl_to_save,
    author_of,
    context_of,
    encrypted_fields,
    stored_recipients,
    take_over,
)
from encrypted_parse.models.rules import Recipient
from encrypted_parse.models.sealer import Sealer
from encrypted_parse.models.state import ObjectState
from encrypted_parse.models.tags import (
    deciding_columns,
    deciding_for,
    remember,
    remembered_columns,
)
from encrypted_parse.models.values import Relation
from encrypted_parse.parse.names import quote_object_id
from encrypted_parse.parse.types import date_from_json

_DELETE = {"__op": "Delete"}


@frozen(repr=False)  # it holds plaintext
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

    @property
    def is_to_be_sent(self) -> bool:
        """Whether saving takes a request: the object is new, or something has changed."""
        return self.instance.is_new or not self.is_empty

    @property
    def names(self) -> frozenset[str]:
        """The encrypted attributes that are sent."""
        return frozenset(name for plaintexts in self.sealed.values() for name in plaintexts)

    @property
    def expected(self) -> dict[str, str]:
        """What the row has to hold still, as tags by column; empty if that does not matter.

        It matters where a fetched object's encrypted values are sent, or what says who reads
        them: the ACL is sent whole, and with it go the readers of back then. A value that is
        encrypted anew for other readers must not be one that somebody has changed.
        """
        state, model = self.instance._state, type(self.instance)  # noqa: SLF001 - our own
        if state.object_id is None:
            return {}
        columns = deciding_columns(model) & self.plain.keys()
        if columns:
            columns = deciding_columns(model)
        for name in self.names:
            declared = model.fields[name]
            if declared.encryption is not None:
                columns |= deciding_for(model, declared.encryption)
            if self.stored[name] == state.stored.get(name):
                columns |= {declared.column}
        return {column: state.read[column] for column in columns if column in state.read}

    @property
    def touched(self) -> frozenset[str]:
        """The plain attributes that are sent, and ``"ACL"``."""
        columns = {one.column: name for name, one in type(self.instance).fields.items()}
        return frozenset(columns.get(column, column) for column in self.plain)


def draft(
    instance: Model, user_id: str, *, reseal: Collection[str] = (), keep: bool = False
) -> Draft:
    """Work out what saving *instance* as *user_id* has to send. Nothing is changed.

    The encrypted attributes in *reseal* are encrypted again, changed or not; with *keep*, only
    those whose value changed, whoever their readers are now.

    Raises:
        ArgumentError: *instance* is no object of a model.
        InvalidValueError: A value, changed in place, cannot be stored.
        AuthorMismatchError: A field would have to be signed by somebody else.
        RecipientRuleError: A rule has no answer.
        FieldLockedError: A locked field would have to be encrypted again.
        MissingValueError: A new object lacks a value.
    """
    state = require_instance(instance)._state  # noqa: SLF001 - our own
    acl = acl_to_save(instance, user_id)
    acl_json = None if acl is None else acl.to_json()
    result = Draft(instance, {}, {}, dict(state.stored), dict(state.recipients))
    if acl_json is not None and acl_json != state.stored_acl:
        result.plain["ACL"] = acl_json
    for declared in type(instance).fields.values():
        if declared.encryption is None:
            _draft_plain(result, declared, state)
    changed = bool(result.plain) and not keep
    for declared, encryption in encrypted_fields(instance):
        again = declared.name in reseal
        _draft_encrypted(result, declared, encryption, acl, user_id, changed=changed, again=again)
    _count_version(result, state)
    return result


def _count_version(result: Draft, state: ObjectState) -> None:
    declared = type(result.instance).version_field
    if declared is None or (state.object_id is not None and result.is_empty):
        return
    version = state.stored.get(declared.name, 0) + 1
    is_new = state.object_id is None
    result.plain[declared.column] = version if is_new else {"__op": "Increment", "amount": 1}
    result.stored[declared.name] = version


def _draft_plain(result: Draft, declared: Field, state: ObjectState) -> None:
    name, column = declared.name, declared.column
    values = result.instance.__dict__
    if name not in values or isinstance(values[name], Relation) or declared.is_version:
        return
    if values[name] is None:
        if name in state.stored or name in state.released or name in state.uncertain:
            result.plain[column] = _DELETE
            result.stored.pop(name, None)
        return
    encoded = declared.stored_form(declared.check(values[name]))
    if name in state.defaults and state.defaults[name] == encoded:
        return  # the row has no value, and nobody changed what is shown for it
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
    values = hushed(instance.__dict__)  # a rule may call a function of the app
    is_none = values.get(name) is None
    if name in state.deferred and name not in values:
        if changed and (result.touched & {"ACL", *encryption.attributes()}):
            raise FieldLockedError(
                f"{declared.where} would have to be encrypted for other readers, but was "
                "not fetched",
                hint="refresh() the object first, or name the field in only(...)",
            )
        return
    if is_none and name not in state.locked:
        if name in values and name in state.stored:
            result.plain[declared.column] = _DELETE
            result.stored.pop(name, None)
        return
    locked = name in state.locked and name not in values
    plaintext = None
    if not locked:
        plaintext = hushed(declared.stored_form(declared.check(values.get(name))))
    if name in state.defaults and state.defaults[name] == plaintext:
        return
    dirty = not locked and (again or state.stored.get(name) != plaintext)

    # Recipients are worked out again only when something that they depend on may have changed.
    before = stored_recipients(instance, declared, encryption, user_id)
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


def versioned(result: Draft) -> dict[str, Any]:
    """Return the plain part of a draft's body, which counts the save even if it is empty."""
    declared = type(result.instance).version_field
    if declared is None or declared.column in result.plain:
        return dict(result.plain)
    result.stored[declared.name] = result.stored.get(declared.name, 0) + 1
    result.plain[declared.column] = {"__op": "Increment", "amount": 1}
    return dict(result.plain)


def seal(result: Draft, sealer: Sealer) -> dict[str, Any]:
    """Encrypt a draft and return the complete body of the REST call.

    Raises:
        RecipientsNotRegisteredError: Some recipients have no card; lists all of them.
    """
    columns = type(result.instance).fields
    body = dict(result.plain)
    sealer.prefetch(frozenset().union(*result.sealed))
    for recipients, plaintexts in result.sealed.items():
        texts = sealer.seal(context_of(result.instance), plaintexts, recipients)
        body.update({columns[name].column: text for name, text in texts.items()})
    return body


def settle(
    result: Draft, body: Mapping[str, Any], answer: Mapping[str, Any], sealer: Sealer
) -> None:
    """Do as `commit` for a draft that was sent as *body*, and show what the server made of it.

    Columns that a trigger of the app stored otherwise, or added, come with the answer; which ones
    it has emptied a REST answer does not tell.

    Raises:
        MalformedResponseError: The answer is not that of a create or update.
    """
    read = remembered_columns(type(result.instance))
    read = read if result.instance.is_new else read & body.keys()
    commit(result, answer)
    remember(result.instance, body, read)
    changed = {column: value for column, value in answer.items() if body.get(column) != value}
    take_over(result.instance, changed, sealer)


def commit(result: Draft, answer: Mapping[str, Any]) -> None:
    """Take over that a draft was sent, and is stored as it was sent.

    Raises:
        MalformedResponseError: The answer is not that of a create or update.
    """
    instance = result.instance
    state = instance._state  # noqa: SLF001 - our own
    with translating(
        KeyError,
        InvalidValueError,
        to=lambda: MalformedResponseError("the answer to a save is no Parse object"),
    ):
        if state.object_id is None:
            object_id, created = answer["objectId"], date_from_json(answer["createdAt"])
            if not isinstance(object_id, str):
                raise InvalidValueError("object id")
            quote_object_id(object_id)  # what cannot be asked for again is no object's
            state.object_id, state.created_at, state.updated_at = object_id, created, created
        else:
            state.updated_at = date_from_json(answer["updatedAt"])
    state.stored = result.stored
    state.recipients = result.recipients
    counted = type(instance).version_field
    if counted is not None and counted.column in result.plain:
        instance.__dict__[counted.name] = result.stored[counted.name]
    if "ACL" in result.plain:
        state.stored_acl = result.plain["ACL"]
        state.acl = ACL.from_json(result.plain["ACL"])
    state.deferred = frozenset(name for name in state.deferred if name not in instance.__dict__)
    state.defaults = {name: one for name, one in state.defaults.items() if name not in state.stored}
    state.uncertain -= result.touched
    for name in [name for name in state.released if name in instance.__dict__]:
        state.locked.pop(name, None)
        state.released.discard(name)


def _check_author(instance: Model, declared: Field, encryption: Encryption, user_id: str) -> None:
    if encryption.author is None:
        return
    if author_of(instance, encryption, user_id) != user_id:
        raise AuthorMismatchError(
            f"{declared.where} is signed by the user that {encryption.author!r} names, "
            "and that is not you",
            hint=f"set {encryption.author!r} to your own user id, or let its author save it",
        )
