"""Embedded values: small typed records inside a field, without a row of their own."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, ClassVar, dataclass_transform

import attrs

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import InvalidValueError, ModelDefinitionError
from encrypted_parse.models import fields
from encrypted_parse.models.codecs import Codec
from encrypted_parse.models.fields import Field, make_field


@dataclass_transform(kw_only_default=True, field_specifiers=(fields.field,))
class Embedded:
    """Base class of embedded values.

    ```python
    class Address(Embedded):
        street: str
        city: str | None = None

    class Person(Model):
        address: Address = encrypted(to=only_me())
    ```

    Stored as a JSON object whose keys are the attributes' names in camelCase; what is None is
    left out, and keys that are not declared are ignored when read. Values are checked when they
    are assigned, and again when the object is saved. A part that an older value lacks has its
    default. The parts of an embedded value are secret
    or not together: the field that holds it says which.
    """

    embedded_fields: ClassVar[Mapping[str, Field]]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        attrs.define(cls, kw_only=True, slots=False, repr=False, auto_attribs=True)
        fields.close_constructor(cls)
        cls.embedded_fields = fields.collect(cls, _make)

    @front_door
    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any field's value
        declared = type(self).embedded_fields.get(name)
        if declared is None:
            raise AttributeError(f"{type(self).__name__} has no settable {name!r}")
        self.__dict__[name] = declared.check(value)

    def __repr__(self) -> str:
        # It may have come from an encrypted field.
        return f"<{type(self).__name__} of {', '.join(type(self).embedded_fields)}>"

    @classmethod
    def __parse_codec__(cls, arguments: tuple[Any, ...], where: str) -> Codec:
        if cls is Embedded:
            raise ModelDefinitionError(f"{where}: name a class derived from Embedded")

        def check(value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
            if not isinstance(value, cls):
                raise InvalidValueError(f"expected {cls.__name__}, got {type(value).__name__}")
            return value

        holding = [one for one in cls.embedded_fields.values() if one.codec.files is not None]

        def files(value: Embedded) -> list[Any]:
            return [
                file for one in holding for file in one.codec.files_in(value.__dict__[one.name])
            ]

        return Codec(
            cls.__name__,
            check,
            _to_json,
            cls._from_json,
            ordered=False,
            files=files if holding else None,
        )

    @classmethod
    def _from_json(cls, value: Any) -> typing.Self:  # noqa: ANN401 - whatever the server sent
        if not isinstance(value, Mapping):
            raise InvalidValueError(f"the stored value is no {cls.__name__}")
        parts: dict[str, Any] = {}
        for name, declared in cls.embedded_fields.items():
            found = value.get(declared.column)
            if found is not None:
                parts[name] = declared.codec.from_json(found)
            elif declared.optional:
                parts[name] = None
        with translating(
            TypeError, to=lambda: InvalidValueError(f"the stored {cls.__name__} is not complete")
        ):
            return cls(**parts)


def _to_json(value: Embedded) -> dict[str, Any]:
    encoded = {}
    for name, declared in type(value).embedded_fields.items():
        part = declared.check(value.__dict__[name])
        if part is not None:
            encoded[declared.column] = declared.codec.to_json(part)
    return encoded


def _make(owner: type, attribute: attrs.Attribute[Any], hint: Any) -> Field:  # noqa: ANN401 - a type form
    declared = make_field(owner, attribute, hint)
    if declared.encryption is not None:
        raise ModelDefinitionError(
            f"{declared.where}: a part of an embedded value is not encrypted alone",
            hint="encrypt the field of the model that holds it",
        )
    return declared
