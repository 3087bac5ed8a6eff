"""Hints for errors of Parse Server: what to do next, by what was asked and what the server said.

Classes rest on status and code alone. But what an app runs in its triggers answers with codes of
the app's choice, and then a hint of ours leads away from the app's own text. So a code has its
hint only beside a text of Parse Server's own. Newer servers say "Permission denied" for several.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from attrs import frozen

from encrypted_parse.discretion import front_door

_FORBIDDEN = 119
_HTTP_FORBIDDEN = 403
_MAX_NAMED = 20

# What Parse Server 5.6 to 9.10 itself says with a code. What else comes with it is the app's.
_OWN_TEXTS: Final = {
    code: re.compile(pattern, re.IGNORECASE)
    for code, pattern in {
        1: r"internal server error",
        101: r"object not found|permission denied",
        107: r"cannot route batch path",
        111: r"schema mismatch|permission denied",
        _FORBIDDEN: (
            r"permission denied|this user |clients aren't |read-only masterkey|unauthorized|"
            r"master key is required|route not allowed"
        ),
        141: r"invalid function",
        159: r"duplicate request",
        206: r"permission denied|insufficient auth|cannot modify user",
        209: r"permission denied|invalid session|session token (is|has) expired",
    }.items()
}


@front_door
@frozen
class Asked:
    """What a request that failed had asked for.

    Attributes:
        columns: The columns that it would have written.
        as_master: It carried a master key, which no permission stops.
    """

    columns: Collection[str] = ()
    as_master: bool = False


@front_door
def hint_for(
    code: int | None, status: int | None, text: str | None, usual: str | None, asked: Asked
) -> str | None:
    """Return the hint of a refusal: the *usual* one of its code or status, a better one, or none.

    Args:
        code: Parse's error code, if the answer had one.
        status: HTTP's, if it is no item of a batch.
        text: The server's text, if there was one.
        usual: The hint that goes with the code or status.
        asked: What was asked for.
    """
    own = _OWN_TEXTS.get(code or 0)
    if own is not None and text is not None and not own.match(text):
        return None
    if code == _FORBIDDEN or (code is None and status == _HTTP_FORBIDDEN):
        return _denied(code, text or "", usual, asked)
    return usual


def _denied(code: int | None, text: str, usual: str | None, asked: Asked) -> str | None:
    if asked.as_master:
        return (
            "the server does not take this master key: check PARSE_MASTER_KEY, and the server's "
            "`masterKeyIps`"
        )
    if "master key is required" in text:
        return "only the master key may do this"
    if "non-existent class" in text:
        return "the class does not exist, and clients may not make one: make it in the dashboard"
    columns = sorted({*asked.columns} - {"ACL"})
    if code is None or not columns:
        return usual
    names = ", ".join(columns[:_MAX_NAMED])
    if "addField" in text:
        return (
            f"the class lacks one of the columns {names}, and its permission `addField` lets users "
            "add none: add it in the dashboard"
        )
    return (
        f"the class-level permissions forbid it; or the class lacks one of the columns {names}, "
        "and users may not add any (`addField`)"
    )
