"""`encrypted-parse cloud` against a strict server of the deploy protocol, and a broken one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from npm_peer import install
from servers.deploy_service import APP, MASTER, DeployService, deploy_service, md5_of
from servers.matrix import postgres

from encrypted_parse.companion import CompanionSecrets
from encrypted_parse.deploy import (
    DeployServer,
    Release,
    StoredFile,
    find_rollback,
    roll_back,
)
from encrypted_parse.devserver import DevServer
from encrypted_parse.devserver.node import find_node
from encrypted_parse.errors import DeployConflictError, DeployError
from encrypted_parse.transport import Repeat, RequestsTransport

Run = Callable[..., subprocess.CompletedProcess[str]]
SERVERS = Path(__file__).parents[1] / "servers"
PROGRAM = "from encrypted_parse.cli.entry import main; main()"


@pytest.fixture
def service() -> Iterator[DeployService]:
    """A fresh app, on which nothing was ever deployed."""
    with deploy_service() as running:
        yield running


@pytest.fixture
def run(service: DeployService, tmp_path: Path) -> Run:
    """Return what runs `encrypted-parse cloud ...` as a user does."""

    def run(*arguments: str, status: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "PARSE_APPLICATION_ID": APP,
            "PARSE_MASTER_KEY": MASTER,
            "BACK4APP_DEPLOY_URL": service.url,
            **variables,
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "cloud", *arguments],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            encoding="utf-8",
            env={name: value for name, value in environment.items() if value},
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert MASTER not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    """A folder that `cloud init` wrote."""
    run("init", "app")
    return tmp_path / "app"


def contents(project: Path) -> dict[str, bytes]:
    """Return what is to be deployed."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in (project / "cloud").rglob("*")
        if path.is_file()
    }


def test_the_life_of_a_release(run: Run, service: DeployService, project: Path) -> None:
    """First deployment, a change, nothing to do, history, and back."""
    first = run("deploy", "app", "--yes", "-m", "first")
    assert service.files() == contents(project)
    assert "v1 runs" in first.stdout
    uploads = [one for one in service.requests if one == "POST scripts"]
    assert len(uploads) == len(contents(project))

    service.requests.clear()
    assert "nothing to deploy" in run("deploy", "app", "--yes").stderr
    assert service.requests == ["GET deploy"]
    run("diff", "app")

    (project / "cloud" / "main.js").write_text("// mine\n", "utf-8")
    (project / "cloud" / "more.js").write_text("// more\n", "utf-8")
    (project / "cloud" / "lib" / "status.js").unlink()
    shown = run("diff", "app", "--text", status=1).stdout
    assert "~ cloud/main.js" in shown
    assert "+ cloud/more.js" in shown
    assert "- cloud/lib/status.js" in shown
    assert "+// mine" in shown
    run("deploy", "app", "--yes", "-m", "second")
    assert service.files() == contents(project)
    assert [one for one in service.requests if one.startswith("POST")] == [
        "POST scripts",
        "POST scripts",
        "POST deploy",
    ]
    listed = json.loads(run("releases", "--json").stdout)
    assert [(one["name"], one["description"], one["runs"]) for one in listed] == [
        ("v1", "first", False),
        ("v2", "second", True),
    ]
    assert "runs" in run("releases").stdout
    assert "v1 runs" in run("rollback", "--yes").stdout
    assert "cloud/more.js" not in service.files()
    assert "v2 runs" in run("rollback", "v2", "--yes").stdout
    assert "there is no release v9" in run("rollback", "v9", "--yes", status=1).stderr
    assert "runs already" in run("rollback", "v2", "--yes", status=1).stderr


def test_dry_runs_change_nothing(run: Run, service: DeployService, tmp_path: Path) -> None:
    """Of any command that writes."""
    run("init", "app", "--dry-run")
    assert not (tmp_path / "app").exists()
    run("init", "app")
    before = (tmp_path / "app" / ".encrypted-parse.json").read_bytes()
    run("deploy", "app", "--dry-run")
    assert service.requests == ["GET deploy"]
    assert (tmp_path / "app" / ".encrypted-parse.json").read_bytes() == before
    service.put({"cloud/main.js": b"1"})
    service.put({"cloud/main.js": b"2"})
    assert "v2 runs; would go back" in run("rollback", "--dry-run").stdout
    assert service.running == 1


def test_a_dry_run_ends_as_the_real_one(run: Run, service: DeployService, project: Path) -> None:
    """The same words, the same status: for what is refused, for what goes, for nothing to do."""
    dry = run("deploy", "app", "--dry-run").stdout
    files = len(contents(project))
    assert f"would upload {files} files" in dry
    assert f"({files} files uploaded)" in run("deploy", "app", "--yes").stdout
    assert run("deploy", "app", "--dry-run").stderr == run("deploy", "app", "--yes").stderr
    service.put({**service.files(), "cloud/main.js": b"// theirs"})
    for options in ([], ["--json"]):
        (project / "cloud" / "app.js").write_text("// mine\n", "utf-8")
        asked = run("deploy", "app", "--dry-run", *options, status=2 if options else 4)
        real = run("deploy", "app", "--yes", *options, status=2 if options else 4)
        assert (asked.stdout, asked.stderr) == (real.stdout, real.stderr)
    assert "would upload 2 files" in run("deploy", "app", "--dry-run", "--replace").stdout
    for name in ("v9", "v2"):
        asked = run("rollback", name, "--dry-run", status=1)
        assert asked.stderr == run("rollback", name, "--yes", status=1).stderr
    run("rollback", "v1", "--yes")
    asked = run("rollback", "--dry-run", status=1)
    assert asked.stderr == run("rollback", "--yes", status=1).stderr
    assert "no release before" in asked.stderr


def test_a_way_back_is_looked_at_before_somebody_is_asked(run: Run, service: DeployService) -> None:
    """A release that is not there is named so, not asked about; what was agreed to is what goes."""
    service.put({"cloud/main.js": b"1"})
    service.put({"cloud/main.js": b"2"})
    assert "there is no release v9" in run("rollback", "v9", status=1).stderr
    assert "runs already" in run("rollback", "v2", status=1).stderr
    assert "nobody can be asked" in run("rollback", "v1", status=1).stderr
    server = DeployServer(RequestsTransport(), APP, MASTER, service.url)
    found = find_rollback(server)
    service.put({"cloud/main.js": b"3"})
    with pytest.raises(DeployConflictError, match="v3 runs by now, not v2"):
        roll_back(server, found.wanted, instead_of=found.running)
    assert service.running == 2


def test_nobody_to_ask(run: Run, project: Path) -> None:
    """Without a terminal, --yes is needed, and credentials have to be in the environment."""
    assert "add --yes" in run("deploy", "app", status=1).stderr
    assert "PARSE_MASTER_KEY" in run("diff", "app", status=1, PARSE_MASTER_KEY="").stderr
    assert "PARSE_APPLICATION_ID" in run("diff", "app", status=1, PARSE_APPLICATION_ID="").stderr


def test_files_that_this_folder_does_not_know(
    run: Run, service: DeployService, project: Path
) -> None:
    """They are kept; with --replace they go, and the plan says so."""
    others = {"cloud/theirs.js": b"theirs", "public/index.html": b"<p>", "cloud/lib/jwt.js": b"old"}
    service.put({**others, "cloud/main.js": contents(project)["cloud/main.js"]})
    refused = run("deploy", "app", "--yes", status=4)
    assert "changed on the server, not by this folder: cloud/lib/jwt.js" in refused.stderr
    assert "? cloud/theirs.js" in refused.stdout
    assert service.running == 0
    shown = run("diff", "app", "--text", status=1).stdout
    assert "-old" in shown

    service.put({**others, "cloud/lib/jwt.js": contents(project)["cloud/lib/jwt.js"],
                 "cloud/main.js": b"// theirs"})  # fmt: skip
    (project / "cloud" / "main.js").write_bytes(b"// theirs")
    run("deploy", "app", "--yes")
    assert service.files() == {
        **contents(project),
        "cloud/theirs.js": b"theirs",
        "public/index.html": b"<p>",
    }
    run("deploy", "app", "--yes", "--replace")
    assert service.files() == contents(project)


def test_what_somebody_edited_is_not_overwritten(
    run: Run, service: DeployService, project: Path
) -> None:
    """An edit in the dashboard stops the next deployment; an answer that was lost does not."""
    run("deploy", "app", "--yes")
    edited = {**contents(project), "cloud/main.js": b"// by somebody in the dashboard"}
    service.put(edited)
    (project / "cloud" / "main.js").write_text("// mine\n", "utf-8")
    assert "! cloud/main.js" in run("deploy", "app", "--yes", status=4).stdout
    assert service.files() == edited
    run("deploy", "app", "--yes", "--replace")
    assert service.files() == contents(project)


@pytest.mark.parametrize(
    ("fault", "at", "status", "says"),
    [
        ("drop first", "POST scripts", 3, "v1 still runs"),
        ("garbage", "POST scripts", 3, "v1 still runs"),
        ("400", "POST scripts", 4, "v1 still runs"),
        ("drop first", "POST deploy", 3, "v1 still runs"),
        ("drop after", "POST deploy", 0, "v2 runs"),
        ("garbage", "POST deploy", 0, "v2 runs"),
        ("gateway after", "POST deploy", 0, "v2 runs"),
        ("500", "POST deploy", 3, "v1 still runs"),
        ("400", "POST deploy", 4, "v1 still runs"),
        ("403", "POST deploy", 4, "v1 still runs"),
    ],
)
def test_a_broken_deployment_leaves_the_old_release_or_the_new(  # noqa: PLR0913, PLR0917 - one case
    run: Run, service: DeployService, project: Path, fault: str, at: str, status: int, says: str
) -> None:
    """And the command says which; the same command, made again, finishes it."""
    run("deploy", "app", "--yes")
    old = contents(project)
    (project / "cloud" / "main.js").write_text("// second\n", "utf-8")
    service.before = lambda request: fault if request == at else None
    done = run("deploy", "app", "--yes", status=status)
    assert service.files() == (contents(project) if status == 0 else old)
    assert says in done.stdout + done.stderr
    service.before = lambda _: None
    run("deploy", "app", "--yes")
    assert service.files() == contents(project)


def test_the_service_of_these_tests_is_strict(service: DeployService) -> None:
    """What a careless client would send is refused, and the old release stays."""
    service.put({"cloud/main.js": b"// old"})
    server = DeployServer(RequestsTransport(), APP, MASTER, service.url)
    stored = server.store("cloud/main.js", b"// new")
    current = server.current()
    for files in (
        {"cloud/main.js": StoredFile("0" * 32, stored.version)},
        {"cloud/main.js": StoredFile(stored.md5, "99")},
        {"cloud/main.js": stored, "cloud/gone.js": StoredFile("0" * 32, "1")},
        {"public/main.js": stored},
        {},
    ):
        with pytest.raises(DeployError):
            server.make_release(Release("", None, files), "")
    for body in ({"name": "x.js"}, {"name": "x.js", "content": "", "mode": 1}):
        with pytest.raises(DeployError):
            server._write("scripts", body, Repeat.NEVER)
    wrong = DeployServer(RequestsTransport(), APP, "wrong", service.url)
    with pytest.raises(DeployError, match="refused"):
        wrong.store("cloud/main.js", b"")
    assert server.current() == current
    server.make_release(Release("", None, {"cloud/main.js": stored}), "")
    assert service.files() == {"cloud/main.js": b"// new"}


def test_when_nobody_knows(run: Run, service: DeployService, project: Path) -> None:
    """The connection stays broken after the switch: the message says that both are possible."""
    switched = []

    def fault(request: str) -> str | None:
        if request == "POST deploy":
            switched.append(request)
            return "drop after"
        return "drop first" if switched else None

    service.before = fault
    assert (
        "either no release still runs, or the new one"
        in run("deploy", "app", "--yes", status=3).stderr
    )
    service.before = lambda _: None
    assert "nothing to deploy" in run("deploy", "app", "--yes").stderr


def test_two_who_deploy_at_once(run: Run, service: DeployService, project: Path) -> None:
    """A release that was made while we uploaded is not undone."""
    run("deploy", "app", "--yes")
    (project / "cloud" / "main.js").write_text("// second\n", "utf-8")

    def fault(request: str) -> None:
        if request == "POST scripts" and service.running == 0:
            service.put({"cloud/main.js": b"theirs"})

    service.before = fault
    refused = run("deploy", "app", "--yes", status=4)
    assert "somebody else made a release" in refused.stderr
    assert service.files() == {"cloud/main.js": b"theirs"}


@pytest.mark.parametrize("fault", ["drop after", "gateway after", "garbage", "drop first", "500"])
def test_a_broken_way_back(run: Run, service: DeployService, fault: str) -> None:
    """The old release or the new one runs, and the command says which."""
    service.put({"cloud/main.js": b"1"})
    service.put({"cloud/main.js": b"2"})
    service.before = lambda request: fault if request == "POST deploy" else None
    went = fault in {"drop after", "gateway after", "garbage"}
    done = run("rollback", "--yes", status=0 if went else 3)
    assert service.running == (0 if went else 1)
    assert ("v1 runs" if went else "v2 still runs") in done.stdout + done.stderr


def test_another_release_during_a_way_back(run: Run, service: DeployService) -> None:
    """What somebody else made meanwhile is not taken for what was asked for."""
    service.put({"cloud/main.js": b"1"})
    service.put({"cloud/main.js": b"2"})

    def fault(request: str) -> str | None:
        if request == "POST deploy":
            service.put({"cloud/main.js": b"3"})
            return "drop first"
        return None

    service.before = fault
    refused = run("rollback", "--yes", status=4)
    assert "release v1 was to run, but v3 runs" in refused.stderr


def test_wrong_keys(run: Run, project: Path) -> None:
    """A refused key is named as such, and not shown."""
    refused = run("deploy", "app", "--yes", status=4, PARSE_MASTER_KEY="wrong-key-of-tests")
    assert "the master key is refused" in refused.stderr
    assert "wrong-key-of-tests" not in refused.stderr + refused.stdout
    assert (
        "to the network"
        in run("diff", "app", status=1, BACK4APP_DEPLOY_URL="http://b4a.example").stderr
    )


def _release(folder: str, name: str, md5: str) -> dict[str, object]:
    return {"userFiles": {folder: {name: "1"}}, "checksums": {folder: {name: md5}}}


@pytest.mark.parametrize(
    "answer",
    [
        _release("cloud", "../main.js", "0" * 32),
        _release("cloud", "a\x1b[2J.js", "0" * 32),
        _release("cloud", "a.js", "x"),
        _release("other", "a.js", "0" * 32),
        {"userFiles": {"cloud": {"a.js": "1"}}, "checksums": {}},
        {"releaseName": "v1\n", "userFiles": {}, "checksums": {}},
        [],
    ],
)
def test_a_lying_service(run: Run, service: DeployService, project: Path, answer: object) -> None:
    """Names that leave the folder or speak to the terminal are refused, before anything is sent."""
    service.answer = lambda *_: answer  # type: ignore[method-assign]
    assert "no release of cloud code" in run("diff", "app", status=3).stderr


def test_what_is_left_out_and_what_is_refused(
    run: Run, service: DeployService, project: Path
) -> None:
    """Ignored files stay at home; links, the master key and a missing main.js are refused."""
    cloud = project / "cloud"
    for name in (".env", "a.js~", "#b.js", "c.swp", "notes.txt"):
        (cloud / name).write_text("x", "utf-8")
    (cloud / "node_modules").mkdir()
    (cloud / "node_modules" / "x.js").write_text("x", "utf-8")
    (project / ".parseignore").write_text("notes.*\n", "utf-8")
    (project / "public").mkdir()
    (project / "public" / "Grüße & more.html").write_text("<p>", "utf-8")
    run("deploy", "app", "--yes")
    names = set(service.files())
    assert "public/Grüße & more.html" in names
    assert not {name for name in names if ".env" in name or "notes" in name or "node_" in name}
    (project / "public" / "Grüße & more.html").write_text("<p>new", "utf-8")
    assert "+<p>new" in run("diff", "app", "--text", status=1).stdout

    (cloud / "leak.js").write_text(f"const key = '{MASTER}'", "utf-8")
    assert "holds the master key" in run("deploy", "app", "--yes", status=1).stderr
    (cloud / "leak.js").unlink()
    (cloud / "link.js").symlink_to("/etc/hostname")
    assert "is a link" in run("deploy", "app", "--yes", status=1).stderr
    (cloud / "link.js").unlink()
    (cloud / "lib2").symlink_to(cloud / "lib")
    assert "is a link" in run("deploy", "app", "--yes", status=1).stderr
    assert "cloud init" in run("deploy", "elsewhere", "--yes", status=1).stderr


def test_init_respects_what_is_yours(run: Run, tmp_path: Path) -> None:
    """An app's own main.js stays; ours are brought up to date; what is gone from us goes."""
    own = tmp_path / "app" / "cloud" / "main.js"
    own.parent.mkdir(parents=True)
    own.write_text("// mine\n", "utf-8")
    done = run("init", "app")
    assert own.read_text("utf-8") == "// mine\n"
    assert "yours, left as it is: cloud/main.js" in done.stdout
    assert "companion.installCloudFunctions" in done.stderr
    assert "everything is there already" in run("init", "app").stdout

    record = tmp_path / "app" / ".encrypted-parse.json"
    jwt, gone = own.parent / "lib" / "jwt.js", own.parent / "lib" / "gone.js"
    current = jwt.read_bytes()
    for path, text in ((jwt, "// an older version"), (gone, "// an older version")):
        path.write_text(text, "utf-8")
    stored = json.loads(record.read_text("utf-8"))
    stored["written"]["cloud/lib/jwt.js"] = "b0fa7f2d1ed70b3ef2ec1ea0ac6ff9a5"
    run("init", "app")  # edited: not what was written
    assert jwt.read_text("utf-8") == "// an older version"
    older = md5_of(b"// an older version")
    stored["written"] |= {"cloud/lib/jwt.js": older, "cloud/lib/gone.js": older}
    record.write_text(json.dumps(stored), "utf-8")
    done = run("init", "app")
    assert jwt.read_bytes() == current
    assert not gone.exists()
    assert "removed: cloud/lib/gone.js" in done.stdout
    record.write_text("{", "utf-8")
    assert "not a file of this program" in run("init", "app", status=1).stderr


def test_init_with_models(run: Run, tmp_path: Path) -> None:
    """The guard's file is written for the models that are named."""
    (tmp_path / "models.py").write_text(
        "from encrypted_parse import Model, encrypted, only_me\n"
        "class Diary(Model):\n    text: str = encrypted(to=only_me())\n",
        "utf-8",
    )
    run("init", "app", "--models", "models")
    fields = json.loads((tmp_path / "app/cloud/encrypted-fields.json").read_text("utf-8"))
    assert list(fields["classes"]) == ["Diary"]
    assert (
        "written: cloud/encrypted-fields.json"
        not in run("init", "app", "--models", "models").stdout
    )


def test_secrets(run: Run) -> None:
    """Fresh ones each time, in a form that the server's environment takes."""
    first, second = (run("secrets") for _ in range(2))
    lines = dict(line.split("=", 1) for line in first.stdout.splitlines())
    assert set(lines) == {
        "VIRGIL_APP_ID",
        "VIRGIL_APP_KEY_ID",
        "VIRGIL_APP_KEY",
        "VIRGIL_SERVICE_KEY",
        "VIRGIL_BRAINKEY_SECRET",
    }
    assert not set(first.stdout.splitlines()) & set(second.stdout.splitlines())
    as_json = json.loads(run("secrets", "--json").stdout)
    assert set(as_json["server"]) == set(lines)
    assert "VIRGIL_SERVICE_PUBLIC_KEY" in as_json["client"]


def test_doctor(run: Run, dev_server: DevServer, tmp_path: Path) -> None:
    """A real server is examined; a column that takes plaintext is found; nothing is written."""
    variables = {**dev_server.environment(), "PARSE_MASTER_KEY": dev_server.master_key}
    healthy = run("doctor", **variables)
    assert "Parse Server: 9.10" in healthy.stdout
    assert "VirgilCard: closed to clients" in healthy.stdout
    assert dev_server.master_key not in healthy.stdout + healthy.stderr
    (tmp_path / "models.py").write_text(
        "from encrypted_parse import Model, encrypted, only_me\n"
        "class Unguarded(Model):\n    text: str = encrypted(to=only_me())\n",
        "utf-8",
    )
    found = run("doctor", "models", "--json", status=1, **variables)
    [failed] = [one for one in json.loads(found.stdout) if one["level"] == "failed"]
    assert failed["what"] == "Unguarded.text"
    assert "plaintext is accepted" in failed["text"]
    refused = run("doctor", status=1, **{**variables, "PARSE_MASTER_KEY": "wrong"})
    assert "the master key is refused" in refused.stdout


def test_back4apps_own_server(
    run: Run, project: Path, dev_server: DevServer, tmp_path: Path
) -> None:
    """The same life of a release on Back4App's public server of the protocol."""
    checkout = os.environ.get("PARSE_CLI_SERVER")
    if checkout is None:
        pytest.skip("PARSE_CLI_SERVER names no checkout of back4app/parse-cli-server")
    node = find_node()
    install(node, SERVERS / "5.6")
    with postgres(dev_server) as uri:
        process = subprocess.Popen(
            [node.executable, SERVERS / "parse_cli_server.cjs"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        settings = {
            "checkout": checkout,
            "packages": str(SERVERS / "5.6"),
            "esbuild": str(SERVERS.parents[1] / "examples" / "chat" / "web"),
            "databaseUri": uri,
            "appId": APP,
            "masterKey": MASTER,
        }
        try:
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.flush()
            url = json.loads(process.stdout.readline())["url"]
            _live(run, project, url)
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def _live(run: Run, project: Path, url: str) -> None:
    def there(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        return run(*arguments, status=status, BACK4APP_DEPLOY_URL=url)

    assert "v1 runs" in there("deploy", "app", "--yes", "-m", "first").stdout
    there("diff", "app")
    first = contents(project)
    (project / "public").mkdir()
    (project / "public" / "index.html").write_text("<p>Grüße", "utf-8")
    (project / "cloud" / "main.js").write_text("// mine\n", "utf-8")
    assert "+// mine" in there("diff", "app", "--text", status=1).stdout
    assert "v2 runs" in there("deploy", "app", "--yes", "-m", "second").stdout
    (project / "public" / "index.html").write_text("<p>new", "utf-8")
    assert "-<p>Grüße" in there("diff", "app", "--text", status=1).stdout
    listed = json.loads(there("releases", "--json").stdout)
    assert [(one["name"], one["description"]) for one in listed] == [
        ("v1", "first"),
        ("v2", "second"),
    ]
    assert "v1 runs" in there("rollback", "--yes").stdout
    (project / "public" / "index.html").unlink()
    (project / "cloud" / "main.js").write_bytes(first["cloud/main.js"])
    there("diff", "app")
    assert "v2 runs" in there("rollback", "v2", "--yes").stdout
    wrong = run("releases", status=4, BACK4APP_DEPLOY_URL=url, PARSE_MASTER_KEY="wrong")
    assert "error:" in wrong.stderr


MODULE = json.dumps({"type": "module"})
LOAD = """
globalThis.Parse = { Cloud: new Proxy({}, { get: () => () => {} }), User: class {} };
globalThis.app = { use() {} };
await import(process.argv[2]);
console.log('loaded');
"""


def loads(file: Path) -> str:
    """Import a file as a server does, and return what Node says; `loaded` if it does."""
    attempt = file.parents[2] / "attempt.mjs"
    attempt.write_text(LOAD, "utf-8")
    settings = CompanionSecrets.generate().environment()
    del settings["VIRGIL_BRAINKEY_SECRET"]  # which needs a package of npm
    done = subprocess.run(
        [find_node().executable, attempt, file],
        capture_output=True,
        check=False,
        cwd=file.parents[2],
        encoding="utf-8",
        env={"PATH": os.environ["PATH"], **settings},
        timeout=60,
    )
    return done.stdout.strip() or done.stderr


def added(shown: str, name: str) -> str:
    """Return the lines that `cloud init` says are to be added to a file."""
    _, _, rest = shown.partition(f"add to cloud/{name}:\n\n")
    return rest.partition("\n\n")[0] + "\n"


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("kind", ["module", "commonjs", "none"])
def test_what_is_to_be_added_loads(run: Run, tmp_path: Path, kind: str, guarded: bool) -> None:
    """Own main.js and app.js with the printed lines load, whichever kind package.json says."""
    cloud = tmp_path / "my-app" / "cloud"
    cloud.mkdir(parents=True)
    if guarded:
        (cloud / "encrypted-fields.json").write_text('{"version": 1, "classes": {}}', "utf-8")
    if kind != "none":
        (cloud / "package.json").write_text(json.dumps({"type": kind}), "utf-8")
    (cloud / "hello.js").write_text(
        "export const hi = 1;\n" if kind == "module" else "exports.hi = 1;\n", "utf-8"
    )
    own = (
        "import { hi } from './hello.js';\n"
        if kind == "module"
        else "const { hi } = require('./hello.js');\n"
    )
    for name in ("main.js", "app.js"):
        (cloud / name).write_text(f"{own}void hi;\n", "utf-8")
    said = run("init", "my-app").stderr
    for name in ("main.js", "app.js"):
        lines = added(said, name)
        assert ("installGuard" in lines) == (guarded and name == "main.js")
        (cloud / name).write_text(f"{own}{lines}void hi;\n", "utf-8")
        assert loads(cloud / name) == "loaded"


@pytest.mark.parametrize("place", ["cloud", "above", "above, nothing of theirs", "changed later"])
def test_what_is_written_loads(run: Run, tmp_path: Path, place: str) -> None:
    """main.js and app.js are of the kind that Node takes them for, and so are files of theirs."""
    cloud = tmp_path / "my-app" / "cloud"
    cloud.mkdir(parents=True)
    if place == "changed later":
        run("init", "my-app")
        (cloud / "package.json").write_text(MODULE, "utf-8")
    elif place == "cloud":
        (cloud / "package.json").write_text(MODULE, "utf-8")
    else:
        (tmp_path / "my-app" / "package.json").write_text(MODULE, "utf-8")
    theirs = cloud / "theirs.js"
    if "nothing" not in place:
        theirs.write_text("export const theirs = 1;\n", "utf-8")
    run("init", "my-app")
    (cloud / "encrypted-fields.json").write_text('{"version": 1, "classes": {}}', "utf-8")
    for path in (cloud / "main.js", cloud / "app.js", *([theirs] * theirs.exists())):
        assert loads(path) == "loaded"
    assert "everything is there already" in run("init", "my-app").stdout


def test_a_package_file_that_nobody_can_read(run: Run, tmp_path: Path) -> None:
    """Nothing is written beside a package.json that Node would refuse."""
    cloud = tmp_path / "my-app" / "cloud"
    cloud.mkdir(parents=True)
    for content in ("{", "[]", "\xff"):
        (cloud / "package.json").write_text(content, "latin-1")
        refused = run("init", "my-app", status=1)
        assert "package.json cannot be read" in refused.stderr
        assert [path.name for path in cloud.iterdir()] == ["package.json"]
