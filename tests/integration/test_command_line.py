"""The command line on the real server: transcripts, and what only a terminal shows."""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from encrypted_parse import EncryptedClient
from encrypted_parse.devserver import DevServer

TRANSCRIPTS = sorted((Path(__file__).parents[1] / "transcripts").glob("*.txt"))
WILDCARDS = {
    "id": r"[A-Za-z0-9]{10}",
    "hex": r"[0-9a-f ]+",
    "number": r"[0-9]+",
    "time": r"2[0-9-]{9}T[0-9:]{8}\+00:00",
    "blanks": r" *",
    "any": r".*",
}
END = "--- end of command ---"
SECONDS = 90
TERMINAL_SECONDS = 30
# Prompts for secrets open the controlling terminal, which a child has to claim for itself.
WITH_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp('bash', ['bash', '-c', sys.argv[1]])"
)
_NUMBERS = itertools.count()


class Shell:
    """A folder of its own, two users of their own, and the environment that names the server."""

    def __init__(self, server: DevServer, app: EncryptedClient, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **server.environment(),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "ENCRYPTED_PARSE_KEYSTORE": str(folder / "keys"),
            "COLUMNS": "120",
            "LANG": "C.UTF-8",
        }
        for user in ("alice", "bob"):
            name = f"{user}{next(_NUMBERS)}"
            signed_up = app.sign_up(name, f"password of {user}")
            self.environment[user.upper()] = f"--user {name} --password-fd 3"
            (folder / f"{user}.id").write_text(signed_up.user_id)
            (folder / f"{user}.pw").write_text(f"password of {user}\n")
            (folder / f"{user}.name").write_text(name)
        (folder / "backup.pw").write_text("correct horse battery staple\n")
        (folder / "new.pw").write_text("another long passphrase")
        (folder / "letter.txt").write_text("Dear Bob\n")

    def run(self, commands: list[str]) -> list[tuple[str, int]]:
        """Run commands in one shell; return output and status of each."""
        script = "".join(f'{command}\necho "\n{END} $?"\n' for command in commands)
        done = subprocess.run(
            ["bash", "-c", f"exec 2>&1\n{script}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
            encoding="utf-8",
            timeout=SECONDS,
        )
        parts = re.split(rf"\n{END} (\d+)\n", done.stdout)
        return [(parts[at], int(parts[at + 1])) for at in range(0, len(parts) - 1, 2)]

    def terminal(self, command: str, answers: list[tuple[str, str]] | None = None) -> str:
        """Run a command on a terminal; answer each prompt when it shows; return all that shows.

        A hidden prompt's last blank shows once the terminal does not echo any more.
        """
        main, side = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", WITH_TERMINAL, command],
            cwd=self.folder,
            env={**self.environment, "TERM": "xterm-256color"},
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
        )
        os.close(side)
        shown, waiting, deadline = "", list(answers or []), time.monotonic() + TERMINAL_SECONDS
        position = 0
        try:
            while time.monotonic() < deadline:
                if select.select([main], [], [], 0.2)[0]:
                    try:
                        piece = os.read(main, 65536)
                    except OSError:  # the other end is closed
                        break
                    shown += piece.decode("utf-8", "replace")
                if waiting and (found := shown.find(waiting[0][0], position)) >= 0:
                    position = found + len(waiting[0][0])
                    os.write(main, waiting.pop(0)[1].encode() + b"\n")
        finally:
            process.kill()
            process.wait()
            os.close(main)
        assert not waiting, shown
        return shown.replace("\r\n", "\n")


@pytest.fixture
def shell(dev_server: DevServer, app: EncryptedClient, tmp_path: Path) -> Shell:
    """Return a shell with two users who have not registered."""
    return Shell(dev_server, app, tmp_path)


def parsed(transcript: Path) -> Iterator[tuple[str, str, int]]:
    """Yield each command with what it should print and its status."""
    lines = transcript.read_text("utf-8").splitlines()
    for command, group in _grouped(line for line in lines if not line.startswith("#")):
        match = re.fullmatch(r"\[(\d+)\]", group[-1]) if group else None
        if match is None:
            yield command, "\n".join(group), 0
        else:
            yield command, "\n".join(group[:-1]), int(match[1])


def _grouped(lines: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    command, group = "", list[str]()
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield command, group
            command, group = line[2:], []
        else:
            group.append(line)
    yield command, group


def pattern(expected: str) -> str:
    """Return a regular expression for what a transcript shows."""
    parts = re.split(r"<(\w+)>", expected)
    return "".join(WILDCARDS[part] if at % 2 else re.escape(part) for at, part in enumerate(parts))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(shell: Shell, transcript: Path) -> None:
    """Every command prints what the transcript shows, and ends with its status."""
    cases = list(parsed(transcript))
    outcomes = shell.run([command for command, _, _ in cases])
    assert len(outcomes) == len(cases)
    names = [(shell.folder / f"{user}.name").read_text() for user in ("alice", "bob")]
    for (command, expected, status), (output, code) in zip(cases, outcomes, strict=True):
        shown = output.removesuffix("\n")
        for user, name in zip(("alice", "bob"), names, strict=True):
            shown = re.sub(rf"\b{name}\b", user, shown)
        assert re.fullmatch(pattern(expected), shown), f"$ {command}\n{output}"
        assert code == status, f"$ {command}\n{output}"
        assert "Traceback" not in output


def test_transcripts_can_fail() -> None:
    """The comparison is one: another text or another number of lines does not match."""
    assert re.fullmatch(pattern("key: <hex>"), "key: 00ff")
    for other in ("key: 00fg", "key: 00ff\n", "key 00ff"):
        assert not re.fullmatch(pattern("key: <hex>"), other)


def test_a_private_key_is_not_printed_to_a_terminal(shell: Shell) -> None:
    """Without --yes it is refused; into a pipe or with --yes it is printed."""
    refused = shell.terminal("encrypted-parse keygen")
    assert "error: this would print a private key to the terminal" in refused
    assert "MC4CAQ" not in refused
    assert "MC4CAQ" in shell.terminal("encrypted-parse keygen --yes")
    [(piped, _)] = shell.run(["encrypted-parse keygen"])
    assert "MC4CAQ" in piped


def test_prompts_hide_what_is_typed(shell: Shell) -> None:
    """Passwords are asked for on the terminal, twice where they are new, and never shown."""
    name = (shell.folder / "alice.name").read_text()
    shown = shell.terminal(
        f"encrypted-parse register --user {name}", [(f"Password of {name}: ", "password of alice")]
    )
    assert "password of alice" not in shown
    code = re.search(r"\b(?:[0-9A-Z]{6}-){5}[0-9A-Z]{6}\b", shown)
    assert code is not None
    shown = shell.terminal(
        f"encrypted-parse backup --user {name}",
        [
            (f"Password of {name}: ", "password of alice"),
            ("Password for the backup: ", "hush, seven old lanterns"),
            ("Repeat for confirmation: ", "hush, seven old lanterns"),
        ],
    )
    assert "The backup is stored." in shown
    assert "hush" not in shown
    (made, status), *_ = shell.run(
        [f"encrypted-parse backup --name two --generate --user {name} --password-fd 3 3< alice.pw"]
    )
    assert status == 0
    assert re.search(r"^(\w{5}-){3}\w{5}$", made, re.MULTILINE)
    shell.environment["ENCRYPTED_PARSE_KEYSTORE"] = str(shell.folder / "another")
    shown = shell.terminal(
        f"encrypted-parse restore --recovery-code --user {name}",
        [(f"Password of {name}: ", "password of alice"), ("Recovery code: ", code[0].lower())],
    )
    assert "The keys are on this machine." in shown
    assert code[0].lower() not in shown


def test_giving_a_key_up_is_typed(shell: Shell) -> None:
    """On a terminal the word has to be typed; anything else leaves the key as it is."""
    name = (shell.folder / "alice.name").read_text()
    shell.run(["encrypted-parse register --no-recovery-code $ALICE 3< alice.pw"])
    shell.environment["ENCRYPTED_PARSE_KEYSTORE"] = str(shell.folder / "another")
    whois = "encrypted-parse whoami --json $ALICE 3< alice.pw"
    before = shell.run([whois])
    rotate = f"encrypted-parse rotate --lost --user {name}"
    login = (f"Password of {name}: ", "password of alice")
    shown = shell.terminal(rotate, [login, ("Type 'lost' to go on: ", "yes")])
    assert "Ways back to the present key: another machine that has the key" in shown
    assert "nothing was done" in shown
    assert shell.run([whois]) == before
    shell.terminal(rotate, [login, ("Type 'lost' to go on: ", "lost")])
    assert '"private_key": "on this machine"' in shell.run([whois])[0][0]


def test_a_sealed_keystore_asks(shell: Shell) -> None:
    """Its passphrase is set and asked for at hidden prompts; a typing error changes nothing."""
    register = "encrypted-parse register --no-recovery-code $ALICE 3< alice.pw"
    assert shell.run([register])[0][1] == 0
    shown = shell.terminal(
        "encrypted-parse keystore protect",
        [
            ("New passphrase of the keystore: ", "one"),
            ("Repeat for confirmation: ", "two"),
            ("New passphrase of the keystore: ", "one"),
            ("Repeat for confirmation: ", "one"),
        ],
    )
    assert "sealed" in shown
    who = "encrypted-parse whoami $ALICE 3< alice.pw"
    shown = shell.terminal(who, [("Passphrase of the keystore: ", "one")])
    assert "on this machine" in shown
    assert "does not open" in shell.terminal(who, [("Passphrase of the keystore: ", "two")])


def test_safety_numbers_on_a_terminal(shell: Shell) -> None:
    """The number and its QR code show; yes verifies, no does not."""
    shell.run(
        [
            "encrypted-parse register --no-recovery-code $ALICE 3< alice.pw",
            "encrypted-parse register --no-recovery-code $BOB 3< bob.pw",
        ]
    )
    verify = "encrypted-parse verify-user $(cat bob.id) $ALICE 3< alice.pw"
    shown = shell.terminal(verify, [("[y/N]: ", "n")])
    assert re.search(r"(\d{5} ){3}\d{5}\n(\d{5} ){3}\d{5}\n(\d{5} ){3}\d{5}\n", shown)
    assert shown.count("█") > 100
    trust = "encrypted-parse whois $(cat bob.id) $ALICE 3< alice.pw | tail -1"
    assert shell.run([trust])[0][0].split() == ["trust:", "seen"]
    shell.terminal(verify, [("[y/N]: ", "y")])
    assert shell.run([trust])[0][0].split() == ["trust:", "verified"]


def test_a_letter_does_not_speak_to_the_terminal(shell: Shell) -> None:
    """What a sender wrote shows as text; a file or a pipe gets every byte of it."""
    letter = b"Dear Bob\n\x1b]52;c;ZXZpbA==\x07\x1b[2J\xe2\x80\xaeevil\n"
    (shell.folder / "evil").write_bytes(letter)
    shell.run(
        [
            "encrypted-parse register --no-recovery-code $ALICE 3< alice.pw",
            "encrypted-parse encrypt evil -o evil.enc $ALICE 3< alice.pw",
            "encrypted-parse encrypt evil --text -o evil.txt $ALICE 3< alice.pw",
            "encrypted-parse decrypt evil.enc $ALICE 3< alice.pw > piped",
        ]
    )
    assert (shell.folder / "piped").read_bytes() == letter
    for source in ("evil.enc", "--text evil.txt"):
        shown = shell.terminal(f"encrypted-parse decrypt {source} $ALICE 3< alice.pw")
        assert "Dear Bob\n\ufffd]52;c;ZXZpbA==\ufffd\ufffd[2J\ufffdevil\n" in shown


def test_colours_only_where_they_are_wanted(shell: Shell) -> None:
    """A terminal gets colours and bars; NO_COLOR and pipes get none."""
    doctor = "encrypted-parse doctor $ALICE 3< alice.pw"
    colour = re.compile(r"\x1b\[[0-9;]*[34][0-9][0-9;]*m")
    assert colour.search(shell.terminal(doctor))
    assert not colour.search(shell.terminal(f"NO_COLOR=1 {doctor}"))
    [(piped, _)] = shell.run([doctor])
    assert "\x1b" not in piped


def test_long_work_shows_a_bar_on_a_terminal(shell: Shell) -> None:
    """Encrypting 64 MiB shows how far it is; a pipe's standard error stays empty."""
    with (shell.folder / "large").open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    shell.run(["encrypted-parse register --no-recovery-code $ALICE 3< alice.pw"])
    encrypt = "encrypted-parse encrypt large -o large.enc $ALICE 3< alice.pw"
    shown = shell.terminal(encrypt)
    assert "encrypting" in shown
    assert "67.1/67.1 MB" in shown
    assert shell.run([encrypt])[0] == ("", 0)


def test_completion_is_offered(shell: Shell) -> None:
    """The shell's completion script can be shown, for bash at least."""
    [(script, status)] = shell.run(["encrypted-parse --show-completion bash"])
    assert status == 0
    assert "complete" in script


def test_secrets_are_in_no_output_and_no_argument_list(shell: Shell) -> None:
    """A whole session prints neither the passwords nor the keys that the files hold."""
    outcomes = shell.run(
        [
            "encrypted-parse register --no-recovery-code $ALICE 3< alice.pw",
            "encrypted-parse backup --backup-password-fd 4 $ALICE 3< alice.pw 4< backup.pw",
            "encrypted-parse rotate $ALICE 3< alice.pw",
            "encrypted-parse doctor --json $ALICE 3< alice.pw",
            "encrypted-parse restore --backup-password-fd 4 $ALICE 3< alice.pw 4< backup.pw",
        ]
    )
    printed = "".join(output for output, _ in outcomes)
    keys = re.findall(
        r"MC4CAQ[\w+/=]+",
        "".join(path.read_text() for path in (shell.folder / "keys").rglob("*.json")),
    )
    assert len(keys) == 2
    for secret in (*keys, "password of alice", "correct horse"):
        assert secret not in printed
