"""A server that answers a log-in, a token or a sign-up with another user than the one who asks."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_keyring import FakeKeyring
from parse_rest.connection import SessionToken
from parse_rest.user import User

from encrypted_parse import EncryptedClient, FileKeystore, MemoryKeystore, Model, encrypted, only_me
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import new_card
from encrypted_parse.envelope import from_text
from encrypted_parse.errors import (
    KeystoreFileError,
    KeystoreReadOnlyError,
    MalformedResponseError,
    TokenError,
    UnexpectedUserIdError,
    UntrustedKeyError,
    WeakPasswordError,
)
from encrypted_parse.integrations.parse_rest import connect, current_user
from encrypted_parse.keystore import EnvironmentKeystore, KeyringKeystore, Keystore, StoredKey
from encrypted_parse.testing import InMemoryApp, parse_server, virgil
from encrypted_parse.transport import HttpRequest, HttpResponse
from encrypted_parse.trust import KeyChangedWarning, Logins, MemoryTrustStore, SqliteTrustStore


class Diary(Model):
    """Something that only its author reads."""

    text: str = encrypted(to=only_me())


def answering(path: str, user_id: str, name: str = "") -> Callable[..., HttpResponse]:
    """Return a lie: what asks at *path* (in the name of *name*) is told that it is *user_id*."""

    def lie(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.url.endswith(path) and name.encode() in (request.body or b""):
            told = {**answer.json(), "objectId": user_id}
            return HttpResponse(answer.status, answer.headers, json.dumps(told).encode())
        return answer

    return lie


@pytest.fixture
def app() -> InMemoryApp:
    """A server that is honest until it is told to lie."""
    return InMemoryApp()


@pytest.fixture
def shared(app: InMemoryApp) -> EncryptedClient:
    """One process with bob's and mallory's keys in one keystore: a service for many users."""
    client = app.client(keystore=MemoryKeystore())
    client.sign_up("bob", "bob's password").register()
    client.sign_up("mallory", "mallory's password").register()
    return client


def id_of(app: InMemoryApp, name: str) -> str:
    """Return a user's true id."""
    [found] = [row["objectId"] for row in app.parse.rows("_User") if row["username"] == name]
    return str(found)


def test_the_control(app: InMemoryApp, shared: EncryptedClient) -> None:
    """Users of one process log in again and again, each as who they are."""
    for _ in range(2):
        for name in ("bob", "mallory"):
            user = shared.log_in(name, f"{name}'s password")
            assert user.user_id == id_of(app, name)
            user.save(Diary(text=f"by {name}"))
            again = shared.become(user.session_token, expect_user_id=user.user_id)
            assert [entry.text for entry in again.query(Diary)][-1] == f"by {name}"


def test_a_log_in_is_not_answered_with_another_users_keys(
    app: InMemoryApp, shared: EncryptedClient
) -> None:
    """Mallory's log-in is answered with bob's id: no session, whose keys would be bob's."""
    app.after = answering("/login", id_of(app, "bob"), "mallory")
    with pytest.raises(UnexpectedUserIdError) as caught:
        shared.log_in("mallory", "mallory's password")
    assert caught.value.user_id == id_of(app, "bob")
    assert caught.value.known == id_of(app, "mallory")


def test_a_name_that_is_new_here_does_not_get_them_either(
    app: InMemoryApp, shared: EncryptedClient
) -> None:
    """A user who never logged in here is answered with the id of one who did."""
    app.make_user("eve")
    app.after = answering("/login", id_of(app, "bob"), "eve")
    with pytest.raises(UnexpectedUserIdError, match="'bob'"):
        shared.log_in("eve", "password of eve")


def test_a_new_user_does_not_either(app: InMemoryApp, shared: EncryptedClient) -> None:
    """A sign-up is answered with the id of a user who is known here, or whose keys are."""
    app.after = answering("/users", id_of(app, "bob"))
    with pytest.raises(UnexpectedUserIdError):
        shared.sign_up("eve", "eve's password")
    shared.log_in("bob", "bob's password").e3kit.cleanup()  # the name alone is known then
    with pytest.raises(UnexpectedUserIdError):
        shared.sign_up("eva", "eva's password")
    keys = MemoryKeystore()
    keys.save(StoredKey("u1", PrivateKey.generate()))
    app.after = answering("/users", "u1")
    with pytest.raises(UnexpectedUserIdError):
        app.client(keystore=keys).sign_up("mike", "mike's password")


def test_keys_that_no_name_is_tied_to_stay_closed(app: InMemoryApp) -> None:
    """Keys of several users from the environment, and a server that chooses among them."""
    bob, carol = app.make_user("bob"), app.make_user("carol")
    text = " ".join(f"{user.user_id}:{user.e3kit._own_key().to_base64()}" for user in (bob, carol))
    for keystore in (EnvironmentKeystore(text),):
        client = app.client(keystore=keystore)
        with pytest.raises(UnexpectedUserIdError):
            client.log_in("bob", "password of bob")
        with pytest.raises(UnexpectedUserIdError):
            client.become(bob.session_token)
        session = client.log_in("bob", "password of bob", expect_user_id=bob.user_id)
        session.e3kit.auth_encrypt("works")
        client.log_in("bob", "password of bob")  # remembered by now
        client.become(carol.session_token, expect_user_id=carol.user_id)
    alone = EnvironmentKeystore(text.split()[0])
    app.client(keystore=alone).log_in("bob", "password of bob")
    app.client(keystore=alone).become(bob.session_token)
    with pytest.raises(UnexpectedUserIdError):
        app.client(keystore=alone).become(carol.session_token)


def test_a_token_does_not_choose_the_key(app: InMemoryApp, shared: EncryptedClient) -> None:
    """`become` of mallory's token, answered with bob's id; and an expected id that is another."""
    mallory = shared.log_in("mallory", "mallory's password")
    app.after = answering("/users/me", id_of(app, "bob"))
    for expected in (None, mallory.user_id):
        with pytest.raises(UnexpectedUserIdError):
            shared.become(mallory.session_token, expect_user_id=expected)
    # With an honest answer the service has to say whom it expects all the same.
    del app.after
    app.after = lambda _, answer: answer
    with pytest.raises(UnexpectedUserIdError):
        shared.become(mallory.session_token)
    shared.become(mallory.session_token, expect_user_id=mallory.user_id)


def test_an_id_of_nobody_does_not_forget_the_pins(app: InMemoryApp, tmp_path: Path) -> None:
    """Alice's log-in is answered with a fresh id, whose memory of keys would be empty."""

    def process() -> EncryptedClient:
        return app.client(keystore=FileKeystore(tmp_path, parse_server.APPLICATION_ID))

    bob = app.make_user("bob")
    alice = process().sign_up("alice", "pw")
    alice.register()
    alice.e3kit.mark_verified(bob.user_id, bob.e3kit.safety_number(alice.user_id))
    fresh = "A" + alice.user_id[1:]
    app.after = answering("/login", fresh)
    app.parse.functions["virgil-jwt"] = lambda _user, _: {"token": virgil.token(fresh)}
    with pytest.raises(UnexpectedUserIdError):
        process().log_in("alice", "pw")
    app.after = answering("/users/me", fresh)
    with pytest.raises(UnexpectedUserIdError):
        process().become(alice.session_token)
    # As who she is, alice still notices another key of bob's.
    app.after = lambda _, answer: answer
    app.parse.functions["virgil-jwt"] = lambda user, _: {"token": virgil.token(user or "")}
    lie = new_card(bob.user_id, PrivateKey.generate(), dt.datetime.now(dt.UTC))
    app.service.lies[alice.user_id, bob.user_id] = [app.service.countersign(lie)]
    again = process().log_in("alice", "pw").e3kit
    with pytest.warns(KeyChangedWarning):
        cards = again.find_users([bob.user_id])
    with pytest.raises(UntrustedKeyError):
        again.auth_encrypt("only for bob", cards.values())


def test_a_person_may_accept_a_change(app: InMemoryApp, tmp_path: Path) -> None:
    """A name that is another user's now; a user with another name: once, by the id."""

    def process() -> EncryptedClient:
        return app.client(keystore=FileKeystore(tmp_path, parse_server.APPLICATION_ID))

    bob = process().sign_up("bob", "pw")
    app.parse.change("_User", bob.user_id, username="robert")
    with pytest.raises(UnexpectedUserIdError, match="'bob'") as caught:
        process().log_in("robert", "pw")
    assert "expect_user_id=" in str(caught.value.hint)
    with pytest.raises(UnexpectedUserIdError):
        process().log_in("robert", "pw", expect_user_id="another")
    assert process().log_in("robert", "pw", expect_user_id=bob.user_id).user_id == bob.user_id
    process().log_in("robert", "pw")
    other = app.client().sign_up("bob", "pw2")  # elsewhere, by somebody else
    with pytest.raises(UnexpectedUserIdError):
        process().log_in("bob", "pw2")
    assert process().log_in("bob", "pw2", expect_user_id=other.user_id).user_id == other.user_id
    process().log_in("bob", "pw2")
    process().log_in("robert", "pw")


def test_apps_on_one_machine_do_not_mix() -> None:
    """The same name in two apps is two users."""
    store, keystore = MemoryTrustStore(), MemoryKeystore()
    Logins("one", store, keystore).confirm("bob", "u1")
    Logins("two", store, keystore).confirm("bob", "u2")
    with pytest.raises(UnexpectedUserIdError):
        Logins("two", store, keystore).confirm("bob", "u1")


def test_of_two_first_log_ins_at_once_one_counts(tmp_path: Path) -> None:
    """Two processes whose first log-in of a name is answered differently: one is refused."""
    store, start = SqliteTrustStore(tmp_path / "pins"), threading.Barrier(6)
    confirmed: list[str] = []

    def log_in(user_id: str) -> None:
        logins = Logins("app", store, MemoryKeystore())
        start.wait()
        try:
            logins.confirm("bob", user_id)
        except UnexpectedUserIdError:
            return
        confirmed.append(user_id)

    threads = [threading.Thread(target=log_in, args=(f"u{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert confirmed == [store.find_login("app", "bob")]


def test_a_token_of_somebody_else_is_refused(app: InMemoryApp) -> None:
    """The cloud function gives alice's session a token of mallory's: nothing is asked with it."""
    app.make_user("mallory")
    alice = app.client().sign_up("alice", "pw")
    app.parse.functions["virgil-jwt"] = lambda _user, _: {
        "token": virgil.token(id_of(app, "mallory"))
    }
    before = len(app.service.requests)
    with pytest.raises(TokenError, match="is logged in"):
        alice.register()
    assert len(app.service.requests) == before


# --- what keystores tell ---------------------------------------------------------------------


def keystores(tmp_path: Path) -> dict[str, Keystore]:
    """Return an empty one of each kind that keeps what it is given."""
    return {
        "memory": MemoryKeystore(),
        "files": FileKeystore(tmp_path, "app"),
        "keyring": KeyringKeystore("app", tmp_path, backend=FakeKeyring()),
    }


@pytest.mark.parametrize("kind", ["memory", "files", "keyring"])
def test_a_keystore_tells_whose_keys_it_holds(tmp_path: Path, kind: str) -> None:
    """Each user who was saved and not deleted, once, sorted."""
    keystore = keystores(tmp_path)[kind]
    assert keystore.user_ids() == []
    carol, bob = (StoredKey(name, PrivateKey.generate()) for name in ("carol", "bob"))
    for stored in (carol, bob, bob):
        keystore.save(stored)
    assert keystore.user_ids() == ["bob", "carol"]
    keystore.delete("bob")
    keystore.delete("nobody")
    assert keystore.user_ids() == ["carol"]


def test_the_environment_tells_too() -> None:
    """What the variable names."""
    key = PrivateKey.generate().to_base64()
    keystore = EnvironmentKeystore(f"carol:{key} bob:{key}")
    assert keystore.user_ids() == ["bob", "carol"]
    with pytest.raises(KeystoreReadOnlyError):
        keystore.delete("bob")


def test_keys_that_cannot_be_opened_count_as_there() -> None:
    """A key file that is damaged, or locked, is no reason to let a name be anybody."""

    class Locked(MemoryKeystore):
        def find(self, user_id: str) -> StoredKey | None:
            raise KeystoreFileError(f"damaged: {user_id}")

    keystore = Locked()
    for name in ("u1", "u2"):
        keystore.save(StoredKey(name, PrivateKey.generate()))
    with pytest.raises(UnexpectedUserIdError):
        Logins("app", MemoryTrustStore(), keystore).confirm("bob", "u1")


def test_a_keyring_remembers_log_ins_and_pins(app: InMemoryApp, tmp_path: Path) -> None:
    """Beside its lock: the next process knows who bob is, and which key a user had."""
    backend = FakeKeyring()

    def process() -> EncryptedClient:
        return app.client(keystore=KeyringKeystore("in-memory", tmp_path, backend=backend))

    bob = process().sign_up("bob", "pw")
    bob.register()
    app.after = answering("/login", "another")
    with pytest.raises(UnexpectedUserIdError):
        process().log_in("bob", "pw")


@pytest.mark.parametrize("told", [{"objectId": None}, {"objectId": 5}, {"sessionToken": ["r:1"]}])
def test_an_answer_to_parse_rest_says_whose_session_it_is(
    app: InMemoryApp, told: dict[str, Any]
) -> None:
    """Mallory's log-in is answered with bob's session, and without the id that is compared.

    Only bob's keys are here, so that a bare token would open them.
    """
    app.make_user("mallory")
    client = app.client(keystore=MemoryKeystore())
    bob = client.sign_up("bob", "bob's password")
    bob.register()
    connect(client)

    def lie(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.url.endswith("/login"):
            fields = {**answer.json(), "sessionToken": bob.session_token, **told}
            return HttpResponse(answer.status, answer.headers, json.dumps(fields).encode())
        return answer

    app.after = lie
    with pytest.raises(MalformedResponseError):
        User.login("mallory", "password of mallory")


def test_parse_rest_knows_the_password_of_the_log_in(app: InMemoryApp) -> None:
    """No backup gets the password that the server saw a moment ago, logged in or signed up."""
    connect(app.client(keystore=MemoryKeystore()))
    password = "seven drifting paper lanterns"
    for enter in (User.signup, User.login):
        with SessionToken(enter("zoe", password).sessionToken):
            current_user().register()
            with pytest.raises(WeakPasswordError, match="login password"):
                current_user().e3kit.backup_private_key(password)


def test_the_secret_of_the_diary_stays(app: InMemoryApp, shared: EncryptedClient) -> None:
    """The whole attack: bob's row and bob's id for mallory's log-in; nothing is read, or signed."""
    bob = shared.log_in("bob", "bob's password")
    bob.save(Diary(text="bob's secret"))
    stored = [dict(row) for row in app.parse.rows("Diary")]

    def lie(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        told: Any = answer.json() if answer.body else {}
        if request.url.endswith("/login"):
            told = {**told, "objectId": bob.user_id}
        if "/classes/Diary" in request.url:
            told = {"results": stored}
        return HttpResponse(answer.status, answer.headers, json.dumps(told).encode())

    app.after = lie
    with pytest.raises(UnexpectedUserIdError):
        shared.log_in("mallory", "mallory's password")
    sealed = from_text(stored[0]["text"])
    assert vc.decrypt(sealed, bob.e3kit._own_key()) == b"bob's secret"
