"""README.md and docs keep their word: every ```python block runs against a real server.

They find the server through the environment, as `EncryptedClient.from_env()` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
import runnable_docs

import encrypted_parse
from encrypted_parse import EncryptedClient, MemoryKeystore, Model, acl_readers, encrypted


class ServerInfo(Protocol):
    """What the fixture `dev_server` of tests/conftest.py gives."""

    url: str
    application_id: str
    rest_api_key: str
    directory_url: str
    service_public_key: str


class Message(Model):
    """What docs/keys.md takes for granted."""

    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


@pytest.fixture
def server_in_environment(
    dev_server: ServerInfo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> ServerInfo:
    """Give the examples the server by its variables, and a home of their own."""
    for name, value in {
        "PARSE_SERVER_URL": dev_server.url,
        "PARSE_APPLICATION_ID": dev_server.application_id,
        "PARSE_REST_API_KEY": dev_server.rest_api_key,
        "VIRGIL_API_URL": dev_server.directory_url,
        "VIRGIL_SERVICE_PUBLIC_KEY": dev_server.service_public_key,
        "ENCRYPTED_PARSE_KEYSTORE": str(tmp_path / "keys"),
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return dev_server


def test_the_readme_runs(
    server_in_environment: ServerInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed one after the other, the examples work on a real Parse Server."""
    runnable_docs.run(runnable_docs.DOCS / "README.md", {}, monkeypatch)


def test_the_life_of_a_key_runs(
    server_in_environment: ServerInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/keys.md: rotation, backup, reseal, safety numbers, a group's rule."""
    app = EncryptedClient.from_env(keystore=MemoryKeystore())
    names = {name: app.sign_up(f"{name} of the docs", "password") for name in ("alice", "bob")}
    for user in names.values():
        user.register()
    offered = {name: getattr(encrypted_parse, name) for name in encrypted_parse.__all__}
    password = "correct horse battery staple"
    names["alice"].e3kit.backup_private_key(password)
    given = {**offered, **names, "Message": Message, "password": password}
    after = runnable_docs.run(runnable_docs.DOCS / "docs" / "keys.md", given, monkeypatch)
    alice, bob = names["alice"], names["bob"]
    assert alice.e3kit.trust_of(bob.user_id).value == "verified"
    assert after["Note"].__name__ == "Note"


GUIDE = sorted(
    path for path in (runnable_docs.DOCS / "docs" / "guide").glob("*.md") if path.stem != "README"
)


@pytest.mark.parametrize("chapter", GUIDE, ids=lambda path: path.stem)
def test_the_guide_runs(
    server_in_environment: ServerInfo, monkeypatch: pytest.MonkeyPatch, chapter: Path
) -> None:
    """Each chapter by itself, with three registered users."""
    app = EncryptedClient.from_env(keystore=MemoryKeystore())
    users = {
        name: app.sign_up(f"{name} of {chapter.stem}", "password")
        for name in ("alice", "bob", "carol")
    }
    for user in users.values():
        user.register()
    runnable_docs.run(chapter, users, monkeypatch)


def test_the_guide_lists_its_chapters() -> None:
    """A chapter that the list leaves out would not be found."""
    listed = (runnable_docs.DOCS / "docs" / "guide" / "README.md").read_text("utf-8")
    for chapter in GUIDE:
        assert f"({chapter.name})" in listed, chapter.name
