"""npm packages in one long-running Node process, as a peer to talk to.

`NpmPeer()` is `virgil-crypto` 5.1.2; `NpmPeer(E3KIT)` is an unmodified E3Kit 2.5.1.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from encrypted_parse.devserver.locks import locked_file
from encrypted_parse.devserver.node import Node, find_node

TESTS = Path(__file__).parent
VIRGIL_CRYPTO = TESTS / "interop" / "virgil_crypto.mjs"
E3KIT = TESTS / "e3kit" / "peer.cjs"
QUIET = ("--no-audit", "--no-fund")
ANSWER_TIMEOUT_SECONDS = 60.0
INSTALL_TIMEOUT_SECONDS = 300.0
STOP_TIMEOUT_SECONDS = 10.0


class PeerRefusedError(Exception):
    """The npm package threw; carries its message."""


def install(node: Node, folder: Path) -> None:
    """Bring the folder's `node_modules` in line with its lock file, unless it is already."""
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".installed-lock"
    lock = TESTS.parent / "build" / f"{folder.name}.lock"
    lock.parent.mkdir(exist_ok=True)
    with locked_file(
        lock,
        busy="another process installs the npm packages",
        hint="wait for it",
        timeout_seconds=INSTALL_TIMEOUT_SECONDS,
    ):
        if stamp.is_file() and stamp.read_text("ascii") == wanted:
            return
        # The peers that are left out belong to a build tool, which nothing loads at run time.
        done = subprocess.run(
            [node.executable, node.npm_script, "ci", "--ignore-scripts", "--omit=peer", *QUIET],
            cwd=folder,
            capture_output=True,
            check=False,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm ci failed:\n{done.stderr}")
        stamp.write_text(wanted, "ascii")


class NpmPeer:
    """A context: Node runs inside it, and never after it."""

    def __init__(self, script: Path = VIRGIL_CRYPTO) -> None:
        node = find_node()
        install(node, script.parent)
        self._process = subprocess.Popen(
            [node.executable, script],
            cwd=script.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End Node: its input ends, and if that is not enough it is killed."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it may have ended already
                self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def ask(self, operation: str, **arguments: object) -> Any:
        """Call *operation* of the script and return its answer.

        Raises:
            PeerRefusedError: The npm package threw.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("no pipes")
        watchdog = threading.Timer(ANSWER_TIMEOUT_SECONDS, self._process.kill)
        watchdog.start()
        try:
            question = {name: _plain(value) for name, value in arguments.items()}
            with contextlib.suppress(BrokenPipeError):  # said below
                self._process.stdin.write(json.dumps({"operation": operation, **question}) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise RuntimeError("Node ended without an answer")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerRefusedError(answer["error"])
        return answer["result"]

    def ask_bytes(self, operation: str, **arguments: object) -> bytes:
        """Return the bytes that *operation* answers with."""
        return base64.b64decode(self.ask(operation, **arguments), validate=True)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
