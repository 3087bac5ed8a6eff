"""One user's keys as JSON: what key files, keyrings and sealed records hold inside."""

from __future__ import annotations

import json
from typing import Any

from encrypted_parse._translating import translating
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import KeyFormatError, KeystoreError
from encrypted_parse.keystore.port import MAX_OLD_KEYS, StoredKey

FORMAT_VERSION = 1
MISREAD = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading fields out of JSON raises, whatever it is that stands there."""
MAX_RECORD_BYTES = 64 * 1024  # 200 old keys are 14 KiB


def to_fields(stored: StoredKey) -> dict[str, Any]:
    """Return the **secret** fields of a record."""
    fields: dict[str, Any] = {"private_key": stored.private_key.to_base64()}
    if stored.old_keys:
        fields["old_keys"] = [key.to_base64() for key in stored.old_keys]
    if stored.next_key is not None:
        fields["next_key"] = stored.next_key.to_base64()
    return fields


def from_fields(user_id: str, fields: dict[str, Any]) -> StoredKey:
    """Read what `to_fields` wrote.

    Raises:
        ValueError: It is something else. The message quotes nothing.
    """
    with translating(
        KeyFormatError,
        KeyError,
        AttributeError,
        TypeError,
        to=lambda: ValueError("not a record of keys"),
    ):
        old, following = fields.get("old_keys", []), fields.get("next_key")
        if not isinstance(old, list) or len(old) > MAX_OLD_KEYS:
            raise ValueError("not a list of old keys")
        return StoredKey(
            user_id,
            PrivateKey.from_base64(fields["private_key"]),
            tuple(PrivateKey.from_base64(text) for text in old),
            None if following is None else PrivateKey.from_base64(following),
        )


def to_bytes(stored: StoredKey) -> bytes:
    """Return the **secret** record as JSON."""
    fields = {"version": FORMAT_VERSION, **to_fields(stored)}
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def from_bytes(user_id: str, content: bytes) -> StoredKey:
    """Read what `to_bytes` wrote.

    Raises:
        ValueError: It is something else. The message quotes nothing.
        KeystoreError: A later release wrote it.
    """
    try:
        fields = json.loads(content) if len(content) <= MAX_RECORD_BYTES else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ValueError("not a record of keys")  # noqa: TRY004 - a parser
    version = fields.get("version", FORMAT_VERSION)
    if type(version) is int and version > FORMAT_VERSION:
        raise KeystoreError(
            f"the keys of {user_id!r} are kept in version {version} of the record, and this"
            f" release reads {FORMAT_VERSION}",
            hint="update the package: pip install --upgrade encrypted-parse",
        )
    return from_fields(user_id, fields)
