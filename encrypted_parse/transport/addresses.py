"""Addresses that a user can set: the same rule for each, read in one way only.

An address is matched whole, by one pattern, and never repaired: parsers of URLs differ in what
they strip, decode and forgive, and a host that two of them read differently is a way around the
check.
"""

from __future__ import annotations

import re
from typing import Self

from attrs import frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import ConfigurationError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MAX_PORT = 65535
_LABEL = r"[0-9A-Za-z_][0-9A-Za-z_-]{0,62}"  # of a name in DNS; _ stands in names of containers
_ORIGIN = (
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])"
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
    url: str, *, allow_insecure_http: bool = False, whose: str = "server", setting: str = ""
) -> str:
    """Return *url* without trailing slashes.

    Args:
        url: The base of an API, e.g. ``https://parseapi.back4app.com``.
        allow_insecure_http: Allow ``http://`` to other machines.
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
    if insecure and found["host"].lower() not in _LOOPBACK and not allow_insecure_http:
        raise ConfigurationError(
            f"http:// to the {whose}{named} would give tokens to the network",
            hint="use https://, or pass allow_insecure_http=True for a test network",
        )
    return found[0]


def is_loopback(url: str) -> bool:
    """Tell whether *url* names this machine, so that its requests never leave it."""
    found = _ORIGIN_OF.match(url)
    return found is not None and found["host"].lower() in _LOOPBACK
