"""Which key archive is believed, and what the next one holds (ADR 10).

An archive steers what is encrypted later: the recovery key in it is what the next archive, with
the next key in it, is encrypted for. So it counts only if the newest key that this machine knows
signed it, if none with a higher counter was seen, and if its recovery key is the one that this
machine knows. What does not count is left as it is: its code may be in somebody's drawer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from encrypted_parse.backup import ArchiveContent, ArchivedKeys, KeyArchive
from encrypted_parse.backup.archive_form import MAX_COUNTER, MAX_KEYS
from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.crypto.receiving import ReceivingKey, ReceivingPublicKey
from encrypted_parse.discretion import front_door
from encrypted_parse.e3kit.memory import LatestValue, record_name
from encrypted_parse.errors import (
    DirectoryRefusedError,
    MalformedBackupError,
    UntrustedArchiveError,
)
from encrypted_parse.keystore import StoredKey
from encrypted_parse.trust import TrustStore

_log = logging.getLogger("encrypted_parse.keys")
_HASH_MISMATCH = 50010
_ATTEMPTS = 5  # of writers that race; each looks again and merges
_SEEN, _USED = record_name("archive"), record_name("archive", "used")


@front_door
class Archives:
    """One user's key archive, with what this machine remembers of it."""

    def __init__(self, user_id: str, archive: KeyArchive, store: TrustStore) -> None:
        self._user_id, self._archive, self._store = user_id, archive, store
        self._code = LatestValue(store, user_id, "archive", "recovery key")

    @property
    def was_seen(self) -> bool:
        """Whether this machine has ever seen an archive of this user."""
        return self._store.find_counter(self._user_id, _SEEN) >= 0

    def load(self, stored: StoredKey) -> ArchiveContent | None:
        """Return the archive, if it is to be believed; None if there is none.

        Raises:
            NotARecipientError: There is one, for none of the keys of this machine.
            MalformedBackupError: It was altered, or has the old form.
            UntrustedArchiveError: It is signed by a replaced key, older than one that was seen,
                or for a recovery code that this machine does not know.
        """
        found = self._load_believed(stored)
        return None if found is None else found.content

    def follow(self, stored: StoredKey, begun: PrivateKey | None = None) -> None:
        """Bring the archive up to the keys of *stored*, for the same recovery code.

        *begun* is the key of a rotation that was begun before and given up: it may have signed
        the archive, and was never replaced.

        Raises: as `load`, and DirectoryRefusedError if the service refuses.
        """

        def next_one() -> tuple[ArchivedKeys | None, ReceivingPublicKey | None]:
            found = self._load_believed(stored, begun)
            content = None if found is None else found.content
            if content is None and self.was_seen:
                _log.warning("the key archive of %r is gone: the next has no code", self._user_id)
            return found, None if content is None else content.recovery_key

        self._write(stored, next_one)

    def replace_code(self, stored: StoredKey, recovery_key: ReceivingPublicKey) -> None:
        """Write the archive for another recovery code, which takes nothing from the one before.

        Raises:
            NotARecipientError: There is an archive, for none of the keys of this machine.
            MalformedBackupError: It was altered.
            UntrustedArchiveError: It is signed by a replaced key.
            DirectoryRefusedError: The service refuses.
        """

        def next_one() -> tuple[ArchivedKeys | None, ReceivingPublicKey | None]:
            found = self._archive.load(_receiving_keys(stored.identities))
            if found is not None and found.content is not None:
                _require_newest(found.content, stored)
            return found, recovery_key

        self._write(stored, next_one)

    def open_with(self, code: ReceivingKey, *, accept_older: bool) -> ArchiveContent | None:
        """Return what the archive holds for whoever has nothing but its recovery code.

        Signed by the first of the keys inside. Whether that one is the newest, only the user's
        card can tell.

        Raises:
            NotARecipientError: It is not for this code.
            MalformedBackupError: It was altered, or has the old form.
            UntrustedArchiveError: It is older than one that was seen.
        """
        found = _readable(self._archive.load([code]))
        if found is None or found.content is None:
            return None
        if not accept_older:
            self._require_unseen_newer(found.content)
        return found.content

    def keep_code(self, stored: StoredKey, code: ReceivingKey, content: ArchiveContent) -> None:
        """Go on with *code*, which a person typed in, whatever the archive was before.

        Raises: as `open_with`, and DirectoryRefusedError if the service refuses.
        """
        complete = set(stored.identities) <= set(content.keys)
        is_newest = content.keys[0] == _newest_first(stored)[0]
        if complete and is_newest and content.counter >= self._seen():
            self._remember(content)
            return

        def next_one() -> tuple[ArchivedKeys | None, ReceivingPublicKey | None]:
            return _readable(self._archive.load([code])), code.public_key

        self._write(stored, next_one)

    def delete(self, *, forget: bool) -> None:
        """Delete the archive, and let none of those before it count again.

        *forget* lets this machine take the next one that it sees, whatever it is.
        """
        self._archive.delete()
        if forget:
            for record in (_SEEN, _USED):
                self._store.forget_counter(self._user_id, record)
            self._code.forget()
        elif self.was_seen:
            self._store.raise_counter(self._user_id, _SEEN, self._next_counter())

    # --- inside -----------------------------------------------------------------------------

    def _load_believed(
        self, stored: StoredKey, begun: PrivateKey | None = None
    ) -> ArchivedKeys | None:
        found = _readable(self._archive.load(_receiving_keys(stored.identities)))
        if found is None or found.content is None:
            return None
        content = found.content
        if content.keys[0] != begun:
            _require_newest(content, stored)
        self._require_unseen_newer(content)
        recovery_key = content.recovery_key
        if recovery_key is not None and not (
            self._code.is_open or self._code.is_latest(recovery_key.fingerprint)
        ):
            raise UntrustedArchiveError(
                "the key archive is for a recovery code that this machine does not know",
                hint="if you made one on another machine: restore_with_recovery_code() with it"
                " here; if not, somebody has your key: create_recovery_code(), then"
                " rotate_private_key()",
            )
        self._remember(content)
        return found

    def _write(
        self,
        stored: StoredKey,
        next_one: Callable[[], tuple[ArchivedKeys | None, ReceivingPublicKey | None]],
    ) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            found, recovery_key = next_one()
            before = None if found is None else found.content
            kept = () if before is None else before.keys
            keys = tuple(dict.fromkeys((*_newest_first(stored), *kept)))[:MAX_KEYS]
            counter = self._next_counter(0 if before is None else before.counter)
            # Used up even if the answer is lost: no two archives of ours have one counter.
            self._store.raise_counter(self._user_id, _USED, counter)
            content = ArchiveContent(counter, keys, recovery_key)
            try:
                self._archive.store(content, None if found is None else found.revision)
            except DirectoryRefusedError as error:
                if error.code != _HASH_MISMATCH or attempt == _ATTEMPTS:
                    raise
                continue  # another device was faster: look at what it wrote, and merge
            self._remember(content)
            return

    def _remember(self, content: ArchiveContent) -> None:
        self._store.raise_counter(self._user_id, _SEEN, content.counter)
        if content.recovery_key is not None:
            self._code.accept(content.recovery_key.fingerprint)

    def _seen(self) -> int:
        return self._store.find_counter(self._user_id, _SEEN)

    def _next_counter(self, present: int = 0) -> int:
        used = self._store.find_counter(self._user_id, _USED)
        counter = max(present, used, self._seen(), 0) + 1
        if counter > MAX_COUNTER:
            raise MalformedBackupError(
                "the key archive's counter is used up", hint="delete_recovery_code(forget=True)"
            )
        return counter

    def _require_unseen_newer(self, content: ArchiveContent) -> None:
        if content.counter < self._seen():
            raise UntrustedArchiveError(
                "the key archive is older than one that was seen before",
                hint="create_recovery_code() makes a new one; if the service was set back to an"
                " older state, restore_with_recovery_code(accept_older=True) goes on with it",
            )

    def __repr__(self) -> str:
        return f"<Archives of {self._user_id!r}>"


def _receiving_keys(keys: Iterable[PrivateKey]) -> Iterator[ReceivingKey]:
    return (ReceivingKey.of(key) for key in keys if key.key_type is KeyType.ED25519)


def _newest_first(stored: StoredKey) -> tuple[PrivateKey, ...]:
    following = () if stored.next_key is None else (stored.next_key,)
    return (*following, stored.private_key, *stored.old_keys)


def _require_newest(content: ArchiveContent, stored: StoredKey) -> None:
    """Let the current key have signed it or, while a rotation is under way, the one to come."""
    if content.keys[0] not in {stored.private_key, stored.next_key}:
        raise UntrustedArchiveError(
            "the key archive is signed by a key that was replaced",
            hint="restore_with_recovery_code() with its code; or delete_recovery_code() and"
            " create_recovery_code()",
        )


def _readable(found: ArchivedKeys | None) -> ArchivedKeys | None:
    if found is not None and found.content is None:
        raise MalformedBackupError(
            "the key archive has an older form, which nothing reads any more",
            hint="make a new recovery code on a machine that has the keys: create_recovery_code()",
        )
    return found
