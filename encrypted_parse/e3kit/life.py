"""The life of a user's key: registered, rotated, unregistered.

One order everywhere: a private key is kept on this machine *before* its card is published, so no
crash and no lost answer can leave a published card whose key is gone. Each verb may be repeated,
and completes what an earlier call began.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable

from encrypted_parse.backup import ArchivedKeys, RecoveryCode
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.directory import Card, CardChain, new_card
from encrypted_parse.e3kit.verbs import Verbs
from encrypted_parse.envelope import require_signing_key
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    BackupExistsError,
    DirectoryRefusedError,
    InvalidValueError,
    MalformedBackupError,
    NotARecipientError,
    NotRegisteredError,
)
from encrypted_parse.keystore import StoredKey

_log = logging.getLogger("encrypted_parse.keys")


class KeyVerbs(Verbs):
    """What `E3Kit` does with the user's own key."""

    def register(
        self,
        private_key: PrivateKey | None = None,
        *,
        show_recovery_code: Callable[[RecoveryCode], None] | None = None,
    ) -> Card:
        """Make the user's keys, keep the private one in the keystore, publish the card.

        Does nothing for a user who is registered with the key of this machine. A call that was
        cut off is completed by the next.

        Args:
            private_key: An own Ed25519 key, in place of a fresh one. If it is published already,
                it is taken over into this machine's keystore.
            show_recovery_code: Called with a recovery code, once the user is registered with a
                key that was made by this call; it has to let the user write the code down. See
                `create_recovery_code`.

        Raises:
            AlreadyRegisteredError: The user has a card, and its key is not on this machine.
            KeystoreError: The private key could not be kept, or another one is kept already;
                nothing was published.
            DirectoryError: The directory refused the card.
        """
        _require_signing_key(private_key)
        chain, stored = self._find_own_chain(), self._keystore.find(self.user_id)
        if chain is not None:
            if stored is None and private_key is not None:
                stored = StoredKey(self.user_id, private_key)
                if self._settled(stored, chain) is not None:
                    self._keystore.save(stored)
            if stored is None or self._settled(stored, chain) is None:
                raise self._already_registered()
            return chain.head
        if stored is None or private_key is not None:
            fresh = StoredKey(self.user_id, private_key or PrivateKey.generate())
            self._keystore.save(fresh)
        else:
            fresh = _without_next(stored)
            self._keystore.save(fresh, replacing=stored)
        try:
            card = self._publish(fresh.private_key, None)
        except (AlreadyRegisteredError, DirectoryRefusedError):
            if stored is None:
                # Never used, and it would stand in the way of the right one.
                self._keystore.delete(self.user_id)
            raise
        if show_recovery_code is not None:
            show_recovery_code(self.create_recovery_code())
        return card

    def rotate_private_key(self, private_key: PrivateKey | None = None) -> Card:
        """Replace the user's key by a new one, and publish a card that replaces the old card.

        The old key stays in the keystore and in the key archive: what was encrypted for it stays
        readable here and wherever the new key is restored. Where this machine has the published
        key, it signs the new card too, so that peers who remember it follow without asking.
        Without it (the key is lost), the rotation works as E3Kit's, and peers are asked.

        A backup under a password still holds the old key: call `backup_private_key` again. What
        others wrote before is not encrypted for the new key: see `reseal` for own objects.

        Args:
            private_key: An own Ed25519 key, in place of a fresh one.

        Raises:
            NotRegisteredError: The user has no card.
            KeystoreError: The new key could not be kept; nothing was published.
            AlreadyRegisteredError: Another device rotated at the same time, and was faster.
            DirectoryRefusedError: The directory refuses; the old key is in use as before.
            InvalidValueError: *private_key* is the current key.
        """
        _require_signing_key(private_key)
        chain, stored = self._find_own_chain(), self._keystore.find(self.user_id)
        if chain is None:
            raise NotRegisteredError([self.user_id], hint="call register()")
        if stored is None:
            return self._replace_lost_key(chain, private_key)
        settled = self._settled(stored, chain)
        if settled is not None and settled != stored and private_key is None:
            return chain.head  # the rotation that was cut off had reached the directory
        held = settled or stored
        new = private_key or held.next_key or PrivateKey.generate()
        if new == held.private_key:
            raise InvalidValueError("that is the current key: a rotation needs another one")
        pending = held.with_next(new)
        if held.next_key not in (None, new):
            pending = _without_next(held).with_next(new)
        self._keystore.save(pending, replacing=held)
        self._archive(pending)
        try:
            replaced_key = None if settled is None else settled.private_key
            card = self._publish(new, chain.head, replaced_key)
        except (AlreadyRegisteredError, DirectoryRefusedError):
            self._keystore.save(pending.with_next(None), replacing=pending)
            raise
        self._keystore.save(pending.promoted(), replacing=pending)
        return card

    def has_local_private_key(self) -> bool:
        """Tell whether this machine holds the user's private key."""
        return self._keystore.find(self.user_id) is not None

    def local_public_keys(self) -> list[PublicKey]:
        """Return the public halves of the keys on this machine, the current one first."""
        stored = self._keystore.find(self.user_id)
        return [] if stored is None else self._own_signers(stored)

    def find_own_card(self) -> Card | None:
        """Ask the directory for the user's own current card; None if there is none.

        Raises:
            DirectoryError: The directory refused, or sent what cannot be trusted.
        """
        chain = self._find_own_chain()
        return None if chain is None else chain.head

    def cleanup(self) -> None:
        """Delete the user's private keys, the old ones too, from this machine.

        Without a backup, everything encrypted for the user is lost with them.
        """
        self._keystore.delete(self.user_id)

    def unregister(self) -> None:
        """Revoke the user's card and delete the private keys from this machine.

        Also a card that cannot be used is revoked, or several current ones, as E3Kit does it.
        Without a backup, everything encrypted for the user is lost. A backup stays, until it is
        reset. The user may register again, with another key.

        Raises:
            NotRegisteredError: The user has no card.
            DirectoryRefusedError: The directory refuses; the keys are still there.
        """
        if not self._directory.client.revoke_all(self.user_id):
            raise NotRegisteredError([self.user_id])
        self._directory.forget(self.user_id)
        self._keystore.delete(self.user_id)

    def create_recovery_code(self) -> RecoveryCode:
        """Return a code that brings all of the user's keys back, and nothing else can be lost.

        The keys are put into the service's key archive, encrypted for the code. The code itself
        is kept nowhere: show it to the user once. It survives rotations. A code made earlier
        opens nothing that is written from now on.

        Raises:
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            BackupExistsError: There is an archive that only an earlier key or code opens.
            DirectoryRefusedError: The service refuses.
        """
        stored, code = self._stored(), RecoveryCode.generate()
        try:
            found = self._load_archive(stored)
        except NotARecipientError as error:
            raise BackupExistsError(
                "there is a key archive that the keys of this machine do not open",
                hint="restore it with its recovery code, or give it up: delete_recovery_code()",
            ) from error
        revision = None if found is None else found.revision
        archived = ArchivedKeys(_newest_first(stored), code.key.public_key, revision)
        self._services.archive.store(archived, stored.private_key)
        return code

    def delete_recovery_code(self) -> None:
        """Delete the key archive: no recovery code opens anything any more.

        Raises:
            DirectoryRefusedError: The service refuses.
        """
        self._services.archive.delete()

    # --- inside -----------------------------------------------------------------------------

    def _settled(self, stored: StoredKey, chain: CardChain) -> StoredKey | None:
        """Return *stored* with the published key as its current one; None if it lacks that key.

        Completes a rotation whose card was published before the keystore learned of it.
        """
        published = chain.head.public_key
        if stored.private_key.public_key == published:
            return stored
        if stored.next_key is not None and stored.next_key.public_key == published:
            promoted = stored.promoted()
            self._keystore.save(promoted, replacing=stored)
            return promoted
        return None

    def _replace_lost_key(self, chain: CardChain, private_key: PrivateKey | None) -> Card:
        fresh = StoredKey(self.user_id, private_key or PrivateKey.generate())
        self._keystore.save(fresh)
        try:
            return self._publish(fresh.private_key, chain.head)
        except (AlreadyRegisteredError, DirectoryRefusedError):
            self._keystore.delete(self.user_id)
            raise

    def _publish(
        self, key: PrivateKey, replaced: Card | None, previous_key: PrivateKey | None = None
    ) -> Card:
        """Publish *key*'s card, the first one or in place of *replaced*.

        Raises:
            AlreadyRegisteredError: Another device was faster.
            DirectoryRefusedError: This user must not publish it.
        """
        raw = new_card(
            self.user_id,
            key,
            dt.datetime.fromtimestamp(self._clock(), dt.UTC),
            previous_card_id=None if replaced is None else replaced.card_id,
            previous_key=previous_key,
        )
        try:
            return self._directory.client.publish(raw)
        except DirectoryRefusedError:
            chain = self._find_own_chain()
            if chain is not None and chain.head.public_key == key.public_key:
                return chain.head
            if chain is None or chain.head == replaced:
                raise
            raise self._already_registered() from None
        finally:
            self._directory.forget(self.user_id)

    def _archive(self, pending: StoredKey) -> None:
        """Put the key to come into the archive before anybody can encrypt for it."""
        if self._service is None:
            return
        try:
            found = self._load_archive(pending)
        except (NotARecipientError, MalformedBackupError) as error:
            # Somebody with an earlier key or code may still want it; it must not stop us.
            _log.warning("the key archive of %r is left as it is: %s", self.user_id, error)
            return
        archived = ArchivedKeys(
            _newest_first(pending),
            None if found is None else found.recovery_key,
            None if found is None else found.revision,
        )
        self._services.archive.store(archived, pending.private_key)

    def _load_archive(self, stored: StoredKey) -> ArchivedKeys | None:
        return self._services.archive.load(stored.identities, self._own_signers(stored))

    def _already_registered(self) -> AlreadyRegisteredError:
        return AlreadyRegisteredError(
            f"the user {self.user_id!r} is registered, and the key is not on this machine",
            hint="restore it: from the backup, with the recovery code, or from the other machine",
        )


def _require_signing_key(key: PrivateKey | None) -> None:
    if key is not None:
        require_signing_key(key)


def _without_next(stored: StoredKey) -> StoredKey:
    """Return *stored* with a rotation that was given up among the old keys: it may be in use."""
    if stored.next_key is None:
        return stored
    return stored.with_next(None).with_old_keys([stored.next_key])


def _newest_first(stored: StoredKey) -> tuple[PrivateKey, ...]:
    following = () if stored.next_key is None else (stored.next_key,)
    return (*following, stored.private_key, *stored.old_keys)
