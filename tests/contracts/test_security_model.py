"""A promise without a test is not made: docs/security-model.md names tests that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
import security_model
from security_model import Bullet, NamedTest

PROMISES = security_model.promises()
LIMITS = security_model.limits()


def test_the_bullets_are_found() -> None:
    """The tests below look at the real document."""
    assert len(PROMISES) >= 25
    assert len(LIMITS) >= 40
    claims = [bullet.claim for bullet in PROMISES]
    assert len(set(claims)) == len(claims)
    assert all("`tests/" not in claim for claim in claims)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda bullet: bullet.claim)
def test_every_promise_names_its_tests(promise: Bullet) -> None:
    """Each names a test at least, and all that it names would be run."""
    assert promise.tests
    assert [fault for test in promise.tests if (fault := test.find_fault())] == []


def test_limits_name_real_tests() -> None:
    """Where a limit names a test that shows it, that test exists."""
    named = [test for limit in LIMITS for test in limit.tests]
    assert named
    assert [fault for test in named if (fault := test.find_fault())] == []


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("tests/attacks/test_nothing_of_the_kind.py", None),
        ("tests/forgery.py", None),
        ("tests/vectors/e3kit-crypto.json", None),
        ("tests/attacks/test_envelope_attacks.py", "test_nothing_of_the_kind"),
        ("tests/attacks/test_envelope_attacks.py", "_write"),
    ],
)
def test_what_is_no_test_is_noticed(path: str, function: str | None) -> None:
    """A file that is gone or holds no test, and a test that was renamed, are faults."""
    assert NamedTest(path, function).find_fault()


def test_an_empty_file_of_tests_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose tests were all taken out holds no promise."""
    (tmp_path / "test_empty.py").write_text("def helper() -> None: ...\n")
    monkeypatch.setattr(security_model, "ROOT", tmp_path)
    assert NamedTest("test_empty.py", None).find_fault()
