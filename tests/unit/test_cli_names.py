"""Users on the command line: by ids, by names where the app finds them, and never by a guess."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path

import pytest

from encrypted_parse.cli.entry import main
from encrypted_parse.cli.who import user_id_of
from encrypted_parse.errors import ConfigurationError, FunctionFailedError, ObjectNotFoundError
from encrypted_parse.testing import InMemoryApp


class World:
    """Alice at the command line of an app that lets users be found, and Bob."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.app = InMemoryApp()
        self.app.parse.finds_users = True
        self.alice, self.bob = self.app.make_user("alice"), self.app.make_user("bob")
        self.folder = folder
        (folder / "letter").write_text("hello")
        self._patch = monkeypatch
        for module in ("files", "people"):
            monkeypatch.setattr(f"encrypted_parse.cli.{module}.log_in", lambda *_: self.alice)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
        monkeypatch.setattr(logging, "basicConfig", lambda **_: None)

    def run(self, *arguments: str) -> int:
        """Run a command, and return its status."""
        self._patch.setattr(sys, "argv", ["encrypted-parse", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    def encrypt(self, *to: str) -> int:
        """Encrypt the letter for users."""
        options = [word for one in to for word in ("--to", one)]
        target = str(self.folder / "letter.enc")
        return self.run("encrypt", str(self.folder / "letter"), *options, "-o", target)

    def opens(self) -> bool:
        """Say whether Bob can open the letter."""
        card = self.bob.e3kit.find_users(self.alice.user_id)
        self.bob.e3kit.auth_decrypt_file(self.folder / "letter.enc", self.folder / "copy", card)
        return (self.folder / "copy").read_text() == "hello"

    def name_a_card(self, user_id: str) -> None:
        """Let an app of object ids of its own have a user *user_id*, with a card."""
        rows = self.app.parse._storage.classes["_User"]
        carol = self.app.make_user("carol", registered=False)
        rights = {user_id: {"read": True, "write": True}}
        rows[user_id] = {**rows.pop(carol.user_id), "objectId": user_id, "ACL": rights}
        self.app.parse._sessions[carol.session_token] = user_id
        self.app.client().become(carol.session_token, expect_user_id=user_id).register()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Return two registered users."""
    return World(monkeypatch, tmp_path)


@pytest.mark.parametrize("form", ["{name}", "name:{name}", "{id}", "id:{id}"])
def test_a_letter_for_bob(world: World, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """`--to bob`: who that is, the command says beside its output."""
    assert world.encrypt(form.format(name="bob", id=world.bob.user_id)) == 0
    assert world.opens()
    said = capsys.readouterr().err
    assert (f"note: 'bob' is the user {world.bob.user_id}" in said) is ("name" in form)


def test_the_other_commands(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """`--from`, `--known`, whois, fingerprint and verify-user take names as well."""
    letter = str(world.folder / "letter.enc")
    sealed = world.bob.e3kit.auth_encrypt(b"hello", world.bob.e3kit.find_users(world.alice.user_id))
    Path(letter).write_bytes(sealed)
    copy = str(world.folder / "copy")
    assert world.run("decrypt", letter, "--from", "bob", "-o", copy) == 0
    assert Path(copy).read_text() == "hello"
    capsys.readouterr()
    assert world.run("inspect", letter, "--known", "bob", "--json") == 0
    assert world.bob.user_id in json.loads(capsys.readouterr().out)["recipients"]
    assert world.run("whois", "bob", world.alice.user_id, "--json") == 0
    found = [one["user_id"] for one in json.loads(capsys.readouterr().out)["users"]]
    assert found == [world.bob.user_id, world.alice.user_id]
    assert world.run("fingerprint", "bob") == 0
    number = world.alice.e3kit.safety_number(world.bob.user_id)
    assert world.run("verify-user", "bob", "--compare", number.digits) == 1  # it would be forgotten
    assert world.run("verify-user", "bob", "--no-qr") == 0
    assert number.digits in "".join(capsys.readouterr().out.split())


def test_base64_in_lines(world: World) -> None:
    """What `base64` writes of a message is a message."""
    card = world.bob.e3kit.find_users(world.alice.user_id)
    sealed = world.bob.e3kit.auth_encrypt("hello", card)
    lines = world.folder / "lines"
    lines.write_text("\n  " + "\r\n".join(sealed[at : at + 76] for at in range(0, len(sealed), 76)))
    copy = world.folder / "copy"
    sender = world.bob.user_id
    assert world.run("decrypt", str(lines), "--text", "--from", sender, "-o", str(copy)) == 0
    assert copy.read_text() == "hello"
    assert world.run("inspect", str(lines)) == 0


def test_who_is_nobody(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written, and the hint says what to do; ten letters and digits are an id."""
    assert world.encrypt("nobody") != 0
    said = capsys.readouterr().err
    assert "there is no user 'nobody'" in said
    assert "docs/companion.md" in said
    world.app.make_user("elizabeth1")
    before = sum(request.url.endswith("find-users") for request in world.app.requests)
    assert world.encrypt("elizabeth1") != 0
    assert before == sum(request.url.endswith("find-users") for request in world.app.requests)
    assert not (world.folder / "letter.enc").exists()
    assert world.encrypt("name:elizabeth1") == 0


def test_a_closed_app(world: World) -> None:
    """By default a name of somebody else is nobody's; a companion that is older is named."""
    world.app.parse.finds_users = False
    with pytest.raises(ObjectNotFoundError):
        user_id_of(world.alice, "bob")
    assert user_id_of(world.alice, "alice") == world.alice.user_id
    del world.app.parse.functions["find-users"]
    with pytest.raises(FunctionFailedError):
        user_id_of(world.alice, "bob")


def test_an_app_with_ids_of_its_own(world: World) -> None:
    """An id that is no name is an id, also where nobody can be asked for names."""
    world.name_a_card("carol@example.org")
    assert user_id_of(world.alice, "carol@example.org") == "carol@example.org"
    del world.app.parse.functions["find-users"]
    assert user_id_of(world.alice, "carol@example.org") == "carol@example.org"


def test_a_name_that_is_another_users_id(world: World) -> None:
    """Who takes Bob's name as an id, or an id as a name, gets nothing: one has to say which."""
    world.name_a_card("bob")
    with pytest.raises(ConfigurationError, match="is the name of the user") as caught:
        user_id_of(world.alice, "bob")
    assert "name:bob or id:bob" in str(caught.value.hint)
    assert user_id_of(world.alice, "name:bob") == world.bob.user_id
    assert user_id_of(world.alice, "id:bob") == "bob"


def test_names_of_other_letters(world: World) -> None:
    """What cannot be an id is a name alone, and no directory is asked for it."""
    juergen = world.app.make_user("Jürgen")
    searches = sum("search" in request.url for request in world.app.requests)
    assert user_id_of(world.alice, "Jürgen") == juergen.user_id
    assert searches == sum("search" in request.url for request in world.app.requests)
