"""From a name to a user id: what Parse lets be found, and what an app opens."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest
from servers.matrix import NEWEST, app_settings, postgres, run_server

from encrypted_parse import EncryptedClient, MemoryKeystore, UserClient
from encrypted_parse.devserver import DevServer
from encrypted_parse.errors import (
    FunctionFailedError,
    InvalidValueError,
    ObjectNotFoundError,
    ParseServerError,
    SessionExpiredError,
)
from encrypted_parse.testing import InMemoryApp


@pytest.fixture(scope="module")
def open_server(dev_server: DevServer) -> Iterator[EncryptedClient]:
    """An app on a real server whose owner lets users be found by their exact names."""
    settings = app_settings(None)
    settings["virgil"]["ENCRYPTED_PARSE_FIND_USERS"] = "exact"
    with postgres(dev_server) as uri, run_server(NEWEST, uri, settings) as server:
        yield EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())


@pytest.fixture(params=["in memory", "real"])
def open_user(request: pytest.FixtureRequest) -> Callable[[str], UserClient]:
    """Return what makes users whom everybody finds: in memory, then on the real server."""
    if request.param == "in memory":
        memory = InMemoryApp()
        memory.parse.finds_users = True
        return memory.make_user
    app: EncryptedClient = request.getfixturevalue("open_server")

    def make(name: str) -> UserClient:
        user = app.sign_up(name, "a password")
        user.register()
        return user

    return make


def names(*stems: str) -> list[str]:
    """Return names that no other test has."""
    run = secrets.token_hex(6)
    return [f"{stem} {run}" for stem in stems]


def test_by_default_users_are_hidden_from_each_other(any_user: Callable[..., UserClient]) -> None:
    """As Parse hides their rows: everybody finds themselves, others look like nobody."""
    ann, ben = any_user(), any_user()
    assert ann.user(ann.username) == ann.user_id
    for name in (ben.username, "nobody " + ben.username):
        with pytest.raises(ObjectNotFoundError, match="or none that you may find") as caught:
            ann.user(name)
        assert "find-users" in str(caught.value.hint)
    ben.parse.update("_User", ben.user_id, {"ACL": {"*": {"read": True}}})
    assert ann.user(ben.username) == ben.user_id


def test_an_app_can_open_exact_names(open_user: Callable[[str], UserClient]) -> None:
    """The whole name in its case, whatever is in it; and the id goes wherever ids go."""
    odd, ann_name, ben_name = names("Zoë $ne .* ' \" \\ %", "ann", "Ben")
    ann, ben, zoe = open_user(ann_name), open_user(ben_name), open_user(odd)
    assert ann.user(ben_name) == ben.user_id
    assert ann.user(odd) == zoe.user_id
    for name in (ben_name.lower(), ben_name[:-1], ben_name + " ", ".*", "%", ben_name.upper()):
        with pytest.raises(ObjectNotFoundError):
            ann.user(name)
    sealed = ann.e3kit.auth_encrypt("hello", ann.e3kit.find_users(ann.user(ben_name)))
    assert ben.e3kit.auth_decrypt(sealed, ben.e3kit.find_users(ann.user_id)) == "hello"


def test_nothing_but_ids_for_who_is_logged_in(open_user: Callable[[str], UserClient]) -> None:
    """An open app tells ids alone, 20 names a call, and nothing without a session."""
    ann_name, ben_name = names("ann", "ben")
    ann, ben = open_user(ann_name), open_user(ben_name)
    answer = ann.parse.call_function("find-users", {"names": [ben_name, "nobody"]})
    assert answer == {"users": {ben_name: ben.user_id}}
    with pytest.raises(ParseServerError) as caught:
        ann.parse.call_function("find-users", {"names": [str(number) for number in range(21)]})
    assert caught.value.code == 142
    with pytest.raises(SessionExpiredError):
        ann.parse.with_session(None).call_function("find-users", {"names": [ben_name]})
    with pytest.raises(ObjectNotFoundError):
        ann.parse.get("_User", ben.user_id)


def test_what_is_no_name(memory_app: InMemoryApp) -> None:
    """Nothing is asked for what no name is; a companion that is older is named."""
    ann = memory_app.make_user()
    wrong: list[object] = ["", "x" * 257, None, 5, ["ann"]]
    before = len(memory_app.requests)
    for name in wrong:
        with pytest.raises(InvalidValueError):
            ann.user(name)  # type: ignore[arg-type]
    assert len(memory_app.requests) == before
    del memory_app.parse.functions["find-users"]
    with pytest.raises(FunctionFailedError) as caught:
        ann.user("ben")
    assert "deploy the present cloud code" in str(caught.value.hint)
