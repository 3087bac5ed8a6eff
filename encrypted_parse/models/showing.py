"""Showing objects outside of a program's own code: as dicts, as JSON, in a notebook.

What was encrypted leaves an object by the explicit word ``decrypted=True`` alone: dicts and JSON
end up in logs, caches and answers, and notebooks are saved with their output.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import enum
import functools
import html
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from encrypted_parse.models.embedded import Embedded
from encrypted_parse.models.values import File, GeoPoint, Pointer, Polygon, Relation

if TYPE_CHECKING:
    from encrypted_parse.models.model import Model

MAX_HTML_ROWS = 50
_SERVERS = ("object_id", "created_at", "updated_at")


def as_dict(instance: Model, *, decrypted: bool) -> dict[str, Any]:
    """Return the object's attributes as Python values without Parse's types. See `to_dict`."""
    values: dict[str, Any] = {name: getattr(instance, name) for name in _SERVERS}
    state = instance._state  # noqa: SLF001 - our own
    locked: dict[str, str] = {}
    for name, declared in type(instance).fields.items():
        if (declared.encryption is not None and not decrypted) or name in state.deferred:
            continue
        if name in state.locked:
            locked[name] = state.locked[name].message
        elif name in instance.__dict__:
            value = instance.__dict__[name]
            if not isinstance(value, Relation):
                values[name] = shown(value)
        elif declared.optional:
            values[name] = None
    return {**values, "locked": locked} if locked else values


def as_json(instance: Model, *, decrypted: bool) -> str:
    """Return `as_dict` as JSON: dates in ISO 8601, bytes in base64, amounts as text."""
    return json.dumps(as_dict(instance, decrypted=decrypted), default=_text, allow_nan=False)


def as_html(model: type[Model], instances: Sequence[Model]) -> str:
    """Return a table of objects, with every secret masked and every text escaped."""
    names = ["object_id", *model.fields]
    rows = [[_cell(instance, name) for name in names] for instance in instances[:MAX_HTML_ROWS]]
    more = len(instances) - len(rows)
    caption = f"{model.__name__}: {len(instances)}" + (f", {more} not shown" if more else "")
    head, *body = [_cells("th", names), *(_cells("td", row) for row in rows)]
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead>{head}</thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _cell(instance: Model, name: str) -> str:
    declared, state = type(instance).fields.get(name), instance._state  # noqa: SLF001 - our own
    if name in state.locked:
        return f"locked: {state.locked[name].message}"
    if name in state.deferred:
        return "not fetched"
    if declared is not None and declared.encryption is not None:
        return "encrypted" if instance.__dict__.get(name) is not None else ""
    value = instance.object_id if declared is None else instance.__dict__.get(name)
    return "" if value is None else str(shown(value))


def _cells(tag: str, texts: Iterable[str]) -> str:
    cells = "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
    return f"<tr>{cells}</tr>"


@functools.singledispatch
def shown(value: Any) -> Any:  # noqa: ANN401 - any field's value
    """Return *value* without Parse's types; a type of fields registers how."""
    return value


@shown.register
def _(value: enum.Enum) -> Any:  # noqa: ANN401 - a str or an int
    return value.value


@shown.register
def _(value: Pointer) -> str:  # type: ignore[type-arg]  # a class to dispatch on
    return value.object_id


@shown.register
def _(value: GeoPoint) -> dict[str, float]:
    return {"latitude": value.latitude, "longitude": value.longitude}


@shown.register
def _(value: Polygon) -> list[Any]:
    return [shown(corner) for corner in value.corners]


@shown.register
def _(value: File) -> dict[str, str]:
    return {"name": value.name}


@shown.register
def _(value: Embedded) -> dict[str, Any]:
    return {name: shown(value.__dict__[name]) for name in type(value).embedded_fields}


@shown.register(list)
@shown.register(tuple)
def _(value: Sequence[Any]) -> list[Any]:
    return [shown(one) for one in value]


@shown.register(dict)
def _(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: shown(one) for key, one in value.items()}


def _text(value: Any) -> str:  # noqa: ANN401 - what JSON has no type for
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    # A type of the app's own, with a codec of its own: its repr might show what is inside.
    raise TypeError(f"no JSON for a {type(value).__name__}: take to_dict(), and say how")
