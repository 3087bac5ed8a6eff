"""E3Kit's backup verbs, for one user."""

from __future__ import annotations

from collections.abc import Callable

from encrypted_parse.backup import PrivateKeyBackups
from encrypted_parse.crypto import PublicKey
from encrypted_parse.errors import (
    BackupOutdatedError,
    ConfigurationError,
    PrivateKeyNotFoundError,
)
from encrypted_parse.keystore import Keystore, StoredKey


class BackupVerbs:
    """What `E3Kit` does with passwords. *key_name* names one of several backups.

    The password itself never leaves this machine; whoever runs the service can try guesses (see
    docs/security-model.md), so it has to be a good one, and another than the login password.
    """

    def __init__(
        self,
        user_id: str,
        keystore: Keystore,
        backups: PrivateKeyBackups | None,
        published_key: Callable[[], PublicKey],
    ) -> None:
        self.user_id = user_id
        self._keystore = keystore
        self._backups = backups
        self._published_key = published_key

    def backup_private_key(self, password: str, key_name: str | None = None) -> None:
        """Keep the private key in the cloud, encrypted under *password*.

        Raises:
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            BackupExistsError: There is a backup already.
            BrainKeyError: The password is empty or longer than 128 bytes.
            DirectoryRefusedError: The service refuses, or has no BrainKey secret.
        """
        stored = self._keystore.find(self.user_id)
        if stored is None:
            raise PrivateKeyNotFoundError(
                f"this machine holds no private key of the user {self.user_id!r}",
                hint="back up on a device that has it",
            )
        self._required_backups().store(stored.private_key, password, key_name)

    def restore_private_key(self, password: str, key_name: str | None = None) -> None:
        """Bring the private key back from the cloud into this machine's keystore.

        Raises:
            NoBackupError: There is no backup.
            WrongBackupPasswordError: It was made with another password.
            NotRegisteredError: The user has no published key to compare with.
            BackupOutdatedError: It holds another key than the published one; nothing was kept.
            KeystoreError: The keystore holds another key of this user, or cannot be written.
        """
        key = self._required_backups().load(password, key_name)
        if key.public_key != self._published_key():
            raise BackupOutdatedError(
                "the backup holds another key than the one that is published",
                hint="reset the backup, and back the current key up where it is",
            )
        self._keystore.save(StoredKey(self.user_id, key))

    def change_password(self, old: str, new: str, key_name: str | None = None) -> None:
        """Put the backup under another password. The private key stays the same.

        Raises:
            NoBackupError: There is no backup.
            WrongBackupPasswordError: *old* is not its password; nothing was changed.
        """
        self._required_backups().change_password(old, new, key_name)

    def reset_private_key_backup(self, key_name: str | None = None) -> None:
        """Delete the backup, whatever its password. The key on this machine stays.

        Raises:
            DirectoryRefusedError: The service refuses.
        """
        self._required_backups().reset(key_name)

    def _required_backups(self) -> PrivateKeyBackups:
        if self._backups is None:
            raise ConfigurationError(
                "this client was made without a backup service",
                hint="use EncryptedClient, which has one",
            )
        return self._backups
