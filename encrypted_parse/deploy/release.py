"""Releases: which files of cloud code run, as Back4App's deploy protocol says it.

A release **is** its set of files: what a new one does not name is gone. Files are stored one by
one first, each under a version, and a release then names them by version and MD5. (MD5 is the
protocol's, and finds differences; it protects nothing.)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import MalformedResponseError

FOLDERS = ("cloud", "public")
MAX_FILES = 10_000
MAX_PATH_CHARACTERS = 512
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@front_door
@frozen
class StoredFile:
    """A file on the server: what it is, and under which version it is kept."""

    md5: str
    version: str


@front_door
@frozen
class Release:
    """What runs on the server.

    Attributes:
        name: The release's name, such as ``v12``; empty if nothing was ever deployed.
        parse_version: What the server calls its Parse version, to be handed back as it is.
        files: By path (``cloud/main.js``).
    """

    name: str
    parse_version: str | None
    files: Mapping[str, StoredFile]

    @classmethod
    def from_json(cls, answer: Any) -> Release:  # noqa: ANN401 - whatever the server sent
        """Read the answer to ``GET deploy``.

        Raises:
            MalformedResponseError: It is none.
        """
        with translating(
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            to=lambda: MalformedResponseError("the answer is no release of cloud code"),
        ):
            if not isinstance(answer, Mapping):
                raise TypeError
            files = _read_files(answer.get("userFiles") or {}, answer.get("checksums") or {})
            name, parse_version = answer.get("releaseName"), answer.get("parseVersion")
            for text in (name, parse_version):
                if text is not None and not is_plain(text):
                    raise ValueError(text)
        return cls(name or "", parse_version, files)

    def to_json(self) -> dict[str, Any]:
        """Return both maps of ``POST deploy``."""
        maps: dict[str, dict[str, dict[str, str]]] = {"checksums": {}, "userFiles": {}}
        for one in maps.values():
            one.update({folder: {} for folder in FOLDERS})
        for path, stored in sorted(self.files.items()):
            folder, _, name = path.partition("/")
            maps["checksums"][folder][name] = stored.md5
            maps["userFiles"][folder][name] = stored.version
        return dict(maps)


def md5_of(content: bytes) -> str:
    """Return the checksum that the protocol compares files by."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def is_plain(text: Any) -> bool:  # noqa: ANN401 - whatever the server sent
    """Tell whether a server's text can be printed: short, and without control characters."""
    return isinstance(text, str) and len(text) <= MAX_PATH_CHARACTERS and text.isprintable()


def is_path(path: str) -> bool:
    """Tell whether a path stays where it belongs, and can be printed."""
    folder, _, name = path.partition("/")
    parts = name.split("/")
    inside = all(part not in {"", ".", ".."} for part in parts)
    return folder in FOLDERS and inside and is_plain(path) and "\\" not in path and ":" not in path


def _read_files(
    versions: Mapping[str, Mapping[str, Any]], checksums: Mapping[str, Mapping[str, Any]]
) -> dict[str, StoredFile]:
    files = {}
    for folder in FOLDERS:
        for name, version in (versions.get(folder) or {}).items():
            path, md5, text = f"{folder}/{name}", checksums[folder][name], str(version)
            if not (is_path(path) and _MD5.fullmatch(md5) and _VERSION.fullmatch(text)):
                raise ValueError(path)
            files[path] = StoredFile(md5, text)
    if len(files) > MAX_FILES or set(versions) - set(FOLDERS):
        raise ValueError("files")
    return files
