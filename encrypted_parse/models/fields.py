"""Field declarations: what a model's class statement says about each column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, overload

import attrs
from attrs import frozen

from encrypted_parse.errors import EncryptedParseError, InvalidValueError, MissingValueError
from encrypted_parse.models.codecs import Codec
from encrypted_parse.models.rules import RecipientRule

T = TypeVar("T")
METADATA_KEY = "encrypted_parse"


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


@frozen
class Declaration:
    """What `field` and `encrypted` leave in attrs' metadata."""

    column: str | None = None
    encryption: Encryption | None = None


@overload
def encrypted(
    *, to: RecipientRule, author: str | None = None, column: str | None = None
) -> Any: ...  # noqa: ANN401 - a required field of any type
@overload
def encrypted(
    *, to: RecipientRule, author: str | None = None, column: str | None = None, default: T
) -> T: ...
@overload
def encrypted(
    *,
    to: RecipientRule,
    author: str | None = None,
    column: str | None = None,
    factory: Callable[[], T],
) -> T: ...
def encrypted(
    *,
    to: RecipientRule,
    author: str | None = None,
    column: str | None = None,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Declare an encrypted field.

    Args:
        to: Who can read it: `only_me()`, `users(...)` or `acl_readers()`. The author always can.
        author: The attribute with the user id of whoever writes the value. Readers accept this
            user's signature only. Not needed with `only_me()`.
        column: The Parse column, if not the attribute's name in camelCase.
        default: The value of an object that is made without one.
        factory: Makes that value anew for each object.
    """
    declaration = Declaration(column, Encryption(to, author))
    return _attrs_field(declaration, default, factory)


@overload
def field(*, column: str | None = None) -> Any: ...  # noqa: ANN401 - a required field of any type
@overload
def field(*, column: str | None = None, default: T) -> T: ...
@overload
def field(*, column: str | None = None, factory: Callable[[], T]) -> T: ...
def field(
    *,
    column: str | None = None,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Declare a plain field that needs more than a type: another column, or a default."""
    return _attrs_field(Declaration(column), default, factory)


def _attrs_field(declaration: Declaration, default: Any, factory: Any) -> Any:  # noqa: ANN401 - attrs' own types
    metadata = {METADATA_KEY: declaration}
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


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

    @property
    def where(self) -> str:
        """The name for messages: ``Message.body``."""
        return f"{self.model}.{self.name}"

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
        if self.optional:
            return None
        raise MissingValueError(
            f"{self.where} holds no value",
            hint=f"declare it as `{self.name}: ... | None` if rows may lack the column",
        )
