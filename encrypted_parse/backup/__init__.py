"""Backups of private keys under a password, in the form that E3Kit reads: BrainKey and Keyknox."""

from __future__ import annotations

from encrypted_parse.backup.brainkey import BrainKeyClient
from encrypted_parse.backup.keyknox import KeyknoxClient, Place
from encrypted_parse.backup.private_keys import PrivateKeyBackups

__all__ = ["BrainKeyClient", "KeyknoxClient", "Place", "PrivateKeyBackups"]
