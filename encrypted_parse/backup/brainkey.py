"""The BrainKey service: a password and its answer make a key pair (services document, 5)."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import Any

from encrypted_parse._translating import translating
from encrypted_parse.crypto import PrivateKey, brainkey_v3
from encrypted_parse.crypto.brainkey import blind, deblind, key_from_material
from encrypted_parse.directory import ServiceClient
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import BrainKeyError, DirectoryRefusedError
from encrypted_parse.transport import Repeat

_THROTTLED = 60007
_WAIT_SECONDS = 2.0
_NOT_FOUND = 404
_NEWER_NAME = b"e3kit-backup"


@front_door
class BrainKeyClient:
    """Derives key pairs from passwords. The password never leaves this machine."""

    def __init__(
        self, service: ServiceClient, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._service = service
        self._sleep = sleep

    def derive(self, password: str) -> PrivateKey:
        """Return the key pair of *password* for the token's user: always the same one.

        A service that takes one try in two seconds is waited for, once.

        Raises:
            BrainKeyError: The password is empty or too long, or the answer is no answer.
            DirectoryRefusedError: The service refuses, or has no BrainKey.
        """
        blinded, unblinding = blind(password)
        answer = self._ask("pythia/v1/brainkey", "blinded_password", blinded)
        return key_from_material(deblind(_binary(answer, "seed"), unblinding))

    def derive_newer(self, password: str) -> PrivateKey | None:
        """Derive what E3Kit for Kotlin 3 derives; None where the service does not have that.

        Raises:
            BrainKeyError: The password is empty or too long, or the answer is no answer.
            DirectoryRefusedError: The service refuses.
        """
        blinded, unblinding = brainkey_v3.blind(password)
        try:
            answer = self._ask("brainkey/v3/harden", "blinded_point", blinded)
        except DirectoryRefusedError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        hardened = _binary(answer, "hardened_point")
        return key_from_material(brainkey_v3.deblind(password, hardened, unblinding, _NEWER_NAME))

    def _ask(self, path: str, name: str, point: bytes) -> Any:  # noqa: ANN401 - any JSON
        body = {name: base64.b64encode(point).decode("ascii")}
        try:
            return self._service.call("POST", path, body, repeat=Repeat.SAFE).json()
        except DirectoryRefusedError as error:
            if error.code != _THROTTLED:
                raise
        self._sleep(_WAIT_SECONDS)
        return self._service.call("POST", path, body, repeat=Repeat.SAFE).json()


def _binary(answer: Any, name: str) -> bytes:  # noqa: ANN401 - any JSON
    text = answer.get(name) if isinstance(answer, dict) else None
    with translating(
        binascii.Error,
        TypeError,
        ValueError,
        to=lambda: BrainKeyError("the service's answer is not base64"),
    ):
        return base64.b64decode(text or "", validate=True)
