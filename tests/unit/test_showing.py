"""Objects as dicts, JSON and notebook tables: secrets by the explicit word alone."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid

import pytest

from encrypted_parse import (
    Codec,
    Embedded,
    GeoPoint,
    Model,
    Pointer,
    Polygon,
    encrypted,
    field,
    only_me,
)
from encrypted_parse.models.query import Results
from encrypted_parse.testing import InMemoryApp

CANARY = "canary-4711"


class Kind(enum.Enum):
    """A kind."""

    A = "a"


class Part(Embedded):
    """A part."""

    text: str
    kind: Kind = Kind.A


class Everything(Model):
    """A row with everything that can be shown."""

    title: str
    kind: Kind = Kind.A
    when: dt.datetime | None = None
    day: dt.date | None = None
    amount: decimal.Decimal | None = None
    key: uuid.UUID | None = None
    raw: bytes | None = None
    place: GeoPoint | None = None
    area: Polygon | None = None
    owner: Pointer | None = None
    parts: list[Part] = field(factory=list)
    secret: str | None = encrypted(to=only_me(), default=None)
    part: Part | None = encrypted(to=only_me(), default=None)


def everything() -> Everything:
    """Return one of everything."""
    return Everything(
        title="<b>t</b>",
        when=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        day=dt.date(2026, 1, 2),
        amount=decimal.Decimal("1.50"),
        key=uuid.UUID(int=1),
        raw=b"\xff",
        place=GeoPoint(1.0, 2.0),
        area=Polygon((GeoPoint(0, 0), GeoPoint(0, 1), GeoPoint(1, 1))),
        owner=Pointer.to_user("u1"),
        parts=[Part(text="p")],
        secret=CANARY,
        part=Part(text=CANARY),
    )


def test_a_dict_holds_no_secret_unless_told() -> None:
    """Encrypted fields come by `decrypted=True` alone, in dicts and in JSON."""
    one = everything()
    shown = one.to_dict()
    assert CANARY not in str(shown)
    assert CANARY not in one.to_json()
    assert not {"secret", "part"} & set(shown)
    assert shown["parts"] == [{"text": "p", "kind": "a"}]
    assert (shown["owner"], shown["kind"], shown["amount"]) == ("u1", "a", decimal.Decimal("1.50"))
    opened = one.to_dict(decrypted=True)
    assert (opened["secret"], opened["part"]) == (CANARY, {"text": CANARY, "kind": "a"})
    parsed = json.loads(one.to_json(decrypted=True))
    assert (parsed["secret"], parsed["raw"], parsed["day"]) == (CANARY, "/w==", "2026-01-02")
    assert parsed["place"] == {"latitude": 1.0, "longitude": 2.0}


def test_what_is_locked_is_named() -> None:
    """A locked value is neither None nor absent without a word; what was not fetched is absent."""
    app = InMemoryApp()
    ann = app.make_user()
    one = ann.save(Everything(title="x", secret="s"))
    app.parse.change("Everything", str(one.object_id), secret="M" + "A" * 60)
    one = ann.refresh(one)
    assert "locked" not in one.to_dict()
    opened = one.to_dict(decrypted=True)
    assert "secret" not in opened
    assert set(opened["locked"]) == {"secret"}
    assert "locked: " in one._repr_html_()
    part = ann.query(Everything).only("title").first()
    assert part is not None
    assert set(part.to_dict(decrypted=True)) == {"object_id", "created_at", "updated_at", "title"}


def test_a_notebook_shows_no_secret_and_runs_no_markup() -> None:
    """Tables mask secrets and escape texts; of many rows, fifty."""
    table = Results([everything() for _ in range(60)])._repr_html_()
    assert CANARY not in table
    assert "<b>t" not in table
    assert table.count("encrypted") == 100
    assert "10 not shown" in table
    assert Results()._repr_html_() == "<p>no objects</p>"


def test_a_type_of_ones_own_has_no_json_of_ours() -> None:
    """Its `repr` might show what is inside, so nothing is guessed."""

    class Own(Model):
        value: object = field(codec=Codec("own", lambda v: v, str, lambda v: v))

    with pytest.raises(TypeError, match="say how"):
        Own(value=object()).to_json()
