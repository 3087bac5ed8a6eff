"""Node as a child process: started, waited for, told to stop, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from encrypted_parse.devserver.environment import node_environment
from encrypted_parse.devserver.info import LOG_NAME
from encrypted_parse.devserver.node import Node
from encrypted_parse.devserver.postgres import stop_orphan
from encrypted_parse.errors import DevServerError

SCRIPT = Path(__file__).parent / "node" / "server.mjs"
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
_LOG_TAIL_CHARACTERS = 2000
_PORT_TROUBLE = {"EADDRINUSE": "is in use", "EACCES": "needs more rights than this user has"}


class ServerProcess:
    """Node with our script, working in a data folder that we hold the lock of."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._folder = folder
        descriptor = os.open(folder / LOG_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            self._log_start = os.fstat(descriptor).st_size
            self._process = subprocess.Popen(  # noqa: S603 - node on our own script
                [node.executable, SCRIPT],
                cwd=folder,  # the files adapter writes below it
                env=node_environment(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; Node stops when its pipe ends
            )

    @property
    def process_id(self) -> int:
        """Node's."""
        return self._process.pid

    def start(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Hand over *settings* and return what Node says when everything is ready.

        Raises:
            DevServerError: It failed, or took too long; quotes the end of the log.
        """
        lines: list[bytes] = []
        stdout = self._process.stdout
        reader = threading.Thread(
            target=lambda: lines.append(stdout.readline() if stdout else b""), daemon=True
        )
        reader.start()
        self._say(json.dumps(settings))
        reader.join(START_TIMEOUT_SECONDS)
        answer: dict[str, Any] = {}
        with suppress(IndexError, ValueError):
            answer = json.loads(lines[0])
        if "origin" in answer:
            return answer
        trouble = _PORT_TROUBLE.get(answer.get("failure", ""))
        if trouble is not None:
            raise DevServerError(
                f"port {settings['port']} {trouble}",
                hint="choose another port for the local server; 0 takes a free one",
            )
        raise DevServerError(
            f"the local server did not start; its log ends with:\n{self.log_tail()}",
            hint="the log says why; without a cause there, try a new data folder",
        )

    def log_tail(self) -> str:
        """Return the last lines that this run has logged."""
        with (self._folder / LOG_NAME).open("rb") as log:
            log.seek(self._log_start)
            text = log.read().decode("utf-8", "replace")
        tail = text[-_LOG_TAIL_CHARACTERS:]
        return tail.partition("\n")[2] if len(tail) < len(text) else tail

    def wait(self, timeout_seconds: float | None) -> bool:
        """Wait until Node has ended, and say whether it has."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """End Node and Postgres: in order, or by force if they do not follow."""
        self._say("stop")
        if self._process.stdin is not None:
            with suppress(OSError):  # what could not be written: Node is gone already
                self._process.stdin.close()
        try:
            if not self.wait(STOP_TIMEOUT_SECONDS):
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        finally:
            stop_orphan(self._folder)
        if self._process.stdout is not None:  # not before: a reader may still hold it
            self._process.stdout.close()

    def _say(self, line: str) -> None:
        with suppress(OSError):  # Node has ended; whoever waits for its answer will notice
            if self._process.stdin is not None:
                self._process.stdin.write(line.encode("ascii") + b"\n")
                self._process.stdin.flush()
