"""A keystore in the operating system's keyring (extra `keyring`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ConfigurationError,
    KeystoreConflictError,
    KeystoreError,
    MissingExtraError,
    NotPicklableError,
)
from encrypted_parse.keystore import records
from encrypted_parse.keystore.disk import file_name, locked_folder
from encrypted_parse.keystore.port import StoredKey
from encrypted_parse.keystore.sessions import KeptSession

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_Answer = TypeVar("_Answer")
_INDEX_NAME = "user ids"
_SESSION_NAME = "session"
_UNSAFE = ("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")


@front_door
class KeyringKeystore:
    """Keeps keys in Keychain, Credential Locker, Secret Service or KWallet.

    A keyring knows no "replace if unchanged", so programs of this user take turns by a lock in
    *lock_folder*. What was written is read again before it counts as kept. A keyring lists no
    entries, so one more names the users.

    Args:
        application_id: The Parse app; keys of several apps never mix.
        lock_folder: For the lock alone.
        backend: A backend of the package `keyring`; by default, what it chooses here.

    Raises:
        MissingExtraError: The extra `keyring` is not installed.
        ConfigurationError: There is no keyring here, or one that keeps keys in the open.
    """

    def __init__(
        self, application_id: str, lock_folder: Path, *, backend: KeyringBackend | None = None
    ) -> None:
        try:
            import keyring  # noqa: PLC0415 - an extra
            from keyring.errors import KeyringError  # noqa: PLC0415
        except ImportError:
            raise MissingExtraError("keyring", "the system's keyring") from None
        self._backend = keyring.get_keyring() if backend is None else backend
        self._errors = KeyringError
        self._service = f"encrypted_parse:{application_id}"
        self._index = f"encrypted_parse users:{application_id}"
        self._sessions = f"encrypted_parse session:{application_id}"
        self._lock_folder = lock_folder / file_name(application_id)
        name = type(self._backend).__module__
        if name.startswith(_UNSAFE):
            raise ConfigurationError(
                f"the keyring {name} does not keep secrets",
                hint="use FileKeystore with a passphrase, or install a real keyring",
            )

    @property
    def folder(self) -> Path:
        """Where this app's files beside the keyring are."""
        return self._lock_folder

    def find(self, user_id: str) -> StoredKey | None:
        """See `Keystore.find`."""
        text = self._ask("read", lambda: self._backend.get_password(self._service, user_id))
        if text is None:
            return None
        with translating(
            ValueError,
            to=lambda: KeystoreError(
                f"the keyring's entry for {user_id!r} is not a record of keys",
                hint="it was left as it is; restore a backup on another machine first",
            ),
        ):
            return records.from_bytes(user_id, text.encode("utf-8"))

    def save(self, stored: StoredKey, *, replacing: StoredKey | None = None) -> None:
        """See `Keystore.save`."""
        with locked_folder(self._lock_folder):
            present = self.find(stored.user_id)
            if present == stored:
                return
            if present != replacing:
                raise KeystoreConflictError(stored.user_id)
            text = records.to_bytes(stored).decode("ascii")
            self._write_index({*self.user_ids(), stored.user_id})
            self._ask(
                "write", lambda: self._backend.set_password(self._service, stored.user_id, text)
            )
            if self.find(stored.user_id) != stored:
                raise KeystoreError("the keyring did not keep what was written")

    def user_ids(self) -> list[str]:
        """See `Keystore.user_ids`. Users of releases that kept no list are not named.

        Raises:
            KeystoreError: The keyring cannot be read, or its list of users is none.
        """
        text = self._ask("read", lambda: self._backend.get_password(self._index, _INDEX_NAME))
        try:
            users = json.loads(text or "[]")
        except (ValueError, RecursionError):
            users = None
        if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
            raise KeystoreError(
                "the keyring's list of users is none",
                hint=f"delete its entry {self._index!r}, and save the keys again",
            )
        return sorted(users)

    def _write_index(self, users: set[str]) -> None:
        text = json.dumps(sorted(users))
        self._ask("write", lambda: self._backend.set_password(self._index, _INDEX_NAME, text))

    def delete(self, user_id: str) -> None:
        """See `Keystore.delete`."""
        with locked_folder(self._lock_folder):
            present = self._ask(
                "delete", lambda: self._backend.get_password(self._service, user_id)
            )
            if present is not None:
                self._ask("delete", lambda: self._backend.delete_password(self._service, user_id))
            self._write_index({*self.user_ids()} - {user_id})

    def find_session(self) -> KeptSession | None:
        """See `SessionKeeper.find_session`."""
        text = self._ask("read", lambda: self._backend.get_password(self._sessions, _SESSION_NAME))
        if text is None:
            return None
        with translating(
            ValueError,
            to=lambda: KeystoreError(
                "the keyring's entry for the session is none",
                hint="log in again, which replaces it",
            ),
        ):
            return KeptSession.from_bytes(text.encode("utf-8"))

    def save_session(self, session: KeptSession) -> None:
        """See `SessionKeeper.save_session`."""
        text = session.to_bytes().decode("ascii")
        self._ask("write", lambda: self._backend.set_password(self._sessions, _SESSION_NAME, text))
        if self.find_session() != session:
            raise KeystoreError("the keyring did not keep what was written")

    def delete_session(self) -> None:
        """See `SessionKeeper.delete_session`."""
        name = _SESSION_NAME
        if self._ask("delete", lambda: self._backend.get_password(self._sessions, name)):
            self._ask("delete", lambda: self._backend.delete_password(self._sessions, name))

    def _ask(self, verb: str, question: Callable[[], _Answer]) -> _Answer:
        try:
            return question()
        except self._errors as error:
            kind = type(error).__name__
        # Only the kind, and behind the block: what a backend raises may quote what it was given.
        raise KeystoreError(
            f"the keyring refused to {verb} ({kind})",
            hint="is it unlocked? On Windows an entry holds 2,560 bytes: about 15 old keys",
        )

    def __repr__(self) -> str:
        return f"<KeyringKeystore {self._service}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a keystore is not written into pickles")
