"""Which keystore the environment asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.keystore.environment import EnvironmentKeystore
from encrypted_parse.keystore.file import FileKeystore, default_keystore_folder
from encrypted_parse.keystore.port import Keystore
from encrypted_parse.keystore.protection import Passphrase
from encrypted_parse.keystore.system import KeyringKeystore

KEYRING = "keyring"
MAX_SECRET_BYTES = 1024 * 1024


@front_door
def keystore_from_env(
    variables: Mapping[str, str],
    application_id: str,
    *,
    ask_passphrase: Callable[[], str] | None = None,
) -> Keystore:
    """Return the keystore that the variables name; see `EncryptedClient.from_env`.

    Args:
        variables: The environment.
        application_id: The Parse app.
        ask_passphrase: Called if key files are sealed and no variable gives the passphrase.

    Raises:
        ConfigurationError: A variable cannot be right, or names a file that cannot be read.
    """
    keys = variables.get("ENCRYPTED_PARSE_PRIVATE_KEYS")
    keys_file = variables.get("ENCRYPTED_PARSE_PRIVATE_KEYS_FILE")
    if keys is None and keys_file:
        keys = _read("ENCRYPTED_PARSE_PRIVATE_KEYS_FILE", keys_file)
    if keys:
        return EnvironmentKeystore(keys)
    place = variables.get("ENCRYPTED_PARSE_KEYSTORE")
    if place == KEYRING:
        return KeyringKeystore(application_id, default_keystore_folder(variables))
    folder = Path(place) if place else default_keystore_folder(variables)
    passphrase = variables.get("ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE")
    if passphrase:
        secret = _read("ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE", passphrase)
        return FileKeystore(
            folder, application_id, protection=Passphrase(secret.removesuffix("\n"))
        )
    keystore = FileKeystore(folder, application_id)
    if ask_passphrase is not None and keystore.is_protected:
        return FileKeystore(folder, application_id, protection=Passphrase(ask_passphrase))
    return keystore


def _read(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
        if len(content) > MAX_SECRET_BYTES:
            raise ConfigurationError(f"the file that {variable} names is too long")
    except OSError as error:
        raise ConfigurationError(f"{variable}: cannot read {path}: {error.strerror}") from error
    with translating(
        UnicodeDecodeError,
        to=lambda: ConfigurationError(f"the file that {variable} names is not text"),
    ):
        return content.decode("utf-8")
