"""``encrypted-parse dev``: a real local Parse Server until Ctrl-C."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from encrypted_parse.cli.output import say
from encrypted_parse.cli.terminal import write, write_json
from encrypted_parse.devserver import DevServer, dev_server
from encrypted_parse.errors import DevServerError

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
    find_users: Annotated[
        bool, typer.Option("--find-users", help="Let users be found by their exact names.")
    ] = False,
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
    next start:

    encrypted-parse dev --data-dir ./parse-data
    """
    with (
        suppress(KeyboardInterrupt),
        _signals_as_keyboard_interrupt(),
        dev_server(
            data_dir,
            port=port,
            encrypted_fields=encrypted_fields,
            find_users=find_users,
            progress=say,
        ) as server,
    ):
        if as_json:
            write_json(_summary(server), in_one_line=True)
        else:
            _show(server, kept=data_dir is not None)
        server.wait()
        raise DevServerError("the server has ended by itself", hint=_log_hint(server, data_dir))


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
    write(("Parse Server is running.", "bold green"), " Ctrl-C stops it.")
    write()
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
        write(f"  {name:<20}", (value, "cyan"))
    write()
    write("For a program in another terminal:")
    write()
    for name, value in server.environment().items():
        write(f"export {name}={shlex.quote(value)}")
