"""verify-user, where nothing is remembered."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import pytest

from encrypted_parse import UserClient
from encrypted_parse.cli.entry import main
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.trust import SqliteTrustStore, TrustStore


@pytest.fixture(autouse=True)
def own_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give back what `main` changes for its process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)


class Commands:
    """Runs commands as alice, who knows bob."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, trust: TrustStore | None) -> None:
        app = InMemoryApp()
        self.alice: UserClient = app.make_user("alice", trust_store=trust)
        self.bob = app.make_user("bob")
        self._patch = monkeypatch
        monkeypatch.setattr("encrypted_parse.cli.people.log_in", lambda *_: self.alice)

    def run(self, *arguments: str) -> int:
        """Run one, and return its status."""
        self._patch.setattr(sys, "argv", ["encrypted-parse", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)


@pytest.mark.parametrize("option", ["--compare", "--accept"])
def test_nothing_is_verified_where_nothing_is_remembered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """With keys from the environment and no trust file: an error with the step, no `verified`."""
    commands = Commands(monkeypatch, None)
    number = commands.alice.e3kit.safety_number(commands.bob.user_id)
    arguments = [option, number.digits] if option == "--compare" else [option]
    assert commands.run("verify-user", commands.bob.user_id, *arguments) == 1
    shown = capsys.readouterr()
    assert "verified" not in shown.out
    assert "accepted" not in shown.out
    assert "forgotten" in shown.err
    assert "hint: set ENCRYPTED_PARSE_TRUST" in shown.err
    assert commands.alice.e3kit.trust_of(commands.bob.user_id).value == "seen"


def test_the_number_shows_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two people can still compare; nobody is asked to say yes to what would be forgotten."""
    commands = Commands(monkeypatch, None)
    number = commands.alice.e3kit.safety_number(commands.bob.user_id)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert commands.run("verify-user", commands.bob.user_id, "--no-qr") == 0
    shown = capsys.readouterr()
    assert number.digits in shown.out.replace(" ", "").replace("\n", "")
    assert "cannot be remembered here" in shown.err
    assert commands.alice.e3kit.trust_of(commands.bob.user_id).value == "seen"


def test_with_a_file_it_is_remembered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same commands with a trust file: verified, and still so for the next program."""
    commands = Commands(monkeypatch, SqliteTrustStore(tmp_path / "trust.sqlite"))
    number = commands.alice.e3kit.safety_number(commands.bob.user_id)
    assert not commands.alice.e3kit.forgets_keys
    assert commands.run("verify-user", commands.bob.user_id, "--compare", number.digits) == 0
    assert "verified" in capsys.readouterr().out
    assert commands.alice.e3kit.trust_of(commands.bob.user_id).value == "verified"
