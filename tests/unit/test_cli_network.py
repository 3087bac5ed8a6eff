"""Commands that wait: they say for whom, where no result stands, and stop when they are told to."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from raw_server import Peer, RawServer, answer

from encrypted_parse.cli import network
from encrypted_parse.cli.commands import app
from encrypted_parse.transport import RetryingTransport

ENTRY = "from encrypted_parse.cli.entry import main; main()"
SECONDS = 120
OFFLINE = {"demo", "dev", "inspect", "keygen", "version"}


def _run(url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ENTRY, *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PARSE_APPLICATION_ID": "app",
            "PARSE_MASTER_KEY": "canary-of-a-key",
            "BACK4APP_DEPLOY_URL": url,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_a_command_says_for_whom_it_waits(tmp_path: Path) -> None:
    """After three seconds without an answer, once; the JSON of the result stays JSON."""

    def talk(peer: Peer) -> None:
        while head := peer.read_head():
            if head.startswith(b"GET /deploy"):
                server.stopping.wait(3.5)
                peer.send(answer(b"{}"))
            else:
                peer.send(answer(b"[]"))

    with RawServer(talk) as server:
        done = _run(server.url, tmp_path, "cloud", "releases", "--json")
    assert json.loads(done.stdout) == []
    assert done.stderr == f"still waiting for 127.0.0.1:{server.port}\n"


def test_a_command_stops_when_it_was_told_to(tmp_path: Path) -> None:
    """--timeout ends a request, and the error names the server; no key is shown."""

    def talk(peer: Peer) -> None:
        peer.read_head()
        server.stopping.wait()

    with RawServer(talk) as server:
        done = _run(server.url, tmp_path, "cloud", "releases", "--timeout", "0.3")
        assert server.connections == 4
    assert done.returncode != 0
    assert done.stdout == ""
    assert "no whole answer within the time limit" in done.stderr
    assert f"{server.url} (BACK4APP_DEPLOY_URL)" in done.stderr
    assert "canary" not in done.stderr


def test_every_command_that_calls_a_server_has_the_option() -> None:
    """--timeout is there wherever something is waited for, beside the command's own options."""
    group = typer.main.get_command(app)
    assert isinstance(group.commands, dict)  # type: ignore[attr-defined]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        for own, one in inner.items() or ((name, command),):
            options = {option for param in one.params for option in param.opts}
            calls = name not in {"keystore", "schema"} | OFFLINE and own not in {"init", "secrets"}
            assert ("--timeout" in options) is calls, (name, own)


def test_the_option_holds_inside_of_its_command_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command is told is forgotten behind it; its own parameters stay as they are."""
    made: list[dict[str, object]] = []
    monkeypatch.setattr(network, "RequestsTransport", lambda **limits: made.append(limits))

    def command(name: str, *, deep: bool = False) -> str:
        assert isinstance(network.network(300), RetryingTransport)
        return f"{name} {deep}"

    wrapped = network.networked(command)
    assert list(inspect.signature(wrapped).parameters) == ["name", "deep", "timeout"]
    assert wrapped("a", deep=True, timeout=7.0) == "a True"
    network.network(300)
    limits = [(one["read_timeout_seconds"], one["total_timeout_seconds"]) for one in made]
    assert limits == [(7.0, 7.0), (300, 300)]
    assert [one["connect_timeout_seconds"] for one in made] == [7.0, 10.0]


def test_a_pause_that_a_server_asks_for_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Long waits between two tries are told too, short ones are not."""
    slept: list[float] = []
    monkeypatch.setattr(network.time, "sleep", slept.append)
    for seconds in (0.5, 30.0):
        network._pause(seconds)
    assert slept == [0.5, 30.0]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "the server asks for a pause: going on in 30 s\n"
