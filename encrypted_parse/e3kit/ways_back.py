"""Which ways lead back to a user's keys: what is told before a key is given up."""

from __future__ import annotations

from attrs import frozen

from encrypted_parse.directory import CardChain
from encrypted_parse.discretion import front_door
from encrypted_parse.e3kit.verbs import Verbs
from encrypted_parse.errors import AlreadyRegisteredError
from encrypted_parse.keystore import StoredKey


@front_door
@frozen
class WaysBack:
    """What the service keeps that can bring keys back. What is in it, only its key tells.

    Attributes:
        backup: Whether there is a backup under a password.
        named_backups: The names of further ones.
        recovery_code: Whether there is a key archive that some recovery code opens.
    """

    backup: bool
    named_backups: tuple[str, ...]
    recovery_code: bool

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.backup or bool(self.named_backups) or self.recovery_code

    def to_text(self) -> str:
        """Return the ways that exist, each with the call that takes it."""
        ways = []
        if self.backup:
            ways.append("the backup's password: restore_private_key()")
        ways += [
            f"the password of the backup named {name!r}: restore_private_key()"
            for name in self.named_backups
        ]
        if self.recovery_code:
            ways.append("the recovery code, if you have one: restore_with_recovery_code()")
        # Nobody but the user knows of that.
        ways.append("another machine that has the key: backup_private_key() there, and restore")
        return "; ".join(ways)


class WayVerbs(Verbs):
    """What `E3Kit` knows of ways back, for itself and for those who ask."""

    def ways_back(self) -> WaysBack:
        """Ask the service what it keeps that can bring keys back; changes nothing.

        Raises:
            DirectoryRefusedError: The service refuses.
        """
        backups = self._services.backups
        has_code = self._services.archive.is_for_a_code()
        return WaysBack(backups.exists(), backups.names(), has_code)

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

    def _key_not_here(self, way_out: str = "") -> AlreadyRegisteredError:
        """Return the error of a machine without the published key, with the ways that exist."""
        ways = (
            "restore it: from the backup, with the recovery code, or from the other machine"
            if self._service is None
            else f"ways back: {self.ways_back().to_text()}"
        )
        return AlreadyRegisteredError(
            f"the user {self.user_id!r} is registered, and the published key is not on this"
            " machine",
            hint=ways + way_out,
        )
