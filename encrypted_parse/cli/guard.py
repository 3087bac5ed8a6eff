"""``encrypted-parse schema export`` and ``encrypted-parse guard report``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

import attrs
import typer

from encrypted_parse.cli.help import Commands
from encrypted_parse.cli.network import network, networked
from encrypted_parse.cli.objects import ModulesArgument, models_of
from encrypted_parse.cli.terminal import write, write_json, write_table
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.settings import read_settings
from encrypted_parse.tools import export_guard_schema, read_guard_report
from encrypted_parse.transport import insecure_hosts

schema = Commands(help="What the cloud code has to know about the models.")
guard = Commands(help="The guard for encrypted columns.")


@schema.callback()
def _schema() -> None:
    """Keep `export` a command of its own, for others to come beside it."""


@guard.callback()
def _guard() -> None:
    """Keep `report` a command of its own."""


@schema.command("export")
def export(
    modules: ModulesArgument,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="NAME=MODE",
            help="Change a rule (envelope, readers, author, cards, keys): off, report or enforce.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write which columns are encrypted, for the guard in the cloud code.

    Prints JSON.

    encrypted-parse schema export app.models > cloud/encrypted-fields.json

    The guard then refuses whatever is not an envelope in these columns, and counts envelopes
    that leave a reader or the author out (`encrypted-parse guard report` shows the counts; once
    they stay at zero, --rule readers=enforce).
    """
    models = [model for name in modules for model in models_of(name)]
    content = export_guard_schema(models, dict(_split(item) for item in rule or ()))
    write_json(content)


@guard.command("report")
@networked
def report(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for other programs.")
    ] = False,
) -> None:
    """Show what the guard has counted in report mode.

    Reads with the master key: set PARSE_SERVER_URL, PARSE_APPLICATION_ID and PARSE_MASTER_KEY.

    encrypted-parse guard report
    """
    counts = read_guard_report(_master_client(os.environ))
    if as_json:
        write_json([attrs.asdict(count) for count in counts])
        return
    if not counts:
        write("The guard has counted nothing.")
        return
    rows = [
        (count.parse_class, count.column, count.problem, str(count.count), count.last_at)
        for count in counts
    ]
    write_table(rows, head=("class", "column", "problem", "count", "last"))


def _split(item: str) -> tuple[str, str]:
    name, equals, mode = item.partition("=")
    if not equals:
        raise ConfigurationError(f"--rule takes NAME=MODE, not {item!r}")
    return name, mode


def _master_client(environ: Mapping[str, str]) -> ParseClient:
    environ = read_settings(environ)
    wanted = ("PARSE_SERVER_URL", "PARSE_APPLICATION_ID", "PARSE_MASTER_KEY")
    missing = [name for name in wanted if not environ.get(name)]
    if missing:
        raise ConfigurationError(
            f"the environment variable {missing[0]} is not set",
            hint="the master key is in the dashboard: App Settings > Security & Keys",
        )
    url, application_id, master_key = (environ[name] for name in wanted)
    rest_api_key = environ.get("PARSE_REST_API_KEY")
    app = ParseApp(
        url,
        application_id,
        rest_api_key,
        master_key=master_key,
        allow_insecure_http=insecure_hosts(environ),
        setting="PARSE_SERVER_URL",
    )
    return ParseClient(app, network())
