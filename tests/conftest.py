"""The shared local server, and users on it; the same users on an app in memory."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from servers.matrix import Server, run_for_everything

from encrypted_parse import EncryptedClient, MemoryKeystore, UserClient
from encrypted_parse.devserver import DevServer
from encrypted_parse.devserver import dev_server as start_server
from encrypted_parse.testing import InMemoryApp

_NUMBERS = itertools.count()


def pytest_configure() -> None:
    """Take Ctrl-C as usual: runs in the background ignore it, and what they start would, too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave named backups out where a whole project is tried: half a minute each, and no news."""
    left_out = [
        item
        for item in items
        if (call := getattr(item, "callspec", None)) is not None
        and call.params.get("server", "dev") != "dev"
        and call.params.get("name") is not None
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def dev_server() -> Iterator[DevServer]:
    """Start one real Parse Server, with every request logged, for all tests of the run."""
    with start_server(verbose=True) as server:
        yield server


@pytest.fixture(scope="session")
def server(dev_server: DevServer) -> DevServer:
    """The server that `app` is on; files of tests may put another in its place."""
    return dev_server


@pytest.fixture
def app(server: DevServer | Server) -> EncryptedClient:
    """Connect to the server with a keystore of the test's own."""
    return EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())


@pytest.fixture
def make_user(app: EncryptedClient) -> Callable[..., UserClient]:
    """Return a function that signs up a fresh user, registered or not."""
    return _maker(app)


@pytest.fixture
def memory_app() -> InMemoryApp:
    """Return a fresh app in memory."""
    return InMemoryApp()


@pytest.fixture(scope="session")
def other_server(dev_server: DevServer) -> Iterator[Callable[[str], Server]]:
    """Return what starts "VERSION on DATABASE", once for all tests of the run."""
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def start(name: str) -> Server:
            if name not in running:
                running[name] = stack.enter_context(run_for_everything(name, dev_server))
            return running[name]

        yield start


OTHERS = (
    "7.5 on postgres",
    "7.5 on mongodb",
    "9.10 on mongodb",
    "9.10 on postgres with ICU collation",
)


@pytest.fixture(
    params=["in memory", "real", *(pytest.param(name, marks=pytest.mark.matrix) for name in OTHERS)]
)
def any_user(request: pytest.FixtureRequest) -> Callable[..., UserClient]:
    """Return what makes users on the app in memory, then on each real server: one contract."""
    if request.param == "in memory":
        return InMemoryApp().make_user
    if request.param == "real":
        make: Callable[..., UserClient] = request.getfixturevalue("make_user")
        return make
    server: Server = request.getfixturevalue("other_server")(request.param)
    return _maker(EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore()))


def _maker(app: EncryptedClient) -> Callable[..., UserClient]:
    def make(*, registered: bool = True) -> UserClient:
        user = app.sign_up(f"user{next(_NUMBERS)}", "a password")
        if registered:
            user.register()
        return user

    return make
