"""One user's E3Kit on the services in memory, without Parse: for tests of the life of keys."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

from encrypted_parse.backup import BrainKeyClient
from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.directory import (
    CachingDirectory,
    DirectoryClient,
    ServiceClient,
    TokenProvider,
)
from encrypted_parse.e3kit import E3Kit, verbs
from encrypted_parse.keystore import Keystore
from encrypted_parse.testing.virgil import URL, RefusalError, VirgilService, card_id, token
from encrypted_parse.transport import FakeTransport
from encrypted_parse.trust import TrustKeeper

__all__ = [
    "URL",
    "FakeBrainKey",
    "FakeClock",
    "RefusalError",
    "VirgilService",
    "card_id",
    "make_e3kit",
    "token",
]


class FakeBrainKey(BrainKeyClient):
    """One key a user and password, without arithmetic."""

    def derive(self, password: str) -> PrivateKey:
        """See `BrainKeyClient.derive`."""
        user = self._service._tokens.get().user_id
        seed = hashlib.sha256(f"{user}/{password}".encode()).digest()
        return PrivateKey(KeyType.ED25519, seed)

    def derive_newer(self, password: str) -> PrivateKey | None:
        """See `BrainKeyClient.derive_newer`: this service does not have it."""
        del password


class FakeClock:
    """Seconds since 1970 that only a test moves; every card gets a later date."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 24, tzinfo=dt.UTC).timestamp()

    def __call__(self) -> float:
        """Return the time, which has passed a minute since."""
        self.now += 60
        return self.now


def make_e3kit(
    service: VirgilService,
    user_id: str,
    keystore: Keystore,
    clock: Callable[[], float] | None = None,
    trust: TrustKeeper | None = None,
) -> E3Kit:
    """Return a user's E3Kit on this service, with a fresh cache."""
    client = ServiceClient(
        URL, FakeTransport(service.answer), TokenProvider(lambda: token(user_id))
    )
    directory = DirectoryClient(
        URL,
        FakeTransport(service.answer),
        TokenProvider(lambda: token(user_id)),
        service_key=service.key.public_key,
    )
    e3kit = E3Kit(
        user_id,
        CachingDirectory(directory),
        keystore,
        service=client,
        trust=trust,
        clock=clock or FakeClock(),
    )
    brainkey = FakeBrainKey(client)
    e3kit._services.backups._brainkey = brainkey
    assert isinstance(e3kit._services, verbs._Services)
    return e3kit
