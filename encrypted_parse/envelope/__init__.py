"""E3Kit's wire formats over bytes: no I/O, no clock, no globals.

What any released version wrote, every later one reads.
"""

from __future__ import annotations

from encrypted_parse.envelope.header import Header
from encrypted_parse.envelope.signature import sign, verify
from encrypted_parse.envelope.signed import decrypt_and_verify, sign_and_encrypt
from encrypted_parse.envelope.text import from_text, is_envelope, to_text

__all__ = [
    "Header",
    "decrypt_and_verify",
    "from_text",
    "is_envelope",
    "sign",
    "sign_and_encrypt",
    "to_text",
    "verify",
]
