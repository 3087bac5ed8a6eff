"""Markdown whose ```python blocks run, in order, sharing one namespace, as a reader types them."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OPENED = re.compile(r"^\s*```+ *(?:python|py)\b.*$", re.MULTILINE)
NAMESPACE = "documented_example"


def python_blocks(markdown: str) -> list[tuple[int, str]]:
    """Return every ```python block with the number of its first line; none may hide."""
    blocks = [
        (markdown.count("\n", 0, match.start(1)) + 1, match[1])
        for match in FENCE.finditer(markdown)
    ]
    assert blocks, "shows no Python"
    assert len(OPENED.findall(markdown)) == len(blocks), "a block hides behind an odd ending"
    return blocks


def run(path: Path, names: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a file's blocks with *names* defined; a traceback points at its line. Return all names.

    The blocks live in a module, because a model looks its annotations up in the one that it was
    made in.
    """
    module = types.ModuleType(NAMESPACE)
    monkeypatch.setitem(sys.modules, NAMESPACE, module)
    vars(module).update(names)
    for line, source in python_blocks(path.read_text("utf-8")):
        placed = "\n" * (line - 1) + source
        code = compile(placed, str(path), "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 - our own docs
    return vars(module)
