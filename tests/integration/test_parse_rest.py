"""Existing parse_rest code, encrypted by a decorator, on a real and modern Parse Server."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import itertools
import pickle
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import pytest
from parse_rest.connection import ParseBatcher, SessionToken, register
from parse_rest.core import ParseError, ResourceRequestNotFound
from parse_rest.datatypes import ACL, Object
from parse_rest.user import User

from encrypted_parse import (
    EncryptedClient,
    Model,
    UserClient,
    acl_readers,
    encrypted,
    only_me,
    users,
)
from encrypted_parse.devserver import DevServer, run_sql
from encrypted_parse.errors import (
    AuthorMismatchError,
    ConfigurationError,
    DoubleEncryptionError,
    EncryptedOperationError,
    EncryptedQueryError,
    FieldLockedError,
    InvalidValueError,
    MissingExtraError,
    ModelDefinitionError,
    NotARecipientError,
    NotPicklableError,
    SessionExpiredError,
    StaleObjectError,
    UnexpectedPlaintextError,
    UnexpectedUserIdError,
)
from encrypted_parse.integrations.parse_rest import (
    InsecureParseRestWarning,
    connect,
    connection,
    encrypted_object,
    log_in_as,
    package,
    sealed,
)

MakeUser = Callable[..., UserClient]
CANARY = "canary-7f3a-never-on-the-server"
_NUMBERS = itertools.count()


class RestThread(Object):  # type: ignore[misc]  # an untyped library
    """A class as old code has it, with nothing encrypted."""


@encrypted_object(
    body=sealed(to=acl_readers(), author="senderId"),
    stars=sealed(int | None, to=only_me()),
    extra=sealed(dict[str, Any], to=users("sender"), author="sender"),
)
class RestMessage(Object):  # type: ignore[misc]  # an untyped library
    """The same with the decorator."""

    @property
    def shouted(self) -> str:
        """Return the body, louder: methods of the class stay."""
        return str(self.body).upper()


class RestMessageModel(Model, parse_class="RestMessage"):
    """The same rows for this package's own models."""

    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")
    stars: int | None = encrypted(to=only_me(), default=None)


@pytest.fixture
def alice(app: EncryptedClient, make_user: MakeUser) -> UserClient:
    """Return a user of the connected app."""
    connect(app)
    return make_user()


def message(author: UserClient, *readers: UserClient, **values: Any) -> Any:
    """Return an unsaved message."""
    made = RestMessage(senderId=author.user_id, body=CANARY, **values)
    acl = {user.user_id: {"read": True, "write": user is author} for user in (author, *readers)}
    made.ACL = ACL(acl)
    return made


def stored(server: DevServer, saved: Any) -> str:
    """Return the row as the database holds it."""
    query = (
        f'SELECT row_to_json(r)::text FROM "RestMessage" r WHERE "objectId" = \'{saved.objectId}\''
    )
    return str(run_sql(server, query)[0][0])


def test_create_update_get(alice: UserClient, make_user: MakeUser, dev_server: DevServer) -> None:
    """A message goes to the server encrypted, and comes back to its readers."""
    bob = make_user()
    with log_in_as(alice):
        made = message(alice, bob, stars=3)
        made.save()
        assert CANARY not in stored(dev_server, made)
        made.body = f"second {CANARY}"
        made.save()
        assert CANARY not in stored(dev_server, made)
        assert RestMessage.Query.get(objectId=made.objectId).stars == 3
    with log_in_as(bob):
        read = RestMessage.Query.get(objectId=made.objectId)
        assert read.body == f"second {CANARY}"
        assert read.shouted.startswith("SECOND")
        with pytest.raises(NotARecipientError):
            _ = read.stars
        assert read.senderId == alice.user_id
    model = bob.get(RestMessageModel, made.objectId)
    assert model.body == f"second {CANARY}"


def test_rows_of_models(alice: UserClient) -> None:
    """What a model saves, parse_rest reads; what did not change is not sent again."""
    saved = alice.save(RestMessageModel(sender_id=alice.user_id, body="from a model", stars=1))
    with log_in_as(alice):
        read = RestMessage.Query.get(objectId=saved.object_id)
        assert (read.body, read.stars) == ("from a model", 1)
        before = alice.parse.get("RestMessage", str(saved.object_id))["body"]
        read.title = "plain"
        read.save()
        assert alice.parse.get("RestMessage", str(saved.object_id))["body"] == before
        read.stars = None
        read.save()
    assert alice.refresh(saved).stars is None


def test_a_stale_object_brings_no_reader_back(alice: UserClient, make_user: MakeUser) -> None:
    """What was fetched before a revoke is not saved: not its ACL either, which is sent always."""
    bob = make_user()
    saved = RestMessageModel(sender_id=alice.user_id, body="old", stars=1)
    saved.acl.allow_read(bob)
    alice.save(saved)
    with log_in_as(alice):
        for attribute, value in (("body", "new"), ("title", "plain")):
            stale = RestMessage.Query.get(objectId=saved.object_id)
            alice.revoke(saved, from_=[bob.user_id])
            before = alice.parse.get("RestMessage", str(saved.object_id))
            setattr(stale, attribute, value)
            with pytest.raises(StaleObjectError):
                stale.save()
            assert alice.parse.get("RestMessage", str(saved.object_id)) == before
            alice.share(saved, with_=[bob.user_id])
        fresh = RestMessage.Query.get(objectId=saved.object_id)
        fresh.body = "new"
        fresh.save()
        fresh.body = "newer"
        fresh.save()
    assert bob.get(RestMessageModel, str(saved.object_id)).body == "newer"


def test_a_new_object_is_private(alice: UserClient, make_user: MakeUser) -> None:
    """Without an ACL, its author alone: not everybody, as parse_rest would."""
    bob = make_user()
    with log_in_as(alice):
        made = RestMessage(senderId=alice.user_id, body=CANARY)
        made.save()
    with log_in_as(bob), pytest.raises(ResourceRequestNotFound):
        RestMessage.GET(made._absolute_url)


def test_queries_includes_and_lazy_pointers(alice: UserClient) -> None:
    """select_related decrypts what it includes; a lazy pointer decrypts when it is read."""
    with log_in_as(alice):
        thread = RestThread(title="t")
        thread.save()
        first = message(alice, thread=thread)
        first.save()
        reply = message(alice, thread=thread, parent=first)
        reply.save()
        found = RestMessage.Query.filter(senderId=alice.user_id, thread=thread)
        assert sorted(one.objectId for one in found) == sorted([first.objectId, reply.objectId])
        assert RestMessage.Query.filter(senderId=alice.user_id).order_by("createdAt")[0].body
        [included] = RestMessage.Query.filter(objectId=reply.objectId).select_related("parent")
        assert included.parent.body == CANARY
        [lazy] = RestMessage.Query.filter(objectId=reply.objectId)
        assert lazy.parent.body == CANARY
        assert lazy.thread.title == "t"
        assert Object.factory("RestMessage") is RestMessage


def test_batches(alice: UserClient, make_user: MakeUser, dev_server: DevServer) -> None:
    """Batches work, encrypt, take over what succeeded, and report every error."""
    with log_in_as(alice):
        many = [message(alice, stars=number) for number in range(60)]
        ParseBatcher().batch_save(many)
        assert all(one.objectId for one in many)
        assert CANARY not in stored(dev_server, many[-1])
        assert RestMessage.Query.filter(senderId=alice.user_id).count() == 60
        many[3].objectId = many[5].objectId = "missing"
        for one in many[:8]:
            one.body = "changed"
        with pytest.raises(ParseError, match="2 of 8") as caught:
            ParseBatcher().batch_save(many[:8])
        assert [error["code"] for error in caught.value.errors] == [101, 101]
        assert RestMessage.Query.get(objectId=many[7].objectId).body == "changed"
        ParseBatcher().batch_delete([one for one in many if one.objectId != "missing"])
        ParseBatcher().batch([])


def test_what_parse_rest_could_not(alice: UserClient) -> None:
    """Dicts, lists of dicts, bytes, aware datetimes, None: saved, and the caller's not changed."""
    moment = dt.datetime(2026, 11, 24, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    options = {"when": moment, "deep": [{"a": 1}]}
    with log_in_as(alice):
        blob = RestThread(blob=b"hi")
        blob.save()  # created only: Parse Server updates no Bytes on Postgres
        thread = RestThread(options=options, gone="x", nothing=None, tags=("a", "b"))
        thread.save()
        assert options == {"when": moment, "deep": [{"a": 1}]}
        thread.gone = None
        thread.save()
    row = alice.parse.get("RestThread", thread.objectId)
    assert row["options"]["when"] == {"__type": "Date", "iso": "2026-11-24T10:00:00.000Z"}
    assert alice.parse.get("RestThread", blob.objectId)["blob"]["base64"] == "aGk="
    assert row["tags"] == ["a", "b"]
    assert "gone" not in row
    assert "nothing" not in row


def test_encrypted_values_of_other_types(alice: UserClient, dev_server: DevServer) -> None:
    """A dict for the user that a pointer names; a bad value is refused, and an envelope too."""
    with log_in_as(alice):
        me = User(objectId=alice.user_id)
        made = message(alice, sender=me, extra={"note": CANARY})
        made.save()
        assert CANARY not in stored(dev_server, made)
        read = RestMessage.Query.get(objectId=made.objectId)
        assert read.extra == {"note": CANARY}
        read.extra["note"] = "new"
        read.save()
        assert RestMessage.Query.get(objectId=made.objectId).extra == {"note": "new"}
        made.body = 5
        with pytest.raises(InvalidValueError, match=r"RestMessage\.body"):
            made.save()
        made.body = alice.parse.get("RestMessage", made.objectId)["body"]
        with pytest.raises(DoubleEncryptionError):
            made.save()


def test_users_and_sessions(app: EncryptedClient) -> None:
    """Sign-up, log-in (no password in an address), the present user, and sessions that end."""
    connect(app)
    name = f"rest{next(_NUMBERS)}"
    signed_up = User.signup(name, "s3cret")
    logged_in = User.login(name, "s3cret")
    assert logged_in.objectId == signed_up.objectId
    with SessionToken(logged_in.sessionToken):
        assert User.current_user().username == name
        connection.current().user().register()
        made = RestMessage(senderId=logged_in.objectId, body=CANARY)
        made.save()
        assert RestMessage.Query.get(objectId=made.objectId).body == CANARY
    with pytest.raises(SessionExpiredError, match="nobody"):
        made.save()
    with pytest.raises(ResourceRequestNotFound, match="101") as caught:
        User.login(name, "wrong")
    assert caught.value.code == 101


def test_a_bare_token_opens_no_key_among_several_users(
    app: EncryptedClient, alice: UserClient, make_user: MakeUser
) -> None:
    """A session that no name was typed in for here is nobody's, where several users' keys are."""
    bob = make_user()
    elsewhere = app.parse.log_in(alice.username, "a password").session_token
    connect(app)
    assert {alice.user_id, bob.user_id} <= set(app._keystore.user_ids())
    with SessionToken(elsewhere), pytest.raises(UnexpectedUserIdError):
        connection.current().user()
    ours = User.login(alice.username, "a password").sessionToken
    with SessionToken(ours):
        assert connection.current().user().user_id == alice.user_id


def test_threads_have_their_own_session(alice: UserClient, make_user: MakeUser) -> None:
    """One thread's session is not another's."""
    bob = make_user()
    names: dict[str, str] = {}
    both = threading.Barrier(2)

    def act(user: UserClient) -> None:
        with log_in_as(user):
            both.wait()
            names[user.user_id] = User.current_user().objectId

    workers = [threading.Thread(target=act, args=(user,)) for user in (alice, bob)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert names == {user.user_id: user.user_id for user in (alice, bob)}


def test_queries_on_encrypted_names_are_refused(alice: UserClient) -> None:
    """Not silently empty: refused."""
    query = RestMessage.Query
    for build in (
        lambda: query.filter(body="x"),
        lambda: query.get(body__ne="x"),
        lambda: query.all().filter(senderId="a").filter(extra="x"),
        lambda: query.all().order_by("-body"),
        lambda: query.all().order_by("senderId,body"),
    ):
        with pytest.raises(EncryptedQueryError):
            build()
    with log_in_as(alice):
        made = message(alice, stars=1, likes=1)
        made.save()
        made.increment("likes")
        with pytest.raises(EncryptedOperationError):
            made.increment("stars")
        assert RestMessage.Query.get(objectId=made.objectId).likes == 2


def test_only_the_author_writes(alice: UserClient, make_user: MakeUser) -> None:
    """Another reader changes plain attributes, not the author's words, nor their readers."""
    bob = make_user()
    with log_in_as(alice):
        made = message(alice, bob, stars=1)
        made.ACL.set_user(bob.user_id, read=True, write=True)
        made.save()
    with log_in_as(bob):
        read = RestMessage.Query.get(objectId=made.objectId)
        read.seen = True
        read.save()
        read.body = "bob's"
        with pytest.raises(AuthorMismatchError):
            read.save()
        other = RestMessage.Query.get(objectId=made.objectId)
        other.ACL.set_user("somebody", read=True)
        with pytest.raises((AuthorMismatchError, FieldLockedError)):
            other.save()
    with log_in_as(alice):
        assert RestMessage.Query.get(objectId=made.objectId).body == CANARY


def test_locked_values(alice: UserClient, dev_server: DevServer) -> None:
    """Plaintext and damage raise when they are read; the rest of the list is usable."""
    with log_in_as(alice):
        ParseBatcher().batch_save([message(alice) for _ in range(3)])
        broken = RestMessage.Query.filter(senderId=alice.user_id)[0].objectId
        run_sql(
            dev_server,
            f"UPDATE \"RestMessage\" SET body = 'plain' WHERE \"objectId\" = '{broken}'",
        )
        found = {one.objectId: one for one in RestMessage.Query.filter(senderId=alice.user_id)}
        with pytest.raises(UnexpectedPlaintextError, match=r"RestMessage\.body"):
            _ = found.pop(broken).body
        assert [one.body for one in found.values()] == [CANARY] * 2
        with pytest.raises(AttributeError):
            _ = next(iter(found.values())).missing


def test_a_failed_save_is_sent_again(alice: UserClient) -> None:
    """What the server did not take is not thought to be stored."""
    with log_in_as(alice):
        made = message(alice)
        made.save()
        made.body, made.objectId, kept = "again", "missing", made.objectId
        with pytest.raises(ResourceRequestNotFound):
            made.save()
        made.objectId = kept
        made.save()
        assert RestMessage.Query.get(objectId=kept).body == "again"


def test_no_pickles(alice: UserClient) -> None:
    """An object with decrypted values is not pickled."""
    with pytest.raises(NotPicklableError):
        pickle.dumps(message(alice))


def test_bad_decorations() -> None:
    """A class of something else, or a value without an author, is refused at once."""
    with pytest.raises(ModelDefinitionError, match="parse_rest"):
        encrypted_object(body=sealed(to=only_me()))(int)
    with pytest.raises(ModelDefinitionError, match="signature"):
        encrypted_object(body=sealed(to=acl_readers()))(RestThread)
    with pytest.raises(ModelDefinitionError):
        encrypted_object(body=sealed(object, to=only_me()))(RestThread)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the pip command."""
    monkeypatch.setitem(sys.modules, "parse_rest.datatypes", None)
    with pytest.raises(MissingExtraError, match="parse-rest"):
        package.load("datatypes")


def test_before_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to call."""
    monkeypatch.setattr(connection, "_connection", None)
    with pytest.raises(ConfigurationError, match="not connected"):
        connection.current()


def test_the_insecure_variant_is_named(
    app: EncryptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """qs-parse-rest checks no certificates: whoever has it is told."""
    real = importlib.metadata.distribution

    def distribution(name: str) -> Any:
        return types.SimpleNamespace() if name == "qs-parse-rest" else real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    with pytest.warns(InsecureParseRestWarning, match="certificates"):
        connect(app)


def test_registering_as_before_does_no_harm(app: EncryptedClient, make_user: MakeUser) -> None:
    """Old code that still calls register() with a master key sends none."""
    connect(app)
    register("wrong", "wrong", master_key="wrong")
    alice = make_user()
    with log_in_as(alice):
        message(alice).save()
