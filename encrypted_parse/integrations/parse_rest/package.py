"""The package `parse_rest`, imported when it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from encrypted_parse.errors import MissingExtraError


def load(name: str) -> Any:  # noqa: ANN401 - an untyped module
    """Return the module ``parse_rest.NAME``.

    Raises:
        MissingExtraError: The library is not installed.
    """
    try:
        return importlib.import_module(f"parse_rest.{name}")
    except ImportError as error:
        raise MissingExtraError("parse-rest", "the integration of parse_rest") from error
