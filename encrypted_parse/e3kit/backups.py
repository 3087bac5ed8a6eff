"""E3Kit's backup verbs, and the recovery code, for one user."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from encrypted_parse.backup import RecoveryCode
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.primitives import digest
from encrypted_parse.directory import CardChain
from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.e3kit.verbs import Verbs
from encrypted_parse.errors import (
    BackupOutdatedError,
    MalformedBackupError,
    NoBackupError,
    NotARecipientError,
    NotPicklableError,
    NotRegisteredError,
    RecoveryCodeError,
)
from encrypted_parse.keystore import StoredKey

_log = logging.getLogger("encrypted_parse.keys")
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


class BackupVerbs(Verbs):
    """What `E3Kit` does to bring keys back. *key_name* names one of several backups.

    The password itself never leaves this machine; whoever runs the service can try guesses (see
    docs/security-model.md), so it has to be a good one, and another than the login password.
    """

    def backup_private_key(self, password: str, key_name: str | None = None) -> None:
        """Keep the private keys in the cloud, encrypted under *password*.

        E3Kit restores the current one; the old ones lie beside it. After a rotation, call it
        again with the same password: a backup of the key before is brought up to date.

        Raises:
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            BackupExistsError: There is a backup already: the very same, or under another
                password, or of somebody else's key.
            BrainKeyError: The password is empty or longer than 128 bytes.
            DirectoryRefusedError: The service refuses, or has no BrainKey secret.
        """
        stored = self._stored()
        keys = [stored.private_key, *stored.old_keys]
        self._services.backups.store(keys, password, key_name)

    def restore_private_key(self, password: str, key_name: str | None = None) -> None:
        """Bring the private keys back from the cloud into this machine's keystore.

        Nothing that the keystore holds is lost: other keys become old ones. So after a rotation
        that lost the old key, an outdated backup still brings back what was written before.

        Raises:
            NoBackupError: There is no backup.
            WrongBackupPasswordError: It was made with another password.
            NotRegisteredError: The user has no published key to compare with.
            BackupOutdatedError: Neither backup nor keystore has the published key; nothing was
                kept.
            KeystoreError: The keystore cannot be written.
        """
        keys = self._services.backups.load(password, key_name)
        chain = self._published_chain()
        self._adopt(keys, chain)

    def restore_with_recovery_code(self, code: str | RecoveryCode) -> None:
        """Bring all private keys back with the code of `create_recovery_code`.

        Raises:
            RecoveryCodeError: Mistyped, or there is an archive for another code.
            NoBackupError: The service keeps no key archive.
            MalformedBackupError: The archive was altered.
            NotRegisteredError: The user has no published key to compare with.
            BackupOutdatedError: Neither archive nor keystore has the published key; nothing was
                kept.
            KeystoreError: The keystore cannot be written.
        """
        parsed = RecoveryCode.parse(code) if isinstance(code, str) else code
        chain = self._published_chain()
        try:
            archived = self._services.archive.load([parsed.key], None)
        except NotARecipientError:
            raise RecoveryCodeError(
                "the key archive was not written for this recovery code",
                hint="a newer code replaces the ones before it",
            ) from None
        if archived is None:
            raise NoBackupError(
                "the service keeps no key archive", hint="restore from a backup by password"
            )
        self._adopt(archived.keys, chain)

    def change_password(self, old: str, new: str, key_name: str | None = None) -> None:
        """Put the backup under another password. The private key stays the same.

        Raises:
            NoBackupError: There is no backup.
            WrongBackupPasswordError: *old* is not its password; nothing was changed.
        """
        old, new = hushed(old), hushed(new)
        self._services.backups.change_password(old, new, key_name)

    def reset_private_key_backup(self, key_name: str | None = None) -> None:
        """Delete the backup, whatever its password. The key on this machine stays.

        Raises:
            DirectoryRefusedError: The service refuses.
        """
        self._services.backups.reset(key_name)

    # --- inside -----------------------------------------------------------------------------

    def _published_chain(self) -> CardChain:
        chain = self._find_own_chain()
        if chain is None:
            raise NotRegisteredError(
                [self.user_id],
                hint="no key is current: register(), then restore to read what was written before",
            )
        return chain

    def _adopt(self, keys: Sequence[PrivateKey], chain: CardChain) -> None:
        """Keep *keys*; the published one is the current one, wherever it was found."""
        published = chain.head.public_key
        stored = self._keystore.find(self.user_id)
        held = [] if stored is None else list(stored.identities)
        current = next((key for key in (*held, *keys) if key.public_key == published), None)
        if current is None:
            raise BackupOutdatedError(
                "the published key is neither in the backup nor on this machine",
                hint="if it is lost: rotate_private_key(), then restore again to read old values",
            )
        archived = self._archived_keys(current, chain)
        restored = StoredKey(self.user_id, current).with_old_keys([*archived, *held, *keys])
        self._keystore.save(restored, replacing=stored)

    def _archived_keys(self, current: PrivateKey, chain: CardChain) -> Sequence[PrivateKey]:
        """Return the old keys that lie in the archive for *current*, if there is one."""
        signers = [card.public_key for card in chain.cards]
        try:
            archived = self._services.archive.load([current], signers)
        except (NotARecipientError, MalformedBackupError) as error:
            _log.warning("old keys of %r are not restored: %s", self.user_id, error)
            return ()
        return () if archived is None else archived.keys
