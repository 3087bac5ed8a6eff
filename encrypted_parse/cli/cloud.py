"""``encrypted-parse cloud``: cloud code, from an empty folder to a running release."""

from __future__ import annotations

import difflib
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import attrs
import typer

from encrypted_parse.cli.help import Commands
from encrypted_parse.cli.network import network, networked
from encrypted_parse.cli.objects import models_of
from encrypted_parse.cli.output import say
from encrypted_parse.cli.printable import printable_lines
from encrypted_parse.cli.session import JsonOption, YesOption, read_secret, require_consent
from encrypted_parse.cli.terminal import ask, progress_bar, write, write_json, write_table
from encrypted_parse.companion import CompanionSecrets
from encrypted_parse.deploy import (
    BACK4APP,
    DeployServer,
    Level,
    Plan,
    Record,
    examine,
    find_rollback,
    plan,
    read_folder,
    repair,
    require_deployable,
    roll_back,
    write_companion,
)
from encrypted_parse.deploy import deploy as deploy_folder
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.settings import read_settings
from encrypted_parse.tools import export_guard_schema
from encrypted_parse.transport import insecure_hosts

cloud = Commands(
    help="Cloud code: write, compare, deploy, examine. Speaks Back4App's deploy protocol."
)

_DEPLOY_SECONDS = 300.0  # a release may wait for npm
_MAX_TEXT_BYTES = 256 * 1024
_MARKS = {
    "added": "+",
    "changed": "~",
    "edited": "!",
    "dropped": "-",
    "foreign": "?",
}
_MEANINGS = {
    "added": "new",
    "changed": "changed here",
    "edited": "changed on the server, not by this folder",
    "dropped": "deployed from here, and not here any more: goes",
    "foreign": "on the server, and not from here: stays",
}
_SIGNS = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("look", "yellow"),
    Level.FAILED: ("FAIL", "red"),
}

FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="[DIR]", help="The project: the folder above cloud/.", show_default="."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; do nothing.")]
ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Make this folder the whole release: drop what it does not know, overwrite what "
        "was changed on the server.",
    ),
]


@cloud.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder.")],
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="MODULE",
            help="Guard the encrypted columns of this module's models; may be repeated.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Write the companion's cloud code into DIR/cloud, or bring it up to date.

    Files of yours stay as they are: where main.js, app.js or package.json differ from ours, the
    lines to add are printed. Where package.json has "type": "module", they are those of an ES
    module. Run it again after an update of encrypted-parse.

    encrypted-parse cloud init my-app --models app.models
    """
    fields = None
    if modules:
        models = [model for name in modules for model in models_of(name)]
        fields = (json.dumps(export_guard_schema(models), indent=2) + "\n").encode("utf-8")
    done = write_companion(folder, fields, dry_run=dry_run)
    for text, paths in (
        ("would write" if dry_run else "written", done.written),
        ("would remove" if dry_run else "removed", done.removed),
        ("yours, left as it is", done.yours),
    ):
        for path in paths:
            write(f"{text}: {path}")
    if not (done.written or done.removed):
        write("everything is there already")
    for path, lines in done.to_add.items():
        say("", f"add to {path}:", "", *lines)


@cloud.command("diff")
@networked
def diff(
    folder: FolderArgument = Path(),
    text: Annotated[
        bool, typer.Option("--text", help="Show what changed in text files, line by line.")
    ] = False,
) -> None:
    """Compare this folder with what runs on the server. Nothing is changed.

    Takes PARSE_APPLICATION_ID and PARSE_MASTER_KEY from the environment, or asks for them.
    Files are compared by checksum. Exit status 1 if there is a difference.

    encrypted-parse cloud diff my-app --text
    """
    key = _master_key()
    server, files = _server(key), _files(folder, key)
    planned = plan(server, files, Record(folder))
    _show_plan(planned)
    if text:
        for path in (*planned.changed, *planned.edited):
            theirs = server.content(path, planned.release.files[path])
            _show_text(path, theirs, files[path])
    raise typer.Exit(0 if planned.is_empty(replace=True) else 1)


@cloud.command("deploy")
@networked
def deploy(
    folder: FolderArgument = Path(),
    description: Annotated[
        str, typer.Option("--description", "-m", metavar="TEXT", help="What this release is.")
    ] = "",
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Make this folder the release that runs on the server.

    Uploads what differs, then switches in one step. Files on the server that this folder does
    not know are kept; files that somebody changed there stop it. --replace overrules both. If
    the connection breaks, it says which release runs. --dry-run ends as this would, as far as
    looking tells.

    Takes PARSE_APPLICATION_ID and PARSE_MASTER_KEY from the environment, or asks for them.

    encrypted-parse cloud deploy my-app --dry-run
    """
    key = _master_key()
    server, files = _server(key), _files(folder, key)
    record = Record(folder)
    planned = plan(server, files, record)
    _show_plan(planned, replace=replace)
    if planned.is_empty(replace=replace):
        return
    require_deployable(planned, replace=replace)
    if dry_run:
        write(f"would upload {len(planned.to_upload())} files, and run them")
        say("nothing was deployed: --dry-run")
        return
    require_consent(f"Deploy to {server.application_id}", yes=yes)
    with progress_bar("uploading") as advance:
        done = deploy_folder(
            server,
            files,
            planned,
            record,
            description=description,
            replace=replace,
            progress=advance,
        )
    write(f"{done.release} runs ({done.uploaded} files uploaded)")
    if done.before:
        say(f"back to the one before: encrypted-parse cloud rollback {done.before}")
    say("look at it: encrypted-parse cloud doctor")


@cloud.command("rollback")
@networked
def rollback(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[RELEASE]", help="Such as v7.", show_default="the one before"),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Make an earlier release run again.

    Only the files change: environment variables and data stay as they are.

    encrypted-parse cloud rollback v7
    """
    server = _server(_master_key())
    found = find_rollback(server, name)
    running = found.running or "none"
    if dry_run:
        write(f"{running} runs; would go back to {found.wanted}")
        return
    require_consent(f"Go back from {running} to {found.wanted}", yes=yes)
    done = roll_back(server, found.wanted, instead_of=found.running)
    write(f"{done.release} runs")


@cloud.command("releases")
@networked
def releases(as_json: JsonOption = False) -> None:
    """List all releases, oldest first, and which one runs.

    encrypted-parse cloud releases
    """
    server = _server(_master_key())
    running = server.current().name
    past = server.history()
    if as_json:
        lines = [{**attrs.asdict(one), "runs": one.name == running} for one in past]
        write_json(lines)
        return
    if not past:
        write("nothing was ever deployed")
        return
    rows = (
        (one.name, one.made_at, one.description, "runs" * (one.name == running)) for one in past
    )
    write_table(rows, head=("release", "made", "description", ""))


@cloud.command("doctor")
@networked
def doctor(
    modules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODULE]...",
            help="Python modules that declare models: are all their columns guarded?",
            show_default=False,
        ),
    ] = None,
    repairs: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="First close the companion's classes, and move rows away that are not its own.",
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Examine a running server: version, functions, services, clock, permissions, guard.

    Takes PARSE_SERVER_URL, PARSE_APPLICATION_ID, VIRGIL_API_URL and VIRGIL_SERVICE_PUBLIC_KEY
    from the environment, and PARSE_MASTER_KEY, or asks for it. Reads only, but for --repair:
    what that moves is kept in the class EncryptedParseForeign. Exit status 1 if something failed.

    encrypted-parse cloud doctor app.models
    """
    models = [model for name in modules or () for model in models_of(name)]
    settings = read_settings(os.environ)
    transport = network()
    app = ParseApp(
        _variable("PARSE_SERVER_URL"),
        _variable("PARSE_APPLICATION_ID"),
        settings.get("PARSE_REST_API_KEY"),
        master_key=_master_key(),
        setting="PARSE_SERVER_URL",
        allow_insecure_http=insecure_hosts(os.environ),
    )
    parse = ParseClient(app, transport)
    if repairs:
        require_consent("Move away what is not the companion's in its classes", yes=yes)
        for name, count in repair(parse).items():
            say(f"{name}: {count} rows moved away or sealed")
    findings = examine(
        parse,
        transport,
        directory_url=settings.get("VIRGIL_API_URL"),
        service_public_key=settings.get("VIRGIL_SERVICE_PUBLIC_KEY"),
        fields=export_guard_schema(models) if models else None,
    )
    if as_json:
        lines = [{**attrs.asdict(one), "level": one.level.value} for one in findings]
        write_json(lines)
    else:
        for one in findings:
            sign, colour = _SIGNS[one.level]
            write((f"{sign:<8}", colour), f"{one.what}: {one.text}")
            if one.hint is not None:
                write((f"{'':<8}  {one.hint}", "dim"))
    if any(one.level is Level.FAILED for one in findings):
        raise typer.Exit(1)


@cloud.command("secrets")
def secrets(as_json: JsonOption = False) -> None:
    """Make new secrets for the companion, and print them once, ready to paste.

    On Back4App: Server Settings > Environment Variables. They are kept nowhere: store them in
    your password manager. For a NEW app only: another VIRGIL_SERVICE_KEY makes all published
    cards invalid, another VIRGIL_BRAINKEY_SECRET all backups by password.

    encrypted-parse cloud secrets
    """
    made = CompanionSecrets.generate()
    client = {"VIRGIL_SERVICE_PUBLIC_KEY": made.service_public_key}
    if as_json:
        write_json({"server": made.environment(), "client": client})
        return
    for name, value in made.environment().items():
        write(f"{name}={value}")
    say("", "The lines above are the server's, and secret. Clients get this one:", "")
    say(f"VIRGIL_SERVICE_PUBLIC_KEY={made.service_public_key}")


def _server(master_key: str) -> DeployServer:
    url = read_settings(os.environ).get("BACK4APP_DEPLOY_URL", BACK4APP)
    setting = "BACK4APP_DEPLOY_URL" if url != BACK4APP else ""
    application_id = _variable("PARSE_APPLICATION_ID")
    return DeployServer(network(_DEPLOY_SECONDS), application_id, master_key, url, setting=setting)


def _files(folder: Path, master_key: str) -> dict[str, bytes]:
    files = read_folder(folder)
    key = master_key.encode("utf-8")
    found = [path for path, content in files.items() if key in content]
    if found:
        raise ConfigurationError(
            f"{found[0]} holds the master key; it is not deployed",
            hint="cloud code does not need it: pass {useMasterKey: true}",
        )
    return files


def _master_key() -> str:
    key = read_settings(os.environ).get("PARSE_MASTER_KEY")
    if key:
        return key
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "the environment variable PARSE_MASTER_KEY is not set",
            hint="the master key is in the dashboard: App Settings > Security & Keys",
        )
    return read_secret("Master key", "", None)


def _variable(name: str) -> str:
    value = read_settings(os.environ).get(name)
    if value:
        return value
    if not sys.stdin.isatty():
        raise ConfigurationError(f"the environment variable {name} is not set")
    return ask(name)


def _show_plan(planned: Plan, *, replace: bool = False) -> None:
    say(f"on the server: {planned.release.name or 'nothing was ever deployed'}")
    meanings = dict(_MEANINGS)
    if replace:
        meanings["foreign"] = "on the server, and not from here: goes (--replace)"
        meanings["edited"] = "changed on the server, not by this folder: overwritten (--replace)"
    for group, mark in _MARKS.items():
        for path in getattr(planned, group):
            write(f"{mark} {path}  ({meanings[group]})")
    if planned.is_empty(replace=replace):
        say("nothing to deploy: the server has what this folder has")


def _show_text(path: str, theirs: bytes, ours: bytes) -> None:
    if max(len(theirs), len(ours)) > _MAX_TEXT_BYTES or b"\0" in theirs + ours:
        write(f"{path}: not text, or too long to show")
        return
    texts = (content.decode("utf-8", "replace") for content in (ours, theirs))
    here, there = map(printable_lines, texts)
    lines = difflib.unified_diff(there, here, f"server/{path}", f"here/{path}", lineterm="")
    for line in lines:
        write(line)
