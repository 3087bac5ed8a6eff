"""The one place that writes what commands say, and asks what they ask.

Every text becomes `printable` here, and none is read as markup: commands hand over words, and
names of styles beside them. A test refuses any other way to the terminal in this package.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import segno
import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as _Remaining
from rich.table import Table
from rich.text import Text

from encrypted_parse._translating import translating
from encrypted_parse.cli.printable import encodable, printable, printable_lines
from encrypted_parse.errors import ConfigurationError

Advance = Callable[[int, int | None], None]
Part = str | tuple[str, str]
"""Words, or words and their style: a colour, `dim`, `bold`, or several with blanks between."""

_ATTRIBUTES = {"bold", "dim"}
_PANEL_COLUMNS = 88
_BLOCKS = "\u2580\u2584\u2588"


def write(*parts: Part, err: bool = False) -> None:
    """Write one line: whatever is in the parts, they cannot begin another."""
    stream = sys.stderr if err else sys.stdout
    coloured = _has_colours(stream)
    text = "".join(
        _styled(part, coloured=coloured) if isinstance(part, tuple) else printable(part)
        for part in parts
    )
    typer.echo(encodable(text, stream.encoding), err=err, color=coloured)


def write_json(value: Any, *, in_one_line: bool = False) -> None:  # noqa: ANN401 - any JSON
    """Write JSON, which says in ASCII whatever a terminal would obey."""
    text = json.dumps(value, indent=None if in_one_line else 2)
    typer.echo(text.replace("\x7f", "\\u007f"))  # the one control character that json leaves


def write_table(rows: Iterable[Iterable[Part]], head: Iterable[str] = ()) -> None:
    """Write a table; cells may have lines."""
    names = list(head)
    table = Table() if names else Table(show_header=False, box=None)
    for name in names:
        table.add_column(_cell(name))
    for row in rows:
        table.add_row(*map(_cell, row))
    Console().print(table)


def write_qr(text: str) -> None:
    """Write a text of ours as a QR code, where the terminal has the characters for one."""
    if encodable(_BLOCKS, sys.stdout.encoding) != _BLOCKS:
        write("(no QR code: this output cannot show its blocks)", err=True)
        return
    segno.make(printable(text), error="m").terminal(compact=True)


class ContentWriter(io.RawIOBase):
    """A binary file whose content is shown on standard output, line by line as it is."""

    def __init__(self) -> None:
        super().__init__()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._begun = False

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - as every file's
        """Show the next piece of the content."""
        self._show(self._decoder.decode(bytes(data)))
        return len(data)

    def finish(self) -> None:
        """Show what is left, and end the line."""
        self._show(self._decoder.decode(b"", final=True))
        if self._begun:
            typer.echo()

    def _show(self, text: str) -> None:
        if not text:
            return
        shown = "\n".join(printable(line.expandtabs()) for line in text.split("\n"))
        self._begun = not shown.endswith("\n")
        typer.echo(encodable(shown, sys.stdout.encoding), nl=False)


def ask(question: str, *, hidden: bool = False, twice: bool = False) -> str:
    """Return what a person answers, on a terminal.

    Raises:
        ConfigurationError: It is no text in the terminal's encoding.
    """
    with translating(
        UnicodeDecodeError,
        to=lambda: ConfigurationError(
            "what was typed is no text in this terminal's encoding", hint="look at LANG and LC_ALL"
        ),
    ):
        answer = typer.prompt(
            printable(question), hide_input=hidden, confirmation_prompt=twice, err=True
        )
    return str(answer)


def confirm(question: str) -> None:
    """Go on if a person says yes.

    Raises:
        Abort: Of typer: the person does not.
    """
    typer.confirm(printable(question), abort=True, err=True)


@contextmanager
def progress_bar(label: str, *, as_bytes: bool = False) -> Iterator[Advance]:
    """Show a bar on standard error, if that is a terminal; yields what is told (done, of)."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    count = DownloadColumn() if as_bytes else MofNCompleteColumn()
    name = TextColumn("{task.description}", markup=False)
    console = Console(stderr=True)
    with Progress(name, BarColumn(), count, _Remaining(), console=console, transient=True) as bar:
        task = bar.add_task(printable(label), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class Stage:
    """What the demo shows itself on."""

    def __init__(self) -> None:
        self._console = Console()

    def rule(self, title: str) -> None:
        """Show a line across, with a title in it."""
        self._console.rule(Text(printable(title), style="bold"))

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes long; yields what is told how far it is."""
        with self._console.status(Text(printable(text))) as status:
            yield lambda now: status.update(Text(printable(now)))

    def say(self, text: str, style: str) -> None:
        """Show one line."""
        self._console.print(Text(printable(text), style=style))

    def panel(self, title: str, lines: Iterable[Iterable[Part]], style: str) -> None:
        """Show lines in a frame."""
        text = Text("\n").join(Text.assemble(*map(_cell, line)) for line in lines)
        heading = Text(printable(title))
        self._console.print(Panel(text, title=heading, border_style=style, width=_PANEL_COLUMNS))


def _cell(part: Part) -> Text:
    words, style = part if isinstance(part, tuple) else (part, "")
    return Text("\n".join(printable_lines(words)), style=style)


def _styled(part: tuple[str, str], *, coloured: bool) -> str:
    words, style = printable(part[0]), part[1].split()
    if not coloured:
        return words
    colour = next((one for one in style if one not in _ATTRIBUTES), None)
    return typer.style(words, fg=colour, bold="bold" in style or None, dim="dim" in style or None)


def _has_colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
