"""Queries: the same answers from the app in memory and from a real Parse Server."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable

import pytest

from encrypted_parse import (
    Embedded,
    GeoPoint,
    Model,
    Pointer,
    Polygon,
    Query,
    Relation,
    UserClient,
    encrypted,
    field,
    only_me,
    relation,
)
from encrypted_parse.errors import (
    EncryptedQueryError,
    FieldLockedError,
    InvalidQueryError,
    InvalidValueError,
    MalformedResponseError,
    MissingValueError,
    ObjectNotFoundError,
    ServerFailedError,
)
from encrypted_parse.models.pages import PAGE_ROWS
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpResponse

MakeUser = Callable[..., UserClient]
NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


class Shelf(Model, parse_class="QueryShelf"):
    """What books stand on."""

    label: str
    secret: str | None = encrypted(to=only_me(), default=None)


class Size(Embedded):
    """Measures of a book."""

    pages: int


class Book(Model, parse_class="QueryBook"):
    """Rows with every kind of plain column."""

    run: str
    title: str
    stars: int = 0
    price: decimal.Decimal | None = None
    printed: dt.date | None = None
    seen: dt.datetime | None = None
    tags: list[str] = field(factory=list)
    shelf: Pointer[Shelf] | None = None
    place: GeoPoint | None = None
    area: Polygon | None = None
    size: Size | None = None
    code: uuid.UUID | None = None
    editions: Relation[Shelf] = relation()
    note: str | None = encrypted(to=only_me(), default=None)


class Library:
    """One user's books, apart from those of other tests on the same server."""

    def __init__(self, make_user: MakeUser) -> None:
        self.user = make_user()
        self.run = self.user.user_id

    def add(self, *books: Book) -> list[Book]:
        """Save books."""
        assert all(outcome.saved for outcome in self.user.save_all(books))
        return list(books)

    def book(self, title: str, **values: object) -> Book:
        """Return a new book."""
        return Book(**{"run": self.run, "title": title, **values})  # type: ignore[arg-type]

    @property
    def books(self) -> Query[Book]:
        """All books of this library."""
        return self.user.query(Book).filter(run=self.run)


def titles(query: Query[Book]) -> list[str]:
    """Return what a query finds, sorted."""
    return sorted(book.title for book in query)


@pytest.fixture
def library(any_user: MakeUser) -> Library:
    """Return a library with four books."""
    library = Library(any_user)
    library.add(
        library.book("Ada", stars=5, tags=["red", "blue"], printed=dt.date(1843, 10, 1)),
        library.book("Bob", stars=3, tags=["red"], seen=NOON, note="n"),
        library.book("adam (x)", stars=1, price=decimal.Decimal("9.90")),
        library.book("Zoë_z", stars=3, tags=["green"], code=uuid.UUID(int=7)),
    )
    return library


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"title": "Ada"}, ["Ada"]),
        ({"stars": 3}, ["Bob", "Zoë_z"]),
        ({"stars__ne": 3}, ["Ada", "adam (x)"]),
        ({"stars__gt": 3}, ["Ada"]),
        ({"stars__gte": 3, "stars__lt": 5}, ["Bob", "Zoë_z"]),
        ({"stars__lte": 1}, ["adam (x)"]),
        ({"stars__in": [1, 5]}, ["Ada", "adam (x)"]),
        ({"stars__nin": {1, 5}}, ["Bob", "Zoë_z"]),
        ({"stars__in": []}, []),
        ({"printed__exists": True}, ["Ada"]),
        ({"printed": None}, ["Bob", "Zoë_z", "adam (x)"]),
        ({"printed__ne": None}, ["Ada"]),
        ({"printed__lt": dt.date(1900, 1, 1)}, ["Ada"]),
        ({"seen__gte": NOON}, ["Bob"]),
        ({"seen__gt": NOON}, []),
        ({"seen": NOON}, ["Bob"]),
        ({"price": decimal.Decimal("9.90")}, ["adam (x)"]),
        ({"code": uuid.UUID(int=7)}, ["Zoë_z"]),
        ({"title__regex": "^A"}, ["Ada"]),
        ({"title__regex": re.compile("^a", re.IGNORECASE)}, ["Ada", "adam (x)"]),
        ({"title__startswith": "adam ("}, ["adam (x)"]),
        ({"title__startswith": "Zoë_"}, ["Zoë_z"]),
        ({"title__startswith": "."}, []),
        ({"tags__contains": "red"}, ["Ada", "Bob"]),
        ({"tags__contains_all": ["blue", "red"]}, ["Ada"]),
        ({"tags__in": ["blue", "green"]}, ["Ada", "Zoë_z"]),
        ({"tags__contained_by": ["red", "green"], "stars": 3}, ["Bob", "Zoë_z"]),
    ],
    ids=str,
)
def test_filters(library: Library, conditions: dict[str, object], found: list[str]) -> None:
    """Every operator keeps what it says."""
    assert titles(library.books.filter(**conditions)) == found


def test_alternatives_and_exclusions(library: Library) -> None:
    """or_ keeps what matches a group; exclude leaves out what matches all of it."""
    books = library.books
    assert titles(books.or_({"stars": 5}, {"stars": 3, "tags__contains": "red"})) == ["Ada", "Bob"]
    assert titles(books.exclude(stars=3, title="Bob")) == ["Ada", "Zoë_z", "adam (x)"]
    both = books.or_({"stars__gte": 3}).or_({"title": "Bob"}, {"title": "adam (x)"})
    assert titles(both) == ["Bob"]


def test_order_limit_skip_first_exists(library: Library) -> None:
    """The server sorts; limits and skips count off."""
    books = library.books
    assert next(one.title for one in books.order_by("-stars", "title")) == "Ada"
    assert [one.stars for one in books.order_by("stars")] == [1, 3, 3, 5]
    assert [one.stars for one in books.order_by("-stars").skip(1).limit(2)] == [3, 3]
    assert books.limit(0).all() == []
    last = books.order_by("stars").first()
    assert last is not None
    assert last.title == "adam (x)"
    assert books.filter(title="Ada").exists()
    assert not books.filter(title="None").exists()
    assert books.filter(title="None").first() is None
    assert books.filter(stars=3).count() == 2
    with pytest.raises(ObjectNotFoundError):
        books.get("nothing")


def test_pages(any_user: MakeUser) -> None:
    """Iteration goes on until the end, in any order; limits cut across pages."""
    library = Library(any_user)
    many = PAGE_ROWS * 2 + 7
    library.add(*(library.book(f"{number:03}", stars=number % 3) for number in range(many)))
    everything = [one.title for one in library.books]
    assert sorted(everything) == [f"{number:03}" for number in range(many)]
    assert [one.title for one in library.books.order_by("title")] == sorted(everything)
    assert len(library.books.limit(PAGE_ROWS + 1).all()) == PAGE_ROWS + 1
    assert len(library.books.limit(PAGE_ROWS).all()) == PAGE_ROWS
    assert len(library.books.skip(PAGE_ROWS).all()) == many - PAGE_ROWS
    third = library.books.order_by("object_id").skip(2).first()  # in the server's own order
    assert third is not None
    narrowed = library.books.filter(object_id__gt=third.object_id)
    assert len(narrowed.all()) == many - 3


def test_by_id(any_user: MakeUser) -> None:
    """Any number of ids, in their order; what is gone is left out."""
    library = Library(any_user)
    books = library.add(*(library.book(str(number)) for number in range(PAGE_ROWS + 5)))
    ids = [str(one.object_id) for one in reversed(books)]
    found = library.books.by_id([*ids, "missing", ids[0]])
    assert [one.object_id for one in found] == ids
    assert library.books.by_id([]) == []


def test_pointers(any_user: MakeUser) -> None:
    """Pointers are compared, searched through and included, with their encrypted fields."""
    library = Library(any_user)
    left, right = Shelf(label="left", secret="s3"), Shelf(label="right")
    library.user.save_all([left, right])
    library.add(
        library.book("on left", shelf=left),
        library.book("on right", shelf=Pointer.to(right)),
        library.book("lying"),
    )
    books = library.books
    assert titles(books.filter(shelf=left)) == ["on left"]
    assert titles(books.filter(shelf__in=[left, right])) == ["on left", "on right"]
    assert titles(books.filter(shelf__exists=False)) == ["lying"]
    shelves = library.user.query(Shelf).filter(label="left")
    assert titles(books.filter(shelf__in_query=shelves)) == ["on left"]
    assert "on right" in titles(books.filter(shelf__not_in_query=shelves))
    found = books.filter(shelf=left).include("shelf").first()
    assert found is not None
    assert found.shelf is not None
    assert found.shelf.target.secret == "s3"
    found.stars = 9
    library.user.save(found)
    bare = books.get(str(found.object_id))
    assert bare.shelf == Pointer("QueryShelf", str(left.object_id))
    assert bare.shelf is not None
    assert not bare.shelf.is_included


def test_relations(any_user: MakeUser) -> None:
    """Relations are changed by the client and read by a query."""
    library = Library(any_user)
    shelves = [Shelf(label=str(number)) for number in range(3)]
    library.user.save_all(shelves)
    [book] = library.add(library.book("x"))
    library.user.relate(book, "editions", shelves)
    library.user.unrelate(book, "editions", shelves[:1])
    related = library.user.query(Shelf).related_to(book, "editions")
    assert sorted(one.label for one in related) == ["1", "2"]
    assert [one.label for one in related.filter(label__gt="1")] == ["2"]
    assert library.user.refresh(book).editions == Relation("QueryShelf")


def test_only_some_attributes(library: Library) -> None:
    """What was not fetched raises, is not overwritten, and does not keep old readers."""
    book = library.books.only("stars").filter(title="Bob").first()
    assert book is not None
    assert book.stars == 3
    with pytest.raises(MissingValueError, match="not fetched"):
        _ = book.title
    with pytest.raises(MissingValueError, match="not fetched"):
        _ = book.note
    book.stars = 4
    library.user.save(book)
    assert library.user.refresh(book).note == "n"
    noted = library.books.only("note").filter(title="Bob").first()
    assert noted is not None
    assert noted.note == "n"
    book.acl.allow_read("somebody")
    with pytest.raises(FieldLockedError, match="not fetched"):
        library.user.save(book)


def test_changes_of_what_matches(library: Library) -> None:
    """update() encrypts and reports; delete() deletes and reports."""
    seen: list[int] = []
    report = library.books.filter(stars=3).update(seen.append, note="new", stars=4)
    assert (report.examined, report.done, report.failed) == (2, 2, [])
    assert seen == [2]
    assert [one.note for one in library.books.filter(stars=4)] == ["new", "new"]
    with pytest.raises(AttributeError):
        library.books.update(nothing=1)
    refused = library.books.filter(stars=4).update(stars="many")
    assert (refused.examined, refused.done, len(refused.failed)) == (2, 0, 2)
    gone = library.books.filter(stars=4).delete()
    assert (gone.examined, gone.done) == (2, 2)
    assert titles(library.books) == ["Ada", "adam (x)"]
    with pytest.raises(InvalidQueryError):
        library.books.order_by("stars").delete()


def test_long_queries(library: Library) -> None:
    """A query that no address holds travels in a body."""
    wanted = ["Ada", *(f"{number:0100}" for number in range(300))]
    assert titles(library.books.filter(title__in=wanted)) == ["Ada"]


def test_places(any_user: MakeUser, request: pytest.FixtureRequest) -> None:
    """Within a polygon and covered by one everywhere; distances where the database has them."""
    library = Library(any_user)
    rome, milan, oslo = GeoPoint(41.9, 12.5), GeoPoint(45.46, 9.19), GeoPoint(59.91, 10.75)
    italy = Polygon([GeoPoint(36, 6), GeoPoint(36, 19), GeoPoint(47, 19), GeoPoint(47, 6)])
    library.add(
        library.book("oslo", place=oslo),
        library.book("rome", place=rome, area=italy),
        library.book("milan", place=milan),
    )
    assert titles(library.books.filter(place__within=italy)) == ["milan", "rome"]
    assert titles(library.books.filter(area__covers=milan)) == ["rome"]
    assert titles(library.books.filter(area__covers=oslo)) == []
    place = request.node.callspec.params["any_user"]
    if place == "real" or "postgres" in place:
        require_postgis(library, milan)
        return
    near = [one.title for one in library.books.filter(place__near=milan)]
    within = [one.title for one in library.books.filter(place__near=(milan, 600))]
    assert (sorted(near), sorted(within)) == (["milan", "oslo", "rome"], ["milan", "rome"])
    if "mongodb" not in place:  # SecantusDB selects by distance, and does not sort by it
        assert (near, within) == (["milan", "rome", "oslo"], ["milan", "rome"])


def require_postgis(library: Library, place: GeoPoint) -> None:
    """Check that every query by distance ends by saying what the server lacks."""
    near = library.books.filter(place__near=place)
    for query in (
        near,
        library.books.filter(place__near=(place, 600)),
        near.filter(title__in=[f"{number:0100}" for number in range(60)]),  # in a body
        library.books.or_({"place__near": place}, {"title": "rome"}),
    ):
        for ask in (query.all, query.first, query.count, query.exists):
            with pytest.raises(InvalidQueryError, match="distance") as caught:
                ask()
            assert "CREATE EXTENSION postgis" in str(caught.value.hint)


def test_distances_without_postgis_in_memory(memory_app: InMemoryApp) -> None:
    """The app in memory can be like a Postgres without PostGIS; other failures stay failures."""
    memory_app.parse.has_postgis = False
    library = Library(memory_app.make_user)
    library.add(library.book("rome", place=GeoPoint(41.9, 12.5)))
    require_postgis(library, GeoPoint(41.9, 12.5))
    memory_app.before = lambda _: HttpResponse(500, {}, b'{"code": 1, "error": "no"}')
    with pytest.raises(ServerFailedError):
        library.books.all()


@pytest.mark.parametrize(
    "build",
    [
        lambda books: books.filter(nothing=1),
        lambda books: books.filter(stars__like=1),
        lambda books: books.filter(stars=1).filter(stars=2),
        lambda books: books.filter(tags=["red"]),
        lambda books: books.filter(size=Size(pages=1)),
        lambda books: books.filter(stars__in=5),
        lambda books: books.filter(title__in="Ada"),
        lambda books: books.filter(stars__exists=1),
        lambda books: books.filter(stars__regex="1"),
        lambda books: books.filter(title__regex=""),
        lambda books: books.filter(title__regex="x" * 1001),
        lambda books: books.filter(title__contains="A"),
        lambda books: books.filter(price__gt=decimal.Decimal(1)),
        lambda books: books.filter(tags__gt=["a"]),
        lambda books: books.filter(editions=1),
        lambda books: books.filter(shelf__in_query=books),
        lambda books: books.filter(title__in_query=books),
        lambda books: books.filter(place__near=(1, 2)),
        lambda books: books.filter(place__near=(GeoPoint(1, 2), float("nan"))),
        lambda books: books.filter(place__within=GeoPoint(1, 2)),
        lambda books: books.filter(title__near=GeoPoint(1, 2)),
        lambda books: books.filter(place__covers=GeoPoint(1, 2)),
        lambda books: books.order_by("price"),
        lambda books: books.order_by("nothing"),
        lambda books: books.limit(-1),
        lambda books: books.skip(-1),
        lambda books: books.or_(),
        lambda books: books.include("title"),
        lambda books: books.include("shelf.label"),
        lambda books: books.only("nothing"),
        lambda books: books.related_to(Book(run="r", title="t"), "title"),
        lambda books: books.limit(1).to_subquery(),
    ],
)
def test_bad_queries_are_refused_when_built(build: Callable[[Query[Book]], object]) -> None:
    """What could never work, or would lie, is an error before anything is sent."""
    with pytest.raises(InvalidQueryError):
        build(Query(Book, None))  # type: ignore[arg-type]  # nothing is fetched


@pytest.mark.parametrize(
    "build",
    [
        lambda books: books.filter(note="x"),
        lambda books: books.or_({"stars": 1}, {"note": "x"}),
        lambda books: books.exclude(note="x"),
        lambda books: books.order_by("-note"),
    ],
)
def test_encrypted_fields_are_not_queried(build: Callable[[Query[Book]], object]) -> None:
    """Every way to name an encrypted field is refused."""
    with pytest.raises(EncryptedQueryError):
        build(Query(Book, None))  # type: ignore[arg-type]  # nothing is fetched


def test_values_are_checked_when_built() -> None:
    """A condition's value is of the field's type."""
    with pytest.raises(InvalidValueError, match=r"Book\.stars"):
        Query(Book, None).filter(stars="5")  # type: ignore[arg-type]  # nothing is fetched


def test_a_server_that_repeats_itself(memory_app: InMemoryApp) -> None:
    """Pages that do not get on end in an error, not in an endless loop."""
    library = Library(memory_app.make_user)
    library.add(*(library.book(str(number)) for number in range(PAGE_ROWS)))
    [first, *_] = memory_app.parse.rows("QueryBook")
    memory_app.parse._query = lambda *_: {"results": [first] * PAGE_ROWS}  # type: ignore[method-assign]
    with pytest.raises(MalformedResponseError, match="get on"):
        library.books.all()
