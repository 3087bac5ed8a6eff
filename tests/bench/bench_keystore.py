"""Keystores of 1,000 users, plain and sealed, and BrainKey's arithmetic on our side.

Run as a script; prints a table and writes build/bench-keystore.json. "opened" is a new keystore
that finds one user: what a program pays at its start; with a passphrase, what it pays beyond the
passphrase function, which is timed right before and taken off. "all read" finds all 1,000. The
floor beside it is what cannot be avoided: reading the files, and an Ed25519 public key from each
seed.
"""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from encrypted_parse.crypto import PrivateKey, brainkey
from encrypted_parse.crypto.passphrase import Argon2Parameters, key_from_passphrase
from encrypted_parse.keystore import FileKeystore, KeyService, Passphrase, Protection, StoredKey

RESULT = Path(__file__).resolve().parents[2] / "build" / "bench-keystore.json"
USERS = 1_000
ONE, ALL = ["user500"], [f"user{number}" for number in range(USERS)]
ROUNDS = 7
TARGET_OPEN_MS = 50.0
TARGET_BRAINKEY_MS = 150.0
VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "virgil-services.json"


def once(call: Callable[[], object]) -> float:
    """Return the milliseconds of a call."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median of some rounds."""
    return statistics.median(once(call) for _ in range(ROUNDS))


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as name:
        figures = keystores(Path(name))
    figures["BrainKey, client's arithmetic"] = milliseconds(client_side)
    for label, figure in figures.items():
        print(f"{label:<42}{figure:>9.2f} ms")
    print(f"targets: opened at most {TARGET_OPEN_MS:.0f} ms, BrainKey {TARGET_BRAINKEY_MS:.0f} ms")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n")


def keystores(folder: Path) -> dict[str, float]:
    """Measure keystores of 1,000 users in files."""
    service = KeyService("none", lambda key, _: key[::-1], lambda data, _: data[::-1])
    figures = {}
    for kind, protection in (("plain", None), ("sealed", service)):
        keystore = FileKeystore(folder / kind, "app", protection=protection)
        for number in range(USERS):
            keystore.save(StoredKey(f"user{number}", PrivateKey.generate()))
        figures[f"{kind}: opened"] = milliseconds(partial(read, folder / kind, protection, ONE))
        figures[f"{kind}: all read"] = milliseconds(partial(read, folder / kind, protection, ALL))
    figures["floor of all read"] = milliseconds(partial(floor, folder / "plain"))
    FileKeystore(folder / "sealed", "app", protection=service).protect(Passphrase("p"))
    functions, beyond = [], []
    for _ in range(ROUNDS):
        functions.append(once(lambda: key_from_passphrase("p", bytes(16), Argon2Parameters())))
        beyond.append(once(partial(read, folder / "sealed", Passphrase("p"), ONE)) - functions[-1])
    figures["passphrase function"] = statistics.median(functions)
    figures["passphrase: opened, beyond the function"] = statistics.median(beyond)
    return figures


def read(folder: Path, protection: Protection | None, user_ids: list[str]) -> None:
    """Open a keystore and find users."""
    keystore = FileKeystore(folder, "app", protection=protection)
    for user_id in user_ids:
        keystore.find(user_id)


def floor(folder: Path) -> None:
    """Do what cannot be avoided."""
    for file in folder.rglob("*.json"):
        file.read_bytes()
        Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()


def client_side() -> None:
    """Do the client's half of BrainKey."""
    _, unblinding = brainkey.blind("correct horse battery staple")
    brainkey.key_from_material(brainkey.deblind(_transformed(), unblinding))


def _transformed() -> bytes:
    """Return an answer of a real service, from the vectors."""
    vectors = json.loads(VECTORS.read_text("utf-8"))
    return base64.b64decode(vectors["brainkey"]["cases"][0]["transformed"])


if __name__ == "__main__":
    main()
