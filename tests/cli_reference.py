"""The reference of the command line, made from what the commands say of themselves.

Run as a script, it writes the second half of docs/cli.md anew; tests/contracts/test_cli_docs.py
compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from encrypted_parse.cli.commands import app

DOCS = Path(__file__).parents[1] / "docs" / "cli.md"
MARKER = "<!-- What follows is made by `python tests/cli_reference.py`. -->\n"
NAME = "encrypted-parse"


def commands(command: Any = None, path: str = NAME) -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with its full name, groups opened."""
    command = command or typer.main.get_command(app)
    subcommands = getattr(command, "commands", None)
    if not subcommands:
        yield path, command
        return
    for name, inner in subcommands.items():
        yield from commands(inner, f"{path} {name}")


def reference() -> str:
    """Return the reference as Markdown."""
    panels: dict[str, list[str]] = {}
    for path, command in commands():
        top = typer.main.get_command(app).commands[path.split()[1]]  # type: ignore[attr-defined]
        panel = getattr(top, "rich_help_panel", None) or "Commands"
        panels.setdefault(str(panel), []).append(_section(path, command))
    return "\n".join(f"## {panel}\n\n" + "\n".join(sections) for panel, sections in panels.items())


def _section(path: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)])
    lines = [f"### `{usage}`", "", _text(command.help or "")]
    if arguments or options:
        lines += ["", "| | |", "|---|---|"]
        lines += [f"| `{_argument(param)}` | {_cell(param)} |" for param in arguments]
        lines += [f"| {_names(param)} | {_cell(param)} |" for param in options]
    return "\n".join(lines) + "\n"


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _names(param: Any) -> str:
    names = [f"`{name}`" for name in (*param.opts, *param.secondary_opts)]
    metavar = "" if param.is_flag else f" *{param.metavar or param.type.name}*"
    return ", ".join(names) + metavar


def _cell(param: Any) -> str:
    text = " ".join((param.help or "").split())
    if param.envvar:
        text += f" (variable `{param.envvar}`)"
    return text


def _text(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text))
    shown = []
    for paragraph in paragraphs:
        one = " ".join(paragraph.split())
        shown.append(f"```sh\n{one}\n```" if one.startswith(f"{NAME} ") else one)
    return "\n\n".join(shown)


def main() -> None:
    """Write the reference into docs/cli.md."""
    written = DOCS.read_text("utf-8").split(MARKER)[0]
    DOCS.write_text(written + MARKER + "\n" + reference(), "utf-8")


if __name__ == "__main__":
    main()
