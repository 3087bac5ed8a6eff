"""A real local Parse Server on a real database, for development, tests and the demo.

    from encrypted_parse.devserver import dev_server

    with dev_server() as server:
        print(server.url, server.directory_url)

Runs on Linux and macOS.
"""

from __future__ import annotations

from encrypted_parse.devserver.info import Database, DevServer
from encrypted_parse.devserver.launcher import dev_server
from encrypted_parse.devserver.sql import run_sql

__all__ = ["Database", "DevServer", "dev_server", "run_sql"]
