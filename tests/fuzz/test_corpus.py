"""Every input that fuzzing ever found, and every seed, goes through all parsers again."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.fuzz import CORPUS, seeds
from fuzz.target import one_input

KEPT = sorted(path for path in CORPUS.iterdir() if path.is_file())
SEEDS = dict(seeds())


def test_the_corpus_is_not_empty() -> None:
    """There is something to run."""
    assert len(KEPT) >= 5
    assert len(SEEDS) >= 40


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_kept_inputs(path: Path) -> None:
    """What once failed, or is hostile by design, raises our errors only."""
    one_input(path.read_bytes())


@pytest.mark.parametrize("name", SEEDS)
def test_seeds(name: str) -> None:
    """Genuine input, cut at every eighth byte and with every eighth byte changed."""
    data = SEEDS[name]
    one_input(data)
    for place in range(0, min(len(data), 1500), 8):
        one_input(data[:place])
        one_input(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
