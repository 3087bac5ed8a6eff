"""Hypothesis strategies, one per kind of value that the tests need."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from encrypted_parse import Embedded, File, GeoPoint, Model, Pointer, Polygon
from encrypted_parse.crypto import KeyType, PrivateKey

# Nothing here asserts on wall-clock time, so no example has a deadline.
ordinary = settings(deadline=None)
expensive = settings(deadline=None, max_examples=30)

_SEEDS = st.binary(min_size=32, max_size=32)


def private_keys(*key_types: KeyType) -> st.SearchStrategy[PrivateKey]:
    """Private keys of *key_types*; without any, keys that can sign."""
    return st.builds(PrivateKey, st.sampled_from(key_types or (KeyType.ED25519,)), _SEEDS)


def readers(min_size: int = 1, max_size: int = 5) -> st.SearchStrategy[list[PrivateKey]]:
    """Lists of distinct private keys of both types, to be the recipients of one envelope."""
    return st.lists(private_keys(*KeyType), min_size=min_size, max_size=max_size, unique=True)


def plaintexts() -> st.SearchStrategy[bytes]:
    """Plaintexts of all interesting lengths: empty, short, and around a frame of padding."""
    around_frames = st.integers(0, 1).flatmap(
        lambda frame: st.integers(150, 165).map(lambda size: b"p" * (160 * frame + size))
    )
    return st.one_of(st.binary(max_size=400), st.text().map(str.encode), around_frames)


class Colour(enum.Enum):
    """An enum of texts."""

    RED = "red"
    GREEN = "grün"


class Grade(enum.IntEnum):
    """An enum of numbers."""

    GOOD = 1
    BAD = 6


class Place(Embedded):
    """An embedded value with several types, one of them embedded lists."""

    city: str
    point: GeoPoint | None = None
    founded: dt.date | None = None
    tags: list[str]


class Person(Model):
    """What pointers of the tests point to."""

    name: str


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1)
KEYS = st.from_regex(r"[a-z]{1,8}", fullmatch=True).filter(lambda key: key != "constructor")
OBJECT_IDS = st.from_regex(r"[A-Za-z0-9]{10}", fullmatch=True)
DATES = st.datetimes(timezones=st.just(dt.UTC))
POINTS = st.builds(GeoPoint, st.floats(-90, 90), st.floats(-180, 180))
PLACES = st.builds(
    Place,
    city=TEXT,
    point=st.none() | POINTS,
    founded=st.none() | st.dates(),
    tags=st.lists(TEXT, max_size=3),
)

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXT),
    (int, NUMBERS),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (bytes, st.binary()),
    (dt.datetime, DATES),
    (dt.date, st.dates()),
    (decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (uuid.UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Grade, st.sampled_from(Grade)),
    (GeoPoint, POINTS),
    (Polygon, st.builds(Polygon, st.lists(POINTS, min_size=4, max_size=6, unique=True))),
    (Pointer[Person], st.builds(Pointer, st.just("Person"), OBJECT_IDS)),
    (File, st.builds(File, st.from_regex(r"[a-z]{1,8}\.txt", fullmatch=True))),
    (Place, PLACES),
    (list[int], st.lists(NUMBERS)),
    (dict[str, str], st.dictionaries(KEYS, TEXT)),
    (list[dict[str, list[bool]]], st.lists(st.dictionaries(KEYS, st.lists(st.booleans())))),
    (dict[str, decimal.Decimal], st.dictionaries(KEYS, st.decimals(0, 10))),
    (list[Place], st.lists(PLACES, max_size=3)),
]
"""Every type that a field may have, with any of its values."""
