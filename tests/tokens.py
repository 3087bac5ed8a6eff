"""Tokens for any identity, signed with the local server's own API key: for attacks and load."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from typing import Any

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.devserver import DevServer
from encrypted_parse.directory import new_card


def _part(content: Any) -> str:
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(encoded).rstrip(b"=").decode()


class TokenIssuer:
    """What the cloud function `virgil-jwt` does, without a user."""

    def __init__(self, server: DevServer) -> None:
        secrets = json.loads((server.data_dir / "secrets.json").read_text("utf-8"))
        self.key = vc.import_private_key(secrets["virgil_app_key"])
        self._key_id = secrets["virgil_app_key_id"]
        self._app_id = secrets["virgil_app_id"]

    def issue(
        self,
        identity: str,
        *,
        key: vc.PrivateKey | None = None,
        header: dict[str, Any] | None = None,
        payload: dict[str, Any] | None = None,
    ) -> str:
        """Return a token; the keywords replace what is right by something else."""
        now = int(time.time())
        head = {"alg": "VEDS512", "kid": self._key_id, "typ": "JWT", "cty": "virgil-jwt;v=1"}
        body = {
            "iss": f"virgil-{self._app_id}",
            "sub": f"identity-{identity}",
            "iat": now,
            "exp": now + 1200,
        }
        text = f"{_part({**head, **(header or {})})}.{_part({**body, **(payload or {})})}"
        return f"{text}.{_part(vc.sign(text.encode(), key or self.key))}"


def raw_card(
    identity: str,
    key: vc.PrivateKey | None = None,
    *,
    previous: str | None = None,
    created_at: float | None = None,
) -> dict[str, Any]:
    """Return a raw card, self-signed."""
    moment = dt.datetime.fromtimestamp(created_at or time.time(), dt.UTC)
    own = key or vc.generate_key_pair().private_key
    return dict(new_card(identity, own, moment, previous_card_id=previous))


def card_id(raw: dict[str, Any]) -> str:
    """Return a raw card's id."""
    return vc.card_id(base64.b64decode(raw["content_snapshot"]))
