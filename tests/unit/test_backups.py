"""Backups against a service that is slow, stale, half, or lying."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from encrypted_parse.backup import BrainKeyClient, KeyknoxClient, PrivateKeyBackups, private_keys
from encrypted_parse.backup.entries import key_entry, read_entries
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import ServiceClient, TokenProvider
from encrypted_parse.errors import (
    BackupError,
    BackupExistsError,
    BrainKeyError,
    DirectoryRefusedError,
    MalformedBackupError,
    MalformedResponseError,
    NoBackupError,
    WrongBackupPasswordError,
)
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse

KEY = PrivateKey.generate()


def _token() -> str:
    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    return f"{part({})}.{part({'sub': 'identity-alice', 'exp': 2**40})}.AA"


class FakeService:
    """Keyknox v1 in memory; BrainKey is replaced by one key a password."""

    def __init__(self) -> None:
        self.record: dict[str, Any] = {"meta": "", "value": "", "version": "1.0"}
        self.hash = "empty"
        self.requests: list[HttpRequest] = []

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        self.requests.append(request)
        if request.method == "PUT":
            sent = request.headers.get("Virgil-Keyknox-Previous-Hash")
            if sent != (self.hash if self.record["value"] else None):
                error = {"code": 50010, "message": "hash"}
                return HttpResponse(400, {}, json.dumps(error).encode())
            self.record |= json.loads(request.body or b"{}")
            self.hash = f"hash{len(self.requests)}"
        if request.url.endswith("/reset"):
            self.record |= {"meta": "", "value": ""}
        headers = {"virgil-keyknox-hash": self.hash}
        return HttpResponse(200, headers, json.dumps(self.record).encode())


class FakeBrainKey(BrainKeyClient):
    """One key a password, without arithmetic."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {}

    def derive(self, password: str) -> PrivateKey:
        """See `BrainKeyClient.derive`."""
        return self.keys.setdefault(password, PrivateKey.generate())

    def derive_newer(self, password: str) -> PrivateKey | None:
        """See `BrainKeyClient.derive_newer`: this service does not have it."""
        del password


def _service(answer: Callable[[HttpRequest], HttpResponse]) -> ServiceClient:
    return ServiceClient("https://service", FakeTransport(answer), TokenProvider(_token))


def _backups(service: Callable[[HttpRequest], HttpResponse]) -> PrivateKeyBackups:
    return PrivateKeyBackups("alice", FakeBrainKey(), KeyknoxClient(_service(service)))


def test_the_life_of_a_backup() -> None:
    """Stored, refused a second time, loaded, under a new password, reset."""
    service = FakeService()
    backups = _backups(service)
    with pytest.raises(NoBackupError):
        backups.load("first")
    backups.store([KEY], "first")
    with pytest.raises(BackupExistsError):
        backups.store([KEY], "first")
    assert backups.load("first") == (KEY,)
    with pytest.raises(WrongBackupPasswordError):
        backups.load("wrong")
    with pytest.raises(WrongBackupPasswordError):
        backups.change_password("wrong", "second")
    backups.change_password("first", "second")
    with pytest.raises(WrongBackupPasswordError):
        backups.load("first")
    assert backups.load("second") == (KEY,)
    assert KEY.to_base64() not in json.dumps(service.record)
    backups.reset()
    with pytest.raises(NoBackupError):
        backups.load("second")


def test_a_record_that_changed_meanwhile() -> None:
    """Another device was faster: its backup stays."""
    service = FakeService()
    backups = _backups(service)
    backups.store([KEY], "first")
    before = dict(service.record)
    pull = backups._keyknox.pull

    def racing() -> Any:
        record = pull()
        service.hash = "another"
        return record

    backups._keyknox.pull = racing  # type: ignore[method-assign]
    with pytest.raises(DirectoryRefusedError) as caught:
        backups.change_password("first", "second")
    assert caught.value.code == 50010
    assert service.record == before


@pytest.mark.parametrize("member", ["meta", "value"])
def test_altered_records(member: str) -> None:
    """A flipped bit, a half, nonsense: an error of ours, and never a key."""
    service = FakeService()
    backups = _backups(service)
    backups.store([KEY], "first")
    good = service.record[member]
    raw = bytearray(base64.b64decode(good))
    raw[-3] ^= 1
    flipped = base64.b64encode(raw).decode()
    for wrong in (flipped, good[:-8], "!", "AAAA", 5, None):
        service.record[member] = wrong
        with pytest.raises((BackupError, MalformedResponseError)):
            backups.load("first")
    service.record[member] = ""
    with pytest.raises(MalformedResponseError):
        backups.load("first")


def test_a_service_cannot_make_a_backup_up() -> None:
    """Without the password's key pair nothing that is served is a backup."""
    service = FakeService()
    backups = _backups(service)
    brain_key = backups._brainkey.derive("first")
    mallory = PrivateKey.generate()
    entries = {"alice": key_entry("alice", mallory, 0)}
    forged = private_keys.sign_then_encrypt_detached(
        private_keys.write_entries(entries), signer=mallory, recipients=[brain_key.public_key]
    )
    service.record |= {
        "meta": base64.b64encode(forged.metadata).decode(),
        "value": base64.b64encode(forged.encrypted_data).decode(),
    }
    with pytest.raises(MalformedBackupError):
        backups.load("first")


@pytest.mark.parametrize(
    "plaintext",
    [b"[]", b"5", b"{", b'{"a":5}', b'{"a":{}}', b'{"a":{"data":5}}', b"\xff", b"[" * 10_000],
)
def test_entries_that_are_none(plaintext: bytes) -> None:
    """Only entries are entries; the error quotes nothing."""
    with pytest.raises(MalformedBackupError) as caught:
        read_entries(plaintext)
    assert caught.value.__cause__ is None


def test_throttling_is_waited_out_once() -> None:
    """The service's code is waited for two seconds; a second refusal is the caller's."""
    throttled = HttpResponse(429, {}, b'{"code":60007,"message":"slow"}')
    waits: list[float] = []
    client = BrainKeyClient(_service(lambda _: throttled), sleep=waits.append)
    with pytest.raises(DirectoryRefusedError) as caught:
        client.derive("password")
    assert caught.value.code == 60007
    assert waits == [2.0]


@pytest.mark.parametrize("seed", ["", "!", "AAAA", 5, None, base64.b64encode(bytes(384)).decode()])
def test_a_brainkey_service_that_lies(seed: object) -> None:
    """What is not an element of the group makes no key."""
    answer = HttpResponse(200, {}, json.dumps({"seed": seed}).encode())
    with pytest.raises(BrainKeyError):
        BrainKeyClient(_service(lambda _: answer)).derive("password")


def test_the_password_is_not_sent() -> None:
    """Nothing of it is in what goes out, and two tries look different."""
    sent: list[HttpRequest] = []

    def answer(request: HttpRequest) -> HttpResponse:
        sent.append(request)
        return HttpResponse(500, {}, b'{"code":1,"message":"x"}')

    for _ in range(2):
        with pytest.raises(DirectoryRefusedError):
            BrainKeyClient(_service(answer)).derive("correct horse battery")
    assert sent[0].body != sent[1].body
    assert all(b"horse" not in (request.body or b"") for request in sent)
