"""Fixtures for pytest: ``pytest_plugins = ["encrypted_parse.testing.fixtures"]``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from encrypted_parse.testing.app import InMemoryApp
from encrypted_parse.user_client import UserClient


@pytest.fixture
def encrypted_app() -> InMemoryApp:
    """Return a fresh app in memory."""
    return InMemoryApp()


@pytest.fixture
def make_encrypted_user(encrypted_app: InMemoryApp) -> Callable[..., UserClient]:
    """Return what signs fresh users up, with keys: ``make_encrypted_user("alice")``."""
    return encrypted_app.make_user
