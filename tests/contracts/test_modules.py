"""What every module keeps to: its size, its docstrings, its floor's foreign imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import encrypted_parse

ROOT = Path(encrypted_parse.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 400
LEAST_DOCSTRING_CHARACTERS = 5  # "Code 203." is one; "." is not

# Foreign package -> the only floor that may import it.
ONLY_IMPORTER = {"cryptography": "crypto", "requests": "transport", "urllib3": "transport"}

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Documented]]:
    for node in body:
        if not isinstance(node, Documented) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
        if "overload" in decorators or any(text.endswith(".setter") for text in decorators):
            continue
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body, f"{prefix}{node.name}.")


def _foreign_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            names |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return {name.split(".")[0] for name in names}


def test_the_set_of_modules_is_not_empty() -> None:
    """The tests below look at the real package."""
    assert len(MODULES) >= 30
    for package, floor in ONLY_IMPORTER.items():
        users = [path for path in (ROOT / floor).glob("*.py") if package in _foreign_imports(path)]
        assert users or package == "urllib3", f"{floor} does not import {package}"


@pytest.mark.parametrize("path", [m for m in MODULES if m.name != "errors.py"], ids=_name)
def test_no_module_is_too_long(path: Path) -> None:
    """A module is one idea, 400 lines at the most; the list of errors is one, and longer."""
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_everything_public_has_a_docstring(path: Path) -> None:
    """Every module, public class, function and method says what it promises."""
    tree = _tree(path)
    silent = [
        name
        for name, node in [("the module", tree), *_public(tree.body)]
        if len(ast.get_docstring(node) or "") < LEAST_DOCSTRING_CHARACTERS
    ]
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_foreign_packages_come_in_by_one_door(path: Path) -> None:
    """Only crypto imports cryptography; only transport imports requests, even inside functions."""
    floor = path.relative_to(ROOT).parts[0]
    misplaced = {
        package
        for package in _foreign_imports(path) & ONLY_IMPORTER.keys()
        if ONLY_IMPORTER[package] != floor
    }
    assert misplaced == set()
