"""``encrypted-parse dev``: a real local Parse Server until Ctrl-C."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from encrypted_parse.devserver import DevServer, dev_server
from encrypted_parse.errors import DevServerError, EncryptedParseError

MAX_PORT = 65535


def dev(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="PATH",
            help="Keep database, files and keys in this folder for the next start."
            " Without it they are temporary.",
            show_default=False,
        ),
    ] = None,
    encrypted_fields: Annotated[
        Path | None,
        typer.Option(
            "--encrypted-fields",
            metavar="FILE",
            help="Guard the columns that `encrypted-parse schema export` wrote into this file.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="N", min=0, max=MAX_PORT, help="Listen on this port; 0: a free one."
        ),
    ] = 0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object instead of text, for other programs."),
    ] = False,
) -> None:
    """Run a real Parse Server on this machine, with database and key directory.

    It listens on 127.0.0.1 alone and ends with Ctrl-C. The first start installs
    the server's npm packages (about 30 s); later ones take some two seconds.

    Paste the `export` lines that it prints into another terminal: there,
    EncryptedClient.from_env() finds the server. To keep data and keys for the
    next start: encrypted-parse dev --data-dir ./parse-data
    """
    notices = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with (
            _signals_as_keyboard_interrupt(),
            dev_server(
                data_dir,
                port=port,
                encrypted_fields=encrypted_fields,
                progress=lambda text: notices.print(text, markup=False),
            ) as server,
        ):
            if as_json:
                typer.echo(json.dumps(_summary(server)))
            else:
                _show(server, kept=data_dir is not None)
            server.wait()
            raise DevServerError("the server has ended by itself", hint=_log_hint(server, data_dir))
    except KeyboardInterrupt:
        return
    except EncryptedParseError as error:
        notices.print("[bold red]error:[/] ", end="")
        notices.print(str(error), markup=False)
        if error.hint is not None:
            notices.print("[bold]hint:[/] ", end="")
            notices.print(error.hint, markup=False)
        raise typer.Exit(1) from None


@contextmanager
def _signals_as_keyboard_interrupt() -> Iterator[None]:
    """Stop in order for a service manager (SIGTERM) and a closed terminal (SIGHUP) too."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    earlier = [(number, signal.signal(number, interrupt)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in earlier:
            signal.signal(number, handler)


def _log_hint(server: DevServer, data_dir: Path | None) -> str:
    if data_dir is None:
        return "start it again with --data-dir, which keeps the log"
    return f"its log is {server.log_path}"


def _summary(server: DevServer) -> dict[str, object]:
    return {
        "url": server.url,
        "application_id": server.application_id,
        "rest_api_key": server.rest_api_key,
        "directory_url": server.directory_url,
        "service_public_key": server.service_public_key,
        "live_query_url": server.live_query_url,
        "data_dir": str(server.data_dir),
        "log_path": str(server.log_path),
        "environment": server.environment(),
    }


def _show(server: DevServer, *, kept: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print("[bold green]Parse Server is running.[/] Ctrl-C stops it.\n")
    rows = {
        "URL": server.url,
        "application id": server.application_id,
        "REST key": server.rest_api_key,
        "directory URL": server.directory_url,
        "service public key": server.service_public_key,
        "LiveQuery": server.live_query_url,
        "log": str(server.log_path),
        "data": str(server.data_dir) if kept else "removed at the end; --data-dir PATH keeps it",
    }
    for name, value in rows.items():
        console.print(f"  {name:<20}", end="")
        console.print(value, style="cyan", markup=False)
    console.print("\nFor a program in another terminal:\n")
    for name, value in server.environment().items():
        console.print(f"export {name}={shlex.quote(value)}", markup=False)
