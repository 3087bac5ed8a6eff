"""Addresses that a user can set: the same rule for each, read in one way only.

An address is matched whole, by one pattern, and never repaired: parsers of URLs differ in what
they strip, decode and forgive, and a host that two of them read differently is a way around the
check.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Self

from attrs import frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import ConfigurationError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MAX_PORT = 65535
INSECURE_HOSTS = "ENCRYPTED_PARSE_INSECURE_HOSTS"
_LABEL = r"[0-9A-Za-z_][0-9A-Za-z_-]{0,62}"  # of a name in DNS; _ stands in names of containers
_NAME = rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\]"
_HOST = re.compile(_NAME, re.ASCII)
_ORIGIN = (
    rf"(?P<scheme>https?)://(?P<host>{_NAME})"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_PATH = r"(?P<path>(?:/(?:[0-9A-Za-z._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*)"
_ADDRESS = re.compile(_ORIGIN + _PATH, re.ASCII | re.IGNORECASE)
_ORIGIN_OF = re.compile(_ORIGIN + r"(?=[/?]|\Z)", re.ASCII | re.IGNORECASE)


@front_door
@frozen
class Endpoint:
    """Whom a request is for, as errors name it: an address, and the setting that it came from.

    Attributes:
        url: As `check_url` returns it: without user, query or fragment.
        setting: The variable or parameter that holds it, if that is known.
        usual_end: What addresses of this kind mostly end with, such as ``/parse``.
    """

    url: str
    setting: str = ""
    usual_end: str = ""

    @classmethod
    def of(cls, url: str, setting: str = "") -> Self:
        """Return what may be shown of any address: what looks like a user or a query is cut."""
        scheme, _, rest = re.split(r"[?#]", url, maxsplit=1)[0].rpartition("://")
        return cls(f"{scheme}://{rest.rpartition('@')[2]}", setting)

    @property
    def host(self) -> str:
        """Host and port."""
        return self.url.rpartition("://")[2].partition("/")[0]

    def __str__(self) -> str:
        return f"{self.url} ({self.setting})" if self.setting else self.url


@front_door
def check_url(
    url: str,
    *,
    allow_insecure_http: bool | Collection[str] = False,
    whose: str = "server",
    setting: str = "",
) -> str:
    """Return *url* without trailing slashes.

    Args:
        url: The base of an API, e.g. ``https://parseapi.back4app.com``.
        allow_insecure_http: Allow ``http://`` to other machines: to any, or to hosts by name.
        whose: Named in the error: the *whose*'s address.
        setting: Named in the error too: the variable or parameter that holds it.

    Raises:
        ConfigurationError: Not an http(s) address in ASCII; one with user, query, fragment or
            ``..``; or plain ``http://`` to another machine. The address is not quoted: it may
            hold a password.
    """
    named = f" ({setting})" if setting else ""
    found = _ADDRESS.fullmatch(url.rstrip("/"))
    if found is None or int(found["port"] or 0) > _MAX_PORT:
        raise ConfigurationError(
            f"the {whose}'s address{named} is not https://HOST, https://HOST:PORT or one with a "
            "path",
            hint="it has no user, query or fragment; write a name that is not ASCII as xn--...",
        )
    if any(
        segment in {".", ".."} for segment in found["path"].lower().replace("%2e", ".").split("/")
    ):
        raise ConfigurationError(f"the {whose}'s address{named} has a path with . or .. in it")
    insecure = found["scheme"].lower() == "http"
    host = found["host"].lower()
    allowed = (
        allow_insecure_http
        if isinstance(allow_insecure_http, bool)
        else host in {name.lower() for name in allow_insecure_http}
    )
    if insecure and host not in _LOOPBACK and not allowed:
        raise ConfigurationError(
            f"http:// to the {whose}{named} would give tokens to the network",
            hint=f"use https://; inside a network of containers, {INSECURE_HOSTS} names the hosts"
            " that may be spoken to in the open; a test passes allow_insecure_http=True",
        )
    return found[0]


@front_door
def insecure_hosts(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the hosts of ``ENCRYPTED_PARSE_INSECURE_HOSTS``, for `check_url`.

    Names as they stand in addresses, with commas between them, without a port and without
    patterns: each is allowed by its whole name.

    Raises:
        ConfigurationError: It holds something else.
    """
    names = [name.strip() for name in environ.get(INSECURE_HOSTS, "").split(",")]
    found = frozenset(name.lower() for name in names if name)
    if not all(_HOST.fullmatch(name) for name in found):
        raise ConfigurationError(
            f"{INSECURE_HOSTS} is not a list of host names",
            hint="such as parse, or parse,companion: no http://, no port, no *",
        )
    return found


def is_loopback(url: str) -> bool:
    """Tell whether *url* names this machine, so that its requests never leave it."""
    found = _ORIGIN_OF.match(url)
    return found is not None and found["host"].lower() in _LOOPBACK
