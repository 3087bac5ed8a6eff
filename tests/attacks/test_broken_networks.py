"""Every request of every operation goes wrong in every way, in turn.

Whatever happens: no duplicate object, no lost update that is reported as success, no plaintext,
and no error but ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from attrs import frozen

from encrypted_parse import Model, UserClient, acl_readers, encrypted, version
from encrypted_parse.errors import (
    ConnectionFailedError,
    EncryptedParseError,
    OutcomeUnknownError,
    RequestTimeoutError,
)
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse

CANARY = "canary-7f3a-never-on-the-server"
OLD, NEW = f"old {CANARY}", f"new {CANARY}"


class Memo(Model, parse_class="FaultMemo"):
    """What the operations work on."""

    owner_id: str
    count: int = 0
    text: str = encrypted(to=acl_readers(), author="owner_id")


class Counted(Model, parse_class="FaultCounted"):
    """The same, with a version."""

    owner_id: str
    revision: int = version()
    text: str = encrypted(to=acl_readers(), author="owner_id")


class World:
    """One app with two users and two stored objects."""

    def __init__(self, *, deduplicates: bool) -> None:
        self.app = InMemoryApp()
        settings = {"server_deduplicates": deduplicates}
        self.alice: UserClient = self.app.make_user(**settings)
        self.bob: UserClient = self.app.make_user(**settings)
        self.memo = self.alice.save(Memo(owner_id=self.alice.user_id, text=OLD))
        self.counted = self.alice.save(Counted(owner_id=self.alice.user_id, text=OLD))
        self.before = len(self.app.requests)

    def fresh(self, instance: Memo | Counted) -> Memo | Counted:
        """Fetch an object past all faults, by another cache."""
        self.app.before = lambda _: None
        self.app.after = lambda _, answer: answer
        return self.alice.refresh(instance)


def _new(world: World) -> Memo:
    return Memo(owner_id=world.alice.user_id, text=NEW)


def _create(world: World) -> None:
    world.alice.save(_new(world))


def _create_many(world: World) -> None:
    for outcome in world.alice.save_all([_new(world)]):
        if outcome.error is not None:
            raise outcome.error


def _update(world: World) -> None:
    world.memo.text = NEW
    world.alice.save(world.memo)


def _update_versioned(world: World) -> None:
    world.counted.text = NEW
    world.alice.save(world.counted)


def _update_by_query(world: World) -> None:
    report = world.alice.query(Memo).update(text=NEW)
    for _, error in report.failed:
        raise error


def _increment(world: World) -> None:
    world.alice.increment(world.memo, count=1)


def _share(world: World) -> None:
    world.alice.share(world.memo, with_=[world.bob.user_id])


def _revoke(world: World) -> None:
    world.alice.revoke(world.memo, from_=[world.bob.user_id])


def _delete(world: World) -> None:
    world.alice.delete(world.memo)


def _read(world: World) -> None:
    [memo] = world.alice.query(Memo)
    assert memo.text == OLD


# --- what has to hold when an operation says that it succeeded ------------------------------


def _created_once(world: World) -> None:
    assert NEW in [memo.text for memo in world.alice.query(Memo)]


def _updated(world: World) -> None:
    assert world.fresh(world.memo).text == NEW


def _updated_versioned(world: World) -> None:
    counted = world.fresh(world.counted)
    assert isinstance(counted, Counted)
    assert counted.text == NEW
    assert counted.revision == world.counted.revision


def _incremented(world: World) -> None:
    memo = world.fresh(world.memo)
    assert isinstance(memo, Memo)
    assert memo.count == world.memo.count


def _shared(world: World) -> None:
    assert world.bob.refresh(world.memo).text == OLD


def _revoked(world: World) -> None:
    readers = world.alice.who_can_read(world.memo, candidates=[world.bob.user_id])
    assert readers["text"].user_ids == {world.alice.user_id}


def _deleted(world: World) -> None:
    assert not world.alice.query(Memo).exists()


def _nothing(world: World) -> None:
    """Reading changes nothing."""


OPERATIONS: dict[str, tuple[Callable[[World], None], Callable[[World], None]]] = {
    "create": (_create, _created_once),
    "create many": (_create_many, _created_once),
    "update": (_update, _updated),
    "update versioned": (_update_versioned, _updated_versioned),
    "update by query": (_update_by_query, _updated),
    "increment": (_increment, _incremented),
    "share": (_share, _shared),
    "revoke": (_revoke, _revoked),
    "delete": (_delete, _deleted),
    "read": (_read, _nothing),
}


# --- what goes wrong ------------------------------------------------------------------------


@frozen
class Fault:
    """What happens to one request, `times` times in a row.

    Attributes:
        before: Answers in its place, or raises; None delivers it.
        after: Called with the answer of a request that was delivered.
        twice: The network delivers it twice.
    """

    before: Callable[[], HttpResponse] | None = None
    after: Callable[[HttpResponse], HttpResponse] = lambda answer: answer
    twice: bool = False
    times: int = 1


def _fail(error: EncryptedParseError) -> Callable[..., HttpResponse]:
    def fail(*_: object) -> HttpResponse:
        raise error

    return fail


def _status(status: int, body: bytes = b'{"code": 1, "message": "x"}') -> HttpResponse:
    return HttpResponse(status, {}, body)


FAULTS = {
    "dropped": Fault(before=_fail(ConnectionFailedError("cut"))),
    "dropped for good": Fault(before=_fail(ConnectionFailedError("cut")), times=100),
    "answer lost": Fault(after=_fail(OutcomeUnknownError("cut"))),
    "answers lost for good": Fault(after=_fail(OutcomeUnknownError("cut")), times=100),
    "delayed": Fault(after=_fail(RequestTimeoutError("late"))),
    "duplicated": Fault(twice=True),
    "truncated": Fault(after=lambda answer: HttpResponse(answer.status, {}, answer.body[:-2])),
    "empty": Fault(after=lambda answer: HttpResponse(answer.status, {}, b"")),
    "500 after": Fault(after=lambda _: _status(500)),
    "502 after": Fault(after=lambda _: _status(502, b"<html>")),
    "500": Fault(before=lambda: _status(500)),
    "502": Fault(before=lambda: _status(502, b"<html>")),
    "429": Fault(before=lambda: _status(429, b'{"code": 155, "error": "slow"}')),
    "429 for good": Fault(before=lambda: _status(429, b'{"error": "slow"}'), times=100),
    "other JSON": Fault(after=lambda _: _status(200, b"[]")),
}


class Injector:
    """Puts one fault to the request of one number, and to its repetitions."""

    def __init__(self, app: InMemoryApp, number: int, fault: Fault) -> None:
        self._app, self._number, self._fault = app, number, fault
        self._seen: dict[tuple[object, ...], int] = {}
        self._left = fault.times
        self.reached = False
        app.before, app.after = self.before, self.after

    def _is_it(self, request: HttpRequest) -> bool:
        key = (request.method, request.url, request.body, tuple(sorted(request.params.items())))
        number = self._seen.setdefault(key, len(self._seen))
        return number == self._number

    def before(self, request: HttpRequest) -> HttpResponse | None:
        """See `InMemoryApp.before`."""
        if not self._is_it(request) or self._left == 0:
            return None
        self.reached = True
        if self._fault.before is not None:
            self._left -= 1
            return self._fault.before()
        if self._fault.twice:
            self._left -= 1
            self._app.parse.answer(request)
        return None

    def after(self, request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        """See `InMemoryApp.after`."""
        if not self._is_it(request) or self._left == 0 or self._fault.before or self._fault.twice:
            return answer
        self._left -= 1
        return self._fault.after(answer)


def _no_plaintext(app: InMemoryApp) -> None:
    for request in app.requests:
        assert CANARY.encode() not in (request.body or b"")
        assert CANARY not in request.url
        assert CANARY not in str(request.params)
    for name in ("FaultMemo", "FaultCounted"):
        assert CANARY not in str(app.parse.rows(name))


@pytest.mark.parametrize("deduplicates", [True, False], ids=["deduplicates", "does not"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_breaks(operation: str, fault: str, *, deduplicates: bool) -> None:
    """Each request of the operation in turn; the promise is the same for all."""
    act, holds = OPERATIONS[operation]
    for number in itertools.count():
        world = World(deduplicates=deduplicates)
        injector = Injector(world.app, number, FAULTS[fault])
        try:
            act(world)
        except EncryptedParseError:
            succeeded = False
        else:
            succeeded = True
        world.app.before, world.app.after = lambda _: None, lambda _, answer: answer
        if succeeded:
            holds(world)
        memos = list(world.alice.query(Memo))
        # Parse Server deduplicates no batch, so a proxy that repeats one makes two of each.
        copies = 2 if (operation, fault) == ("create many", "duplicated") else 1
        assert [memo.text for memo in memos].count(NEW) <= copies
        assert len(memos) <= 1 + copies
        _no_plaintext(world.app)
        if not injector.reached:
            assert number > 0
            assert succeeded
            break
