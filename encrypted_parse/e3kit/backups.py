"""E3Kit's backup verbs, for one user."""

from __future__ import annotations

import base64
from typing import NamedTuple, NoReturn

from encrypted_parse.backup import require_good_password
from encrypted_parse.crypto.primitives import digest
from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.e3kit.recovery import RecoveryVerbs
from encrypted_parse.errors import (
    NotPicklableError,
)

_HALF = 32


class DerivedPasswords(NamedTuple):
    """Two independent secrets that one password makes; base64 text."""

    login_password: str
    backup_password: str

    def __repr__(self) -> str:
        return "<DerivedPasswords>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("passwords are not written into pickles")


@front_door
def derive_passwords(password: str) -> DerivedPasswords:
    """Split one password into one for the login and one for the backup, as E3Kit does.

    A server that sees the first learns nothing of the second beyond guesses of the password.
    These are E3Kit's two halves of SHA-512(SHA-256(password)), in base64.
    """
    halves = digest(digest(password.encode("utf-8"), "sha256"))
    login, backup = halves[:_HALF], halves[_HALF:]
    return DerivedPasswords(*(base64.b64encode(half).decode("ascii") for half in (login, backup)))


class BackupVerbs(RecoveryVerbs):
    """What `E3Kit` does to bring keys back. *key_name* names one of several backups.

    The password itself never leaves this machine; whoever runs the service can try guesses (see
    docs/security-model.md), so a new one has to be good, and another than the login password.
    `generate_backup_password` makes one.
    """

    def backup_private_key(self, password: str, key_name: str | None = None) -> None:
        """Keep the private keys in the cloud, encrypted under *password*.

        E3Kit restores the current one; the old ones lie beside it. After a rotation, call it
        again with the same password: a backup of the key before is brought up to date.

        Raises:
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            WeakPasswordError: The password can be guessed, or is the one that this session logged
                in with. A backup that has it already needs `change_password` first.
            BackupExistsError: There is a backup already: the very same, or under another
                password, or of somebody else's key.
            BrainKeyError: The password is empty or longer than 128 bytes.
            DirectoryRefusedError: The service refuses, or has no BrainKey secret.
        """
        stored = self._stored()
        require_good_password(password, self._login_password)
        keys = [stored.private_key, *stored.old_keys]
        self._services.backups.store(keys, password, key_name)

    def restore_private_key(
        self, password: str, key_name: str | None = None, *, accept_older: bool = False
    ) -> None:
        """Bring the private keys back from the cloud into this machine's keystore.

        Nothing that the keystore holds is lost: other keys become old ones. So after a rotation
        that lost the old key, an outdated backup still brings back what was written before.

        *accept_older* uses the published key although the backup, or this machine, knows a newer
        one.

        Raises:
            NoBackupError: There is no backup.
            WrongBackupPasswordError: It was made with another password.
            CardChainError: The directory serves a key that a newer one replaced.
            NotRegisteredError: The user has no published key to compare with.
            BackupOutdatedError: Neither backup nor keystore has the published key; nothing was
                kept.
            KeystoreError: The keystore cannot be written.
        """
        keys = self._services.backups.load(password, key_name)
        restored = self._adopt(keys, self._published_chain(), accept_older=accept_older)
        archived = restored.with_old_keys(self._archived_keys(restored.private_key))
        self._keystore.save(archived, replacing=restored)

    def change_password(self, old: str, new: str, key_name: str | None = None) -> None:
        """Put the backup under another password. The private key stays the same.

        Raises:
            NoBackupError: There is no backup.
            WrongBackupPasswordError: *old* is not its password; nothing was changed.
            WeakPasswordError: *new* can be guessed, or is the login's; nothing was changed.
        """
        old, new = hushed(old), hushed(new)
        require_good_password(new, self._login_password)
        self._services.backups.change_password(old, new, key_name)

    def reset_private_key_backup(self, key_name: str | None = None) -> None:
        """Delete the backup, whatever its password. The key on this machine stays.

        Raises:
            DirectoryRefusedError: The service refuses.
        """
        self._services.backups.reset(key_name)
