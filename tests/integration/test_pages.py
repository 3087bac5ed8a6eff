"""Pages: complete, whatever the server cuts, and however it sorts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from encrypted_parse import Model, UserClient, encrypted, only_me
from encrypted_parse.errors import MalformedResponseError, ResponseTooLargeError
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse

ROWS = 230
MANY = 250


class Entry(Model):
    """A row with a secret."""

    number: int
    text: str = encrypted(to=only_me())


@pytest.fixture(scope="module")
def filled() -> tuple[InMemoryApp, UserClient]:
    """An app with many rows of one user."""
    app = InMemoryApp()
    ann = app.make_user()
    ann.save_all([Entry(number=n, text=str(n)) for n in range(ROWS)])
    return app, ann


@pytest.fixture
def ann(filled: tuple[InMemoryApp, UserClient]) -> UserClient:
    """The user, in a session that has seen nothing yet."""
    app, user = filled
    app.after = lambda _, answer: answer
    app.before = lambda _: None
    return app.client(keystore=user.e3kit._keystore).become(user.session_token)


@pytest.mark.parametrize(
    "order", [(), ("number",), ("-number",), ("name",), ("-name", "number"), ("-object_id",)]
)
def test_every_row_of_a_real_server_comes_once(
    any_user: Callable[..., UserClient], order: tuple[str, ...]
) -> None:
    """More than two pages, whose ids and names a linguistic collation sorts unlike bytes."""

    class Named(Model):
        number: int
        name: str
        owner_id: str
        text: str = encrypted(to=only_me())

    ann = any_user()
    names = ["b", "B", "a", "A", "ä", "_", "Z", "z-", "é"]
    ann.save_all(
        [
            Named(number=n, name=names[n % len(names)], owner_id=ann.user_id, text=str(n))
            for n in range(MANY)
        ]
    )
    whole = ann.query(Named).filter(owner_id=ann.user_id)
    query = whole.order_by(*order)
    found = list(query)
    assert sorted(one.number for one in found) == list(range(MANY))
    assert all(one.text == str(one.number) for one in found)
    if "number" in (name.removeprefix("-") for name in order[:1]):
        assert [one.number for one in found] == sorted(range(MANY), reverse=order[0] == "-number")
    assert len(query.limit(120).all()) == 120
    assert ann.reseal(Named).examined >= MANY
    assert whole.delete().done == MANY
    assert query.all() == []


def rows_of(change: Callable[[list[Any]], list[Any]]) -> Callable[..., HttpResponse]:
    """Return a server that gives other rows than were asked for."""

    def answer(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not request.url.endswith("/classes/Entry") or "results" not in response.json():
            return response
        body = {**response.json(), "results": change(response.json()["results"])}
        return HttpResponse(response.status, response.headers, json.dumps(body).encode())

    return answer


@pytest.mark.parametrize("order", [(), ("number",), ("-number",)])
@pytest.mark.parametrize("most", [1, 30, 99])
def test_a_server_that_cuts_pages_loses_nothing(
    filled: tuple[InMemoryApp, UserClient], ann: UserClient, order: tuple[str, ...], most: int
) -> None:
    """`maxLimit`, or a trigger's limit: every row is delivered, once."""
    if most == 1 and order:
        most = 2
    filled[0].after = rows_of(lambda rows: rows[:most])
    query = ann.query(Entry).order_by(*order).filter(number__lt=ROWS - 10)
    assert sorted(one.number for one in query) == list(range(ROWS - 10))
    assert len(ann.query(Entry).order_by(*order).limit(70).all()) == 70


def test_requests_are_not_doubled(filled: tuple[InMemoryApp, UserClient], ann: UserClient) -> None:
    """A short page ends a query at once when a whole one of this class came before."""
    app = filled[0]
    assert len(ann.query(Entry).all()) == ROWS
    for query, expected in (
        (ann.query(Entry), 3),
        (ann.query(Entry).filter(number__lt=5), 1),
        (ann.query(Entry).filter(number=ROWS), 1),
    ):
        before = len(app.requests)
        query.all()
        assert len(app.requests) - before == expected


@pytest.mark.parametrize("action", ["delete", "update", "reseal_all", "revoke_all"])
def test_long_work_goes_to_the_end(action: str) -> None:
    """What goes through a whole class does all of it when pages are cut."""
    app = InMemoryApp()
    ann = app.make_user()
    ben = app.make_user()

    class Shared(Model):
        number: int
        text: str = encrypted(to=only_me())

    made = [Shared(number=n, text=str(n)) for n in range(120)]
    for one in made:
        one.acl.allow_read(ann)
        one.acl.allow_write(ann)
        one.acl.allow_read(ben)
    ann.save_all(made)

    def cut(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not request.url.endswith("/classes/Shared") or "results" not in response.json():
            return response
        body = {**response.json(), "results": response.json()["results"][:30]}
        return HttpResponse(response.status, response.headers, json.dumps(body).encode())

    app.after = cut
    query = ann.query(Shared)
    if action == "delete":
        assert query.delete().done == 120
        assert app.parse.rows("Shared") == []
    elif action == "update":
        assert query.update(number=7).done == 120
        assert {row["number"] for row in app.parse.rows("Shared")} == {7}
    elif action == "reseal_all":
        assert ann.reseal(Shared).examined == 120
    else:
        assert ann.revoke_all(query, from_=[ben.user_id]).done == 120
        assert all(ben.user_id not in row["ACL"] for row in app.parse.rows("Shared"))


def test_the_servers_order_of_ids_is_its_own(
    filled: tuple[InMemoryApp, UserClient], ann: UserClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A linguistic collation sorts aB before Ab; who compares ids as Python does loses rows."""
    parse = filled[0].parse

    def collated(name: str) -> tuple[str, str]:
        return name.swapcase().lower(), name.swapcase()

    find = parse._find

    def sorted_otherwise(class_name: str, where: Any, user: str | None) -> Any:
        wanted = dict(where)
        after = wanted.pop("objectId", {}).get("$gt") if class_name == "Entry" else None
        rows = find(class_name, wanted if class_name == "Entry" else where, user)
        if class_name != "Entry":
            return rows
        rows = sorted(rows, key=lambda row: collated(row["objectId"]))
        return [row for row in rows if after is None or collated(row["objectId"]) > collated(after)]

    monkeypatch.setattr(parse, "_find", sorted_otherwise)
    monkeypatch.setattr("encrypted_parse.testing.parse_server.ordered", lambda rows, _: rows)
    assert sorted(one.number for one in ann.query(Entry)) == list(range(ROWS))


@pytest.mark.parametrize("order", [(), ("number",)])
def test_a_server_that_repeats_itself_is_an_error(
    filled: tuple[InMemoryApp, UserClient], ann: UserClient, order: tuple[str, ...]
) -> None:
    """An id of this page or of the one before may not come again in the order of ids."""
    app, first = filled[0], list[Any]()

    def same(rows: list[Any]) -> list[Any]:
        first.extend(rows if not first else [])
        return list(first)

    app.after = rows_of(same)
    results = iter(ann.query(Entry).order_by(*order))
    if order:
        assert next(results).number == 0
        return
    with pytest.raises(MalformedResponseError):
        list(results)
    app.after = rows_of(lambda rows: rows[:1] * 2)
    with pytest.raises(MalformedResponseError):
        ann.query(Entry).all()


def test_an_answer_that_is_too_large_is_asked_for_in_pieces(
    filled: tuple[InMemoryApp, UserClient], ann: UserClient
) -> None:
    """Fewer rows a request, down to one; only a row that alone exceeds the limit is an error."""
    app, asked = filled[0], list[int]()
    limits = {"most": 13}

    def refuse(request: HttpRequest) -> None:
        if request.url.endswith("/classes/Entry"):
            asked.append(int(request.params["limit"]))
            if asked[-1] > limits["most"]:
                raise ResponseTooLargeError("the answer exceeds 33554432 bytes")

    app.before = refuse
    assert sorted(one.number for one in ann.query(Entry)) == list(range(ROWS))
    assert asked[:4] == [100, 50, 25, 12]
    assert set(asked[3:]) == {12}
    limits["most"] = 0
    with pytest.raises(ResponseTooLargeError):
        ann.query(Entry).all()
