"""What identifies one Parse app, and one user's session in it."""

from __future__ import annotations

import urllib.parse
from typing import NoReturn

from attrs import field, frozen

from encrypted_parse.errors import ConfigurationError, NotPicklableError
from encrypted_parse.parse.names import quote_object_id

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@frozen
class ParseApp:
    """One app's address and keys.

    Attributes:
        server_url: Parse's REST address with its path.
        application_id: The application id.
        rest_api_key: The REST API key, if the server wants one.
        master_key: Opens everything, past ACLs; for an operator's tools alone, never for users.
        server_deduplicates: The server has `idempotencyOptions` for classes and functions, so
            a create may be repeated under its request id.
        allow_insecure_http: Allow ``http://`` to other machines.

    Raises:
        ConfigurationError: An address or key cannot be right.
    """

    server_url: str
    application_id: str
    rest_api_key: str | None = field(default=None, repr=False)
    master_key: str | None = field(default=None, repr=False, kw_only=True)
    server_deduplicates: bool = field(default=False, kw_only=True)
    allow_insecure_http: bool = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(
            self,
            "server_url",
            check_url(self.server_url, allow_insecure_http=self.allow_insecure_http),
        )
        for name, value in (
            ("application id", self.application_id),
            ("key", self.rest_api_key),
            ("master key", self.master_key),
        ):
            if value is not None and not (value and value.isascii() and value.isprintable()):
                raise ConfigurationError(f"the {name} is empty or not printable ASCII")

    @property
    def files_url(self) -> str:
        """Where the server serves stored files, by their names."""
        return f"{self.server_url}/files/{quote_object_id(self.application_id)}"

    @property
    def path(self) -> str:
        """The path of `server_url`, which sub-requests of a batch begin with."""
        return urllib.parse.urlsplit(self.server_url).path


@frozen
class UserSession:
    """One user's session. The token is a password: it is in no `repr` and no pickle."""

    user_id: str
    username: str
    session_token: str = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a session is not written into pickles")


def check_url(url: str, *, allow_insecure_http: bool = False) -> str:
    """Return *url* without a trailing slash.

    Raises:
        ConfigurationError: Not an http(s) address, one with user, query or fragment, or plain
            ``http://`` to another machine.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError("the server's address cannot be parsed") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("the server's address begins with https://HOST")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("the server's address has no user, query or fragment")
    if parts.scheme == "http" and host not in _LOOPBACK and not allow_insecure_http:
        raise ConfigurationError(
            "http:// would give session tokens to the network",
            hint="use https://, or pass allow_insecure_http=True for a test network",
        )
    return url.rstrip("/")
