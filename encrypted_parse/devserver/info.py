"""What a running local server tells: addresses, keys, its database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from attrs import field, frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import NotPicklableError

LOG_NAME = "server.log"


def _refuse_pickling() -> NoReturn:
    raise NotPicklableError("a server's keys are not written into pickles")


@front_door
@frozen
class Database:
    """Where the server's rows really are: what an operator of a host could read."""

    host: str
    port: int
    user: str
    name: str
    password: str = field(repr=False)

    def __reduce__(self) -> NoReturn:
        _refuse_pickling()


@front_door
@frozen
class DevServer:
    """A running local server. Its keys are in attributes, never in its repr.

    Attributes:
        url: Parse's REST address.
        directory_url: The companion's address (`VIRGIL_API_URL`).
        live_query_url: The address of LiveQuery's WebSocket. Every class can be subscribed to.
        service_public_key: What clients pin (`VIRGIL_SERVICE_PUBLIC_KEY`).
        process_id: Node's.
        data_dir: The folder with database, files, log and keys.
    """

    url: str
    directory_url: str
    live_query_url: str
    application_id: str
    rest_api_key: str = field(repr=False)
    javascript_key: str = field(repr=False)
    master_key: str = field(repr=False)
    service_public_key: str
    virgil_app_id: str
    database: Database
    process_id: int
    data_dir: Path
    _stop: Callable[[], None] = field(default=lambda: None, repr=False, eq=False)
    _wait: Callable[[float | None], bool] = field(default=lambda _: True, repr=False, eq=False)

    @property
    def log_path(self) -> Path:
        """The one log of Node, Parse Server and Postgres."""
        return self.data_dir / LOG_NAME

    def environment(self) -> dict[str, str]:
        """Return the variables that `EncryptedClient.from_env` reads."""
        return {
            "PARSE_SERVER_URL": self.url,
            "PARSE_APPLICATION_ID": self.application_id,
            "PARSE_REST_API_KEY": self.rest_api_key,
            "VIRGIL_API_URL": self.directory_url,
            "VIRGIL_SERVICE_PUBLIC_KEY": self.service_public_key,
        }

    def stop(self) -> None:
        """Stop now, as the end of the ``with`` block would. Again does nothing."""
        self._stop()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the server has ended by itself, and say whether it has."""
        return self._wait(timeout_seconds)

    def __reduce__(self) -> NoReturn:
        _refuse_pickling()
