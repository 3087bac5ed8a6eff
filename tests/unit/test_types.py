"""The types of fields: what is stored, what comes back, what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import TYPES, Colour, Person, Place, ordinary

from encrypted_parse import (
    Codec,
    Embedded,
    File,
    GeoPoint,
    Model,
    Pointer,
    Polygon,
    Relation,
    encrypted,
    field,
    only_me,
    relation,
)
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.e3kit.people import Prefetched
from encrypted_parse.envelope import decrypt_and_verify, sign_and_encrypt
from encrypted_parse.errors import InvalidValueError, MissingValueError, ModelDefinitionError
from encrypted_parse.models import drafts, rows
from encrypted_parse.models.annotations import codec_for
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.parse.types import check_json_value
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse

KEY = PrivateKey.generate()


@pytest.mark.parametrize(("annotation", "values"), TYPES, ids=lambda value: str(value)[:40])
def test_values_survive(annotation: Any, values: st.SearchStrategy[Any]) -> None:
    """Any value comes back equal from a plain column and through a real envelope."""
    codec, _ = codec_for(annotation, "test")

    @ordinary
    @given(values)
    def check(value: object) -> None:
        stored = codec.check(value)
        column = json.loads(json.dumps(codec.to_json(stored), allow_nan=False))
        assert codec.from_json(column) == stored
        plaintext = codec.to_plaintext(stored)
        sealed = sign_and_encrypt(plaintext, signer=KEY, recipients=[KEY.public_key])
        opened = decrypt_and_verify(sealed, identities=[KEY], signers=[KEY.public_key])
        back = codec.from_plaintext(opened)
        assert back == stored
        assert codec.to_plaintext(back) == plaintext

    check()


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, float("nan")),
        (float, float("inf")),
        (int, 2**53),
        (int, True),
        (dt.datetime, dt.datetime(2026, 1, 1)),  # noqa: DTZ001 - naive on purpose
        (dt.date, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
        (decimal.Decimal, decimal.Decimal("NaN")),
        (decimal.Decimal, 1.5),
        (uuid.UUID, "2a"),
        (Colour, "red"),
        (GeoPoint, (1, 2)),
        (Pointer[Person], Pointer("Dog", "o1")),
        (Pointer[Person], "o1"),
        (Place, {"city": "x"}),
        (File, "a.txt"),
        (dict[str, int], {"a.b": 1}),
        (dict[str, int], {"__type": 1}),
        (list[int], [1, "2"]),
    ],
)
def test_bad_values_are_refused(annotation: Any, value: object) -> None:
    """NaN, big ints, naive datetimes, keys that Parse interprets: an error before sending."""
    codec, _ = codec_for(annotation, "test")
    with pytest.raises(InvalidValueError):
        codec.check(value)


_DEEP: Any = {"__type": "Polygon", "coordinates": [[0, 0]] * 3 + [[0]]}


@pytest.mark.parametrize("annotation", [pair[0] for pair in TYPES], ids=str)
@pytest.mark.parametrize(
    "column",
    [
        {"__type": "GeoPoint", "latitude": "1", "longitude": 2},
        {"__type": "GeoPoint", "latitude": 91, "longitude": 2},
        {"__type": "Pointer", "className": "Person"},
        {"__type": "Pointer", "className": "../x", "objectId": "y"},
        {"__type": "Object", "className": "Person", "objectId": 7},
        {"__type": "File", "name": 7},
        {"__type": "Date", "iso": "2026-13-01T00:00:00.000Z"},
        {"__type": "Bytes", "base64": "%"},
        _DEEP,
        {"city": 5, "tags": []},
        [[1]],
        [{"a": None}],
        "\ud800",
        float("nan"),
        2.5,
    ],
    ids=lambda column: str(column)[:30],
)
def test_hostile_columns_are_errors_or_values(annotation: Any, column: Any) -> None:
    """Whatever the server sends is a value of the type, or an `InvalidValueError`."""
    codec, _ = codec_for(annotation, "test")
    try:
        value = codec.from_json(column)
    except InvalidValueError:
        return
    codec.check(value)


class Fruit(Model):
    """A model with Parse's own types."""

    seller: Pointer[Person] | None = None
    eaters: Relation[Person] = relation()
    place: Place | None = encrypted(to=only_me(), default=None)
    price: decimal.Decimal | None = None
    ripeness: float | None = field(
        codec=Codec(
            "percentage",
            lambda value: value,
            lambda value: round(value * 100),
            lambda value: value / 100,
        ),
        default=None,
    )


def _row(**columns: Any) -> dict[str, Any]:
    return {"objectId": "o1", "createdAt": "2026-11-24T12:00:00.000Z", **columns}


class _NoSealer:
    user_id = "me"

    def prefetch(self, _: object) -> None:
        """No cards here."""

    def prefetch_authors(self, _: object) -> Prefetched:
        """No authors either."""
        return Prefetched(frozenset(), frozenset())


def test_decimals_are_exact() -> None:
    """Money keeps its digits, as a text column."""
    draft = drafts.draft(Fruit(price=decimal.Decimal("0.10")), "me")
    assert draft.plain["price"] == "0.10"


def test_a_replaced_codec() -> None:
    """A field's own codec writes and reads."""
    draft = drafts.draft(Fruit(ripeness=0.25), "me")
    assert draft.plain["ripeness"] == 25
    [fruit] = rows.load_rows(Fruit, [_row(ripeness=50)], _NoSealer())
    assert fruit.ripeness == 0.5


def test_pointers_take_saved_objects() -> None:
    """An object stands for the pointer to it, once it is saved."""
    person = Person(name="Ann")
    with pytest.raises(InvalidValueError, match="saved"):
        Fruit(seller=person)
    drafts.commit(drafts.draft(person, "me"), _row())
    fruit = Fruit(seller=person)
    assert fruit.seller == Pointer("Person", "o1")
    assert fruit.seller.target is person
    with pytest.raises(MissingValueError, match="include"):
        _ = Pointer("Person", "o1").target


def test_included_objects() -> None:
    """Rows that the server puts in place of pointers become objects; saving sends nothing."""
    included = {"__type": "Object", "className": "Person", **_row(name="Bo"), "objectId": "p1"}
    [fruit, other] = rows.load_rows(Fruit, [_row(seller=included), _row()], _NoSealer())
    assert fruit.seller is not None
    assert fruit.seller.target.name == "Bo"
    assert other.seller is None
    assert drafts.draft(fruit, "me").is_empty


def test_relations_take_no_value() -> None:
    """A relation is neither assigned nor sent."""
    [fruit] = rows.load_rows(
        Fruit, [_row(eaters={"__type": "Relation", "className": "Person"})], _NoSealer()
    )
    assert fruit.eaters == Relation("Person")
    assert drafts.draft(fruit, "me").is_empty
    with pytest.raises(InvalidValueError, match="relate"):
        fruit.eaters = [Person(name="x")]  # type: ignore[assignment]


def test_embedded_values_are_tracked_and_checked() -> None:
    """A part that changes makes the whole dirty; a bad part is refused at once."""
    fruit = Fruit(place=Place(city="Rome", tags=["old"]))
    draft = drafts.draft(fruit, "me")
    assert draft.sealed == {frozenset({"me"}): {"place": b'{"city":"Rome","tags":["old"]}'}}
    drafts.commit(draft, _row())
    assert drafts.draft(fruit, "me").is_empty
    assert fruit.place is not None
    fruit.place.tags.append("warm")
    assert not drafts.draft(fruit, "me").is_empty
    with pytest.raises(InvalidValueError, match=r"Place\.city"):
        fruit.place.city = 5  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        fruit.place.town = "x"  # type: ignore[attr-defined]
    assert "Rome" not in repr(fruit.place)


def test_embedded_values_forgive_what_grew() -> None:
    """Unknown keys are ignored, and a missing one has its default, or is an error."""
    codec, _ = codec_for(Place, "test")
    read = codec.from_json({"city": "Rome", "tags": [], "new": {"__type": "x"}})
    assert read == Place(city="Rome", tags=[])

    class Grown(Embedded):
        city: str
        stars: int = 3
        tags: list[str] = field(factory=list)

    codec, _ = codec_for(Grown, "test")
    assert codec.from_json({"city": "Rome"}) == Grown(city="Rome")
    with pytest.raises(InvalidValueError, match="not complete"):
        codec.from_json({"stars": 2})


def test_polygons_are_closed_or_not() -> None:
    """The ring is the same polygon, closed or open."""
    corners = [GeoPoint(0, 0), GeoPoint(0, 1), GeoPoint(1, 1)]
    assert Polygon(corners) == Polygon([*corners, corners[0]])
    with pytest.raises(InvalidValueError):
        Polygon(corners[:2])


def _relation_of_nothing() -> None:
    class Bad(Model):
        friends: Relation = relation()  # type: ignore[type-arg]


def _pointer_to_a_string() -> None:
    class Bad(Model):
        friend: Pointer[int]  # type: ignore[type-var]


def _mixed_enum() -> None:
    class Mixed(enum.Enum):
        A = 1
        B = "b"

    codec_for(Mixed, "test")


def _encrypted_part() -> None:
    class Bad(Embedded):
        part: str = encrypted(to=only_me())


@pytest.mark.parametrize(
    "define", [_relation_of_nothing, _pointer_to_a_string, _mixed_enum, _encrypted_part]
)
def test_bad_declarations(define: Callable[[], None]) -> None:
    """What could not work is refused when the class is made."""
    with pytest.raises(ModelDefinitionError):
        define()


WHOLE: list[Any] = [
    {"__type": "Date", "iso": "2026-11-24T12:00:00.000Z"},
    {"__type": "Pointer", "className": "Person", "objectId": "o1"},
    {"__type": "File", "name": "a", "url": "https://parse.example/a"},
    {"__type": "GeoPoint", "latitude": 1, "longitude": 2.5},
    {"__type": "Polygon", "coordinates": [[0, 0], [0, 1], [1, 0]]},
    {"__type": "Bytes", "base64": "AAAA"},
]
BROKEN: list[Any] = [
    {"__type": "Date"},
    {"__type": "Date", "iso": "no date"},
    {"__type": "Date", "iso": "2026-13-45T00:00:00.000Z"},
    {"__type": "Pointer", "className": "Person"},
    {"__type": "Pointer", "className": "Person", "objectId": ""},
    {"__type": "Object", "objectId": "o1"},
    {"__type": "File", "name": "a"},
    {"__type": "File", "url": "https://parse.example/a"},
    {"__type": "GeoPoint", "latitude": 91, "longitude": 0},
    {"__type": "GeoPoint", "latitude": True, "longitude": 0},
    {"__type": "Polygon", "coordinates": [[0]]},
    {"__type": "Polygon", "coordinates": 5},
    {"__type": "Bytes", "base64": "%"},
    {"__type": "Bytes"},
]


@pytest.mark.parametrize("value", BROKEN, ids=str)
def test_values_that_a_server_cannot_encode_are_not_sent(value: Any) -> None:
    """Nested anywhere in a plain dict or list, what is not whole is refused."""
    for nested in (value, [value], {"a": [{"b": value}]}):
        with pytest.raises(InvalidValueError, match="cannot encode"):
            check_json_value(nested)


def test_whole_values_are_sent() -> None:
    """What Parse encodes again is let through."""
    for value in WHOLE:
        check_json_value({"a": [value]})


def test_files_are_sent_with_their_url() -> None:
    """A file that is known by its name gets the address that the server gives it."""
    sent = []

    def answer(request: HttpRequest) -> HttpResponse:
        sent.append(json.loads(request.body or b"{}"))
        return HttpResponse(201, {}, b'{"objectId":"o1","createdAt":"2026-11-24T12:00:00.000Z"}')

    app = ParseApp("https://parse.example/parse", "app", "key")
    named: dict[str, Any] = {"__type": "File", "name": "a b.txt"}
    elsewhere = {**named, "url": "https://files.example/a"}
    fields = {"one": named, "more": {"__op": "Add", "objects": [named]}, "known": elsewhere}
    ParseClient(app, FakeTransport(answer)).create("Person", fields)
    whole = {**named, "url": "https://parse.example/parse/files/app/a%20b.txt"}
    assert sent == [{"one": whole, "more": {"__op": "Add", "objects": [whole]}, "known": elsewhere}]
    assert "url" not in named
