"""Field declarations: what a model's class statement says about each column."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, TypeVar, overload

import attrs
from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    EncryptedParseError,
    InvalidValueError,
    MissingValueError,
    ModelDefinitionError,
)
from encrypted_parse.models.annotations import codec_for
from encrypted_parse.models.codecs import Codec
from encrypted_parse.models.naming import column_name
from encrypted_parse.models.rules import RecipientRule
from encrypted_parse.models.values import Pointer, Relation
from encrypted_parse.parse.names import check_field_name

T = TypeVar("T")
METADATA_KEY = "encrypted_parse"
OWN_ID = "object_id"  # the author of encrypted columns of `_User`


@frozen
class Encryption:
    """For whom a field is encrypted, and whose signature its reader expects.

    Attributes:
        to: The recipient rule.
        author: The attribute that holds the author's user id; None only with `only_me()`, where
            the author is the reader.
    """

    to: RecipientRule
    author: str | None

    def attributes(self) -> frozenset[str]:
        """Return the attributes that say who reads and who wrote."""
        return frozenset(self.to.attributes()) | ({self.author} if self.author else frozenset())


@frozen
class Declaration:
    """What `field` and `encrypted` leave in attrs' metadata."""

    column: str | None = None
    encryption: Encryption | None = None
    codec: Codec | None = None
    is_version: bool = False


@overload
def encrypted(
    *,
    to: RecipientRule,
    author: str | None = None,
    column: str | None = None,
    codec: Codec | None = None,
) -> Any: ...  # noqa: ANN401 - a required field of any type
@overload
def encrypted(
    *,
    to: RecipientRule,
    author: str | None = None,
    column: str | None = None,
    codec: Codec | None = None,
    default: T,
) -> T: ...
@overload
def encrypted(
    *,
    to: RecipientRule,
    author: str | None = None,
    column: str | None = None,
    codec: Codec | None = None,
    factory: Callable[[], T],
) -> T: ...
def encrypted(  # noqa: PLR0913 - options, all by keyword
    *,
    to: RecipientRule,
    author: str | None = None,
    column: str | None = None,
    codec: Codec | None = None,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Declare an encrypted field.

    Args:
        to: Who can read it: `only_me()`, `users(...)`, `acl_readers()`, `role(...)`, `group(...)`,
            or several of them joined by ``|``. The author always can.
        author: The attribute with the user id of whoever writes the value, or a pointer to that
            user. Readers accept this user's signature only. Not needed with `only_me()`.
        column: The Parse column, if not the attribute's name in camelCase.
        codec: Checks, writes and reads the values, in place of the type's own codec.
        default: The value of an object that is made without one.
        factory: Makes that value anew for each object.
    """
    if not hasattr(to, "user_ids"):
        called = f"{getattr(to, '__name__', 'acl_readers')}()"
        raise ModelDefinitionError("to= takes a recipient rule", hint=f"call it: to={called}")
    declaration = Declaration(column, Encryption(to, author), codec)
    return _attrs_field(declaration, default, factory)


@overload
def field(*, column: str | None = None, codec: Codec | None = None) -> Any: ...  # noqa: ANN401 - a required field of any type
@overload
def field(*, column: str | None = None, codec: Codec | None = None, default: T) -> T: ...
@overload
def field(
    *, column: str | None = None, codec: Codec | None = None, factory: Callable[[], T]
) -> T: ...
def field(
    *,
    column: str | None = None,
    codec: Codec | None = None,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Declare a plain field that needs more than a type.

    Args:
        column: The Parse column, if not the attribute's name in camelCase.
        codec: Checks, writes and reads the values, in place of the type's own codec.
        default: The value of an object that is made without one.
        factory: Makes that value anew for each object.
    """
    return _attrs_field(Declaration(column, codec=codec), default, factory)


def relation(*, column: str | None = None, init: Literal[False] = False) -> Any:  # noqa: ANN401 - a field of any Relation
    """Declare a field that is a `Relation`, which takes no value."""
    return attrs.field(init=init, metadata={METADATA_KEY: Declaration(column)})


def version(*, column: str | None = None, init: Literal[False] = False) -> Any:  # noqa: ANN401 - an int
    """Declare the int field that counts an object's saves.

    A save of an object that somebody else has changed since it was fetched then raises
    `StaleObjectError`. The field is the client's to write: it takes no value.
    """
    return attrs.field(
        init=init, default=0, metadata={METADATA_KEY: Declaration(column, is_version=True)}
    )


def _attrs_field(declaration: Declaration, default: Any, factory: Any) -> Any:  # noqa: ANN401 - attrs' own types
    metadata = {METADATA_KEY: declaration}
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


def close_constructor(owner: type) -> None:
    """Make the constructor that attrs wrote for *owner* a front door: it is given plaintext."""
    for name in ("__init__", "__attrs_init__"):
        written = vars(owner).get(name)
        if written is not None:
            setattr(owner, name, front_door(written))


def collect(
    owner: type, make: Callable[[type, attrs.Attribute[Any], Any], Field]
) -> dict[str, Field]:
    """Make the fields of a class that attrs has defined, by attribute.

    Raises:
        ModelDefinitionError: An annotation cannot be resolved, or two fields share a column.
    """
    try:
        hints = typing.get_type_hints(owner, include_extras=True)
    except NameError as error:
        raise ModelDefinitionError(
            f"{owner.__name__}: the annotation {error.name!r} cannot be resolved",
            hint="import the type at module level",
        ) from error
    collected: dict[str, Field] = {}
    columns: dict[str, str] = {}
    for attribute in attrs.fields(owner):
        name = attribute.name
        declared = make(owner, attribute, hints[name])
        other = columns.setdefault(declared.column, name)
        if other != name:
            raise ModelDefinitionError(
                f"{owner.__name__}: {other!r} and {name!r} share the column {declared.column!r}"
            )
        collected[name] = declared
    return collected


def make_field(
    owner: type,
    attribute: attrs.Attribute[Any],
    hint: Any,  # noqa: ANN401 - a type form
    *,
    keep_name: bool = False,
) -> Field:
    """Make the field that one annotated name declares; with *keep_name*, its column is called so.

    Raises:
        ModelDefinitionError: Its column cannot be one, Parse has no such type, or its default
            would be shared by all objects.
    """
    name = attribute.name
    declaration = attribute.metadata.get(METADATA_KEY, Declaration())
    column = declaration.column or (name if keep_name else column_name(name))
    where = f"{owner.__name__}.{name}"
    if column == "id":
        raise ModelDefinitionError(
            f"{where}: Parse keeps the column 'id' for itself",
            hint="an object's id is its object_id; for another value, pass column=",
        )
    check_field_name(column)
    _check_default(attribute.default, where)
    if declaration.codec is None:
        codec, optional = codec_for(hint, where)
    else:
        codec = declaration.codec
        optional = types.NoneType in typing.get_args(hint)
    if declaration.is_version and codec.kind is not int:
        raise ModelDefinitionError(f"{where}: a version is an int")
    return Field(
        owner.__name__,
        name,
        column,
        codec,
        optional,
        declaration.encryption,
        declaration.is_version,
        attribute.default if attribute.init and attribute.default is not attrs.NOTHING else None,
    )


def _check_default(default: Any, where: str) -> None:  # noqa: ANN401 - attrs' own types
    """Refuse a default that could be changed in place: all objects would share the change."""
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class, typed as a function
        return
    with translating(
        TypeError,
        to=lambda: ModelDefinitionError(
            f"{where}: all objects would share this {type(default).__name__}",
            hint=f"make a new one for each: factory={type(default).__name__}",
        ),
    ):
        hash(default)


@frozen
class LockedValue:
    """Why a stored value could not be opened; raises afresh on every access."""

    error_class: type[EncryptedParseError]
    message: str
    attributes: Mapping[str, Any]

    @classmethod
    def from_error(cls, error: EncryptedParseError) -> LockedValue:
        """Keep what *error* says, without its traceback, whose frames could hold plaintext."""
        attributes = {name: value for name, value in vars(error).items() if name != "__notes__"}
        return cls(type(error), str(error), attributes)

    def fail(self, where: str) -> NoReturn:
        """Raise the error again, naming the field."""
        error = self.error_class.__new__(self.error_class)
        EncryptedParseError.__init__(
            error, f"{where}: {self.message}", hint=self.attributes.get("hint")
        )
        vars(error).update(self.attributes)
        raise error


@frozen(eq=False)
class Field:
    """One field of a model, and the class attribute that answers while no value is set.

    It is no data descriptor: a value in the instance's `__dict__` wins, so reading a set
    attribute costs what it costs on any object.
    """

    model: str
    name: str
    column: str
    codec: Codec
    optional: bool
    encryption: Encryption | None
    is_version: bool = False
    default: Any = attrs.field(default=None, repr=False)

    def shown_default(self) -> Any:  # noqa: ANN401 - a value of the field
        """Return what the attribute shows where a row has no value; None if that is nothing.

        A field that may be None shows None: None is stored as no value.
        """
        if self.optional:
            return None
        made = self.default.factory() if isinstance(self.default, attrs.Factory) else self.default  # type: ignore[arg-type]  # a class, typed as a function
        return None if made is None else self.check(made)

    def stored_form(self, value: Any) -> Any:  # noqa: ANN401 - a value of the field
        """Return what *value* is compared by: Parse JSON, or the bytes that are encrypted."""
        return (
            self.codec.to_json(value) if self.encryption is None else self.codec.to_plaintext(value)
        )

    @property
    def where(self) -> str:
        """The name for messages: ``Message.body``."""
        return f"{self.model}.{self.name}"

    @property
    def target(self) -> type[Any] | None:
        """The model that a plain pointer points to, or each pointer of a plain list."""
        pointer = self.codec if self.codec.item is None else self.codec.item
        plain = self.encryption is None and pointer.kind is Pointer
        return pointer.target if plain else None

    @property
    def relation_to(self) -> str | None:
        """The Parse class that a relation leads to."""
        target = self.codec.target if self.codec.kind is Relation else None
        return None if target is None else str(target.parse_class)

    def check(self, value: Any) -> Any:  # noqa: ANN401 - whatever was assigned
        """Return *value* as it will be stored.

        Raises:
            InvalidValueError: It cannot be; the message names the field, never the value.
        """
        if value is None:
            if self.optional:
                return None
            raise InvalidValueError(f"{self.where}: None is not allowed")
        try:
            return self.codec.check(value)
        except InvalidValueError as error:
            raise InvalidValueError(f"{self.where}: {error}", hint=error.hint) from None

    def __get__(self, instance: Any, owner: type) -> Any:  # noqa: ANN401 - the descriptor protocol
        if instance is None:
            return self
        state = instance._state  # noqa: SLF001 - Model's own state
        locked: LockedValue | None = state.locked.get(self.name)
        if locked is not None:
            locked.fail(self.where)
        if self.name in state.deferred:
            raise MissingValueError(
                f"{self.where} was not fetched",
                hint="name it in only(...), or refresh() the object",
            )
        if self.optional:
            return None
        raise MissingValueError(
            f"{self.where} holds no value",
            hint=f"declare it as `{self.name}: ... | None` if rows may lack the column",
        )
