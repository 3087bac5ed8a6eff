"""The console script: the one place that can do without the extra `cli`, to name it."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from encrypted_parse.cli.printable import complain, paragraph, show_mistake
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import EncryptedParseError, MissingExtraError

_FAILED = 1


@front_door
def main() -> None:
    """Run `encrypted-parse`. Errors end it with `error:` and `hint:` lines and status 1."""
    translated: Callable[[str], str] = str
    sys.excepthook = show_mistake
    logging.basicConfig(handlers=[_LogLines()], level=logging.WARNING)
    try:
        needed = ("pathspec", "typer", "rich", "segno")
        if any(importlib.util.find_spec(name) is None for name in needed):
            raise MissingExtraError("cli,devserver", "the command line")
        from encrypted_parse.cli.commands import app  # noqa: PLC0415 - needs the extra
        from encrypted_parse.cli.output import in_commands  # noqa: PLC0415

        translated = in_commands
        warnings.formatwarning = lambda text, *_, **__: paragraph("warning", in_commands(str(text)))
        try:
            status = _run(app)
        finally:
            sys.stdout.flush()
    except OSError as error:  # a full disk, a closed pipe
        place = "" if error.filename is None else f"{error.filename}: "
        complain(f"{place}{error.strerror or error}")
        # What could not be written would be tried once more at the end, and complained about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_FAILED)
    except EncryptedParseError as error:
        complain(str(error), error.hint and translated(error.hint))
        sys.exit(_FAILED)
    sys.exit(status)


def _run(app: Any) -> int:  # noqa: ANN401 - typer's, which needs the extra
    """Return the status of the command that the arguments name.

    Told by us, not by typer: its boxes show arguments as they are, escape sequences included.
    """
    from typer import Abort  # noqa: PLC0415 - needs the extra

    try:
        status = app(standalone_mode=False)
    except Abort:
        complain("aborted")
        return _FAILED
    except Exception as error:
        if not hasattr(error, "format_message"):  # not a command line that cannot be read
            raise
        context = getattr(error, "ctx", None)
        command = "encrypted-parse" if context is None else context.command_path
        message = error.format_message()
        if message and type(error).__name__ != "NoArgsIsHelpError":  # which has shown the help
            complain(message, f"`{command} --help` shows how it is called")
        return int(getattr(error, "exit_code", _FAILED))
    return status if isinstance(status, int) else 0


class _LogLines(logging.StreamHandler[Any]):
    """What the libraries log, as warnings."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line, or several that are set in."""
        return paragraph(record.levelname.lower(), super().format(record)).removesuffix("\n")
