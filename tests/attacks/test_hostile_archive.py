"""A service that alters, exchanges, makes up or rolls back a user's key archive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from virgil_service import FakeClock, VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup import RecoveryCode
from encrypted_parse.backup.archive import _METADATA, _PLACE
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.e3kit import E3Kit, Health
from encrypted_parse.envelope import DetachedEnvelope, sign_and_encrypt
from encrypted_parse.errors import BackupOutdatedError, MalformedBackupError, RecoveryCodeError


class World:
    """One service, and alice with a recovery code."""

    def __init__(self) -> None:
        self.service, self.clock = VirgilService(), FakeClock()
        self.alice = self.device()
        self.alice.register()
        self.code = self.alice.create_recovery_code()

    def device(self, user_id: str = "alice") -> E3Kit:
        """Return a device of a user, without keys."""
        return make_e3kit(self.service, user_id, MemoryKeystore(), self.clock)

    @property
    def record(self) -> dict[str, Any]:
        """What the service keeps as the archive."""
        return self.service.records["alice", "encrypted_parse", "keys", "archive"]

    def serve(self, sealed: bytes) -> None:
        """Put *sealed* in the archive's place."""
        keyknox, record = self.alice._services.keyknox, self.alice._services.keyknox
        revision = record.pull_record(_PLACE, "alice").hash
        keyknox.push_record(_PLACE, ["alice"], DetachedEnvelope(_METADATA, sealed), revision)

    def sealed(self) -> bytes:
        """Return the archive as it is."""
        envelope = self.alice._services.keyknox.pull_record(_PLACE, "alice").envelope
        assert envelope is not None
        return envelope.encrypted_data


@pytest.fixture
def world() -> World:
    """Return a service with one user."""
    return World()


def content(user_id: str, keys: list[Any], recovery_key: str | None = None, **more: Any) -> bytes:
    """Return an archive's plaintext."""
    fields = {"version": 1, "user_id": user_id, "keys": keys, "recovery_key": recovery_key}
    return json.dumps(fields | more).encode()


def test_an_altered_archive_brings_the_true_keys_or_none(world: World) -> None:
    """Flipped bits and cut ends; a stanza for another key than the code's may be damaged."""
    good = world.sealed()
    variants = [good[:-1], good[:40], good + b"\0"]
    variants += [
        good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :] for at in range(0, len(good), 11)
    ]
    refused = 0
    for variant in variants:
        world.serve(variant)
        laptop = world.device()
        try:
            laptop.restore_with_recovery_code(world.code)
        except (MalformedBackupError, RecoveryCodeError):
            refused += 1
            assert not laptop.has_local_private_key()
        else:
            assert laptop._stored() == world.alice._stored()
    assert refused > len(variants) / 2
    world.serve(good)
    world.device().restore_with_recovery_code(world.code)


def test_another_users_archive_is_none_of_ours(world: World) -> None:
    """Bob's archive, made for alice's keys, is still bob's."""
    own = world.alice._own_key()
    for plaintext in (
        content("bob", [own.to_base64()], world.code.key.public_key.to_base64()),
        content("alice", [], world.code.key.public_key.to_base64()),
        content("alice", ["nonsense"]),
        content("alice", [own.to_base64()] * 300),
        content("alice", [own.to_base64()], version=2),
        b"[" * 5000,
        b"[]",
    ):
        world.serve(
            sign_and_encrypt(
                plaintext, signer=own, recipients=[own.public_key, world.code.key.public_key]
            )
        )
        with pytest.raises(MalformedBackupError) as caught:
            world.device().restore_with_recovery_code(world.code)
        assert own.to_base64() not in str(caught.value)


def test_a_made_up_archive_is_not_taken(world: World) -> None:
    """Keys that mallory signs for, encrypted for alice's published key, are not alice's."""
    mallory, own = PrivateKey.generate(), world.alice._own_key()
    world.serve(
        sign_and_encrypt(
            content("alice", [mallory.to_base64()]), signer=mallory, recipients=[own.public_key]
        )
    )
    with pytest.raises(MalformedBackupError):
        world.alice._services.archive.load([own], [own.public_key])
    [finding] = [found for found in world.alice.diagnose() if found.topic == "recovery code"]
    assert finding.health is Health.PROBLEM
    with pytest.raises(RecoveryCodeError):
        world.device().restore_with_recovery_code(world.code)


def test_an_archive_without_the_published_key_brings_nothing(world: World) -> None:
    """A recovery code of whoever knows it, over keys of their own: the card says otherwise."""
    mallory = PrivateKey.generate()
    world.serve(
        sign_and_encrypt(
            content("alice", [mallory.to_base64()]),
            signer=mallory,
            recipients=[world.code.key.public_key],
        )
    )
    laptop = world.device()
    with pytest.raises(BackupOutdatedError):
        laptop.restore_with_recovery_code(world.code)
    assert not laptop.has_local_private_key()


def test_a_rolled_back_archive_is_noticed(world: World) -> None:
    """The archive of before a rotation lacks the current key: doctor says so, restoring refuses."""
    old = world.sealed()
    world.alice.rotate_private_key()
    world.serve(old)
    findings = {found.topic: found for found in world.alice.diagnose()}
    assert findings["recovery code"].health is Health.PROBLEM
    with pytest.raises(BackupOutdatedError):
        world.device().restore_with_recovery_code(world.code)
    world.alice.create_recovery_code()
    findings = {found.topic: found for found in world.alice.diagnose()}
    assert findings["recovery code"].health is Health.GOOD


def test_codes_differ_and_are_checked_before_anything_is_asked(world: World) -> None:
    """A mistyped code costs no request; no two codes are the same."""
    assert len({RecoveryCode.generate().text for _ in range(100)}) == 100
    laptop = world.device()
    asked = len(world.service.requests)
    mistyped = world.code.text[:-1] + ("0" if world.code.text[-1] != "0" else "1")
    with pytest.raises(RecoveryCodeError):
        laptop.restore_with_recovery_code(mistyped)
    assert len(world.service.requests) == asked
