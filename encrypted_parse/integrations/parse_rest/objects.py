"""The decorator: attributes of a class of parse_rest that are encrypted on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

from attrs import define, field, frozen

from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.envelope import is_envelope
from encrypted_parse.errors import (
    AuthorMismatchError,
    AuthorMissingError,
    DoubleEncryptionError,
    EncryptedOperationError,
    EncryptedParseError,
    EncryptedQueryError,
    FieldLockedError,
    InvalidValueError,
    ModelDefinitionError,
    NotPicklableError,
    RecipientRuleError,
    SignerNotFoundError,
    UnexpectedPlaintextError,
)
from encrypted_parse.integrations.parse_rest.connection import current
from encrypted_parse.integrations.parse_rest.conversion import DELETE, acl_of, plain_values
from encrypted_parse.integrations.parse_rest.package import load
from encrypted_parse.integrations.parse_rest.reading import refuse_stale, tags_of
from encrypted_parse.models import ACL, ObjectContext, RecipientRule, Sealer, only_me
from encrypted_parse.models.annotations import codec_for
from encrypted_parse.models.codecs import Codec
from encrypted_parse.models.fields import Encryption, LockedValue
from encrypted_parse.models.rules import Recipient, user_id_of
from encrypted_parse.parse import REPLACED_KEY

C = TypeVar("C", bound=type)
_STATE = "_encrypted_parse"


@frozen
class Sealed:
    """What `sealed` says of one attribute."""

    annotation: Any
    encryption: Encryption


@front_door
def sealed(
    annotation: Any = str,  # noqa: ANN401 - a type form
    *,
    to: RecipientRule,
    author: str | None = None,
) -> Sealed:
    """Say how an attribute is encrypted.

    Args:
        annotation: The type of its values, as in a model's class statement.
        to: Who can read it; see `encrypted_parse.encrypted`. Attributes are named as in Parse.
        author: The attribute with the writer's user id, or a pointer to the user. Not needed
            with `only_me()`.
    """
    return Sealed(annotation, Encryption(to, author))


@define(repr=False)  # it holds plaintext
class _State:
    """What is known of one object: as `ObjectState` of a model."""

    stored: dict[str, bytes] = field(factory=dict)
    recipients: dict[str, frozenset[Recipient] | None] = field(factory=dict)
    locked: dict[str, LockedValue] = field(factory=dict)
    pending: dict[str, tuple[bytes | None, frozenset[Recipient] | None]] = field(factory=dict)
    read: dict[str, str] = field(factory=dict)  # tags of what says who reads, as stored
    sent: dict[str, str] = field(factory=dict)  # the same of the last body


@frozen
class _Declared:
    where: str
    name: str
    codec: Codec
    encryption: Encryption


@front_door
def encrypted_object(**attributes: Sealed) -> Callable[[C], C]:
    """Encrypt attributes of a class of parse_rest.

    ``@encrypted_object(body=sealed(to=acl_readers(), author="senderId"))``

    Saving encrypts what changed, creating without an ACL makes the object private to its author;
    fetching decrypts and verifies. What cannot be opened raises when it is read, and leaves the
    rest usable. Queries on the attributes, and atomic operations, are refused.

    Raises:
        ModelDefinitionError: Not a class of parse_rest, or a reader could not know the author.
        MissingExtraError: parse_rest is not installed.
    """

    def decorate(cls: C) -> C:
        if not issubclass(cls, load("datatypes").ParseResource):
            raise ModelDefinitionError(f"{cls.__name__} is not a class of parse_rest")
        declared = {name: _declare(cls, name, one) for name, one in attributes.items()}
        _Patch(cls, declared).apply()
        return cls

    return decorate


def _declare(cls: type, name: str, one: Sealed) -> _Declared:
    where = f"{cls.__name__}.{name}"
    if one.encryption.author is None and one.encryption.to != only_me():
        raise ModelDefinitionError(
            f"{where}: readers need to know whose signature to expect",
            hint='name the attribute with the writer\'s user id: author="senderId"',
        )
    return _Declared(where, name, codec_for(one.annotation, where)[0], one.encryption)


class _Patch:
    """New methods around those that a class has, in place: parse_rest finds classes by name."""

    def __init__(self, cls: Any, declared: Mapping[str, _Declared]) -> None:  # noqa: ANN401 - a class of parse_rest
        self.cls = cls
        self.declared = declared

    def apply(self) -> None:  # noqa: C901 - one method after the other
        """Put them in."""
        cls, declared = self.cls, self.declared
        init_attrs, to_native, save = cls._init_attrs, cls._to_native, cls.save
        getattr_before = cls.__getattr__

        @front_door
        def _init_attrs(instance: Any, args: Mapping[str, Any]) -> None:  # noqa: ANN401
            init_attrs(instance, _open(instance, args, declared))

        def _to_native(instance: Any) -> dict[str, Any]:  # noqa: ANN401
            body: dict[str, Any] = to_native(instance)
            for name in declared:
                body.pop(name, None)
            body |= _seal(instance, declared)
            state = _state(instance)
            if instance.objectId:
                user = current().user()
                refuse_stale(user.parse, instance.className, instance.objectId, state.read)
            sent = tags_of(body, [one.encryption for one in declared.values()])
            state.sent = {column: tag for column, tag in sent.items() if column in body}
            if not instance.objectId:
                state.sent = sent
            return body

        @front_door
        def _save(instance: Any, batch: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002
            if not batch:
                result = _send_anew(instance, lambda: save(instance, batch=False))
                _commit(instance)
                return result
            request, take_over = save(instance, batch=True)

            @front_door
            def callback(answer: Any) -> None:  # noqa: ANN401
                take_over(answer)
                _commit(instance)

            return request, callback

        def __getattr__(instance: Any, name: str) -> Any:  # noqa: ANN401, N807
            state = instance.__dict__.get(_STATE)
            if name in declared and state is not None and name in state.locked:
                state.locked[name].fail(declared[name].where)
            return getattr_before(instance, name)

        def __reduce_ex__(instance: Any, _: object) -> NoReturn:  # noqa: ANN401, N807
            raise NotPicklableError(
                f"a {type(instance).__name__} holds decrypted values and is not pickled or copied"
            )

        cls._init_attrs, cls._to_native, cls.save = _init_attrs, _to_native, _save
        cls.__getattr__, cls.__reduce_ex__ = __getattr__, __reduce_ex__
        for name in ("increment", "addToArray", "addUniqueToArray", "removeFromArray"):
            if hasattr(cls, name):
                setattr(cls, name, _refusing(getattr(cls, name), declared))
        cls.Query = _guarded_manager(cls, declared)


def _state(instance: Any) -> _State:  # noqa: ANN401 - an object of parse_rest
    state = instance.__dict__.get(_STATE)
    if state is None:
        state = instance.__dict__[_STATE] = _State()
    return state  # type: ignore[no-any-return]  # from an untyped dict


def _sealer() -> Sealer:
    return current().user().sealer


def _open(
    instance: Any,  # noqa: ANN401 - an object of parse_rest
    args: Mapping[str, Any],
    declared: Mapping[str, _Declared],
) -> dict[str, Any]:
    """Return a row's columns with the encrypted ones decrypted; what cannot be is locked."""
    args = hushed(args)
    values = hushed(dict(args))
    if "createdAt" not in args:
        return values  # made by the app, not by a server
    state, sealer = _state(instance), _sealer()
    state.read = tags_of(args, [one.encryption for one in declared.values()])
    plain, acl = plain_values(args), acl_of(args.get("ACL"))
    context = ObjectContext(instance.className, args.get("objectId"))
    for name, one in declared.items():
        text = values.pop(name, None)
        if text is None:
            continue
        state.locked.pop(name, None)
        state.recipients[name] = _recipients(one, acl, plain, sealer)
        author = _author(one, plain, sealer)
        opened = _open_one(sealer, context, one, text, author)
        if isinstance(opened, EncryptedParseError):
            state.locked[name] = LockedValue.from_error(opened)
            continue
        state.stored[name], values[name] = opened
        del opened  # the next one may ask the network
    return values


def _open_one(
    sealer: Sealer,
    context: ObjectContext,
    one: _Declared,
    text: object,
    author: str,
) -> tuple[bytes, Any] | EncryptedParseError:
    if not isinstance(text, str) or not is_envelope(text):
        return UnexpectedPlaintextError("the encrypted column holds plaintext")
    if not author:
        return AuthorMissingError(f"{one.encryption.author!r} names no author")
    kept = sealer.prefetch_authors([author]).kept
    [opened] = sealer.unseal([(context, text)], author)
    if isinstance(opened, SignerNotFoundError) and kept and sealer.renew_authors(kept):
        [opened] = sealer.unseal([(context, text)], author)
    if isinstance(opened, EncryptedParseError):
        return opened
    try:
        return opened, one.codec.from_plaintext(opened)
    except InvalidValueError as error:
        return error


def _seal(
    instance: Any,  # noqa: ANN401 - an object of parse_rest
    declared: Mapping[str, _Declared],
) -> dict[str, Any]:
    """Return the columns that have to be sent for encrypted attributes, and a default ACL."""
    state, sealer = _state(instance), _sealer()
    attributes = {
        name: value
        for name, value in instance._editable_attrs.items()  # noqa: SLF001 - parse_rest's own protocol
        if name not in declared
    }
    plain, acl = plain_values(attributes), acl_of(attributes.get("ACL"))
    sent: dict[str, Any] = {}
    if not instance.objectId and acl is None:
        acl = ACL(read=[sealer.user_id], write=[sealer.user_id])
        sent["ACL"] = acl.to_json()
    state.pending = {}
    context = ObjectContext(instance.className, instance.objectId)
    for name, one in declared.items():
        if name in state.locked and name not in instance.__dict__:
            if _recipients(one, acl, plain, sealer) != state.recipients.get(name):
                raise FieldLockedError(
                    f"{one.where} would have to be encrypted for other readers, but it is locked"
                )
            continue
        if instance.__dict__.get(name) is None:
            if name in state.stored:
                sent[name] = DELETE
                state.pending[name] = (None, None)
            continue
        plaintext = _plaintext(one, instance.__dict__[name])
        recipients = one.encryption.to.user_ids(acl, plain) | {sealer.user_id}
        if state.stored.get(name) == plaintext and state.recipients.get(name) == recipients:
            continue
        if one.encryption.author is not None and _author(one, plain, sealer) != sealer.user_id:
            raise AuthorMismatchError(
                f"{one.where} is signed by the user that {one.encryption.author!r} names, "
                "and that is not you",
                hint=f"set {one.encryption.author!r} to your own user id, or let its author save",
            )
        sent.update(sealer.seal(context, {name: plaintext}, recipients))
        state.pending[name] = (plaintext, recipients)
    return sent


def _plaintext(one: _Declared, value: Any) -> bytes:  # noqa: ANN401 - whatever was assigned
    try:
        checked = one.codec.check(value)
    except InvalidValueError as error:
        raise InvalidValueError(f"{one.where}: {error}", hint=error.hint) from None
    if isinstance(checked, str) and is_envelope(checked):
        raise DoubleEncryptionError(f"{one.where}: the value is an envelope already")
    return hushed(one.codec.to_plaintext(checked))


def _send_anew(
    instance: Any,  # noqa: ANN401 - an object of parse_rest
    send: Callable[[], Any],
) -> Any:  # noqa: ANN401 - what parse_rest returns
    """Send an object; once more if the guard says that a reader's key was replaced meanwhile."""
    try:
        return send()
    except load("core").ParseError as error:
        if getattr(error, "code", None) != REPLACED_KEY:
            raise
    pending = _state(instance).pending.values()
    readers = [recipients for _, recipients in pending if recipients is not None]
    _sealer().prefetch(frozenset[Recipient]().union(*readers), replaced=True)
    return send()


def _commit(instance: Any) -> None:  # noqa: ANN401 - an object of parse_rest
    state = _state(instance)
    for name, (plaintext, recipients) in state.pending.items():
        state.locked.pop(name, None)
        if plaintext is None:
            state.stored.pop(name, None)
            state.recipients.pop(name, None)
        else:
            state.stored[name], state.recipients[name] = plaintext, recipients
    state.pending = {}
    state.read |= state.sent


def _author(one: _Declared, plain: Mapping[str, Any], sealer: Sealer) -> str:
    if one.encryption.author is None:
        return sealer.user_id
    return user_id_of(plain.get(one.encryption.author))


def _recipients(
    one: _Declared, acl: ACL | None, plain: Mapping[str, Any], sealer: Sealer
) -> frozenset[Recipient] | None:
    try:
        return one.encryption.to.user_ids(acl, plain) | {sealer.user_id}
    except RecipientRuleError:
        return None


# --- refusals -------------------------------------------------------------------------------


def _refusing(method: Callable[..., Any], declared: Mapping[str, _Declared]) -> Callable[..., Any]:
    @front_door
    def refuse(instance: Any, key: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if key in declared:
            raise EncryptedOperationError(
                f"{declared[key].where} is encrypted, so the server cannot compute in it",
                hint="change the attribute, then save() the object",
            )
        return method(instance, key, *args, **kwargs)

    return refuse


def _guarded_manager(cls: Any, declared: Mapping[str, _Declared]) -> Any:  # noqa: ANN401 - classes of parse_rest
    """Return a manager whose queries do not name encrypted attributes."""
    query = load("query")

    @front_door
    class GuardedQueryset(query.Queryset):  # type: ignore[misc, name-defined]  # an untyped library
        def filter(self, **conditions: Any) -> Any:  # noqa: ANN401
            _check_names("filter", conditions, declared)
            return super().filter(**conditions)

        def order_by(self, order: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            _check_names("order", (part.strip().lstrip("-") for part in order.split(",")), declared)
            return super().order_by(order, *args, **kwargs)

    class GuardedManager(query.QueryManager):  # type: ignore[misc, name-defined]  # the same
        def all(self) -> Any:  # noqa: ANN401
            return GuardedQueryset(self)

    return GuardedManager(cls)


def _check_names(purpose: str, names: Iterable[str], declared: Mapping[str, _Declared]) -> None:
    for name in names:
        attribute = name.split("__")[0].split(".")[0]
        if attribute in declared:
            raise EncryptedQueryError(
                f"cannot {purpose} by {declared[attribute].where}: the server sees ciphertext only",
                hint=f"{purpose} by plain attributes, then in Python over the fetched objects",
            )
