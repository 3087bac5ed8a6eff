"""Keystores of 1,000 users, plain and sealed, and BrainKey's arithmetic on our side.

Run as a script; prints a table and writes build/bench-keystore.json. "opened" is a new keystore that
finds one user: what a program pays at its start. "all read" finds all 1,000. The passphrase function
is measured by itself and taken off. The floor beside "all read" is what cannot be avoided: the
files' bytes and one Ed25519 public key from each seed.
"""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from encrypted_parse.crypto import PrivateKey, brainkey
from encrypted_parse.crypto.passphrase import Argon2Parameters, key_from_passphrase
from encrypted_parse.keystore import FileKeystore, KeyService, Passphrase, StoredKey

RESULT = Path(__file__).resolve().parents[2] / "build" / "bench-keystore.json"
USERS = 1_000
ROUNDS = 7
TARGET_OPEN_MS = 50.0
TARGET_BRAINKEY_MS = 150.0
VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "virgil-services.json"


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median of some rounds."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main() -> None:
    """Measure, print, write."""
    passphrase = milliseconds(lambda: key_from_passphrase("p", bytes(16), Argon2Parameters()))
    figures = {"passphrase function": passphrase}
    service = KeyService("none", lambda key, _: key[::-1], lambda data, _: data[::-1])
    with tempfile.TemporaryDirectory() as name:
        for kind, protection in (("plain", None), ("sealed", service)):
            keystore = FileKeystore(Path(name) / kind, "app", protection=protection)
            for number in range(USERS):
                keystore.save(StoredKey(f"user{number}", PrivateKey.generate()))

            def opened(kind: str = kind, protection: KeyService | None = protection) -> None:
                FileKeystore(Path(name) / kind, "app", protection=protection).find("user500")

            def all_read(kind: str = kind, protection: KeyService | None = protection) -> None:
                fresh = FileKeystore(Path(name) / kind, "app", protection=protection)
                for number in range(USERS):
                    fresh.find(f"user{number}")

            figures[f"{kind}: opened"] = milliseconds(opened)
            figures[f"{kind}: all read"] = milliseconds(all_read)
        files = list((Path(name) / "plain").rglob("*.json"))

        def floor() -> None:
            for file in files:
                file.read_bytes()
                Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()

        figures["floor of all read"] = milliseconds(floor)
        protected = FileKeystore(Path(name) / "sealed", "app", protection=service)
        protected.protect(Passphrase("p"))

        def with_passphrase() -> None:
            locked = FileKeystore(Path(name) / "sealed", "app", protection=Passphrase("p"))
            locked.find("user500")

        figures["passphrase: opened, beyond the function"] = max(
            0.0, milliseconds(with_passphrase) - passphrase
        )
    transformed = _transformed()

    def client_side() -> None:
        _, unblinding = brainkey.blind("correct horse battery staple")
        brainkey.key_from_material(brainkey.deblind(transformed, unblinding))

    figures["BrainKey, client's arithmetic"] = milliseconds(client_side)
    for label, figure in figures.items():
        print(f"{label:<42}{figure:>9.2f} ms")
    print(f"targets: opened at most {TARGET_OPEN_MS:.0f} ms, BrainKey {TARGET_BRAINKEY_MS:.0f} ms")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n")


def _transformed() -> bytes:
    """Return an answer of a real service, from the vectors."""
    vectors = json.loads(VECTORS.read_text("utf-8"))
    return base64.b64decode(vectors["brainkey"]["cases"][0]["transformed"])


if __name__ == "__main__":
    main()
