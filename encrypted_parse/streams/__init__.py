"""Envelopes of any size: files and file objects in and out, in flat memory (section 5.6).

Every function takes a path or a binary file object at both ends. Plaintext appears at its target
only after everything was verified: a path is replaced in one step, a file object is written to
from a private temporary file.
"""

from __future__ import annotations

from encrypted_parse.streams.reading import (
    decrypt_and_verify_file,
    decrypt_file,
    decrypt_shared_file,
    decrypt_then_verify_file,
)
from encrypted_parse.streams.signing import sign_file, verify_file
from encrypted_parse.streams.source import File, Progress
from encrypted_parse.streams.writing import (
    encrypt_file,
    encrypt_shared_file,
    sign_and_encrypt_file,
    sign_then_encrypt_file,
)

__all__ = [
    "File",
    "Progress",
    "decrypt_and_verify_file",
    "decrypt_file",
    "decrypt_shared_file",
    "decrypt_then_verify_file",
    "encrypt_file",
    "encrypt_shared_file",
    "sign_and_encrypt_file",
    "sign_file",
    "sign_then_encrypt_file",
    "verify_file",
]
