"""Private keys in the cloud, under a password: what E3Kit's backup verbs do.

The backup is encrypted for, and signed by, the key pair that BrainKey makes of the password. So the
service can neither read nor forge one, but it can serve an old one: the key that comes back has
to be the published one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from encrypted_parse.backup.brainkey import BrainKeyClient
from encrypted_parse.backup.entries import (
    Entries,
    key_entry,
    read_entries,
    read_key,
    write_entries,
)
from encrypted_parse.backup.keyknox import KeyknoxClient, KeyknoxRecord, Place
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.envelope import (
    DetachedEnvelope,
    decrypt_then_verify_detached,
    sign_then_encrypt_detached,
)
from encrypted_parse.errors import (
    BackupExistsError,
    EnvelopeError,
    MalformedBackupError,
    NewerBackupError,
    NoBackupError,
    NotARecipientError,
    WrongBackupPasswordError,
)

OLD_KEY_PREFIX = "old-key-"  # entries that E3Kit passes over
MAX_OLD_KEYS = 200
_ROOT, _PATH = "e3kit", "backup"
_EXISTS = (
    "give the password that the backup was made with: it is brought up to date under that one "
    "alone; change its password, or reset it if the password is lost"
)


@front_door
class PrivateKeyBackups:
    """One user's backups: the unnamed one, and named ones beside it."""

    def __init__(
        self,
        user_id: str,
        brainkey: BrainKeyClient,
        keyknox: KeyknoxClient,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._user_id = user_id
        self._brainkey = brainkey
        self._keyknox = keyknox
        self._clock = clock

    def store(self, keys: Sequence[PrivateKey], password: str, name: str | None = None) -> None:
        """Keep *keys*, the current one first, under *password*.

        What every E3Kit restores is the first. A backup of one of the others is brought up to
        date, if the password is its own.

        Raises:
            BackupExistsError: There is one already, and it needs no update, or has another
                password, or holds a key that is not among *keys*. The message says which.
        """
        brain_key = self._brainkey.derive(password)
        record = self._pull(name)
        if record.envelope is not None:
            self._require_outdated(record, brain_key, keys, name)
        entry_name = name or self._user_id
        entries = hushed({entry_name: key_entry(entry_name, keys[0], self._clock())})
        for key in keys[1:]:
            old_name = OLD_KEY_PREFIX + key.public_key.key_id.hex()
            entries[old_name] = key_entry(old_name, key, self._clock())
        self._push(_seal(entries, brain_key), record, name)

    def load(self, password: str, name: str | None = None) -> tuple[PrivateKey, ...]:
        """Return the keys that are kept under *password*; the first was current when it was made.

        A backup of E3Kit for Kotlin 3, whose passwords make other keys, is read as well.

        Raises:
            NoBackupError: There is none.
            WrongBackupPasswordError: It was made with another password.
            MalformedBackupError: It is not a backup of this user's key.
        """
        record, brain_key = self._present(name), self._brainkey.derive(password)
        try:
            entries = _open(record, brain_key)
        except WrongBackupPasswordError:
            newer = self._open_newer(record, password)
            if newer is None:
                raise
            entries = newer
        return self._keys_of(entries, name)

    def change_password(self, old: str, new: str, name: str | None = None) -> None:
        """Put the backup, with all that is in it, under another password.

        Raises:
            NoBackupError: There is none.
            WrongBackupPasswordError: *old* is not its password; nothing was changed.
            NewerBackupError: It was made by E3Kit for Kotlin 3; nothing was changed.
        """
        old, new = hushed(old), hushed(new)
        old_key = self._brainkey.derive(old)
        record = self._present(name)
        try:
            entries = _open(record, old_key)
        except WrongBackupPasswordError:
            if self._open_newer(record, old) is None:
                raise
            raise NewerBackupError(
                "E3Kit for Kotlin 3 made this backup; we read such ones, but do not write them",
                hint="change the password there; or restore, reset the backup, and back up again",
            ) from None
        self._push(_seal(entries, self._brainkey.derive(new)), record, name)

    def reset(self, name: str | None = None) -> None:
        """Delete the backup, whatever its password; nothing happens if there is none."""
        if name is None:
            self._keyknox.reset()
        else:
            self._keyknox.reset_records(Place(_ROOT, _PATH, name))

    def exists(self, name: str | None = None) -> bool:
        """Tell whether there is a backup, whatever its password."""
        return self._pull(name).envelope is not None

    def names(self) -> tuple[str, ...]:
        """Return the names of the named backups."""
        return tuple(sorted(self._keyknox.list_keys(_ROOT, _PATH, self._user_id)))

    def _keys_of(self, entries: Entries, name: str | None) -> tuple[PrivateKey, ...]:
        # E3Kit's JavaScript names the entry after the backup, Kotlin and Swift after the user.
        entry = entries.get(name or self._user_id) or entries.get(self._user_id)
        if entry is None:
            raise MalformedBackupError("the backup holds no key of this user")
        old = [entries[key] for key in entries if key.startswith(OLD_KEY_PREFIX)]
        return tuple(dict.fromkeys(map(read_key, [entry, *old[:MAX_OLD_KEYS]])))

    def _require_outdated(
        self,
        record: KeyknoxRecord,
        brain_key: PrivateKey,
        keys: Sequence[PrivateKey],
        name: str | None,
    ) -> None:
        """Refuse to write over a backup, unless it is ours and lacks some of *keys* alone."""
        kept, problem = set[PrivateKey](), None
        try:
            kept = set(self._keys_of(_open(record, brain_key), name))
        except WrongBackupPasswordError:
            problem = "there is a backup already, and it is under another password"
        except MalformedBackupError:
            problem = "there is a backup already, and it is none of this user's keys"
        if problem is None and kept < set(keys):
            return
        if problem is None:
            problem = "there is a backup already, with these keys in it"
            if not kept <= set(keys):
                problem = "there is a backup already, and it holds keys that are not here"
        raise BackupExistsError(problem, hint=_EXISTS)

    def _open_newer(self, record: KeyknoxRecord, password: str) -> Entries | None:
        """Open a backup of the newer generation; None if it is none, or of another password."""
        brain_key = self._brainkey.derive_newer(password)
        try:
            return None if brain_key is None else _open(record, brain_key)
        except WrongBackupPasswordError:
            return None

    def _pull(self, name: str | None) -> KeyknoxRecord:
        if name is None:
            return self._keyknox.pull()
        return self._keyknox.pull_record(Place(_ROOT, _PATH, name), self._user_id)

    def _present(self, name: str | None) -> KeyknoxRecord:
        record = self._pull(name)
        if record.envelope is None:
            raise NoBackupError(
                "there is no backup" if name is None else f"there is no backup named {name!r}",
                hint="back the key up on a device that has it",
            )
        return record

    def _push(self, envelope: DetachedEnvelope, record: KeyknoxRecord, name: str | None) -> None:
        # A record without a value takes no hash: some services have none to give.
        previous = None if record.envelope is None else record.hash
        if name is None:
            self._keyknox.push(envelope, previous)
        else:
            place = Place(_ROOT, _PATH, name)
            self._keyknox.push_record(place, [self._user_id], envelope, previous)


def _seal(entries: Entries, brain_key: PrivateKey) -> DetachedEnvelope:
    return sign_then_encrypt_detached(
        write_entries(entries), signer=brain_key, recipients=[brain_key.public_key]
    )


def _open(record: KeyknoxRecord, brain_key: PrivateKey) -> Entries:
    if record.envelope is None:
        return {}
    try:
        plaintext = decrypt_then_verify_detached(
            record.envelope, identities=[brain_key], signers=[brain_key.public_key]
        )
    except NotARecipientError:
        raise WrongBackupPasswordError(
            "the password is not the backup's",
            hint="it was chosen when the backup was made, and is not the login's; a backup can be "
            "reset where the private key still is",
        ) from None
    except EnvelopeError as error:
        raise MalformedBackupError("the backup was altered, or is not one") from error
    return hushed(read_entries(plaintext))
