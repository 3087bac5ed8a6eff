"""The BrainKey service: a password and its answer make a key pair (services document, 5)."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import Any

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.brainkey import blind, deblind, key_from_material
from encrypted_parse.directory import ServiceClient
from encrypted_parse.errors import BrainKeyError, DirectoryRefusedError
from encrypted_parse.transport import Repeat

_THROTTLED = 60007
_WAIT_SECONDS = 2.0


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
        body = {"blinded_password": base64.b64encode(blinded).decode("ascii")}
        try:
            answer = self._ask(body)
        except DirectoryRefusedError as error:
            if error.code != _THROTTLED:
                raise
            self._sleep(_WAIT_SECONDS)
            answer = self._ask(body)
        seed = answer.get("seed") if isinstance(answer, dict) else None
        try:
            transformed = base64.b64decode(seed or "", validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise BrainKeyError("the service's answer is not base64") from error
        return key_from_material(deblind(transformed, unblinding))

    def _ask(self, body: dict[str, str]) -> Any:  # noqa: ANN401 - any JSON
        return self._service.call("POST", "pythia/v1/brainkey", body, repeat=Repeat.SAFE).json()
