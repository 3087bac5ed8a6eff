"""`encrypted-parse`: its commands and their help."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from encrypted_parse._version import __version__
from encrypted_parse.cli.demo import run_demo
from encrypted_parse.devserver import DevServer, dev_server

app = typer.Typer(
    help="End-to-end encryption for apps on Back4App and Parse Server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, which may be secret
    add_completion=True,
)


@app.command()
def demo(
    fast: Annotated[bool, typer.Option("--fast", help="Do not pause between the steps.")] = False,
) -> None:
    """Show the main job on a real local Parse Server: save, look into the database, read.

    Starts a server with its own Postgres, signs up alice, bob and carol, and saves an encrypted
    message. Exit status 0 only if every step held.
    """
    raise typer.Exit(run_demo(Console(), pause_seconds=0.0 if fast else 0.6))


@app.command()
def dev(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Keep database, files and keys here. Default: temporary."),
    ] = None,
    port: Annotated[int, typer.Option(help="For HTTP; 0 takes a free one.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a real Parse Server with the cloud code, until Ctrl-C.

    Prints what a client needs, as lines to paste into a shell. The REST API key is made on first
    start; with --data-dir it stays the same. Everything listens on 127.0.0.1.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    notes = Console(stderr=True)
    with dev_server(data_dir, port=port, progress=notes.print) as server:
        typer.echo(json.dumps(server.environment()) if as_json else _describe(server))
        stop.wait()


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _describe(server: DevServer) -> str:
    lines = [
        f"# Parse Server is running; its data is in {server.data_dir}",
        f"# LiveQuery: {server.live_query_url}",
        *(f"export {name}={value}" for name, value in server.environment().items()),
        "# Ctrl-C stops it.",
    ]
    return "\n".join(lines)
