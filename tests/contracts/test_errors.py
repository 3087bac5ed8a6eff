"""The error tree: one base, drawn as it is, every leaf in use, every hint shown."""

from __future__ import annotations

import ast
import inspect
import traceback
from pathlib import Path
from typing import Any

import pytest

import encrypted_parse
from encrypted_parse import errors
from encrypted_parse.errors import EncryptedParseError

ROOT = Path(encrypted_parse.__file__).parent
OTHER_MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "errors.py")
CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and value.__module__ == errors.__name__
]
LEAVES = [cls for cls in CLASSES if not cls.__subclasses__()]
FEWEST_CLASSES = 40  # the tree had 56 when this was written

# Values for the parameters that constructors of this tree take.
ARGUMENTS: dict[str, Any] = {
    "message": "what happened",
    "hint": "what to do",
    "extra": "cli",
    "feature": "the command line",
    "user_id": "u1",
    "deleted": (),
    "user_ids": ["u1", "u2"],
    "code": 101,
    "status": 400,
    "epoch": 1,
    "fingerprint": "ab" * 32,
    "known": "u2",
    "signer_id": b"12345678",
    "size_bytes": 2,
    "limit_bytes": 1,
    "overwritten": False,
    "reasons": {"u1": errors.NotRegisteredError(["u1"])},
}


def _make(cls: type[EncryptedParseError]) -> EncryptedParseError:
    parameters = inspect.signature(cls).parameters
    return cls(**{name: ARGUMENTS[name] for name in parameters})


def _drawn_tree() -> dict[str, str | None]:
    """Read the docstring's drawing as child -> parent."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip(" │├└─")
        if not name.endswith("Error") or " " in name:
            continue
        depth = (len(line) - len(name) - 4) // 4  # the drawing is indented by four
        del above[depth:]
        assert len(above) == depth, f"drawn without a parent: {name}"
        assert name not in parents, f"drawn twice: {name}"
        parents[name] = above[-1] if above else None
        above.append(name)
    return parents


class _Uses(ast.NodeVisitor):
    """Collects names where a class may be on its way to `raise`: not where it is caught."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.names.add(node.attr)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_Call(self, node: ast.Call) -> None:
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if called == "translating":  # its arguments are what is caught
            for keyword in node.keywords:
                self.visit(keyword.value)
            return
        if called not in ("isinstance", "issubclass", "suppress"):
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """An annotation raises nothing."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)


def _names_in_use() -> set[str]:
    uses = _Uses()
    for path in OTHER_MODULES:
        uses.visit(ast.parse(path.read_text("utf-8")))
    return uses.names


NAMES_IN_USE = _names_in_use()


def test_the_sets_looked_at_are_not_empty() -> None:
    """The tests below look at the real tree and the real modules."""
    assert len(CLASSES) >= FEWEST_CLASSES
    assert len(LEAVES) >= FEWEST_CLASSES // 2
    assert len(OTHER_MODULES) >= 30
    assert "ConfigurationError" in NAMES_IN_USE


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_has_the_one_base(cls: type[Exception]) -> None:
    """Catching EncryptedParseError catches everything that is raised on purpose."""
    assert issubclass(cls, EncryptedParseError)
    assert (cls.__doc__ or "").strip(), "says what it is for"


def test_no_other_module_declares_an_error() -> None:
    """The tree has no branch outside errors.py."""
    strangers = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in OTHER_MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if path.relative_to(ROOT).parts[0] != "testing"  # the server in memory refuses, too
        and isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
    ]
    assert strangers == []


def test_the_drawing_is_the_tree() -> None:
    """The tree in the docstring of errors.py is the real one: each class, under its parent."""
    real: dict[str, str | None] = {}
    for cls in CLASSES:
        parents = [base.__name__ for base in cls.__bases__ if issubclass(base, EncryptedParseError)]
        assert len(parents) == (0 if cls is EncryptedParseError else 1), "a tree, not a net"
        real[cls.__name__] = parents[0] if parents else None
    assert _drawn_tree() == real


@pytest.mark.parametrize("cls", LEAVES)
def test_every_leaf_is_raised_somewhere(cls: type[EncryptedParseError]) -> None:
    """No class is a promise that no code keeps."""
    assert cls.__name__ in NAMES_IN_USE


@pytest.mark.parametrize("cls", CLASSES)
def test_hints_show_up_as_notes(cls: type[EncryptedParseError]) -> None:
    """A hint, given or built in, is an attribute and stands at the end of the traceback."""
    error = _make(cls)
    assert error.hint
    assert error.__notes__ == [f"hint: {error.hint}"]
    assert traceback.format_exception(error)[-1].strip() == f"hint: {error.hint}"


def test_no_hint_leaves_no_note() -> None:
    """Without a hint the traceback ends with the message."""
    error = EncryptedParseError("what happened")
    assert error.hint is None
    assert not hasattr(error, "__notes__")
