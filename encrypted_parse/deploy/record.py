"""What this folder remembers: which files we wrote into it, and which it has deployed.

One small file, ``.encrypted-parse.json``, to be kept in version control. Without it nothing is
lost: then every file on the server that differs is somebody else's, and is asked about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from encrypted_parse._translating import translating
from encrypted_parse.deploy.disk import write_whole
from encrypted_parse.deploy.release import md5_of
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import ConfigurationError

FILE_NAME = ".encrypted-parse.json"
_VERSION = 1
_KEPT = 20  # past checksums of one file


@front_door
class Record:
    """The record of one folder. Each change is written at once, and whole."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._written: dict[str, str] = {}
        self._deployed: dict[str, dict[str, list[str]]] = {}
        try:
            stored = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return
        except (ValueError, RecursionError):
            stored = None
        with translating(
            TypeError,
            KeyError,
            ValueError,
            AttributeError,
            to=lambda: ConfigurationError(
                f"{self._path} is not a file of this program, or of a newer version",
                hint="restore it from version control, or delete it",
            ),
        ):
            if stored["version"] != _VERSION:
                raise ValueError("version")
            self._written = {str(path): str(md5) for path, md5 in stored["written"].items()}
            self._deployed = {
                str(app): {str(path): [str(md5) for md5 in sums] for path, sums in files.items()}
                for app, files in stored["deployed"].items()
            }

    @property
    def written(self) -> Mapping[str, str]:
        """The MD5 of each file that `write_companion` wrote, by path."""
        return self._written

    def remember_written(self, files: Mapping[str, bytes]) -> None:
        """Replace `written`."""
        self._written = {path: md5_of(content) for path, content in files.items()}
        self._save()

    def deployed(self, application_id: str, path: str) -> frozenset[str]:
        """Return the checksums under which this folder has deployed *path* to that app."""
        return frozenset(self._deployed.get(application_id, {}).get(path, ()))

    def remember_deployed(self, application_id: str, checksums: Mapping[str, str]) -> None:
        """Add what is about to be deployed: should the answer be lost, it is known as ours."""
        files = self._deployed.setdefault(application_id, {})
        for path, md5 in checksums.items():
            earlier = [one for one in files.get(path, []) if one != md5]
            files[path] = [*earlier, md5][-_KEPT:]
        self._save()

    def _save(self) -> None:
        content = {"version": _VERSION, "written": self._written, "deployed": self._deployed}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        write_whole(self._path, text.encode("utf-8"))
