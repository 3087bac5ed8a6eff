"""Backups of E3Kit for Kotlin 3, whose passwords make other keys: read, named, not written."""

from __future__ import annotations

import base64
import json

import pytest
from virgil_service import VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup import BrainKeyClient
from encrypted_parse.backup.entries import key_entry, read_entries, write_entries
from encrypted_parse.crypto import PrivateKey, brainkey_v3
from encrypted_parse.crypto.brainkey import key_from_material
from encrypted_parse.directory import ServiceClient, TokenProvider
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.envelope import sign_then_encrypt_detached
from encrypted_parse.errors import (
    BrainKeyError,
    DirectoryRefusedError,
    NewerBackupError,
    WrongBackupPasswordError,
)
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse

SECRET = int.from_bytes(bytes(range(1, 33)), "big")
# Made by virgil-crypto-lib 0.23.1 (BrainkeyClient and BrainkeyServer) under SECRET.
SEEDS = {
    "p": "c9b8507a885044d0d729362c4ff98d55e7121379252527a9fb9662605990e597",
    "correct horse battery staple": (
        "93e6ceff2190a6546ee8092029d979fe21f85162bed55b427ee603d666053e96"
    ),
    "пароль🔑": "f5703804bcf6db49c661dd182943f9d22fcbaecf490ac342e8fd3343b7f853c8",
    "x" * 128: "ffd559da144db0346ad8891eed371b6320296d387a82523506bc6e2bfe8e77bc",
}
NAME = b"e3kit-backup"


def harden(blinded: bytes) -> bytes:
    """Return what a service with SECRET answers."""
    return brainkey_v3._encode(brainkey_v3._multiply(brainkey_v3._decode(blinded), SECRET))


@pytest.mark.parametrize("password", SEEDS, ids=len)
def test_seeds_are_those_of_the_native_library(password: str) -> None:
    """Whatever the blinding factor, the seed is the native one's."""
    for factor in (None, 1, 7, brainkey_v3._ORDER - 1):
        blinded, unblinding = brainkey_v3.blind(password, factor)
        seed = brainkey_v3.deblind(password, harden(blinded), unblinding, NAME)
        assert seed.hex() == SEEDS[password]


def test_both_sides_of_the_native_library_agree_with_ours() -> None:
    """Its server hardens our points, and its client's seed is ours."""
    pytest.importorskip("virgil_crypto_lib", reason="has no wheel for this platform")
    from virgil_crypto_lib.foundation.brainkey_client import BrainkeyClient  # noqa: PLC0415
    from virgil_crypto_lib.foundation.brainkey_server import BrainkeyServer  # noqa: PLC0415

    server, client = BrainkeyServer(), BrainkeyClient()
    server.setup_defaults()
    client.setup_defaults()
    secret = bytes(server.generate_identity_secret())
    theirs, point = client.blind(b"password")
    seed = bytes(client.deblind(b"password", server.harden(secret, point), theirs, NAME))
    blinded, ours = brainkey_v3.blind("password")
    hardened = bytes(server.harden(secret, blinded))
    assert brainkey_v3.deblind("password", hardened, ours, NAME) == seed


@pytest.mark.parametrize("password", ["", "x" * 129, "я" * 65])
def test_passwords_are_bounded(password: str) -> None:
    """As the native library's: 1 to 128 bytes."""
    with pytest.raises(BrainKeyError):
        brainkey_v3.blind(password)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        bytes(65),
        b"\x04" + bytes(64),
        b"\x02" + bytes(64),
        b"\x04" + b"\xff" * 64,
        harden(brainkey_v3.blind("p")[0])[:-1],
        harden(brainkey_v3.blind("p")[0]) + b"\0",
    ],
    ids=len,
)
def test_only_points_of_the_curve_are_answers(answer: bytes) -> None:
    """Points off the curve, at infinity, or of the wrong length make no key."""
    with pytest.raises(BrainKeyError):
        brainkey_v3.deblind("p", answer, 1, NAME)


PASSWORD = "7KQ2Z-M0D4X-PA1BC-9RT3W"


class Newer(BrainKeyClient):
    """BrainKey of both generations: the older one without arithmetic, the newer one real."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        tokens = TokenProvider(lambda: "e30.eyJzdWIiOiJpZGVudGl0eS1hIiwiZXhwIjo5OTk5OTk5OTk5fQ.AA")
        service = ServiceClient("https://service", FakeTransport(self.answer), tokens)
        super().__init__(service, sleep=lambda _: None)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Harden a point."""
        self.paths.append(request.url.removeprefix("https://service/"))
        blinded = base64.b64decode(json.loads(request.body or b"{}")["blinded_point"])
        content = {"hardened_point": base64.b64encode(harden(blinded)).decode()}
        return HttpResponse(200, {}, json.dumps(content).encode())

    def derive(self, password: str) -> PrivateKey:
        """See `BrainKeyClient.derive`."""
        return key_from_material(password.encode().ljust(32, b"\0"))


def kotlin_key(password: str) -> PrivateKey:
    """What E3Kit for Kotlin 3 encrypts a backup for."""
    return key_from_material(bytes.fromhex(SEEDS[password]))


@pytest.fixture
def alice() -> E3Kit:
    """A registered user on a service that has both generations."""
    e3kit = make_e3kit(VirgilService(), "alice", MemoryKeystore())
    e3kit._services.backups._brainkey = Newer()
    e3kit.register()
    return e3kit


@pytest.mark.parametrize("name", [None, "a name"])
def test_a_newer_backup_is_restored(alice: E3Kit, name: str | None) -> None:
    """With and without a name; its password is changed by who made it, and that is said."""
    key = alice._own_key()
    entry = key_entry("alice", key, 0)
    content = write_entries({"alice": entry}) if name is None else json.dumps(entry).encode()
    services = alice._services
    record = services.backups._pull(name)
    brain_key = kotlin_key("p")
    sealed = sign_then_encrypt_detached(
        content, signer=brain_key, recipients=[brain_key.public_key]
    )
    services.backups._push(sealed, record, name)
    alice.cleanup()
    with pytest.raises(WrongBackupPasswordError):
        alice.restore_private_key("another", name)
    with pytest.raises(NewerBackupError):
        alice.change_password("p", PASSWORD, name)
    with pytest.raises(WrongBackupPasswordError):
        alice.change_password("another", PASSWORD, name)
    alice.restore_private_key("p", name)
    assert alice._own_key() == key


def test_the_newer_service_is_asked_only_after_a_wrong_password(alice: E3Kit) -> None:
    """An ordinary restore asks nothing of it."""
    brainkey = alice._services.backups._brainkey
    assert isinstance(brainkey, Newer)
    alice.backup_private_key(PASSWORD)
    alice.cleanup()
    alice.restore_private_key(PASSWORD)
    assert brainkey.paths == []


def test_a_service_without_it_is_no_error() -> None:
    """404 means that there are no such backups; any other refusal is the caller's."""
    statuses = iter([404, 500])
    tokens = TokenProvider(lambda: "e30.eyJzdWIiOiJpZGVudGl0eS1hIiwiZXhwIjo5OTk5OTk5OTk5fQ.AA")
    transport = FakeTransport(lambda _: HttpResponse(next(statuses), {}, b'{"code":10001}'))
    client = BrainKeyClient(ServiceClient("https://service", transport, tokens))
    assert client.derive_newer("p") is None
    with pytest.raises(DirectoryRefusedError):
        client.derive_newer("p")


def test_a_bare_entry_is_read_under_its_name() -> None:
    """Kotlin's and Swift's named backups hold one entry, named after the user."""
    entry = key_entry("alice", PrivateKey.generate(), 0)
    assert read_entries(json.dumps(entry).encode()) == {"alice": entry}
    assert read_entries(write_entries({"name": entry, "data": entry})) == {
        "name": entry,
        "data": entry,
    }
