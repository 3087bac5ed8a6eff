"""What docs/security-model.md promises, with the tests that it names, and what it does not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[1]
SECURITY_MODEL = ROOT / "docs" / "security-model.md"
_TEST = re.compile(r"`(tests/[\w/.-]+?\.\w+)(?:::(\w+))?`")
_CLAIM = re.compile(r"\*\*(.+?)\*\*")


@frozen
class NamedTest:
    """A file of tests, or one test of it, that the security model names."""

    path: str
    function: str | None

    def find_fault(self) -> str | None:
        """Return why this is no test that would be run; None if it is one."""
        path = ROOT / self.path
        if not path.is_file():
            return f"{self.path} does not exist"
        if not (path.name.startswith("test_") and path.suffix == ".py"):
            return f"{self.path} is no file that pytest collects"
        found = _tests_in(path)
        if not found:
            return f"{self.path} holds no test"
        if self.function is not None and self.function not in found:
            return f"{self.path} holds no {self.function}"
        return None


@frozen
class Bullet:
    """One item of the security model: its claim in bold, or its first words, and its text."""

    claim: str
    text: str

    @property
    def tests(self) -> tuple[NamedTest, ...]:
        """The tests that it names."""
        return tuple(NamedTest(path, name or None) for path, name in _TEST.findall(self.text))


def promises() -> list[Bullet]:
    """Return the bullets under "What is promised"."""
    return _bullets("What is promised")


def limits() -> list[Bullet]:
    """Return the bullets under "What is not promised"."""
    return _bullets("What is not promised")


def not_promised(phrase: str) -> bool:
    """Tell whether a bullet under "What is not promised" of the security model names *phrase*."""
    return any(phrase.casefold() in bullet.text.casefold() for bullet in limits())


def _bullets(heading: str) -> list[Bullet]:
    text = SECURITY_MODEL.read_text("utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = []
    for part in section.split("\n- ")[1:]:
        words = " ".join(part.partition("\n\n")[0].split())
        claim = _CLAIM.match(words)
        found.append(Bullet(claim[1] if claim else words[:60], words))
    return found


def _tests_in(path: Path) -> set[str]:
    """Return the functions that pytest would collect, and what becomes a `TestCase`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if name.startswith(("test_", "Test"))}
