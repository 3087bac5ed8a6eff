"""No frame of this package shows a secret while it runs and calls somebody else's code.

A frame that runs cannot be cleared, and trackers of errors send its locals too, for a log record or
a warning for one. So transports, callbacks, key services and handlers look around here.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from canaries import (
    CANARY,
    OPERATIONS,
    PASSPHRASE,
    PASSWORD,
    TEXT,
    Note,
    World,
    keystore_of,
    leaks,
)
from frames import shown_by_running_frames

from encrypted_parse import (
    EncryptedClient,
    FileKeystore,
    KeyService,
    Model,
    Passphrase,
    computed,
    encrypted,
)
from encrypted_parse.errors import EncryptedParseError
from encrypted_parse.keystore import keystore_from_env


class Watcher(logging.Handler):
    """Looks at the running frames wherever somebody else's code is called."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[str, str]] = []
        self.looks = 0

    def look(self, *_: object) -> None:
        """Keep what the package's running frames show."""
        self.looks += 1
        self.shown += shown_by_running_frames()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        del record
        self.look()


WATCHER = Watcher()


class Watched(Model):
    """An object whose rule is a function of the app."""

    author_id: str
    body: str = encrypted(
        to=computed(lambda _: (WATCHER.look(), [])[1], "author_id"), author="author_id"
    )
    more: dict[str, str] = encrypted(
        to=computed(lambda _: (WATCHER.look(), [])[1], "author_id"), author="author_id"
    )


def _with_a_rule(world: World) -> None:
    user = world.alice
    watched = Watched(author_id=user.user_id, body=TEXT, more={"key": TEXT})
    user.explain(watched)
    user.save(watched)
    watched.body = f"{TEXT} again"
    user.save(watched)
    user.who_can_read(watched)
    user.reseal(Watched)
    user.revoke(watched, from_=[world.bob.user_id])


def _with_progress(world: World) -> None:
    user = world.alice
    file = user.upload(TEXT.encode() * 100, name=f"{CANARY}.txt", progress=WATCHER.look)
    user.download(file, io.BytesIO(), progress=WATCHER.look)
    user.query(Note).update(WATCHER.look, body=f"{TEXT} again")
    user.share_all(user.query(Note), with_=[world.carol.user_id], progress=WATCHER.look)
    user.reseal(Note, progress=WATCHER.look)


def _with_a_code(world: World) -> None:
    world.client.sign_up("jim", PASSWORD).e3kit.register(show_recovery_code=WATCHER.look)


def _with_a_key_service(world: World, tmp: Path) -> None:
    def turn(data: bytes, _: object) -> bytes:
        WATCHER.look()
        return data[::-1]

    def keystore() -> FileKeystore:
        return FileKeystore(tmp, "app", protection=KeyService("name", turn, turn))

    user = world.app.make_user("kim", keystore=keystore())
    user.save(Note(author_id=user.user_id, body=TEXT))
    session = user.session_token
    again = world.app.client(keystore=keystore()).become(session)
    again.e3kit.auth_decrypt(again.e3kit.auth_encrypt(TEXT, world.cards))
    again = world.app.client(keystore=keystore()).become(session)
    again.e3kit.encrypt(TEXT)
    again = world.app.client(keystore=keystore()).become(session)
    again.save(Note(author_id=user.user_id, body=TEXT))


def _with_a_passphrase(world: World, tmp: Path) -> None:
    keystore_of(world, tmp, Passphrase(PASSPHRASE))
    variables = {"ENCRYPTED_PARSE_KEYSTORE": str(tmp), "OTHER_PASSWORD": PASSWORD}

    def ask() -> str:
        WATCHER.look()
        return PASSPHRASE

    assert keystore_from_env(variables, "app", ask_passphrase=ask).find("u1") is not None
    service_key = world.app.service.key.public_key.to_base64()
    client = EncryptedClient.from_env(
        {**variables, "VIRGIL_SERVICE_PUBLIC_KEY": service_key},
        ask_passphrase=ask,
        server_url="https://parse.invalid",
        application_id="app",
        rest_api_key=CANARY,
        directory_url="https://directory.invalid",
    )
    assert client._keystore.find("u1") is not None


def _with_a_changed_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", WATCHER.look)
    warnings.simplefilter("always")
    world.bob.e3kit.cleanup()
    world.bob.e3kit.rotate_private_key(lost=True)
    world.alice.e3kit.find_users([world.bob.user_id], force_reload=True)
    with pytest.raises(EncryptedParseError):
        world.alice.e3kit.auth_encrypt(
            TEXT, world.alice.e3kit.find_users([world.bob.user_id]).values()
        )


@pytest.fixture
def world() -> Iterator[World]:
    """A world whose every request, log record and callback looks at the frames that run."""
    made = World()
    WATCHER.shown, WATCHER.looks = [], 0
    made.app.before = WATCHER.look
    logger = logging.getLogger("encrypted_parse")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(WATCHER)
    try:
        yield made
    finally:
        logger.removeHandler(WATCHER)
        logger.setLevel(level)


def _assert_silent(world: World) -> None:
    assert WATCHER.looks
    assert leaks(WATCHER.shown, world.secrets()) == []


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_no_running_frame_shows_a_secret_to_the_transport(name: str, world: World) -> None:
    """Whatever sends a request sees no secret in the package's frames but the request itself."""
    OPERATIONS[name](world)
    _assert_silent(world)


@pytest.mark.parametrize("use", [_with_a_rule, _with_progress, _with_a_code])
def test_no_running_frame_shows_a_secret_to_a_callback(
    use: Callable[[World], None], world: World
) -> None:
    """Nor does a function of the app that is called while something is done."""
    use(world)
    _assert_silent(world)


@pytest.mark.parametrize("use", [_with_a_key_service, _with_a_passphrase])
def test_no_running_frame_shows_a_secret_to_a_keystore(
    use: Callable[[World, Path], None], world: World, tmp_path: Path
) -> None:
    """Nor what opens key files while an object is saved or a text encrypted."""
    use(world, tmp_path / "keys")
    _assert_silent(world)


def test_no_running_frame_shows_a_secret_to_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a hook of warnings, or a handler of log records: trackers send those with locals too."""
    with warnings.catch_warnings():
        _with_a_changed_key(world, monkeypatch)
    _assert_silent(world)
