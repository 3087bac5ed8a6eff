"""A service that alters, exchanges, makes up or rolls back a user's key archive."""

from __future__ import annotations

from typing import Any

import pytest
from virgil_service import FakeClock, VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup import ArchiveContent, RecoveryCode
from encrypted_parse.backup.archive import _METADATA, _PLACE
from encrypted_parse.backup.archive_form import (
    _HEAD,
    MAX_COUNTER,
    MAX_KEYS,
    _body,
    _info,
    _signed,
    open_archive,
    seal,
)
from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.receiving import ReceivingKey
from encrypted_parse.e3kit import E3Kit, Health
from encrypted_parse.envelope import DetachedEnvelope, sign_and_encrypt
from encrypted_parse.errors import (
    BackupOutdatedError,
    EncryptedParseError,
    MalformedBackupError,
    NotARecipientError,
    RecoveryCodeError,
    UntrustedArchiveError,
)

KEY, OLD, MALLORY = (PrivateKey(KeyType.ED25519, bytes([at]) * 32) for at in range(3))
CODE = RecoveryCode(bytes(20))
CONTENT = ArchiveContent(7, (KEY, OLD), CODE.key.public_key)


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

    def serve(self, sealed: bytes) -> None:
        """Put *sealed* in the archive's place."""
        keyknox = self.alice._services.keyknox
        keyknox.reset_records(_PLACE)
        keyknox.push_record(_PLACE, ["alice"], DetachedEnvelope(_METADATA, sealed), None)

    def sealed(self) -> bytes:
        """Return the archive as it is."""
        envelope = self.alice._services.keyknox.pull_record(_PLACE, "alice").envelope
        assert envelope is not None
        return envelope.encrypted_data

    def finding(self) -> Any:
        """Return what `diagnose` says of the recovery code."""
        return {found.topic: found for found in self.alice.diagnose()}["recovery code"]


@pytest.fixture
def world() -> World:
    """Return a service with one user."""
    return World()


def forge(
    content: ArchiveContent = CONTENT,
    *,
    signer: PrivateKey = KEY,
    readers: tuple[ReceivingKey, ...] | None = None,
    body: bytes | None = None,
) -> bytes:
    """Write an archive by hand, as whoever holds *signer* can, with nothing checked."""
    chosen = (ReceivingKey.of(KEY), CODE.key) if readers is None else readers
    content_key, nonce = bytes(32), bytes(12)
    prefix = _HEAD + bytes([len(chosen)])
    for reader in chosen:
        public = reader.public_key
        prefix += public.key_id + public.wrap(content_key, _info("alice"))
    inside = _body(content, "alice") if body is None else body
    unsigned = prefix + nonce + p.gcm_encrypt(content_key, nonce, inside, prefix)
    return unsigned + signer.sign(_signed(unsigned, "alice", signer.public_key))


# --- the bytes ------------------------------------------------------------------------------


def test_the_forging_itself_is_right() -> None:
    """What is refused below is refused for its own reason."""
    for sealed in (forge(), seal(CONTENT, "alice")):
        for key in (CODE.key, ReceivingKey.of(KEY)):
            assert open_archive(sealed, "alice", key) == CONTENT


def test_the_newest_key_and_the_code_alone_open_it() -> None:
    """The keys that the newest one replaced are inside, and open nothing."""
    sealed = seal(CONTENT, "alice")
    for key in (OLD, MALLORY):
        with pytest.raises(NotARecipientError):
            open_archive(sealed, "alice", ReceivingKey.of(key))
    without = seal(ArchiveContent(1, (KEY,), None), "alice")
    with pytest.raises(NotARecipientError):
        open_archive(without, "alice", CODE.key)


def test_every_altered_byte_is_refused() -> None:
    """Wraps for others included: the signature covers all that is before it."""
    good = seal(CONTENT, "alice")
    for at in range(len(good)):
        altered = good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :]
        for key in (CODE.key, ReceivingKey.of(KEY)):
            with pytest.raises((MalformedBackupError, NotARecipientError)):
                open_archive(altered, "alice", key)


def test_cut_and_extended_archives_are_refused() -> None:
    """At every length, the empty one and one over the limit included."""
    good = seal(CONTENT, "alice")
    for wrong in (*(good[:end] for end in range(0, len(good), 7)), good + b"\0", good * 9):
        with pytest.raises(MalformedBackupError):
            open_archive(wrong, "alice", CODE.key)


@pytest.mark.parametrize(
    "sealed",
    [
        pytest.param(forge(signer=OLD), id="signed by a key that was replaced"),
        pytest.param(forge(signer=MALLORY), id="signed by a stranger"),
        pytest.param(forge(readers=(CODE.key, ReceivingKey.of(KEY))), id="wraps out of order"),
        pytest.param(forge(readers=(CODE.key,)), id="no wrap for the newest key"),
        pytest.param(
            forge(readers=(ReceivingKey.of(MALLORY), CODE.key)), id="a wrap for another key"
        ),
        pytest.param(
            forge(readers=(ReceivingKey.of(KEY), ReceivingKey.of(KEY), CODE.key)),
            id="three wraps",
        ),
        pytest.param(forge(ArchiveContent(7, (KEY,), None)), id="a code that is not inside"),
        pytest.param(
            forge(ArchiveContent(7, (KEY,), RecoveryCode(bytes([1]) * 20).key.public_key)),
            id="another code inside",
        ),
        pytest.param(
            forge(ArchiveContent(7, (PrivateKey(KeyType.CURVE25519, bytes(32)),), None)),
            id="a newest key that cannot sign",
        ),
    ],
)
def test_what_is_inside_and_outside_has_to_agree(sealed: bytes) -> None:
    """Signer and readers are those that the signed content names, no fewer and no others."""
    with pytest.raises(MalformedBackupError):
        open_archive(sealed, "alice", CODE.key)


def test_bodies_that_are_none() -> None:
    """Signed by the newest key, and still refused: one encoding, bounded, nothing left over."""
    good = _body(CONTENT, "alice")
    counter_at = 1 + len("alice")
    flag_at = counter_at + 8
    for wrong in (
        b"",
        good[:-1],
        good + b"\0",
        _body(CONTENT, "bob"),
        _body(ArchiveContent(0, (KEY,), CODE.key.public_key), "alice"),
        _body(ArchiveContent(MAX_COUNTER + 1, (KEY,), CODE.key.public_key), "alice"),
        _body(ArchiveContent(7, (), CODE.key.public_key), "alice"),
        _body(ArchiveContent(7, (KEY, OLD, KEY), CODE.key.public_key), "alice"),
        _body(ArchiveContent(7, (KEY,) * (MAX_KEYS + 1), CODE.key.public_key), "alice"),
        good[:flag_at] + b"\x02" + good[flag_at + 1 :],
        good[:-33] + b"\x03" + good[-32:],
        good[: flag_at + 1] + b"\xff" * 1216 + good[flag_at + 1217 :],
    ):
        with pytest.raises(MalformedBackupError) as caught:
            open_archive(forge(body=wrong), "alice", CODE.key)
        assert caught.value.__cause__ is None, "the cause may quote keys"


def test_another_users_archive_is_none_of_ours() -> None:
    """The same keys under another user id are another archive."""
    with pytest.raises(MalformedBackupError):
        open_archive(seal(CONTENT, "bob"), "alice", CODE.key)


def test_a_newer_form_says_that_it_is_one() -> None:
    """A later version is not taken for damage."""
    good = seal(CONTENT, "alice")
    with pytest.raises(MalformedBackupError, match="newer form"):
        open_archive(good[:1] + b"\x03" + good[2:], "alice", CODE.key)


# --- what is served -------------------------------------------------------------------------


def test_an_archive_of_the_old_form_is_refused_with_the_step(world: World) -> None:
    """Nothing reads it any more, and a new recovery code takes its place."""
    own = world.alice._own_key()
    world.serve(sign_and_encrypt(b"{}", signer=own, recipients=[own.public_key]))
    with pytest.raises(MalformedBackupError, match="older form") as caught:
        world.device().restore_with_recovery_code(world.code)
    assert "make a new recovery code on a machine that has the keys" in str(caught.value.hint)
    assert world.finding().health is Health.PROBLEM
    world.alice.rotate_private_key()  # which leaves it as it is
    code = world.alice.create_recovery_code()
    laptop = world.device()
    laptop.restore_with_recovery_code(code)
    assert laptop._stored() == world.alice._stored()


def test_an_altered_archive_brings_no_key(world: World) -> None:
    """Whatever is flipped or cut, the code restores nothing; unharmed it restores all."""
    good = world.sealed()
    for wrong in (good[:-1], good[:40], good + b"\0", good[:-1] + bytes([good[-1] ^ 1]), b"x"):
        world.serve(wrong)
        laptop = world.device()
        with pytest.raises((MalformedBackupError, RecoveryCodeError)):
            laptop.restore_with_recovery_code(world.code)
        assert not laptop.has_local_private_key()
        with pytest.raises(EncryptedParseError):
            world.alice.create_recovery_code()
        assert world.finding().health is Health.PROBLEM
    world.serve(good)
    world.device().restore_with_recovery_code(world.code)


def test_a_made_up_archive_is_not_taken(world: World) -> None:
    """Keys that mallory signs for, also if alice's own are among them, are not alice's."""
    own, held = world.alice._own_key(), world.alice._stored()
    code = world.code.key.public_key
    for keys in ((MALLORY,), (MALLORY, own)):
        world.serve(seal(ArchiveContent(9, keys, code), "alice"))
        with pytest.raises(EncryptedParseError):
            world.device().restore_with_recovery_code(world.code)
        with pytest.raises(EncryptedParseError):
            world.alice.create_recovery_code()
        served = world.sealed()
        world.alice.rotate_private_key()
        assert MALLORY not in world.alice._stored().identities
        assert set(held.identities) <= set(world.alice._stored().identities)
        assert world.sealed() == served


def test_an_archive_without_the_published_key_brings_nothing(world: World) -> None:
    """A recovery code of whoever knows it, over keys of their own: the card says otherwise."""
    world.serve(seal(ArchiveContent(9, (MALLORY,), world.code.key.public_key), "alice"))
    laptop = world.device()
    with pytest.raises(BackupOutdatedError):
        laptop.restore_with_recovery_code(world.code)
    assert not laptop.has_local_private_key()


def test_a_rolled_back_archive_is_refused(world: World) -> None:
    """Who has seen the newer one says so; who has not finds that the published key is missing."""
    old = world.sealed()
    world.alice.rotate_private_key()
    world.serve(old)
    assert world.finding().health is Health.PROBLEM
    with pytest.raises(UntrustedArchiveError):
        world.alice.restore_with_recovery_code(world.code)
    with pytest.raises(BackupOutdatedError):
        world.device().restore_with_recovery_code(world.code)
    world.alice.restore_with_recovery_code(world.code, accept_older=True)
    assert world.finding().health is Health.GOOD
    laptop = world.device()
    laptop.restore_with_recovery_code(world.code)
    assert laptop._stored() == world.alice._stored()


def test_a_deleted_archive_does_not_come_back(world: World) -> None:
    """Served again it is refused by who deleted it, until that is asked for."""
    old = world.sealed()
    world.alice.delete_recovery_code()
    assert "any more" in world.finding().message
    world.serve(old)
    with pytest.raises(UntrustedArchiveError):
        world.alice.restore_with_recovery_code(world.code)
    world.alice.rotate_private_key()
    assert world.sealed() == old, "nothing new is written for the deleted code"
    world.alice.delete_recovery_code(forget=True)
    world.serve(old)
    world.alice.restore_with_recovery_code(world.code)
    assert world.finding().health is Health.GOOD


def test_codes_differ_and_are_checked_before_anything_is_asked(world: World) -> None:
    """A mistyped code costs no request; no two codes are the same."""
    assert len({RecoveryCode.generate().text for _ in range(100)}) == 100
    laptop = world.device()
    asked = len(world.service.requests)
    mistyped = world.code.text[:-1] + ("0" if world.code.text[-1] != "0" else "1")
    with pytest.raises(RecoveryCodeError):
        laptop.restore_with_recovery_code(mistyped)
    assert len(world.service.requests) == asked
