"""What a user can import: every package names it, and the top package's list is pinned."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import encrypted_parse

ROOT = Path(encrypted_parse.__file__).parent
PACKAGES = sorted(path.parent for path in ROOT.rglob("__init__.py"))
MODULES = sorted(ROOT.rglob("*.py"))

# The whole public API, beside `encrypted_parse.errors`. A change here is a change for users: it
# belongs into CHANGELOG.md.
TOP_LEVEL = [
    "ACL",
    "Codec",
    "Embedded",
    "EncryptedClient",
    "EncryptedFile",
    "EnvironmentKeystore",
    "File",
    "FileKeystore",
    "GeoPoint",
    "KeyService",
    "KeyringKeystore",
    "MemoryKeystore",
    "Model",
    "Passphrase",
    "Pointer",
    "Polygon",
    "Query",
    "Relation",
    "Results",
    "SaveOutcome",
    "TrustPolicy",
    "UserClient",
    "__version__",
    "acl_readers",
    "computed",
    "encrypted",
    "field",
    "group",
    "only_me",
    "relation",
    "role",
    "users",
    "version",
]


def _package_name(folder: Path) -> str:
    return ".".join(folder.relative_to(ROOT.parent).parts)


def _assigned_lists(tree: ast.Module) -> list[ast.expr | None]:
    """Return the value of every statement that touches `__all__`; None if it is not a plain =."""
    touched = [
        node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "__all__"
    ]
    plain: list[ast.expr | None] = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and [getattr(target, "id", "") for target in node.targets] == ["__all__"]
    ]
    return plain if len(plain) == len(touched) else [None] * len(touched)


def _sort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that the linter keeps too."""
    if name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name


def test_the_set_of_packages_is_not_empty() -> None:
    """The tests below look at the real floors, not at an empty folder."""
    names = {_package_name(folder) for folder in PACKAGES}
    floors = ("crypto", "envelope", "transport", "parse", "keystore", "directory", "e3kit")
    assert {f"encrypted_parse.{floor}" for floor in (*floors, "models", "devserver")} <= names


@pytest.mark.parametrize("folder", PACKAGES, ids=_package_name)
def test_all_is_flat_literal_and_sorted(folder: Path) -> None:
    """A package that holds names lists them once, as a sorted literal without repetitions."""
    tree = ast.parse((folder / "__init__.py").read_text("utf-8"))
    code = [node for node in tree.body if not isinstance(node, ast.Expr)]
    if not code:
        pytest.skip("holds nothing but its docstring")
    lists = _assigned_lists(tree)
    assert len(lists) == 1, "__all__ is assigned exactly once"
    assert isinstance(lists[0], ast.List), "__all__ is a plain list"
    names = ast.literal_eval(lists[0])
    assert names, "__all__ is empty"
    assert all(isinstance(name, str) for name in names)
    assert names == sorted(set(names), key=_sort_key)


@pytest.mark.parametrize("folder", PACKAGES, ids=_package_name)
def test_every_exported_name_resolves_and_nothing_else_is_public(folder: Path) -> None:
    """`__all__` names what is there, and every public name that is imported there."""
    package = importlib.import_module(_package_name(folder))
    exported = getattr(package, "__all__", [])
    assert [name for name in exported if not hasattr(package, name)] == []

    tree = ast.parse((folder / "__init__.py").read_text("utf-8"))
    own = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("encrypted_parse")
        for alias in node.names
    }
    assert {name for name in own if not name.startswith("_")} <= set(exported)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_star_imports(path: Path) -> None:
    """No module imports names that it does not name."""
    stars = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert stars == []


def test_the_top_package_exports_exactly_this() -> None:
    """The public API is the pinned list: nothing joins or leaves it by accident."""
    assert encrypted_parse.__all__ == TOP_LEVEL
