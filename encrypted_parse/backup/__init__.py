"""Private keys in the cloud: E3Kit's backups under a password, the archive, the recovery code."""

from __future__ import annotations

from encrypted_parse.backup.archive import ArchivedKeys, KeyArchive
from encrypted_parse.backup.archive_form import ArchiveContent
from encrypted_parse.backup.brainkey import BrainKeyClient
from encrypted_parse.backup.keyknox import KeyknoxClient, Place
from encrypted_parse.backup.passwords import (
    LoginPassword,
    generate_backup_password,
    require_good_password,
)
from encrypted_parse.backup.private_keys import PrivateKeyBackups
from encrypted_parse.backup.recovery_code import RecoveryCode

__all__ = [
    "ArchiveContent",
    "ArchivedKeys",
    "BrainKeyClient",
    "KeyArchive",
    "KeyknoxClient",
    "LoginPassword",
    "Place",
    "PrivateKeyBackups",
    "RecoveryCode",
    "generate_backup_password",
    "require_good_password",
]
