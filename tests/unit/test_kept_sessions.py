"""`login`, `logout` and what commands do with a session, on an app in memory."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path

import pytest

from encrypted_parse import EncryptedClient, FileKeystore
from encrypted_parse.cli.entry import main
from encrypted_parse.cli.outcome import Status
from encrypted_parse.errors import ConnectionFailedError
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse

PASSWORD = "password of alice"
OTHER_SERVER = "https://other.example/parse"


class Terminal:
    """Runs commands, one process after the other in all but name, with one keystore of files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.app = InMemoryApp()
        self.keystore = folder / "keys"
        self.settings: dict[str, str] = {}
        self._patch = monkeypatch
        monkeypatch.setattr(
            EncryptedClient, "from_env", classmethod(lambda *_, **__: self.client())
        )

    def client(self) -> EncryptedClient:
        """Return what `from_env` would."""
        application_id = self.app.client().parse.app.application_id
        return self.app.client(
            keystore=FileKeystore(self.keystore, application_id), **self.settings
        )

    def run(self, *arguments: str, password: str | None = None) -> int:
        """Run a command, with a password on a descriptor if there is one; return its status."""
        if password is not None:
            reading, writing = os.pipe()
            os.write(writing, password.encode())
            os.close(writing)
            arguments = (*arguments, "--password-fd", str(reading))
        self._patch.setattr(sys, "argv", ["encrypted-parse", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    def sent(self, end: str) -> list[HttpRequest]:
        """Return the requests to addresses that end so."""
        return [one for one in self.app.requests if one.url.endswith(end)]

    @property
    def file(self) -> Path | None:
        """The kept session."""
        return next(self.keystore.rglob("session.key"), None)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    """A machine without keys, and the users alice and bob."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    for name in ("PARSE_SESSION_TOKEN", "ENCRYPTED_PARSE_USER", "ENCRYPTED_PARSE_USER_ID"):
        monkeypatch.delenv(name, raising=False)
    made = Terminal(monkeypatch, tmp_path)
    made.app.make_user("alice", registered=False)
    made.app.make_user("bob", registered=False)
    made.app.requests.clear()
    return made


def test_one_session_for_many_commands(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    """After `login` nothing asks for a password, and the server has one session more."""
    assert terminal.run("login", "--user", "alice", password=PASSWORD) == 0
    for arguments in (["register"], ["whoami"], ["doctor"], ["whoami", "--user", "alice"]):
        assert terminal.run(*arguments) in {Status.DONE, Status.FAILED}
    assert "alice" in capsys.readouterr().out
    assert len(terminal.sent("/login")) == 1
    assert terminal.sent("/logout") == []
    assert terminal.run("logout") == 0
    assert len(terminal.sent("/logout")) == 1
    assert terminal.file is None
    assert terminal.run("whoami") == Status.FAILED


def test_a_command_with_a_password_ends_its_session(terminal: Terminal) -> None:
    """As many log-outs as log-ins, also after an error; the kept session is not touched."""
    terminal.run("login", "--user", "alice", password=PASSWORD)
    for arguments in (["whoami"], ["whois", "nobody"], ["doctor"]):
        terminal.run(*arguments, "--user", "bob", password="password of bob")
    tokens = [request.headers["X-Parse-Session-Token"] for request in terminal.sent("/logout")]
    assert len(terminal.sent("/login")) == 4
    assert len(set(tokens)) == 3
    assert terminal.run("whoami") == 0


def test_a_second_log_in_ends_the_first(terminal: Terminal) -> None:
    """There is one kept session, and no forgotten one."""
    terminal.run("login", "--user", "alice", password=PASSWORD)
    terminal.run("login", "--user", "bob", password="password of bob")
    assert len(terminal.sent("/logout")) == 1
    assert terminal.run("whoami", "--user", "bob") == 0
    assert terminal.run("sign-up", "--user", "carol", password="password of carol") == 0
    assert len(terminal.sent("/logout")) == 2
    assert terminal.run("whoami", "--user", "carol") == 0


def test_the_token_goes_to_its_own_server(terminal: Terminal) -> None:
    """Under another address of the same app nobody is logged in, and nothing is sent."""
    terminal.run("login", "--user", "alice", password=PASSWORD)
    terminal.app.requests.clear()
    terminal.settings["server_url"] = OTHER_SERVER
    assert terminal.run("whoami") == Status.FAILED
    assert terminal.run("logout") == 0
    assert terminal.app.requests == []
    del terminal.settings["server_url"]
    assert terminal.run("whoami") == 0


def test_another_user_in_the_answer_is_refused(terminal: Terminal) -> None:
    """The kept session knows its user: a server cannot make it somebody else's."""
    terminal.run("login", "--user", "alice", password=PASSWORD)

    def lie(request: HttpRequest) -> HttpResponse | None:
        if not request.url.endswith("users/me"):
            return None
        answer = {"objectId": "mallory000", "username": "alice"}
        return HttpResponse(200, {}, json.dumps(answer).encode())

    terminal.app.before = lie
    assert terminal.run("whoami") == Status.REFUSED


def test_a_session_that_is_over(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how to begin a new one; a log-out goes well; a log-in replaces it."""
    terminal.run("login", "--user", "alice", password=PASSWORD)
    kept = FileKeystore(terminal.keystore, terminal.client().parse.app.application_id)
    session = kept.find_session()
    assert session is not None
    terminal.client().parse.with_session(session.session_token).log_out()
    assert terminal.run("whoami") == Status.REFUSED
    assert "hint: log in again: `encrypted-parse login`" in capsys.readouterr().err
    assert terminal.run("login", "--user", "alice", password=PASSWORD) == 0
    assert terminal.run("whoami") == 0


def test_a_log_out_that_nobody_heard(terminal: Terminal) -> None:
    """If the server cannot be reached the session is kept, to be ended later."""
    terminal.run("login", "--user", "alice", password=PASSWORD)

    def nobody(_: HttpRequest) -> None:
        raise ConnectionFailedError("nobody answers")

    terminal.app.before = nobody
    assert terminal.run("logout") == Status.NETWORK
    assert terminal.file is not None
    terminal.app.before = lambda _: None
    assert terminal.run("logout") == 0
    assert terminal.file is None


def test_a_damaged_session(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """It is an error with the next step, and the next log-in replaces it."""
    terminal.run("login", "--user", "alice", password=PASSWORD)
    assert terminal.file is not None
    terminal.file.write_bytes(b"{}")
    assert terminal.run("whoami") == Status.FAILED
    assert "log in again" in capsys.readouterr().err
    assert terminal.run("login", "--user", "alice", password=PASSWORD) == 0
    assert terminal.run("whoami") == 0
