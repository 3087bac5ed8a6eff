"""Naming: ``thread_id`` is the column ``threadId``, unless the model keeps names as they are."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encrypted_parse.models.model import Model


class ColumnNameWarning(UserWarning):
    """Rows lack a model's column, and have one that is called as the attribute is."""


def column_name(attribute: str) -> str:
    """Return the camelCase column of a snake_case attribute."""
    first, *rest = attribute.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def point_out_names(
    model: type[Model], rows: Sequence[Mapping[str, Any]], deferred: Collection[str]
) -> None:
    """Warn of a column that no row has, while some have one of the attribute's own name."""
    if not rows:
        return
    present = set[str]().union(*rows)
    for name, declared in model.fields.items():
        if name in deferred or declared.column == name or declared.column in present:
            continue
        if name in present:
            warnings.warn(
                f"{declared.where} is the column {declared.column!r}, which no row has, but "
                f"{name!r} is there: declare the model with keep_names=True, or the field with "
                f"column={name!r}",
                ColumnNameWarning,
                stacklevel=2,
            )
