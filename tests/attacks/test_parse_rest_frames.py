"""Code on parse_rest, whose methods are given passwords and plaintexts before ours are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from canaries import CANARY, PASSWORD, TEXT, World, leaks
from frames import shown_by, shown_by_running_frames
from parse_rest.connection import ParseBatcher, SessionToken
from parse_rest.datatypes import Object
from parse_rest.user import User

from encrypted_parse import MemoryKeystore
from encrypted_parse.errors import ConnectionFailedError
from encrypted_parse.integrations.parse_rest import (
    acl_readers,
    connect,
    current_user,
    encrypted_object,
    sealed,
)
from encrypted_parse.transport import HttpRequest


@encrypted_object(
    body=sealed(to=acl_readers(), author="senderId"),
    more=sealed(to=acl_readers(), author="senderId"),
)
class Letter(Object):  # type: ignore[misc]  # an untyped library
    """An object of parse_rest with encrypted attributes."""


class Connected:
    """parse_rest on an app in memory, with a user who is registered."""

    def __init__(self) -> None:
        self.world = World()
        connect(self.world.app.client(keystore=MemoryKeystore()))
        self.user = User.signup("zoe", PASSWORD)
        with SessionToken(self.user.sessionToken):
            current_user().register()

    def letter(self, **attributes: Any) -> Any:
        """Return an unsaved object of the user's."""
        return Letter(**{"senderId": self.user.objectId, "body": TEXT, "more": TEXT, **attributes})

    def secrets(self) -> set[str]:
        """Return what no frame may show."""
        return {CANARY, self.user.sessionToken}


def _cut(_: HttpRequest) -> None:
    raise ConnectionFailedError("cut")


def _cut_off(action: Callable[[Connected], Any]) -> Callable[[Connected], Any]:
    def act(connected: Connected) -> Any:
        connected.world.app.before = _cut
        return action(connected)

    return act


MISTAKES: dict[str, Callable[[Connected], Any]] = {
    "a wrong type": lambda c: c.letter(body=[TEXT]).save(),
    "another user as author": lambda c: c.letter(senderId="somebody").save(),
    "an increment": lambda c: c.letter().increment("body", 2),
    "a filter": lambda _: Letter.Query.filter(body=TEXT),
    "a wrong password": lambda _: User.login("zoe", f"{PASSWORD}, not"),
    "a user who exists": lambda _: User.signup("zoe", PASSWORD),
    "a save that is cut off": _cut_off(lambda c: c.letter().save()),
    "a batch that is cut off": _cut_off(lambda c: ParseBatcher().batch_save([c.letter()])),
    "a log-in that is cut off": _cut_off(lambda _: User.login("zoe", PASSWORD)),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_no_mistake_with_parse_rest_shows_a_secret(name: str) -> None:
    """Neither our frames nor parse_rest's hold a password or a plaintext of what went wrong."""
    connected = Connected()
    with (
        SessionToken(connected.user.sessionToken),
        pytest.raises(Exception) as caught,  # noqa: PT011 - parse_rest's, and ours
    ):
        MISTAKES[name](connected)
    assert leaks(shown_by(caught.value), connected.secrets()) == []


def test_no_running_frame_shows_a_secret_beside_parse_rest() -> None:
    """Whatever sends a request sees no secret in our frames while parse_rest's code works."""
    connected, shown = Connected(), []
    connected.world.app.before = lambda _: shown.extend(shown_by_running_frames())
    with SessionToken(User.login("zoe", PASSWORD).sessionToken):
        connected.letter().save()
        ParseBatcher().batch_save([connected.letter(), connected.letter()])
        assert [letter.body for letter in Letter.Query.all()] == [TEXT] * 3
    assert shown
    assert leaks(shown, connected.secrets()) == []
