"""Every way to write: the same in memory and on a real Parse Server; none stores plaintext."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from encrypted_parse import (
    Model,
    Relation,
    UserClient,
    encrypted,
    field,
    only_me,
    relation,
    users,
    version,
)
from encrypted_parse.devserver import DevServer, run_sql
from encrypted_parse.errors import (
    ConnectionFailedError,
    EncryptedOperationError,
    EncryptedParseError,
    FieldLockedError,
    InvalidValueError,
    ModelDefinitionError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    StaleObjectError,
    TransactionNotPossibleError,
)
from encrypted_parse.models import ObjectStore
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse

MakeUser = Callable[..., UserClient]
CANARY = "canary-7f3a-never-on-the-server"


class Friend(Model, parse_class="WriteFriend"):
    """What posts relate to."""

    name: str


class Post(Model, parse_class="WritePost"):
    """Plain and encrypted columns for every operation."""

    author_id: str
    reader_ids: list[str] = field(factory=list)
    likes: int = 0
    tags: list[str] = field(factory=list)
    extra: dict[str, Any] = field(factory=dict)
    friends: Relation[Friend] = relation()
    body: str | None = encrypted(to=users("reader_ids"), author="author_id", default=None)
    numbers: list[int] | None = encrypted(to=only_me(), default=None)
    secret: int | None = encrypted(to=only_me(), default=None)


class Page(Model, parse_class="WritePage"):
    """A page that several people edit."""

    title: str
    revision: int = version()
    note: str | None = encrypted(to=only_me(), default=None)


def post(user: UserClient, **values: Any) -> Post:
    """Return a new post of *user*."""
    return Post(author_id=user.user_id, **values)


def friend(user: UserClient) -> Friend:
    """Return a saved friend."""
    return user.save(Friend(name="Ann"))


def test_batches_report_each_object(any_user: MakeUser) -> None:
    """What cannot be saved or deleted is told, one by one, and hides no other."""
    alice, bob = any_user(), any_user()
    posts = [post(alice, likes=number, body=CANARY) for number in range(60)]
    posts[10].reader_ids = ["nobody"]  # no card
    posts[20].author_id = bob.user_id
    posts[30].extra["$bad"] = 1
    outcomes = alice.save_all([*posts, posts[0]])
    assert [index for index, one in enumerate(outcomes) if not one.saved] == [10, 20, 30]
    assert outcomes[60] == outcomes[0]
    saved = [one for one in posts if not one.is_new]
    assert len(saved) == 57
    assert bob.delete_all(saved[:1])[0].error is not None
    alice.delete(saved[1])
    gone = alice.delete_all([*saved, posts[10]])
    assert [index for index, one in enumerate(gone) if not one.deleted] == [1, 57]
    assert isinstance(gone[1].error, ObjectNotFoundError)
    assert isinstance(gone[57].error, InvalidValueError)
    assert not alice.query(Post).filter(author_id=alice.user_id).exists()


def test_transactions(any_user: MakeUser) -> None:
    """All or none; a new column is refused before anything is sent."""
    alice = any_user()
    first = alice.save(post(alice, body=CANARY, secret=1, numbers=[1]))
    alice.save_all([post(alice, likes=1, body=CANARY), first], transaction=True)
    assert alice.query(Post).filter(author_id=alice.user_id).count() == 2
    gone = alice.save(post(alice, likes=5))
    alice.delete(alice.refresh(gone))
    gone.likes = 6
    first.likes = 7
    with pytest.raises(EncryptedParseError):
        alice.save_all([first, gone], transaction=True)
    assert alice.refresh(first).likes == 0
    with pytest.raises(InvalidValueError):
        alice.save_all([post(alice, likes=1) for _ in range(51)], transaction=True)
    with pytest.raises(InvalidValueError, match="version"):
        alice.save_all([Page(title="x")], transaction=True)
    bad = post(alice)
    bad.extra["$"] = 1
    with pytest.raises(InvalidValueError):
        alice.save_all([first, bad], transaction=True)


def test_a_transaction_adds_no_column(make_user: MakeUser) -> None:
    """On Postgres that would lock the class; the error says what to do."""
    alice = make_user()

    class Old(Model, parse_class="WriteGrows"):
        a: int

    class New(Model, parse_class="WriteGrows"):
        a: int
        b: int

    alice.save(Old(a=1))
    with pytest.raises(TransactionNotPossibleError, match="b"):
        alice.save_all([New(a=1, b=1), New(a=2, b=2)], transaction=True)
    alice.save(New(a=1, b=1))
    alice.save_all([New(a=1, b=1), New(a=2, b=2)], transaction=True)


def test_atomic_operations(any_user: MakeUser) -> None:
    """Many at once lose nothing; the attributes hold what the server made."""
    alice = any_user()
    one = alice.save(post(alice, likes=1, tags=["a"], body=CANARY))

    def like(_: int) -> int:
        return alice.increment(alice.refresh(one), likes=2).likes

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(like, range(10))) == list(range(3, 23, 2))
    assert alice.append(one, tags=["b", "a"]).tags == ["a", "b", "a"]
    assert sorted(set(alice.append(one, unique=True, tags=["b", "c"]).tags)) == ["a", "b", "c"]
    assert "a" not in alice.remove(one, tags=["a"]).tags
    assert alice.increment(one, likes=-1).likes == 20
    read = alice.refresh(one)
    assert (read.likes, sorted(read.tags), read.body) == (20, sorted(one.tags), CANARY)
    one.tags.append("local")
    alice.save(one)
    assert "local" in alice.refresh(one).tags


@pytest.mark.parametrize(
    "operate",
    [
        lambda user, one: user.increment(one, secret=1),
        lambda user, one: user.append(one, numbers=[1]),
        lambda user, one: user.append(one, unique=True, numbers=[1]),
        lambda user, one: user.remove(one, numbers=[1]),
        lambda user, one: user.append(one, reader_ids=["somebody"]),
    ],
)
def test_no_operation_on_encrypted_fields(
    memory_app: InMemoryApp, operate: Callable[[UserClient, Post], object]
) -> None:
    """The server cannot compute in ciphertext, nor may it change who reads it."""
    alice = memory_app.make_user()
    one = alice.save(post(alice, numbers=[1], secret=1, body=CANARY))
    before = len(memory_app.requests)
    with pytest.raises(EncryptedOperationError):
        operate(alice, one)
    assert len(memory_app.requests) == before


@pytest.mark.parametrize(
    "operate",
    [
        lambda user, one: user.increment(one, tags=1),
        lambda user, one: user.increment(one, likes="1"),
        lambda user, one: user.increment(one, likes=float("nan")),
        lambda user, one: user.increment(one),
        lambda user, one: user.append(one, likes=[1]),
        lambda user, one: user.append(one, tags=[1]),
        lambda user, one: user.relate(one, "tags", [one]),
        lambda user, _: user.increment(post(user), likes=1),
    ],
)
def test_bad_operations(
    memory_app: InMemoryApp, operate: Callable[[UserClient, Post], object]
) -> None:
    """What the server would refuse, or misread, is not sent."""
    alice = memory_app.make_user()
    one = alice.save(post(alice))
    before = len(memory_app.requests)
    with pytest.raises(InvalidValueError):
        operate(alice, one)
    assert len(memory_app.requests) == before


def test_changed_containers_are_noticed(any_user: MakeUser) -> None:
    """Lists and dicts that change in place are saved; what did not change is not sent."""
    alice = any_user()
    one = alice.save(post(alice, tags=["a"], extra={"k": {"deep": [1]}}, numbers=[1]))
    assert one.numbers is not None
    one.extra["k"]["deep"].append(2)
    one.numbers.append(2)
    alice.save(one)
    read = alice.refresh(one)
    assert read.extra == {"k": {"deep": [1, 2]}}
    assert read.numbers == [1, 2]
    stamp = read.updated_at
    alice.save(read)
    assert alice.refresh(one).updated_at == stamp


def test_none_clears(any_user: MakeUser) -> None:
    """None is left out of a create and deletes in an update, plain or encrypted."""
    alice = any_user()
    one = alice.save(post(alice, secret=5))
    one.secret = None
    alice.save(one)
    read = alice.refresh(one)
    assert read.secret is None
    assert read.body is None


# --- versions -------------------------------------------------------------------------------


def test_versions_count_saves(any_user: MakeUser) -> None:
    """A version counts, and a save of an old one is refused; refreshing helps."""
    alice = any_user()
    page = alice.save(Page(title="a", note="n"))
    assert page.revision == 1
    other = alice.refresh(page)
    page.title = "b"
    assert alice.save(page).revision == 2
    assert alice.save(page).revision == 2
    other.title = "c"
    with pytest.raises(StaleObjectError) as caught:
        alice.save(other)
    assert not caught.value.overwritten
    [outcome] = alice.save_all([other])
    assert isinstance(outcome.error, StaleObjectError)
    fresh = alice.refresh(page)
    assert (fresh.title, fresh.revision) == ("b", 2)
    fresh.title = "c"
    assert alice.save(fresh).revision == 3
    with pytest.raises(InvalidValueError):
        fresh.revision = 1
    alice.delete(fresh)
    fresh.title = "d"
    with pytest.raises(ObjectNotFoundError):
        alice.save(fresh)


def test_of_many_racers_one_wins(any_user: MakeUser) -> None:
    """Twenty save the same version at once: one is saved, and the others know."""
    alice = any_user()
    page = alice.save(Page(title="start"))
    copies = [alice.refresh(page) for _ in range(20)]
    start = threading.Barrier(len(copies))

    def save(number: int) -> bool:
        copies[number].title = f"by {number}"
        start.wait()
        try:
            alice.save(copies[number])
        except StaleObjectError as error:
            assert not error.overwritten
            return False
        return True

    with ThreadPoolExecutor(len(copies)) as pool:
        won = list(pool.map(save, range(len(copies))))
    assert won.count(True) == 1
    final = alice.refresh(page)
    assert (final.title, final.revision) == (f"by {won.index(True)}", 2)


def test_without_deduplication_the_loser_is_told(memory_app: InMemoryApp) -> None:
    """A server that cannot exclude it: the second save happens, and says so."""
    alice = memory_app.make_user(server_deduplicates=False)
    page = alice.save(Page(title="start"))
    other = alice.refresh(page)
    fresh = iter([True])

    def interfere(request: HttpRequest) -> None:
        if request.method == "PUT" and next(fresh, False):
            memory_app.parse.change("WritePage", str(page.object_id), title="theirs", revision=2)

    memory_app.before = interfere
    other.title = "mine"
    with pytest.raises(StaleObjectError, match="overwritten") as caught:
        alice.save(other)
    assert caught.value.overwritten


def test_a_refused_save_does_not_block_the_next(memory_app: InMemoryApp) -> None:
    """The server has seen the request id of a save that it refused; the next has another."""
    alice = memory_app.make_user()
    page = alice.save(Page(title="a"))
    page.title = "b"
    refusals = iter([True])

    def refuse(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.method == "PUT" and next(refusals, False):
            memory_app.parse.change("WritePage", str(page.object_id), title="a", revision=1)
            return HttpResponse(400, {}, b'{"code": 119, "error": "no"}')
        return answer

    memory_app.after = refuse
    with pytest.raises(EncryptedParseError):
        alice.save(page)
    assert alice.save(page).revision == 2


def test_bad_versions() -> None:
    """A version is one plain int."""
    with pytest.raises(ModelDefinitionError):

        class _Text(Model):
            revision: str = version()

    with pytest.raises(ModelDefinitionError):

        class _Two(Model):
            one: int = version()
            two: int = version()


# --- lost answers ---------------------------------------------------------------------------


@pytest.fixture
def lossy() -> tuple[InMemoryApp, UserClient]:
    """Return an app without deduplication that loses the answer to every write."""
    app = InMemoryApp()
    alice = app.make_user(server_deduplicates=False)

    def lose(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if "/classes/" in request.url and request.method in ("POST", "PUT"):
            raise OutcomeUnknownError("cut")
        return answer

    app.after = lose
    return app, alice


def test_a_lost_answer_to_a_create_is_found_again(lossy: tuple[InMemoryApp, UserClient]) -> None:
    """The envelope tells which row is ours, so the object is saved, and once."""
    app, alice = lossy
    one = alice.save(post(alice, body=CANARY))
    assert [row["objectId"] for row in app.parse.rows("WritePost")] == [one.object_id]
    with pytest.raises(OutcomeUnknownError):
        alice.save(post(alice))  # nothing in it is encrypted, so nothing tells


def test_a_deduplicated_create_is_found_again(memory_app: InMemoryApp) -> None:
    """The server says "duplicate" to the repeated create; the object is there, with its id."""
    alice = memory_app.make_user()
    losses = iter([True])

    def lose(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.url.endswith("WritePost") and next(losses, False):
            raise OutcomeUnknownError("cut")
        return answer

    memory_app.after = lose
    one = alice.save(post(alice, body=CANARY))
    assert alice.refresh(one).body == CANARY
    assert len(memory_app.parse.rows("WritePost")) == 1


def test_a_broken_batch_keeps_what_is_known(memory_app: InMemoryApp) -> None:
    """The first request's results stand; the second's are unknown; the third is not sent."""
    alice = memory_app.make_user()
    batches = iter([False, True])

    def lose(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.url.endswith("/batch") and next(batches):
            raise OutcomeUnknownError("cut")
        return answer

    memory_app.after = lose
    outcomes = alice.save_all([post(alice, likes=number) for number in range(150)])
    kinds = [type(one.error) for one in outcomes]
    assert kinds == [type(None)] * 50 + [OutcomeUnknownError] * 50 + [ConnectionFailedError] * 50
    assert len(memory_app.parse.rows("WritePost")) == 100


# --- no way around --------------------------------------------------------------------------

WRITES: dict[str, Callable[[UserClient, Post], object]] = {
    "append": lambda user, one: user.append(one, tags=["x"]),
    "delete": lambda user, one: user.delete(one),
    "delete_all": lambda user, one: user.delete_all([one]),
    "increment": lambda user, one: user.increment(one, likes=1),
    "relate": lambda user, one: user.relate(one, "friends", [friend(user)]),
    "remove": lambda user, one: user.remove(one, tags=["x"]),
    "reseal": lambda user, _: user.reseal(Post),
    "revoke": lambda user, one: user.revoke(user.save(one), from_=[]),
    "revoke_all": lambda user, one: user.revoke_all([user.save(one)], from_=[]),
    "save": lambda user, one: user.save(one),
    "save_all": lambda user, one: user.save_all([one]),
    "share": lambda user, one: user.share(user.save(one), with_=[]),
    "share_all": lambda user, one: user.share_all([user.save(one)], with_=[]),
    "unrelate": lambda user, one: user.unrelate(one, "friends", [friend(user)]),
}
"""Every public method that writes objects."""

READS = {"count", "explain", "fetch", "get", "load", "query", "refresh", "user", "who_can_read"}
SESSION = {"download", "forget_roles", "log_out", "register", "reload", "upload"}


def test_every_write_is_listed() -> None:
    """A new public method has to say here whether it writes."""
    public = {
        name
        for name, _ in inspect.getmembers(ObjectStore, inspect.isfunction)
        if not name.startswith("_")
    }
    others = {
        name
        for name, member in inspect.getmembers(UserClient, inspect.isfunction)
        if not name.startswith("_") and member.__module__ == UserClient.__module__
    }
    known = {*WRITES, *READS}
    assert public <= known
    assert others <= known | SESSION


@pytest.mark.parametrize("name", WRITES)
def test_no_write_stores_plaintext(make_user: MakeUser, dev_server: DevServer, name: str) -> None:
    """After any write, the database holds the canary nowhere."""
    alice = make_user()
    one = alice.save(post(alice, body=f"old {CANARY}", tags=["x"], likes=1))
    one.body = f"new {CANARY}"
    WRITES[name](alice, one)
    query = f'SELECT row_to_json(r)::text FROM "WritePost" r WHERE "authorId" = \'{alice.user_id}\''
    for row in run_sql(dev_server, query):
        assert CANARY not in row[0]


def test_a_query_update_encrypts(make_user: MakeUser, dev_server: DevServer) -> None:
    """The write path of queries, too."""
    alice = make_user()
    alice.save(post(alice))
    report = alice.query(Post).filter(author_id=alice.user_id).update(body=CANARY)
    assert report.done == 1
    query = f'SELECT body FROM "WritePost" WHERE "authorId" = \'{alice.user_id}\''
    [[stored]] = run_sql(dev_server, query)
    assert stored.startswith("M")
    [read] = alice.query(Post).filter(author_id=alice.user_id)
    assert read.body == CANARY
    read.body = None
    with pytest.raises(FieldLockedError):
        read.overwrite_locked("body")
