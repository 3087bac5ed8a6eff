"""Settings from environment variables: one table of all, and one way to read them.

Values come out of files that were edited elsewhere, of `docker --env-file`, of secrets with a
line feed at their end. What surely is not meant is taken away: white space and byte order marks
around a value. What cannot be meant is refused by the variable's name, and never shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from attrs import frozen

from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.errors import ConfigurationError, EncryptedParseError

Checked = TypeVar("Checked")

PREFIXES: Final = ("PARSE_", "VIRGIL_", "ENCRYPTED_PARSE_", "BACK4APP_")
_MARKS: Final = ("\ufeff", "\u00ef\u00bb\u00bf")  # a byte order mark, and one read as Latin-1
_UNEXPANDED = re.compile(r"\$[({A-Za-z_]|%[A-Za-z_]+%")


@front_door
@frozen
class Variable:
    """One environment variable that this package reads.

    Attributes:
        name: Its name.
        meaning: What it says.
        values: What it can be.
        default: What holds without it.
        hidden: Its value is never shown.
        lines: Its value may have several lines.
        ours: The name is this package's; the others are conventions of the system.
    """

    name: str
    meaning: str
    values: str
    default: str
    hidden: bool = False
    lines: bool = False
    ours: bool = True


VARIABLES: Final = (
    Variable(
        "PARSE_SERVER_URL",
        "Parse's REST address, with its path",
        "`https://HOST/PATH`; `http://` to this machine alone",
        "none: needed",
    ),
    Variable("PARSE_APPLICATION_ID", "the app", "the dashboard's application id", "none: needed"),
    Variable(
        "PARSE_REST_API_KEY",
        "the REST API key",
        "the dashboard's, if the server wants one",
        "none is sent",
        hidden=True,
    ),
    Variable(
        "PARSE_MASTER_KEY",
        "the master key, for operators' commands alone",
        "the dashboard's",
        "`cloud` asks for it",
        hidden=True,
    ),
    Variable(
        "PARSE_SESSION_TOKEN",
        "whose session commands use, without `--user`",
        "a session token",
        "none",
        hidden=True,
    ),
    Variable(
        "VIRGIL_API_URL",
        "the directory of public keys",
        "an address, as `PARSE_SERVER_URL`",
        "Virgil Cloud",
    ),
    Variable(
        "VIRGIL_SERVICE_PUBLIC_KEY",
        "the key that the directory signs cards with",
        "base64, or PEM in one line with `\\n`",
        "Virgil Cloud's; needed with a directory of your own",
        lines=True,
    ),
    Variable(
        "ENCRYPTED_PARSE_KEYSTORE",
        "where private keys rest",
        "a folder; `keyring`; `memory`, which ends with the process",
        "a folder in the user's data folder",
    ),
    Variable(
        "ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE",
        "what opens sealed key files",
        "a file with the passphrase as its one line",
        "commands ask",
    ),
    Variable(
        "ENCRYPTED_PARSE_PRIVATE_KEYS",
        "private keys, for containers, in place of any keystore",
        "`USER_ID:KEY` for each user, with blanks or lines between; older keys behind commas",
        "none",
        hidden=True,
        lines=True,
    ),
    Variable(
        "ENCRYPTED_PARSE_PRIVATE_KEYS_FILE",
        "the same, in a file",
        "a file; counts if `ENCRYPTED_PARSE_PRIVATE_KEYS` is not set",
        "none",
    ),
    Variable(
        "ENCRYPTED_PARSE_TRUST",
        "where other users' keys are remembered",
        "a file",
        "`trust.sqlite` beside the key files; memory for other keystores",
    ),
    Variable(
        "ENCRYPTED_PARSE_TRUST_POLICY",
        "what is done about keys that changed",
        "`tofu`, `strict`, `log`",
        "`tofu`",
    ),
    Variable(
        "ENCRYPTED_PARSE_INSECURE_HOSTS",
        "hosts that `http://` is allowed to, as inside a network of containers",
        "names with commas between them, such as `parse,companion`",
        "this machine alone",
    ),
    Variable(
        "ENCRYPTED_PARSE_USER", "whom commands log in, as `--user`", "a Parse user name", "none"
    ),
    Variable(
        "ENCRYPTED_PARSE_USER_ID",
        "whose log-in it has to be, for commands",
        "the `_User` object id",
        "what is remembered of the name",
    ),
    Variable(
        "BACK4APP_DEPLOY_URL",
        "where `cloud deploy` sends to",
        "an address, as `PARSE_SERVER_URL`",
        "Back4App's",
    ),
    Variable(
        "REQUESTS_CA_BUNDLE",
        "certificates to trust, in place of the usual ones; `CURL_CA_BUNDLE` likewise",
        "a file or folder",
        "those of certifi",
        ours=False,
    ),
    Variable(
        "HTTPS_PROXY",
        "the proxy on the way to other machines; `HTTP_PROXY`, `NO_PROXY` likewise",
        "as of curl",
        "none",
        hidden=True,
        ours=False,
    ),
    Variable(
        "XDG_DATA_HOME",
        "the user's data folder; `LOCALAPPDATA` on Windows",
        "a folder",
        "`~/.local/share`",
        ours=False,
    ),
    Variable(
        "XDG_CACHE_HOME",
        "where the local server's packages are kept",
        "a folder",
        "`~/.cache`",
        ours=False,
    ),
    Variable("NO_COLOR", "commands print without colours", "anything", "colours", ours=False),
)
_OURS: Final = {variable.name: variable for variable in VARIABLES if variable.ours}


@front_door
def read_settings(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return *environ* with this package's variables as they are meant; empty ones are left out.

    Other variables stay as they are.

    Raises:
        ConfigurationError: A value cannot be meant. The message names the variable alone.
    """
    # Not by the items of a process's environment: its own class decodes on the way.
    settings = {name: value for name, value in environ.items() if name not in _OURS}
    for name, variable in _OURS.items():
        value = environ.get(name)
        if value:
            settings[name] = clean(variable, value)
    return hushed(settings)


@front_door
def clean(variable: Variable, value: str) -> str:
    """Return the value of one variable without what is around it.

    Raises:
        ConfigurationError: It is blank, in quotation marks, cut at a semicolon, not expanded by a
            shell, or holds a line break where none can be.
    """
    text = strip(value)
    for fault, hint in _faults(variable, text):
        raise ConfigurationError(f"{variable.name} {fault}", hint=hint)
    return text


@front_door
def strip(text: str) -> str:
    """Return *text* without byte order marks and white space around it."""
    for mark in _MARKS:
        text = text.strip().removeprefix(mark)
    return text.strip()


@front_door
def checked(name: str, value: str, check: Callable[[str], Checked]) -> Checked:
    """Return what *check* makes of the value of the variable *name*.

    Raises:
        ConfigurationError: What *check* raises, with the variable's name before it.
    """
    try:
        return check(value)
    except EncryptedParseError as error:
        message, hint = str(error), error.hint
    raise ConfigurationError(f"{name}: {message}", hint=hint)


def _faults(variable: Variable, text: str) -> list[tuple[str, str]]:
    found = []
    if not _is_possible(text):
        found.append(("holds what no environment can", "set it anew"))
    elif not text:
        found.append(("is blank", "give it a value, or leave it out"))
    elif text[0] == text[-1] and text[0] in "\"'`":
        found.append(("is in quotation marks", "leave them out: no shell reads this value"))
    elif text[0] in "\"'" or text[-1] in ";,":
        found.append(("begins or ends with a mark that belongs to no value", "take it away"))
    elif _UNEXPANDED.match(text):
        found.append(("begins with the name of a variable", "no shell has put its value there"))
    elif not variable.lines and not text.isprintable():
        found.append(("holds a line break or another control character", "write it in one line"))
    return found


def _is_possible(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeError:
        return False
