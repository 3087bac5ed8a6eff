"""What answers tell: what a trigger made of a save, and what a gateway leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from encrypted_parse import (
    EncryptedClient,
    MemoryKeystore,
    Model,
    UserClient,
    encrypted,
    field,
    only_me,
)
from encrypted_parse.devserver import dev_server
from encrypted_parse.errors import OutcomeUnknownError, ServerFailedError
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse


class Order(Model):
    """What the app's trigger changes."""

    title: str
    total: int = 0
    state: str | None = None
    tags: list[str] = field(factory=list)
    note: str | None = encrypted(to=only_me(), default=None)
    spare: str | None = encrypted(to=only_me(), default=None)


TRIGGER = """
Parse.Cloud.beforeSave('Order', (request) => {
  const order = request.object;
  order.set('title', order.get('title').trim());
  if (!order.get('state')) order.set('state', 'received');
  if (order.get('total') < 0) order.set('total', 0);
  if (order.get('title') === 'copy') order.set('spare', order.get('note'));
  if (order.get('title') === 'public') {
    const acl = order.getACL(); acl.setPublicReadAccess(true); order.setACL(acl);
  }
});
Parse.Cloud.beforeFind('Cut', (request) => { request.query.limit(7); });
"""


class Cut(Model):
    """What the app's trigger hands out in small pieces."""

    number: int


@pytest.fixture(scope="module")
def ann(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserClient]:
    """A user of an app with triggers of its own."""
    main = tmp_path_factory.mktemp("cloud") / "main.js"
    Path(main).write_text(TRIGGER)
    with dev_server(cloud_main=main) as server:
        app = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
        user = app.sign_up("ann", "a password")
        user.register()
        yield user


@pytest.mark.parametrize("batch", [False, True])
def test_what_a_trigger_changed_is_shown(ann: UserClient, batch: bool) -> None:
    """After a save the object shows what is stored: changed, added and encrypted columns."""

    def save(order: Order) -> Order:
        if batch:
            [outcome] = ann.save_all([order])
            assert outcome.error is None
        else:
            ann.save(order)
        return order

    order = save(Order(title="  copy ", total=-5, note="secret"))
    assert (order.title, order.total, order.state) == ("copy", 0, "received")
    assert order.spare == "secret"
    stored = ann.refresh(order)
    assert (stored.title, stored.total, stored.spare) == ("copy", 0, "secret")
    order.total = -7  # assigned again: it differs from what is stored, so it is sent
    save(order)
    assert order.total == 0
    order.title = "public"
    save(order)
    assert "*" in order.acl.readers
    before = ann.refresh(order).updated_at
    save(order)
    assert ann.refresh(order).updated_at == before, "nothing was left to send"


def test_a_trigger_that_limits_queries_hides_nothing(ann: UserClient) -> None:
    """`beforeFind` with a limit of 7: a query goes on until the server has nothing more."""
    ann.save_all([Cut(number=n) for n in range(40)])
    assert sorted(one.number for one in ann.query(Cut)) == list(range(40))
    assert [one.number for one in ann.query(Cut).order_by("number")] == list(range(40))


@pytest.mark.parametrize("status", [502, 503, 504, 520])
def test_a_gateways_answer_to_a_create(status: int) -> None:
    """The row is there, and is found by its envelope: made once, and known."""
    app = InMemoryApp()
    ann = app.make_user(server_deduplicates=False)

    def lost(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.method == "POST" and request.url.endswith(("/classes/Order", "/batch")):
            return HttpResponse(status, {}, b"<html>Bad gateway</html>")
        return answer

    app.after = lost
    order = ann.save(Order(title="x", note="secret"))
    assert order.object_id == app.parse.rows("Order")[0]["objectId"]
    outcomes = ann.save_all([Order(title=str(n), note="s") for n in range(3)] + [Order(title="p")])
    assert [outcome.error is None for outcome in outcomes] == [True, True, True, False]
    assert isinstance(outcomes[3].error, OutcomeUnknownError)
    assert len(app.parse.rows("Order")) == 5
    with pytest.raises(OutcomeUnknownError, match=str(status)):
        ann.save(Order(title="no envelope tells"))


def test_a_gateway_that_let_nothing_through() -> None:
    """Nothing was made, nothing is claimed; the server's own failure stays what it is."""
    app = InMemoryApp()
    ann = app.make_user(server_deduplicates=False)
    body = b"<html>Bad gateway</html>"

    def refuse(request: HttpRequest) -> HttpResponse | None:
        return HttpResponse(502, {}, body) if request.method == "POST" else None

    app.before = refuse
    order = Order(title="x", note="secret")
    with pytest.raises(OutcomeUnknownError):
        ann.save(order)
    assert order.is_new
    [outcome] = ann.save_all([order])
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert app.parse.rows("Order") == []
    body = b'{"code":1,"error":"Internal server error."}'
    with pytest.raises(ServerFailedError):
        ann.save(order)
