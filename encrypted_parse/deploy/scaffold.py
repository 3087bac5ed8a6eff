"""`cloud init`: the companion's files in a project's folder, now and after an update."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from attrs import frozen

from encrypted_parse.companion import cloud_code_folder
from encrypted_parse.deploy.disk import write_whole
from encrypted_parse.deploy.modules import PACKAGE, are_modules, lines_to_add
from encrypted_parse.deploy.record import Record
from encrypted_parse.deploy.release import md5_of
from encrypted_parse.discretion import front_door

_PARTS = ("main.js", "app.js")
_FIELDS = "cloud/encrypted-fields.json"


@front_door
@frozen
class Written:
    """What `write_companion` did; paths are sorted.

    Attributes:
        written: Made, or brought up to date.
        same: There already, as it should be.
        yours: There already with other content, which stays.
        removed: Of an earlier version of the companion, and untouched since.
        to_add: The lines that files of yours need, by path.
    """

    written: tuple[str, ...]
    same: tuple[str, ...]
    yours: tuple[str, ...]
    removed: tuple[str, ...]
    to_add: Mapping[str, tuple[str, ...]]


@front_door
def write_companion(folder: Path, fields: bytes | None = None, *, dry_run: bool = False) -> Written:
    """Write ``cloud/`` into *folder*, which is made if there is none.

    Files of yours are never overwritten: what differs from what an earlier call wrote is yours.
    The exception is *fields*, the content of ``cloud/encrypted-fields.json``, if it is given.
    Where cloud code is ES modules, main.js and app.js are, too.

    With *dry_run*, nothing is changed.

    Raises:
        ConfigurationError: The folder's record, or a package.json, cannot be read.
    """
    record = Record(folder)
    ours = [PurePosixPath(path).name for path in record.written if _is_ours(folder, record, path)]
    modules = are_modules(folder / "cloud", ours)
    content = _companion_files(modules=modules)
    groups: dict[str, list[str]] = {"written": [], "same": [], "yours": [], "removed": []}
    unchanged, files = {}, {}
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
        unchanged[path] = text
    for path, md5 in record.written.items():
        present = _read(folder / path)
        if path not in content and present is not None and md5_of(present) == md5:
            groups["removed"].append(path)
    if fields is not None and _read(folder / _FIELDS) != fields:
        files[_FIELDS] = fields
        groups["written"].append(_FIELDS)
    if not dry_run:
        for path, text in files.items():
            write_whole(folder / path, text)
        for path in groups["removed"]:
            (folder / path).unlink()
        record.remember_written(unchanged)
    guarded = fields is not None or (folder / _FIELDS).exists()
    lines = {
        path: lines_to_add(path.removeprefix("cloud/"), modules=modules, guarded=guarded)
        for path in sorted(groups["yours"])
    }
    return Written(
        **{name: tuple(sorted(paths)) for name, paths in groups.items()},
        to_add={path: text for path, text in lines.items() if text},
    )


def _companion_files(*, modules: bool) -> Mapping[str, bytes]:
    source = cloud_code_folder()
    package = (source / PACKAGE).read_bytes()
    if modules:
        package = package.replace(b'"type": "commonjs"', b'"type": "module"')
    entries = {
        name: (source / name).with_suffix(".mjs" if modules else ".js").read_bytes()
        for name in _PARTS
    }
    # lib/ has a package.json of its own: it is CommonJS beside whatever else.
    library = sorted([*(source / "lib").glob("*.js"), source / "lib" / PACKAGE])
    files = {PACKAGE: package, **entries}
    files |= {path.relative_to(source).as_posix(): path.read_bytes() for path in library}
    return {f"cloud/{name}": content for name, content in files.items()}


def _is_ours(folder: Path, record: Record, path: str) -> bool:
    present = _read(folder / path)
    return present is not None and md5_of(present) == record.written[path]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
