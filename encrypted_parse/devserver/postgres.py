"""What Postgres asks of its surroundings: a user that is not root, and no process left over."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from attrs import frozen

from encrypted_parse.devserver.environment import node_environment
from encrypted_parse.errors import DevServerError

_USER = "postgres"
_POLL_SECONDS = 0.02
# Postgres' fast and immediate shutdown, then force; with the seconds that each is given.
_ORDERS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0))


@frozen
class Account:
    """The user and group that Postgres runs as, where that is not our own."""

    user_id: int
    group_id: int

    def can_enter(self, folder: Path) -> bool:
        """Try it: modes, groups, access lists and mount options all have a say."""
        attempt = subprocess.run(  # noqa: S603 - a fixed command, run with fewer rights
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder],
            user=self.user_id,
            group=self.group_id,
            extra_groups=(),
            cwd="/",
            env=node_environment(os.environ),
            capture_output=True,
            check=False,
        )
        return attempt.returncode == 0

    def let_in(self, folder: Path) -> None:
        """Let the account enter (not list) *folder*.

        Raises:
            DevServerError: A folder above it is closed, and is not ours to open.
        """
        if self.can_enter(folder):
            return
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXOTH)
        if not self.can_enter(folder):
            raise DevServerError(
                f"the user {_USER!r}, whom Postgres runs as for root, cannot enter {folder}",
                hint="choose a data folder outside of private folders, or do not run as root",
            )


def account() -> Account | None:
    """Return whom Postgres has to run as: None is ourselves, and for root the user ``postgres``.

    Raises:
        DevServerError: The user is missing and cannot be made.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 - not on Windows

    try:
        entry = pwd.getpwnam(_USER)
    except KeyError:
        _add_user()
        entry = pwd.getpwnam(_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def stop_orphan(folder: Path) -> None:
    """Stop a Postgres that runs in *folder*; leave alone whatever else has taken its number.

    Raises:
        DevServerError: It does not stop, or belongs to another user.
    """
    data = folder / "postgres"
    pid_file = data / "postmaster.pid"
    try:
        process_id = int(pid_file.read_text("utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return
    try:
        for order, seconds in _ORDERS:
            if not _is_postgres_of(data, process_id):
                break
            os.kill(process_id, order)
            deadline = time.monotonic() + seconds
            while _is_postgres_of(data, process_id) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise DevServerError(
            f"another user's Postgres (process {process_id}) runs in {folder}",
            hint="stop it, or choose another folder",
        ) from None
    if _is_postgres_of(data, process_id):
        raise DevServerError(f"Postgres (process {process_id}) in {folder} does not stop")
    pid_file.unlink(missing_ok=True)


def _is_postgres_of(data: Path, process_id: int) -> bool:
    """Say whether the process is alive, and a Postgres on *data*: numbers are used again."""
    try:
        arguments = Path(f"/proc/{process_id}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self").exists() and _ps_says_so(data, process_id)
    except OSError:
        return False
    return Path(os.fsdecode(arguments[0])).name == "postgres" and os.fsencode(data) in arguments


def _ps_says_so(data: Path, process_id: int) -> bool:
    answer = subprocess.run(  # noqa: S603 - a number that we parsed
        ["/bin/ps", "-ww", "-p", str(process_id), "-o", "command="],
        env=node_environment(os.environ),
        capture_output=True,
        check=False,
        text=True,
    )
    return f"postgres -D {data} " in answer.stdout


def _add_user() -> None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    command = [useradd or "/bin/false", "--system", "--user-group", "--no-create-home", _USER]
    variables = node_environment(os.environ)
    made = subprocess.run(command, capture_output=True, check=False, env=variables)  # noqa: S603 - fixed words
    if made.returncode != 0:
        raise DevServerError(
            f"Postgres refuses to run as root, and the user {_USER!r} cannot be made",
            hint=f"make a user {_USER!r}, or start the local server as an ordinary user",
        )
