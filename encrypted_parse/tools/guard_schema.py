"""encrypted-fields.json: what the cloud code's guard has to know about the models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.models import Model
from encrypted_parse.models.fields import Encryption
from encrypted_parse.models.rules import readers_for_the_guard

FORMAT_VERSION = 1
RULES = {
    "envelope": "enforce",
    "readers": "report",
    "author": "report",
    "cards": "off",
    "keys": "enforce",
}
MODES = ("off", "report", "enforce")
_FORM = "authEncrypt"  # the one form that models write


@front_door
def export_guard_schema(
    models: Iterable[type[Model]], rules: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the content of encrypted-fields.json for *models*.

    For each class its encrypted columns, each with its form, its readers (``"acl"``, a list of
    columns, or None where only a client can tell) and the column of its author. Models without
    encrypted fields are left out.

    Args:
        models: Every model that clients save; two of one Parse class are merged.
        rules: Modes that differ from the default: ``{"readers": "enforce"}``.

    Raises:
        ConfigurationError: An unknown rule or mode, no encrypted field at all, or two models that
            declare one column differently.
    """
    chosen = {**RULES, **(rules or {})}
    for rule, mode in chosen.items():
        if rule not in RULES or mode not in MODES:
            raise ConfigurationError(
                f"there is no rule {rule!r} with the mode {mode!r}",
                hint=f"rules: {', '.join(RULES)}; modes: {', '.join(MODES)}",
            )
    classes: dict[str, dict[str, Any]] = {}
    for model in models:
        for declared in model.fields.values():
            if declared.encryption is None:
                continue
            columns = classes.setdefault(model.parse_class, {})
            described = _describe(model, declared.encryption)
            if columns.setdefault(declared.column, described) != described:
                raise ConfigurationError(
                    f"two models declare {model.parse_class}.{declared.column} differently",
                    hint="the guard takes one declaration a column",
                )
    if not classes:
        raise ConfigurationError(
            "no model with an encrypted field was found", hint="name the module that declares them"
        )
    return {"version": FORMAT_VERSION, "classes": dict(sorted(classes.items())), "rules": chosen}


def _describe(model: type[Model], encryption: Encryption) -> dict[str, Any]:
    def column(attribute: str) -> str:
        return model.fields[attribute].column

    readers = readers_for_the_guard(encryption.to)
    if isinstance(readers, list):
        readers = [column(attribute) for attribute in readers]
    author = None if encryption.author is None else column(encryption.author)
    return {"form": _FORM, "readers": readers, "author": author}
