"""The local Parse Server as a context manager. See `dev_server`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from encrypted_parse.devserver import postgres
from encrypted_parse.devserver.install import (
    SOURCE,
    cache_folder,
    install_packages,
    postgres_platform,
)
from encrypted_parse.devserver.locks import locked_file
from encrypted_parse.devserver.node import Node, find_node
from encrypted_parse.devserver.secrets import ServerSecrets, load_or_create
from encrypted_parse.errors import DevServerError

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 15.0
_LOG_TAIL_CHARACTERS = 2000


@frozen
class Database:
    """Where the server's rows really are."""

    host: str
    port: int
    user: str
    name: str
    password: str = field(repr=False)


@frozen
class DevServer:
    """A running local server.

    Attributes:
        url: Parse's REST address.
        directory_url: The companion's address (`VIRGIL_API_URL`).
        service_public_key: What clients pin (`VIRGIL_SERVICE_PUBLIC_KEY`).
        live_query_url: The address of LiveQuery's WebSocket.
        process_id: Node's.
        data_dir: The folder with database, files, logs and keys.
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

    @property
    def log_path(self) -> Path:
        """What Node and Postgres print. Parse Server's own logs are in `data_dir`/logs."""
        return self.data_dir / "server.log"

    def environment(self) -> dict[str, str]:
        """Return the variables that `EncryptedClient.from_env` reads."""
        return {
            "PARSE_SERVER_URL": self.url,
            "PARSE_APPLICATION_ID": self.application_id,
            "PARSE_REST_API_KEY": self.rest_api_key,
            "VIRGIL_API_URL": self.directory_url,
            "VIRGIL_SERVICE_PUBLIC_KEY": self.service_public_key,
        }


@contextmanager
def dev_server(
    data_dir: Path | str | None = None,
    *,
    port: int = 0,
    cloud_main: Path | str | None = None,
    verbose: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Iterator[DevServer]:
    """Run Parse Server 9.10 with Postgres, LiveQuery, files and the companion until the block ends.

    Everything listens on 127.0.0.1. The first call installs the npm packages (about 30 s); after
    that a start takes some two seconds. No process is left behind, not even if this one is
    killed.

    Args:
        data_dir: Keeps database, files and keys for the next start. None: temporary.
        port: For HTTP; 0 takes a free one.
        cloud_main: Your own cloud code, loaded beside the companion's.
        verbose: Let Parse Server log every request.
        progress: Called with what is being done when it takes long.

    Raises:
        DevServerError: It cannot be installed or started, or the folder is in use.
        MissingExtraError: There is no fitting Node.
    """
    node = find_node()
    modules = install_packages(node, cache_folder(os.environ), progress or (lambda _: None))
    with ExitStack() as stack:
        folder = _data_folder(stack, data_dir)
        stack.enter_context(locked_file(folder / "lock"))
        postgres_user = postgres.prepare(folder)
        secrets = load_or_create(folder)
        config = {
            "modules": str(modules),
            "platform": postgres_platform(),
            "dataDir": str(folder),
            "temporary": data_dir is None,
            "postgresUser": postgres_user,
            "databasePassword": secrets.database_password,
            "applicationId": secrets.application_id,
            "restApiKey": secrets.rest_api_key,
            "javascriptKey": secrets.javascript_key,
            "masterKey": secrets.master_key,
            "virgil": {
                "VIRGIL_APP_ID": secrets.virgil_app_id,
                "VIRGIL_APP_KEY_ID": secrets.virgil_app_key_id,
                "VIRGIL_APP_KEY": secrets.virgil_app_key,
                "VIRGIL_SERVICE_KEY": secrets.virgil_service_key,
            },
            "cloudCode": str(cloud_code_folder()),
            "cloudMain": None if cloud_main is None else str(Path(cloud_main).resolve()),
            "port": port,
            "verbose": verbose,
        }
        process = stack.enter_context(_running(node, folder))
        ready = _start(process, config, folder)
        yield _describe(ready, secrets, process.pid, folder)


def cloud_code_folder() -> Path:
    """Return the companion's folder: inside an installed package, or beside it in a checkout.

    Raises:
        DevServerError: Neither is there.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "_cloud_code", package.parent / "cloud_code"):
        if (folder / "main.js").is_file():
            return folder
    raise DevServerError("the cloud code is missing from this installation")


def _data_folder(stack: ExitStack, data_dir: Path | str | None) -> Path:
    if data_dir is None:
        folder = Path(tempfile.mkdtemp(prefix="encrypted-parse-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder
    folder = Path(data_dir).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DevServerError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


@contextmanager
def _running(node: Node, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - node on our own script
            [node.executable, SOURCE / "server.mjs"],
            cwd=folder,  # the files adapter writes below it
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us; Node stops when its pipe ends
        )
    try:
        yield process
    finally:
        _stop(process)
        postgres.stop_orphan(folder)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End Node by ending its stdin; force it if it does not follow."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                pass  # Node is gone already
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(process: subprocess.Popen[bytes], config: dict[str, Any], folder: Path) -> dict[str, Any]:
    answer: list[bytes] = []

    def read() -> None:
        if process.stdout is not None:
            answer.append(process.stdout.readline())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        if process.stdin is not None:
            process.stdin.write(json.dumps(config).encode("ascii") + b"\n")
            process.stdin.flush()
    except OSError:
        pass  # it ended; its log says why
    reader.join(START_TIMEOUT_SECONDS)
    if not answer or not answer[0].endswith(b"\n"):
        tail = (folder / "server.log").read_text("utf-8", "replace")[-_LOG_TAIL_CHARACTERS:]
        raise DevServerError(
            f"the local server did not start; its log ends with:\n{tail}",
            hint="is the port in use? is the disk full?",
        )
    ready: dict[str, Any] = json.loads(answer[0])
    return ready


def _describe(
    ready: dict[str, Any], secrets: ServerSecrets, process_id: int, folder: Path
) -> DevServer:
    origin = ready["origin"]
    return DevServer(
        url=f"{origin}/parse",
        directory_url=f"{origin}/virgil",
        live_query_url=origin.replace("http://", "ws://"),
        application_id=secrets.application_id,
        rest_api_key=secrets.rest_api_key,
        javascript_key=secrets.javascript_key,
        master_key=secrets.master_key,
        service_public_key=secrets.service_public_key,
        virgil_app_id=secrets.virgil_app_id,
        database=Database(**ready["database"], password=secrets.database_password),
        process_id=process_id,
        data_dir=folder,
    )
