"""The key archive: all keys of a user, encrypted for the newest one and for a recovery code.

E3Kit keeps one key. Here the former ones are kept too, in one Keyknox record that no E3Kit reads:
whoever has the newest key finds the old ones in it, and whoever has the recovery code finds all.
The code's *public* half is inside, so that every device can write the record anew after a rotation
without knowing the code; it is in clear nowhere, so that nobody else can make a record for it.

What is here fetches, opens and writes. Whether an archive is to be believed, and what is merged,
is decided one floor higher, where it is known which key is the newest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from attrs import field, frozen

from encrypted_parse.backup.archive_form import (
    MAX_USER_ID_BYTES,
    ArchiveContent,
    is_for_a_code,
    is_old_form,
    open_archive,
    seal,
)
from encrypted_parse.backup.keyknox import KeyknoxClient, Place
from encrypted_parse.crypto.receiving import ReceivingKey
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import (
    DetachedEnvelope,
)
from encrypted_parse.errors import (
    MalformedBackupError,
    NotARecipientError,
    NotPicklableError,
)

_PLACE = Place("encrypted_parse", "keys", "archive")
_METADATA = b"encrypted_parse key archive 2"  # Keyknox wants some; nothing reads it


@front_door
@frozen
class ArchivedKeys:
    """What the archive holds.

    Attributes:
        content: What is inside; None for an archive of the old form, which nothing reads.
        revision: The record that this was read from, which is all that it may be replaced for.
    """

    content: ArchiveContent | None = field(repr=False)
    revision: str | None = None

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("archived keys are not written into pickles")


@front_door
class KeyArchive:
    """One user's archive. Writing replaces it; of two writers at once, one wins."""

    def __init__(self, user_id: str, keyknox: KeyknoxClient) -> None:
        self._user_id = user_id
        self._keyknox = keyknox

    def load(self, keys: Iterable[ReceivingKey]) -> ArchivedKeys | None:
        """Return what the archive holds, or None if there is none.

        Signed by the first of the keys inside; see `open_archive` for what that promises.

        Raises:
            NotARecipientError: There is one, for none of *keys*.
            MalformedBackupError: It was altered, is another user's, or is not an archive.
        """
        record = self._keyknox.pull_record(_PLACE, self._user_id)
        if record.envelope is None:
            return None
        self._check_user_id()
        sealed = record.envelope.encrypted_data
        if is_old_form(sealed):
            return ArchivedKeys(None, record.hash)
        for key in keys:
            try:
                content = open_archive(sealed, self._user_id, key)
            except NotARecipientError:
                continue
            return ArchivedKeys(content, record.hash)
        raise NotARecipientError("the key archive is for none of these keys")

    def store(self, content: ArchiveContent, revision: str | None) -> None:
        """Write the archive in place of the record of *revision*, or of none.

        The newest key, and the recovery key, open it. Keys that were replaced do not: a key that
        was stolen must not open those after it.

        Raises:
            DirectoryRefusedError: Code 50010: there is another one, perhaps by another device.
            KeyFormatError: The newest key cannot sign.
        """
        self._check_user_id()
        record = DetachedEnvelope(_METADATA, seal(content, self._user_id))
        self._keyknox.push_record(_PLACE, [self._user_id], record, revision)

    def is_for_a_code(self) -> bool:
        """Tell whether there is an archive that says that a recovery code opens it."""
        envelope = self._keyknox.pull_record(_PLACE, self._user_id).envelope
        return envelope is not None and is_for_a_code(envelope.encrypted_data)

    def delete(self) -> None:
        """Delete the archive; nothing happens if there is none."""
        self._keyknox.reset_records(_PLACE)

    def _check_user_id(self) -> None:
        # Cards allow no others (services document, section 2).
        if not self._user_id.isascii() or not 1 <= len(self._user_id) <= MAX_USER_ID_BYTES:
            raise MalformedBackupError("a user id is 1 to 255 ASCII characters")

    def __repr__(self) -> str:
        return f"<KeyArchive of {self._user_id!r}>"
