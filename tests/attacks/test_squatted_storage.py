"""Somebody makes the companion's classes first, or finds them open, and fills them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tokens import TokenIssuer, card_id, raw_card

from encrypted_parse import EncryptedClient, MemoryKeystore
from encrypted_parse.devserver import DevServer, dev_server

OPERATIONS = ("find", "get", "count", "create", "update", "delete", "addField")
CLASSES = (
    *("EncryptedParseForeign", "EncryptedParseReport"),
    *("VirgilBrainKey", "VirgilCard", "VirgilKeyknox"),
)
NOT_FOUND = 404


def _parse(
    server: DevServer, method: str, path: str, body: Any = None, *, master: bool = False
) -> requests.Response:
    """Call Parse Server as a client without a session, or with the master key."""
    headers = {
        "X-Parse-Application-Id": server.application_id,
        "X-Parse-REST-API-Key": server.rest_api_key,
        **({"X-Parse-Master-Key": server.master_key} if master else {}),
    }
    return requests.request(method, f"{server.url}/{path}", json=body, headers=headers, timeout=20)


def _directory(server: DevServer, identity: str, path: str, body: Any) -> requests.Response:
    headers = {"Authorization": f"Virgil {TokenIssuer(server).issue(identity)}"}
    return requests.post(f"{server.directory_url}/{path}", json=body, headers=headers, timeout=20)


def _search(server: DevServer, identity: str) -> Any:
    body = {"identity": identity}
    return _directory(server, "reader", "card/v5/actions/search", body).json()


def _row(raw: dict[str, Any], identity: str) -> dict[str, Any]:
    """Return what the companion writes for a first card."""
    return {
        "kind": "card",
        "identity": identity,
        "slot": f"root:0:{identity}",
        "cardId": card_id(raw),
        "keyId": "00",
        "longKeyId": "00",
        "contentSnapshot": raw["content_snapshot"],
        "signatures": json.dumps(raw["signatures"]),
    }


def _squat(server: DevServer, name: str, *rows: dict[str, Any]) -> None:
    """Put a class there as a client would have made it before us: open, with its own columns."""
    for one in _parse(server, "GET", f"classes/{name}", master=True).json().get("results", []):
        _parse(server, "DELETE", f"classes/{name}/{one['objectId']}", master=True)
    _parse(server, "DELETE", f"schemas/{name}", master=True)
    for row in rows:
        assert _parse(server, "POST", f"classes/{name}", row).status_code == 201


def _doctor(server: DevServer, *options: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("encrypted-parse")
    environment = {
        "PATH": os.environ["PATH"],
        "NO_COLOR": "1",
        "COLUMNS": "200",
        **server.environment(),
        "PARSE_MASTER_KEY": server.master_key,
    }
    return subprocess.run(
        [program, "cloud", "doctor", *options],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder for a server's data that Postgres' own user may enter."""
    with tempfile.TemporaryDirectory(prefix="encrypted-parse-squat-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


def test_the_classes_are_there_before_anybody(dev_server: DevServer) -> None:
    """Each is made when the server starts, and without the master key nobody fills or reads it."""
    for name in CLASSES:
        assert _parse(dev_server, "POST", f"classes/{name}", {"identity": "x"}).status_code == 400
        assert "results" not in _parse(dev_server, "GET", f"classes/{name}").json()
        schema = _parse(dev_server, "GET", f"schemas/{name}", master=True).json()
        permissions = schema["classLevelPermissions"]
        assert all(permissions[operation] == {} for operation in OPERATIONS)


def test_clients_choose_no_object_ids(dev_server: DevServer) -> None:
    """So a row with the id that a card's content gives can only be the companion's."""
    answer = _parse(dev_server, "POST", "classes/Anything", {"objectId": "chosen", "text": "x"})
    assert answer.status_code == 400


@pytest.mark.parametrize("columns", ["ours", "others"])
def test_a_class_that_was_there_first(data: Path, columns: str) -> None:
    """Its cards are nobody's, the service says what to do, and the repair loses nothing of ours."""
    forged, victim = raw_card("victim"), raw_card("victim")
    row = _row(forged, "victim") if columns == "ours" else {"slot": 5, "identity": ["victim"]}
    with dev_server(data) as server:
        _squat(server, "VirgilCard", row)
        assert forged not in _search(server, "victim")
    with dev_server(data) as server:
        answer = _directory(server, "victim", "card/v5", victim)
        assert (answer.status_code, answer.json()["code"]) == (503, 10006)
        assert "cloud doctor --repair" in answer.json()["message"]
        examined = _doctor(server)
        assert examined.returncode == 1
        assert "cloud doctor --repair" in examined.stdout
        repaired = _doctor(server, "--repair", "--yes")
        assert repaired.returncode == 0, repaired.stdout + repaired.stderr
        assert "VirgilCard: 1 rows" in repaired.stderr
        kept = _parse(server, "GET", "classes/EncryptedParseForeign", master=True).json()["results"]
        assert [one["fromClass"] for one in kept] == ["VirgilCard"]
        assert _search(server, "victim") == []
        assert _directory(server, "victim", "card/v5", victim).status_code == 201
        assert [card_id(card) for card in _search(server, "victim")] == [card_id(victim)]
        assert _parse(server, "POST", "classes/VirgilCard", {"identity": "x"}).status_code == 400


def test_a_class_that_was_opened_later(data: Path) -> None:
    """Rows of clients count for nothing; ours are not theirs to change; the repair keeps ours."""
    with dev_server(data) as server:
        client = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
        alice, bob = (client.sign_up(name, "a password") for name in ("alice", "bob"))
        alice.register()
        everybody = {"classLevelPermissions": {one: {"*": True} for one in OPERATIONS}}
        opened = _parse(server, "PUT", "schemas/VirgilCard", everybody, master=True)
        assert opened.status_code == 200
        end = {"kind": "end", "identity": alice.user_id, "slot": f"end:{alice.user_id}"}
        for row in (_row(raw_card(bob.user_id), bob.user_id), end):
            assert _parse(server, "POST", "classes/VirgilCard", row).status_code == 201
        [ours] = _parse(
            server, "GET", 'classes/VirgilCard?where={"seal":{"$exists":true}}', master=True
        ).json()["results"]
        changed = _parse(server, "PUT", f"classes/VirgilCard/{ours['objectId']}", {"kind": "x"})
        assert changed.status_code == NOT_FOUND
        assert _search(server, bob.user_id) == []
        before = _search(server, alice.user_id)
        assert len(before) == 1
        repaired = _doctor(server, "--repair", "--yes")
        assert repaired.returncode == 0, repaired.stdout
        assert _search(server, alice.user_id) == before
        bob.register()
        assert len(_search(server, bob.user_id)) == 1
