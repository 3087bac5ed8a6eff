"""E3Kit's wire formats over bytes: no I/O, no clock, no globals.

What any released version wrote, every later one reads.
"""

from __future__ import annotations

from encrypted_parse.envelope.groups import GroupSession, GroupTicket, group_session_id
from encrypted_parse.envelope.header import Form, Header
from encrypted_parse.envelope.meanings import refuse_other_meaning
from encrypted_parse.envelope.old_signed import (
    DetachedEnvelope,
    decrypt_then_verify,
    decrypt_then_verify_detached,
    sign_then_encrypt,
    sign_then_encrypt_detached,
)
from encrypted_parse.envelope.plain import decrypt, encrypt
from encrypted_parse.envelope.sharing import add_recipients
from encrypted_parse.envelope.signature import card_id, sign, verify
from encrypted_parse.envelope.signed import (
    decrypt_and_verify,
    decrypt_and_verify_all,
    require_signing_key,
    sign_and_encrypt,
)
from encrypted_parse.envelope.text import from_text, is_envelope, to_text

__all__ = [
    "DetachedEnvelope",
    "Form",
    "GroupSession",
    "GroupTicket",
    "Header",
    "add_recipients",
    "card_id",
    "decrypt",
    "decrypt_and_verify",
    "decrypt_and_verify_all",
    "decrypt_then_verify",
    "decrypt_then_verify_detached",
    "encrypt",
    "from_text",
    "group_session_id",
    "is_envelope",
    "refuse_other_meaning",
    "require_signing_key",
    "sign",
    "sign_and_encrypt",
    "sign_then_encrypt",
    "sign_then_encrypt_detached",
    "to_text",
    "verify",
]
