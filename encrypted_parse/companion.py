"""The companion, seen from Python: where its JavaScript lies, and the secrets that it needs."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import NoReturn

from attrs import field, frozen

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import ConfigurationError, NotPicklableError

_ID_BYTES = 16
_SECRET_BYTES = 32


@frozen
class CompanionSecrets:
    """What the companion reads from its environment: docs/companion.md. Ids are no secret."""

    app_id: str
    app_key_id: str
    app_key: str = field(repr=False)
    service_key: str = field(repr=False)
    brainkey_secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> CompanionSecrets:
        """Make fresh ones."""
        return cls(
            app_id=secrets.token_hex(_ID_BYTES),
            app_key_id=secrets.token_hex(_ID_BYTES),
            app_key=PrivateKey.generate().to_base64(),
            service_key=PrivateKey.generate().to_base64(),
            brainkey_secret=base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii"),
        )

    @property
    def service_public_key(self) -> str:
        """What clients pin: the base64 public half of the key that signs cards."""
        return PrivateKey.from_base64(self.service_key).public_key.to_base64()

    def environment(self) -> dict[str, str]:
        """Return the variables of the server's process."""
        return {
            "VIRGIL_APP_ID": self.app_id,
            "VIRGIL_APP_KEY_ID": self.app_key_id,
            "VIRGIL_APP_KEY": self.app_key,
            "VIRGIL_SERVICE_KEY": self.service_key,
            "VIRGIL_BRAINKEY_SECRET": self.brainkey_secret,
        }

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a server's keys are not written into pickles")


def cloud_code_folder() -> Path:
    """Return the companion's folder: inside an installed package, or beside it in a checkout.

    Raises:
        ConfigurationError: This installation has none.
    """
    package = Path(__file__).parent
    for folder in (package / "_cloud_code", package.parent / "cloud_code"):
        if (folder / "main.js").is_file():
            return folder
    raise ConfigurationError(
        "the cloud code is missing from this installation", hint="install encrypted-parse again"
    )
