"""Who a command acts for: one Parse user, named by the environment or by options."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from encrypted_parse._translating import translating
from encrypted_parse.cli import terminal
from encrypted_parse.cli.network import network
from encrypted_parse.client import EncryptedClient
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.imports import import_private_key
from encrypted_parse.discretion import hushed
from encrypted_parse.errors import (
    ConfigurationError,
    EncryptedParseError,
    SessionExpiredError,
    TransportError,
)
from encrypted_parse.keystore import KeptSession, SessionKeeper
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
        help="Act as this Parse user; without it, as PARSE_SESSION_TOKEN's, or who is logged in.",
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


_begun: list[UserClient] = []
"""The sessions that this command began, which end with it."""


def log_in(user: str | None, password_fd: int | None) -> UserClient:
    """Return the session that the options name; it has to be `ENCRYPTED_PARSE_USER_ID`'s, if set.

    That is a new one, where a password is given or asked for, which ends with the command; or
    `PARSE_SESSION_TOKEN`'s; or the one that `login` kept, for its own user.

    Raises:
        ConfigurationError: Nobody is named, and nobody is logged in.
        WrongLoginError: Wrong name or password.
        SessionExpiredError: The session is over.
        UnexpectedUserIdError: The server answered with another user than is known here.
    """
    settings = read_settings(os.environ)
    app = EncryptedClient.from_env(ask_passphrase=ask_passphrase, transport=network())
    token = settings.get("PARSE_SESSION_TOKEN")
    expected = settings.get("ENCRYPTED_PARSE_USER_ID")
    if user is not None and user == os.environ.get("ENCRYPTED_PARSE_USER"):
        user = settings.get("ENCRYPTED_PARSE_USER")
    # (1) a password on a descriptor   (2) the token of the environment   (3) what was kept
    # (4) a password from a prompt
    if password_fd is None and user is None and token:  # (2)
        return app.become(token, expect_user_id=expected)
    kept = find_kept(app)
    if password_fd is None and kept is not None and user in {None, kept.username}:  # (3)
        return _take_up(app, kept, expected)
    if user is None:
        raise ConfigurationError(
            "no user is named, and nobody is logged in",
            hint="`encrypted-parse login`, or add --user NAME, or set PARSE_SESSION_TOKEN",
        )
    client = begin(app, user, password_fd)  # (1) (4)
    _begun.append(client)
    return client


def begin(app: EncryptedClient, user: str, password_fd: int | None) -> UserClient:
    """Log in with a password. Raises as `log_in`."""
    expected = read_settings(os.environ).get("ENCRYPTED_PARSE_USER_ID")
    password = read_secret(f"Password of {user}", "--password-fd", password_fd)
    return app.log_in(user, password, expect_user_id=expected)


def ask_name(user: str | None) -> str:
    """Return the user's name: the one that an option gives, or from a prompt.

    Raises:
        ConfigurationError: There is no terminal to ask on.
    """
    if user is not None:
        return user
    if not sys.stdin.isatty():
        raise ConfigurationError("no user is named", hint="add --user NAME")
    return terminal.ask("User name")


def find_kept(app: EncryptedClient) -> KeptSession | None:
    """Return the session that `login` kept for this server, if any.

    Raises:
        KeystoreError: One is there, and cannot be read.
    """
    keystore = app.keystore
    kept = keystore.find_session() if isinstance(keystore, SessionKeeper) else None
    # A token is for the server that gave it: another address gets none, whoever set it.
    return kept if kept is not None and kept.server_url == app.parse.app.server_url else None


@contextlib.contextmanager
def ended_sessions() -> Iterator[None]:
    """End, at the end of the block, the sessions that were begun in it.

    Not after an error of the network, which would be waited for again. A server that does not
    answer keeps them until they expire.
    """
    try:
        yield
    except (TransportError, KeyboardInterrupt):
        _begun.clear()
        raise
    finally:
        while _begun:
            with contextlib.suppress(EncryptedParseError):
                _begun.pop().log_out()


def _take_up(app: EncryptedClient, kept: KeptSession, expected: str | None) -> UserClient:
    try:
        return app.become(hushed(kept.session_token), expect_user_id=expected or kept.user_id)
    except SessionExpiredError as error:
        code, status = error.code, error.status
    raise SessionExpiredError(
        f"the session of {kept.username} is over",
        code=code,
        status=status,
        hint="log in again: `encrypted-parse login`",
    )


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
