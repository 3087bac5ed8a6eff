"""What key files are sealed with: a passphrase, or a key service's key.

A keystore has one random **master key**. Each record is sealed with it by AES-256-GCM, and it is
kept itself only wrapped, so that another passphrase does not mean to write every record again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from encrypted_parse.crypto.passphrase import SALT_BYTES, Argon2Parameters, key_from_passphrase
from encrypted_parse.crypto.primitives import (
    AES_KEY_BYTES,
    GCM_NONCE_BYTES,
    gcm_decrypt,
    gcm_encrypt,
    random_bytes,
)
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    ConfigurationError,
    KeystoreLockedError,
    NotPicklableError,
    TamperedEnvelopeError,
    WrongPassphraseError,
)

MASTER_KEY_BYTES = AES_KEY_BYTES
_MAX_WRAPPED_BYTES = 8 * 1024


class Protection(Protocol):
    """Wraps the master key of a keystore. *context* says which keystore, and is authenticated."""

    def wrap(self, master_key: bytes, context: bytes) -> dict[str, Any]:
        """Return fields for JSON that `unwrap` gives the key back from."""

    def unwrap(self, fields: dict[str, Any], context: bytes) -> bytes:
        """Return the **secret** master key.

        Raises:
            KeystoreLockedError: It was wrapped by something else.
            WrongPassphraseError: By another passphrase.
            ValueError: The fields are damaged. The message quotes nothing.
        """


@front_door
class Passphrase:
    """Seals key files with a passphrase, through Argon2id (3 passes, 4 lanes, 64 MiB).

    Args:
        passphrase: The **secret** itself, or what asks for it when it is first needed.
    """

    KIND = "argon2id"

    def __init__(self, passphrase: str | Callable[[], str]) -> None:
        self._passphrase = passphrase
        self._parameters = Argon2Parameters()

    def wrap(self, master_key: bytes, context: bytes) -> dict[str, Any]:
        """See `Protection.wrap`.

        Raises:
            ConfigurationError: The passphrase is empty.
        """
        salt = random_bytes(SALT_BYTES)
        fields = {
            "kind": self.KIND,
            "iterations": self._parameters.iterations,
            "lanes": self._parameters.lanes,
            "memory_kib": self._parameters.memory_kib,
            "salt": _text(salt),
        }
        key = key_from_passphrase(self._read(), salt, self._parameters)
        return fields | {"wrapped": _text(seal(key, master_key, _bound(context, fields)))}

    def unwrap(self, fields: dict[str, Any], context: bytes) -> bytes:
        """See `Protection.unwrap`."""
        _require_kind(fields, self.KIND, "a passphrase")
        numbers = [fields.get(name) for name in ("iterations", "lanes", "memory_kib")]
        if not all(type(number) is int for number in numbers):
            raise ValueError("parameters of Argon2id are missing")
        parameters = Argon2Parameters(*(int(number or 0) for number in numbers))
        salt, wrapped = _binary(fields.get("salt")), _binary(fields.get("wrapped"))
        if not parameters.bounded or len(salt) != SALT_BYTES:
            raise ValueError("parameters of Argon2id are out of bounds")
        key = key_from_passphrase(self._read(), salt, parameters)
        described = {name: value for name, value in fields.items() if name != "wrapped"}
        try:
            return unseal(key, wrapped, _bound(context, described))
        except TamperedEnvelopeError:
            raise WrongPassphraseError(
                "the passphrase does not open this keystore",
                hint="try again; there is no way around it but a backup or a recovery code",
            ) from None

    def _read(self) -> str:
        text = self._passphrase if isinstance(self._passphrase, str) else self._passphrase()
        if not text:
            raise ConfigurationError("the passphrase of the keystore is empty")
        self._passphrase = text  # asked for once
        return text

    def __repr__(self) -> str:
        return "<Passphrase>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a passphrase is not written into pickles")


@front_door
class KeyService:
    """Seals key files with a key that a key management service (KMS, HSM, vault) keeps.

    Args:
        name: Names the service's key, e.g. its ARN; written beside what it wrapped.
        wrap: Gets the master key (32 **secret** bytes) and a context (bytes that are no secret);
            returns at most 8 KiB that mean nothing without the service. The context should be
            authenticated, as "associated data" or "encryption context".
        unwrap: The reverse: gets the wrapped bytes and the same context.
    """

    KIND = "key service"

    def __init__(
        self,
        name: str,
        wrap: Callable[[bytes, bytes], bytes],
        unwrap: Callable[[bytes, bytes], bytes],
    ) -> None:
        self._name = name
        self._wrap = wrap
        self._unwrap = unwrap

    def wrap(self, master_key: bytes, context: bytes) -> dict[str, Any]:
        """See `Protection.wrap`.

        Raises:
            ConfigurationError: The service gave the key back as it is, or too much.
        """
        wrapped = self._wrap(master_key, context)
        if master_key in wrapped or len(wrapped) > _MAX_WRAPPED_BYTES:
            raise ConfigurationError(f"what the key service {self._name!r} wrapped is unusable")
        if self._unwrap(wrapped, context) != master_key:
            raise ConfigurationError(f"the key service {self._name!r} does not give keys back")
        return {"kind": self.KIND, "name": self._name, "wrapped": _text(wrapped)}

    def unwrap(self, fields: dict[str, Any], context: bytes) -> bytes:
        """See `Protection.unwrap`. What the service raises passes through."""
        _require_kind(fields, self.KIND, "a key service")
        if fields.get("name") != self._name:
            raise KeystoreLockedError(
                f"this keystore is sealed with another key of the service than {self._name!r}",
                hint="the file protection.key names it",
            )
        master_key = self._unwrap(_binary(fields.get("wrapped")), context)
        if len(master_key) != MASTER_KEY_BYTES:
            raise ValueError("not a master key")
        return master_key

    def __repr__(self) -> str:
        return f"<KeyService {self._name}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a key service is not written into pickles")


def seal(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Return nonce || ciphertext || tag of AES-256-GCM under a fresh random nonce."""
    nonce = random_bytes(GCM_NONCE_BYTES)
    return nonce + gcm_encrypt(key, nonce, plaintext, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        TamperedEnvelopeError: It is something else, or was sealed in another context.
    """
    return gcm_decrypt(key, sealed[:GCM_NONCE_BYTES], sealed[GCM_NONCE_BYTES:], context)


def _bound(context: bytes, fields: dict[str, Any]) -> bytes:
    """Return a context that the parameters are part of."""
    return context + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def _require_kind(fields: dict[str, Any], kind: str, what: str) -> None:
    if fields.get("kind") != kind:
        raise KeystoreLockedError(
            f"this keystore is not sealed with {what}", hint="the file protection.key says how"
        )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _binary(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("not base64")  # noqa: TRY004 - translated by the caller
    return base64.b64decode(text.encode("ascii"), validate=True)
