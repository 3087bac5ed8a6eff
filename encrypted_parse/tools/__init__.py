"""What is done to an app as a whole: its schema for the guard, and the guard's counts."""

from __future__ import annotations

from encrypted_parse.tools.guard_report import GuardCount, read_guard_report
from encrypted_parse.tools.guard_schema import export_guard_schema

__all__ = ["GuardCount", "export_guard_schema", "read_guard_report"]
