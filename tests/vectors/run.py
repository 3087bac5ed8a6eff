"""Runs any file of test vectors in the shape of e3kit-crypto.json: `make vectors FILE=path`.

Prints `N passed, M failed` and the name and reason of each that failed. Exit status 1 if any
failed or none ran, 2 if there is no such file. A vector of an unknown kind fails: what is not
checked is not passed.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.envelope import Header
from encrypted_parse.errors import EncryptedParseError

Vector = Mapping[str, Any]
MAX_FILE_BYTES = 256 * 1024 * 1024


class VectorFailedError(Exception):
    """The package does something else than the vector says."""


class Runner:
    """The keys of one file, and what to do with each kind of vector."""

    def __init__(self, document: Vector) -> None:
        self._keys: Vector = document.get("keys", {})
        self._vectors: list[Vector] = document["vectors"]

    def run(self) -> Iterator[tuple[str, str | None]]:
        """Yield each vector's name with None, or with the reason why it failed."""
        for index, vector in enumerate(self._vectors):
            name = str(vector.get("name", f"vector {index}"))
            try:
                self.check(vector)
            except VectorFailedError as error:
                yield name, str(error)
            except EncryptedParseError as error:
                yield name, f"{type(error).__name__}: {error}"
            except (KeyError, TypeError, ValueError) as error:
                yield name, f"not a vector of this kind: {type(error).__name__} {error}"
            else:
                yield name, None

    def check(self, vector: Vector) -> None:
        """Do what *vector* describes.

        Raises:
            VectorFailedError: Another result than it says.
        """
        check: Callable[[Vector], None] | None
        check = getattr(self, f"_check_{vector['kind']}", None)
        if check is None:
            raise VectorFailedError(f"unknown kind {vector['kind']!r}")
        check(vector)

    # --- keys -------------------------------------------------------------------------------

    def _private(self, name: str) -> vc.PrivateKey:
        return vc.import_private_key(self._keys[name]["private_key"])

    def _public(self, name: str) -> vc.PublicKey:
        return vc.import_public_key(self._keys[name]["public_key"])

    # --- hashes, signatures, cards ----------------------------------------------------------

    def _check_hash(self, vector: Vector) -> None:
        digest = vc.calculate_hash(_bytes(vector["data"]), vector["algorithm"].lower())
        _expect("digest", digest.hex(), vector["digest_hex"])

    def _check_signature(self, vector: Vector) -> None:
        data, signature = _bytes(vector["data"]), _bytes(vector["signature"])
        vc.verify(data, signature, self._public(vector["signer"]))
        if vector["deterministic"]:
            _expect("signature", vc.sign(data, self._private(vector["signer"])), signature)

    def _check_card(self, vector: Vector) -> None:
        snapshot = _bytes(vector["raw_card"]["content_snapshot"])
        _expect("card id", vc.card_id(snapshot), vector["card_id"])
        public_key = vc.import_public_key(json.loads(snapshot)["public_key"])
        _expect("public key", public_key, self._public(vector["signer"]))
        (own,) = [s for s in vector["raw_card"]["signatures"] if s["signer"] == "self"]
        vc.verify(snapshot, _bytes(own["signature"]), public_key)

    # --- messages ---------------------------------------------------------------------------

    def _check_encrypt(self, vector: Vector) -> None:
        for reader in self._readers(vector):
            opened = vc.decrypt(_bytes(vector["message"]), reader)
            _expect("plaintext", opened, _bytes(vector["plaintext"]))
        self._check_streams(vector)

    def _check_sign_then_encrypt(self, vector: Vector) -> None:
        author = self._public(vector["signer"])
        for reader in self._readers(vector):
            opened = vc.decrypt_then_verify(_bytes(vector["message"]), reader, author)
            _expect("plaintext", opened, _bytes(vector["plaintext"]))
        self._check_streams(vector)

    _check_stream_encrypt = _check_sign_then_encrypt
    _check_e3kit_encrypt = _check_sign_then_encrypt

    def _check_sign_then_encrypt_detached(self, vector: Vector) -> None:
        metadata, body = _bytes(vector["metadata"]), _bytes(vector["encrypted_data"])
        author = self._public(vector["signer"])
        for name in vector["recipients"]:
            opened = vc.decrypt_then_verify_detached(body, metadata, self._private(name), author)
            _expect("plaintext", opened, _bytes(vector["plaintext"]))
        _expect("header", Header.from_bytes(metadata).to_bytes(), metadata)

    def _check_sign_and_encrypt(self, vector: Vector) -> None:
        author = self._public(vector["signer"])
        for reader in self._readers(vector):
            opened = vc.decrypt_and_verify(_bytes(vector["message"]), reader, author)
            _expect("plaintext", opened, _bytes(vector["plaintext"]))
        self._check_streams(vector)

    _check_stream_sign_and_encrypt = _check_sign_and_encrypt
    _check_e3kit_auth_encrypt = _check_sign_and_encrypt

    def _readers(self, vector: Vector) -> list[vc.PrivateKey]:
        """Return the recipients, after a look at the header that names them."""
        message = _bytes(vector["message"])
        header = Header.from_bytes(message)
        _expect("header", header.to_bytes(), message[: header.length])
        _expect("padding", header.padded, vector.get("padding", False))
        if not vector["recipients"]:
            raise VectorFailedError("names no recipient")
        return [self._private(name) for name in vector["recipients"]]

    def _check_streams(self, vector: Vector) -> None:
        """Read the message as a stream too."""
        reader = self._private(vector["recipients"][0])
        source, target = io.BytesIO(_bytes(vector["message"])), io.BytesIO()
        form = Header.from_bytes(source.getvalue()).form.name
        if form == "PLAIN":
            vc.decrypt_file(source, target, identities=[reader])
        else:
            signers = [self._public(vector["signer"])]
            read = {
                "SIGN_THEN_ENCRYPT": vc.decrypt_then_verify_file,
                "SIGN_AND_ENCRYPT": vc.decrypt_and_verify_file,
            }[form]
            read(source, target, identities=[reader], signers=signers)
        _expect("plaintext of the stream", target.getvalue(), _bytes(vector["plaintext"]))

    # --- groups -----------------------------------------------------------------------------

    def _check_group_session(self, vector: Vector) -> None:
        tickets = [_bytes(ticket) for ticket in vector["tickets"]]
        session = vc.import_group_session(tickets)
        _expect("session id", session.session_id.hex(), vector["session_id"])
        _expect("session id", vc.group_session_id(_bytes(vector["group_id"])), session.session_id)
        _expect("tickets", session.to_tickets(), tickets)
        for ticket, epoch in zip(tickets, vector["epochs"], strict=True):
            parsed = vc.GroupTicket.from_bytes(ticket)
            _expect("epoch", (parsed.epoch, parsed.key.hex()), (epoch["epoch"], epoch["key_hex"]))

    def _check_group_message(self, vector: Vector) -> None:
        session = self._session_of(vector["session_id"])
        signer = self._public(vector["signer"])
        opened = session.decrypt(_bytes(vector["message"]), signer)
        _expect("plaintext", opened, _bytes(vector["plaintext"]))

    def _session_of(self, session_id: str) -> vc.GroupSession:
        for vector in self._vectors:
            if vector["kind"] == "group_session" and vector["session_id"] == session_id:
                return vc.import_group_session([_bytes(ticket) for ticket in vector["tickets"]])
        raise VectorFailedError("the file has no group session with this id")

    # --- what must be refused ---------------------------------------------------------------

    def _check_reject(self, vector: Vector) -> None:
        operation = vector["operation"]
        attempt: Callable[[Vector], object] | None
        attempt = getattr(self, f"_attempt_{operation}", None)
        if attempt is None:
            raise VectorFailedError(f"unknown operation {operation!r}")
        try:
            attempt(vector)
        except EncryptedParseError:
            return
        raise VectorFailedError(f"accepted, although: {vector.get('reason', 'it is wrong')}")

    def _attempt_decrypt_and_verify(self, vector: Vector) -> bytes:
        return vc.decrypt_and_verify(*_reading(vector))

    def _attempt_decrypt_then_verify(self, vector: Vector) -> bytes:
        return vc.decrypt_then_verify(*_reading(vector))

    def _attempt_group_decrypt(self, vector: Vector) -> bytes:
        session = vc.import_group_session([_bytes(ticket) for ticket in vector["tickets"]])
        message = _bytes(vector["message"])
        return session.decrypt(message, vc.import_public_key(vector["public_key"]))

    def _attempt_import_private_key(self, vector: Vector) -> vc.PrivateKey:
        return vc.import_private_key(vector["private_key"])


def _reading(vector: Vector) -> tuple[bytes, vc.PrivateKey, list[vc.PublicKey]]:
    signers = [vc.import_public_key(text) for text in vector["signer_public_keys"]]
    return _bytes(vector["message"]), vc.import_private_key(vector["private_key"]), signers


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise VectorFailedError(f"another {what} than the vector's")


def main(arguments: list[str]) -> int:
    """Run the file that is named, print the outcome, return the exit status."""
    if len(arguments) != 1:
        print("usage: make vectors FILE=path/to/vectors.json", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("too long")
        document = json.loads(path.read_text("utf-8"))
        outcomes = list(Runner(document).run())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "not a file of test vectors"
        print(f"error: {path}: {reason}", file=sys.stderr)
        return 2
    failed = [(name, reason) for name, reason in outcomes if reason is not None]
    for name, reason in failed:
        print(f"FAILED {name}: {reason}")
    print(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
