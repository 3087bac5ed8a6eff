"""Models: declared classes whose instances are rows of a Parse class."""

from __future__ import annotations

import datetime as dt
import inspect
import re
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, Self, dataclass_transform

import attrs

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import is_envelope
from encrypted_parse.errors import (
    DoubleEncryptionError,
    EncryptedParseError,
    FieldLockedError,
    InvalidValueError,
    ModelDefinitionError,
    NotPicklableError,
)
from encrypted_parse.models import fields, showing
from encrypted_parse.models.acl import ACL
from encrypted_parse.models.fields import Field, LockedValue
from encrypted_parse.models.naming import column_name
from encrypted_parse.models.rules import only_me
from encrypted_parse.models.state import ObjectState
from encrypted_parse.parse.names import check_class_name

_RESERVED = frozenset(
    {
        "acl",
        "created_at",
        "fields",
        "is_new",
        "locked",
        "object_id",
        "parse_class",
        "self",  # attrs writes an __init__ with a parameter a field
        "updated_at",
        "version_field",
    }
)
_CLASS_VARIABLE = re.compile(r"(\w+\.)?ClassVar\b")
_SET_ANYWAY = object.__setattr__


@dataclass_transform(
    kw_only_default=True,
    field_specifiers=(fields.encrypted, fields.field, fields.relation, fields.version),
)
class Model:
    """Base class of models.

    ```python
    class Message(Model):
        thread_id: str
        sender_id: str
        body: str = encrypted(to=acl_readers(), author="sender_id")
    ```

    Each annotated name is a column, in camelCase, or as it is written with
    ``class Message(Model, keep_names=True)``. The class is the Parse class of the same name, or
    ``class Message(Model, parse_class="Msg")``. A base without a Parse class of its own is
    ``class Owned(Model, abstract=True)``; a model that derives from another names its class.

    Instances are made with keyword arguments. Assigning checks the value at once; nothing is
    sent before a client saves the object. An attribute with a default shows it where the row has
    no value, unless it may be None. Saved objects are equal if class and object id are; one that
    was never saved equals itself alone, and has no hash. Instances refuse to be pickled, since
    they hold decrypted values.
    """

    parse_class: ClassVar[str]
    fields: ClassVar[Mapping[str, Field]]
    version_field: ClassVar[Field | None]
    _is_abstract: ClassVar[bool] = True
    _keeps_names: ClassVar[bool] = False
    _state: ObjectState

    def __init_subclass__(
        cls,
        *,
        parse_class: str | None = None,
        abstract: bool = False,
        keep_names: bool | None = None,
        **kwargs: object,
    ) -> None:
        super().__init_subclass__(**kwargs)
        _check_statement(cls, parse_class, abstract=abstract)
        cls._is_abstract = abstract
        if keep_names is not None:
            cls._keeps_names = keep_names
        cls.parse_class = parse_class or cls.__name__
        check_class_name(cls.parse_class)
        with translating(
            attrs.exceptions.UnannotatedAttributeError,
            to=lambda: ModelDefinitionError(
                f"{cls.__name__}: a field has a type: `body: str = encrypted(...)`"
            ),
        ):
            attrs.define(cls, kw_only=True, slots=False, eq=False, repr=False, auto_attribs=True)
        fields.close_constructor(cls)
        cls.fields = fields.collect(cls, _make_field)
        cls.version_field = _version_of(cls, cls.fields)
        _check_authors(cls, cls.fields)
        for name, declared in cls.fields.items():
            setattr(cls, name, declared)

    def __attrs_pre_init__(self) -> None:
        if self._is_abstract:
            raise ModelDefinitionError(
                f"{type(self).__name__} is abstract: it has no Parse class",
                hint="derive a model from it",
            )
        _SET_ANYWAY(self, "_state", ObjectState())

    @property
    def object_id(self) -> str | None:
        """Parse's object id; None until the object is saved."""
        return self._state.object_id

    @property
    def created_at(self) -> dt.datetime | None:
        """When the server created the row, by its own clock; None until then."""
        return self._state.created_at

    @property
    def updated_at(self) -> dt.datetime | None:
        """When the server last changed the row, by its own clock; None until then."""
        return self._state.updated_at

    @property
    def is_new(self) -> bool:
        """True until the object is first saved."""
        return self._state.object_id is None

    @property
    def acl(self) -> ACL:
        """Who may read and write the row. Change it in place, or assign another."""
        acl = self._state.acl
        if acl is None:
            acl = self._state.acl = ACL()
            if self._state.object_id is not None:  # a row without an ACL is public
                acl.allow_public_read()
        return acl

    @acl.setter
    def acl(self, value: ACL) -> None:
        if not isinstance(value, ACL):
            raise InvalidValueError(f"expected ACL, got {type(value).__name__}")
        self._state.acl = value

    @property
    def locked(self) -> Mapping[str, str]:
        """The attributes whose stored values could not be opened, each with the reason."""
        return {name: value.message for name, value in self._state.locked.items()}

    @front_door
    def overwrite_locked(self, name: str) -> None:
        """Allow the locked attribute *name* to be given a new value, losing the stored one.

        Raises:
            FieldLockedError: *name* is not locked.
        """
        if name not in self._state.locked:
            raise FieldLockedError(f"{type(self).__name__}.{name} is not locked")
        self._state.released.add(name)

    @front_door
    def to_dict(self, *, decrypted: bool = False) -> dict[str, Any]:
        """Return the attributes as a dict of plain Python values, **without** encrypted fields.

        With *decrypted*, these too: a dict shows what is in it to whoever logs or sends it on. A
        pointer is its object id, an enum its value, an embedded value a dict. Locked attributes
        are named, with their reasons, under ``"locked"``; what was not fetched is left out.
        """
        return showing.as_dict(self, decrypted=decrypted)

    @front_door
    def to_json(self, *, decrypted: bool = False) -> str:
        """Return `to_dict` as JSON: dates in ISO 8601, bytes in base64, decimals as text.

        Raises:
            TypeError: A value is of a type of your own: take `to_dict`, and say how.
        """
        return showing.as_json(self, decrypted=decrypted)

    @front_door
    def _repr_html_(self) -> str:
        return showing.as_html(type(self), [self])

    @front_door
    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any field's value
        declared = type(self).fields.get(name)
        if declared is None:
            if name in ("acl", "_state"):
                _SET_ANYWAY(self, name, value)
                return
            known = ", ".join(type(self).fields)
            raise AttributeError(f"{type(self).__name__} has no settable {name!r}; it has {known}")
        state = self._state
        if name in state.locked and name not in state.released:
            raise FieldLockedError(
                f"{declared.where} is locked: {state.locked[name].message}",
                hint=f"call overwrite_locked({name!r}) first if the stored value may be lost",
            )
        if declared.is_version and name in self.__dict__:
            raise InvalidValueError(f"{declared.where} counts saves and is not assigned")
        checked = declared.check(value)
        if declared.encryption is not None and isinstance(checked, str) and is_envelope(checked):
            raise DoubleEncryptionError(
                f"{declared.where}: the value is an envelope already",
                hint="assign the plaintext; the field encrypts it when it is saved",
            )
        state.defaults.pop(name, None)
        self.__dict__[name] = checked

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return NotImplemented
        if self is other:
            return True
        same = self.parse_class == other.parse_class and self.object_id == other.object_id
        return same and self.object_id is not None

    def __hash__(self) -> int:
        if self.object_id is None:
            raise TypeError(f"a {type(self).__name__} has a hash when it is saved")
        return hash((self.parse_class, self.object_id))

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name!r} cannot be deleted; assign None to clear a field")

    def __repr__(self) -> str:
        parts = [f"object_id={self.object_id!r}"]
        for name, declared in type(self).fields.items():
            if name in self._state.locked:
                parts.append(f"{name}=<locked>")
            elif name in self.__dict__:
                shown = "<encrypted>" if declared.encryption else repr(self.__dict__[name])
                parts.append(f"{name}={shown}")
        return f"<{type(self).__name__} {' '.join(parts)}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise NotPicklableError(
            f"a {type(self).__name__} holds decrypted values and is not pickled or copied",
            hint="pass its object_id and fetch it again",
        )

    @classmethod
    def blank(cls) -> Self:
        """Return an instance without any value, for rows that come from the server."""
        instance = cls.__new__(cls)
        _SET_ANYWAY(instance, "_state", ObjectState())
        return instance


def _check_statement(cls: type[Model], parse_class: str | None, *, abstract: bool) -> None:
    """Refuse a class statement that attrs would misread, or that leaves the Parse class open."""
    for name, annotation in inspect.get_annotations(cls).items():
        if _is_class_variable(annotation):
            continue
        if name.startswith("_") or name in _RESERVED or hasattr(Model, name):
            raise ModelDefinitionError(
                f"{cls.__name__}.{name}: the name is taken by Model itself",
                hint=f'name the attribute otherwise: field(column="{column_name(name)}")',
            )
    code = getattr(cls.__dict__.get("__init__"), "__code__", None)
    if "__init__" in cls.__dict__ and "__attrs_init__" not in getattr(code, "co_names", ()):
        raise ModelDefinitionError(
            f"{cls.__name__}: its own __init__ does not make the fields",
            hint="call self.__attrs_init__(...) in it, or use defaults and a class method",
        )
    base = next((one for one in cls.__mro__[1:] if issubclass(one, Model)), Model)
    if not base._is_abstract and not abstract and parse_class is None:  # noqa: SLF001 - our own
        raise ModelDefinitionError(
            f"{cls.__name__} derives from the model {base.__name__}: which Parse class is it?",
            hint=f'say parse_class="{base.parse_class}" to share its rows, or name another; a '
            "base for several models is declared with abstract=True",
        )


def _is_class_variable(annotation: object) -> bool:
    if isinstance(annotation, str):
        return _CLASS_VARIABLE.match(annotation) is not None
    return typing.get_origin(annotation) is ClassVar or annotation is ClassVar


def _make_field(cls: type[Model], attribute: attrs.Attribute[Any], hint: Any) -> Field:  # noqa: ANN401 - a type form
    where = f"{cls.__name__}.{attribute.name}"
    declared = fields.make_field(cls, attribute, hint, keep_name=cls._keeps_names)
    if declared.codec.files is not None and declared.encryption is None:
        raise ModelDefinitionError(
            f"{where}: an EncryptedFile holds its key, so its field is encrypted",
            hint="declare it with encrypted(to=..., author=...)",
        )
    if (declared.relation_to is None) is not (attribute.init or declared.is_version):
        raise ModelDefinitionError(
            f"{where}: a relation is declared by relation(), and nothing else is",
            hint="the server keeps relations, so they are not encrypted",
        )
    return declared


def _version_of(cls: type[Model], collected: Mapping[str, Field]) -> Field | None:
    counting = [declared for declared in collected.values() if declared.is_version]
    if len(counting) > 1:
        raise ModelDefinitionError(f"{cls.__name__}: an object has one version()")
    return counting[0] if counting else None


def _check_authors(cls: type[Model], collected: Mapping[str, Field]) -> None:
    """Refuse a field whose reader could not know whose signature to expect."""
    for declared in collected.values():
        encryption = declared.encryption
        if encryption is None:
            continue
        named = [*encryption.to.attributes()]
        if encryption.author is not None:
            named.append(encryption.author)
        elif encryption.to != only_me():
            raise ModelDefinitionError(
                f"{declared.where}: readers need to know whose signature to expect",
                hint='name the attribute with the writer\'s user id: author="sender_id"',
            )
        for name in named:
            source = collected.get(name)
            if name == fields.OWN_ID and name == encryption.author and cls.parse_class == "_User":
                continue  # a user's own columns: the object is its author
            if source is None or source.encryption is not None:
                raise ModelDefinitionError(
                    f"{declared.where}: {name!r} is not a plain field of {cls.__name__}"
                )


def lock(instance: Model, name: str, error: EncryptedParseError) -> None:
    """Record that the stored value of *name* could not be opened."""
    instance._state.locked[name] = LockedValue.from_error(error)  # noqa: SLF001 - our own
    instance.__dict__.pop(name, None)
