"""Everything public is a front door: an exception that passes it takes no local along (ADR 20)."""

from __future__ import annotations

import enum
import gc
import importlib
import inspect
import json
import threading
import types
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
from frames import frames_of, shown_by

import encrypted_parse
from encrypted_parse import Embedded, Model, encrypted, only_me
from encrypted_parse.discretion import SPECIAL_DOORS, as_value, front_door, hushed, is_front_door
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.errors import EncryptedParseError, InvalidValueError
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.trust import KeyChangedWarning

ROOT = Path(encrypted_parse.__file__).parent
SECRET = "canary"

# What is public and no door, each with the reason.
_DECLARES = "part of a class statement: it is given rules and defaults, and never a value"
_HOT = "reads one attribute of the object's state, and is read often"
NO_DOORS = {
    "encrypted_parse.models.fields.encrypted": _DECLARES,
    "encrypted_parse.models.fields.field": _DECLARES,
    "encrypted_parse.models.fields.relation": _DECLARES,
    "encrypted_parse.models.fields.version": _DECLARES,
    "encrypted_parse.models.rules.acl_readers": _DECLARES,
    "encrypted_parse.models.rules.computed": _DECLARES,
    "encrypted_parse.models.rules.group": _DECLARES,
    "encrypted_parse.models.rules.only_me": _DECLARES,
    "encrypted_parse.models.rules.role": _DECLARES,
    "encrypted_parse.models.rules.users": _DECLARES,
    "encrypted_parse.models.model.Model.object_id": _HOT,
    "encrypted_parse.models.model.Model.created_at": _HOT,
    "encrypted_parse.models.model.Model.updated_at": _HOT,
    "encrypted_parse.models.model.Model.is_new": _HOT,
    "encrypted_parse.models.model.Model.acl": _HOT,
    "encrypted_parse.models.model.Model.locked": "texts of our own errors",
    "encrypted_parse.models.model.Model.blank": "makes an object without values",
    "encrypted_parse.devserver.launcher.dev_server": "a caller's `with` block runs inside it",
    "encrypted_parse.integrations.parse_rest.connection.log_in_as": "the same",
    "encrypted_parse.trust.authors.naming_former_keys": "the same, of ours",
}
# Modules of names that are public inside this package alone.
INNER = {"encrypted_parse.crypto.der": "the codec of formats, below every door; knows no secret"}


def _public_modules() -> Iterator[types.ModuleType]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if "cli" in parts or parts[-1] == "fixtures" or name in INNER:
            continue
        module = importlib.import_module(name)
        if hasattr(module, "__all__") and name != "encrypted_parse.errors":
            yield module


def _members(owner: type) -> Iterator[tuple[str, object]]:
    """Yield what is public of a class, under the name of the class that defines it."""
    for name in {name for base in owner.__mro__ for name in vars(base)}:
        holder = next(base for base in owner.__mro__ if name in vars(base))
        member = vars(holder)[name]
        runs = isinstance(member, (types.FunctionType, classmethod, staticmethod, property))
        ours = holder.__module__.split(".")[0] == "encrypted_parse"
        if runs and ours and (not name.startswith("_") or name in SPECIAL_DOORS):
            yield f"{holder.__module__}.{holder.__qualname__}.{name}", member


def _public_callables() -> dict[str, object]:
    """Return every function, and every method and property of every class, that is exported."""
    found: dict[str, object] = {}
    for module in _public_modules():
        for exported in (getattr(module, name) for name in module.__all__):
            if isinstance(exported, types.FunctionType):
                found[f"{exported.__module__}.{exported.__qualname__}"] = exported
            elif isinstance(exported, type) and not _holds_nothing(exported):
                found.update(_members(exported))
    return {where: one for where, one in found.items() if where.startswith("encrypted_parse.")}


def _holds_nothing(exported: type) -> bool:
    """Tell whether it is an enum, an error, a protocol, or a tuple, whose methods are Python's."""
    is_protocol = getattr(exported, "_is_protocol", False)
    is_tuple = issubclass(exported, tuple)
    return is_protocol or is_tuple or issubclass(exported, (enum.Enum, BaseException))


def test_everything_public_is_a_door() -> None:
    """Every exported function and every public method is a door, or listed with the reason."""
    found = _public_callables()
    assert len(found) > 400
    open_ones = {where for where, member in found.items() if not is_front_door(member)}
    assert open_ones == NO_DOORS.keys()


def test_verbs_that_are_added_become_doors() -> None:
    """A class of E3Kit's verbs needs no decorator: its base class sees to it."""

    class Further(E3Kit):
        def verb(self) -> None: ...

    assert is_front_door(vars(Further)["verb"])


# --- what a door does -----------------------------------------------------------------------


def _fail(secret: str) -> NoReturn:
    copy = secret * 2
    raise InvalidValueError(f"a text of {len(copy)} characters")


@front_door
def _door(secret: str, *, also: str = "") -> NoReturn:
    """Fail."""
    _fail(secret + also)


def _is_mute(error: BaseException) -> bool:
    frames = [frame for frame in frames_of(error) if frame.f_code.co_filename != __file__]
    frames += [frame for frame in frames_of(error) if frame.f_code.co_name in ("_fail", "_door")]
    shown = [repr(frame.f_locals) for frame in frames] + [text for _, text in shown_by(error)]
    assert frames
    return not any(SECRET in text for text in shown)


def test_a_traceback_keeps_its_lines_and_loses_its_locals() -> None:
    """Files, lines and names stay; no frame below the door, nor the door's own, has a value."""
    with pytest.raises(InvalidValueError) as caught:
        _door(SECRET, also=SECRET)
    names = [frame.f_code.co_name for frame in frames_of(caught.value)]
    assert names[1:] == ["door", "_door", "_fail"]
    assert all(frame.f_lineno for frame in frames_of(caught.value))
    assert _is_mute(caught.value)
    assert frames_of(caught.value)[-1].f_locals == {}


def test_without_a_door_the_locals_are_seen() -> None:
    """The search finds what it looks for."""
    with pytest.raises(InvalidValueError) as caught:
        _door.__wrapped__(SECRET)  # type: ignore[attr-defined]  # by functools.wraps
    assert not _is_mute(caught.value)


def test_causes_and_contexts_lose_their_locals_too() -> None:
    """Whatever the exception is linked to and came from below the door is cleared as well."""

    @front_door
    def linked(secret: str) -> None:
        try:
            try:
                _fail(secret)
            except InvalidValueError:
                _fail(secret * 3)
        except InvalidValueError as error:
            raise RuntimeError("linked") from error

    with pytest.raises(RuntimeError) as caught:
        linked(SECRET)
    cause = caught.value.__cause__
    assert cause is not None
    assert cause.__context__ is not None
    for error in (caught.value, cause, cause.__context__):
        assert _is_mute(error)
        assert set(frames_of(error)[-1].f_locals) <= {"error"}


def test_exceptions_of_a_group_lose_their_locals_too() -> None:
    """A group is cleared with its members."""

    @front_door
    def grouped(secret: str) -> None:
        errors = []
        for part in (secret, secret * 2):
            try:
                _fail(part)
            except InvalidValueError as error:
                errors.append(error)
        raise ExceptionGroup("two", errors)

    with pytest.raises(ExceptionGroup) as caught:
        grouped(SECRET)
    for error in caught.value.exceptions:
        assert _is_mute(error)


def test_what_the_caller_was_handling_stays_as_it_is() -> None:
    """An app that calls from its `except` block keeps the locals of its own exception."""

    def of_the_app() -> None:
        mine = "a value of the app"
        raise LookupError(mine)

    def handles() -> None:
        try:
            of_the_app()
        except LookupError:
            _door(SECRET)

    with pytest.raises(InvalidValueError) as caught:
        handles()
    handled = caught.value.__context__
    assert isinstance(handled, LookupError)
    assert frames_of(handled)[-1].f_locals == {"mine": "a value of the app"}
    assert _is_mute(caught.value)


def test_an_exception_from_none_has_no_context() -> None:
    """`from None` only hides a context from the printed text; behind a door it is gone."""

    @front_door
    def translated(secret: str) -> None:
        try:
            json.loads(secret)
        except ValueError:
            raise InvalidValueError("not JSON") from None

    with pytest.raises(InvalidValueError) as caught:
        translated(SECRET)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "mistake",
    [
        json.loads,
        lambda secret: (secret + "\ud800").encode("utf-8"),
        lambda secret: (secret.encode() + b"\xff").decode("utf-8"),
        lambda secret: secret.no_such_attribute,
    ],
)
def test_errors_of_python_lose_the_value_they_carry(mistake: Any) -> None:
    """What is no error of ours passes as it is, without the object that it was about."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - four kinds
        front_door(mistake)(SECRET)
    assert not [place for place, text in shown_by(caught.value) if SECRET in text]
    assert str(caught.value)


def test_frames_of_worker_threads_are_cleared() -> None:
    """An exception that crosses from a thread takes nothing along from there either."""

    @front_door
    def threaded(secret: str) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_fail, secret).result()

    with pytest.raises(InvalidValueError) as caught:
        threaded(SECRET)
    assert "_fail" in [frame.f_code.co_name for frame in frames_of(caught.value)]
    assert _is_mute(caught.value)


def test_an_iteration_is_a_door() -> None:
    """A generator that fails half-way leaves no local, and one that is closed does not fail."""

    class Pages:
        def __iter__(self) -> Iterator[int]:
            secret = SECRET
            yield 1
            _fail(secret)

    pages = front_door(Pages)()
    with pytest.raises(InvalidValueError) as caught:
        list(pages)
    assert _is_mute(caught.value)
    assert next(iter(pages)) == 1


def test_a_door_shows_nothing_while_it_is_passed() -> None:
    """The door's own frame holds no argument, neither before it calls nor after."""
    seen: list[str] = []

    @front_door
    def looks(secret: str, *, also: str) -> int:
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        seen.append(repr(frame.f_back.f_locals))
        return len(secret) + len(also)

    assert looks(SECRET, also=SECRET) == 12
    assert SECRET not in seen[0]


def test_parameters_named_like_a_secret_arrive_hushed() -> None:
    """A password is equal to what was given, and its `repr` shows nothing."""

    @front_door
    def log_in(name: str, password: str, *, session_token: str) -> list[str]:
        assert (password, session_token) == (SECRET, SECRET)
        return [repr(one) for one in (name, password, session_token)]

    assert log_in("n", SECRET, session_token=SECRET) == ["'n'", "<hushed>", "<hushed>"]
    assert log_in("n", session_token=SECRET, password=SECRET)[1] == "<hushed>"


@pytest.mark.parametrize("value", [SECRET, SECRET.encode(), {SECRET: SECRET}])
def test_a_hushed_value_is_equal_and_mute(value: Any) -> None:
    """It works as the value that it was made of, shows nothing, and is not made twice."""
    mute = hushed(value)
    assert mute == value
    assert SECRET not in repr(mute) + repr([mute])
    assert isinstance(mute, type(value))
    assert hushed(mute) is mute
    assert type(value)(mute) == value
    assert SECRET in repr(type(value)(mute)) or isinstance(value, dict)


def test_a_door_is_what_it_was() -> None:
    """Name, docstring and signature stay; class methods, static methods and properties work."""

    @front_door
    class Thing:
        @classmethod
        def made(cls) -> Thing:
            return cls()

        @staticmethod
        def doubled(value: int) -> int:
            return value * 2

        @property
        def name(self) -> str:
            """The name."""
            return "thing"

    assert Thing.made().name == "thing"
    assert Thing.doubled(2) == 4
    assert vars(Thing)["name"].__doc__ == "The name."
    assert (_door.__name__, _door.__doc__) == ("_door", "Fail.")
    assert list(inspect.signature(_door).parameters) == ["secret", "also"]
    assert front_door(_door) is _door


def test_a_door_keeps_nothing_alive() -> None:
    """What was passed through a door is freed with the exception: there is no cycle."""

    class Value:
        pass

    @front_door
    def fail_with(value: object) -> NoReturn:
        raise EncryptedParseError(type(value).__name__)

    value = Value()
    gone = weakref.ref(value)
    gc.disable()
    try:
        with pytest.raises(EncryptedParseError):
            fail_with(value)
        del value
        assert gone() is None
    finally:
        gc.enable()


def test_doors_are_passed_by_many_threads() -> None:
    """Nothing of a door is shared: threads that fail at once get their own errors, all mute."""
    mute: list[bool] = []

    def run() -> None:
        for _ in range(50):
            try:
                _door(SECRET)
            except InvalidValueError as error:
                mute.append(_is_mute(error))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mute == [True] * 200


def test_one_error_that_reaches_several_threads_is_cleared() -> None:
    """Waiters for one answer share its error; whoever gets it, no finished frame has a value."""
    shared: Future[None] = Future()
    start = threading.Barrier(5)
    mute: list[bool] = []

    @front_door
    def wait(secret: str) -> None:
        copy = secret * 2
        start.wait()
        shared.result()
        del copy

    def run() -> None:
        try:
            wait(SECRET)
        except InvalidValueError:
            start.wait()
            mute.append(True)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    error = InvalidValueError("for all")
    shared.set_exception(error)
    start.wait()
    for thread in threads:
        thread.join()
    assert mute == [True] * 4
    assert not [place for place, text in shown_by(error) if SECRET in text]
    assert not any(SECRET in repr(frame.f_locals) for frame in frames_of(error))


def test_the_token_of_a_session_is_an_ordinary_text() -> None:
    """What an app is handed back is no hushed text: it may be stored as any other."""
    app = InMemoryApp()
    user = app.client().become(app.make_user("alice").session_token)
    assert type(user.session_token) is str
    assert type(user.username) is str


def test_an_error_that_is_handed_out_is_bare() -> None:
    """An error as a value has class, text, hint and attributes, and leads to no frame."""
    try:
        try:
            _fail(SECRET)
        except InvalidValueError as error:
            raise InvalidValueError("second", hint="do this") from error
    except InvalidValueError as error:
        bare = as_value(error)
    assert (str(bare), bare.hint) == ("second", "do this")
    assert (bare.__traceback__, bare.__cause__, bare.__context__) == (None, None, None)


# --- models ---------------------------------------------------------------------------------


class Part(Embedded):
    """An embedded value."""

    text: str


class Secret(Model):
    """An object with encrypted fields."""

    count: int = encrypted(to=only_me())
    part: Part | None = encrypted(to=only_me(), default=None)


class Own(Model):
    """A model with a constructor of the app's own."""

    text: str = encrypted(to=only_me())

    def __init__(self, text: str) -> None:
        self.__attrs_init__(text=text)  # type: ignore[attr-defined]  # by attrs


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: Secret(count=SECRET),  # type: ignore[arg-type]
        lambda: Secret(count=1, cuont=SECRET),  # type: ignore[call-arg]
        lambda: setattr(Secret(count=1), "count", SECRET),
        lambda: setattr(Secret(count=1), "cuont", SECRET),
        lambda: Part(text=[SECRET]),  # type: ignore[arg-type]
        lambda: setattr(Part(text="x"), "txet", SECRET),
        lambda: Own([SECRET]),  # type: ignore[arg-type]
    ],
)
def test_constructors_and_assignments_of_models_are_doors(mistake: Any) -> None:
    """A value that a model refuses stands in no frame that is not the app's."""
    with pytest.raises((InvalidValueError, AttributeError, TypeError)) as caught:
        mistake()
    assert not [place for place, text in shown_by(caught.value) if SECRET in text]


def test_a_warning_names_the_line_of_the_app() -> None:
    """However many doors lie between: a warning of a changed key points out of the package."""
    app = InMemoryApp()
    alice, bob = app.make_user(), app.make_user()
    alice.e3kit.find_users([bob.user_id])
    bob.e3kit.cleanup()
    bob.e3kit.rotate_private_key(lost=True)
    with pytest.warns(KeyChangedWarning) as warned:
        alice.e3kit.find_users([bob.user_id], force_reload=True)
    assert [one.filename for one in warned] == [__file__]
