"""One app in memory: a Parse Server, a directory, and users on them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from encrypted_parse.client import EncryptedClient
from encrypted_parse.discretion import front_door
from encrypted_parse.keystore import MemoryKeystore
from encrypted_parse.models import Model
from encrypted_parse.testing import parse_server, virgil
from encrypted_parse.testing.keys_guard import KeysGuard
from encrypted_parse.testing.parse_server import InMemoryParse
from encrypted_parse.testing.virgil import VirgilService
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse, RetryingTransport
from encrypted_parse.user_client import UserClient


@front_door
class InMemoryApp:
    """A Parse app for tests: no network, no server, real crypto.

    ```python
    app = InMemoryApp()
    alice, bob = app.make_user("alice"), app.make_user("bob")
    alice.save(Message(...))
    assert "Lunch" not in str(app.parse.rows("Message"))
    ```

    Args:
        guarded: Models whose classes have the companion's guard, as a server with their
            encrypted-fields.json has: of its rules, that nothing is written over what the client
            has not read. None by default, as on a server that has no such file.

    Attributes:
        parse: The Parse Server: `InMemoryParse.rows` shows what a host sees.
            Its guard refuses values for keys that were replaced, in every class.
        service: The directory and the key backups.
        before: Called with each request; may raise a `TransportError` to cut the connection, or
            return an answer in place of the server's.
        after: Called with each request and its answer; may raise, or return another answer.
    """

    def __init__(self, *, guarded: Iterable[type[Model]] = ()) -> None:
        self.parse = InMemoryParse(guarded=guarded)
        self.service = VirgilService()
        self.before: Callable[[HttpRequest], HttpResponse | None] = lambda _: None
        self.after: Callable[[HttpRequest, HttpResponse], HttpResponse] = lambda _, answer: answer
        self.parse.before_save = KeysGuard(self.service).check
        self.parse.after_delete = self._forget_user
        self.parse.functions["virgil-jwt"] = lambda user, _: {"token": virgil.token(user or "")}
        self._transport = FakeTransport(self._answer)
        self._numbers = itertools.count(1)

    @property
    def requests(self) -> list[HttpRequest]:
        """Every request so far, in order."""
        return self._transport.requests

    def client(self, **settings: Any) -> EncryptedClient:  # noqa: ANN401 - as EncryptedClient
        """Return a client of this app: by default with keys in memory, and retries at once."""
        defaults: dict[str, Any] = {
            "server_url": parse_server.URL,
            "application_id": parse_server.APPLICATION_ID,
            "directory_url": virgil.URL,
            "service_public_key": self.service.key.public_key.to_base64(),
            "keystore": MemoryKeystore(),
            "server_deduplicates": True,
            "transport": RetryingTransport(self._transport, sleep=lambda _: None),
        }
        return EncryptedClient(**{**defaults, **settings})

    def make_user(
        self,
        username: str | None = None,
        *,
        registered: bool = True,
        **settings: Any,  # noqa: ANN401 - as EncryptedClient
    ) -> UserClient:
        """Sign a fresh user up, log in, and register, unless told otherwise.

        Args:
            username: A name; by default ``user1``, ``user2``, ...
            registered: Whether the user has keys and a card.
            settings: As of `EncryptedClient`.
        """
        name = username or f"user{next(self._numbers)}"
        user = self.client(**settings).sign_up(name, f"password of {name}")
        if registered:
            user.register()
        return user

    def _forget_user(self, class_name: str, object_id: str) -> None:
        """Do what the companion does when a user was deleted."""
        if class_name == "_User":
            self.service.end(object_id)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        instead = self.before(request)
        if instead is not None:
            return instead
        if request.url.startswith(virgil.URL):
            answer = self.service.answer(request)
        else:
            answer = self.parse.answer(request)
        return self.after(request, answer)
