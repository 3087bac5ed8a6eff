"""What people and scripts expect of any command: help, versions, statuses, JSON, odd terminals."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cli_reference
import pytest

from encrypted_parse import __version__, errors
from encrypted_parse.cli.outcome import Status, status_of
from encrypted_parse.errors import DeployError, EncryptedParseError

COMMANDS = dict(cli_reference.commands())
PROGRAM = [sys.executable, "-m", "encrypted_parse"]
SECONDS = 60
# Python's own words for types, which say nothing to who runs a command.
TYPES = re.compile(r"<\w+>|\[\[|\{\w+\}|\bTEXT\b.*<|INTEGER|\(\.\)")


def run(
    *arguments: str, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `python -m encrypted_parse` without a terminal, and without any setting."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
    )


def shell(command: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `$PROGRAM` is the program."""
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PROGRAM": shlex.join(PROGRAM), **variables},
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
    )


def assert_no_traceback(done: subprocess.CompletedProcess[bytes]) -> None:
    """Neither Python's traceback nor ours."""
    assert b"Traceback" not in done.stdout + done.stderr, done.stderr.decode("utf-8", "replace")
    assert b"Exception ignored" not in done.stderr, done.stderr


# --- help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_has_an_example_that_can_be_run(path: str) -> None:
    """Each command's own help names it in a whole line, and the command line takes that line."""
    examples = [text for text, one in cli_reference.paragraphs(COMMANDS[path].help) if one]
    own = [text for text in examples if f"{text} ".startswith(f"{path} ")]
    assert own, f"no example of {path}"
    for text in own:
        words = shlex.split(text.split(" > ")[0])[len(path.split()) :]
        context = COMMANDS[path].make_context(path, words, resilient_parsing=False)
        assert context.command is COMMANDS[path]


def test_short_and_long_help_are_one() -> None:
    """`-h` is `--help` for the program, for its groups and for its commands."""
    for path in ([], ["cloud"], ["whoami"], ["cloud", "deploy"], ["keystore", "list"]):
        long, short = run(*path, "--help"), run(*path, "-h")
        assert (short.returncode, short.stdout) == (0, long.stdout)
        assert short.stdout.startswith(b"Usage: encrypted-parse")
        assert short.stdout.endswith(b"\n")
        assert b"--help, -h" in short.stdout


@pytest.mark.parametrize("path", ["", *COMMANDS])
def test_help_speaks_of_values_and_not_of_types(path: str) -> None:
    """No `<bool>` beside a switch, no braces and brackets around what is needed."""
    command = COMMANDS.get(path) or cli_reference.typer.main.get_command(cli_reference.app)
    text = command.get_help(command.make_context(path or "x", ["--x"], resilient_parsing=True))
    assert not TYPES.search(text), TYPES.search(text)
    for option in ("--json", "--yes", "--dry-run"):
        found = re.search(rf"^ +{option}\b.*$", text, re.MULTILINE)
        assert found is None or re.match(rf" +{option}(, -\w)?(  |$)", found[0]), found[0]


def test_the_version() -> None:
    """`--version` and `version` say the same."""
    for arguments in (["--version"], ["version"]):
        done = run(*arguments)
        assert (done.returncode, done.stdout.decode().strip()) == (0, __version__)


def test_no_command_at_all() -> None:
    """The help shows, and the status is that of a line that cannot be read."""
    done = run()
    assert done.returncode == Status.USAGE
    assert done.stdout == run("--help").stdout


# --- statuses -------------------------------------------------------------------------------

STATUSES = {
    "ConnectionFailedError": Status.NETWORK,
    "RequestTimeoutError": Status.NETWORK,
    "MalformedResponseError": Status.NETWORK,
    "OutcomeUnknownError": Status.NETWORK,
    "ServerFailedError": Status.NETWORK,
    "RateLimitedError": Status.NETWORK,
    "PermissionDeniedError": Status.REFUSED,
    "GuardRefusedError": Status.REFUSED,
    "ObjectNotFoundError": Status.REFUSED,
    "SessionExpiredError": Status.REFUSED,
    "UsernameTakenError": Status.REFUSED,
    "DeployConflictError": Status.REFUSED,
    "CardSignatureError": Status.REFUSED,
    "UntrustedKeyError": Status.REFUSED,
    "FormerKeyError": Status.REFUSED,
    "UnexpectedUserIdError": Status.REFUSED,
    "SafetyNumberMismatchError": Status.REFUSED,
    "ConfigurationError": Status.FAILED,
    "KeystoreLockedError": Status.FAILED,
    "NotRegisteredError": Status.FAILED,
    "TamperedEnvelopeError": Status.FAILED,
}


def error_of(name: str) -> EncryptedParseError:
    """Return an error of a class, whatever its constructor takes."""
    kind = getattr(errors, name)
    error: EncryptedParseError = kind.__new__(kind, "x")
    return error


@pytest.mark.parametrize("name", STATUSES)
def test_the_status_says_the_kind(name: str) -> None:
    """Network, refusal, or something here: by the error's class."""
    assert status_of(error_of(name)) is STATUSES[name]


def test_a_failed_deployment_has_the_status_of_its_cause() -> None:
    """`DeployError` is only the wrapping: what went wrong with the server counts."""
    for name in ("ConnectionFailedError", "PermissionDeniedError", "ConfigurationError"):
        wrapped = DeployError("v1 still runs")
        wrapped.__cause__ = error_of(name)
        assert status_of(wrapped) is STATUSES[name]
    for number, status in ((403, Status.REFUSED), (503, Status.NETWORK), (429, Status.NETWORK)):
        assert status_of(DeployError("refused", status=number)) is status


def test_the_statuses_are_documented() -> None:
    """Each number stands in a table of docs/cli.md."""
    rows = re.findall(r"^\| (\d+) \|", cli_reference.DOCS.read_text("utf-8"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(Status)


def test_nobody_answers(tmp_path: Path) -> None:
    """A server that is not there is the network's failure, in words and as JSON."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/parse"
    settings = {
        "PARSE_SERVER_URL": url,
        "PARSE_APPLICATION_ID": "app",
        "PARSE_SESSION_TOKEN": "r:0",
        "ENCRYPTED_PARSE_KEYSTORE": str(tmp_path / "keys"),
    }
    assert run("whoami", **settings).returncode == Status.NETWORK
    done = run("whoami", "--json", **settings)
    assert done.returncode == Status.NETWORK
    assert json.loads(done.stderr)["error"]["class"] == "ConnectionFailedError"


# --- errors as JSON -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "name", "status"),
    [
        (["whoami", "--json"], "ConfigurationError", Status.FAILED),
        (["whoami", "--json", "--nothing"], "UsageError", Status.USAGE),
        (["whois", "--json"], "UsageError", Status.USAGE),
        (["encrypt", "--json"], "UsageError", Status.USAGE),
        (["keygen", "--json", "--out", "/"], "ConfigurationError", Status.FAILED),
        (["inspect", "--json", "/nonexistent"], "ConfigurationError", Status.FAILED),
        (["cloud", "releases", "--json"], "ConfigurationError", Status.FAILED),
        (["guard", "report", "--json"], "ConfigurationError", Status.FAILED),
        (["keystore", "list", "--json"], "ConfigurationError", Status.FAILED),
    ],
)
def test_errors_are_json_where_json_is_asked_for(
    arguments: list[str], name: str, status: Status
) -> None:
    """One object of one shape on standard error, and nothing on standard output."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (status, b"")
    error = json.loads(done.stderr)
    assert set(error) == {"error"}
    assert set(error["error"]) == {"class", "message", "hint", "code"}
    assert error["error"]["class"] == name
    assert error["error"]["code"] == status
    assert error["error"]["message"]


def test_json_behind_two_dashes_is_an_argument() -> None:
    """A file may be called `--json`."""
    assert run("inspect", "--", "--json").stderr.startswith(b"error: cannot read --json")


# --- odd terminals --------------------------------------------------------------------------

LINES = (["--help"], ["whoami", "--help"], ["nothing"], ["version"], ["keygen"], ["inspect", "ü€𝄞"])


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "cp437", "utf-16"])
@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_any_encoding(line: list[str], encoding: str) -> None:
    """What an encoding cannot say is replaced; nothing fails because of it."""
    done = run(*line, PYTHONIOENCODING=encoding)
    assert_no_traceback(done)
    assert done.returncode == {"nothing": Status.USAGE, "inspect": Status.FAILED}.get(line[0], 0)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LANG": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_bare_locales(locale: dict[str, str]) -> None:
    """Without any locale, and with arguments that no encoding can read."""
    for line in LINES:
        assert_no_traceback(run(*line, PYTHONUTF8="0", **locale))
    done = shell("$PROGRAM inspect $'\\xff\\xfe'", PYTHONUTF8="0", **locale)
    assert done.returncode == Status.FAILED
    assert_no_traceback(done)


@pytest.mark.parametrize("columns", ["0", "1", "5", "20", "100000", "wide", "-3"])
def test_any_width(columns: str) -> None:
    """Help says everything in however few columns, and its examples stay in one line."""
    for path in ("encrypted-parse keygen", "encrypted-parse cloud deploy"):
        done = run(*path.split()[1:], "--help", COLUMNS=columns)
        assert done.returncode == 0
        assert_no_traceback(done)
        words = set(re.findall(r"[\w-]+", done.stdout.decode()))
        assert set(re.findall(r"[\w-]+", COMMANDS[path].help)) <= words
        assert re.search(rf"^  {path} \S+", done.stdout.decode(), re.MULTILINE)


@pytest.mark.parametrize("command", ["version", "--help", "keygen", "cloud secrets --json"])
def test_a_reader_that_goes_away(command: str) -> None:
    """A closed pipe ends a command quietly, with the status that a shell gives SIGPIPE."""
    done = shell(f"$PROGRAM {command} | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (Status.CUT_OFF, b"")


@pytest.mark.parametrize(
    ("closed", "status"),
    [("<&-", 0), (">&-", 1), ("2>&-", 0), ("<&- 2>&-", 0), ("<&- >&- 2>&-", 1)],
)
def test_streams_that_are_closed(closed: str, status: int) -> None:
    """Nothing to read from is an empty file; nowhere to say the result is an error."""
    done = shell(f"$PROGRAM keygen {closed}")
    assert done.returncode == status
    assert_no_traceback(done)
    for line in ("whoami", "nothing", "keystore unprotect"):
        refused = shell(f"$PROGRAM {line} {closed}")
        assert refused.returncode in {Status.FAILED, Status.USAGE}
        assert_no_traceback(refused)


def test_a_full_disk() -> None:
    """What could not be written is an error, and told once."""
    done = shell("$PROGRAM version > /dev/full")
    assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")


def test_ctrl_c(tmp_path: Path) -> None:
    """An interrupted command says so in one line, and ends with 130."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(SECONDS)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/parse"
        settings = {
            "PATH": os.environ["PATH"],
            "PARSE_SERVER_URL": url,
            "PARSE_APPLICATION_ID": "app",
            "PARSE_SESSION_TOKEN": "r:0",
            "ENCRYPTED_PARSE_KEYSTORE": str(tmp_path / "keys"),
        }
        program: Any = subprocess.Popen(
            [*PROGRAM, "whoami"], env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        connection, _ = silent.accept()  # it waits for an answer by now
        with connection:
            time.sleep(0.2)
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=SECONDS)
    assert (program.returncode, out) == (Status.INTERRUPTED, b"")
    assert err.splitlines()[-1] == b"error: interrupted"
    assert b"Traceback" not in err
