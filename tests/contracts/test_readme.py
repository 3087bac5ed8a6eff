"""README.md keeps its word: every ```python block runs, in order, against a real server.

The blocks share one namespace, as a reader would type them one after the other. They find the
server through the environment, as `EncryptedClient.from_env()` does.
"""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any, Protocol

import pytest

README = Path(__file__).parents[2] / "README.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMESPACE = "readme_example"


class ServerInfo(Protocol):
    """What the fixture `dev_server` of tests/conftest.py gives."""

    url: str
    application_id: str
    rest_api_key: str
    directory_url: str
    service_public_key: str


def python_blocks(markdown: str) -> list[tuple[int, str]]:
    """Return every ```python block with the number of its first line."""
    return [
        (markdown.count("\n", 0, match.start(1)) + 1, match[1])
        for match in FENCE.finditer(markdown)
    ]


def run_blocks(blocks: list[tuple[int, str]], namespace: dict[str, Any]) -> None:
    """Execute *blocks* in *namespace*; a traceback points at the line of README.md."""
    for line, source in blocks:
        placed = "\n" * (line - 1) + source
        code = compile(placed, str(README), "exec", dont_inherit=True)
        exec(code, namespace)  # noqa: S102 - our own README


@pytest.fixture
def readme_environment(
    dev_server: ServerInfo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> ServerInfo:
    """Give the examples the server by its variables, and a home of their own."""
    for name, value in {
        "PARSE_SERVER_URL": dev_server.url,
        "PARSE_APPLICATION_ID": dev_server.application_id,
        "PARSE_REST_API_KEY": dev_server.rest_api_key,
        "VIRGIL_API_URL": dev_server.directory_url,
        "VIRGIL_SERVICE_PUBLIC_KEY": dev_server.service_public_key,
        "ENCRYPTED_PARSE_KEYSTORE": str(tmp_path / "keys"),
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return dev_server


def prepare(server: ServerInfo) -> dict[str, Any]:
    """Make what README.md takes for granted, and return the names that its blocks begin with."""
    return {}


def test_every_python_block_is_found() -> None:
    """A fence that is opened as python is one that runs: none hides behind an odd ending."""
    markdown = README.read_text("utf-8")
    opened = re.findall(r"^\s*```+ *(?:python|py)\b.*$", markdown, re.MULTILINE)
    assert python_blocks(markdown), "README.md shows no Python"
    assert len(opened) == len(python_blocks(markdown))


def test_every_python_block_runs(
    readme_environment: ServerInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed one after the other, the examples work on a real Parse Server."""
    # A module, because a model class looks its annotations up in the one that it was made in.
    module = types.ModuleType(NAMESPACE)
    monkeypatch.setitem(sys.modules, NAMESPACE, module)
    vars(module).update(prepare(readme_environment))
    run_blocks(python_blocks(README.read_text("utf-8")), vars(module))
