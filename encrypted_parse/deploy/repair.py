"""`cloud doctor --repair`: take out of the companion's classes what is not the companion's."""

from __future__ import annotations

from collections.abc import Mapping

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import MalformedResponseError
from encrypted_parse.parse import ParseClient

_REPAIR = "encrypted-parse-repair"
_MOST_CALLS = 10_000  # of some 500 rows each: a server that lies does not keep us for ever


@front_door
def repair(parse: ParseClient) -> Mapping[str, int]:
    """Close the companion's classes; move rows away that are not its own. Ours stay.

    Moved rows are kept in the class EncryptedParseForeign, which only the master key opens. Rows
    that an earlier version of the companion wrote are sealed. It can be stopped and repeated.

    Args:
        parse: A client with the master key.

    Returns:
        How many rows were moved or sealed, by class; nothing for a class that was in order.

    Raises:
        FunctionFailedError: The companion is not deployed, or older than this.
        MalformedResponseError: Something else answers.
    """
    total: dict[str, int] = {}
    for _ in range(_MOST_CALLS):
        done = _repaired(parse.call_function(_REPAIR))
        if not any(done.values()):
            return total
        for name, count in done.items():
            if count:
                total[name] = total.get(name, 0) + count
    raise MalformedResponseError("the repair does not come to an end")


def _repaired(answer: object) -> Mapping[str, int]:
    done = answer.get("repaired") if isinstance(answer, Mapping) else None
    if not isinstance(done, Mapping) or not all(
        isinstance(name, str) and type(count) is int and count >= 0 for name, count in done.items()
    ):
        raise MalformedResponseError(f"the function {_REPAIR} answers something else")
    return done
