"""A plain Parse client that knows no crypto."""

from __future__ import annotations

from encrypted_parse.parse.answers import REPLACED_KEY
from encrypted_parse.parse.app import ParseApp, UserSession
from encrypted_parse.parse.batch import BatchOperation, BatchResult
from encrypted_parse.parse.client import ParseClient
from encrypted_parse.parse.features import Features

__all__ = [
    "REPLACED_KEY",
    "BatchOperation",
    "BatchResult",
    "Features",
    "ParseApp",
    "ParseClient",
    "UserSession",
]
