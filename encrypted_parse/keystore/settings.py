"""Which keystore the environment asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.keystore.environment import EnvironmentKeystore
from encrypted_parse.keystore.file import FileKeystore, default_keystore_folder
from encrypted_parse.keystore.memory import MemoryKeystore
from encrypted_parse.keystore.port import Keystore
from encrypted_parse.keystore.protection import Passphrase
from encrypted_parse.keystore.system import KeyringKeystore
from encrypted_parse.settings import checked, read_settings, strip

KEYRING, MEMORY = "keyring", "memory"
MAX_SECRET_BYTES = 1024 * 1024
_PLACE = "ENCRYPTED_PARSE_KEYSTORE"
_PASSPHRASE_FILE = "ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE"  # noqa: S105 - its name
_KEYS = "ENCRYPTED_PARSE_PRIVATE_KEYS"
_KEYS_FILE = "ENCRYPTED_PARSE_PRIVATE_KEYS_FILE"


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
    settings = read_settings(variables)
    for name in (_KEYS, _KEYS_FILE):
        if name in settings:
            keys = settings[name] if name == _KEYS else _read(name, settings[name])
            return checked(name, keys, EnvironmentKeystore)
    return _of_this_machine(settings, application_id, ask_passphrase)


def _of_this_machine(
    settings: Mapping[str, str], application_id: str, ask_passphrase: Callable[[], str] | None
) -> Keystore:
    place = settings.get(_PLACE)
    if place is not None and place.lower() in (KEYRING, MEMORY):
        _refuse_folder_of_that_name(place)
        if place.lower() == MEMORY:
            return MemoryKeystore()
        return KeyringKeystore(application_id, default_keystore_folder(settings))
    folder = default_keystore_folder(settings) if place is None else _folder(place)
    if _PASSPHRASE_FILE in settings:
        passphrase = Passphrase(_read_passphrase(settings[_PASSPHRASE_FILE]))
        return FileKeystore(folder, application_id, protection=passphrase)
    keystore = FileKeystore(folder, application_id)
    if ask_passphrase is None or not keystore.is_protected:
        return keystore
    return FileKeystore(folder, application_id, protection=Passphrase(ask_passphrase))


def _refuse_folder_of_that_name(place: str) -> None:
    """Do not pass over keys: versions before `memory` was a word made a folder of it."""
    if place != KEYRING and Path(place).is_dir():
        raise ConfigurationError(
            f"{_PLACE} is {place!r}, and there is a folder of that name",
            hint=f"write ./{place} for the folder; rename it for the keystore of that name",
        )


def _folder(place: str) -> Path:
    """Return the folder of a value that is no keystore's name."""
    if place.startswith("~/"):  # no shell has been here
        return Path(place).expanduser()
    path = Path(place)
    if path.parts == (place,) and place not in {".", ".."} and not path.exists():
        raise ConfigurationError(
            f"{_PLACE} is {place!r}, which is neither a keystore's name nor a folder that exists",
            hint=f"it is keyring, memory or a folder: write ./{place} for a new one of that name",
        )
    return path


def _read_passphrase(path: str) -> str:
    """Return the passphrase of a file: its one line, without a byte order mark or line end."""
    passphrase = _read(_PASSPHRASE_FILE, path).removeprefix("\ufeff").rstrip("\r\n")
    if not passphrase or passphrase != strip(passphrase) or not passphrase.isprintable():
        raise ConfigurationError(
            f"the file that {_PASSPHRASE_FILE} names is empty, begins or ends with a blank, or "
            "has several lines",
            hint="it holds the passphrase as its one line; `keystore protect` sets a new one",
        )
    return passphrase


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
        to=lambda: ConfigurationError(
            f"the file that {variable} names is not UTF-8 text", hint="save it as UTF-8"
        ),
    ):
        return content.decode("utf-8")
