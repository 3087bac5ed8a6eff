"""The reference of the command line, made from what the commands say of themselves.

Run as a script, it writes the second half of docs/cli.md anew; tests/contracts/test_cli_docs.py
compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from encrypted_parse.cli.commands import app
from encrypted_parse.cli.entry import NAME
from encrypted_parse.cli.help import argument_name, option_names, paragraphs, usage

DOCS = Path(__file__).parents[1] / "docs" / "cli.md"
MARKER = "<!-- What follows is made by `python tests/cli_reference.py`. -->\n"


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
    lines = [f"### `{usage(command, path)}`", "", _text(command.help or "")]
    if arguments or options:
        lines += ["", "| | |", "|---|---|"]
        lines += [f"| `{argument_name(param)}` | {_cell(param)} |" for param in arguments]
        lines += [f"| {_names(param)} | {_cell(param)} |" for param in options]
    return "\n".join(lines) + "\n"


def _names(param: Any) -> str:
    names, value = option_names(param)
    return ", ".join(f"`{name}`" for name in names) + (f" *{value}*" if value else "")


def _cell(param: Any) -> str:
    text = " ".join((param.help or "").split())
    if param.envvar:
        text += f" (variable `{param.envvar}`)"
    return text


def _text(text: str) -> str:
    return "\n\n".join(
        f"```sh\n{one}\n```" if example else one for one, example in paragraphs(text)
    )


def main() -> None:
    """Write the reference into docs/cli.md."""
    written = DOCS.read_text("utf-8").split(MARKER)[0]
    DOCS.write_text(written + MARKER + "\n" + reference(), "utf-8")


if __name__ == "__main__":
    main()
