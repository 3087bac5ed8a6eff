"""Passwords of backups: what is refused, what is offered, and what is never judged."""

from __future__ import annotations

import pickle
import re
import time

import pytest
from virgil_service import VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup import LoginPassword, require_good_password
from encrypted_parse.e3kit import E3Kit, derive_passwords, generate_backup_password
from encrypted_parse.errors import NotPicklableError, WeakPasswordError, WrongBackupPasswordError
from encrypted_parse.testing import InMemoryApp

GOOD = "7KQ2Z-M0D4X-PA1BC-9RT3W"


@pytest.fixture
def alice() -> E3Kit:
    """A registered user."""
    e3kit = make_e3kit(VirgilService(), "alice", MemoryKeystore())
    e3kit.register()
    return e3kit


@pytest.mark.parametrize(
    "password",
    ["", "p", "password", "Tr0ub4dour&3", "qwertyuiop", "alice1987", "пароль", "a" * 10_000],
)
def test_passwords_that_can_be_guessed_are_refused(alice: E3Kit, password: str) -> None:
    """Nothing is stored, and the hint offers another."""
    with pytest.raises(WeakPasswordError) as caught:
        alice.backup_private_key(password)
    assert not alice._services.backups.exists()
    assert "generate_backup_password()" in str(caught.value.hint)


@pytest.mark.parametrize(
    "password", [GOOD, "correct horse battery staple", "ключ от старого сарая"]
)
def test_good_passwords_are_taken(alice: E3Kit, password: str) -> None:
    """Words that have nothing in common, in any script, and random ones."""
    alice.backup_private_key(password)


def test_long_passwords_cost_no_more_than_short_ones() -> None:
    """The estimator sees a bounded part of it."""
    started = time.process_time()
    require_good_password(GOOD * 5000, None)
    assert time.process_time() - started < 5


def test_a_change_of_password_is_judged_and_changes_nothing(alice: E3Kit) -> None:
    """The new one is; the old one opens the backup still."""
    alice.backup_private_key(GOOD)
    with pytest.raises(WeakPasswordError):
        alice.change_password(GOOD, "password")
    alice.change_password(GOOD, GOOD[::-1])


def test_a_restore_judges_no_password(alice: E3Kit) -> None:
    """What an E3Kit app stored under a weak password comes back."""
    key = alice._own_key()
    alice._services.backups.store([key], "p")
    alice.cleanup()
    with pytest.raises(WrongBackupPasswordError):
        alice.restore_private_key("q")
    alice.restore_private_key("p")
    assert alice._own_key() == key
    alice.change_password("p", GOOD)


def test_the_login_password_is_refused() -> None:
    """After signing up and logging in; another session, which does not know it, judges strength."""
    client = InMemoryApp().client()
    signed_up = client.sign_up("alice", GOOD)
    signed_up.register()
    logged_in = client.log_in("alice", GOOD)
    for session in (signed_up, logged_in):
        with pytest.raises(WeakPasswordError, match="login password"):
            session.e3kit.backup_private_key(GOOD)
        with pytest.raises(WeakPasswordError, match="login password"):
            session.e3kit.change_password("what it was", GOOD)
    taken_over = client.become(logged_in.session_token)
    assert taken_over.e3kit._login_password is None


def test_what_is_kept_of_the_login_password_is_mute() -> None:
    """No text of it anywhere, a salt of its own each time, and no pickle."""
    one, two = LoginPassword.of(GOOD), LoginPassword.of(GOOD)
    assert one != two
    assert one.is_same(GOOD)
    assert not one.is_same(GOOD + " ")
    assert repr(one) == "LoginPassword()"
    with pytest.raises(NotPicklableError):
        pickle.dumps(one)
    LoginPassword.of("\ud800")  # no text that UTF-8 has, and still a password


def test_derived_passwords_are_good() -> None:
    """The two that E3Kit makes of one differ, and pass."""
    derived = derive_passwords("password")
    require_good_password(derived.backup_password, LoginPassword.of(derived.login_password))
    with pytest.raises(WeakPasswordError):
        require_good_password(derived.login_password, LoginPassword.of(derived.login_password))


def test_generated_passwords() -> None:
    """A hundred bits in groups that can be written down; no two are the same."""
    made = {generate_backup_password() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{5}", password)
        require_good_password(password, None)
