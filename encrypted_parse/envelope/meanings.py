"""What a signature over some bytes could count as, beside "the user wrote this".

E3Kit signs everything alike: messages, files, cards, group tickets and the old key archive are each
a digest under the user's one key. So a text that is also a card, signed by its author as a message,
is a card of the author's. Whoever signs what other people wrote, quotes or hands over has to look
at it first. Our own labelled statements are longer than any digest (docs/spec/labels.md).
"""

from __future__ import annotations

import json
import re

from encrypted_parse.crypto import primitives as p
from encrypted_parse.crypto.labels import Label
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope import protobuf
from encrypted_parse.errors import OtherMeaningError

MAX_MEANING_BYTES = 64 * 1024
"""How much of the beginning is looked at: as long as any snapshot that a reader takes. What follows
plays no part, since a card's signature may cover more than its snapshot."""

_SNAPSHOT = frozenset({"identity", "public_key"})
_ARCHIVE = frozenset({"keys", "recovery_key", "user_id"})
_JSON_MEANINGS = ((_SNAPSHOT, "a card"), (_ARCHIVE, "a key archive"))
_ARCHIVE_HEADS = (b"\xa1\x02\x01\x01", b"\xa1\x02\x01\x02")  # docs/spec/archive.md
_ARCHIVE_BYTES = 1_176  # a single wrap, and more follows
_ESCAPE = re.compile(r"\\u00([4-7][0-9a-f])", re.IGNORECASE)
_JSON = json.JSONDecoder(
    object_pairs_hook=lambda pairs: {name.casefold() for name, _ in pairs},
    parse_float=len,
    parse_int=len,
    parse_constant=len,
)
_BEFORE_JSON = re.compile(
    r"(?:[ \t\r\n\ufeff]|//[^\r\n]*|\#[^\r\n]*|/\*.*?\*/|\)\]\}')*", re.DOTALL
)
"""What some reader passes over: E3Kit's for Kotlin, comments and Gson's first line too."""
_TICKET = 2  # the field of a group message that is a ticket, and its fields
_TICKET_STARTS = (b"\x12", b"\x92")  # that field's key, in one byte or in more
_SESSION_ID, _KEY = 1, 3
_TICKET_LENGTHS = (0, 32)  # E3Kit reads an empty one as zeros


@front_door
def refuse_other_meaning(data: p.Buffer) -> None:
    """Refuse content that, signed as a user's, would be a card, a ticket or an archive.

    Tolerant as the most tolerant reader of each: a byte order mark, blanks, comments, repeated,
    additional or differently written members, escapes, impossible numbers, and anything after the
    end.

    Args:
        data: The content, or its first `MAX_MEANING_BYTES`.

    Raises:
        OtherMeaningError: It is one. The message does not quote it.
    """
    # (1) a statement of ours   (2) a group's ticket, or a key archive   (3) JSON with the members
    # of a card or of an archive's old form   (4) what begins like JSON, is none, and names those
    head = bytes(memoryview(data)[:MAX_MEANING_BYTES])
    if any(head.startswith(_prefix(label)) for label in Label):  # (1)
        raise _refusal("a statement of this package")
    if _is_ticket(head):  # (2)
        raise _refusal("a group's ticket")
    if head.startswith(_ARCHIVE_HEADS) and len(head) > _ARCHIVE_BYTES:
        raise _refusal("a key archive")
    text = _BEFORE_JSON.sub("", head.decode(json.detect_encoding(head), "replace"), count=1)
    if not text.startswith("{"):
        return
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text).casefold()
    for members, meaning in _JSON_MEANINGS:
        if all(name in plain for name in members) and _has_members(text, members):  # (3), (4)
            raise _refusal(meaning)


def _has_members(text: str, members: frozenset[str]) -> bool:
    try:
        content, _ = _JSON.raw_decode(text)
    except (ValueError, RecursionError):
        return True  # some reader may take it, and the names are there
    return isinstance(content, set) and members <= content


def _is_ticket(head: bytes) -> bool:
    """Tell whether *head* begins with fields of which one is a ticket; repeated ones are one."""
    if not any(start in head for start in _TICKET_STARTS):
        return False
    found: set[int] = set()
    for number, value in protobuf.walk(head):
        if number == _TICKET and isinstance(value, bytes):
            found |= {
                inner
                for inner, part in protobuf.walk(value)
                if isinstance(part, bytes) and len(part) in _TICKET_LENGTHS
            }
    return found >= {_SESSION_ID, _KEY}


def _prefix(label: Label) -> bytes:
    return len(label.value).to_bytes(1, "big") + label.value


def _refusal(meaning: str) -> OtherMeaningError:
    return OtherMeaningError(
        f"signed, this would count as {meaning} of yours, whoever wrote it",
        hint="if it has to be sent: put something before it, such as a word or a quotation mark",
    )
