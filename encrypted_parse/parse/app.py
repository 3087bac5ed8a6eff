"""What identifies one Parse app, and one user's session in it."""

from __future__ import annotations

import urllib.parse
from typing import NoReturn

from attrs import field, frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import ConfigurationError, NotPicklableError
from encrypted_parse.parse.names import quote_object_id
from encrypted_parse.transport import Endpoint, check_url, is_header_value


@front_door
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
        allow_insecure_http: Allow ``http://`` to other machines: to any, or to hosts by name.
        setting: Where *server_url* comes from, as errors say it: a variable's name.

    Raises:
        ConfigurationError: An address or key cannot be right.
    """

    server_url: str
    application_id: str
    rest_api_key: str | None = field(default=None, repr=False)
    master_key: str | None = field(default=None, repr=False, kw_only=True)
    server_deduplicates: bool = field(default=False, kw_only=True)
    allow_insecure_http: bool | frozenset[str] = field(default=False, kw_only=True)
    setting: str = field(default="server_url", kw_only=True, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(
            self,
            "server_url",
            check_url(
                self.server_url,
                allow_insecure_http=self.allow_insecure_http,
                setting=self.setting,
            ),
        )
        for name, value in (
            ("application id", self.application_id),
            ("key", self.rest_api_key),
            ("master key", self.master_key),
        ):
            if value is not None:
                check_key(name, value)

    @property
    def endpoint(self) -> Endpoint:
        """What errors name."""
        return Endpoint(self.server_url, self.setting, "/parse")

    @property
    def files_url(self) -> str:
        """Where the server serves stored files, by their names."""
        return f"{self.server_url}/files/{quote_object_id(self.application_id)}"

    @property
    def path(self) -> str:
        """The path of `server_url`, which sub-requests of a batch begin with."""
        return urllib.parse.urlsplit(self.server_url).path


@front_door
def check_key(what: str, value: str) -> str:
    """Return *value* if a header can hold it.

    Raises:
        ConfigurationError: It cannot. It is not shown.
    """
    if not (value and is_header_value(value)):
        raise ConfigurationError(
            f"the {what} is empty, begins or ends with a space, or is not printable ASCII",
            hint="copy it anew from the dashboard",
        )
    return value


@front_door
@frozen
class UserSession:
    """One user's session. The token is a password: it is in no `repr` and no pickle."""

    user_id: str
    username: str
    session_token: str = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a session is not written into pickles")
