"""How commands say how they are called: in plain lines, alike on every terminal.

typer's own help depends on its release, draws boxes that need columns and an encoding, and shows
Python's types (`<bool>`) beside options that take nothing.
"""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from encrypted_parse.cli.entry import MIN_COLUMNS, NAME

_MAX_COLUMNS = 100
_INDENT = "  "
_NARROW = 24  # columns for the names; a longer one stands on a line of its own


class _Command(TyperCommand):
    """A command whose help is ours."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's
        """Write the help into *formatter*."""
        formatter.write("".join(f"{line}\n" for line in help_lines(self, ctx)))


class _Group(TyperGroup):
    """A group of commands whose help is ours."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's
        """Write the help into *formatter*."""
        formatter.write("".join(f"{line}\n" for line in help_lines(self, ctx)))


class Commands(typer.Typer):
    """Commands of one name, or all of them; without a further word they show their help."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - as typer.Typer
        super().__init__(
            cls=_Group,
            no_args_is_help=True,
            context_settings={"help_option_names": ["-h", "--help"]},
            **settings,
        )

    def command(  # type: ignore[override]  # typer's has a parameter for each setting
        self,
        name: str | None = None,
        **settings: Any,  # noqa: ANN401 - as typer.Typer
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return what makes a function a command. See `typer.Typer.command`."""
        return super().command(name, cls=_Command, **settings)


def usage(command: Any, path: str) -> str:  # noqa: ANN401 - typer's
    """Return how a command is called, in one line."""
    names = [argument_name(one) for one in command.params if one.param_type_name == "argument"]
    words = ["COMMAND ..."] if hasattr(command, "commands") else names
    return " ".join([path, "[OPTIONS]", *words])


def argument_name(param: Any) -> str:  # noqa: ANN401 - typer's
    """Return what stands for an argument."""
    return str(param.metavar or param.name.upper())


def option_names(param: Any) -> tuple[list[str], str]:  # noqa: ANN401 - typer's
    """Return an option's names, and what stands for its value: nothing for a switch."""
    value = "" if param.is_flag or param.count else str(param.metavar or "VALUE")
    names = sorted(param.opts, key=len, reverse=True)  # typer's own are in no order
    return [*names, *param.secondary_opts], value


def option_help(param: Any) -> str:  # noqa: ANN401 - typer's
    """Return what an option is for, and which variable sets it."""
    text = " ".join((param.help or "").split())
    return f"{text} (variable {param.envvar})" if getattr(param, "envvar", None) else text


def paragraphs(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the paragraphs of a help text, each in one line, and whether it is an example."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        one = " ".join(paragraph.split())
        yield one, one.startswith(f"{NAME} ")


def help_lines(command: Any, ctx: Any) -> Iterator[str]:  # noqa: ANN401 - typer's
    """Yield the lines of a command's help. Examples are never broken: they are to be copied."""
    width = max(MIN_COLUMNS, min(shutil.get_terminal_size().columns, _MAX_COLUMNS))
    yield from _wrapped(f"Usage: {usage(command, ctx.command_path)}", width, further=_INDENT * 2)
    for text, example in paragraphs(command.help or ""):
        yield ""
        yield from [f"{_INDENT}{text}"] if example else _wrapped(text, width)
    arguments = [
        (argument_name(one), " ".join((one.help or "").split()))
        for one in command.params
        if one.param_type_name == "argument"
    ]
    options = [
        (" ".join(filter(None, (", ".join(names), value))), option_help(one))
        for one in command.get_params(ctx)
        if one.param_type_name == "option"
        for names, value in [option_names(one)]
    ]
    yield from _table("Arguments", arguments, width)
    yield from _table("Options", options, width)
    for title, rows in _panels(command).items():
        yield from _table(title, rows, width)
    if command.epilog:
        yield ""
        yield from _wrapped(command.epilog, width)


def _panels(command: Any) -> dict[str, list[tuple[str, str]]]:  # noqa: ANN401 - typer's
    """Return the commands of a group, under the titles that they were given."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, inner in getattr(command, "commands", {}).items():
        title = getattr(inner, "rich_help_panel", None)
        title = title if isinstance(title, str) else "Commands"
        first, _ = next(paragraphs(inner.help or ""))
        found.setdefault(title, []).append((name, first))
    return found


def _table(title: str, rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    rows = list(rows)
    if not rows:
        return
    yield ""
    yield f"{title}:"
    first = min(_NARROW, width // 4, max(len(name) for name, _ in rows)) + 2
    for name, text in rows:
        start = f"{_INDENT}{name}"
        if len(name) + 2 > first:
            yield start
            start = ""
        yield from _wrapped(text, width, start.ljust(len(_INDENT) + first), _INDENT + " " * first)


def _wrapped(text: str, width: int, start: str = "", further: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [start.rstrip()]
