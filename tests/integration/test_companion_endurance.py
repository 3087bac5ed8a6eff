"""The companion under load, and through kills of Node and of the database."""

from __future__ import annotations

import base64
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
import requests
from load import run_load
from tokens import TokenIssuer, card_id, raw_card

from encrypted_parse.devserver import DevServer, dev_server

pytestmark = pytest.mark.long

CLIENTS = 20
SECONDS = 30.0
KILLS = 3
MOST_GROWTH = 1.6  # of Node's memory between the first and the last third of the load


def _post(server: DevServer, path: str, identity: str, body: Any, method: str = "POST") -> Any:
    token = TokenIssuer(server).issue(identity)
    return requests.request(
        method,
        f"{server.directory_url}/{path}",
        json=body,
        headers={"Authorization": f"Virgil {token}"},
        timeout=20,
    )


def test_twenty_clients_for_half_a_minute() -> None:
    """No error, and no memory that grows with the number of requests."""
    with dev_server() as server:
        load = run_load(server, clients=CLIENTS, seconds=SECONDS)
    assert load.failures == []
    assert len(load.publish) > CLIENTS
    if os.name == "posix" and any(load.resident):
        third = len(load.resident) // 3
        early, late = (
            sorted(part)[third // 2] for part in (load.resident[:third], load.resident[-third:])
        )
        assert late < early * MOST_GROWTH


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that outlives a server. Not pytest's: Postgres' user has to reach it."""
    with tempfile.TemporaryDirectory(prefix="encrypted-parse-test-") as name:
        yield Path(name)


class _Writers:
    """Threads that publish successors and push records until they are told to stop."""

    def __init__(self, server: DevServer) -> None:
        self._stop = threading.Event()
        self.started = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(server, f"writer{number}"))
            for number in range(4)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, server: DevServer, identity: str) -> None:
        session, headers = requests.Session(), {}
        headers["Authorization"] = f"Virgil {TokenIssuer(server).issue(identity)}"
        text = base64.b64encode(bytes(2000)).decode()
        previous, known = None, None
        for number in range(150):
            if self._stop.is_set():
                return
            raw = raw_card(identity, previous=previous)
            body = {"meta": text, "value": text, "identities": [identity, "friend"]}
            body |= {"root": "r", "path": "p", "key": str(number % 3)}
            backup = dict(headers) | ({"Virgil-Keyknox-Previous-Hash": known} if known else {})
            try:
                url = server.directory_url
                answer = session.post(f"{url}/card/v5", json=raw, headers=headers, timeout=5)
                previous = card_id(raw) if answer.status_code in (200, 201) else previous
                session.post(f"{url}/keyknox/v2/push", json=body, headers=headers, timeout=5)
                put = session.put(f"{url}/keyknox/v1", json=body, headers=backup, timeout=5)
                known = put.headers.get("Virgil-Keyknox-Hash", known)
            except requests.RequestException:
                return
            self.started.set()

    def stop(self) -> None:
        """Wait until all have ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _assert_whole(server: DevServer) -> None:
    """Every chain is one chain, every record is whole, and the next writes succeed."""
    for number in range(4):
        identity = f"writer{number}"
        cards = _post(server, "card/v5/actions/search", "reader", {"identities": [identity]}).json()
        ids = [card_id(raw) for raw in cards]
        contents = [base64.b64decode(raw["content_snapshot"]) for raw in cards]
        heads = [one for one in ids if not any(one.encode() in content for content in contents)]
        assert len(heads) == (1 if cards else 0)
        successor = raw_card(identity, previous=heads[0] if heads else None)
        assert _post(server, "card/v5", identity, successor).status_code == 201
        backup = _post(server, "keyknox/v1", identity, None, "GET")
        assert backup.status_code == 200
        assert bool(backup.json()["meta"]) == bool(backup.json()["value"])
        for key in "012":
            place = {"root": "r", "path": "p", "key": key}
            copy = _post(server, "keyknox/v2/pull", identity, place)
            assert copy.json()["identities"] in ([], [identity, "friend"])
            pushed = requests.post(
                f"{server.directory_url}/keyknox/v2/push",
                json={**place, "meta": "AAAA", "value": "AAAA", "identities": [identity]},
                headers={
                    "Authorization": f"Virgil {TokenIssuer(server).issue(identity)}",
                    "Virgil-Keyknox-Previous-Hash": copy.headers["Virgil-Keyknox-Hash"],
                },
                timeout=20,
            )
            assert pushed.status_code == 200
        _post(server, "keyknox/v2/reset", identity, {"root": "r"})
        _post(server, f"card/v5/actions/revoke/{card_id(successor)}", identity, {})


@pytest.mark.parametrize("victim", ["node", "database"])
def test_kills_in_the_middle_of_writes(folder: Path, victim: str) -> None:
    """Killed while cards are published and records pushed: nothing is half written."""
    for attempt in range(KILLS):
        with dev_server(folder) as server:
            if attempt:
                _assert_whole(server)
            writers = _Writers(server)
            assert writers.started.wait(20)
            time.sleep(0.3 + 0.4 * attempt)
            os.kill(_process(server, victim), signal.SIGKILL)
            writers.stop()
    with dev_server(folder) as server:
        _assert_whole(server)


def _process(server: DevServer, victim: str) -> int:
    if victim == "node":
        return server.process_id
    lines = (server.data_dir / "postgres" / "postmaster.pid").read_text("utf-8").splitlines()
    return int(lines[0])


def test_lost_database_connections() -> None:
    """The database drops every connection: the next request, or the one after it, works."""
    with dev_server() as server:
        assert _post(server, "card/v5", "alice", raw_card("alice")).status_code == 201
        database = server.database
        connection = pg8000.native.Connection(
            database.user,
            host=database.host,
            port=database.port,
            database=database.name,
            password=database.password,
        )
        for _ in range(3):
            connection.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
            body = {"identities": ["alice"]}
            answers = [_post(server, "card/v5/actions/search", "bob", body) for _ in range(15)]
            assert all(
                answer.headers["Content-Type"].startswith("application/json") for answer in answers
            )
            assert [len(answer.json()) for answer in answers[-2:]] == [1, 1]
        connection.close()
