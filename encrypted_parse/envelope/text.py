"""The text form of envelopes: standard base64, as E3Kit stores it in String columns.

It is written in one piece. Apps that encode bytes themselves often write lines (Android's default,
the command `base64`), which every E3Kit reads: white space is skipped. No signature covers it.
"""

from __future__ import annotations

import base64
import binascii

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope.header import Header
from encrypted_parse.errors import MalformedEnvelopeError

_SHORTEST_ENVELOPE_TEXT = 44  # 32 bytes, the shortest message (section 4)


@front_door
def to_text(envelope: bytes) -> str:
    """Return the base64 that an encrypted column holds."""
    return base64.b64encode(envelope).decode("ascii")


@front_door
def from_text(text: str) -> bytes:
    """Return the bytes of standard base64 with padding; white space (ASCII) in it is skipped.

    Raises:
        MalformedEnvelopeError: Anything else, non-canonical trailing bits included.
    """
    with translating(
        UnicodeEncodeError,
        binascii.Error,
        to=lambda: MalformedEnvelopeError("not an envelope: not base64"),
    ):
        encoded = b"".join(text.encode("ascii").split())
        envelope = base64.b64decode(encoded, validate=True)
    if base64.b64encode(envelope) != encoded:
        raise MalformedEnvelopeError("not an envelope: not canonical base64")
    return envelope


@front_door
def is_envelope(text: str) -> bool:
    """Tell whether *text* is the base64 of a well-formed envelope of any form."""
    # Every header is a SEQUENCE in long form, whose base64 begins with "MI" or "MH".
    if len(text) < _SHORTEST_ENVELOPE_TEXT or not text.lstrip().startswith("M"):
        return False
    try:
        Header.from_bytes(from_text(text))
    except MalformedEnvelopeError:
        return False
    return True
