"""Keystores: where private keys rest on this machine."""

from __future__ import annotations

from encrypted_parse.keystore.environment import EnvironmentKeystore
from encrypted_parse.keystore.file import FileKeystore, default_keystore_folder
from encrypted_parse.keystore.memory import MemoryKeystore
from encrypted_parse.keystore.port import Keystore, StoredKey
from encrypted_parse.keystore.protection import KeyService, Passphrase, Protection
from encrypted_parse.keystore.sessions import KeptSession, SessionKeeper
from encrypted_parse.keystore.settings import keystore_from_env
from encrypted_parse.keystore.system import KeyringKeystore

__all__ = [
    "EnvironmentKeystore",
    "FileKeystore",
    "KeptSession",
    "KeyService",
    "KeyringKeystore",
    "Keystore",
    "MemoryKeystore",
    "Passphrase",
    "Protection",
    "SessionKeeper",
    "StoredKey",
    "default_keystore_folder",
    "keystore_from_env",
]
