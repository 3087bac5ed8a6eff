"""Parse's queries over rows in memory: the constraints, the order, and what matches."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from encrypted_parse.testing.refusals import RefusedError

EARTH_RADIUS_KM = 6371.0
_INVALID_QUERY = 102
_INVALID_JSON = 107
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}

Row = Mapping[str, Any]
Subquery = Callable[[Mapping[str, Any]], list[Row]]


def matches(row: Row, where: Mapping[str, Any], run: Subquery) -> bool:
    """Tell whether *row* satisfies *where*; *run* answers the queries inside it.

    Raises:
        RefusedError: A constraint that Parse Server does not know.
    """
    return all(_holds(row, name, constraint, run) for name, constraint in where.items())


def ordered(rows: Sequence[Row], order: Sequence[str]) -> list[Row]:
    """Return *rows* sorted by columns; a leading ``-`` sorts downwards; missing values first."""
    result = list(rows)
    for name in reversed(order):
        column = name.removeprefix("-")
        result.sort(
            key=functools.cmp_to_key(lambda a, b, c=column: _compare(a.get(c), b.get(c))),  # type: ignore[misc]
            reverse=name.startswith("-"),
        )
    return result


def nearest_first(rows: Sequence[Row], where: Mapping[str, Any]) -> list[Row]:
    """Return *rows* as ``$nearSphere`` sorts them, if *where* has one."""
    for column, constraint in where.items():
        if isinstance(constraint, Mapping) and "$nearSphere" in constraint:
            point = constraint["$nearSphere"]
            return sorted(rows, key=lambda row: _kilometres(row[column], point))
    return list(rows)


def _holds(row: Row, name: str, constraint: Any, run: Subquery) -> bool:  # noqa: ANN401 - any JSON
    if name == "$or":
        return any(matches(row, one, run) for one in constraint)
    if name == "$and":
        return all(matches(row, one, run) for one in constraint)
    if name == "$nor":
        return not any(matches(row, one, run) for one in constraint)
    value = row.get(name)
    if not (isinstance(constraint, Mapping) and any(key.startswith("$") for key in constraint)):
        return _equal(value, constraint)
    return all(_test(value, test, operand, constraint, run) for test, operand in constraint.items())


def _test(value: Any, test: str, operand: Any, whole: Mapping[str, Any], run: Subquery) -> bool:  # noqa: ANN401 - any JSON
    if test in ("$options", "$maxDistanceInKilometers"):
        return True
    if test == "$regex":
        flags = functools.reduce(
            lambda found, letter: found | _FLAGS[letter], whole.get("$options", ""), 0
        )
        return isinstance(value, str) and re.search(operand, value, flags) is not None
    if test == "$nearSphere":
        limit = whole.get("$maxDistanceInKilometers", math.inf)
        return value is not None and _kilometres(value, operand) <= limit
    if test in ("$inQuery", "$notInQuery"):
        found = {(operand["className"], str(target["objectId"])) for target in run(operand)}
        pointer = value if isinstance(value, Mapping) else {}
        is_in = (pointer.get("className"), pointer.get("objectId")) in found
        return is_in is (test == "$inQuery")
    known = _TESTS.get(test)
    if known is None:
        raise RefusedError(_INVALID_JSON, f"bad constraint: {test}")
    return known(value, operand)


def _equal(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - any JSON
    if isinstance(value, list) and not isinstance(wanted, list):
        return any(_same(one, wanted) for one in value)
    return _same(value, wanted)


def _same(a: Any, b: Any) -> bool:  # noqa: ANN401 - any JSON
    return _comparable(a) == _comparable(b) and isinstance(a, bool) == isinstance(b, bool)


def _comparable(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Leave out what is no part of a value: a file's address, an included object's columns."""
    if isinstance(value, Mapping) and "__type" in value:
        kept = {"Date": ("iso",), "File": ("name",), "Pointer": ("className", "objectId")}
        names = kept.get(value["__type"])
        return value if names is None else tuple(value.get(name) for name in names)
    return value


def _compare(a: Any, b: Any) -> int:  # noqa: ANN401 - any JSON
    a, b = _sortable(a), _sortable(b)
    if a is None or b is None:
        return (a is not None) - (b is not None)
    return int(a > b) - int(a < b)


def _sortable(value: Any) -> Any:  # noqa: ANN401 - any JSON
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def _ordering(accept: Callable[[int], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, operand: Any) -> bool:  # noqa: ANN401 - any JSON
        comparable = type(_comparable(value)) is type(_comparable(operand)) or (
            isinstance(value, (int, float)) and isinstance(operand, (int, float))
        )
        return comparable and value is not None and accept(_compare(value, operand))

    return test


def _in(value: Any, operand: Any) -> bool:  # noqa: ANN401 - any JSON
    return any(_equal(value, one) for one in operand)


def _within(value: Any, operand: Any) -> bool:  # noqa: ANN401 - any JSON
    corners = [(one["latitude"], one["longitude"]) for one in operand["$polygon"]]
    return value is not None and _inside(value, corners)


def _covers(value: Any, operand: Any) -> bool:  # noqa: ANN401 - any JSON
    return value is not None and _inside(operand["$point"], value["coordinates"])


def _inside(point: Mapping[str, float], corners: Sequence[Sequence[float]]) -> bool:
    """Count the edges that a ray from the point crosses."""
    y, x = point["latitude"], point["longitude"]
    inside = False
    for (y1, x1), (y2, x2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def _kilometres(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Return the distance on a sphere, by the haversine formula."""
    lat1, lat2 = math.radians(a["latitude"]), math.radians(b["latitude"])
    dlat, dlon = lat2 - lat1, math.radians(b["longitude"] - a["longitude"])
    half = math.sin(dlat / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(dlon / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda value, operand: not _equal(value, operand),
    "$in": _in,
    "$nin": lambda value, operand: not _in(value, operand),
    "$exists": lambda value, operand: (value is not None) is operand,
    "$lt": _ordering(lambda sign: sign < 0),
    "$lte": _ordering(lambda sign: sign <= 0),
    "$gt": _ordering(lambda sign: sign > 0),
    "$gte": _ordering(lambda sign: sign >= 0),
    "$all": lambda value, operand: (
        isinstance(value, list) and all(_equal(value, one) for one in operand)
    ),
    "$containedBy": lambda value, operand: (
        isinstance(value, list) and all(_in(one, operand) for one in value)
    ),
    "$geoWithin": _within,
    "$geoIntersects": _covers,
}
