"""From Python names to Parse's: ``thread_id`` is the column ``threadId``."""

from __future__ import annotations


def column_name(attribute: str) -> str:
    """Return the camelCase column of a snake_case attribute."""
    first, *rest = attribute.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)
