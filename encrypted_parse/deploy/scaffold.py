"""`cloud init`: the companion's files in a project's folder, now and after an update."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from encrypted_parse.companion import cloud_code_folder
from encrypted_parse.deploy.disk import write_whole
from encrypted_parse.deploy.record import Record
from encrypted_parse.deploy.release import md5_of
from encrypted_parse.discretion import front_door

_PARTS = ("main.js", "app.js", "package.json")


@front_door
@frozen
class Written:
    """What `write_companion` did; paths are sorted.

    Attributes:
        written: Made, or brought up to date.
        same: There already, as it should be.
        yours: There already with other content, which stays.
        removed: Of an earlier version of the companion, and untouched since.
    """

    written: tuple[str, ...]
    same: tuple[str, ...]
    yours: tuple[str, ...]
    removed: tuple[str, ...]


@front_door
def write_companion(folder: Path, fields: bytes | None = None, *, dry_run: bool = False) -> Written:
    """Write ``cloud/`` into *folder*, which is made if there is none.

    Files of yours are never overwritten: what differs from what an earlier call wrote is yours.
    The exception is *fields*, the content of ``cloud/encrypted-fields.json``, if it is given.

    With *dry_run*, nothing is changed.

    Raises:
        ConfigurationError: The folder's record cannot be read.
    """
    record = Record(folder)
    content = _companion_files()
    groups: dict[str, list[str]] = {"written": [], "same": [], "yours": [], "removed": []}
    ours, files = {}, {}
    for path, text in content.items():
        present = _read(folder / path)
        if present == text:
            group = "same"
        elif present is None or record.written.get(path) == md5_of(present):
            files[path] = text
            group = "written"
        else:
            groups["yours"].append(path)
            continue
        groups[group].append(path)
        ours[path] = text
    for path, md5 in record.written.items():
        present = _read(folder / path)
        if path not in content and present is not None and md5_of(present) == md5:
            groups["removed"].append(path)
    if fields is not None and _read(folder / "cloud/encrypted-fields.json") != fields:
        files["cloud/encrypted-fields.json"] = fields
        groups["written"].append("cloud/encrypted-fields.json")
    if not dry_run:
        for path, text in files.items():
            write_whole(folder / path, text)
        for path in groups["removed"]:
            (folder / path).unlink()
        record.remember_written(ours)
    return Written(**{name: tuple(sorted(paths)) for name, paths in groups.items()})


def _companion_files() -> Mapping[str, bytes]:
    source = cloud_code_folder()
    paths = [source / name for name in _PARTS]
    paths += sorted((source / "lib").glob("*.js"))
    return {f"cloud/{path.relative_to(source).as_posix()}": path.read_bytes() for path in paths}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
