"""Every example runs as a user would run it, against the real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from encrypted_parse.devserver import DevServer

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
EXPECTED = {"chat_message": "Lunch at noon?", "private_diary": "Sun! mood=9 garden, bees"}


def test_every_example_is_known() -> None:
    """An example that no test runs does not exist."""
    assert {path.stem for path in EXAMPLES} == set(EXPECTED)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(example: Path, dev_server: DevServer, tmp_path: Path) -> None:
    """It ends with status 0 and prints what it promises."""
    environment = {**dev_server.environment(), "ENCRYPTED_PARSE_KEYSTORE": str(tmp_path / "keys")}
    result = subprocess.run(
        [sys.executable, example],
        env={**environment, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert EXPECTED[example.stem] in result.stdout
