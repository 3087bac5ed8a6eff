"""How commands speak: results to standard output, everything else to standard error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from encrypted_parse.cli.terminal import write, write_json

_LABEL_COLUMNS = 16
_COMMANDS = {
    "accept_former_key": "verify-user --accept-former",
    "accept_key": "verify-user --accept",
    "backup_private_key": "backup",
    "create_recovery_code": "recovery-code",
    "delete_recovery_code": "recovery-code --delete",
    "former_keys": "verify-user --former",
    "generate_backup_password": "backup --generate",
    "mark_verified": "verify-user",
    "protect": "keystore protect",
    "register": "register",
    "reset_private_key_backup": "reset-backup",
    "restore_private_key": "restore",
    "restore_with_recovery_code": "restore --recovery-code",
    "rotate_private_key": "rotate",
    "unregister": "unregister",
}
_WITH_ARGUMENTS = {
    "delete_recovery_code(forget=True)": "recovery-code --delete --forget",
    "restore_with_recovery_code(accept_older=True)": "restore --recovery-code --accept-older",
    "rotate_private_key(lost=True)": "rotate --lost",
}
_CALL = re.compile(rf"\b({'|'.join(_COMMANDS)})\([^()]*\)")


def show(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print facts: names in snake_case, as JSON or as one line each."""
    if as_json:
        write_json(facts)
        return
    for name, value in facts.items():
        if value is not None:
            write(f"{name.replace('_', ' ') + ':':<{_LABEL_COLUMNS}} {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def in_commands(text: str) -> str:
    """Return a hint that names calls of the library with the commands that do the same."""
    text = text.replace("pass expect_user_id=", "set ENCRYPTED_PARSE_USER_ID=")

    def command(call: re.Match[str]) -> str:
        return f"`encrypted-parse {_WITH_ARGUMENTS.get(call[0], _COMMANDS[call[1]])}`"

    return _CALL.sub(command, text)


def say(*lines: str) -> None:
    """Print lines that are good to know, but no result."""
    for line in lines:
        write(line, err=True)
