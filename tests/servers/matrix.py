"""Other versions of Parse Server, on Postgres or on a database with MongoDB's semantics.

Postgres is that of the running local server, with a database of its own for each version. MongoDB's
semantics are SecantusDB's, which speaks MongoDB's protocol: GPL, so it gets an environment of its
own under build/ and runs as a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
from attrs import frozen
from npm_peer import QUIET, TESTS, install

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.devserver import DevServer
from encrypted_parse.devserver.install import cache_folder, install_packages
from encrypted_parse.devserver.node import find_node

FOLDER = Path(__file__).parent
CLOUD_CODE = TESTS.parent / "cloud_code"
BUILD = TESTS.parent / "build"
SECANTUS = "secantusdb==0.7.0b3"
START_SECONDS = 60.0
NEWEST = "9.10"
ICU_LOCALE = "en-US"  # a linguistic order, as Postgres' container image has by default


@frozen
class Server:
    """A running Parse Server of some version."""

    version: str
    url: str
    directory_url: str
    application_id: str
    rest_api_key: str
    master_key: str
    service_public_key: str

    def environment(self) -> dict[str, str]:
        """Return the variables that `EncryptedClient.from_env` reads."""
        return {
            "PARSE_SERVER_URL": self.url,
            "PARSE_APPLICATION_ID": self.application_id,
            "PARSE_REST_API_KEY": self.rest_api_key,
            "VIRGIL_API_URL": self.directory_url,
            "VIRGIL_SERVICE_PUBLIC_KEY": self.service_public_key,
        }


def app_settings(encrypted_fields: dict[str, Any] | None) -> dict[str, Any]:
    """Return fresh keys and settings of one app, for one server process or for several."""
    return {
        "applicationId": secrets.token_hex(16),
        "restApiKey": secrets.token_hex(16),
        "masterKey": secrets.token_hex(16),
        "encryptedFields": encrypted_fields,
        "prepare": True,
        "virgil": {
            "VIRGIL_APP_ID": secrets.token_hex(16),
            "VIRGIL_APP_KEY_ID": secrets.token_hex(16),
            "VIRGIL_APP_KEY": vc.generate_key_pair().private_key.to_base64(),
            "VIRGIL_SERVICE_KEY": vc.generate_key_pair().private_key.to_base64(),
            "VIRGIL_BRAINKEY_SECRET": "A" * 43 + "=",
        },
    }


@contextlib.contextmanager
def run_server(version: str, database_uri: str, app: dict[str, Any]) -> Iterator[Server]:
    """Run Parse Server *version* with the companion and the guard until the block ends."""
    node = find_node()
    if version == NEWEST:
        packages = install_packages(node, cache_folder(os.environ), lambda _: None)
    else:
        packages = FOLDER / version
        install(node, packages)
    service = vc.import_private_key(app["virgil"]["VIRGIL_SERVICE_KEY"])
    settings: dict[str, Any] = {
        **app,
        "folder": str(packages),
        "cloudCode": str(CLOUD_CODE),
        "databaseUri": database_uri,
    }
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as files:
        process = subprocess.Popen(
            [node.executable, FOLDER / "start.cjs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
            cwd=files,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                pytest.fail(f"Parse Server {version} did not start:\n{log.read()[-3000:].decode()}")
            origin = json.loads(line)["origin"]
            yield Server(
                version,
                f"{origin}/parse",
                f"{origin}/virgil",
                settings["applicationId"],
                settings["restApiKey"],
                settings["masterKey"],
                service.public_key.to_base64(),
            )
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


@contextlib.contextmanager
def run_for_everything(name: str, local: DevServer) -> Iterator[Server]:
    """Run "VERSION on DATABASE" with nothing guarded until the block ends."""
    version, _, kind = name.partition(" on ")
    databases = {
        "mongodb": mongodb,
        "postgres": lambda: postgres(local),
        "postgres with ICU collation": lambda: postgres(local, icu_locale=ICU_LOCALE),
    }
    with databases[kind]() as uri, run_server(version, uri, app_settings(None)) as server:
        yield server


@contextlib.contextmanager
def run_project(version: str, project: Path, local: DevServer) -> Iterator[Server]:
    """Run a project's folder as Back4App does: npm packages installed, `Parse` and `app` global."""
    node = find_node()
    subprocess.run(
        [node.executable, node.npm_script, "install", "--ignore-scripts", *QUIET],
        cwd=project / "cloud",
        check=True,
        timeout=300,
    )
    with (
        postgres(local) as uri,
        run_server(version, uri, {**app_settings(None), "project": str(project)}) as server,
    ):
        yield server


@contextlib.contextmanager
def postgres(server: DevServer, *, icu_locale: str | None = None) -> Iterator[str]:
    """Give a fresh database of the local server's Postgres, sorted by bytes or as people sort."""
    database = server.database
    name = f"matrix_{secrets.token_hex(4)}"
    connection = pg8000.native.Connection(
        database.user,
        host=database.host,
        port=database.port,
        database=database.name,
        password=database.password,
    )
    try:
        provider = f"LOCALE_PROVIDER icu ICU_LOCALE '{icu_locale}'" if icu_locale else ""
        connection.run(
            f"CREATE DATABASE {name} ENCODING 'UTF8' LOCALE 'C' {provider} TEMPLATE template0"
        )
        address = f"{database.host}:{database.port}/{name}"
        yield f"postgres://{database.user}:{database.password}@{address}"
        connection.run(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        connection.close()


@contextlib.contextmanager
def mongodb() -> Iterator[str]:
    """Run SecantusDB with an empty folder."""
    program = _install_secantus()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="encrypted-parse-mongo-") as folder:
        process = subprocess.Popen(
            [program, "--host", "127.0.0.1", "--port", str(port), "--storage-path", ":memory:"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(port, process)
            yield f"mongodb://127.0.0.1:{port}/parse"
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError("SecantusDB did not start")


def _install_secantus() -> Path:
    """Return the server's program, installed once into an environment of its own."""
    if sys.platform != "linux":
        pytest.skip("SecantusDB's wheels are tested on Linux")
    folder = BUILD / "secantusdb"
    program = folder / "bin" / "secantusd-py"
    if not program.is_file():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run(
            [folder / "bin" / "python", "-m", "pip", "install", "-qq", "--pre", SECANTUS],
            check=True,
            timeout=300,
        )
    return program
