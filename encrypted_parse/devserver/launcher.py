"""The local Parse Server as a context manager. See `dev_server`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from encrypted_parse.companion import cloud_code_folder
from encrypted_parse.devserver.folder import data_folder
from encrypted_parse.devserver.info import Database, DevServer
from encrypted_parse.devserver.install import cache_folder, install_packages, postgres_platform
from encrypted_parse.devserver.node import find_node
from encrypted_parse.devserver.postgres import account
from encrypted_parse.devserver.process import ServerProcess
from encrypted_parse.devserver.secrets import ServerSecrets, load_or_create
from encrypted_parse.errors import DevServerError

_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")  # BCP 47; goes into SQL as it is


@contextmanager
def dev_server(  # noqa: PLR0913 - what one can want of a server, all by keyword
    data_dir: Path | str | None = None,
    *,
    port: int = 0,
    cloud_main: Path | str | None = None,
    encrypted_fields: Path | str | None = None,
    find_users: bool = False,
    icu_locale: str | None = None,
    verbose: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Iterator[DevServer]:
    """Run Parse Server 9.10 with Postgres, LiveQuery, files and the companion until the block ends.

    Everything listens on 127.0.0.1. The first call installs the npm packages (about 30 s); after
    that a start takes some two seconds. No process is left behind, not even if this one is
    killed. As root, Postgres runs as the user ``postgres``, which is made if it is missing.

    Args:
        data_dir: Keeps database, files and keys for the next start. None: a temporary folder.
        port: For HTTP; 0 takes a free one.
        cloud_main: Your own cloud code (CommonJS or an ES module), loaded after the companion's.
        encrypted_fields: What `encrypted-parse schema export` wrote: the guard then checks these
            columns.
        find_users: Let users be found by their exact names: docs/companion.md, ``find-users``.
        icu_locale: Let the database sort text as people of this locale do (``en-US``), as many
            production servers do, instead of by bytes. Only when the database is made.
        verbose: Let Parse Server log every request. What clients send is then in the log.
        progress: Called with what is being done when it takes long.

    Raises:
        DevServerError: It cannot be installed or started, or the folder is in use.
        MissingExtraError: There is no fitting Node.
    """
    platform = postgres_platform()
    companion = cloud_code_folder()
    own_code = None if cloud_main is None else Path(cloud_main).expanduser().resolve()
    guarded = None if encrypted_fields is None else Path(encrypted_fields).expanduser().resolve()
    if icu_locale is not None and not _LOCALE.fullmatch(icu_locale):
        raise DevServerError(f"{icu_locale!r} is no locale", hint="such as en-US")
    for what, path in (("cloud code", own_code), ("encrypted fields", guarded)):
        if path is not None and not path.is_file():
            raise DevServerError(f"there is no {what} file {path}")
    with ExitStack() as stack:
        postgres_account = account()
        folder = stack.enter_context(data_folder(data_dir, postgres_account))
        secrets = load_or_create(folder)
        node = find_node()
        modules = install_packages(node, cache_folder(os.environ), progress or (lambda _: None))
        settings = {
            "modules": str(modules),
            "platform": platform,
            "dataDir": str(folder),
            "temporary": data_dir is None,
            "postgresUser": postgres_account
            and [postgres_account.user_id, postgres_account.group_id],
            "cloudCode": str(companion),
            "cloudMain": own_code and str(own_code),
            "encryptedFields": guarded and str(guarded),
            "icuLocale": icu_locale,
            "port": port,
            "verbose": verbose,
            **_secret_settings(secrets, find_users=find_users),
        }
        process = ServerProcess(node, folder)
        stack.callback(process.stop)
        answer = process.start(settings)
        origin = answer["origin"]
        yield DevServer(
            url=f"{origin}/parse",
            directory_url=f"{origin}/virgil",
            live_query_url=origin.replace("http://", "ws://"),
            application_id=secrets.application_id,
            rest_api_key=secrets.rest_api_key,
            javascript_key=secrets.javascript_key,
            master_key=secrets.master_key,
            service_public_key=secrets.companion.service_public_key,
            virgil_app_id=secrets.virgil_app_id,
            database=Database(**answer["database"], password=secrets.database_password),
            process_id=process.process_id,
            data_dir=folder,
            stop=stack.close,
            wait=process.wait,
        )


def _secret_settings(secrets: ServerSecrets, *, find_users: bool) -> dict[str, Any]:
    """Return the settings that travel through a pipe because a command line can be read by all."""
    return {
        "applicationId": secrets.application_id,
        "restApiKey": secrets.rest_api_key,
        "javascriptKey": secrets.javascript_key,
        "masterKey": secrets.master_key,
        "databasePassword": secrets.database_password,
        "virgil": {
            **secrets.companion.environment(),
            **({"ENCRYPTED_PARSE_FIND_USERS": "exact"} if find_users else {}),
        },
    }
