"""The guard's rule of replaced keys in memory: cloud_code/lib/guard-keys.js, for every class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import Header, from_text, is_envelope
from encrypted_parse.errors import EnvelopeError
from encrypted_parse.testing.refusals import RefusedError
from encrypted_parse.testing.virgil import VirgilService

_REPLACED_KEY = 9013


@front_door
class KeysGuard:
    """Refuses envelopes for keys that their users have replaced or revoked.

    As the real one: but for the writer's own keys, and for those of an envelope that is only
    given to more readers. Whose the columns of another author are it does not know.
    """

    def __init__(self, service: VirgilService) -> None:
        self._service = service

    def check(
        self,
        class_name: str,
        row: Mapping[str, Any] | None,
        body: Mapping[str, Any],
        user: str | None,
    ) -> None:
        """Look at what is to be set, as `InMemoryParse.before_save`.

        Raises:
            RefusedError: A value is for a replaced key.
        """
        for column, value in body.items():
            found = _read(value)
            if found is None:
                continue
            added, content = found
            before = _read((row or {}).get(column))
            if before is not None and before[1] == content:
                added = added - before[0]
            for owner in [one for one in self._service.cards if one != user]:
                if added & self._service.replaced_keys(owner):
                    text = "the envelope is for a key that its user has replaced"
                    raise RefusedError(_REPLACED_KEY, f"{class_name}.{column}: {text}")


def _read(value: object) -> tuple[frozenset[bytes], bytes] | None:
    """Return the keys that an envelope names, and what follows its header."""
    if not isinstance(value, str) or not is_envelope(value):
        return None
    try:
        sealed = from_text(value)
        header = Header.from_bytes(sealed)
        return frozenset(header.recipient_ids()), sealed[header.length :]
    except EnvelopeError:
        return None
