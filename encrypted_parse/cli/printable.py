"""What a terminal may be shown: text that says something, and does nothing.

Names, errors and files come from others. A terminal obeys what is in them: escape sequences move
the cursor, fill the clipboard and hide a link's address; marks of direction and characters
without a shape make one name look like another; a line feed begins a line that looks like ours.
Needs no extra: errors are told where there is none, too.
"""

from __future__ import annotations

import contextlib
import re
import sys
import traceback
from types import TracebackType

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CONTINUED = "\n    "  # so that no line of another's text begins like one of ours
# Printable by Unicode's categories, and yet without a shape: fillers and variation selectors.
_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def printable(text: object) -> str:
    """Return *text* as one line that a terminal shows and does not obey.

    Control characters, marks of direction, what has no shape, separators of lines and halves of
    characters become U+FFFD.
    """
    with_shape = _SHAPELESS.sub(REPLACEMENT, str(text))
    return "".join(char if char.isprintable() else REPLACEMENT for char in with_shape)


def printable_lines(text: str) -> list[str]:
    """Return *text* in lines, each `printable`; tabs become blanks."""
    whole = text.replace("\r\n", "\n").expandtabs()
    return [printable(line) for line in whole.removesuffix("\n").split("\n")]


def paragraph(label: str, text: str) -> str:
    """Return *text* behind a label of ours; its further lines are set in."""
    return f"{label}: {_CONTINUED.join(printable_lines(text))}\n"


def complain(text: str, hint: str | None = None) -> None:
    """Write an error, and what to do next, to standard error."""
    tell(paragraph("error", text) + ("" if hint is None else paragraph("hint", hint)))


def show_mistake(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """Write the traceback of a mistake of ours, as `sys.excepthook`: its text may quote others."""
    tell(paragraph("mistake", "".join(traceback.format_exception(kind, error, where))))


def tell(text: str) -> None:
    """Write lines of ours to standard error; if nobody reads it any more, to nobody."""
    with contextlib.suppress(OSError):
        sys.stderr.write(encodable(text, sys.stderr.encoding))
        sys.stderr.flush()


def encodable(text: str, encoding: str | None) -> str:
    """Return *text* with a question mark for what a terminal's encoding cannot say."""
    name = encoding or "utf-8"
    return text.encode(name, "replace").decode(name)
