"""The connection: parse_rest's requests through our client, and who is logged in."""

from __future__ import annotations

import contextlib
import contextvars
import importlib.metadata
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from encrypted_parse.backup import LoginPassword
from encrypted_parse.client import EncryptedClient
from encrypted_parse.discretion import front_door, hushed, level_outside
from encrypted_parse.errors import (
    ConfigurationError,
    MalformedResponseError,
    ParseServerError,
    SessionExpiredError,
)
from encrypted_parse.integrations.parse_rest.conversion import remember_columns, to_parse
from encrypted_parse.integrations.parse_rest.package import load
from encrypted_parse.locks import Lock
from encrypted_parse.parse.batch import BATCH_OPERATIONS
from encrypted_parse.parse.sending import encode
from encrypted_parse.user_client import UserClient

_MODULES = ("connection", "datatypes", "user", "installation", "role")
_DOORS = (  # classes whose methods are given passwords and plaintexts before ours are
    ("user", "User"),
    ("datatypes", "ParseResource"),
    ("query", "QueryManager"),
    ("query", "Queryset"),
)
_INSECURE = "qs-parse-rest"
_MAX_USERS = 1000
_LOG_IN, _SIGN_UP = "login", "users"
_token: contextvars.ContextVar[str | None] = contextvars.ContextVar("parse_rest_session")


class InsecureParseRestWarning(UserWarning):
    """A variant of the library is installed that checks no certificates."""


@front_door
class Connection:
    """One app for all of parse_rest, which knows one only; and its users, by session."""

    def __init__(self, client: EncryptedClient) -> None:
        self.client = client
        self.parse = client.parse
        self.root = self.parse.app.server_url
        self._lock = Lock()
        self._users: OrderedDict[str, UserClient] = OrderedDict()
        self._confirmed: OrderedDict[str, tuple[str, LoginPassword | None]] = OrderedDict()

    def session_token(self) -> str | None:
        """Return the session of this thread or task; without one, parse_rest's own."""
        token = _token.get(None)
        if token is None:
            token = load("connection").ACCESS_KEYS.get("session_token")
        return token

    def remember(self, user: UserClient) -> None:
        """Keep *user* for its session."""
        with self._lock:
            self._users[user.session_token] = user
            self._users.move_to_end(user.session_token)
            while len(self._users) > _MAX_USERS:
                self._users.popitem(last=False)

    def confirm(self, path: str, fields: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Take the answer to a log-in or sign-up: its session is known to be that name's user.

        An answer without a session opens nothing. One that has a session and does not say whose
        is refused: the server could leave out what is compared.

        Raises:
            UnexpectedUserIdError: It is another user than the name's.
            MalformedResponseError: It does not say whose session it is.
        """
        username, user_id = fields.get("username"), answer.get("objectId")
        token, password = answer.get("sessionToken"), hushed(fields.get("password"))
        if isinstance(username, str) and token is not None:
            if not isinstance(user_id, str) or not isinstance(token, str):
                raise MalformedResponseError("the answer does not say whose session it is")
            if path == _LOG_IN:
                self.client.confirm_log_in(username, user_id)
            else:
                self.client.confirm_sign_up(username, user_id)
            with self._lock:
                self._confirmed[token] = user_id, _kept_of(password)
                while len(self._confirmed) > _MAX_USERS:
                    self._confirmed.popitem(last=False)

    def user(self) -> UserClient:
        """Return the user of the present session.

        Raises:
            UnexpectedUserIdError: No name was typed in for the session here, and keys of several
                users are: use `log_in_as`.
            SessionExpiredError: Nobody is logged in, or no longer.
        """
        token = hushed(self.session_token())
        if token is None:
            raise SessionExpiredError(
                "nobody is logged in, so nobody can encrypt or decrypt",
                hint="use `with SessionToken(user.sessionToken):` or `with log_in_as(user):`",
            )
        with self._lock:
            user = self._users.get(token)
        if user is None:
            user_id, password = self._confirmed.get(token, (None, None))
            user = self.client._take_over(token, user_id, password)  # noqa: SLF001 - our own
            self.remember(user)
        return user


_connection: Connection | None = None


@front_door
def current() -> Connection:
    """Return the connection.

    Raises:
        ConfigurationError: `connect` was not called.
    """
    if _connection is None:
        raise ConfigurationError(
            "parse_rest is not connected", hint="call connect(EncryptedClient.from_env()) first"
        )
    return _connection


@front_door
def connect(client: EncryptedClient | None = None) -> None:
    """Let parse_rest talk to the app of *client*, in place of ``parse_rest.connection.register``.

    Without a client, the environment's: `EncryptedClient.from_env`. Classes that were declared
    before are included. May be called again, for another app: there is one at a time, as ever
    in parse_rest.

    Raises:
        MissingExtraError: parse_rest is not installed.
        ConfigurationError: A variable is missing.
    """
    global _connection  # noqa: PLW0603 - parse_rest itself is one for the process
    connection = load("connection")
    _warn_if_insecure()
    joined = Connection(client or EncryptedClient.from_env())
    _rebase(connection.API_ROOT, joined.root)
    connection.ParseBase.execute = classmethod(_execute)
    connection.ParseBatcher.batch = _batch
    connection.SessionToken.__enter__ = _enter_session
    connection.SessionToken.__exit__ = _leave_session
    load("datatypes").ParseType.convert_to_parse = staticmethod(to_parse)
    _remember_columns(load("datatypes").ParseResource)
    for module, name in _DOORS:
        front_door(getattr(load(module), name))
    app = joined.parse.app
    connection.ACCESS_KEYS.clear()
    connection.ACCESS_KEYS.update(app_id=app.application_id, rest_key=app.rest_api_key or "")
    _connection = joined


@front_door
def current_user() -> UserClient:
    """Return whoever is logged in, as this package's client: ``current_user().register()``.

    Raises:
        SessionExpiredError: Nobody is, or no longer.
        ConfigurationError: `connect` was not called.
    """
    return current().user()


@contextlib.contextmanager
def log_in_as(user: UserClient) -> Iterator[UserClient]:
    """Act as *user* within the block, in this thread or task alone."""
    current().remember(user)
    before = _token.set(user.session_token)
    try:
        yield user
    finally:
        _token.reset(before)


def _warn_if_insecure() -> None:
    try:
        importlib.metadata.distribution(_INSECURE)
    except importlib.metadata.PackageNotFoundError:
        return
    warnings.warn(
        f"{_INSECURE} is installed, which checks no certificates: whoever is between you and the "
        "server can read and change everything that it sends. Uninstall it, and install "
        "encrypted-parse[parse-rest].",
        InsecureParseRestWarning,
        stacklevel=level_outside(),
    )


def _remember_columns(resource: Any) -> None:  # noqa: ANN401 - a class of parse_rest
    before = resource._init_attrs  # noqa: SLF001 - parse_rest's own protocol
    if getattr(before, "remembers", False):
        return

    @front_door
    def _init_attrs(instance: Any, args: Mapping[str, Any]) -> None:  # noqa: ANN401 - any object
        remember_columns(instance, args)
        before(instance, args)

    _init_attrs.remembers = True  # type: ignore[attr-defined]  # a mark for the next call
    resource._init_attrs = _init_attrs  # noqa: SLF001 - the same


def _rebase(old: str, new: str) -> None:
    """Replace the address in every module and in every class, declared already or not yet."""
    for name in _MODULES:
        module = load(name)
        if hasattr(module, "API_ROOT"):
            module.API_ROOT = new
    waiting = [load("connection").ParseBase]
    while waiting:
        cls = waiting.pop()
        waiting.extend(cls.__subclasses__())
        root = cls.__dict__.get("ENDPOINT_ROOT")
        if isinstance(root, str) and root.startswith(old):
            cls.ENDPOINT_ROOT = new + root.removeprefix(old)


# --- what takes the place of methods of parse_rest ------------------------------------------


@front_door
def _execute(
    cls: Any,  # noqa: ANN401 - any class of parse_rest
    /,
    uri: str,
    http_verb: str,
    extra_headers: Mapping[str, str] | None = None,
    batch: bool = False,  # noqa: FBT001, FBT002 - the signature that it replaces
    _body: str | bytes | None = None,
    **fields: Any,  # noqa: ANN401 - columns, or parameters of a query
) -> Any:  # noqa: ANN401 - JSON
    joined, fields = current(), hushed(fields)
    url = uri if uri.startswith(joined.root) else cls.ENDPOINT_ROOT + uri
    path = url.removeprefix(joined.root).strip("/")
    if batch:
        request: dict[str, Any] = {"method": http_verb, "path": f"{joined.parse.app.path}/{path}"}
        return {**request, "body": fields} if fields else request
    if path == _LOG_IN:
        http_verb = "POST"  # a password is no part of an address
    parse = joined.parse.with_session(joined.session_token())
    headers = dict(extra_headers or {})
    if _body is not None:
        content = hushed(_body.encode() if isinstance(_body, str) else _body)
        return _answer(lambda: parse.call(http_verb, path, content=content, headers=headers))
    if http_verb == "GET":
        return _answer(lambda: parse.call("GET", path, params=_params(fields), headers=headers))
    content = hushed(encode(to_parse(fields, True)))
    headers["Content-Type"] = "application/json"
    answer = _answer(lambda: parse.call(http_verb, path, content=content, headers=headers))
    if path in (_LOG_IN, _SIGN_UP):
        joined.confirm(path, fields, answer)
    return answer


def _kept_of(password: object) -> LoginPassword | None:
    """Return what backups are compared with: none may have the login's password."""
    return LoginPassword.of(password) if isinstance(password, str) else None


def _params(fields: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else encode(value).decode("ascii")
        for name, value in fields.items()
    }


def _answer(send: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
    try:
        return send()
    except ParseServerError as error:
        _raise_as_before(error)


def _raise_as_before(error: ParseServerError) -> NoReturn:
    """Raise the class that existing code catches, with a text that can be read, and the code."""
    core = load("core")
    classes = {
        400: core.ResourceRequestBadRequest,
        401: core.ResourceRequestLoginRequired,
        403: core.ResourceRequestForbidden,
        404: core.ResourceRequestNotFound,
    }
    raised = classes.get(error.status or 0, core.ParseError)(str(error))
    raised.code = error.code
    raise raised from error


@front_door
def _batch(self: Any, methods: Iterable[Callable[..., Any]]) -> None:  # noqa: ANN401 - a ParseBatcher
    """Run all methods; what succeeded is taken over, and all errors are raised as one."""
    prepared = [method(batch=True) for method in methods]
    errors: list[Mapping[str, Any]] = []
    for start in range(0, len(prepared), BATCH_OPERATIONS):
        chunk = prepared[start : start + BATCH_OPERATIONS]
        answers = self.execute("", "POST", requests=[request for request, _ in chunk])
        for (_, take_over), answer in zip(chunk, answers, strict=True):
            if "success" in answer:
                take_over(answer["success"])
            else:
                errors.append(answer["error"])
    if errors:
        first = errors[0]
        raised = load("core").ParseError(
            f"{len(errors)} of {len(prepared)} operations failed, the first with: "
            f"{first.get('error')} (code {first.get('code')})"
        )
        raised.errors = errors
        raised.code = first.get("code")
        raise raised


def _enter_session(self: Any) -> None:  # noqa: ANN401 - a SessionToken
    self.encrypted_parse_before = _token.set(self.token)


def _leave_session(self: Any, *_: object) -> None:  # noqa: ANN401 - a SessionToken
    _token.reset(self.encrypted_parse_before)
