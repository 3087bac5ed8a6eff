"""Who could change what rests on this machine's disk: modes and owners, on the way to it as well.

Whoever may write a folder may exchange what is in it, and so on upwards. A path is therefore
looked at from the root on, links included. Nothing is repaired: it may be too late for that.

On Windows nothing is looked at: its access lists have no place in modes and owners. What a user
makes below the own profile is closed to others there by what it inherits.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from encrypted_parse.errors import EncryptedParseError

Refusal = type[EncryptedParseError]  # the error of whoever asks

PRIVATE_FOLDER = 0o700
OTHERS = stat.S_IRWXG | stat.S_IRWXO
_ROOT = 0
_MAX_LINKS = 40  # as Linux follows
_POSIX = os.name == "posix"


def make_private_folder(folder: Path, refusal: Refusal, *, mode: int = PRIVATE_FOLDER) -> None:
    """Make *folder* and what is missing above it, each with *mode*, whatever the umask is.

    Raises:
        EncryptedParseError: *refusal*: others could exchange what is there on the way to it.
        OSError: It cannot be made.
    """
    require_safe_way(folder, refusal)
    make_folder(folder, mode)


def make_folder(folder: Path, mode: int) -> None:
    """Make *folder* and what is missing above it, each with *mode*, whatever the umask is.

    Raises:
        OSError: It cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        try:
            place.mkdir(mode)
        except FileExistsError:  # another program was faster, or it is no folder
            if not place.is_dir():
                raise
        else:
            place.chmod(mode)  # a umask takes bits away


def require_safe_way(path: Path, refusal: Refusal) -> None:
    """Let nobody but this user and root be able to exchange *path*, or a folder or link before it.

    A sticky folder such as /tmp is good for passing through: others can add names to it, and
    exchange none. A group that is this user's alone counts as the user.

    Raises:
        EncryptedParseError: *refusal*: somebody else is able to.
        OSError: It cannot be looked at.
    """
    if not _POSIX:
        return
    trusted = (_ROOT, os.geteuid())
    for place, status in _steps(path):
        if status.st_uid not in trusted:
            raise refusal(
                f"{place} belongs to another user of this machine, who can exchange {path}",
                hint="choose a place below folders of your own",
            )
        if others_write(status) and not status.st_mode & stat.S_ISVTX:
            raise refusal(
                f"{place} has mode {stat.S_IMODE(status.st_mode):04o}: others can exchange {path}",
                hint="if nobody did, `chmod go-w` the folder; else choose another place",
            )


def require_own(
    path: Path, status: os.stat_result, refusal: Refusal, *, forbidden: int, hint: str
) -> None:
    """Let *path* be this user's, with none of the bits of mode *forbidden*; *hint* is the step.

    Raises:
        EncryptedParseError: *refusal*: it is not.
    """
    if not _POSIX:
        return
    if status.st_uid != os.geteuid():
        raise refusal(f"{path} belongs to another user of this machine", hint=hint)
    if status.st_mode & forbidden:
        mode = stat.S_IMODE(status.st_mode)
        raise refusal(f"{path} has mode {mode:04o}: others can reach it", hint=hint)


def others_write(status: os.stat_result) -> bool:
    """Say whether somebody else may write a file or, into a folder, new names. No link may be."""
    if not _POSIX or stat.S_ISLNK(status.st_mode):
        return False
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(group_id: int) -> bool:
    """Say whether a group is this user's alone, as most Linux systems make one for each.

    Root's is not: containers run anybody in it.
    """
    import grp  # noqa: PLC0415 - not on Windows
    import pwd  # noqa: PLC0415

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(group_id)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {user.pw_name}
    return group_id != _ROOT and group.gr_name == user.pw_name and alone


def _steps(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every folder and link that leads to *path*, and it, as far as there is something.

    Of POSIX' paths, as text: every look at a key file comes this way.
    """
    absolute = path if path.is_absolute() else Path.cwd() / path
    names = str(absolute).split("/")[::-1]
    at, links = "/", 0
    yield at, os.lstat(at)
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = at.rpartition("/")[0] or "/"
            continue
        step = f"{at}/{name}" if at != "/" else f"/{name}"
        try:
            status = os.lstat(step)
        except FileNotFoundError:
            return
        yield step, status
        if not stat.S_ISLNK(status.st_mode):
            at = step
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = str(Path(step).readlink())
        names.extend(target.split("/")[::-1])
        at = "/" if target.startswith("/") else at
