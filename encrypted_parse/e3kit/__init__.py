"""E3Kit for Python: its verbs, for one user."""

from __future__ import annotations

from encrypted_parse.e3kit.facade import E3Kit

__all__ = ["E3Kit"]
