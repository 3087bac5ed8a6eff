"""Keyknox: opaque records with optimistic locking (services document, section 4)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.directory import ServiceClient
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import DetachedEnvelope
from encrypted_parse.errors import MalformedResponseError
from encrypted_parse.transport import HttpResponse, Repeat

MAX_KEYS = 1000  # bounds work on hostile input: each may cost a request
_HASH = "virgil-keyknox-hash"
_PREVIOUS_HASH = "Virgil-Keyknox-Previous-Hash"


@front_door
@frozen
class Place:
    """Where a v2 record is, under its owner."""

    root: str
    path: str
    key: str

    def to_json(self) -> dict[str, str]:
        """Return the members of a request."""
        return {"root": self.root, "path": self.path, "key": self.key}


@frozen
class KeyknoxRecord:
    """What the service keeps for us: ciphertext, or None if there is nothing.

    Attributes:
        envelope: Metadata and ciphertext.
        hash: What a later push has to name.
        identities: The recipients of a v2 record.
    """

    envelope: DetachedEnvelope | None
    hash: str | None
    identities: tuple[str, ...] = ()


@front_door
class KeyknoxClient:
    """One user's records. Nothing is encrypted or decrypted here."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    # --- v1: one record a user ------------------------------------------------------------------

    def pull(self) -> KeyknoxRecord:
        """Return the user's v1 record.

        Raises:
            MalformedResponseError: The answer is not a record.
        """
        return _record(self._service.call("GET", "keyknox/v1", repeat=Repeat.SAFE))

    def push(self, envelope: DetachedEnvelope, previous_hash: str | None) -> KeyknoxRecord:
        """Replace the v1 record that had *previous_hash*.

        Raises:
            DirectoryRefusedError: Code 50010: it has another one by now.
        """
        headers = _previous(previous_hash)
        return _record(self._service.call("PUT", "keyknox/v1", _copy(envelope), headers=headers))

    def reset(self) -> None:
        """Empty the v1 record."""
        self._service.call("POST", "keyknox/v1/reset", {}, repeat=Repeat.SAFE)

    # --- v2: records with recipients --------------------------------------------------------------

    def pull_record(self, place: Place, owner: str) -> KeyknoxRecord:
        """Return the user's copy of *owner*'s record; what is not for us looks like nothing.

        Raises:
            MalformedResponseError: The answer is not a record.
        """
        body = {**place.to_json(), "identity": owner}
        return _record(self._service.call("POST", "keyknox/v2/pull", body, repeat=Repeat.SAFE))

    def push_record(
        self,
        place: Place,
        identities: Sequence[str],
        envelope: DetachedEnvelope,
        previous_hash: str | None,
    ) -> KeyknoxRecord:
        """Give each of *identities* this copy of one's own record; others keep theirs.

        Raises:
            DirectoryRefusedError: Code 50010: the record has another hash by now.
        """
        body = {**place.to_json(), "identities": list(identities), **_copy(envelope)}
        headers = _previous(previous_hash)
        return _record(self._service.call("POST", "keyknox/v2/push", body, headers=headers))

    def reset_records(self, place: Place, recipient: str | None = None) -> None:
        """Delete one's own record at *place*, or only *recipient*'s copy of it."""
        body = place.to_json() | ({} if recipient is None else {"identity": recipient})
        self._service.call("POST", "keyknox/v2/reset", body, repeat=Repeat.SAFE)

    def reset_path(self, root: str, path: str, recipient: str | None = None) -> None:
        """Delete all one's own records below *path*, or only *recipient*'s copies of them."""
        body = {"root": root, "path": path}
        if recipient is not None:
            body["identity"] = recipient
        self._service.call("POST", "keyknox/v2/reset", body, repeat=Repeat.SAFE)

    def list_keys(self, root: str, path: str, owner: str) -> list[str]:
        """Return the keys below *path* of *owner*'s records that we have a copy of.

        Raises:
            MalformedResponseError: The answer is not a list of names, or too long a one.
        """
        body = {"root": root, "path": path, "identity": owner}
        call = self._service.call("POST", "keyknox/v2/keys", body, repeat=Repeat.SAFE)
        keys = call.json()
        if (
            not isinstance(keys, list)
            or len(keys) > MAX_KEYS
            or not all(isinstance(key, str) for key in keys)
        ):
            raise MalformedResponseError(call.named("the service's answer is not a list of names"))
        return keys


def _previous(previous_hash: str | None) -> dict[str, str]:
    return {} if previous_hash is None else {_PREVIOUS_HASH: previous_hash}


def _copy(envelope: DetachedEnvelope) -> dict[str, str]:
    return {
        "meta": base64.b64encode(envelope.metadata).decode("ascii"),
        "value": base64.b64encode(envelope.encrypted_data).decode("ascii"),
    }


def _record(response: HttpResponse) -> KeyknoxRecord:
    body = response.json()
    record_hash = response.headers.get(_HASH)
    if record_hash is not None and not (record_hash.isascii() and record_hash.isprintable()):
        raise MalformedResponseError(response.named("the service's hash is not text"))
    if not isinstance(body, Mapping):
        raise MalformedResponseError(response.named("the service's answer is not a record"))
    meta, value = _bytes(body.get("meta")), _bytes(body.get("value"))
    if bool(meta) != bool(value):
        raise MalformedResponseError("the service's record has half of its parts")
    identities = body.get("identities", [])
    if not isinstance(identities, list) or not all(isinstance(who, str) for who in identities):
        raise MalformedResponseError("the service's answer is not a record")
    envelope = DetachedEnvelope(meta, value) if meta else None
    return KeyknoxRecord(envelope, record_hash, tuple(identities))


def _bytes(text: Any) -> bytes:  # noqa: ANN401 - any JSON
    if not isinstance(text, str):
        raise MalformedResponseError("the service's answer is not a record")
    with translating(
        binascii.Error,
        ValueError,
        to=lambda: MalformedResponseError("the service's record is not base64"),
    ):
        return base64.b64decode(text, validate=True)
