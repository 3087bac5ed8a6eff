"""How a command ends: its exit status by the kind of failure, and how failures are told.

The numbers are part of what scripts rely on, and stand in docs/cli.md. Needs no extra.
"""

from __future__ import annotations

import json
import sys
from enum import IntEnum

from encrypted_parse.cli.printable import complain, tell
from encrypted_parse.errors import (
    CardError,
    DeployConflictError,
    DeployError,
    DirectoryRefusedError,
    EncryptedParseError,
    FormerKeyError,
    NewerBackupError,
    ParseServerError,
    RateLimitedError,
    SafetyNumberMismatchError,
    ServerFailedError,
    TokenError,
    TransportError,
    UnexpectedUserIdError,
    UntrustedArchiveError,
    UntrustedKeyError,
)

_AWAY = (TransportError, ServerFailedError, RateLimitedError)
_FAILING, _TOO_MANY = 500, 429  # of HTTP
_REFUSALS = (
    ParseServerError,
    DirectoryRefusedError,
    TokenError,
    DeployConflictError,
    CardError,
    FormerKeyError,
    NewerBackupError,
    SafetyNumberMismatchError,
    UnexpectedUserIdError,
    UntrustedArchiveError,
    UntrustedKeyError,
)


class Status(IntEnum):
    """Exit statuses.

    Attributes:
        DONE: It is done.
        FAILED: It failed otherwise: a setting, a file, a key; or what was examined needs care.
        USAGE: The command line cannot be read.
        NETWORK: No answer, or none that can be used: the same command may go well later.
        REFUSED: The server, the guard, or what this machine knows of keys and users said no.
        INTERRUPTED: By Ctrl-C.
        CUT_OFF: Whoever read the output went away (128 and the number of SIGPIPE).
    """

    DONE = 0
    FAILED = 1
    USAGE = 2
    NETWORK = 3
    REFUSED = 4
    INTERRUPTED = 130
    CUT_OFF = 141


def status_of(error: EncryptedParseError) -> Status:
    """Return the exit status for *error*: of a failed deployment, that of what it failed by."""
    if isinstance(error, _AWAY):
        return Status.NETWORK
    if isinstance(error, _REFUSALS):
        return Status.REFUSED
    if isinstance(error, DeployError) and error.status is not None:
        away = error.status >= _FAILING or error.status == _TOO_MANY
        return Status.NETWORK if away else Status.REFUSED
    if isinstance(error, DeployError) and isinstance(error.__cause__, EncryptedParseError):
        return status_of(error.__cause__)
    return Status.FAILED


def fail(status: Status, name: str, message: str, hint: str | None = None) -> Status:
    """Tell of a failure on standard error, and return *status*.

    Two lines for people; where the command line asks for JSON, one object in one line.

    Args:
        status: How the command is going to end.
        name: The error's class, for programs.
        message: For people.
        hint: What to do next, if anything.
    """
    if not _wants_json(sys.argv[1:]):
        complain(message, hint)
        return status
    error = {"class": name, "message": message, "hint": hint, "code": int(status)}
    # JSON says in ASCII whatever a terminal would obey, but for one character.
    tell(json.dumps({"error": error}).replace("\x7f", "\\u007f") + "\n")
    return status


def _wants_json(arguments: list[str]) -> bool:
    """Tell whether `--json` is given: also on a line that cannot be read further."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return "--json" in arguments[:end]
