"""What Postgres asks of its surroundings: a user that is not root, and no process left over."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

from encrypted_parse.errors import DevServerError

_USER = "postgres"
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05


def prepare(folder: Path) -> tuple[int, int] | None:
    """Make *folder* usable and return the user and group ids that Postgres runs as.

    None means our own. As root it is the user ``postgres``, made if missing; a Postgres that an
    earlier server left running in the folder is stopped first.

    Raises:
        DevServerError: The user cannot be made, or cannot reach *folder*.
    """
    stop_orphan(folder)
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    ids = _user_ids()
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o011)  # to enter, not to list
    for parent in folder.parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise DevServerError(
                f"the user {_USER!r}, whom Postgres runs as for root, cannot enter {parent}",
                hint="choose a data folder outside it, for example below /var/tmp",
            )
    return ids


def stop_orphan(folder: Path) -> None:
    """Stop a Postgres that runs in *folder*; leave alone whatever else has taken its number."""
    pid_file = folder / "postgres" / "postmaster.pid"
    try:
        process_id = int(pid_file.read_text("utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return
    if _is_our_postgres(process_id, folder):
        _end(process_id)
    pid_file.unlink(missing_ok=True)


def _end(process_id: int) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    try:
        os.kill(process_id, signal.SIGINT)  # Postgres' fast shutdown
        while time.monotonic() < deadline:
            os.kill(process_id, 0)
            time.sleep(_POLL_SECONDS)
        os.kill(process_id, signal.SIGQUIT)
    except ProcessLookupError:
        pass


def _is_our_postgres(process_id: int, folder: Path) -> bool:
    command = f"/proc/{process_id}/cmdline"
    try:
        line = Path(command).read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        ps = shutil.which("ps") or "/bin/ps"
        line = subprocess.run(  # noqa: S603 - a number that we parsed
            [ps, "-p", str(process_id), "-o", "command="],
            capture_output=True,
            check=False,
            text=True,
        ).stdout
    except OSError:
        return False
    return str(folder / "postgres") in line


def _user_ids() -> tuple[int, int]:
    import pwd  # noqa: PLC0415 - not on Windows

    try:
        entry = pwd.getpwnam(_USER)
    except KeyError:
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if useradd is None:
            raise DevServerError(
                "Postgres refuses to run as root, and there is no `useradd`",
                hint=f"make a user {_USER!r}, or start the server as an ordinary user",
            ) from None
        made = subprocess.run(  # noqa: S603 - a program that we found ourselves
            [useradd, "--system", "--user-group", "--no-create-home", _USER],
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            raise DevServerError(
                f"Postgres refuses to run as root, and the user {_USER!r} cannot be made",
                hint="start the server as an ordinary user",
            ) from None
        entry = pwd.getpwnam(_USER)
    return entry.pw_uid, entry.pw_gid
