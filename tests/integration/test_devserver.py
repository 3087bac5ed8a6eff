"""The local server keeps its promises: real processes, real kills, a real database."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pg8000.native
import pytest

from encrypted_parse.crypto import PublicKey
from encrypted_parse.devserver import DevServer, dev_server, run_sql
from encrypted_parse.errors import DevServerError

ENDED_WITHIN_SECONDS = 15.0
LAUNCHER = """
import json, sys, time
from encrypted_parse.devserver import dev_server
with dev_server(sys.argv[1] if len(sys.argv) > 1 else None) as server:
    print(json.dumps([server.process_id, str(server.data_dir)]), flush=True)
    time.sleep(120)
"""
COMMAND = (
    "import sys; from encrypted_parse.cli.entry import main; sys.argv.insert(1, 'dev'); main()"
)
ROOT = Path(__file__).parents[2]


# --- tools ------------------------------------------------------------------------------------


def open_url(url: str, request: urllib.request.Request | None = None) -> Any:
    """Open one of our own loopback addresses."""
    return urllib.request.urlopen(request or url, timeout=20)  # noqa: S310


def call(  # noqa: PLR0913 - one request has that many parts
    server: DevServer,
    method: str,
    path: str,
    body: object = None,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Send one request to Parse and return the decoded answer; bytes are sent as they are."""
    url = f"{server.url}/{path}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310
        url, None if body is None else data, method=method
    )
    sent = {
        "X-Parse-Application-Id": server.application_id,
        "X-Parse-REST-API-Key": server.rest_api_key,
        "Content-Type": "application/json",
        **({} if token is None else {"X-Parse-Session-Token": token}),
        **(headers or {}),
    }
    for name, value in sent.items():
        request.add_header(name, value)
    with open_url(url, request) as answer:
        return json.load(answer)


def refusal(server: DevServer, *arguments: Any, **options: Any) -> dict[str, Any]:
    """Send a request that has to fail, and return the decoded answer."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        call(server, *arguments, **options)
    with caught.value as answer:
        return dict(json.load(answer))


def upload_as(user: dict[str, str]) -> dict[str, Any]:
    """Return the options of `call` for an upload by *user*."""
    return {
        "token": user["sessionToken"],
        "headers": {"Content-Type": "application/octet-stream"},
    }


def send_frame(connection: socket.socket, message: object) -> None:
    """Send one WebSocket text frame, masked with zeros (RFC 6455, section 5.2)."""
    payload = json.dumps(message).encode()
    assert len(payload) < 0x10000
    head = b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4)
    connection.sendall(head + payload)


def receive_frame(stream: IO[bytes]) -> dict[str, Any]:
    """Read one WebSocket text frame of a server."""
    _, length = stream.read(2)
    if length == 126:
        length = int.from_bytes(stream.read(2), "big")
    return dict(json.loads(stream.read(length)))


def processes() -> dict[int, tuple[int, str]]:
    """Return the living processes: number -> (parent, command line). Zombies do not live."""
    listing = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, check=True, text=True
    ).stdout
    rows = [line.split(None, 3) for line in listing.splitlines()]
    return {
        int(row[0]): (int(row[1]), row[3])
        for row in rows
        if len(row) == 4 and not row[2].startswith("Z")
    }


def family(process_id: int) -> dict[int, str]:
    """Return the process and all its descendants with their command lines."""
    everybody = processes()
    found = {process_id}
    while True:
        more = {child for child, (parent, _) in everybody.items() if parent in found} - found
        if not more:
            return {member: everybody[member][1] for member in found}
        found |= more


def assert_ended(members: dict[int, str]) -> None:
    """Fail if one of the processes still lives after a while."""
    deadline = time.monotonic() + ENDED_WITHIN_SECONDS
    while True:
        everybody = processes()
        alive = {number: line for number, line in members.items() if number in everybody}
        if not alive:
            return
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)


def assert_whole_family(members: dict[int, str]) -> None:
    """Fail if the list misses Node, the guard or Postgres: it would prove nothing."""
    lines = " ".join(members.values())
    assert "server.mjs" in lines
    assert "postgres" in lines
    assert len(members) >= 6


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty data folder. Not pytest's: for root, Postgres' user has to reach it."""
    path = Path(tempfile.mkdtemp(prefix="encrypted-parse-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """One temporary server, with own cloud code, for the tests that only talk to it."""
    own = tmp_path_factory.mktemp("cloud") / "main.cjs"
    own.write_text("Parse.Cloud.define('twice', (request) => request.params.n * 2);")
    with dev_server(cloud_main=own) as running:
        yield running


@contextlib.contextmanager
def launcher(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """Run a Python process that runs a server; give it, Node's number and the data folder."""
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            assert process.stdout is not None
            node, data_dir = json.loads(process.stdout.readline())
            yield process, node, Path(data_dir)
        finally:
            process.kill()


# --- what it serves ---------------------------------------------------------------------------


def test_it_answers(server: DevServer) -> None:
    """Inside the block the server is healthy, and is the version that we promise."""
    key = {"X-Parse-Master-Key": server.master_key}
    assert call(server, "GET", "health") == {"status": "ok"}
    assert call(server, "GET", "serverInfo", headers=key)["parseServerVersion"] == "9.10.0"


def test_batches_work(server: DevServer) -> None:
    """`/batch` works, which it does not with the newest `router`; unknown classes are made."""
    requests = [
        {"method": "POST", "path": "/parse/classes/Batched", "body": {"n": n}} for n in range(3)
    ]
    answers = call(server, "POST", "batch", {"requests": requests})
    assert [set(answer) for answer in answers] == [{"success"}] * 3
    assert len(call(server, "GET", "classes/Batched")["results"]) == 3


def test_files_can_be_stored_and_read(server: DevServer) -> None:
    """A user uploads a file, and its address gives the same bytes, from the data folder."""
    user = call(server, "POST", "users", {"username": "filer", "password": "p"})
    stored = call(server, "POST", "files/data.bin", b"\x00\x01\x02\xff", **upload_as(user))
    with open_url(stored["url"]) as answer:
        assert answer.read() == b"\x00\x01\x02\xff"
    assert (server.data_dir / "files" / stored["name"]).is_file()


def test_every_class_can_be_subscribed_to(server: DevServer) -> None:
    """LiveQuery tells a subscriber of a class that nobody has listed about a new object."""
    address = server.live_query_url.removeprefix("ws://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=20) as connection:
        stream = connection.makefile("rb")
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        while stream.readline().strip():  # the answer's head
            pass
        send_frame(connection, {"op": "connect", "applicationId": server.application_id})
        assert receive_frame(stream)["op"] == "connected"
        query = {"className": "NeverListed", "where": {}}
        send_frame(connection, {"op": "subscribe", "requestId": 1, "query": query})
        assert receive_frame(stream)["op"] == "subscribed"
        acl = {"*": {"read": True}}
        created = call(server, "POST", "classes/NeverListed", {"n": 1, "ACL": acl})
        event = receive_frame(stream)
        assert (event["op"], event["object"]["objectId"]) == ("create", created["objectId"])
        stream.close()


def test_a_retried_create_is_recognized(server: DevServer) -> None:
    """Idempotency is on: the second request with one id is refused with code 159."""
    same = {"headers": {"X-Parse-Request-Id": "the-same"}}
    call(server, "POST", "classes/Once", {}, **same)
    assert refusal(server, "POST", "classes/Once", {}, **same)["code"] == 159


def test_the_companion_is_mounted(server: DevServer) -> None:
    """The directory answers as Virgil's does, and a user gets a token from `virgil-jwt`."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        open_url(f"{server.directory_url}/card/v5/{'0' * 64}")
    with caught.value as answer:
        assert answer.code == 401
        assert json.load(answer)["code"] > 0
    user = call(server, "POST", "users", {"username": "owner", "password": "p"})
    result = call(server, "POST", "functions/virgil-jwt", {}, token=user["sessionToken"])
    assert result["result"]["token"].count(".") == 2
    PublicKey.from_base64(server.service_public_key)


def test_own_cloud_code_is_loaded(server: DevServer) -> None:
    """`cloud_main` adds functions beside the companion's."""
    assert call(server, "POST", "functions/twice", {"n": 21}) == {"result": 42}


def test_the_database_is_there_for_inspection(server: DevServer) -> None:
    """`server.database` opens a UTF-8 database in byte order, in which no lock waits for ever."""
    call(server, "POST", "classes/Seen", {"text": "visible"})
    database = server.database
    connection = pg8000.native.Connection(
        database.user,
        host=database.host,
        port=database.port,
        database=database.name,
        password=database.password,
    )
    try:
        assert connection.run("SHOW lock_timeout") == [["2s"]]
        assert connection.run("SHOW server_encoding") == [["UTF8"]]
        assert connection.run("SELECT 'a' < 'B'") == [[False]]
        assert connection.run('SELECT text FROM "Seen"') == [["visible"]]
    finally:
        connection.close()


def test_names_and_the_order_of_people() -> None:
    """`find_users` opens exact names; `icu_locale` makes a database that sorts as people do."""
    with dev_server(find_users=True, icu_locale="en-US") as server:
        assert run_sql(server, "SELECT 'a' < 'B', 'b' < 'A'") == [[True, False]]
        call(server, "POST", "users", {"username": "ann", "password": "p"})
        ben = call(server, "POST", "users", {"username": "ben", "password": "p"})
        token = ben["sessionToken"]
        found = call(server, "POST", "functions/find-users", {"names": ["ann", "x"]}, token=token)
        assert set(found["result"]["users"]) == {"ann"}


@pytest.mark.parametrize("locale", ["", "x", "en'; DROP", "en_US", "en-US\n", "-en"])
def test_a_locale_is_one(locale: str) -> None:
    """What goes into SQL is a language tag, or refused before anything starts."""
    with pytest.raises(DevServerError, match="no locale"), dev_server(icu_locale=locale):
        pass


def test_nothing_listens_beyond_this_machine(server: DevServer) -> None:
    """Every address names the loopback interface, and no other address of the machine answers."""
    port = int(server.url.split(":")[2].split("/")[0])
    assert server.database.host == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells which address would be used
        outer = probe.getsockname()[0]
    if outer.startswith("127."):
        pytest.skip("this machine has no other address")
    for number in (port, server.database.port):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((outer, number), timeout=5).close()


# --- secrets ----------------------------------------------------------------------------------


def test_no_command_line_and_no_log_holds_a_secret(server: DevServer) -> None:
    """Other users see command lines; people send logs. Neither holds a key or a token."""
    user = call(server, "POST", "users", {"username": "logged", "password": "p4ssw0rd-in-log"})
    token = user["sessionToken"]
    jwt = call(server, "POST", "functions/virgil-jwt", {}, token=token)["result"]["token"]
    stored = json.loads((server.data_dir / "secrets.json").read_text("utf-8"))
    public = {"application_id", "virgil_app_id"}
    secrets = [value for name, value in stored.items() if name not in public]
    assert len(secrets) == 8
    members = family(server.process_id)
    assert_whole_family(members)
    command_lines = "\n".join(members.values())
    log = server.log_path.read_text("utf-8")
    assert "database system is ready" in log
    for secret in secrets:
        assert secret not in command_lines
    for secret in [*secrets, token, jwt, "p4ssw0rd-in-log"]:
        assert secret not in log


def test_keys_are_for_their_owner(server: DevServer) -> None:
    """The file with the keys, and the log, can be read by their owner alone."""
    for name in ("secrets.json", "server.log"):
        assert stat.S_IMODE((server.data_dir / name).stat().st_mode) == 0o600
    assert not server.data_dir.stat().st_mode & 0o066


# --- data folders -----------------------------------------------------------------------------


def test_a_named_folder_keeps_everything(folder: Path) -> None:
    """Objects, users, files and keys are there after a restart; the environment stays the same."""
    with dev_server(folder) as first:
        created = call(first, "POST", "classes/Kept", {"text": "still here"})
        user = call(first, "POST", "users", {"username": "u", "password": "p"})
        file = call(first, "POST", "files/f.bin", b"\x01", **upload_as(user))
    with dev_server(folder) as second:
        found = call(second, "GET", f"classes/Kept/{created['objectId']}")
        assert found["text"] == "still here"
        assert call(second, "GET", "users/me", token=user["sessionToken"])["username"] == "u"
        assert (second.data_dir / "files" / file["name"]).read_bytes() == b"\x01"
        changing = {"PARSE_SERVER_URL", "VIRGIL_API_URL"}
        for name, value in first.environment().items():
            assert (second.environment()[name] == value) or name in changing
        assert second.master_key == first.master_key
    assert (folder / ".gitignore").read_text("utf-8") == "*\n"


def test_one_folder_has_one_server(server: DevServer, folder: Path) -> None:
    """A second server on the same folder is refused, and goes unnoticed by it and by others."""
    with dev_server(folder) as first:
        with (
            pytest.raises(DevServerError, match="another local server is using"),
            dev_server(folder),
        ):
            pass
        assert first.url != server.url
        for running in (first, server):
            assert call(running, "GET", "health") == {"status": "ok"}


def test_a_folder_with_other_things_is_refused(folder: Path) -> None:
    """A mistyped path does not fill a folder of yours with a database."""
    (folder / "thesis.tex").write_text("")
    with pytest.raises(DevServerError, match="holds other things"), dev_server(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_stale_pid_file_does_not_kill_a_bystander(folder: Path) -> None:
    """A number in a left-over postmaster.pid that now is another process' is left alone."""
    with dev_server(folder):
        pass
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            pid_file = folder / "postgres" / "postmaster.pid"
            pid_file.write_text(f"{bystander.pid}\n{folder}/postgres\n1\n5432\n\n\n1 1\nready\n")
            with dev_server(folder) as server:
                assert call(server, "GET", "health") == {"status": "ok"}
            assert bystander.poll() is None
        finally:
            bystander.kill()


# --- ends -------------------------------------------------------------------------------------


def test_nothing_is_left_after_the_block() -> None:
    """The end of the block ends every process, and removes a temporary folder."""
    with dev_server() as server:
        members = family(server.process_id)
        assert_whole_family(members)
    assert members.keys() & processes().keys() == set()
    assert not server.data_dir.exists()


def test_nothing_is_left_after_an_exception() -> None:
    """An exception leaves the block as it is, and the server is stopped."""
    seen: list[DevServer] = []
    members: dict[int, str] = {}

    def block() -> None:
        with dev_server() as server:
            seen.append(server)
            members.update(family(server.process_id))
            raise FileNotFoundError(2, "ours", "of the block")

    with pytest.raises(FileNotFoundError, match="ours"):
        block()
    assert_whole_family(members)
    assert members.keys() & processes().keys() == set()
    assert not seen[0].data_dir.exists()


def test_it_can_be_stopped_early() -> None:
    """`stop()` does what the end of the block does, once."""
    with dev_server() as server:
        members = family(server.process_id)
        assert not server.wait(0.0)
        server.stop()
        assert members.keys() & processes().keys() == set()
        assert server.wait(0.0)
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_launcher_is_killed(number: signal.Signals) -> None:
    """Whatever ends the Python process ends the server, and its temporary folder goes too."""
    with launcher() as (process, node, data_dir):
        members = family(node)
        assert_whole_family(members)
        process.send_signal(number)
        process.wait(ENDED_WITHIN_SECONDS)
        assert_ended(members)
        assert not data_dir.exists()


def test_nothing_is_left_when_node_is_killed() -> None:
    """A SIGKILL for Node ends Postgres at once, and the block ends without an error."""
    with dev_server() as server:
        members = family(server.process_id)
        os.kill(server.process_id, signal.SIGKILL)
        assert server.wait(ENDED_WITHIN_SECONDS)
        assert_ended(members)
    assert not server.data_dir.exists()


def test_nothing_is_left_when_both_are_killed(folder: Path) -> None:
    """SIGKILL for launcher and Node together still ends Postgres; the data survives it."""
    with launcher(str(folder)) as (process, node, _):
        members = family(node)
        assert_whole_family(members)
        os.kill(node, signal.SIGKILL)
        process.kill()
        assert_ended(members)
    with dev_server(folder) as server:
        assert call(server, "GET", "health") == {"status": "ok"}


def test_an_orphaned_postgres_is_stopped_by_the_next_start(folder: Path) -> None:
    """Even if the guard is killed as well, the next start ends the old Postgres first."""
    with launcher(str(folder)) as (process, node, _):
        members = family(node)
        pid_file = folder / "postgres" / "postmaster.pid"
        postmaster = int(pid_file.read_text("utf-8").split("\n")[0])
        children = family(postmaster)
        process.send_signal(signal.SIGSTOP)  # the launcher would clean up
        for number in members.keys() - children.keys():
            os.kill(number, signal.SIGKILL)
        process.kill()
    time.sleep(0.2)
    assert postmaster in processes(), "this Postgres was to be an orphan"
    with dev_server(folder) as server:
        assert postmaster not in processes()
        assert call(server, "GET", "health") == {"status": "ok"}


def test_a_dead_postgres_ends_the_server(folder: Path) -> None:
    """Without its database the server ends, rather than answer errors; its log says why."""
    with dev_server(folder) as server:
        pid_file = folder / "postgres" / "postmaster.pid"
        os.kill(int(pid_file.read_text("utf-8").split("\n")[0]), signal.SIGKILL)
        assert server.wait(ENDED_WITHIN_SECONDS)
        assert server.log_path.stat().st_size > 0
    with dev_server(folder) as again:
        assert call(again, "GET", "health") == {"status": "ok"}


# --- failures ---------------------------------------------------------------------------------


def test_a_port_in_use_is_named() -> None:
    """An occupied port is said to be that, with what to do; nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        with (
            pytest.raises(DevServerError, match=f"port {port} is in use") as caught,
            dev_server(port=port),
        ):
            pass
    assert caught.value.hint is not None


def test_broken_cloud_code_is_quoted(tmp_path: Path) -> None:
    """A start that fails says why: the error ends with the log's last lines."""
    (tmp_path / "broken.mjs").write_text("throw new Error('mistake in my cloud code');")
    with (
        pytest.raises(DevServerError, match="mistake in my cloud code"),
        dev_server(cloud_main=tmp_path / "broken.mjs"),
    ):
        pass


# --- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_runs_until_it_is_told_to_stop(number: signal.Signals, folder: Path) -> None:
    """`dev --json` prints one object, serves, and ends with status 0 and nothing left."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--json", "--data-dir", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            members = family(process.pid)
            assert_whole_family(members)
            assert told["environment"]["PARSE_SERVER_URL"] == told["url"]
            with open_url(f"{told['url']}/health") as answer:
                assert answer.status == 200
            process.send_signal(number)
            assert process.wait(ENDED_WITHIN_SECONDS) == 0
            assert_ended(members)
            assert process.stdout.read() == ""
        finally:
            process.kill()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks the system for a process' variables")
def test_node_and_postgres_see_none_of_our_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the server nor its database is started with what a developer's shell holds."""
    names = ("AWS_SECRET_ACCESS_KEY", "PARSE_MASTER_KEY", "PGPASSWORD", "NPM_TOKEN", "MY_OWN")
    for name in names:
        monkeypatch.setenv(name, "canary-in-the-environment")
    with dev_server() as running:
        postgres = (running.data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[0]
        for number in (running.process_id, int(postgres)):
            variables = Path(f"/proc/{number}/environ").read_bytes()
            assert b"PATH=" in variables
            assert b"canary" not in variables
            assert not [name for name in names if name.encode() + b"=" in variables]


def test_the_command_explains_failures() -> None:
    """An error is one `error:` and one `hint:` line on stderr, and status 1."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "--data-dir", str(ROOT)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
