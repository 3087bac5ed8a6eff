"""The recovery code, for one user: made, deleted, and what it brings back."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

from encrypted_parse.backup import RecoveryCode
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.directory import CardChain
from encrypted_parse.e3kit.archives import Archives
from encrypted_parse.e3kit.ways_back import WayVerbs
from encrypted_parse.errors import (
    BackupExistsError,
    BackupOutdatedError,
    CardChainError,
    MalformedBackupError,
    NoBackupError,
    NotARecipientError,
    NotRegisteredError,
    RecoveryCodeError,
    UntrustedArchiveError,
)
from encrypted_parse.keystore import StoredKey

_log = logging.getLogger("encrypted_parse.keys")


class RecoveryVerbs(WayVerbs):
    """What `E3Kit` does with the key archive and its code."""

    def create_recovery_code(self) -> RecoveryCode:
        """Return a code that brings all of the user's keys back, and nothing else can be lost.

        The keys are put into the service's key archive, encrypted for the code, beside what was
        in it. The code itself is kept nowhere: show it to the user once. It survives rotations.
        A code made earlier opens nothing that is written from now on by a machine that has seen
        this archive; what an older copy of the archive holds, it opens for ever.

        Raises:
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            NotRegisteredError: The user has no card.
            AlreadyRegisteredError: The published key is not on this machine, which was left
                behind: the hint lists the ways back to it.
            BackupExistsError: There is an archive that only another key or code opens.
            UntrustedArchiveError: The archive is signed by a key that was replaced.
            MalformedBackupError: The archive was altered.
            DirectoryRefusedError: The service refuses.
        """
        stored, chain = self._stored(), self._published_chain()
        settled = self._settled(stored, chain)
        if settled is None:
            raise self._key_not_here()
        code = RecoveryCode.generate()
        try:
            self._archives.replace_code(settled, code.key.public_key)
        except NotARecipientError as error:
            raise BackupExistsError(
                "there is a key archive that the keys of this machine do not open",
                hint="if another machine began a rotation, complete it there; else"
                " restore_with_recovery_code(), or give it up: delete_recovery_code()",
            ) from error
        return code

    def delete_recovery_code(self, *, forget: bool = False) -> None:
        """Delete the key archive: no recovery code opens anything any more.

        An archive that is served again is refused by this machine; others cannot know that it
        was deleted.

        Args:
            forget: Forget as well what this machine remembers of archives, so that it takes the
                next one that it sees.

        Raises:
            DirectoryRefusedError: The service refuses.
        """
        self._archives.delete(forget=forget)

    def restore_with_recovery_code(
        self, code: str | RecoveryCode, *, accept_older: bool = False
    ) -> None:
        """Bring all private keys back with the code of `create_recovery_code`.

        An archive that is behind, say after a rotation without the old key, is brought up to date.

        Args:
            code: As it was shown, or as a person types it.
            accept_older: Go on although the archive, or the published card, is older than one
                that is known of: after the service was set back, or a machine was lost in the
                middle of a rotation.

        Raises:
            RecoveryCodeError: Mistyped, or there is an archive for another code.
            NoBackupError: The service keeps no key archive.
            MalformedBackupError: The archive was altered, or has the old form.
            UntrustedArchiveError: The archive is older than one that this machine has seen.
            CardChainError: The archive knows a newer key than the published one.
            NotRegisteredError: The user has no published key to compare with.
            BackupOutdatedError: Neither archive nor keystore has the published key; nothing was
                kept.
            KeystoreError: The keystore cannot be written.
        """
        parsed = RecoveryCode.parse(code) if isinstance(code, str) else code
        chain, key = self._published_chain(), parsed.key
        try:
            content = self._archives.open_with(key, accept_older=accept_older)
        except NotARecipientError:
            raise RecoveryCodeError(
                "the key archive was not written for this recovery code",
                hint="a newer code replaces the ones before it",
            ) from None
        if content is None:
            raise NoBackupError(
                "the service keeps no key archive", hint="restore from a backup by password"
            )
        restored = self._adopt(content.keys, chain, accept_older=accept_older)
        if restored.private_key in content.keys[1:]:
            # An archive for this key would hand it the newer one, if the directory lies.
            _log.warning("the key archive of %r knows a newer key: left as it is", self.user_id)
            return
        self._archives.keep_code(restored, key, content)

    # --- inside -----------------------------------------------------------------------------

    @functools.cached_property
    def _archives(self) -> Archives:
        store = self._directory.keeper.store
        return Archives(self.user_id, self._services.archive, store)

    def _published_chain(self) -> CardChain:
        chain = self._find_own_chain()
        if chain is None:
            raise NotRegisteredError(
                [self.user_id],
                hint="no key is current: register(), then restore to read what was written before",
            )
        return chain

    def _adopt(
        self, keys: Sequence[PrivateKey], chain: CardChain, *, accept_older: bool
    ) -> StoredKey:
        """Keep *keys*, newest first; the published one is the current one, wherever it was found.

        A directory that serves an older card must not bring a replaced key back into use.
        """
        published = chain.head.public_key
        stored = self._keystore.find(self.user_id)
        held = [] if stored is None else list(stored.identities)
        current = next((key for key in (*held, *keys) if key.public_key == published), None)
        if current is None:
            raise BackupOutdatedError(
                "the published key is neither in the backup nor on this machine",
                hint="if it is lost: rotate_private_key(lost=True), then restore again to read old"
                " values",
            )
        replaced = keys[1:] if stored is None else (*stored.old_keys, *keys[1:])
        if current in replaced and not accept_older:
            raise CardChainError(
                "the directory serves a key of ours that a newer one has replaced",
                hint="it was set back, or lies; or a machine was lost in a rotation: with"
                " accept_older=True the published key is used, then rotate_private_key()",
            )
        restored = StoredKey(self.user_id, current)
        if stored is not None and stored.private_key == current:
            restored = restored.with_next(stored.next_key)
        restored = restored.with_old_keys([*held, *keys])
        self._keystore.save(restored, replacing=stored)
        return restored

    def _archived_keys(self, current: PrivateKey) -> Sequence[PrivateKey]:
        """Return the old keys that lie in the archive for *current*, if there is one."""
        try:
            content = self._archives.load(StoredKey(self.user_id, current))
        except (NotARecipientError, MalformedBackupError, UntrustedArchiveError) as error:
            _log.warning("old keys of %r are not restored: %s", self.user_id, error)
            return ()
        return () if content is None else content.keys
