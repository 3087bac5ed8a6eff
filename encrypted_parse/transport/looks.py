"""What an answer looks like that is not the server's: who else may have given it, and what to do.

Nothing of its body is shown, which is anybody's; and of where it leads no more than a host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ParseServerError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTooLargeError,
)
from encrypted_parse.transport.addresses import Endpoint

PROXY_WANTS_PASSWORD = 407
PROXY_HINT = "write name and password into HTTPS_PROXY: http://NAME:PASSWORD@HOST:PORT"
_REDIRECTS = range(300, 400)
_TOO_LARGE = 413
_TOO_MANY = 429
_REFUSED = frozenset({401, 403})
_ORIGIN = re.compile(r"https?://[0-9A-Za-z._:\[\]-]{1,255}", re.ASCII | re.IGNORECASE)
_DOCUMENT = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml|!--)", re.IGNORECASE
)


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Tell whether an answer is a web page."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in {"text/html", "application/xhtml+xml"} or _DOCUMENT.match(body) is not None


def look_of(
    status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint | None
) -> tuple[str, str]:
    """Return what an answer without JSON looks like, and what to do next."""
    if status == PROXY_WANTS_PASSWORD:
        return f"a proxy wants a name and a password (HTTP {status})", PROXY_HINT
    answered = f"the server answered with HTTP {status}"
    if status in _REDIRECTS:
        place = _ORIGIN.match(Endpoint.of(headers.get("location", "")).url)
        to = f" to {place[0]}" if place else ""
        return f"{answered}, a redirect{to}, and no JSON", _redirect_hint(endpoint)
    if is_page(headers, body):
        what = "a web page, and no JSON"
    else:
        what = "no JSON" if body else "nothing, and no JSON"
    return f"{answered} and {what}", _address_hint(endpoint)


@front_door
def refusal_in_front(
    status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint | None
) -> ParseServerError | None:
    """Return the refusal that an answer is by its status alone, or None.

    For answers that are not a service's own: nginx, a content delivery network or a company's
    proxy refuse with pages of theirs, whichever service they stand in front of.
    """
    what = "a web page" if is_page(headers, body) else "no reason given"
    where = "" if endpoint is None else f": {endpoint}"
    shown = f"(HTTP {status}, {what}){where}"
    if status == _TOO_LARGE:
        return RequestTooLargeError(
            f"the request is too large for what stands in front of the server {shown}",
            status=status,
            hint="send less at once, or raise the limit (nginx: client_max_body_size)",
        )
    if status == _TOO_MANY:
        return RateLimitedError(
            f"too many requests {shown}", status=status, hint="wait, then try again"
        )
    if status in _REFUSED:
        return PermissionDeniedError(
            f"access is refused {shown}",
            status=status,
            hint="what stands in front of the server (a firewall, a proxy) may have answered; "
            "else check the application id and the REST API key",
        )
    return None


def _redirect_hint(endpoint: Endpoint | None) -> str:
    setting = (endpoint.setting if endpoint else "") or "the setting"
    return (
        f"redirects are not followed: set {setting} to the address itself; a log-in page of the "
        "network may have answered"
    )


def _address_hint(endpoint: Endpoint | None) -> str:
    hint = "check the server's address; a proxy or a web page may have answered"
    if endpoint is None or not endpoint.usual_end or endpoint.url.endswith(endpoint.usual_end):
        return hint
    return (
        f"is {endpoint.usual_end} missing, which most servers have at the end of "
        f"{endpoint.setting or 'their address'}? Else a proxy or a web page may have answered"
    )
