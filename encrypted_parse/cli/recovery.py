"""Ways back to the keys: backups under a password, recovery codes."""

from __future__ import annotations

from typing import Annotated

import typer

from encrypted_parse.cli.keys import show_code
from encrypted_parse.cli.output import say, show
from encrypted_parse.cli.session import (
    JsonOption,
    PasswordFdOption,
    UserOption,
    YesOption,
    log_in,
    read_secret,
    require_consent,
)
from encrypted_parse.cli.terminal import write
from encrypted_parse.e3kit import generate_backup_password
from encrypted_parse.errors import ConfigurationError

NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="One of several backups, as E3Kit's key name.",
        show_default=False,
    ),
]
BackupFdOption = Annotated[
    int | None,
    typer.Option(
        "--backup-password-fd",
        metavar="N",
        min=0,
        help="Read the backup's password from this file descriptor, not from a prompt.",
        show_default=False,
    ),
]


def backup(
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    backup_password_fd: BackupFdOption = None,
    name: NameOption = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make a password, and print it once.")
    ] = False,
) -> None:
    """Keep your private keys in the cloud, encrypted under a password of their own.

    Every E3Kit app restores them with that password. The service can try guesses: a password that
    can be guessed, or is the login's, is refused; --generate makes a good one. After `rotate`, run
    it again with the same password. That it is the login's is noticed only where the login password
    is given: with --user and not after `login`, or by --password-fd.

    encrypted-parse backup --generate
    """
    client = log_in(user, password_fd)
    if generate:
        password = generate_backup_password()
    else:
        password = _ask("Password for the backup", backup_password_fd, confirm=True)
    client.e3kit.backup_private_key(password, name)
    if generate:
        say("Your backup's password. Write it down and keep it apart from this machine:", "")
        write(password)
    say("The backup is stored.")


def restore(
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    backup_password_fd: BackupFdOption = None,
    name: NameOption = None,
    recovery_code: Annotated[
        bool, typer.Option("--recovery-code", help="Restore with a recovery code instead.")
    ] = False,
    recovery_code_fd: Annotated[
        int | None,
        typer.Option(
            "--recovery-code-fd",
            metavar="N",
            min=0,
            help="Read the recovery code from this file descriptor.",
            show_default=False,
        ),
    ] = None,
    accept_older: Annotated[
        bool,
        typer.Option(
            "--accept-older",
            help="Go on although a newer archive or key is known of: the service was set back.",
        ),
    ] = False,
) -> None:
    """Bring your private keys back onto this machine.

    With the backup's password, or with a recovery code. Keys that are here already stay.

    encrypted-parse restore --recovery-code
    """
    client = log_in(user, password_fd)
    if recovery_code or recovery_code_fd is not None:
        code = read_secret("Recovery code", "--recovery-code-fd", recovery_code_fd)
        client.e3kit.restore_with_recovery_code(code, accept_older=accept_older)
    else:
        password = _ask("Password of the backup", backup_password_fd)
        client.e3kit.restore_private_key(password, name, accept_older=accept_older)
    say("The keys are on this machine.")


def change_password(
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    backup_password_fd: BackupFdOption = None,
    new_password_fd: Annotated[
        int | None,
        typer.Option(
            "--new-password-fd",
            metavar="N",
            min=0,
            help="Read the new password from this file descriptor, not from a prompt.",
            show_default=False,
        ),
    ] = None,
    name: NameOption = None,
) -> None:
    """Put your backup under another password.

    encrypted-parse change-password
    """
    client = log_in(user, password_fd)
    old = _ask("Present password of the backup", backup_password_fd)
    new = read_secret(
        "New password of the backup", "--new-password-fd", new_password_fd, confirm=True
    )
    client.e3kit.change_password(old, new, name)
    say("The backup has its new password.")


def reset_backup(
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    name: NameOption = None,
    yes: YesOption = False,
) -> None:
    """Delete your backup, whatever its password. The keys on this machine stay.

    encrypted-parse reset-backup
    """
    client = log_in(user, password_fd)
    require_consent("Delete the backup", yes=yes)
    client.e3kit.reset_private_key_backup(name)
    say("The backup is deleted.")


def recovery_code(
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the key archive that codes open, instead.")
    ] = False,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="With --delete: this machine takes the next archive that it sees, whatever it is.",
        ),
    ] = False,
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a recovery code: a slip of paper that brings all your keys back.

    It survives rotations and needs no password; it replaces a code that was made before. `restore
    --recovery-code` takes it.

    encrypted-parse recovery-code
    """
    if forget and not delete:
        raise ConfigurationError("--forget goes with --delete")
    client = log_in(user, password_fd)
    require_consent("A code that was made before becomes useless. Go on", yes=yes)
    if delete:
        client.e3kit.delete_recovery_code(forget=forget)
        say("The key archive is deleted.")
        return
    code = client.e3kit.create_recovery_code()
    if as_json:
        show({"recovery_code": code.text}, as_json=True)
    else:
        show_code(code)


def _ask(prompt: str, descriptor: int | None, *, confirm: bool = False) -> str:
    return read_secret(prompt, "--backup-password-fd", descriptor, confirm=confirm)
