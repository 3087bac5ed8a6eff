"""Trust: which card of a user was seen first, what may follow it, and how people compare keys."""

from __future__ import annotations

from encrypted_parse.trust.directory import TrustedDirectory
from encrypted_parse.trust.judgement import Finding, judge
from encrypted_parse.trust.keeper import KeyChangedWarning, TrustedChain, TrustKeeper, TrustPolicy
from encrypted_parse.trust.memory import MemoryTrustStore
from encrypted_parse.trust.pins import Pin, PinLevel, TrustStore
from encrypted_parse.trust.safety_number import SafetyNumber
from encrypted_parse.trust.sqlite import SqliteTrustStore

__all__ = [
    "Finding",
    "KeyChangedWarning",
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
    "judge",
]
