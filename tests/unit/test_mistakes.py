"""Likely mistakes of calls: each is refused before anything is sent, in words that help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from encrypted_parse import Model, Pointer, Relation, UserClient, encrypted, only_me, relation
from encrypted_parse.errors import (
    ArgumentError,
    FunctionFailedError,
    InvalidQueryError,
    InvalidValueError,
    ObjectNotFoundError,
    ParseServerError,
    PermissionDeniedError,
    WrongLoginError,
)
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import FakeTransport, HttpResponse


class Page(Model):
    """A page of a book."""

    text: str = ""


class Book(Model):
    """What the mistakes are made with."""

    title: str = ""
    stars: int = 0
    tags: list[str] | None = None
    note: str | None = encrypted(to=only_me(), default=None)
    pages: Relation[Page] = relation()


Call = Callable[[UserClient, Book], Any]
WRONG_INSTANCES: dict[str, Any] = {
    "text": "Book",
    "None": None,
    "list": [Book()],
    "class": Book,
    "pointer": Pointer("Book", "hO2kXcPVqa"),
    "dict": {"title": "x"},
}
ONE_OBJECT: dict[str, Callable[[UserClient, Any], Any]] = {
    "save": lambda user, one: user.save(one),
    "refresh": lambda user, one: user.refresh(one),
    "delete": lambda user, one: user.delete(one),
    "increment": lambda user, one: user.increment(one, stars=1),
    "append": lambda user, one: user.append(one, tags=["a"]),
    "remove": lambda user, one: user.remove(one, tags=["a"]),
    "relate": lambda user, one: user.relate(one, "pages", []),
    "unrelate": lambda user, one: user.unrelate(one, "pages", []),
    "explain": lambda user, one: user.explain(one),
    "who_can_read": lambda user, one: user.who_can_read(one),
    "share": lambda user, one: user.share(one, with_=["hO2kXcPVqa"]),
    "revoke": lambda user, one: user.revoke(one, from_=["hO2kXcPVqa"]),
    "related_to": lambda user, one: user.query(Page).related_to(one, "pages"),
    "save_all": lambda user, one: user.save_all([one]),
    "delete_all": lambda user, one: user.delete_all([one]),
    "share_all": lambda user, one: user.share_all([one], with_=["hO2kXcPVqa"]),
    "revoke_all": lambda user, one: user.revoke_all([one], from_=["hO2kXcPVqa"]),
}
LISTS: dict[str, Callable[[UserClient, Any], Any]] = {
    "save_all": lambda user, many: user.save_all(many),
    "delete_all": lambda user, many: user.delete_all(many),
    "share_all": lambda user, many: user.share_all(many, with_=["hO2kXcPVqa"]),
    "revoke_all": lambda user, many: user.revoke_all(many, from_=["hO2kXcPVqa"]),
    "by_id": lambda user, many: user.query(Book).by_id(many),
    "relate": lambda user, many: user.relate(_saved(user), "pages", many),
    "append": lambda user, many: user.append(_saved(user), tags=many),
    "remove": lambda user, many: user.remove(_saved(user), tags=many),
}
USERS: dict[str, Callable[[UserClient, Any], Any]] = {
    "share": lambda user, many: user.share(_saved(user), with_=many),
    "revoke": lambda user, many: user.revoke(_saved(user), from_=many),
    "who_can_read": lambda user, many: user.who_can_read(_saved(user), candidates=many),
}
MODELS: dict[str, Callable[[UserClient, Any], Any]] = {
    "get": lambda user, model: user.get(model, "hO2kXcPVqa"),
    "query": lambda user, model: user.query(model),
    "reseal": lambda user, model: user.reseal(model),
}
IDS: dict[str, Callable[[UserClient, Any], Any]] = {
    "get": lambda user, object_id: user.get(Book, object_id),
    "query.get": lambda user, object_id: user.query(Book).get(object_id),
    "by_id": lambda user, object_id: user.query(Book).by_id([object_id]),
}


def _saved(user: UserClient) -> Book:
    return user.save(Book(title="a", tags=["b"]))


@pytest.fixture
def ann() -> UserClient:
    """A registered user of an app in memory."""
    return InMemoryApp().make_user("ann")


@pytest.mark.parametrize("kind", WRONG_INSTANCES)
@pytest.mark.parametrize("call", ONE_OBJECT)
def test_what_is_no_object_is_refused(ann: UserClient, call: str, kind: str) -> None:
    """Every call that takes an object says so, in one class that is a TypeError too."""
    with pytest.raises(ArgumentError, match="one object is expected") as caught:
        ONE_OBJECT[call](ann, WRONG_INSTANCES[kind])
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, InvalidValueError)
    assert caught.value.hint


@pytest.mark.parametrize("wrong", ["hO2kXcPVqa", None, 7, Book(), Pointer("_User", "hO2kXcPVqa")])
@pytest.mark.parametrize("call", LISTS)
def test_one_in_place_of_a_list_is_refused(ann: UserClient, call: str, wrong: object) -> None:
    """A text is no list of letters, and one object no list of one."""
    with pytest.raises(ArgumentError, match=r"a list of .* is expected") as caught:
        LISTS[call](ann, wrong)
    assert "[it]" in str(caught.value.hint)


@pytest.mark.parametrize("wrong", ["", None, 7, Book(), Pointer("Book", "hO2kXcPVqa"), [None]])
@pytest.mark.parametrize("call", USERS)
def test_what_is_no_user_is_refused(ann: UserClient, call: str, wrong: object) -> None:
    """One user or several are taken; what is none of both is not read as either."""
    with pytest.raises(ArgumentError, match="name users by their ids") as caught:
        USERS[call](ann, wrong)
    assert caught.value.hint


@pytest.mark.parametrize("wrong", ["Message", None, Book(), Model, str, 7])
@pytest.mark.parametrize("call", MODELS)
def test_what_is_no_model_is_refused(ann: UserClient, call: str, wrong: object) -> None:
    """The name of a class, or an object of it, is not the class."""
    with pytest.raises(ArgumentError, match="a model is expected"):
        MODELS[call](ann, wrong)


@pytest.mark.parametrize("wrong", [None, 7, b"hO2kXcPVqa", Book(), Pointer("Book", "hO2kXcPVqa")])
@pytest.mark.parametrize("call", IDS)
def test_what_is_no_id_is_refused(ann: UserClient, call: str, wrong: object) -> None:
    """None is the id of what was never saved; it asks for nothing."""
    with pytest.raises(ArgumentError, match="an object id is a string"):
        IDS[call](ann, wrong)


def test_generators_and_queries_are_lists(ann: UserClient) -> None:
    """What can be gone through is taken: a generator, a query, a tuple."""
    assert all(one.saved for one in ann.save_all(Book(title=str(n)) for n in range(3)))  # type: ignore[arg-type]
    assert ann.share_all(ann.query(Book), with_=(ann.user_id,)).done == 3
    assert all(one.deleted for one in ann.delete_all(ann.query(Book)))  # type: ignore[arg-type]


def test_a_password_that_is_none_is_refused_unseen() -> None:
    """`os.environ.get("PASSWORD")` of a variable that is not set reaches no server."""
    app = InMemoryApp()
    calls: list[Callable[[Any], Any]] = [
        lambda wrong: app.client().log_in("ann", wrong),
        lambda wrong: app.client().log_in(wrong, "p"),
        lambda wrong: app.client().sign_up("ann", wrong),
        lambda wrong: app.client().become(wrong),
    ]
    for call in calls:
        for wrong in (None, 7, b"canary"):
            with pytest.raises(ArgumentError) as caught:
                call(wrong)
            assert "canary" not in str(caught.value)
    assert app.requests == []


# --- what the server says -------------------------------------------------------------------


def test_a_wrong_password_is_no_missing_object() -> None:
    """It has a class of its own, below the old one, and carries the server's text."""
    app = InMemoryApp()
    app.make_user("ann")
    with pytest.raises(WrongLoginError, match="wrong user name or password") as caught:
        app.client().log_in("ann", "password of bob")
    assert isinstance(caught.value, ObjectNotFoundError)
    assert "hides it" not in str(caught.value.hint)
    locked = b'{"code":101,"error":"Your account is locked due to multiple failed login attempts."}'
    app.before = lambda _: HttpResponse(404, {}, locked)
    with pytest.raises(WrongLoginError, match="account is locked"):
        app.client().log_in("ann", "password of ann")


def _refusal(
    code: int | None, text: str, *, status: int = 400, call: Call | None = None
) -> ParseServerError:
    """Return the error of a save, or another call, that the server answers in this way."""
    app = InMemoryApp()
    user = app.make_user("ann")
    number = "" if code is None else f'"code":{code},'
    answer = HttpResponse(status, {}, f'{{{number}"error":"{text}"}}'.encode())
    app.before = lambda _: answer
    with pytest.raises(ParseServerError) as caught:
        (call or (lambda user, book: user.save(book)))(user, Book(title="x", stars=1))
    assert text in str(caught.value)
    return caught.value


@pytest.mark.parametrize("code", [1, 101, 107, 111, 119, 141, 142, 206, 209, 4711])
def test_what_a_trigger_refuses_has_no_hint_of_ours(code: int) -> None:
    """The app chose the code and the text; a hint beside it would lead away from both."""
    assert _refusal(code, "a title has at most 80 characters").hint is None


def test_what_a_trigger_refuses_in_a_batch_has_none_either() -> None:
    """Items of a batch are read by the same rule."""
    app = InMemoryApp()
    user = app.make_user("ann")
    item = b'[{"error":{"code":141,"error":"a title has at most 80 characters"}}]'
    app.before = lambda r: HttpResponse(200, {}, item) if r.url.endswith("/batch") else None
    [outcome] = user.save_all([Book(title="x")])
    assert outcome.error is not None
    assert outcome.error.hint is None


def test_an_unknown_function_asks_for_the_deployment() -> None:
    """The hint stays where it is true."""
    app = InMemoryApp()
    user = app.make_user("ann")
    with pytest.raises(FunctionFailedError) as caught:
        user.parse.call_function("nobody-wrote-it")
    assert "is the cloud code deployed" in str(caught.value.hint)


def test_a_column_that_may_not_be_added_is_named() -> None:
    """Older servers name the action, newer say "Permission denied": the columns stand in both."""
    for text in ("Permission denied for action addField on class Book.", "Permission denied"):
        hint = str(_refusal(119, text).hint)
        assert "title" in hint
        assert "stars" in hint
        assert "addField" in hint
    reading = _refusal(119, "Permission denied", call=lambda user, _: user.query(Book).all())
    assert reading.hint == "the class-level permissions forbid it"


def test_a_batch_path_names_the_address_that_the_server_has_of_itself() -> None:
    """Code 107 of a batch is a `publicServerURL` with another path."""
    app = InMemoryApp()
    user = app.make_user("ann")
    answer = HttpResponse(
        400, {}, b'{"code":107,"error":"cannot route batch path /parse/classes/B"}'
    )
    app.before = lambda request: answer if request.url.endswith("/batch") else None
    [outcome] = user.save_all([Book(title="x")])
    assert isinstance(outcome.error, InvalidQueryError)
    assert "publicServerURL" in str(outcome.error.hint)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b'{"error":"unauthorized"}'),
        (403, b'{"error":"unauthorized: master key is required"}'),
        (403, b'{"error":"Permission denied"}'),
        (400, b'{"code":119,"error":"Permission denied for action find on class Note."}'),
    ],
)
def test_a_wrong_master_key_is_named(status: int, body: bytes) -> None:
    """No permission stops the master key: who sends one and is stopped has sent another."""
    app = ParseApp("https://parse.example/parse", "app", master_key="sesame")
    parse = ParseClient(app, FakeTransport(lambda _: HttpResponse(status, {}, body)))
    with pytest.raises(PermissionDeniedError) as caught:
        parse.find("Note")
    assert "PARSE_MASTER_KEY" in str(caught.value.hint)
    assert "class-level" not in str(caught.value.hint)
    assert "sesame" not in f"{caught.value} {caught.value.hint}"
