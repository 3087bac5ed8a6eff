"""docs/cli.md says what the commands' own help says, of every command."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import cli_reference
import pytest

COMMANDS = dict(cli_reference.commands())
EXPECTED = {
    "register whoami rotate reseal unregister doctor keygen",
    "backup restore change-password reset-backup recovery-code",
    "whois fingerprint verify-user encrypt decrypt inspect dev demo version",
}


def test_every_command_that_was_promised_is_there() -> None:
    """The names of the design, and no command without a docstring."""
    names = {path.split(" ", 1)[1] for path in COMMANDS}
    assert set(" ".join(EXPECTED).split()) <= names
    assert {"keystore list", "keystore protect", "keystore unprotect"} <= names
    assert all(command.help for command in COMMANDS.values())


def test_the_reference_is_up_to_date() -> None:
    """Help that changed is written again: python tests/cli_reference.py."""
    written = cli_reference.DOCS.read_text("utf-8").split(cli_reference.MARKER)
    assert len(written) == 2
    assert written[1].strip() == cli_reference.reference().strip()


@pytest.mark.parametrize("path", COMMANDS)
def test_help_shows_what_the_reference_shows(path: str) -> None:
    """`--help` of the installed command names every option and every word of the text."""
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}
    arguments = [*path.split()[1:], "--help"]
    shown = subprocess.run(
        [sys.executable, "-c", "from encrypted_parse.cli.entry import main; main()", *arguments],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=environment,
        timeout=60,
    ).stdout
    assert "\x1b" not in shown
    words = set(re.findall(r"[\w-]+", shown))
    command = COMMANDS[path]
    assert set(re.findall(r"[\w-]+", command.help)) <= words
    for param in command.params:
        assert {name for name in param.opts if name.startswith("--")} <= words, param.name


def test_no_secret_is_an_argument() -> None:
    """No option takes a password, passphrase, code or key as its value."""
    for path, command in COMMANDS.items():
        for param in command.params:
            secret = re.search(r"password|passphrase|code|secret|key", param.name or "")
            descriptor = param.name.endswith("_fd") and param.metavar == "N"
            assert not secret or descriptor or param.is_flag, f"{path} {param.name}"
