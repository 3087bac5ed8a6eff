"""The life of one's own key: made, registered, rotated, unregistered, looked at."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from encrypted_parse.backup import RecoveryCode
from encrypted_parse.cli.output import in_commands, say, show
from encrypted_parse.cli.session import (
    JsonOption,
    PasswordFdOption,
    UserOption,
    YesOption,
    log_in,
    read_private_key,
    require_consent,
    require_typed,
)
from encrypted_parse.cli.terminal import write, write_table
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import Card
from encrypted_parse.e3kit import Health
from encrypted_parse.errors import ConfigurationError

KeyFdOption = Annotated[
    int | None,
    typer.Option(
        "--key-fd",
        metavar="N",
        min=0,
        help="Take this private key (PEM, DER, or base64 as of `keygen`) from a file descriptor.",
        show_default=False,
    ),
]
_STYLES = {Health.GOOD: "green", Health.ADVICE: "yellow", Health.PROBLEM: "bold red"}


def keygen(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write the private key into a new file of mode 0600, not to standard output.",
            show_default=False,
        ),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a key pair, without a server.

    For containers and tests: `register` makes a user's keys by itself. The private key is base64
    of PKCS#8, as E3Kit exports it. It is printed to a terminal only with --yes.

    encrypted-parse keygen --out alice.key
    """
    if out is None and sys.stdout.isatty() and not yes:
        raise ConfigurationError(
            "this would print a private key to the terminal",
            hint="--out FILE writes it into a file; --yes prints it all the same",
        )
    key = PrivateKey.generate()
    facts: dict[str, Any] = {
        "public_key": key.public_key.to_base64(),
        "key_id": key.public_key.key_id.hex(),
    }
    if out is None:
        facts = {"private_key": key.to_base64(), **facts}
    else:
        _write_private(out, key.to_base64() + "\n")
    show(facts, as_json=as_json)


def register(
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    recovery_code: Annotated[
        bool | None,
        typer.Option(
            "--recovery-code/--no-recovery-code",
            help="Print a recovery code, or make none. Without either: on a terminal, yes.",
            show_default=False,
        ),
    ] = None,
    key_fd: KeyFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make your keys, keep the private one on this machine, publish the card.

    Once per user; harmless to repeat. On another machine use `restore` instead.

    encrypted-parse register --user alice
    """
    client = log_in(user, password_fd)
    key = _given_key(key_fd)
    codes: list[RecoveryCode] = []
    wanted = sys.stdin.isatty() and not as_json if recovery_code is None else recovery_code
    card = client.e3kit.register(key, show_recovery_code=codes.append if wanted else None)
    facts = _card_facts(card)
    if codes and as_json:
        facts["recovery_code"] = codes[0].text
    show(facts, as_json=as_json)
    if codes and not as_json:
        show_code(codes[0])
    elif recovery_code is not False and not codes:
        say("hint: `encrypted-parse recovery-code` makes a way back if this machine is lost")


def whoami(
    user: UserOption = None, password_fd: PasswordFdOption = None, as_json: JsonOption = False
) -> None:
    """Show the user, the published card, and whether its private key is on this machine.

    encrypted-parse whoami
    """
    client = log_in(user, password_fd)
    e3kit = client.e3kit
    facts: dict[str, Any] = {"user_name": client.username, "user_id": client.user_id}
    card = e3kit.find_own_card()
    held = e3kit.local_public_keys()
    facts["registered"] = card is not None
    facts["private_key"] = (
        "not on this machine"
        if not held
        else "on this machine"
        if card is not None and card.public_key in held
        else "on this machine, but not the published one"
    )
    facts["old_keys"] = max(0, len(held) - 1)
    if card is not None:
        facts |= _card_facts(card)
    show(facts, as_json=as_json)


def rotate(
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    key_fd: KeyFdOption = None,
    lost: Annotated[
        bool,
        typer.Option(
            "--lost", help="The present key is on no machine and in no backup: give it up."
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Replace your key by a new one; what was encrypted for the old one stays readable.

    The old key is kept on this machine and in the key archive, and signs the new card, so that
    peers who know it follow without asking. Afterwards: `backup` again, and `reseal` to encrypt
    your own objects for the new key.

    A machine without the present key refuses, and says which ways lead back to it. With --lost it
    goes on: what was written for you until now stays unreadable, and peers are asked to compare
    numbers.

    encrypted-parse rotate
    """
    client = log_in(user, password_fd)
    e3kit = client.e3kit
    if lost:
        say(f"Ways back to the present key: {in_commands(e3kit.ways_back().to_text())}.")
        require_typed("lost", "The present key is given up, and what was written for it", yes=yes)
    show(_card_facts(e3kit.rotate_private_key(_given_key(key_fd), lost=lost)), as_json=as_json)
    ways = e3kit.ways_back()
    if ways.backup or ways.named_backups:
        say("hint: a backup under a password holds older keys: `encrypted-parse backup`")
    if not ways:
        say("hint: nothing brings the key back if this machine is lost: `encrypted-parse backup`")


def unregister(
    user: UserOption = None, password_fd: PasswordFdOption = None, yes: YesOption = False
) -> None:
    """Revoke your card, and delete your private keys from this machine.

    Says first what brings the keys back. Without a backup, a recovery code or another machine,
    everything that was encrypted for you is lost.

    encrypted-parse unregister
    """
    client = log_in(user, password_fd)
    e3kit = client.e3kit
    ways = e3kit.ways_back()
    say(f"Gone afterwards: the published card, and {_held(len(e3kit.local_public_keys()))}.")
    if ways:
        say(f"What stays: {in_commands(ways.to_text())}.")
        say("It opens what was written before, after you have registered again.")
    else:
        say("No backup and no recovery code: unless another machine has the keys, all is lost.")
    require_consent("Delete the private keys from this machine", yes=yes)
    e3kit.unregister()
    say("The card is revoked, and the keys are deleted.")


def doctor(
    user: UserOption = None, password_fd: PasswordFdOption = None, as_json: JsonOption = False
) -> None:
    """Tell what is missing: key, card, backup, recovery code, old keys.

    Exit status 1 if something needs care at once; advice alone is 0.

    encrypted-parse doctor
    """
    findings = log_in(user, password_fd).e3kit.diagnose()
    if as_json:
        facts = [
            {
                "topic": finding.topic,
                "health": finding.health.value,
                "message": finding.message,
                "hint": finding.hint and in_commands(finding.hint),
            }
            for finding in findings
        ]
        show({"findings": facts}, as_json=True)
    else:
        write_table(
            (
                finding.topic,
                (finding.health.value, _STYLES[finding.health]),
                finding.message + (f"\nhint: {in_commands(finding.hint)}" if finding.hint else ""),
            )
            for finding in findings
        )
    if any(finding.health is Health.PROBLEM for finding in findings):
        raise typer.Exit(1)


def show_code(code: RecoveryCode) -> None:
    """Print a recovery code, and what it is for."""
    say("Your recovery code. Write it down and keep it apart from this machine:", "")
    write(f"    {code.text}")
    write()
    say("Whoever has it and your account reads everything. It is kept nowhere else.")


def _card_facts(card: Card) -> dict[str, Any]:
    return {
        "user_id": card.user_id,
        "card_id": card.card_id,
        "key_id": card.public_key.key_id.hex(),
        "fingerprint": fingerprint_of(card),
        "created_at": card.created_at.isoformat(),
    }


def _held(count: int) -> str:
    return "the private key of this machine" if count == 1 else f"{count} keys of this machine"


def fingerprint_of(card: Card) -> str:
    """Return the SHA-256 of a card's key in groups of eight hexadecimal digits."""
    digits = card.public_key.long_key_id.hex()
    return " ".join(digits[at : at + 8] for at in range(0, len(digits), 8))


def _given_key(descriptor: int | None) -> PrivateKey | None:
    return None if descriptor is None else read_private_key("--key-fd", descriptor)


def _write_private(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already", hint="name a new file") from None
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
