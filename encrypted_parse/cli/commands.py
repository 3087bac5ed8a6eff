"""`encrypted-parse`: its commands and their help."""

from __future__ import annotations

from typing import Annotated

import typer

from encrypted_parse._version import __version__
from encrypted_parse.cli.accounts import login, logout, sign_up
from encrypted_parse.cli.cloud import cloud
from encrypted_parse.cli.demo import run_demo
from encrypted_parse.cli.dev import dev
from encrypted_parse.cli.env import env
from encrypted_parse.cli.files import decrypt, encrypt, inspect
from encrypted_parse.cli.guard import guard, schema
from encrypted_parse.cli.help import Commands
from encrypted_parse.cli.keys import doctor, keygen, register, rotate, unregister, whoami
from encrypted_parse.cli.keystore import keystore
from encrypted_parse.cli.network import networked
from encrypted_parse.cli.objects import reseal
from encrypted_parse.cli.people import fingerprint, verify_user, whois
from encrypted_parse.cli.recovery import (
    backup,
    change_password,
    recovery_code,
    reset_backup,
    restore,
)
from encrypted_parse.cli.terminal import write

app = Commands(
    help="End-to-end encryption for apps on Back4App and Parse Server.",
    epilog="The server comes from environment variables, which `encrypted-parse dev` prints; "
    "the user from `encrypted-parse login`, or --user NAME and a prompt. docs/cli.md has the whole "
    "reference.",
    pretty_exceptions_enable=False,  # its tracebacks print local variables, which may be secret
    add_completion=True,
)
_OFFLINE = {keygen, inspect, dev}  # they call no server, or make their own
for panel, commands in {
    "Your account": (sign_up, login, logout),
    "Your keys": (register, whoami, rotate, reseal, unregister, doctor, keygen),
    "Ways back to your keys": (backup, restore, change_password, reset_backup, recovery_code),
    "Other users": (whois, fingerprint, verify_user),
    "Files and messages": (encrypt, decrypt, inspect),
    "Servers and set-up": (dev, env),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command if command in _OFFLINE else networked(command))
app.add_typer(keystore, name="keystore", rich_help_panel="Your keys")
app.add_typer(cloud, name="cloud", rich_help_panel="Servers and set-up")
app.add_typer(schema, name="schema", rich_help_panel="Servers and set-up")
app.add_typer(guard, name="guard", rich_help_panel="Servers and set-up")


def _show_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _program(
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Take what is asked of the program itself, and not of a command."""


@app.command(rich_help_panel="Servers and set-up")
def demo(
    fast: Annotated[bool, typer.Option("--fast", help="Do not pause between the steps.")] = False,
) -> None:
    """Show the main job on a real local Parse Server: save, look into the database, read.

    Starts a server with its own Postgres, signs up alice, bob and carol, and saves an encrypted
    message. Exit status 0 only if every step held.

    encrypted-parse demo --fast
    """
    raise typer.Exit(run_demo(pause_seconds=0.0 if fast else 0.6))


@app.command(rich_help_panel="Servers and set-up")
def version() -> None:
    """Print the version.

    encrypted-parse version
    """
    write(__version__)
