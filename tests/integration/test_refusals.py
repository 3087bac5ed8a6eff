"""What Parse Server itself refuses keeps its hint: the real texts are those that hints know."""

from __future__ import annotations

import json

import pytest

from encrypted_parse import EncryptedClient, MemoryKeystore, Model
from encrypted_parse.devserver import DevServer
from encrypted_parse.errors import (
    FunctionFailedError,
    IncorrectTypeError,
    ObjectNotFoundError,
    ParseServerError,
    PermissionDeniedError,
    SessionExpiredError,
    WrongLoginError,
)
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.user_client import UserClient


class RefusalNote(Model):
    """A class that takes no new columns."""

    title: str


class RefusalNoteGrown(Model, parse_class="RefusalNote"):
    """The same class with a column that it lacks."""

    title: str
    subtitle: str


def _operator(server: DevServer, master_key: str) -> ParseClient:
    app = ParseApp(server.url, server.application_id, server.rest_api_key, master_key=master_key)
    return ParseClient(app, EncryptedClient.from_env(server.environment())._transport)


@pytest.fixture
def ann(dev_server: DevServer) -> UserClient:
    """A user of the real server, without keys."""
    app = EncryptedClient.from_env(dev_server.environment(), keystore=MemoryKeystore())
    try:
        return app.log_in("refused", "a password")
    except WrongLoginError:
        return app.sign_up("refused", "a password")


def _hint(caught: pytest.ExceptionInfo[ParseServerError]) -> str:
    return str(caught.value.hint)


def test_a_wrong_password_is_told(dev_server: DevServer) -> None:
    """The real answer to a wrong log-in has the class of its own."""
    app = EncryptedClient.from_env(dev_server.environment(), keystore=MemoryKeystore())
    with pytest.raises(WrongLoginError):
        app.log_in("nobody-of-that-name", "wrong")


def test_a_wrong_master_key_is_told(dev_server: DevServer) -> None:
    """The real answer to another master key is about the key, not about permissions."""
    with pytest.raises(PermissionDeniedError) as caught:
        _operator(dev_server, "sesame").call("GET", "schemas")
    assert "PARSE_MASTER_KEY" in _hint(caught)


def test_a_column_that_may_not_be_added_is_named(ann: UserClient, dev_server: DevServer) -> None:
    """Also where the server says "Permission denied" and no more."""
    ann.save(RefusalNote(title="a"))
    schema = {
        "classLevelPermissions": {
            **{name: {"*": True} for name in ("find", "get", "count", "create", "update")},
            "addField": {},
        }
    }
    _operator(dev_server, dev_server.master_key).call(
        "PUT",
        "schemas/RefusalNote",
        content=json.dumps(schema).encode(),
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises(PermissionDeniedError) as caught:
        ann.save(RefusalNoteGrown(title="a", subtitle="b"))
    assert "subtitle" in _hint(caught)
    [outcome] = ann.save_all([RefusalNoteGrown(title="a", subtitle="b")])
    assert outcome.error is not None
    assert "subtitle" in str(outcome.error.hint)


def test_what_is_missing_or_unknown_keeps_its_hint(ann: UserClient) -> None:
    """Rows, types, functions and sessions: the server's own texts are known as such."""
    with pytest.raises(ObjectNotFoundError) as missing:
        ann.get(RefusalNote, "nonsense12")
    assert "hides it" in _hint(missing)
    with pytest.raises(FunctionFailedError) as unknown:
        ann.parse.call_function("nobody-wrote-it")
    assert "deployed" in _hint(unknown)
    ann.save(RefusalNote(title="a"))
    with pytest.raises(IncorrectTypeError) as wrong:
        ann.parse.create("RefusalNote", {"title": 7})
    assert "column's type" in _hint(wrong)
    with pytest.raises(SessionExpiredError) as ended:
        ann.parse.with_session("r:nonsense").become("r:nonsense")
    assert _hint(ended) == "log in again"
