"""Trust: which card of a user was seen first, what may follow it, and how people compare keys."""

from __future__ import annotations

from encrypted_parse.trust.authors import (
    AuthorKeys,
    explain_former_key,
    naming_former_keys,
)
from encrypted_parse.trust.directory import TrustedDirectory
from encrypted_parse.trust.judgement import Finding, judge
from encrypted_parse.trust.keeper import KeyChangedWarning, TrustedChain, TrustKeeper, TrustPolicy
from encrypted_parse.trust.logins import Logins
from encrypted_parse.trust.memory import MemoryTrustStore
from encrypted_parse.trust.names import KnownNames
from encrypted_parse.trust.pins import Pin, PinLevel
from encrypted_parse.trust.safety_number import SafetyNumber
from encrypted_parse.trust.sqlite import SqliteTrustStore
from encrypted_parse.trust.store import TrustStore

__all__ = [
    "AuthorKeys",
    "Finding",
    "KeyChangedWarning",
    "KnownNames",
    "Logins",
    "MemoryTrustStore",
    "Pin",
    "PinLevel",
    "SafetyNumber",
    "SqliteTrustStore",
    "TrustKeeper",
    "TrustPolicy",
    "TrustStore",
    "TrustedChain",
    "TrustedDirectory",
    "explain_former_key",
    "judge",
    "naming_former_keys",
]
