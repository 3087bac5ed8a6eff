"""Encrypting ahead: the next batch is made while the server works on the present one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from encrypted_parse.errors import EncryptedParseError
from encrypted_parse.models import drafts
from encrypted_parse.models.resending import readers_of
from encrypted_parse.models.sealer import Sealer
from encrypted_parse.parse.batch import BATCH_OPERATIONS

Sealed = tuple[int, dict[str, Any] | EncryptedParseError]


def sealed_ahead(planned: Mapping[int, drafts.Draft], sealer: Sealer) -> Iterator[list[Sealed]]:
    """Yield the bodies of the drafts that are to be sent, a batch at a time, by their numbers."""

    def seal(indices: Sequence[int]) -> list[Sealed]:
        sealed: list[Sealed] = []
        # Cards that were fetched for the first of a long list are not fresh for its last.
        sealer.prefetch(readers_of(*(planned[index] for index in indices)))
        for index in indices:
            try:
                sealed.append((index, drafts.seal(planned[index], sealer)))
            except EncryptedParseError as error:
                sealed.append((index, error))
        return sealed

    waiting = [index for index, draft in planned.items() if draft.is_to_be_sent]
    parts = [
        waiting[start : start + BATCH_OPERATIONS]
        for start in range(0, len(waiting), BATCH_OPERATIONS)
    ]
    with ThreadPoolExecutor(1, thread_name_prefix="encrypted-parse-seal") as ahead:
        following = [ahead.submit(seal, part) for part in parts[1:2]]
        for number, part in enumerate(parts):
            sealed = seal(part) if number == 0 else following.pop(0).result()
            if number + 2 < len(parts):
                following.append(ahead.submit(seal, parts[number + 2]))
            yield sealed
