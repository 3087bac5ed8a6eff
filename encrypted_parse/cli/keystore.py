"""``encrypted-parse keystore``: the private keys in files on this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from encrypted_parse.cli.help import Commands
from encrypted_parse.cli.output import say, show
from encrypted_parse.cli.session import (
    JsonOption,
    YesOption,
    ask_passphrase,
    read_secret,
    require_consent,
)
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.keystore import FileKeystore, Passphrase, keystore_from_env
from encrypted_parse.settings import read_settings

keystore = Commands(help="The private keys in files on this machine.")


@keystore.command("list")
def list_users(as_json: JsonOption = False) -> None:
    """Show whose keys are here, where, and whether the files are sealed. Needs no server.

    encrypted-parse keystore list
    """
    files = _files()
    show(
        {
            "folder": str(files.folder),
            "sealed": files.is_protected,
            "user_ids": files.user_ids(),
        },
        as_json=as_json,
    )


@keystore.command()
def protect(
    passphrase_fd: Annotated[
        int | None,
        typer.Option(
            "--passphrase-fd",
            metavar="N",
            min=0,
            help="Read the new passphrase from this file descriptor, not from a prompt.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Seal the files with a passphrase, or change the passphrase.

    It is asked for whenever keys are needed; programs read it from the file that
    ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE names. If this is cut short, run it again.

    encrypted-parse keystore protect
    """
    files = _files()
    passphrase = read_secret(
        "New passphrase of the keystore", "--passphrase-fd", passphrase_fd, confirm=True
    )
    files.protect(Passphrase(passphrase))
    say(f"The files of {len(files.user_ids())} users are sealed.")


@keystore.command()
def unprotect(yes: YesOption = False) -> None:
    """Write the files plain again, readable for your account on this machine alone.

    encrypted-parse keystore unprotect
    """
    files = _files()
    require_consent("Write the private keys without a passphrase", yes=yes)
    files.unprotect()
    say("The files are plain.")


def _files() -> FileKeystore:
    settings = read_settings(os.environ)
    application_id = settings.get("PARSE_APPLICATION_ID")
    if application_id is None:
        raise ConfigurationError("the environment variable PARSE_APPLICATION_ID is not set")
    found = keystore_from_env(settings, application_id, ask_passphrase=ask_passphrase)
    if not isinstance(found, FileKeystore):
        raise ConfigurationError("the environment names a keystore that is not made of files")
    return found
