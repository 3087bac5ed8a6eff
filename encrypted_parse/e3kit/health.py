"""What a user's keys lack: the questions that are better asked before the device is lost."""

from __future__ import annotations

import enum

from attrs import frozen

from encrypted_parse.directory import CardChain
from encrypted_parse.discretion import front_door
from encrypted_parse.e3kit.recovery import RecoveryVerbs
from encrypted_parse.errors import (
    CardError,
    MalformedBackupError,
    NotARecipientError,
    UntrustedArchiveError,
)
from encrypted_parse.keystore import StoredKey


class Health(enum.Enum):
    """How a finding is to be taken."""

    GOOD = "good"
    ADVICE = "advice"
    PROBLEM = "problem"


@front_door
@frozen
class Finding:
    """One answer of `diagnose`.

    Attributes:
        topic: One of private key, card, backup, recovery code, old keys.
        health: Whether something is to be done.
        message: What was found.
        hint: What to do, or None.
    """

    topic: str
    health: Health
    message: str
    hint: str | None = None


class HealthVerbs(RecoveryVerbs):
    """What `E3Kit` tells a user about the user's own keys."""

    def diagnose(self) -> list[Finding]:
        """Return what is in order and what is missing, the most urgent topic first.

        Asks the directory and Keyknox, and changes nothing.

        Raises:
            DirectoryError: The directory refused.
            TransportError: It could not be reached.
        """
        chain, stored = None, self._keystore.find(self.user_id)
        try:
            chain = self._find_own_chain()
            findings = [_key_and_card(chain, stored)]
        except CardError as error:
            hint = "unregister(), then register(): nobody can use the published card"
            findings = [Finding("private key", Health.PROBLEM, str(error), hint)]
        if self._service is not None:
            findings += [self._backup(), self._recovery_code(_current(chain, stored))]
        if chain is not None:
            findings.append(_old_keys(chain, stored))
        return findings

    def _backup(self) -> Finding:
        if self._services.backups.exists():
            return Finding(
                "backup",
                Health.GOOD,
                "there is a backup under a password; what is in it, the password alone tells",
                "after a rotation, back up again",
            )
        return Finding(
            "backup", Health.ADVICE, "there is no backup under a password", "backup_private_key()"
        )

    def _recovery_code(self, stored: StoredKey | None) -> Finding:
        topic = "recovery code"
        if stored is None:
            message = "cannot be looked at without the published key"
            return Finding(topic, Health.ADVICE, message)
        try:
            content = self._archives.load(stored)
        except NotARecipientError:
            return Finding(
                topic,
                Health.ADVICE,
                "there is a key archive that only another key or its recovery code opens",
                "restore_with_recovery_code(), or delete_recovery_code() and make another",
            )
        except (UntrustedArchiveError, MalformedBackupError) as error:
            hint = error.hint or "delete_recovery_code(), and make another"
            return Finding(topic, Health.PROBLEM, str(error), hint)
        if content is None or content.recovery_key is None:
            message = "there is none"
            if content is None and self._archives.was_seen:
                message += " any more: it was deleted, or the service hides it"
            return Finding(topic, Health.ADVICE, message, "create_recovery_code()")
        return Finding(topic, Health.GOOD, "there is one, and it brings the current key back")


def _current(chain: CardChain | None, stored: StoredKey | None) -> StoredKey | None:
    """Return *stored* as it will be once it follows the published card; None if it cannot."""
    if chain is None or stored is None or stored.private_key.public_key == chain.head.public_key:
        return stored
    if stored.next_key is not None and stored.next_key.public_key == chain.head.public_key:
        return stored.promoted()
    return None


def _key_and_card(chain: CardChain | None, stored: StoredKey | None) -> Finding:
    topic = "private key"
    if stored is None:
        hint = "register()" if chain is None else "restore it, or rotate_private_key(lost=True)"
        return Finding(topic, Health.PROBLEM, "it is not on this machine", hint)
    if chain is None:
        return Finding(topic, Health.PROBLEM, "its card is not published", "register()")
    published = chain.head.public_key
    if stored.private_key.public_key == published:
        if stored.next_key is not None:
            message = "a rotation was cut off before its card was published"
            return Finding(topic, Health.ADVICE, message, "rotate_private_key() completes it")
        return Finding(topic, Health.GOOD, "it is on this machine, and its card is published")
    if stored.next_key is not None and stored.next_key.public_key == published:
        message = "a rotation was cut off after its card was published"
        return Finding(topic, Health.ADVICE, message, "rotate_private_key() completes it")
    return Finding(
        topic,
        Health.PROBLEM,
        "another key than that of this machine is published for this user",
        "if you rotated on another device, restore that key; if not, somebody poses as you",
    )


def _old_keys(chain: CardChain, stored: StoredKey | None) -> Finding:
    held = () if stored is None else stored.identities
    present = {key.public_key for key in held}
    missing = [card for card in chain.cards[1:] if card.public_key not in present]
    if not missing:
        count = len(chain.cards) - 1
        message = f"all {count} are on this machine" if count else "there are none yet"
        return Finding("old keys", Health.GOOD, message)
    return Finding(
        "old keys",
        Health.ADVICE,
        f"{len(missing)} of {len(chain.cards) - 1} are not on this machine: "
        "what was encrypted for them cannot be read",
        "restore_private_key(), or restore_with_recovery_code()",
    )
