"""Deploying and rolling back: one call takes effect; whatever happens, we say what runs then.

Files are stored first, which changes nothing. Then one request makes the release. If its answer is
lost, the service is asked what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from encrypted_parse.deploy.plan import Plan, make_plan
from encrypted_parse.deploy.protocol import DeployServer
from encrypted_parse.deploy.record import Record
from encrypted_parse.deploy.release import Release, md5_of
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import (
    DeployConflictError,
    DeployError,
    EncryptedParseError,
)


@front_door
@frozen
class Deployed:
    """What a deployment did.

    Attributes:
        before: The release that ran before; empty if there was none.
        release: The release that runs now.
        uploaded: How many files were stored.
    """

    before: str
    release: str
    uploaded: int


@front_door
def plan(server: DeployServer, folder: Mapping[str, bytes], record: Record) -> Plan:
    """Compare a folder's content with what runs. Nothing is changed."""
    app = server.application_id
    return make_plan(folder, server.current(), lambda path: record.deployed(app, path))


@front_door
def require_deployable(planned: Plan, *, replace: bool) -> None:
    """Refuse a deployment that would overwrite what others changed. Nothing is sent.

    Raises:
        DeployConflictError: Files were changed on the server since, and *replace* is not given.
    """
    if planned.edited and not replace:
        raise DeployConflictError(
            f"changed on the server, not by this folder: {', '.join(planned.edited)}",
            hint="look at `encrypted-parse cloud diff --text`; take the changes over, or deploy "
            "with --replace",
        )


@front_door
def deploy(  # noqa: PLR0913 - what one deployment depends on
    server: DeployServer,
    folder: Mapping[str, bytes],
    planned: Plan,
    record: Record,
    *,
    description: str = "",
    replace: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Deployed:
    """Make *folder* the running release.

    Files on the server that this folder does not know are kept, or with *replace* dropped.

    Raises:
        DeployConflictError: Files were changed on the server since, and *replace* is not given;
            or another release was made meanwhile. Nothing is deployed.
        DeployError: The service refused, or the connection broke; the message says what runs.
    """
    require_deployable(planned, replace=replace)
    before = planned.release
    files = planned.kept(replace=replace)
    try:
        for done, path in enumerate(planned.to_upload(), start=1):
            files[path] = server.store(path, folder[path])
            if progress is not None:
                progress(done, len(planned.to_upload()))
        if server.current() != before:
            raise DeployConflictError(
                "somebody else made a release meanwhile; nothing was deployed",
                hint="look at `encrypted-parse cloud releases`, then deploy again",
            )
    except DeployConflictError:
        raise
    except EncryptedParseError as error:
        raise DeployError(f"{error}; {_still(before.name)}", hint=error.hint) from error
    wanted = Release("", before.parse_version, files)
    checksums = {path: md5_of(content) for path, content in folder.items()}
    record.remember_deployed(server.application_id, checksums)
    name = _switch(server, before, lambda: server.make_release(wanted, description))
    running = _look(server, name)
    if {path: one.md5 for path, one in running.files.items()} != {
        path: one.md5 for path, one in files.items()
    }:
        raise DeployError(
            f"release {running.name} runs, but its files are not those that were deployed",
            hint="look at `encrypted-parse cloud diff` and `encrypted-parse cloud releases`",
        )
    return Deployed(before.name, running.name, len(planned.to_upload()))


@front_door
@frozen
class Rollback:
    """What a roll-back would do.

    Attributes:
        running: The release that runs; empty if there is none.
        wanted: The earlier one that would run again.
    """

    running: str
    wanted: str


@front_door
def find_rollback(server: DeployServer, name: str | None = None) -> Rollback:
    """Tell what a roll-back to *name*, or to the release before this one, would do.

    Raises:
        DeployError: There is no such release, or it runs already.
    """
    names, running = [one.name for one in server.history()], server.current().name
    if name is None:
        place = names.index(running) if running in names else 0
        if place == 0:
            raise DeployError("there is no release before the present one")
        return Rollback(running, names[place - 1])
    if name not in names:
        raise DeployError(
            f"there is no release {name}", hint="`encrypted-parse cloud releases` lists them"
        )
    if name == running:
        raise DeployError(f"release {name} runs already")
    return Rollback(running, name)


@front_door
def roll_back(server: DeployServer, name: str, *, instead_of: str | None = None) -> Deployed:
    """Make an earlier release the running one.

    Args:
        server: Where.
        name: The release.
        instead_of: The release that somebody agreed to take back.

    Raises:
        DeployConflictError: Another one runs than *instead_of*. Nothing is done.
        DeployError: There is no such release, it runs already, the service refused, or the
            connection broke; the message says what runs.
    """
    before = server.current()
    if instead_of is not None and before.name != instead_of:
        raise DeployConflictError(
            f"{before.name or 'nothing'} runs by now, not {instead_of or 'nothing'}",
            hint="somebody else deployed meanwhile: `encrypted-parse cloud releases`",
        )
    find_rollback(server, name)
    _switch(server, before, lambda: server.make_current(name))
    return Deployed(before.name, _look(server, name).name, 0)


def _switch(server: DeployServer, before: Release, request: Callable[[], str]) -> str:
    """Send the one request that takes effect; after any failure, look whether it did.

    A refusal too can come from a proxy, after the service has done what it was asked.
    """
    try:
        return request()
    except EncryptedParseError as error:
        try:
            running = server.current()
        except EncryptedParseError:
            raise DeployError(
                f"{error}; either {before.name or 'no release'} still runs, or the new one",
                hint="`encrypted-parse cloud releases` says which, once the service answers",
            ) from error
        if running != before:
            return running.name
        raise DeployError(
            f"{error}; {_still(before.name)}",
            hint=error.hint
            or "if the service is still at work on it, `encrypted-parse cloud releases` tells",
        ) from error


def _look(server: DeployServer, name: str) -> Release:
    """Return what runs, which has to be *name*."""
    try:
        running = server.current()
    except EncryptedParseError as error:
        raise DeployError(
            f"release {name} should run, but could not be looked at: {error}",
            hint="`encrypted-parse cloud releases` says what runs",
        ) from error
    if running.name != name:
        raise DeployConflictError(
            f"release {name} was to run, but {running.name or 'none'} runs",
            hint="somebody else deployed at the same time: `encrypted-parse cloud releases`",
        )
    return running


def _still(name: str) -> str:
    return f"{name} still runs" if name else "nothing was deployed"
