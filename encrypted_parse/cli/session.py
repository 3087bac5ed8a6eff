"""Who a command acts for: one Parse user, named by the environment or by options."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from encrypted_parse._translating import translating
from encrypted_parse.cli import terminal
from encrypted_parse.cli.network import network
from encrypted_parse.client import EncryptedClient
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.imports import import_private_key
from encrypted_parse.discretion import hushed
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.settings import read_settings
from encrypted_parse.user_client import UserClient

MAX_SECRET_BYTES = 4096

UserOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        "-u",
        metavar="NAME",
        envvar="ENCRYPTED_PARSE_USER",
        help="Log in as this Parse user; without it, PARSE_SESSION_TOKEN is used.",
        show_default=False,
    ),
]
PasswordFdOption = Annotated[
    int | None,
    typer.Option(
        "--password-fd",
        metavar="N",
        min=0,
        help="Read the login password from this file descriptor, not from a prompt.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def log_in(user: str | None, password_fd: int | None) -> UserClient:
    """Return the session that the options name; it has to be `ENCRYPTED_PARSE_USER_ID`'s, if set.

    Raises:
        ConfigurationError: Neither a user nor a session token is given.
        WrongLoginError: Wrong name or password.
        UnexpectedUserIdError: The server answered with another user than is known here.
    """
    settings = read_settings(os.environ)
    app = EncryptedClient.from_env(ask_passphrase=ask_passphrase, transport=network())
    token = settings.get("PARSE_SESSION_TOKEN")
    expected = settings.get("ENCRYPTED_PARSE_USER_ID")
    if user is not None and user == os.environ.get("ENCRYPTED_PARSE_USER"):
        user = settings.get("ENCRYPTED_PARSE_USER")
    if user is not None:
        password = read_secret(f"Password of {user}", "--password-fd", password_fd)
        return app.log_in(user, password, expect_user_id=expected)
    if token:
        return app.become(token, expect_user_id=expected)
    raise ConfigurationError("no user is named", hint="add --user NAME, or set PARSE_SESSION_TOKEN")


def ask_passphrase() -> str:
    """Return the passphrase of the keystore, from a hidden prompt.

    Raises:
        ConfigurationError: There is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "passphrase of the keystore: there is no terminal to ask on",
            hint="ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE names a file with it; /dev/fd/3 will do",
        )
    return read_secret("Passphrase of the keystore", "", None)


def read_secret(prompt: str, option: str, descriptor: int | None, *, confirm: bool = False) -> str:
    """Return a secret from *descriptor* or from a hidden prompt; never from the command line.

    A line feed at the end of what the descriptor gives is not part of it, nor is a byte order mark.

    Raises:
        ConfigurationError: There is no terminal to ask on, or the descriptor gives nothing.
    """
    if descriptor is None:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                f"{prompt.lower()}: there is no terminal to ask on",
                hint=f"give it with {option} N, from a file descriptor",
            )
        return hushed(terminal.ask(prompt, hidden=True, twice=confirm))
    secret = _read_all(option, descriptor)
    with translating(
        UnicodeDecodeError, to=lambda: ConfigurationError(f"{option} {descriptor}: not UTF-8 text")
    ):
        text = secret.decode("utf-8").removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
    if not text:
        raise ConfigurationError(f"{option} {descriptor}: nothing there")
    return hushed(text)


def read_private_key(option: str, descriptor: int) -> PrivateKey:
    """Return a private key from *descriptor*, in any form that `import_private_key` reads.

    Raises:
        ConfigurationError: The descriptor gives nothing.
        KeyFormatError: It gives something else.
    """
    return import_private_key(_read_all(option, descriptor))


def require_consent(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        ConfigurationError: There is nobody to ask, and `--yes` is not given.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question}: nobody can be asked", hint="add --yes if so")
    terminal.confirm(question)


def require_typed(word: str, question: str, *, yes: bool) -> None:
    """Ask, before something that loses data, for a word that nobody types by accident.

    Raises:
        ConfigurationError: There is nobody to ask, and `--yes` is not given; or something else
            was typed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question}: nobody can be asked", hint="add --yes if so")
    if terminal.ask(f"{question}. Type {word!r} to go on") != word:
        raise ConfigurationError("nothing was done")


def _read_all(option: str, descriptor: int) -> bytes:
    pieces = b""
    try:
        while len(pieces) <= MAX_SECRET_BYTES:
            piece = os.read(descriptor, MAX_SECRET_BYTES + 1)
            if not piece:
                break
            pieces += piece
    except OSError as error:
        raise ConfigurationError(f"{option} {descriptor}: {error.strerror}") from error
    if not pieces or len(pieces) > MAX_SECRET_BYTES:
        raise ConfigurationError(f"{option} {descriptor}: nothing there, or too much")
    return pieces
