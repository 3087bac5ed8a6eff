"""The life of a key: registered, rotated, backed up, lost, brought back."""

from __future__ import annotations

from pathlib import Path

import pytest
from virgil_service import FakeClock, VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup import RecoveryCode
from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.directory.links import LINK_SIGNER
from encrypted_parse.e3kit import E3Kit, derive_passwords
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    BackupExistsError,
    BackupOutdatedError,
    CardNotFoundError,
    InvalidValueError,
    KeyFormatError,
    KeystoreConflictError,
    NoBackupError,
    NotARecipientError,
    NotRegisteredError,
    OutcomeUnknownError,
    RecoveryCodeError,
    SignerNotFoundError,
    TamperedEnvelopeError,
    WrongBackupPasswordError,
)
from encrypted_parse.transport import HttpRequest

PASSWORD = "7KQ2Z-M0D4X-PA1BC-9RT3W"


class World:
    """One service, and users' devices on it."""

    def __init__(self) -> None:
        self.service = VirgilService()
        self.clock = FakeClock()

    def device(self, user_id: str, keystore: MemoryKeystore | None = None) -> E3Kit:
        """Return a device of the user; without *keystore* a new one, without keys."""
        return make_e3kit(self.service, user_id, keystore or MemoryKeystore(), self.clock)

    def registered(self, user_id: str) -> E3Kit:
        """Return a device of a user who has just registered on it."""
        device = self.device(user_id)
        device.register()
        return device

    def lose_answers(self, path: str) -> None:
        """Carry requests to *path* out, and lose what is answered, once."""

        def cut(request: HttpRequest) -> None:
            if request.url.endswith(path):
                self.service.after = lambda _: None
                raise OutcomeUnknownError("the connection broke")

        self.service.after = cut

    def refuse(self, path: str) -> None:
        """Break the connection before the next request to *path* arrives."""

        def cut(request: HttpRequest) -> None:
            if request.url.endswith(path):
                self.service.before = lambda _: None
                raise OutcomeUnknownError("the connection broke")

        self.service.before = cut


@pytest.fixture
def world() -> World:
    """Return a service without users."""
    return World()


# --- registration ---------------------------------------------------------------------------


def test_register_with_an_own_key(world: World) -> None:
    """A given key is published; given again on another machine, it is taken over."""
    key = PrivateKey.generate()
    alice = world.device("alice")
    card = alice.register(key)
    assert card.public_key == key.public_key
    assert alice.register() == card
    laptop = world.device("alice")
    with pytest.raises(AlreadyRegisteredError):
        laptop.register()
    with pytest.raises(AlreadyRegisteredError):
        laptop.register(PrivateKey.generate())
    assert not laptop.has_local_private_key()
    assert laptop.register(key) == card
    assert laptop.auth_decrypt(alice.auth_encrypt("x")) == "x"


def test_keys_that_cannot_be_registered(world: World) -> None:
    """A key that cannot sign, or another than the kept one: nothing is published."""
    alice = world.device("alice")
    with pytest.raises(KeyFormatError):
        alice.register(PrivateKey.generate(KeyType.CURVE25519))
    assert world.service.requests == []
    world.refuse("card/v5")
    with pytest.raises(OutcomeUnknownError):
        alice.register()
    with pytest.raises(KeystoreConflictError):
        alice.register(PrivateKey.generate())
    assert world.service.cards == {}
    assert alice.register().public_key == alice._own_key().public_key


def test_register_offers_a_recovery_code(world: World) -> None:
    """The code is handed over once, and brings the key back."""
    codes: list[RecoveryCode] = []
    alice = world.device("alice")
    alice.register(show_recovery_code=codes.append)
    alice.register(show_recovery_code=codes.append)
    [code] = codes
    laptop = world.device("alice")
    laptop.restore_with_recovery_code(code.text.lower().replace("-", " "))
    assert laptop.auth_decrypt(alice.auth_encrypt("x")) == "x"


# --- rotation -------------------------------------------------------------------------------


def test_what_was_written_before_a_rotation_stays_readable(world: World) -> None:
    """Own and others' messages to the old key open; new ones take the new key."""
    alice, bob = world.registered("alice"), world.registered("bob")
    card_of_bob, first = bob.find_users(["bob"])["bob"], alice.find_users(["alice"])["alice"]
    mine = alice.auth_encrypt("mine", [card_of_bob])
    to_alice = bob.auth_encrypt("to alice", [first])
    card = alice.rotate_private_key()
    assert card.previous_card_id == first.card_id
    assert alice.auth_decrypt(mine) == "mine"
    assert alice.auth_decrypt(to_alice, card_of_bob) == "to alice"
    again = alice.rotate_private_key()
    assert alice.auth_decrypt(mine) == "mine"
    assert len(alice._stored().old_keys) == 2
    fresh = bob.auth_encrypt("new", [bob.find_users(["alice"], force_reload=True)["alice"]])
    assert alice.auth_decrypt(fresh, card_of_bob) == "new"
    with pytest.raises(SignerNotFoundError):
        bob.auth_decrypt(mine, again)
    assert bob.auth_decrypt(mine, again, encrypted_at=first.created_at) == "mine"


def test_own_files_of_every_form_outlive_rotations(world: World, tmp_path: Path) -> None:
    """Also those of the old form, which do not say who signed them."""
    alice = world.registered("alice")
    (tmp_path / "text").write_bytes(b"mine")
    alice.auth_encrypt_file(tmp_path / "text", tmp_path / "signed")
    alice.encrypt_file(tmp_path / "text", tmp_path / "old")
    key = alice.encrypt_shared_file(tmp_path / "text", tmp_path / "shared")
    alice.rotate_private_key()
    alice.rotate_private_key()
    alice.auth_decrypt_file(tmp_path / "signed", tmp_path / "1")
    alice.decrypt_file(tmp_path / "old", tmp_path / "2")
    alice.decrypt_shared_file(tmp_path / "shared", tmp_path / "3", key)
    assert [(tmp_path / name).read_bytes() for name in "123"] == [b"mine"] * 3


def test_the_senders_card_at_a_date(world: World) -> None:
    """A date before the first card, or without a zone, is an error of its own."""
    alice, bob = world.registered("alice"), world.registered("bob")
    card = bob.find_users(["alice"])["alice"]
    text = alice.auth_encrypt("x", [alice.find_users(["bob"])["bob"]])
    old = alice.encrypt("old", [alice.find_users(["bob"])["bob"]])
    early = card.created_at.replace(year=2020)
    with pytest.raises(CardNotFoundError):
        bob.auth_decrypt(text, card, encrypted_at=early)
    with pytest.raises(InvalidValueError):
        bob.auth_decrypt(text, card, encrypted_at=card.created_at.replace(tzinfo=None))
    alice.rotate_private_key()
    newer = bob.find_users(["alice"], force_reload=True)["alice"]
    at = card.created_at.replace(microsecond=1)
    assert bob.auth_decrypt(text, newer, encrypted_at=at) == "x"
    assert bob.decrypt(old, newer, encrypted_at=at) == "old"


def test_the_old_key_signs_the_new_card(world: World) -> None:
    """The link is there if the old key is, and only then."""
    alice = world.registered("alice")
    signers = [item["signer"] for item in alice.rotate_private_key().raw["signatures"]]
    assert signers == ["self", LINK_SIGNER, "virgil"]
    alice.cleanup()
    signers = [item["signer"] for item in alice.rotate_private_key(lost=True).raw["signatures"]]
    assert signers == ["self", "virgil"]


@pytest.mark.parametrize("path", ["card/v5", "keyknox/v2/push", "card/v5/actions/search"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rotation_that_is_cut_off(world: World, path: str, when: str) -> None:
    """Wherever the connection breaks, the next call completes it, and nothing is lost."""
    alice, bob = world.registered("alice"), world.registered("bob")
    card = alice.find_users(["bob"])["bob"]
    before = bob.auth_encrypt("before", [bob.find_users(["alice"])["alice"]])
    (world.refuse if when == "before" else world.lose_answers)(path)
    with pytest.raises(OutcomeUnknownError):
        alice.rotate_private_key()
    between = bob.auth_encrypt("between", [bob.find_users(["alice"], force_reload=True)["alice"]])
    assert alice.auth_decrypt(between, card) == "between"
    restarted = make_e3kit(world.service, "alice", alice._keystore, world.clock)
    restarted.rotate_private_key()
    for device in (alice, restarted):
        assert device.auth_decrypt(before, card) == "before"
        assert device.auth_decrypt(between, card) == "between"
    chain = restarted._find_own_chain()
    assert chain is not None
    assert len(chain.cards) == 2, "one rotation, however often it was called"
    assert restarted._stored().next_key is None


def test_registering_completes_a_rotation(world: World) -> None:
    """The published key that the keystore still calls the next one becomes the current one."""
    alice = world.registered("alice")
    world.lose_answers("card/v5")
    with pytest.raises(OutcomeUnknownError):
        alice.rotate_private_key()
    assert alice._stored().next_key is not None
    card = alice.register()
    assert alice._own_key().public_key == card.public_key


def test_two_devices_rotate_at_once(world: World) -> None:
    """One wins; the other keeps its old key, and says so."""
    phone = world.registered("alice")
    laptop = world.device("alice")
    laptop.register(phone._own_key())
    publish, done = laptop._directory.client.publish, []

    def slow(raw: dict[str, object]) -> object:
        if not done:
            done.append(phone.rotate_private_key())
        return publish(raw)

    laptop._service = None  # the archive would notice first
    laptop._directory.client.publish = slow  # type: ignore[method-assign, assignment]
    with pytest.raises(AlreadyRegisteredError):
        laptop.rotate_private_key()
    assert laptop._stored().next_key is None
    assert phone._own_key().public_key == done[0].public_key


def test_rotations_that_cannot_be(world: World) -> None:
    """No card, the same key again, a key that cannot sign."""
    alice = world.device("alice")
    with pytest.raises(NotRegisteredError):
        alice.rotate_private_key()
    alice.register()
    with pytest.raises(InvalidValueError):
        alice.rotate_private_key(alice._own_key())
    with pytest.raises(KeyFormatError):
        alice.rotate_private_key(PrivateKey.generate(KeyType.CURVE25519))
    key = PrivateKey.generate()
    assert alice.rotate_private_key(key).public_key == key.public_key


def test_another_key_than_the_one_that_was_cut_off(world: World) -> None:
    """A rotation begun with one key and finished with another keeps both."""
    alice = world.registered("alice")
    world.refuse("card/v5")
    with pytest.raises(OutcomeUnknownError):
        alice.rotate_private_key()
    begun = alice._stored().next_key
    given = PrivateKey.generate()
    alice.rotate_private_key(given)
    assert alice._own_key() == given
    assert begun in alice._stored().old_keys


# --- bringing keys back ---------------------------------------------------------------------


def test_a_lost_device_with_a_backup(world: World) -> None:
    """The backup brings the current key and the old ones back."""
    alice, bob = world.registered("alice"), world.registered("bob")
    card = alice.find_users(["bob"])["bob"]
    first = bob.auth_encrypt("first", [bob.find_users(["alice"])["alice"]])
    alice.backup_private_key(PASSWORD)
    with pytest.raises(BackupExistsError):
        alice.backup_private_key(PASSWORD)
    alice.rotate_private_key()
    with pytest.raises(BackupExistsError):
        alice.backup_private_key(PASSWORD[::-1])
    laptop = world.device("alice")
    with pytest.raises(BackupOutdatedError):
        laptop.restore_private_key(PASSWORD)
    assert not laptop.has_local_private_key()
    alice.backup_private_key(PASSWORD)
    with pytest.raises(WrongBackupPasswordError):
        laptop.restore_private_key("wrong")
    laptop.restore_private_key(PASSWORD)
    assert laptop._stored() == alice._stored()
    assert laptop.auth_decrypt(first, card) == "first"


def test_old_keys_come_with_the_current_one(world: World) -> None:
    """Whoever has the current key alone finds the old ones in the archive."""
    alice = world.registered("alice")
    alice.rotate_private_key()
    laptop = world.device("alice")
    laptop._keystore.save(alice._stored().with_next(None))
    laptop.cleanup()
    laptop._services.backups.store([alice._own_key()], PASSWORD)  # as E3Kit does: one key
    laptop.restore_private_key(PASSWORD)
    assert laptop._stored() == alice._stored()


def test_a_lost_key_and_an_outdated_backup(world: World) -> None:
    """After a rotation without the old key, the old backup still opens what was before."""
    alice, bob = world.registered("alice"), world.registered("bob")
    card = bob.find_users(["bob"])["bob"]
    first = bob.auth_encrypt("first", [bob.find_users(["alice"])["alice"]])
    alice.backup_private_key(PASSWORD)
    laptop = world.device("alice")
    laptop.rotate_private_key(lost=True)
    with pytest.raises(NotARecipientError):
        laptop.auth_decrypt(first, card)
    laptop.restore_private_key(PASSWORD)
    assert laptop.auth_decrypt(first, card) == "first"
    new_key = laptop._own_key()
    laptop.restore_private_key(PASSWORD)
    assert laptop._own_key() == new_key


def test_a_recovery_code_survives_rotations(world: World) -> None:
    """The code of the first day brings the keys of the last one back."""
    alice, bob = world.registered("alice"), world.registered("bob")
    card = bob.find_users(["bob"])["bob"]
    first = bob.auth_encrypt("first", [bob.find_users(["alice"])["alice"]])
    code = alice.create_recovery_code()
    for _ in range(3):
        alice.rotate_private_key()
    laptop = world.device("alice")
    laptop.restore_with_recovery_code(code)
    assert laptop._stored() == alice._stored()
    assert laptop.auth_decrypt(first, card) == "first"
    laptop.rotate_private_key()
    tablet = world.device("alice")
    tablet.restore_with_recovery_code(code.text)
    assert tablet._stored() == laptop._stored()


def test_recovery_codes_that_do_not_fit(world: World) -> None:
    """No archive, another code, one that was replaced or deleted."""
    alice = world.registered("alice")
    with pytest.raises(NoBackupError):
        alice.restore_with_recovery_code(RecoveryCode.generate())
    first = alice.create_recovery_code()
    second = alice.create_recovery_code()
    laptop = world.device("alice")
    for wrong in (first, RecoveryCode.generate()):
        with pytest.raises(RecoveryCodeError):
            laptop.restore_with_recovery_code(wrong)
    laptop.restore_with_recovery_code(second)
    laptop.delete_recovery_code()
    with pytest.raises(NoBackupError):
        world.device("alice").restore_with_recovery_code(second)


def test_an_archive_that_only_an_earlier_key_opens(world: World) -> None:
    """It is not overwritten: its recovery code may be in somebody's drawer."""
    alice = world.registered("alice")
    code = alice.create_recovery_code()
    laptop = world.device("alice")
    laptop.rotate_private_key(lost=True)
    with pytest.raises(BackupExistsError):
        laptop.create_recovery_code()
    laptop.rotate_private_key()
    laptop.restore_with_recovery_code(code)
    assert alice._own_key() in laptop._stored().old_keys
    laptop.create_recovery_code()


def test_unregister_and_register_again(world: World) -> None:
    """The old life's backup opens old messages in the new one."""
    alice, bob = world.registered("alice"), world.registered("bob")
    card = bob.find_users(["bob"])["bob"]
    first = bob.auth_encrypt("first", [bob.find_users(["alice"])["alice"]])
    code = alice.create_recovery_code()
    alice.unregister()
    assert not alice.has_local_private_key()
    with pytest.raises(NotRegisteredError):
        alice.restore_with_recovery_code(code)
    alice.register()
    with pytest.raises(NotARecipientError):
        alice.auth_decrypt(first, card)
    alice.restore_with_recovery_code(code)
    assert alice.auth_decrypt(first, card) == "first"


# --- recovery codes and passwords -----------------------------------------------------------


def test_a_recovery_code_as_people_type_it() -> None:
    """Case, separators and look-alikes do not matter; every single slip is noticed."""
    code = RecoveryCode.generate()
    typed = code.text.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert RecoveryCode.parse(f"  {typed}\n").text == code.text
    symbols = code.text
    for at, symbol in enumerate(symbols):
        if symbol != "-":
            wrong = symbols[:at] + ("A" if symbol != "A" else "B") + symbols[at + 1 :]
            with pytest.raises(RecoveryCodeError):
                RecoveryCode.parse(wrong)
    for wrong in ("", symbols[:-1], symbols + "0", symbols[:-1] + "U", symbols[:-1] + "é"):
        with pytest.raises(RecoveryCodeError) as caught:
            RecoveryCode.parse(wrong)
        assert symbols[:6] not in str(caught.value)


def test_the_form_of_recovery_codes_never_changes() -> None:
    """What is on paper today opens in every later version."""
    code = RecoveryCode(bytes(range(20)))
    assert code.text == "000G40-R40M30-E20918-5GR38E-1W8124-GK7X6S"
    assert code.key.public_key.fingerprint.hex() == (
        "3b535f3fb685a461fabfabfbf77d7c5181d01ab7a3cacf4c2d329d818cb32f08"
    )


@pytest.mark.parametrize("password", ["password", "пароль", "", "x" * 1000])
def test_derived_passwords(password: str) -> None:
    """Two halves that differ, always the same, and mute."""
    derived = derive_passwords(password)
    assert derived == derive_passwords(password)
    assert derived.login_password != derived.backup_password
    assert derived.login_password not in repr(derived)


# --- groups ---------------------------------------------------------------------------------


def test_group_messages_outlive_their_senders_rotation(world: World) -> None:
    """A member's older messages open with the card of their time; only the initiator edits."""
    alice, bob = world.registered("alice"), world.registered("bob")
    cards = alice.find_users(["bob"])
    group = alice.create_group("a group of two", cards.values())
    joined = bob.load_group("a group of two", bob.find_users(["alice"])["alice"])
    assert group.is_editable
    assert not joined.is_editable
    text = joined.encrypt("before")
    bob.rotate_private_key()
    newer = alice.find_users(["bob"], force_reload=True)["bob"]
    with pytest.raises(TamperedEnvelopeError):
        group.decrypt(text, newer)
    assert group.decrypt(text, newer, encrypted_at=cards["bob"].created_at) == "before"
    with pytest.raises(CardNotFoundError):
        group.decrypt(text, newer, encrypted_at=cards["bob"].created_at.replace(year=2000))


# --- ways back ------------------------------------------------------------------------------


def test_the_ways_back_that_exist(world: World) -> None:
    """What the service keeps is listed, and nothing else; an archive without a code is no way."""
    alice = world.registered("alice")
    assert not alice.ways_back()
    alice.rotate_private_key()  # makes an archive, for the newest key alone
    assert not alice.ways_back()
    laptop = world.device("alice")
    with pytest.raises(AlreadyRegisteredError) as caught:
        laptop.rotate_private_key()
    hint = str(caught.value.hint)
    assert "another machine" in hint
    assert "restore" not in hint.replace("and restore;", "")
    assert "rotate_private_key(lost=True)" in hint
    alice.create_recovery_code()
    alice.backup_private_key(PASSWORD)
    alice.backup_private_key(PASSWORD, "at the bank")
    ways = alice.ways_back()
    assert (ways.backup, ways.named_backups, ways.recovery_code) == (True, ("at the bank",), True)
    with pytest.raises(AlreadyRegisteredError, match="published key") as caught:
        laptop.rotate_private_key()
    for way in ("restore_private_key()", "'at the bank'", "restore_with_recovery_code()"):
        assert way in str(caught.value.hint)
    assert not laptop.has_local_private_key()


def test_a_key_that_is_here_is_not_given_up(world: World) -> None:
    """Saying "lost" where the key is changes nothing: it signs the new card."""
    alice = world.registered("alice")
    signers = [item["signer"] for item in alice.rotate_private_key(lost=True).raw["signatures"]]
    assert signers == ["self", "ep1/card-link", "virgil"]
