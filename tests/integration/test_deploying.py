"""docs/deploy.md is typed as it stands; the own server runs, and its compose file holds."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import runnable_docs
import yaml
from npm_peer import QUIET
from servers.deploy_service import APP, MASTER, deploy_service
from servers.matrix import postgres
from websockets.sync.client import connect

from encrypted_parse import EncryptedClient, MemoryKeystore, Model, acl_readers, encrypted
from encrypted_parse.companion import CompanionSecrets
from encrypted_parse.deploy import write_companion
from encrypted_parse.devserver import DevServer
from encrypted_parse.devserver.install import cache_folder, install_packages
from encrypted_parse.devserver.node import find_node
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.tools import export_guard_schema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "deploy.md"
SERVER = ROOT / "examples" / "server"
MODELS = runnable_docs.python_blocks(DOCS.read_text("utf-8"))[0][1]
PROGRAM = """#!/bin/sh
exec "$PYTHON" -c 'from encrypted_parse.cli.entry import main; main()' "$@"
"""


class Letter(Model, parse_class="OwnServerLetter"):
    """What the own server keeps."""

    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


def test_the_documented_commands(dev_server: DevServer, tmp_path: Path) -> None:
    """Every `sh` block, in order, in one shell, as typed; nothing that they print is a surprise."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 8
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "encrypted-parse"
    program.write_text(PROGRAM, "utf-8")
    program.chmod(0o755)
    python = tmp_path / "bin" / "python"
    python.symlink_to(sys.executable)
    home = tmp_path / "home"
    (home / "app").mkdir(parents=True)
    (home / "app" / "models.py").write_text(MODELS, "utf-8")
    with deploy_service() as service:
        main = (ROOT / "cloud_code" / "main.js").read_bytes()
        service.put({"cloud/main.js": main, "cloud/other.js": b"// theirs"})
        environment = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "HOME": str(home),
            "EXAMPLES": str(ROOT / "examples"),
            "PARSE_APPLICATION_ID": APP,
            "PARSE_MASTER_KEY": MASTER,
            "BACK4APP_DEPLOY_URL": service.url,
        }
        doctor = [block for block in blocks if "cloud doctor" in block]
        newer = 'echo "// newer" >> my-app/cloud/lib/index.js\n'  # in place of an update of ours
        typed = [newer * ("update" in block) + block for block in blocks if block not in doctor]
        script = "\n".join(["set -eu", *typed])
        done = subprocess.run(
            ["sh", "-c", script],
            capture_output=True,
            check=False,
            cwd=home,
            encoding="utf-8",
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        files = service.files()
    assert "v3 runs" in done.stdout
    assert "v3 runs; would go back" in done.stdout
    assert done.stdout.rstrip().endswith("v2 runs")
    assert files["cloud/other.js"] == b"// theirs"
    assert files["cloud/main.js"] == main
    assert "Message" in json.loads(files["cloud/encrypted-fields.json"])["classes"]
    assert (home / "companion.env").stat().st_mode & 0o777 == 0o600
    written = (home / "my-server" / ".env").read_text("utf-8")
    assert {line.partition("=")[0] for line in written.splitlines()} == set(_required())

    environment |= {**dev_server.environment(), "PARSE_MASTER_KEY": dev_server.master_key}
    looked = subprocess.run(
        ["sh", "-c", doctor[0]],
        capture_output=True,
        check=False,
        cwd=home,
        encoding="utf-8",
        env=environment,
        timeout=60,
    )
    assert "services: they answer" in looked.stdout
    assert looked.returncode == 1  # the local server guards nothing
    assert "Message.body: plaintext is accepted" in looked.stdout


def test_the_documented_program(
    dev_server: DevServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first message arrives."""
    for name, value in dev_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENCRYPTED_PARSE_KEYSTORE", str(tmp_path / "keys"))
    unique = f"deploy{time.time_ns()}"
    text = (
        DOCS.read_text("utf-8").replace('"alice"', f'"a{unique}"').replace('"bob"', f'"b{unique}"')
    )
    (tmp_path / "deploy.md").write_text(text, "utf-8")
    runnable_docs.run(tmp_path / "deploy.md", {}, monkeypatch)
    assert "Hello from Python" in capsys.readouterr().out


def test_what_encryption_costs() -> None:
    """The requests and characters that the page names for a plan's limits."""
    app = InMemoryApp()
    alice, bob, carol = (app.make_user() for _ in range(3))
    before = len(app.requests)
    dave = app.make_user()
    assert len(app.requests) - before == 1 + 3  # sign-up, registration
    sizes = []
    for readers in ((), (bob,), (bob, carol), (bob, carol, dave)):
        letter = Letter(sender_id=alice.user_id, body="hello")
        for reader in readers:
            letter.acl.allow_read(reader.user_id)
        alice.save(letter)
        [row] = [
            row for row in app.parse.rows("OwnServerLetter") if row["objectId"] == letter.object_id
        ]
        sizes.append(len(row["body"]))
    assert 880 <= sizes[0] <= 940
    assert all(330 <= more - less <= 350 for less, more in itertools.pairwise(sizes))
    before = len(app.requests)
    alice.save(Letter(sender_id=alice.user_id, body="hello"))
    assert len(app.requests) - before == 1


# --- the own server -------------------------------------------------------------------------


@contextmanager
def own_server(folder: Path, database_uri: str, **more: str) -> Iterator[dict[str, str]]:
    """Run examples/server as its container would, and yield a client's variables."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = CompanionSecrets.generate()
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URI": database_uri,
        "PARSE_APPLICATION_ID": "own",
        "PARSE_MASTER_KEY": "own-master",
        "PARSE_REST_API_KEY": "own-rest",
        "ALLOW_CLIENT_CLASS_CREATION": "true",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        **made.environment(),
        **more,
    }
    process = subprocess.Popen(
        [find_node().executable, folder / "index.js"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        _wait_until_healthy(process, port)
        yield {
            "PARSE_SERVER_URL": f"http://127.0.0.1:{port}/parse",
            "PARSE_APPLICATION_ID": "own",
            "PARSE_REST_API_KEY": "own-rest",
            "PARSE_MASTER_KEY": "own-master",
            "VIRGIL_API_URL": f"http://127.0.0.1:{port}/virgil",
            "VIRGIL_SERVICE_PUBLIC_KEY": made.service_public_key,
        }
    finally:
        process.terminate()
        try:
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()


def _wait_until_healthy(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stdout is not None
            pytest.fail(f"the server ended: {process.stdout.read()}")
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/parse/health", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.2)
            continue
        if answer.ok and answer.json()["status"] == "ok":
            return
        time.sleep(0.2)
    pytest.fail("the server did not become healthy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """examples/server with cloud code, and with the packages that its container would install."""
    made = tmp_path / "server"
    shutil.copytree(SERVER, made)
    write_companion(made, json.dumps(export_guard_schema([Letter])).encode("utf-8"))
    node = find_node()
    packages = install_packages(node, cache_folder(os.environ), lambda _: None)
    (made / "node_modules").symlink_to(packages / "node_modules")
    return made


def test_the_own_server(dev_server: DevServer, folder: Path, tmp_path: Path) -> None:
    """Sign up, save, fetch; the guard guards; the doctor has nothing to find; it stops in order."""
    (tmp_path / "own_models.py").write_text(
        "from encrypted_parse import Model, acl_readers, encrypted\n"
        'class Letter(Model, parse_class="OwnServerLetter"):\n'
        "    sender_id: str\n"
        '    body: str = encrypted(to=acl_readers(), author="sender_id")\n',
        "utf-8",
    )
    with postgres(dev_server) as uri, own_server(folder, uri) as variables:
        client = EncryptedClient.from_env(variables, keystore=MemoryKeystore())
        alice, bob = client.sign_up("alice", "pass word"), client.sign_up("bob", "pass word")
        alice.register()
        bob.register()
        letter = Letter(sender_id=alice.user_id, body="hello")
        letter.acl.allow_read(bob.user_id)
        alice.save(letter)
        assert bob.get(Letter, letter.object_id or "").body == "hello"
        looked = subprocess.run(
            [
                sys.executable,
                "-c",
                "from encrypted_parse.cli.entry import main; main()",
                "cloud",
                "doctor",
                "own_models",
            ],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            encoding="utf-8",
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables},
            timeout=60,
        )
        assert looked.returncode == 0, looked.stdout
        assert "FAIL" not in looked.stdout
        assert "OwnServerLetter.body: plaintext is refused" in looked.stdout


@pytest.mark.long
def test_the_own_server_with_its_own_packages(dev_server: DevServer, tmp_path: Path) -> None:
    """What Dockerfile and docs say: `npm ci`, then `node --env-file=.env index.js`."""
    folder = tmp_path / "server"
    shutil.copytree(SERVER, folder)
    write_companion(folder)
    node = find_node()
    subprocess.run(
        [node.executable, node.npm_script, "ci", "--omit=dev", "--ignore-scripts", *QUIET],
        check=True,
        cwd=folder,
        timeout=300,
    )
    with postgres(dev_server) as uri, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        names = ("PARSE_APPLICATION_ID", "PARSE_MASTER_KEY", "PARSE_REST_API_KEY")
        lines = {
            **dict.fromkeys(names, "own"),
            **CompanionSecrets.generate().environment(),
            "DATABASE_URI": uri,
            "PORT": str(port),
        }
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        (folder / ".env").write_text(text, "utf-8")
        process = subprocess.Popen(
            [node.executable, "--env-file=.env", "index.js"],
            cwd=folder,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        try:
            _wait_until_healthy(process, port)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def test_a_variable_is_missing(folder: Path) -> None:
    """The process ends with words, and status 1."""
    done = subprocess.run(
        [find_node().executable, folder / "index.js"],
        capture_output=True,
        check=False,
        cwd=folder,
        encoding="utf-8",
        env={"PATH": os.environ["PATH"], "PARSE_APPLICATION_ID": "own"},
        timeout=60,
    )
    assert done.returncode == 1
    assert "PARSE_MASTER_KEY, PARSE_REST_API_KEY, DATABASE_URI" in done.stderr


def test_several_processes_share_events(dev_server: DevServer, folder: Path) -> None:
    """Through Redis, an object that one process saves wakes a subscriber of the other."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    redis = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    shared = {
        "REDIS_URL": f"redis://127.0.0.1:{port}",
        **CompanionSecrets.generate().environment(),
    }
    try:
        with (
            postgres(dev_server) as uri,
            own_server(folder, uri, **shared) as first,
            own_server(folder, uri, **shared) as second,
        ):
            alice = EncryptedClient.from_env(first, keystore=MemoryKeystore()).sign_up("a", "b c")
            address = second["PARSE_SERVER_URL"].replace("http", "ws").removesuffix("/parse")
            with connect(address) as events:
                hello = {"op": "connect", "applicationId": "own", "javascriptKey": "own-rest"}
                events.send(json.dumps(hello))
                assert json.loads(events.recv(timeout=10))["op"] == "connected"
                query = {"className": "Note", "where": {}}
                session = alice.session_token
                wanted = {
                    "op": "subscribe",
                    "requestId": 1,
                    "query": query,
                    "sessionToken": session,
                }
                events.send(json.dumps(wanted))
                assert json.loads(events.recv(timeout=10))["op"] == "subscribed"
                alice.parse.create("Note", {"text": "hello"})
                assert json.loads(events.recv(timeout=10))["op"] == "create"
    finally:
        redis.terminate()
        redis.wait()


# --- the compose file -----------------------------------------------------------------------


def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((SERVER / "compose.yaml").read_text("utf-8"))
    return loaded


def _required() -> set[str]:
    """Return the variables that the compose file takes from .env in the documented set-up."""
    found = set(re.findall(r"\$\{(\w+):\?", (SERVER / "compose.yaml").read_text("utf-8")))
    return found | {"VIRGIL_BRAINKEY_SECRET"}


def test_the_compose_file_holds() -> None:
    """No secret in it, healthy before needed, closed to the network, no more rights than needed."""
    compose = _compose()
    services = compose["services"]
    for service in services.values():
        assert "healthcheck" in service
        assert service["restart"] == "unless-stopped"
        image = service.get("image")
        assert image is None or re.search(r":\d", image)
    parse = services["parse"]
    assert parse["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert all(port.startswith("127.0.0.1:") for port in parse["ports"])
    assert "ports" not in services["postgres"]
    assert "ports" not in services["redis"]
    assert parse["cap_drop"] == ["ALL"]
    for name, value in parse["environment"].items():
        if re.search("KEY|SECRET|PASSWORD|URI", name) and name != "MASTER_KEY_IPS":
            assert re.search(rf"\$\{{(?:{name}|POSTGRES_PASSWORD):[?-]", value), name
    known = set(re.findall(r"env\.(\w+)", (SERVER / "index.js").read_text("utf-8")))
    known |= {"DATABASE_URI", *CompanionSecrets.generate().environment()}
    assert set(parse["environment"]) <= known
    volumes = {
        one.partition(":")[0] for service in services.values() for one in service.get("volumes", [])
    }
    assert volumes == set(compose["volumes"])
    dockerfile = (SERVER / "Dockerfile").read_text("utf-8")
    copied = " ".join(re.findall(r"^COPY (.+) \./", dockerfile, re.MULTILINE)).split()
    assert set(copied) == {"package.json", "package-lock.json", "index.js", "cloud"}
    assert "USER node" in dockerfile


def test_the_servers_packages_are_those_that_are_tested() -> None:
    """The versions of examples/server are the local server's."""
    theirs = json.loads((SERVER / "package.json").read_text("utf-8"))
    ours = json.loads((ROOT / "encrypted_parse/devserver/node/package.json").read_text("utf-8"))
    assert theirs["overrides"] == ours["overrides"]
    for name, version in theirs["dependencies"].items():
        assert ours["dependencies"][name] == version


def test_compose_reads_it() -> None:
    """Where Docker is, it reads the file and finds every variable."""
    if not _has_compose():
        pytest.skip("no docker compose on this machine")
    environment = {**os.environ, **dict.fromkeys(_required(), "x")}
    subprocess.run(
        ["docker", "compose", "-f", SERVER / "compose.yaml", "config", "--quiet"],
        check=True,
        env=environment,
        timeout=60,
    )


def _has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return asked.returncode == 0
