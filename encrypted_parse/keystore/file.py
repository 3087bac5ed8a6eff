"""A keystore in files: one per user, mode 0600, written atomically, sealed if you like.

A crash at any point leaves the old file or the new one. A key file or folder that others may
read or write is refused, not repaired: its keys may be known already.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from encrypted_parse._translating import translating
from encrypted_parse.crypto.primitives import random_bytes
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    KeystoreConflictError,
    KeystoreError,
    KeystoreFileError,
    KeystoreLockedError,
    NotPicklableError,
    TamperedEnvelopeError,
)
from encrypted_parse.keystore import records
from encrypted_parse.keystore.disk import (
    delete_file,
    file_name,
    locked_folder,
    read_private,
    replace_file,
)
from encrypted_parse.keystore.port import StoredKey
from encrypted_parse.keystore.protection import MASTER_KEY_BYTES, Protection, seal, unseal
from encrypted_parse.keystore.sessions import KeptSession

FORMAT_VERSION = 2  # 1 held one key and was never sealed
PROTECTION_VERSION = 1
MAX_FILE_BYTES = 2 * records.MAX_RECORD_BYTES
PROTECTION_FILE = "protection.key"
SESSION_FILE = "session.key"  # no `.json`: the key files of a folder are those


@front_door
class FileKeystore:
    """Keeps each user's keys in a file below *folder*.

    Args:
        folder: Made with mode 0700 when the first key is saved.
        application_id: The Parse app; keys of several apps never mix.
        protection: A `Passphrase` or `KeyService` that seals the files; see `protect` for files
            that are there already. None: the files are plain, for their owner alone.
    """

    def __init__(
        self, folder: Path | str, application_id: str, *, protection: Protection | None = None
    ) -> None:
        self._application_id = application_id
        self._folder = Path(folder).expanduser() / file_name(application_id)
        self._protection = protection
        self._cache: dict[str, tuple[tuple[int, ...], StoredKey]] = {}
        self._master: tuple[tuple[int, ...], bytes] | None = None

    @property
    def folder(self) -> Path:
        """Where this app's key files are."""
        return self._folder

    @property
    def is_protected(self) -> bool:
        """Whether the files are sealed, or are to be."""
        return self._protection is not None or (self._folder / PROTECTION_FILE).exists()

    def user_ids(self) -> list[str]:
        """Return every user whose keys are here, sorted. Opens no key.

        Raises:
            KeystoreError: A file cannot be read, or is no key file.
        """
        return sorted(self._read_fields(path)["user_id"] for path in self._files())

    def find(self, user_id: str) -> StoredKey | None:
        """See `Keystore.find`.

        Raises:
            KeystorePermissionError: Others may read or write the file or its folder.
            KeystoreFileError: The file cannot be read, or is not a key file of this user.
            KeystoreLockedError: It is sealed and no protection was given, or the reverse.
            WrongPassphraseError: It is sealed with another passphrase.
        """
        path = self._path(user_id)
        found = read_private(path, MAX_FILE_BYTES)
        if found is None:
            return None
        cached = self._cache.get(user_id)
        if cached is not None and cached[0] == found.version:
            return cached[1]
        stored = self._open(path, found.content)
        self._cache[user_id] = (found.version, stored)
        return stored

    def save(self, stored: StoredKey, *, replacing: StoredKey | None = None) -> None:
        """See `Keystore.save`.

        Raises:
            KeystoreFileError: The file cannot be written; what was there is still there.
        """
        with locked_folder(self._folder):
            present = self.find(stored.user_id)
            if present == stored:
                return
            if present != replacing:
                raise KeystoreConflictError(stored.user_id)
            self._write(stored, self._master_key_to_write())

    def delete(self, user_id: str) -> None:
        """See `Keystore.delete`.

        Raises:
            KeystoreFileError: The file cannot be deleted.
        """
        self._cache.pop(user_id, None)
        if self._folder.exists():
            with locked_folder(self._folder):
                delete_file(self._path(user_id))

    def find_session(self) -> KeptSession | None:
        """See `SessionKeeper.find_session`.

        Raises:
            KeystoreError: As `find`.
        """
        path = self._folder / SESSION_FILE
        found = read_private(path, MAX_FILE_BYTES)
        if found is None:
            return None
        master = self._master_key()
        with translating(
            ValueError,
            to=lambda: KeystoreFileError(
                f"{path} holds no session of this app", hint="log in again, which replaces it"
            ),
        ):
            return KeptSession.from_file(found.content, master, self._context("session"))

    def save_session(self, session: KeptSession) -> None:
        """See `SessionKeeper.save_session`. It is sealed where the key files are.

        Raises:
            KeystoreFileError: The file cannot be written; what was there is still there.
        """
        with locked_folder(self._folder):
            self._write_session(session, self._master_key_to_write())

    def delete_session(self) -> None:
        """See `SessionKeeper.delete_session`.

        Raises:
            KeystoreFileError: The file cannot be deleted.
        """
        if self._folder.exists():
            with locked_folder(self._folder):
                delete_file(self._folder / SESSION_FILE)

    def protect(self, protection: Protection) -> None:
        """Seal every file with *protection*, in place of what they were sealed with, if anything.

        A crash on the way loses nothing; call it again to go on. Copies of files that were made
        before are as they were: plain ones stay plain, and an old copy of `protection.key` still
        opens with the old passphrase.

        Raises:
            KeystoreError: As `find`, for each file; those before it are sealed by then.
        """
        with locked_folder(self._folder):
            path = self._folder / PROTECTION_FILE
            master = self._master_key() or random_bytes(MASTER_KEY_BYTES)
            session = self._session_to_rewrite()
            self._write_master_key(path, master, protection)
            self._protection, self._master, self._cache = protection, None, {}
            if session is not None:
                self._write_session(session, master)
            for each in self._files():
                fields = self._read_fields(each)
                if "sealed" not in fields:
                    self._write(self._unsealed(each, fields, None), master)

    def unprotect(self) -> None:
        """Write every file plain again, for its owner alone. A crash on the way loses nothing.

        Raises:
            KeystoreError: As `find`, for each file.
        """
        with locked_folder(self._folder):
            master = self._master_key()
            for each in self._files():
                fields = self._read_fields(each)
                if "sealed" in fields:
                    self._write(self._unsealed(each, fields, master), None)
            session = self._session_to_rewrite()
            if session is not None:
                self._write_session(session, None)
            delete_file(self._folder / PROTECTION_FILE)
            self._protection, self._master, self._cache = None, None, {}

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []

    def _path(self, user_id: str) -> Path:
        return self._folder / f"{file_name(user_id)}.json"

    def _read_fields(self, path: Path) -> dict[str, Any]:
        found = read_private(path, MAX_FILE_BYTES)
        return self._parse(path, b"" if found is None else found.content)

    def _parse(self, path: Path, content: bytes) -> dict[str, Any]:
        """Return the fields of a key file of this app, whose name is right for its user."""
        with translating(*records.MISREAD, to=lambda: _damaged(path)):
            if len(content) > MAX_FILE_BYTES:
                raise ValueError("too long")
            fields = json.loads(content)
            _require_version(path, fields["version"], FORMAT_VERSION)
            if self._path(fields["user_id"]) != path:
                raise ValueError("another user's file")
            if fields["application_id"] != self._application_id:
                raise ValueError("another app's file")
        return dict(fields)

    def _open(self, path: Path, content: bytes) -> StoredKey:
        fields = self._parse(path, content)
        if "sealed" not in fields and self.is_protected:
            raise KeystoreLockedError(
                f"{path} is not sealed, but this keystore is",
                hint="if you put it there, or sealing was cut short, call protect() again",
            )
        return self._unsealed(path, fields, self._master_key())

    def _unsealed(self, path: Path, fields: dict[str, Any], master: bytes | None) -> StoredKey:
        user_id = fields["user_id"]
        with translating(
            ValueError, AttributeError, TamperedEnvelopeError, to=lambda: _damaged(path)
        ):
            if "sealed" not in fields:
                return records.from_fields(user_id, fields)
            if master is None:
                raise KeystoreFileError(
                    f"{path} is sealed, but {PROTECTION_FILE} beside it is gone",
                    hint="bring back a copy of that file",
                )
            sealed = base64.b64decode(fields["sealed"].encode("ascii"), validate=True)
            context = self._context("user", user_id)
            return records.from_bytes(user_id, unseal(master, sealed, context))

    def _write(self, stored: StoredKey, master: bytes | None) -> None:
        content = {
            "version": FORMAT_VERSION,
            "application_id": self._application_id,
            "user_id": stored.user_id,
        }
        if master is None:
            content |= records.to_fields(stored)
        else:
            context = self._context("user", stored.user_id)
            sealed = seal(master, records.to_bytes(stored), context)
            content["sealed"] = _text(sealed)
        replace_file(self._path(stored.user_id), _json(content))

    def _session_to_rewrite(self) -> KeptSession | None:
        """Return the session before the files change their form; one that cannot be read goes."""
        try:
            return self.find_session()
        except KeystoreFileError:
            delete_file(self._folder / SESSION_FILE)
            return None

    def _write_session(self, session: KeptSession, master: bytes | None) -> None:
        content = session.to_file(master, self._context("session"))
        replace_file(self._folder / SESSION_FILE, content)

    def _master_key(self) -> bytes | None:
        """Return what records are sealed with; None if no protection was written yet."""
        path = self._folder / PROTECTION_FILE
        found = read_private(path, MAX_FILE_BYTES)
        if found is None:
            return None
        if self._protection is None:
            raise KeystoreLockedError(
                f"the keystore {self._folder} is sealed",
                hint="give its passphrase: FileKeystore(..., protection=Passphrase(...))",
            )
        if self._master is not None and self._master[0] == found.version:
            return self._master[1]
        with translating(*records.MISREAD, to=lambda: _damaged(path)):
            fields = json.loads(found.content)
            _require_version(path, fields["version"], PROTECTION_VERSION)
            check = base64.b64decode(fields["check"], validate=True)
            master = self._protection.unwrap(fields["wrapped"], self._context("master key"))
            try:
                unseal(master, check, self._context("check"))
            except TamperedEnvelopeError:
                raise KeystoreLockedError(
                    f"what unwraps {path} gives another key than the one that wrapped it",
                    hint="is it the same key of the same service?",
                ) from None
        self._master = (found.version, master)
        return master

    def _master_key_to_write(self) -> bytes | None:
        """Return what records are to be sealed with; the first time, make it."""
        master = self._master_key()
        if master is not None or self._protection is None:
            return master
        if self._files():
            raise KeystoreLockedError(
                f"the files in {self._folder} are not sealed",
                hint="call protect() once, which seals them",
            )
        master = random_bytes(MASTER_KEY_BYTES)
        self._write_master_key(self._folder / PROTECTION_FILE, master, self._protection)
        return master

    def _write_master_key(self, path: Path, master: bytes, protection: Protection) -> None:
        content = {
            "version": PROTECTION_VERSION,
            "wrapped": protection.wrap(master, self._context("master key")),
            # A key service may answer with anything; nothing is sealed with a wrong master key.
            "check": _text(seal(master, b"", self._context("check"))),
        }
        replace_file(path, _json(content))

    def _context(self, *what: str) -> bytes:
        """Return what ties sealed bytes to their place."""
        parts = ["encrypted_parse keystore", FORMAT_VERSION, self._application_id, *what]
        return json.dumps(parts).encode("ascii")

    def __repr__(self) -> str:
        return f"<FileKeystore {self._folder}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a keystore is not written into pickles")


@front_door
def default_keystore_folder(environ: Mapping[str, str]) -> Path:
    """Return where key files rest by default: the user's data folder."""
    base = environ.get("XDG_DATA_HOME") or environ.get("LOCALAPPDATA")
    root = Path(base) if base else Path(environ.get("HOME") or Path.home()) / ".local" / "share"
    return root / "encrypted_parse" / "keys"


def _json(content: object) -> bytes:
    return json.dumps(content, indent=2).encode("ascii")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _require_version(path: Path, version: object, newest: int) -> None:
    if type(version) is not int or version < 1:
        raise ValueError("no version")
    if version > newest:
        raise KeystoreFileError(
            f"{path} has version {version}, and this release reads up to {newest}",
            hint="update the package: pip install --upgrade encrypted-parse",
        )


def _damaged(path: Path) -> KeystoreError:
    return KeystoreFileError(
        f"{path} is damaged or belongs to another user or app",
        hint="bring back a copy of the file; it was left as it is",
    )
