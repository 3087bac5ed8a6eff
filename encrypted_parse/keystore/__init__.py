"""Keystores: where private keys rest on this machine."""

from __future__ import annotations

from encrypted_parse.keystore.file import FileKeystore, default_keystore_folder
from encrypted_parse.keystore.memory import MemoryKeystore
from encrypted_parse.keystore.port import Keystore, StoredKey

__all__ = ["FileKeystore", "Keystore", "MemoryKeystore", "StoredKey", "default_keystore_folder"]
