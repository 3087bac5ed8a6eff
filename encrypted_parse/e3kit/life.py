"""The life of a user's key: registered, rotated, unregistered.

One order everywhere: a private key is kept on this machine *before* its card is published, so no
crash and no lost answer can leave a published card whose key is gone. Each verb may be repeated,
and completes what an earlier call began.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable

from encrypted_parse.backup import RecoveryCode
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.directory import Card, CardChain, new_card
from encrypted_parse.e3kit.recovery import RecoveryVerbs
from encrypted_parse.envelope import require_signing_key
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    DirectoryRefusedError,
    InvalidValueError,
    MalformedBackupError,
    NotARecipientError,
    NotRegisteredError,
    UntrustedArchiveError,
)
from encrypted_parse.keystore import StoredKey

_log = logging.getLogger("encrypted_parse.keys")


class KeyVerbs(RecoveryVerbs):
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
                raise self._key_not_here()
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

    def rotate_private_key(
        self, private_key: PrivateKey | None = None, *, lost: bool = False
    ) -> Card:
        """Replace the user's key by a new one, and publish a card that replaces the old card.

        The old key stays in the keystore and in the key archive: what was encrypted for it stays
        readable here and wherever the new key is restored. It signs the new card too, so that
        peers who remember it follow without asking.

        A machine that does not have the published key refuses: the key may be on another one, or
        in a backup. With *lost* the rotation works as E3Kit's, which is made for that case alone:
        what was written for the lost key stays unreadable until it is restored, peers are asked,
        and the key archive is left as it is.

        A backup under a password still holds the old key: call `backup_private_key` again. What
        others wrote before is not encrypted for the new key: see `reseal` for own objects.

        Args:
            private_key: An own Ed25519 key, in place of a fresh one.
            lost: The published key is lost for good: give it up. Changes nothing where the key is
                on this machine.

        Raises:
            NotRegisteredError: The user has no card.
            KeystoreError: The new key could not be kept; nothing was published.
            AlreadyRegisteredError: The published key is not on this machine: the hint lists the
                ways back that exist. Or another device rotated at the same time, and was faster.
            DirectoryRefusedError: The directory refuses; the old key is in use as before, and the
                next call goes on with the new one.
            InvalidValueError: *private_key* is, or was, a published key of the user.
        """
        _require_signing_key(private_key)
        chain, stored = self._find_own_chain(), self._keystore.find(self.user_id)
        if chain is None:
            raise NotRegisteredError([self.user_id], hint="call register()")
        settled = None if stored is None else self._settled(stored, chain)
        if settled is None and not lost:
            raise self._key_not_here("; none of them: rotate_private_key(lost=True)")
        if settled not in {None, stored} and private_key in {None, settled.private_key}:
            return chain.head  # the rotation that was cut off had reached the directory
        _require_unused(private_key, chain)
        if stored is None:
            return self._replace_lost_key(chain, private_key)
        held = settled or stored
        new = private_key or held.next_key or PrivateKey.generate()
        pending = held.with_next(new)
        if held.next_key not in (None, new):
            pending = _without_next(held).with_next(new)
        self._keystore.save(pending, replacing=held)
        if settled is not None:
            self._archive(pending, held.next_key)
        try:
            replaced_key = None if settled is None else settled.private_key
            card = self._publish(new, chain.head, replaced_key)
        except AlreadyRegisteredError:
            self._keystore.save(_without_next(pending), replacing=pending)
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
        Without a way back, everything encrypted for the user is lost. Backups and the key archive
        stay, until they are deleted: `ways_back` tells which there are. The user may register
        again, with another key, and restore then to read what was written before.

        Raises:
            NotRegisteredError: The user has no card.
            DirectoryRefusedError: The directory refuses; the keys are still there.
        """
        if not self._directory.client.revoke_all(self.user_id):
            raise NotRegisteredError([self.user_id])
        self._directory.forget(self.user_id)
        self._keystore.delete(self.user_id)

    # --- inside -----------------------------------------------------------------------------

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
            raise self._key_not_here() from None
        finally:
            self._directory.forget(self.user_id)

    def _archive(self, pending: StoredKey, begun: PrivateKey | None) -> None:
        """Put the key to come into the archive before anybody can encrypt for it.

        Both keys count as the newest meanwhile: the current one, whose card is published, and the
        one to come, which signs what is written here.
        """
        if self._service is None:
            return
        try:
            self._archives.follow(pending, begun)
        except (NotARecipientError, MalformedBackupError, UntrustedArchiveError) as error:
            # Somebody with an earlier key or code may still want it; it must not stop us.
            _log.warning("the key archive of %r is left as it is: %s", self.user_id, error)


def _require_signing_key(key: PrivateKey | None) -> None:
    if key is not None:
        require_signing_key(key)


def _require_unused(key: PrivateKey | None, chain: CardChain) -> None:
    """Let no key that was replaced come into use again."""
    if key is not None and key.public_key in {card.public_key for card in chain.cards}:
        raise InvalidValueError("that key was published before: a rotation needs another one")


def _without_next(stored: StoredKey) -> StoredKey:
    """Return *stored* with a rotation that was given up among the old keys: it may be in use."""
    if stored.next_key is None:
        return stored
    return stored.with_next(None).with_old_keys([stored.next_key])
