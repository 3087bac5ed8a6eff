"""How commands speak: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as _Remaining

Advance = Callable[[int, int | None], None]
_LABEL_COLUMNS = 16
_COMMANDS = {
    "accept_key": "verify-user --accept",
    "backup_private_key": "backup",
    "create_recovery_code": "recovery-code",
    "delete_recovery_code": "recovery-code --delete",
    "generate_backup_password": "backup --generate",
    "mark_verified": "verify-user",
    "protect": "keystore protect",
    "register": "register",
    "reset_private_key_backup": "reset-backup",
    "restore_private_key": "restore",
    "restore_with_recovery_code": "restore --recovery-code",
    "rotate_private_key": "rotate",
    "unregister": "unregister",
}
_WITH_ARGUMENTS = {
    "delete_recovery_code(forget=True)": "recovery-code --delete --forget",
    "restore_with_recovery_code(accept_older=True)": "restore --recovery-code --accept-older",
    "rotate_private_key(lost=True)": "rotate --lost",
}
_CALL = re.compile(rf"\b({'|'.join(_COMMANDS)})\([^()]*\)")


def show(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print facts: names in snake_case, as JSON or as one line each."""
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if value is not None:
            typer.echo(f"{name.replace('_', ' ') + ':':<{_LABEL_COLUMNS}} {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def in_commands(text: str) -> str:
    """Return a hint that names calls of the library with the commands that do the same."""

    def command(call: re.Match[str]) -> str:
        return f"`encrypted-parse {_WITH_ARGUMENTS.get(call[0], _COMMANDS[call[1]])}`"

    return _CALL.sub(command, text)


def say(text: str) -> None:
    """Print what is good to know, but no result."""
    typer.echo(text, err=True)


@contextmanager
def progress_bar(label: str, *, as_bytes: bool = False) -> Iterator[Advance]:
    """Show a bar on standard error, if that is a terminal; yields what is told (done, of)."""
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    count = DownloadColumn() if as_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, _Remaining())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
