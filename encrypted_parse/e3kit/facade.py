"""E3Kit's verbs in snake_case, for one user.

The names, and what they mean, are those of E3Kit's public documentation; docs/e3kit.md maps each
method. What is done beyond it: a card is always verified and remembered, old keys are kept and go
on working, and every verb that changes keys may be repeated.
"""

from __future__ import annotations

from encrypted_parse.e3kit.backups import BackupVerbs
from encrypted_parse.e3kit.files import FileVerbs
from encrypted_parse.e3kit.group_verbs import GroupVerbs
from encrypted_parse.e3kit.health import HealthVerbs
from encrypted_parse.e3kit.life import KeyVerbs
from encrypted_parse.e3kit.messages import MessageVerbs


class E3Kit(KeyVerbs, BackupVerbs, HealthVerbs, MessageVerbs, FileVerbs, GroupVerbs):
    """One user's keys and the directory, behind E3Kit's verbs. Thread-safe.

    Args:
        user_id: The user, whose cards and keys are published and kept under this name.
        directory: Where cards are looked up.
        keystore: Where private keys rest on this machine.
        service: Keyknox and BrainKey, for backups and groups.
        trust: What is remembered of other users' keys, and the policy; by default in memory.
        login_password: A digest of what the session logged in with; no backup may have it.
        clock: Seconds since 1970, for cards' dates.
    """

    def __repr__(self) -> str:
        return f"<E3Kit of {self.user_id!r}>"
