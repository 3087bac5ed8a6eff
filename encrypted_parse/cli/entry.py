"""The console script: the one place that can do without the extra `cli`, to name it."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from typing import Any

from encrypted_parse.cli.outcome import Status, fail, status_of
from encrypted_parse.cli.printable import paragraph, show_mistake
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import EncryptedParseError, MissingExtraError

NAME = "encrypted-parse"
MIN_COLUMNS = 40  # what is laid out for less says nothing any more


@front_door
def main() -> None:
    """Run `encrypted-parse`, and exit with a `Status`.

    Errors are told on standard error: in `error:` and `hint:` lines, or as JSON with `--json`.
    """
    sys.excepthook = show_mistake
    translated: Callable[[str], str] = str
    status: int
    try:
        _prepare_streams()
        _prepare_width()
        logging.basicConfig(handlers=[_LogLines()], level=logging.WARNING)
        needed = ("pathspec", "typer", "rich", "segno")
        if any(importlib.util.find_spec(name) is None for name in needed):
            raise MissingExtraError("cli,devserver", "the command line")
        from encrypted_parse.cli.commands import app  # noqa: PLC0415 - needs the extra
        from encrypted_parse.cli.output import in_commands  # noqa: PLC0415
        from encrypted_parse.cli.session import ended_sessions  # noqa: PLC0415

        translated = in_commands
        warnings.formatwarning = lambda text, *_, **__: paragraph("warning", in_commands(str(text)))
        with ended_sessions():
            try:
                status = _run(app)
            finally:
                sys.stdout.flush()
    except BrokenPipeError:
        status = Status.CUT_OFF
    except KeyboardInterrupt:
        status = fail(Status.INTERRUPTED, "Interrupted", "interrupted")
    except OSError as error:  # a full disk
        place = "" if error.filename is None else f"{error.filename}: "
        text = f"{place}{error.strerror or error}"
        status = fail(Status.FAILED, type(error).__name__, text)
        _leave_output()
    except EncryptedParseError as error:
        hint = error.hint and translated(error.hint)
        status = fail(status_of(error), type(error).__name__, str(error), hint)
    if status == Status.CUT_OFF:
        _leave_output()
    sys.exit(int(status))


def _run(app: Any) -> int:  # noqa: ANN401 - typer's, which needs the extra
    """Return the status of the command that the arguments name.

    Told by us, not by typer: its boxes show arguments as they are, escape sequences included.

    Raises:
        KeyboardInterrupt: As typer has caught it.
    """
    from typer import Abort  # noqa: PLC0415 - needs the extra

    try:
        status = app(standalone_mode=False, prog_name=NAME)
    except Abort as error:  # Ctrl-C at a prompt, or "no"
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        return fail(Status.FAILED, "Aborted", "aborted")
    except SystemExit as end:  # typer's, where a pipe broke
        if isinstance(end.__context__, BrokenPipeError):
            return Status.CUT_OFF
        raise
    except Exception as error:
        if not hasattr(error, "format_message"):  # not a command line that cannot be read
            raise
        return _misread(error)
    if status == Status.INTERRUPTED:
        raise KeyboardInterrupt
    return status if isinstance(status, int) else Status.DONE


def _misread(error: Any) -> int:  # noqa: ANN401 - typer's
    """Tell what is wrong with the command line; without any command, what there is."""
    from encrypted_parse.cli.terminal import write  # noqa: PLC0415 - needs the extra

    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        for line in context.get_help().splitlines():
            write(line)
        return Status.USAGE
    command = NAME if context is None else context.command_path
    hint = f"`{command} --help` shows how it is called"
    return fail(Status.USAGE, "UsageError", error.format_message(), hint)


def _prepare_streams() -> None:
    """Let every text be written whatever the encoding, and have streams where none were given.

    Raises:
        OSError: Standard output is closed: what a command has to say would be lost.
    """
    null = {"stdin": "r", "stderr": "w"}
    for name, mode in null.items():
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - to the end
    if sys.stdout is None:
        raise OSError("standard output is closed")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _prepare_width() -> None:
    if shutil.get_terminal_size().columns < MIN_COLUMNS:
        os.environ["COLUMNS"] = str(MIN_COLUMNS)


def _leave_output() -> None:
    """Forget what could not be written: it would be tried once more at the end, and told."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _LogLines(logging.StreamHandler[Any]):
    """What the libraries log, as warnings."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line, or several that are set in."""
        return paragraph(record.levelname.lower(), super().format(record)).removesuffix("\n")
