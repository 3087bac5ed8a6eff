"""A look past Parse Server: SQL on the local server's database."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from encrypted_parse.devserver.environment import node_environment
from encrypted_parse.devserver.info import DevServer
from encrypted_parse.devserver.install import cache_folder, install_packages
from encrypted_parse.devserver.node import find_node
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import DevServerError

_SCRIPT = Path(__file__).parent / "node" / "sql.mjs"
_TIMEOUT_SECONDS = 30


@front_door
def run_sql(server: DevServer, statement: str) -> list[list[Any]]:
    """Run one *statement* with all rights and return its rows.

    Raises:
        DevServerError: The database refused it.
    """
    node = find_node()
    database = server.database
    request = {
        "modules": str(install_packages(node, cache_folder(os.environ), lambda _: None)),
        "connection": {
            "host": database.host,
            "port": database.port,
            "user": database.user,
            "password": database.password,
            "database": database.name,
        },
        "statement": statement,
    }
    result = subprocess.run(  # noqa: S603 - node on our own script
        [node.executable, _SCRIPT],
        input=json.dumps(request).encode("ascii"),
        capture_output=True,
        check=False,
        env=node_environment(os.environ),
        timeout=_TIMEOUT_SECONDS,
    )
    if result.returncode != 0:
        raise DevServerError("the database refused the statement")
    rows: list[list[Any]] = json.loads(result.stdout)
    return rows
