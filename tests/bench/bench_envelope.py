"""Envelopes of 1 KiB: this package beside npm `virgil-crypto` 5.1.2 and beside its own floor.

Run as a script; prints a table and writes build/bench-envelope.json. Both sides import their keys
before the clock starts and take turns, round by round, so that a busy machine slows both alike.

The floor is what no implementation of the format on the same library can avoid: one X25519
exchange per recipient (one in all for a reader), one Ed25519 signature or verification, one
ephemeral key for the writer (Ed25519 from a seed, and its X25519 image), SHA-512 of the plaintext,
AES-256-GCM of body and footer. KDF2, HMAC and AES-CBC of the stanzas, HKDF, DER and all Python in
between count as overhead. Keys are warm: the X25519 image of a public key is computed on its first
use, about 0.02 ms, and kept; that first use is not in the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512, Hash

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from npm_peer import NpmPeer

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.envelope import decrypt_and_verify, sign_and_encrypt
from encrypted_parse.errors import MissingExtraError

RESULT = Path(__file__).resolve().parents[2] / "build" / "bench-envelope.json"
PLAINTEXT = b"k" * 1024
PADDED_BYTES = 1120  # seven frames of 160
FOOTER_BYTES = 97
RECIPIENT_COUNTS = (1, 10, 100)
ROUNDS = 15
ROUND_MILLISECONDS = 40.0  # of our own work, in each round
MOST_CALLS = 60
MOST_NPM_CALLS = {1: 20, 10: 10, 100: 2}  # npm sorts recipients by selection

Call = Callable[[], object]


def _milliseconds(call: Call, calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times


def _calls_per_round(call: Call) -> int:
    once = statistics.median(_milliseconds(call, 3))
    return max(2, min(MOST_CALLS, int(ROUND_MILLISECONDS / once)))


def _write_floor(count: int) -> Call:
    peers = [X25519PrivateKey.generate().public_key() for _ in range(count)]
    signer, cipher = Ed25519PrivateKey.generate(), AESGCM(os.urandom(32))
    nonce, data, footer = os.urandom(12), os.urandom(PADDED_BYTES), os.urandom(FOOTER_BYTES)

    def run() -> None:
        seed = os.urandom(32)
        Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        ephemeral = X25519PrivateKey.from_private_bytes(seed)
        for peer in peers:
            ephemeral.exchange(peer)
        signer.sign(_sha512(PLAINTEXT))
        cipher.encrypt(nonce, data, None)
        cipher.encrypt(nonce, footer, None)

    return run


def _read_floor() -> Call:
    peer = X25519PrivateKey.generate().public_key()
    reader, signer = X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    signature, verifier = signer.sign(_sha512(PLAINTEXT)), signer.public_key()
    cipher, nonce = AESGCM(os.urandom(32)), os.urandom(12)
    body = cipher.encrypt(nonce, os.urandom(PADDED_BYTES), None)
    footer = cipher.encrypt(nonce, os.urandom(FOOTER_BYTES), None)

    def run() -> None:
        reader.exchange(peer)
        cipher.decrypt(nonce, body, None)
        cipher.decrypt(nonce, footer, None)
        verifier.verify(signature, _sha512(PLAINTEXT))

    return run


def _sha512(data: bytes) -> bytes:
    digest = Hash(SHA512())
    digest.update(data)
    return digest.finalize()


def _compare(npm: NpmPeer, operation: str, count: int) -> dict[str, object]:
    author = PrivateKey.generate()
    readers = [PrivateKey.generate() for _ in range(count)]
    recipients = [reader.public_key for reader in readers]
    envelope = sign_and_encrypt(PLAINTEXT, signer=author, recipients=recipients)
    reader = readers[count // 2]

    def write() -> object:
        return sign_and_encrypt(PLAINTEXT, signer=author, recipients=recipients)

    def read() -> object:
        return decrypt_and_verify(envelope, identities=[reader], signers=[author.public_key])

    if operation == "sign_and_encrypt":
        ours, floor = write, _write_floor(count)
        question = {
            "data": PLAINTEXT,
            "signer": author.to_bytes(),
            "recipients": [key.to_bytes() for key in recipients],
        }
    else:
        ours, floor = read, _read_floor()
        question = {
            "message": envelope,
            "identity": reader.to_bytes(),
            "signers": [author.public_key.to_bytes()],
        }
    calls = _calls_per_round(ours)
    npm_calls = min(calls, MOST_NPM_CALLS[count])
    floor()
    npm.ask(f"time_{operation}", rounds=npm_calls, **question)  # warms the WebAssembly module up
    times: dict[str, list[float]] = {"ours": [], "npm": [], "floor": []}
    for _ in range(ROUNDS):
        times["ours"] += _milliseconds(ours, calls)
        times["floor"] += _milliseconds(floor, calls)
        times["npm"] += npm.ask(f"time_{operation}", rounds=npm_calls, **question)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "operation": operation,
        "recipients": count,
        "milliseconds": medians,
        "samples": {name: len(values) for name, values in times.items()},
        "npm_over_ours": medians["npm"] / medians["ours"],
        "overhead_percent": 100 * (medians["ours"] / medians["floor"] - 1),
    }


def main() -> int:
    """Measure, print, write; tell whether there was a Node to compare with."""
    try:
        npm = NpmPeer()
    except MissingExtraError as error:
        print(f"bench_envelope: {error}; {error.hint}", file=sys.stderr)
        return 1
    started = time.perf_counter()
    print(f"{'1 KiB, padded':<20}{'recipients':>10}{'ours ms':>10}{'npm ms':>10}", end="")
    print(f"{'npm/ours':>10}{'floor ms':>10}{'overhead':>10}")
    rows = []
    with npm:
        for operation in ("sign_and_encrypt", "decrypt_and_verify"):
            for count in RECIPIENT_COUNTS:
                row = _compare(npm, operation, count)
                rows.append(row)
                ms = row["milliseconds"]
                print(f"{operation:<20}{count:>10}{ms['ours']:>10.3f}{ms['npm']:>10.3f}", end="")
                print(f"{row['npm_over_ours']:>9.1f}x{ms['floor']:>10.3f}", end="")
                print(f"{row['overhead_percent']:>9.0f}%", flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"plaintext_bytes": len(PLAINTEXT), "rows": rows}, indent=2))
    print(f"medians of {ROUNDS} interleaved rounds, {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
