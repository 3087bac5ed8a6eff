"""The project's folder: which of its files are deployed, and their content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from encrypted_parse.deploy.release import FOLDERS, MAX_FILES, is_path
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import ConfigurationError, MissingExtraError

IGNORE_FILE = ".parseignore"
MAX_FILE_BYTES = 50 * 1024 * 1024
_ENTRY_POINT = "cloud/main.js"


@front_door
def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below ``cloud/`` and ``public/`` by path.

    Left out are ``node_modules`` (the server installs what package.json names), dot files, what
    editors leave (``*~``, ``#*``, ``*.swp``), and what ``.parseignore`` names, whose syntax is
    that of ``.gitignore``.

    Raises:
        ConfigurationError: There is no ``cloud/main.js``, a link, a name that cannot be
            deployed, or a file that is too large.
    """
    if not (folder / _ENTRY_POINT).is_file():
        raise ConfigurationError(
            f"there is no {_ENTRY_POINT} in {folder}",
            hint="`encrypted-parse cloud init DIR` writes one; name the folder above cloud/",
        )
    ignored = _Ignored(folder)
    files: dict[str, bytes] = {}
    for name in FOLDERS:
        for path in _walk(folder / name):
            relative = path.relative_to(folder).as_posix()
            if ignored(relative):
                continue
            if path.is_symlink():
                raise ConfigurationError(
                    f"{relative} is a link", hint="deploy a copy, or name it in .parseignore"
                )
            if not is_path(relative):
                raise ConfigurationError(f"{relative!r} cannot be deployed", hint="rename it")
            if path.stat().st_size > MAX_FILE_BYTES or len(files) >= MAX_FILES:
                raise ConfigurationError(
                    f"at {relative}, this is too much to deploy",
                    hint=f"at most {MAX_FILES} files of 50 MiB; .parseignore leaves files out",
                )
            files[relative] = path.read_bytes()
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in linked and _is_meant(name))
        for name in sorted([*names, *linked]):
            if _is_meant(name):
                yield Path(parent) / name


def _is_meant(name: str) -> bool:
    left_behind = name.startswith((".", "#")) or name.endswith(("~", ".swp"))
    return not left_behind and name != "node_modules"


class _Ignored:
    """What the file .parseignore names."""

    def __init__(self, folder: Path) -> None:
        try:
            lines = (folder / IGNORE_FILE).read_text("utf-8").splitlines()
        except FileNotFoundError:
            self._spec = None
            return
        try:
            import pathspec  # noqa: PLC0415 - only where there is such a file
        except ImportError:
            raise MissingExtraError("cli", ".parseignore") from None
        self._spec = pathspec.GitIgnoreSpec.from_lines(lines)

    def __call__(self, path: str) -> bool:
        return self._spec is not None and self._spec.match_file(path)
