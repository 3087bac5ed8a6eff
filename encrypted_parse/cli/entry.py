"""The console script: the one place that can do without the extra `cli`, to name it."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import EncryptedParseError, MissingExtraError


@front_door
def main() -> None:
    """Run `encrypted-parse`. Errors end it with `error:` and `hint:` lines and status 1."""
    translated: Callable[[str], str] = str
    try:
        needed = ("pathspec", "typer", "rich", "segno")
        if any(importlib.util.find_spec(name) is None for name in needed):
            raise MissingExtraError("cli,devserver", "the command line")
        from encrypted_parse.cli.commands import app  # noqa: PLC0415 - needs the extra
        from encrypted_parse.cli.output import in_commands  # noqa: PLC0415

        translated = in_commands
        warnings.formatwarning = lambda text, *_, **__: f"warning: {in_commands(str(text))}\n"
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:  # a full disk, a closed pipe
        place = "" if error.filename is None else f"{error.filename}: "
        sys.stderr.write(f"error: {place}{error.strerror or error}\n")
        # What could not be written would be tried once more at the end, and complained about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except EncryptedParseError as error:
        sys.stderr.write(f"error: {error}\n")
        if error.hint is not None:
            sys.stderr.write(f"hint: {translated(error.hint)}\n")
        sys.exit(1)
