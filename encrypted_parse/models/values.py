"""Parse's own kinds of values: points on the earth, pointers, relations, files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import attrs
from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    InvalidValueError,
    MissingValueError,
    ModelDefinitionError,
)
from encrypted_parse.models.codecs import Codec
from encrypted_parse.parse.names import check_class_name, quote_object_id
from encrypted_parse.parse.types import MAX_LATITUDE, MAX_LONGITUDE, check_json_value

if TYPE_CHECKING:
    from encrypted_parse.models.model import Model

M = TypeVar("M", bound="Model")

USER_CLASS = "_User"
MAX_POLYGON_POINTS = 10_000  # bounds work on hostile input
MIN_POLYGON_POINTS = 3
_NUMBERS: tuple[type, ...] = (int, float)


@front_door
@frozen
class GeoPoint:
    """A place on the earth, in degrees.

    Raises:
        InvalidValueError: Latitude beyond 90, or longitude beyond 180; some servers store such.
    """

    latitude: float
    longitude: float

    def __attrs_post_init__(self) -> None:
        for value, limit in ((self.latitude, MAX_LATITUDE), (self.longitude, MAX_LONGITUDE)):
            if type(value) not in _NUMBERS or not -limit <= value <= limit:  # NaN too
                raise InvalidValueError("a latitude lies within 90 degrees, a longitude within 180")

    def to_json(self) -> dict[str, Any]:
        """Return Parse's form."""
        return {
            "__type": "GeoPoint",
            "latitude": float(self.latitude),
            "longitude": float(self.longitude),
        }

    @classmethod
    def from_json(cls, value: Any) -> GeoPoint:  # noqa: ANN401 - whatever the server sent
        """Read Parse's form.

        Raises:
            InvalidValueError: It is not one.
        """
        fields = _tagged(value, "GeoPoint")
        return cls(fields.get("latitude", math.nan), fields.get("longitude", math.nan))

    @classmethod
    def __parse_codec__(cls, arguments: tuple[Any, ...], where: str) -> Codec:
        return Codec(
            "GeoPoint", _instance_of(cls), cls.to_json, cls.from_json, kind=cls, ordered=False
        )


def _corners(points: Iterable[GeoPoint]) -> tuple[GeoPoint, ...]:
    return tuple(points)


@front_door
@frozen
class Polygon:
    """An area, by the corners of its edge in order. Closed or not, it is the same polygon.

    Raises:
        InvalidValueError: Fewer than three corners.
    """

    corners: tuple[GeoPoint, ...] = attrs.field(converter=_corners)

    def __attrs_post_init__(self) -> None:
        corners = self.corners
        if len(corners) > 1 and corners[0] == corners[-1]:
            object.__setattr__(self, "corners", corners[:-1])
        if not MIN_POLYGON_POINTS <= len(self.corners) <= MAX_POLYGON_POINTS:
            raise InvalidValueError("a polygon has at least three corners")
        if not all(isinstance(corner, GeoPoint) for corner in self.corners):
            raise InvalidValueError("a polygon's corners are GeoPoints")

    def to_json(self) -> dict[str, Any]:
        """Return Parse's form, closed, as the server would close it."""
        ring = [*self.corners, self.corners[0]]
        pairs = [[float(corner.latitude), float(corner.longitude)] for corner in ring]
        return {"__type": "Polygon", "coordinates": pairs}

    @classmethod
    def from_json(cls, value: Any) -> Polygon:  # noqa: ANN401 - whatever the server sent
        """Read Parse's form.

        Raises:
            InvalidValueError: It is not one.
        """
        pairs = _tagged(value, "Polygon").get("coordinates")
        if not isinstance(pairs, list) or len(pairs) > MAX_POLYGON_POINTS + 1:
            raise InvalidValueError("the stored value is no Polygon")
        with translating(TypeError, to=lambda: InvalidValueError("the stored value is no Polygon")):
            return cls(tuple(GeoPoint(*pair) for pair in pairs))

    @classmethod
    def __parse_codec__(cls, arguments: tuple[Any, ...], where: str) -> Codec:
        return Codec(
            "Polygon", _instance_of(cls), cls.to_json, cls.from_json, kind=cls, ordered=False
        )


@front_door
@frozen
class Pointer(Generic[M]):
    """The address of another object: ``thread: Pointer[Thread]``.

    A saved object may be assigned in its place. Two pointers are equal if they point to the same
    row, whether it was included or not.
    """

    class_name: str
    object_id: str
    _included: M | None = attrs.field(default=None, eq=False, repr=False, alias="included")

    def __attrs_post_init__(self) -> None:
        check_class_name(self.class_name)
        if not isinstance(self.object_id, str):
            raise InvalidValueError("an object id is a str")
        quote_object_id(self.object_id)

    if TYPE_CHECKING:  # what a field of a model takes, beside what it shows

        @overload
        def __get__(self, instance: None, owner: type) -> Any: ...  # noqa: ANN401 - a Field
        @overload
        def __get__(self, instance: object, owner: type) -> Pointer[M]: ...
        def __get__(self, instance: object, owner: type) -> Any: ...
        def __set__(self, instance: object, value: Pointer[M] | M) -> None: ...

    @classmethod
    def to(cls, instance: M) -> Pointer[M]:
        """Point to a saved object.

        Raises:
            InvalidValueError: It was never saved.
        """
        if instance.object_id is None:
            raise InvalidValueError("a pointer needs a saved object", hint="save it first")
        return cls(instance.parse_class, instance.object_id, included=instance)

    @classmethod
    def to_user(cls, user_id: str) -> Pointer[Any]:
        """Point to a Parse user."""
        return cls(USER_CLASS, user_id)

    @property
    def is_included(self) -> bool:
        """Whether `target` is at hand."""
        return self._included is not None

    @property
    def target(self) -> M:
        """The object that is pointed to, if a query included it.

        Raises:
            MissingValueError: It was not fetched.
        """
        if self._included is None:
            raise MissingValueError(
                f"the {self.class_name} was not fetched with its pointer",
                hint="query with include(...), or get() it by its object_id",
            )
        return self._included

    def to_json(self) -> dict[str, Any]:
        """Return Parse's form."""
        return {"__type": "Pointer", "className": self.class_name, "objectId": self.object_id}

    @classmethod
    def __parse_codec__(cls, arguments: tuple[Any, ...], where: str) -> Codec:
        target = _target(arguments, where)
        class_name = None if target is None else target.parse_class

        def check(value: Any) -> Pointer[Any]:  # noqa: ANN401 - whatever was assigned
            if not isinstance(value, cls) and hasattr(type(value), "parse_class"):
                value = cls.to(value)
            if not isinstance(value, cls):
                raise InvalidValueError(f"expected Pointer, got {type(value).__name__}")
            if class_name is not None and value.class_name != class_name:
                raise InvalidValueError(
                    f"expected a pointer to {class_name}, got one to {value.class_name}"
                )
            return value

        def from_json(value: Any) -> Pointer[Any]:  # noqa: ANN401 - whatever the server sent
            included = isinstance(value, Mapping) and value.get("__type") == "Object"
            fields = value if included else _tagged(value, "Pointer")
            with translating(
                KeyError,
                TypeError,
                ModelDefinitionError,
                to=lambda: InvalidValueError("the stored value is no Pointer"),
            ):
                return check(cls(fields["className"], fields["objectId"]))

        return Codec(
            "Pointer", check, cls.to_json, from_json, kind=cls, target=target, ordered=False
        )


@front_door
@frozen
class Relation(Generic[M]):
    """A set of objects that a row is related to, kept by the server: see `relation`.

    Declared as ``members: Relation[User] = relation()``. It has no values here:
    `UserClient.relate` and `unrelate` change it, and
    ``query(User).related_to(team, "members")`` reads it.
    """

    class_name: str

    @classmethod
    def __parse_codec__(cls, arguments: tuple[Any, ...], where: str) -> Codec:
        target = _target(arguments, where)
        if target is None:
            raise ModelDefinitionError(f"{where}: say what it relates to: Relation[User]")
        class_name = target.parse_class

        def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
            if value != cls(class_name):
                raise InvalidValueError(
                    "a relation is not assigned", hint="call relate() or unrelate() of the client"
                )
            return value

        def to_json(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a Relation
            return {"__type": "Relation", "className": value.class_name}

        def from_json(value: Any) -> Any:  # noqa: ANN401 - whatever the server sent
            return check(cls(str(_tagged(value, "Relation").get("className"))))

        return Codec("Relation", check, to_json, from_json, kind=cls, target=target, ordered=False)


@front_door
@frozen
class File:
    """A file of Parse: **public** to everybody who has its address, whatever the ACL says.

    For content that is not public there is `EncryptedFile`.

    Attributes:
        name: The name on the server.
        url: Where the server says that it lies. Not part of what is stored or compared.
    """

    name: str
    url: str | None = attrs.field(default=None, eq=False)

    def to_json(self) -> dict[str, Any]:
        """Return Parse's form. Without a url, the client that sends it puts one in."""
        known = {} if self.url is None else {"url": self.url}
        return {"__type": "File", "name": self.name, **known}

    @classmethod
    def from_json(cls, value: Any) -> File:  # noqa: ANN401 - whatever the server sent
        """Read Parse's form.

        Raises:
            InvalidValueError: It is not one.
        """
        fields = _tagged(value, "File")
        name, url = fields.get("name"), fields.get("url")
        if not isinstance(name, str) or not (url is None or isinstance(url, str)):
            raise InvalidValueError("the stored value is no File")
        return cls(name, url)

    @classmethod
    def __parse_codec__(cls, arguments: tuple[Any, ...], where: str) -> Codec:
        def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
            _instance_of(cls)(value)
            for text in (value.name, value.url or "url"):
                check_json_value(text)
                if text == "":
                    raise InvalidValueError("a file has a name")
            return value

        return Codec("File", check, cls.to_json, cls.from_json, kind=cls, ordered=False)


def _tagged(value: Any, tag: str) -> Mapping[str, Any]:  # noqa: ANN401 - whatever the server sent
    if isinstance(value, Mapping) and value.get("__type") == tag:
        return value
    raise InvalidValueError(f"the stored value is no {tag}")


def _instance_of(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
        if not isinstance(value, kind):
            raise InvalidValueError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


def _target(arguments: tuple[Any, ...], where: str) -> type[Model] | None:
    """Return the model of ``Pointer[Model]``; None for a bare ``Pointer``."""
    if not arguments or arguments[0] is Any:
        return None
    target: type[Model] = arguments[0]
    if not isinstance(getattr(target, "parse_class", None), str):
        raise ModelDefinitionError(f"{where}: {target!r} is not a model")
    return target
