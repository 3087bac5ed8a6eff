"""A server, or a proxy before it, that answers a save with something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from encrypted_parse import Model, UserClient, acl_readers, encrypted, version
from encrypted_parse.errors import EncryptedParseError, MalformedResponseError, StaleObjectError
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse


class Memo(Model, parse_class="AnsweredMemo"):
    """What is saved."""

    owner_id: str
    count: int = 0
    text: str = encrypted(to=acl_readers(), author="owner_id")


class Counted(Model, parse_class="AnsweredCounted"):
    """The same, with a version."""

    owner_id: str
    revision: int = version()
    text: str = encrypted(to=acl_readers(), author="owner_id")


ANSWERS: dict[str, Any] = {
    "an empty object": {},
    "a list": [],
    "null": None,
    "a number": 7,
    "text": "saved",
    "a list of nothing": [{}],
    "success without content": [{"success": {}}],
    "success that is none": [{"success": True}],
    "failure without content": [{"error": {}}],
    "a date that is none": {"objectId": "x", "createdAt": "now", "updatedAt": "now"},
    "an id that is none": {"objectId": {}, "createdAt": "2026-11-23T12:00:00.000Z"},
    "a success whose id is none": [
        {"success": {"objectId": 7, "createdAt": "2026-11-23T12:00:00.000Z", "updatedAt": 7}}
    ],
    "results": {"results": [{}]},
    "a row of another kind": {"results": [7]},
}


def _save_new(user: UserClient) -> Memo:
    return user.save(Memo(owner_id=user.user_id, text="new"))


def _save_changed(user: UserClient) -> Memo:
    memo = user.query(Memo).first()
    assert memo is not None
    memo.text = "changed"
    return user.save(memo)


def _save_counted(user: UserClient) -> Counted:
    counted = user.query(Counted).first()
    assert counted is not None
    counted.text = "changed"
    return user.save(counted)


def _save_many(user: UserClient) -> Memo:
    [outcome] = user.save_all([Memo(owner_id=user.user_id, text="new")])
    if outcome.error is not None:
        raise outcome.error
    assert isinstance(outcome.instance, Memo)
    return outcome.instance


def _save_together(user: UserClient) -> Memo:
    memo = Memo(owner_id=user.user_id, text="new")
    user.save_all([memo], transaction=True)
    return memo


def _count_up(user: UserClient) -> Memo:
    memo = user.query(Memo).first()
    assert memo is not None
    return user.increment(memo, count=1)


SAVES: dict[str, Callable[[UserClient], Model]] = {
    "new": _save_new,
    "changed": _save_changed,
    "with a version": _save_counted,
    "many": _save_many,
    "together": _save_together,
    "increment": _count_up,
}


@pytest.fixture(scope="module")
def app() -> InMemoryApp:
    """One app, since nothing that is tried here changes a row."""
    return InMemoryApp()


@pytest.fixture(scope="module")
def user(app: InMemoryApp) -> UserClient:
    """A user with an object of each kind."""
    user = app.make_user()
    user.save(Memo(owner_id=user.user_id, text="old"))
    user.save(Counted(owner_id=user.user_id, text="old"))
    return user


def _is_a_write(request: HttpRequest) -> bool:
    return request.method == "PUT" or (request.method == "POST" and "/card" not in request.url)


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_malformed_answer_is_no_success(
    app: InMemoryApp, user: UserClient, save: Callable[[UserClient], Model], answer: object
) -> None:
    """Whatever comes in place of the answer to a write: one of our errors, no saved object."""
    body = json.dumps(answer).encode()

    def instead(request: HttpRequest) -> HttpResponse | None:
        return HttpResponse(200, {}, body) if _is_a_write(request) else None

    app.before = instead
    try:
        with pytest.raises(EncryptedParseError):
            save(user)
    finally:
        app.before = lambda _: None


@pytest.mark.parametrize("revision", [None, "2", 0, 1, 3, [2]])
def test_a_version_that_was_not_counted_is_no_success(
    app: InMemoryApp, user: UserClient, revision: object
) -> None:
    """A save with a version has succeeded only if the server counted it, by one."""
    answer = {"updatedAt": "2026-11-23T12:00:00.000Z", "revision": revision}
    body = json.dumps(answer).encode()
    app.before = lambda request: HttpResponse(200, {}, body) if _is_a_write(request) else None
    try:
        with pytest.raises(StaleObjectError):
            _save_counted(user)
    finally:
        app.before = lambda _: None


@pytest.mark.parametrize("part", ["objectId", "createdAt"])
def test_one_bad_answer_of_a_batch_hides_no_other(
    app: InMemoryApp, user: UserClient, part: str
) -> None:
    """The object whose answer is malformed is reported; what was saved beside it is saved."""

    def spoil(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not request.url.endswith("/batch"):
            return response
        results = response.json()
        results[1]["success"][part] = 7
        return HttpResponse(response.status, response.headers, json.dumps(results).encode())

    memos = [Memo(owner_id=user.user_id, text=f"text {number}") for number in range(3)]
    app.after = spoil
    try:
        outcomes = user.save_all(memos)
    finally:
        app.after = lambda _, response: response
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        MalformedResponseError,
        type(None),
    ]
    assert [memo.is_new for memo in memos] == [False, True, False]
