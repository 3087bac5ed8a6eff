"""``encrypted-parse env``: what the environment says, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Mapping

import typer
from attrs import asdict, frozen

from encrypted_parse.cli.session import JsonOption
from encrypted_parse.cli.terminal import write, write_json
from encrypted_parse.client import setting_checks
from encrypted_parse.errors import ConfigurationError, EncryptedParseError
from encrypted_parse.settings import VARIABLES, Variable, checked, clean
from encrypted_parse.transport.addresses import INSECURE_HOSTS, insecure_hosts

_OWN_PREFIX = "ENCRYPTED_PARSE_"
_FILE = "_FILE"
_STYLES = {"set": "green", "not set": "dim", "refused": "bold red", "unknown": "yellow"}


@frozen
class Seen:
    """What the environment says of one variable.

    Attributes:
        variable: Its name.
        state: ``set``, ``not set``, ``refused`` or ``unknown``.
        value: What counts, or the default; None where it is not shown.
        meaning: What the variable says, or what is wrong with its value.
    """

    variable: str
    state: str
    value: str | None
    meaning: str


def env(as_json: JsonOption = False) -> None:
    """Show every environment variable, whether it is set, and what counts without it.

    Secrets are never shown. Needs no server. Exit status 1 if a value is refused.

    encrypted-parse env
    """
    seen = examine(os.environ)
    if as_json:
        write_json([asdict(one) for one in seen])
    else:
        for one in seen:
            value = "" if one.value is None else f": {one.value}"
            write(one.variable, " ", (f"{one.state}{value}", _STYLES[one.state]))
            write(f"    {one.meaning}")
    if any(one.state == "refused" for one in seen):
        raise typer.Exit(1)


def examine(environ: Mapping[str, str]) -> list[Seen]:
    """Return what *environ* says of each variable, and names like ours that nothing reads."""
    known = {variable.name for variable in VARIABLES}
    strange = sorted(name for name in environ if name.startswith(_OWN_PREFIX) and name not in known)
    return [
        *(_look(variable, environ) for variable in VARIABLES),
        *(
            Seen(name, "unknown", None, "nothing reads it: is it spelled right?")
            for name in strange
        ),
    ]


def _look(variable: Variable, environ: Mapping[str, str]) -> Seen:
    value = environ.get(variable.name)
    if not value:
        return Seen(variable.name, "not set", f"default: {variable.default}", variable.meaning)
    try:
        counts = _check(variable, value, environ) if variable.ours else value
    except EncryptedParseError as error:
        reason = str(error) if error.hint is None else f"{error} ({error.hint})"
        return Seen(variable.name, "refused", None, reason)
    return Seen(variable.name, "set", None if variable.hidden else counts, variable.meaning)


def _allowed(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the hosts that may be spoken to in the open; none if that is refused itself."""
    try:
        return insecure_hosts(environ)
    except ConfigurationError:
        return frozenset()


def _check(variable: Variable, value: str, environ: Mapping[str, str]) -> str:
    counts = clean(variable, value)
    if variable.name == INSECURE_HOSTS:
        insecure_hosts({INSECURE_HOSTS: counts})
    if variable.name.endswith(_FILE) and not os.access(counts, os.R_OK):
        raise ConfigurationError(f"{variable.name} names a file that cannot be read")
    check = setting_checks(allow_insecure_http=_allowed(environ)).get(variable.name)
    return counts if check is None else checked(variable.name, counts, check)
