"""Every example runs as a user would run it, against the real server."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from encrypted_parse.devserver import DevServer

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = [*sorted(FOLDER.glob("*.py")), FOLDER / "parse_rest" / "chat.py"]
EXPECTED = {
    "chat": "Lunch at noon?",
    "chat_message": "Lunch at noon?",
    "guarded_server": "refused: ",
    "private_diary": "Sun! mood=9 garden, bees",
    "team_photos": "the guest is a reader: False",
}


def test_every_example_is_known() -> None:
    """An example that no test runs does not exist."""
    assert {path.stem for path in EXAMPLES} == set(EXPECTED)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(example: Path, dev_server: DevServer, tmp_path: Path) -> None:
    """It ends with status 0 and prints what it promises."""
    environment = {
        **{name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ},
        **dev_server.environment(),
        "ENCRYPTED_PARSE_KEYSTORE": str(tmp_path / "keys"),
    }
    result = subprocess.run(
        [sys.executable, example],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert EXPECTED[example.stem] in result.stdout


def test_moving_an_app_takes_three_lines() -> None:
    """What is added to an app of parse_rest: an import, a call, a decorator."""
    before, after = (
        (FOLDER / "parse_rest" / name).read_text("utf-8").split('"""', 2)[2].splitlines()
        for name in ("messages_before.py", "messages.py")
    )
    added = [
        line[2:] for line in difflib.ndiff(before, after) if line.startswith("+ ") and line[2:]
    ]
    assert [line.split("(")[0].split()[0] for line in added] == [
        "from",
        "connect",
        "@encrypted_object",
    ]
