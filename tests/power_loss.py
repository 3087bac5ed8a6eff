"""Power that goes at a chosen moment: a process that ends before or after its n-th system call.

Run as a program, `power_loss.py FOLDER VERB`, it makes a keystore in FOLDER/0, FOLDER/1 and so
on, and in each does the same thing in a child that ends half a call later than the one before;
the last is the one that comes to its end. No `finally` runs in a child, as none does without power.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.keystore import FileKeystore, KeyService, StoredKey

CALLS = ("open", "fdopen", "fsync", "replace", "unlink", "close")
POWER_LOSS = 9
KEYS = [PrivateKey(KeyType.ED25519, bytes([number]) * 32) for number in range(1, 5)]
ALICE, BOB = StoredKey("alice", KEYS[0]), StoredKey("bob", KEYS[1])
AFTER = ALICE.with_next(KEYS[2])


def quick(name: str = "p") -> KeyService:
    """Return a protection that costs nothing, and protects nothing."""
    mask = name.encode().ljust(32, b"U")

    def swap(data: bytes, _: bytes) -> bytes:
        return bytes(one ^ other for one, other in zip(data, mask, strict=True))

    return KeyService("quick", swap, swap)


BEFORE = {
    "save": None,
    "sealed save": quick(),
    "protect": None,
    "change": quick(),
    "unprotect": quick(),
}
GOALS = BEFORE | {"protect": quick(), "change": quick("new"), "unprotect": None}


def act(keystore: FileKeystore, verb: str) -> None:
    """Do what *verb* says; the same call again finishes what was cut short."""
    goal = GOALS[verb]
    if verb in {"save", "sealed save"}:
        keystore.save(AFTER, replacing=keystore.find("alice"))
    elif goal is None:
        keystore.unprotect()
    else:
        keystore.protect(goal)


def end_at(half: int) -> None:
    """End this process before (even) or after (odd) its call number half // 2 from now."""
    calls = count()

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            this = next(calls) == half // 2
            if this and half % 2 == 0:
                os._exit(POWER_LOSS)
            try:
                return real(*arguments, **options)
            finally:
                if this:
                    os._exit(POWER_LOSS)

        return call

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))


def main(folder: Path, verb: str) -> None:
    """Make one keystore for every moment of *verb*."""
    for half in count():
        keystore = FileKeystore(folder / str(half), "app", protection=BEFORE[verb])
        keystore.save(ALICE)
        keystore.save(BOB)
        child = os.fork()
        if child == 0:
            end_at(half)
            act(keystore, verb)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != POWER_LOSS:
            sys.exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
