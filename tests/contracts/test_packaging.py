"""The wheel: everything that a user needs, nothing that is ours alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SOURCES = ("encrypted_parse", "cloud_code")
FILES = ("pyproject.toml", "README.md", "LICENSE", ".gitignore")
BUILD_TIMEOUT_SECONDS = 120
CANARY = "canary-that-must-not-ship.js"

REQUIRED = (
    "encrypted_parse/__init__.py",
    "encrypted_parse/py.typed",
    "encrypted_parse/devserver/node/package.json",
    "encrypted_parse/devserver/node/package-lock.json",
    "encrypted_parse/devserver/node/server.mjs",
    "encrypted_parse/_cloud_code/main.js",
    "encrypted_parse/_cloud_code/main.mjs",
    "encrypted_parse/_cloud_code/app.mjs",
    "encrypted_parse/_cloud_code/lib/package.json",
    "encrypted_parse/_cloud_code/package.json",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """Build the wheel from a copy in which npm has been at work."""
    folder = tmp_path_factory.mktemp("project")
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copyfile(PROJECT / name, folder / name)
    for place in ("encrypted_parse/devserver/node", "cloud_code"):
        litter = folder / place / "node_modules" / "some-package" / CANARY
        litter.parent.mkdir(parents=True)
        litter.write_text("")
    build = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=BUILD_TIMEOUT_SECONDS,
    )
    assert build.returncode == 0, build.stderr
    (built,) = (folder / "out").glob("*.whl")
    return zipfile.Path(built)


@pytest.fixture(scope="module")
def names(wheel: zipfile.Path) -> set[str]:
    """The names of the files in the wheel."""
    return set(wheel.root.namelist())


def test_what_users_need_is_inside(names: set[str]) -> None:
    """Types, the server's lock file, and the cloud code with its whole library are shipped."""
    assert set(REQUIRED) <= names
    library = {path.name for path in (PROJECT / "cloud_code" / "lib").glob("*.js")}
    assert library, "cloud_code/lib is empty"
    assert {f"encrypted_parse/_cloud_code/lib/{name}" for name in library} <= names


def test_every_module_is_inside(names: set[str]) -> None:
    """No rule of .gitignore or pyproject.toml drops a module."""
    modules = {
        str(path.relative_to(PROJECT)) for path in (PROJECT / "encrypted_parse").rglob("*.py")
    }
    assert len(modules) >= 30
    assert modules <= names


def test_what_is_ours_alone_is_not_inside(names: set[str]) -> None:
    """No tests, no installed npm packages, no caches; nothing lands beside the package."""
    parts = {part for name in names for part in name.split("/")}
    assert not parts & {"tests", "test", "node_modules", "__pycache__", "examples", CANARY}
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"encrypted_parse"}
    assert not [name for name in names if re.search(r"\.test\.m?js$|(^|/)test_[^/]*\.py$", name)]


def test_lock_files_name_no_registry() -> None:
    """A lock file pins versions and hashes; where to fetch from is the user's setting."""
    locks = [
        path
        for folder in ("encrypted_parse", "cloud_code", "tests", "examples")
        for pattern in ("package-lock.json", "npm-shrinkwrap.json", "*.lock")
        for path in (PROJECT / folder).rglob(pattern)
        if "node_modules" not in path.parts
    ]
    assert PROJECT / "encrypted_parse/devserver/node/package-lock.json" in locks
    for path in locks:
        text = path.read_text("utf-8")
        assert '"resolved"' not in text, path
        assert not re.search(r"https?://[^\"/]*registry", text), path
        assert '"integrity"' in text, f"{path} pins no hashes"


def test_the_command_is_declared(wheel: zipfile.Path) -> None:
    """Installing the wheel gives the command `encrypted-parse`."""
    (info,) = (entry for entry in wheel.iterdir() if entry.name.endswith(".dist-info"))
    assert "encrypted-parse = encrypted_parse.cli" in (info / "entry_points.txt").read_text("utf-8")
