"""What calls are given: models, instances, lists of them. Wrong kinds are refused in one way.

Python checks no types, and what goes wrong otherwise goes wrong deep inside, or not at all: a
text is a list of letters, and an instance has its class's attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from encrypted_parse.errors import ArgumentError, InvalidValueError
from encrypted_parse.models.model import Model
from encrypted_parse.models.values import Pointer

M = TypeVar("M", bound=Model)


def require_model(model: type[M]) -> type[M]:
    """Return *model*.

    Raises:
        ArgumentError: It is no class of a model.
    """
    given: Any = model  # whatever the annotation says
    if isinstance(given, type) and issubclass(given, Model) and given is not Model:
        return model
    hint = "pass the class that you declared: class Message(Model): ..."
    if isinstance(given, Model):
        hint = f"pass the class itself: {type(given).__name__}"
    raise ArgumentError(f"a model is expected, not {_kind(given)}", hint=hint)


def require_instance(instance: M) -> M:
    """Return *instance*.

    Raises:
        ArgumentError: It is no object of a model.
    """
    given: Any = instance  # whatever the annotation says
    if isinstance(given, Model):
        return instance
    hint = "pass an object of one of your models"
    if isinstance(given, (list, tuple, set, frozenset)):
        hint = "several objects: save_all(), delete_all(), share_all(), or one call for each"
    elif isinstance(given, Pointer):
        hint = "a pointer only names an object: get() fetches it"
    elif isinstance(given, type) and issubclass(given, Model):
        hint = f"pass an object of the class: {given.__name__}(...)"
    raise ArgumentError(f"one object is expected, not {_kind(given)}", hint=hint)


def require_instances(instances: Iterable[M]) -> list[M]:
    """Return *instances* as a list.

    Raises:
        ArgumentError: It is no list of objects.
    """
    return [require_instance(one) for one in require_list(instances, "objects")]


def require_list(values: Iterable[Any], of: str) -> Iterable[Any]:
    """Return *values*, which may be a generator or a query.

    Raises:
        ArgumentError: It is one value, a text, or no collection.
    """
    if isinstance(values, (str, bytes, Model, Pointer)) or not isinstance(values, Iterable):
        raise ArgumentError(
            f"a list of {of} is expected, not {_kind(values)}",
            hint="put one alone into a list: [it]",
        )
    return values


def require_others(others: Sequence[Model | Pointer[Any]]) -> list[Model | Pointer[Any]]:
    """Return objects and pointers to objects as a list.

    Raises:
        ArgumentError: It is something else.
    """
    return [
        one if isinstance(one, Pointer) else require_instance(one)
        for one in require_list(others, "objects")
    ]


def saved_id(instance: Model) -> str:
    """Return the object id of a saved object.

    Raises:
        ArgumentError: It is no object of a model.
        InvalidValueError: The object was never saved.
    """
    if require_instance(instance).object_id is None:
        raise InvalidValueError("the object was never saved", hint="save it first")
    return str(instance.object_id)


def _kind(value: object) -> str:
    """Name what *value* is, and show nothing of it."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a value of type {type(value).__name__}"
