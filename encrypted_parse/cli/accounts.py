"""Logging in once for many commands: `login`, `logout`, and `sign-up` for a new account."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from encrypted_parse.cli.output import say, show
from encrypted_parse.cli.session import (
    JsonOption,
    PasswordFdOption,
    ask_name,
    ask_passphrase,
    begin,
    find_kept,
    read_secret,
)
from encrypted_parse.client import EncryptedClient
from encrypted_parse.errors import (
    ConfigurationError,
    EncryptedParseError,
    KeystoreError,
    SessionExpiredError,
)
from encrypted_parse.keystore import KeptSession, SessionKeeper
from encrypted_parse.user_client import UserClient

NameOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        "-u",
        metavar="NAME",
        envvar="ENCRYPTED_PARSE_USER",
        help="The name of the Parse user; without it, it is asked for.",
        show_default=False,
    ),
]


def login(
    user: NameOption = None, password_fd: PasswordFdOption = None, as_json: JsonOption = False
) -> None:
    """Log in once: the commands that follow use this session, and ask for no password.

    The session's token is kept as private keys are: in a file of mode 0600 beside them, sealed
    where they are sealed, or in the system's keyring. It takes the place of the one before, which
    ends. Nothing can be kept where keys come from the environment: set PARSE_SESSION_TOKEN there.

    encrypted-parse login --user alice
    """
    app, keeper = _app_and_keeper()
    name = ask_name(user)
    client = begin(app, name, password_fd)
    _keep(app, keeper, client, name)
    show({"user_name": client.username, "user_id": client.user_id}, as_json=as_json)


def logout() -> None:
    """End the session that `login` kept, at the server and on this machine.

    Private keys stay. If the server cannot be reached the session is kept, to be ended later.

    encrypted-parse logout
    """
    app, keeper = _app_and_keeper()
    kept = find_kept(app)
    if kept is None:
        say("Nobody is logged in.")
        return
    with contextlib.suppress(SessionExpiredError):  # by itself
        app.parse.with_session(kept.session_token).log_out()
    keeper.delete_session()
    say(f"{kept.username} is logged out.")


def sign_up(
    user: NameOption = None, password_fd: PasswordFdOption = None, as_json: JsonOption = False
) -> None:
    """Make a new Parse user, and log in as `login` does. `register` makes the keys.

    For apps that let anybody make an account with a name and a password.

    encrypted-parse sign-up --user alice
    """
    app, keeper = _app_and_keeper()
    name = ask_name(user)
    password = read_secret(f"Password of {name}", "--password-fd", password_fd, confirm=True)
    client = app.sign_up(name, password)
    _keep(app, keeper, client, name)
    show({"user_name": client.username, "user_id": client.user_id}, as_json=as_json)
    say("hint: `encrypted-parse register` makes the keys")


def _app_and_keeper() -> tuple[EncryptedClient, SessionKeeper]:
    app = EncryptedClient.from_env(ask_passphrase=ask_passphrase)
    if not isinstance(app.keystore, SessionKeeper):
        raise ConfigurationError(
            "this keystore keeps no session",
            hint="set PARSE_SESSION_TOKEN, or use a keystore of files or the keyring",
        )
    return app, app.keystore


def _keep(app: EncryptedClient, keeper: SessionKeeper, client: UserClient, name: str) -> None:
    """Keep a new session, and end the one before; one that cannot be kept is ended."""
    before = None
    with contextlib.suppress(KeystoreError):  # it is going to be replaced
        before = find_kept(app)
    url = app.parse.app.server_url
    try:
        keeper.save_session(KeptSession(url, name, client.user_id, client.session_token))
    except KeystoreError:
        with contextlib.suppress(EncryptedParseError):
            client.log_out()
        raise
    if before is not None and before.session_token != client.session_token:
        with contextlib.suppress(EncryptedParseError):
            app.parse.with_session(before.session_token).log_out()
