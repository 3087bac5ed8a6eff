"""A real local Parse Server on a real database, for development, tests and the demo."""

from __future__ import annotations

from encrypted_parse.devserver.launcher import Database, DevServer, cloud_code_folder, dev_server

__all__ = ["Database", "DevServer", "cloud_code_folder", "dev_server"]
