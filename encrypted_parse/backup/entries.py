"""The content of a backup: named entries as JSON (services document, section 4.3)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from encrypted_parse._translating import translating
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import KeyFormatError, MalformedBackupError

_MAX_BYTES = 4 * 1024 * 1024

Entries = dict[str, dict[str, Any]]


def read_entries(plaintext: bytes) -> Entries:
    """Return the entries of a decrypted backup; nothing at all is no entries.

    Raises:
        MalformedBackupError: Not the JSON of entries.
    """
    if not plaintext:
        return {}
    with translating(
        ValueError,
        RecursionError,
        to=lambda: MalformedBackupError("the backup does not hold entries"),
    ):
        if len(plaintext) > _MAX_BYTES:
            raise ValueError("too long")
        entries = json.loads(plaintext.decode("utf-8"))
        if isinstance(entries, dict) and isinstance(entries.get("name"), str):
            entries = {entries["name"]: entries}  # Kotlin's and Swift's named backup: one, bare
        if not isinstance(entries, dict) or not all(
            isinstance(entry, dict) and isinstance(entry.get("data"), str)
            for entry in entries.values()
        ):
            raise ValueError("no entries")
    return entries


def write_entries(entries: Entries) -> bytes:
    """Return the **secret** JSON of *entries*, as E3Kit's JavaScript writes it."""
    return json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def key_entry(name: str, key: PrivateKey, now: float) -> dict[str, Any]:
    """Return the entry that keeps *key*; *now* is in seconds since 1970."""
    moment = int(now * 1000)
    return {
        "data": base64.b64encode(key.to_bytes()).decode("ascii"),
        "creation_date": moment,
        "name": name,
        "modification_date": moment,
    }


def read_key(entry: Mapping[str, Any]) -> PrivateKey:
    """Return the private key of an entry.

    Raises:
        MalformedBackupError: It holds none that we can use.
    """
    try:
        return PrivateKey.from_base64(entry["data"])
    except KeyFormatError:
        raise MalformedBackupError("the backup's entry holds no private key") from None
