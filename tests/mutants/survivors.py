"""Mutants that survive, and the list of those that may."""

from __future__ import annotations

import tomllib
from pathlib import Path

from attrs import asdict, frozen

LIST = Path(__file__).with_name("survivors.toml")


@frozen(order=True)
class Survivor:
    """A fault that no test noticed. Lines are named by their text, since numbers move.

    Attributes:
        module: The path inside the package.
        function: The innermost function or class.
        was: The lines that were changed, without their indentation.
        became: What they were changed to.
    """

    module: str
    function: str
    was: str
    became: str

    @classmethod
    def from_diff(cls, module: str, function: str | None, diff: str) -> Survivor:
        """Read Cosmic Ray's unified diff of one mutation."""

        def lines(sign: str) -> str:
            changed = [
                line[1:].strip()
                for line in diff.splitlines()
                if line.startswith(sign) and not line.startswith(sign * 3)
            ]
            return " / ".join(changed)

        return cls(module, function or "", lines("-"), lines("+"))

    def to_toml(self) -> str:
        """Return the entry for the list, with the reason to be written."""
        entry = "\n".join(f"{name} = '''{value}'''" for name, value in asdict(self).items())
        return f"[[survivor]]\n{entry}\nreason = ''\n"


def load(path: Path = LIST) -> dict[Survivor, str]:
    """Return the reason of each survivor that is listed.

    Raises:
        ValueError: An entry has no reason, or stands there twice.
    """
    reasons: dict[Survivor, str] = {}
    for entry in tomllib.loads(path.read_text("utf-8")).get("survivor", ()):
        reason = entry.pop("reason")
        survivor = Survivor(**entry)
        if not reason.strip() or survivor in reasons:
            raise ValueError(f"no reason, or twice: {survivor}")
        reasons[survivor] = reason
    return reasons
