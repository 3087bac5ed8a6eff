"""E3Kit for Python: its verbs, for one user."""

from __future__ import annotations

from encrypted_parse.backup import generate_backup_password
from encrypted_parse.e3kit.backups import DerivedPasswords, derive_passwords
from encrypted_parse.e3kit.facade import E3Kit
from encrypted_parse.e3kit.groups import Group
from encrypted_parse.e3kit.health import Finding, Health
from encrypted_parse.e3kit.people import FormerKey
from encrypted_parse.e3kit.ways_back import WaysBack

__all__ = [
    "DerivedPasswords",
    "E3Kit",
    "Finding",
    "FormerKey",
    "Group",
    "Health",
    "WaysBack",
    "derive_passwords",
    "generate_backup_password",
]
