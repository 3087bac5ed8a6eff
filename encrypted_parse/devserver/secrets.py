"""The local app's keys: made on first start, kept in its data folder, shown only on demand."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import NoReturn

import attrs
from attrs import field, frozen

from encrypted_parse._translating import translating
from encrypted_parse.companion import CompanionSecrets
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import DevServerError, KeyFormatError, NotPicklableError

FILE_NAME = "secrets.json"
_KEY_BYTES = 16
_OWNER_ONLY = 0o600


@frozen
class ServerSecrets:
    """Keys of one local app. All but the application ids are secret."""

    application_id: str
    rest_api_key: str = field(repr=False)
    javascript_key: str = field(repr=False)
    master_key: str = field(repr=False)
    database_password: str = field(repr=False)
    virgil_app_id: str
    virgil_app_key_id: str
    virgil_app_key: str = field(repr=False)
    virgil_service_key: str = field(repr=False)
    virgil_brainkey_secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> ServerSecrets:
        """Make fresh keys."""
        companion = CompanionSecrets.generate()
        return cls(
            application_id=secrets.token_hex(_KEY_BYTES),
            rest_api_key=secrets.token_hex(_KEY_BYTES),
            javascript_key=secrets.token_hex(_KEY_BYTES),
            master_key=secrets.token_hex(_KEY_BYTES),
            database_password=secrets.token_hex(_KEY_BYTES),
            virgil_app_id=companion.app_id,
            virgil_app_key_id=companion.app_key_id,
            virgil_app_key=companion.app_key,
            virgil_service_key=companion.service_key,
            virgil_brainkey_secret=companion.brainkey_secret,
        )

    @property
    def companion(self) -> CompanionSecrets:
        """The companion's part of them."""
        return CompanionSecrets(
            app_id=self.virgil_app_id,
            app_key_id=self.virgil_app_key_id,
            app_key=self.virgil_app_key,
            service_key=self.virgil_service_key,
            brainkey_secret=self.virgil_brainkey_secret,
        )

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a server's keys are not written into pickles")


def load_or_create(folder: Path) -> ServerSecrets:
    """Return the keys in *folder*, made (mode 0600, atomically) if there are none yet.

    Raises:
        DevServerError: The file is there but not ours, or cannot be read or written.
    """
    path = folder / FILE_NAME
    try:
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return _create(path)
        path.chmod(_OWNER_ONLY)
    except OSError as error:
        raise DevServerError(
            f"cannot keep the server's keys in {path}: {error.strerror}",
            hint="choose a data folder of your own, on a disk with free space",
        ) from error
    with translating(
        ValueError,
        TypeError,
        AttributeError,
        KeyFormatError,
        to=lambda: DevServerError(
            f"{path} is not a file of this program",
            hint="choose another data folder; without its keys the old data cannot be used",
        ),
    ):
        stored = json.loads(text)
        loaded = ServerSecrets(**{name: str(value) for name, value in stored.items()})
        PrivateKey.from_base64(loaded.virgil_app_key)
        PrivateKey.from_base64(loaded.virgil_service_key)
    return loaded


def _create(path: Path) -> ServerSecrets:
    made = ServerSecrets.generate()
    # Field by field: attrs.asdict would do the same, but nobody should copy that habit.
    names = [attribute.name for attribute in attrs.fields(ServerSecrets)]
    content = {name: getattr(made, name) for name in names}
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return made
