"""Testing support: a Parse app in memory, with real crypto, behind the transport port.

With pytest, ``pytest_plugins = ["encrypted_parse.testing.fixtures"]`` in conftest.py gives the
fixtures ``encrypted_app`` and ``make_encrypted_user``.
"""

from __future__ import annotations

from encrypted_parse.testing.app import InMemoryApp
from encrypted_parse.testing.parse_server import InMemoryParse
from encrypted_parse.testing.virgil import VirgilService

__all__ = ["InMemoryApp", "InMemoryParse", "VirgilService"]
