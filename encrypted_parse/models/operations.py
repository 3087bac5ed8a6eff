"""Atomic operations: changes that the server works out itself, on plain fields alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from encrypted_parse._translating import translating
from encrypted_parse.errors import (
    EncryptedOperationError,
    InvalidValueError,
    MalformedResponseError,
)
from encrypted_parse.models.arguments import require_instance, require_list, require_others
from encrypted_parse.models.fields import Field
from encrypted_parse.models.model import Model
from encrypted_parse.models.rows import accept_plain
from encrypted_parse.models.values import Pointer
from encrypted_parse.parse.types import date_from_json

_NUMBERS = (int, float)
Operations = dict[str, dict[str, Any]]


def increments(instance: Model, amounts: Mapping[str, Any]) -> Operations:
    """Return the operations that add *amounts* to numbers, by attribute.

    Raises:
        EncryptedOperationError: A field is encrypted.
        InvalidValueError: A field holds no number, or an amount is none.
    """

    def increment(declared: Field, amount: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was passed
        if declared.codec.kind not in _NUMBERS or declared.is_version:
            raise InvalidValueError(f"{declared.where} is not a number that may be added to")
        return {"__op": "Increment", "amount": declared.check(amount)}

    return _operations(type(require_instance(instance)), amounts, increment)


def list_changes(instance: Model, operation: str, items: Mapping[str, Any]) -> Operations:
    """Return the operations ``Add``, ``AddUnique`` or ``Remove`` of *items*, by attribute.

    Raises:
        EncryptedOperationError: A field is encrypted.
        InvalidValueError: A field holds no list, or the items are not its.
    """

    def change(declared: Field, objects: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was passed
        item = declared.codec.item
        if item is None:
            raise InvalidValueError(f"{declared.where} is not a list")
        listed = require_list(objects, "items")
        try:
            return {
                "__op": operation,
                "objects": [item.to_json(item.check(one)) for one in listed],
            }
        except InvalidValueError as error:
            failure = InvalidValueError(f"{declared.where}: {error}", hint=error.hint)
        raise failure

    return _operations(type(require_instance(instance)), items, change)


def relation_change(
    instance: Model, operation: str, name: str, others: Sequence[Model | Pointer[Any]]
) -> dict[str, Any]:
    """Return the body that adds *others* to a relation, or takes them away.

    Raises:
        InvalidValueError: *name* is no relation, or others are not of its class or not saved.
    """
    declared = type(require_instance(instance)).fields.get(name)
    if declared is None or declared.relation_to is None:
        raise InvalidValueError(f"{type(instance).__name__}.{name} is not a relation")
    pointers = [
        other if isinstance(other, Pointer) else Pointer.to(other)
        for other in require_others(others)
    ]
    wrong = [pointer for pointer in pointers if pointer.class_name != declared.relation_to]
    if wrong or not pointers:
        raise InvalidValueError(f"{declared.where} relates to objects of {declared.relation_to}")
    objects = [pointer.to_json() for pointer in pointers]
    return {declared.column: {"__op": operation, "objects": objects}}


def take_over(instance: Model, operations: Operations, answer: Mapping[str, Any]) -> None:
    """Set the attributes to what the server made of them.

    Parse Server leaves results out of its answer that are as they were; the attribute then shows
    what was last seen. A result that the field cannot hold locks it: the operation has happened.

    Raises:
        MalformedResponseError: The answer is not that of an update.
    """
    state = instance._state  # noqa: SLF001 - our own
    with translating(
        KeyError,
        InvalidValueError,
        to=lambda: MalformedResponseError("the answer to an operation is no Parse object"),
    ):
        state.updated_at = date_from_json(answer["updatedAt"])
    for name in operations:
        declared = type(instance).fields[name]
        made = answer.get(declared.column, state.stored.get(name))
        if made is not None:
            accept_plain(instance, declared, made)


def _operations(
    model: type[Model],
    values: Mapping[str, Any],
    make: Callable[[Field, Any], dict[str, Any]],
) -> Operations:
    operations: Operations = {}
    for name, value in values.items():
        declared = model.fields.get(name)
        if declared is None:
            raise AttributeError(f"{model.__name__} has no field {name!r}")
        if declared.encryption is not None:
            raise EncryptedOperationError(
                f"{declared.where} is encrypted, so the server cannot compute in it",
                hint="change the attribute, then save() the object",
            )
        if _recipients_depend_on(model, name):
            raise EncryptedOperationError(
                f"{declared.where} says who reads encrypted fields",
                hint="change the attribute, then save(): that encrypts them for the new readers",
            )
        operations[name] = make(declared, value)
    if not operations:
        raise InvalidValueError("name at least one attribute")
    return operations


def _recipients_depend_on(model: type[Model], name: str) -> bool:
    return any(
        one.encryption is not None and name in one.encryption.attributes()
        for one in model.fields.values()
    )
