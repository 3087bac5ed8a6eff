"""A file of 256 MiB from disk to disk, beside npm's stream classes, and a page of 1,000 messages.

Run as a script; prints the figures and writes build/bench-files.json. Both sides read and write the
same folder, wait until the disk has the file, and take turns. npm reads slices of 64 KiB, as E3Kit
does. Before each turn the other's output is removed, and a scratch file of that size is written
and removed: what is measured would otherwise be how a virtual machine gets memory back from its
host. Peak memory is that of a fresh process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from npm_peer import NpmPeer

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.errors import MissingExtraError

RESULT = Path(__file__).resolve().parents[2] / "build" / "bench-files.json"
MEBIBYTES = 256
ROUNDS = 5
FILE_TARGET = 8.0
MEMORY_TARGET_MEBIBYTES = 96
PAGE = 1000
PAGE_ROUNDS = 5
THREADS_TARGET = 1.5

ALICE, BOB = vc.generate_key_pair(), vc.generate_key_pair()
PEAK = """
import sys
from encrypted_parse import virgil_crypto as vc
key = vc.import_private_key(sys.argv[1])
source, sealed, opened = sys.argv[2:]
vc.sign_and_encrypt_file(source, sealed, signer=key, recipients=[key.public_key])
vc.decrypt_and_verify_file(sealed, opened, identities=[key], signers=[key.public_key])
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _files(folder: Path, npm: NpmPeer) -> list[dict[str, object]]:
    source, sealed, opened = (folder / name for name in ("source", "sealed", "opened"))
    with source.open("wb") as file:
        for _ in range(MEBIBYTES):
            file.write(os.urandom(2**20))
    signer, recipients = ALICE.private_key, [BOB.public_key]
    question = {"source": str(source), "target": str(folder / "npm-sealed")}
    question |= {"signer": signer.to_bytes(), "recipients": [BOB.public_key.to_bytes()]}
    answer = {"source": str(sealed), "target": str(folder / "npm-opened")}
    answer |= {"identity": BOB.private_key.to_bytes(), "signers": [ALICE.public_key.to_bytes()]}
    times: dict[str, dict[str, list[float]]] = {
        "encrypt a file": {"ours": [], "npm": []},
        "decrypt a file": {"ours": [], "npm": []},
    }

    def clear(*paths: Path) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
        scratch = folder / "scratch"
        with scratch.open("wb") as file:
            for _ in range(MEBIBYTES):
                file.write(bytes(2**20))
        os.sync()
        scratch.unlink()

    for _ in range(ROUNDS):
        clear(sealed, opened)
        write, read = times["encrypt a file"], times["decrypt a file"]
        write["ours"].append(
            _seconds(
                lambda: vc.sign_and_encrypt_file(
                    source, sealed, signer=signer, recipients=recipients
                )
            )
        )
        clear()
        write["npm"].append(npm.ask("time_encrypt_file", **question)[0] / 1000)
        clear(folder / "npm-sealed")
        read["ours"].append(
            _seconds(
                lambda: vc.decrypt_and_verify_file(
                    sealed, opened, identities=[BOB.private_key], signers=[ALICE.public_key]
                )
            )
        )
        clear(opened)
        read["npm"].append(npm.ask("time_decrypt_file", **answer)[0] / 1000)
        clear(folder / "npm-opened")
    rows: list[dict[str, object]] = []
    for name, both in times.items():
        ours, theirs = statistics.median(both["ours"]), statistics.median(both["npm"])
        rows.append({"operation": name, "ours": ours, "npm": theirs, "ratio": theirs / ours})
        print(f"{name}, {MEBIBYTES} MiB: ours {ours:.2f} s, npm {theirs:.2f} s, ", end="")
        print(f"{theirs / ours:.1f}x (target {FILE_TARGET:.0f}x)", flush=True)
    return rows


def _peak(folder: Path) -> float:
    paths = [folder / name for name in ("source", "own-sealed", "own-opened")]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, ALICE.private_key.to_base64(), *map(str, paths)],
        capture_output=True,
        check=True,
        text=True,
    )
    mebibytes = int(done.stdout) / 1024
    print(f"peak memory of that, both ways: {mebibytes:.0f} MiB ", end="")
    print(f"(target under {MEMORY_TARGET_MEBIBYTES} MiB)", flush=True)
    return mebibytes


def _page() -> dict[str, float]:
    """Decrypt a page of messages with one thread and with two."""
    page = [
        vc.sign_and_encrypt(b"k" * 1024, ALICE.private_key, BOB.public_key, enable_padding=True)
        for _ in range(PAGE)
    ]

    def read(messages: list[bytes]) -> None:
        opened = vc.decrypt_and_verify_all(messages, BOB.private_key, ALICE.public_key)
        assert all(isinstance(plaintext, bytes) for plaintext in opened)

    halves = [page[: PAGE // 2], page[PAGE // 2 :]]
    times: dict[str, list[float]] = {"one": [], "two": []}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(PAGE_ROUNDS):
            times["one"].append(_seconds(lambda: read(page)))
            times["two"].append(_seconds(lambda: list(pool.map(read, halves))))
    one, two = (statistics.median(values) for values in times.values())
    print(f"{PAGE} messages of 1 KiB decrypted: one thread {one:.3f} s, two {two:.3f} s, ", end="")
    print(f"{one / two:.2f}x (target {THREADS_TARGET}x)")
    if one / two < THREADS_TARGET:
        print(
            "below the target: only Ed25519 verification, half of a message's time, runs outside "
            "the interpreter's lock. X25519 and the rest hold it a little longer than that, so "
            "each thread has to wait, and to be woken, once a message."
        )
    return {"one": one, "two": two, "ratio": one / two}


def main() -> int:
    """Measure, print, write; tell whether there was a Node to compare with."""
    try:
        npm = NpmPeer()
    except MissingExtraError as error:
        print(f"bench_files: {error}; {error.hint}", file=sys.stderr)
        return 1
    RESULT.parent.mkdir(exist_ok=True)
    with npm, tempfile.TemporaryDirectory(dir=RESULT.parent) as name:
        content = {"files": _files(Path(name), npm), "peak_mebibytes": _peak(Path(name))}
    RESULT.write_text(json.dumps({**content, "page": _page()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
