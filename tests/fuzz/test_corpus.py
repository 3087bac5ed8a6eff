"""Every input that fuzzing ever found, and every seed, goes through its target again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import envelopes, fuzz, records

TARGETS = {"envelopes": envelopes, "records": records}
KEPT = [(target, path) for target in TARGETS for path in fuzz.kept(target)]
SEEDS = [(target, *seed) for target, module in TARGETS.items() for seed in module.seeds()]
MOST_CUTS = 100


def test_the_corpus_is_not_empty() -> None:
    """There is something to run, for each target that `make fuzz` runs."""
    assert tuple(TARGETS) == fuzz.TARGETS
    for target, inputs, seeds in (("envelopes", 5, 40), ("records", 10, 25)):
        assert len([path for name, path in KEPT if name == target]) >= inputs
        assert len([name for name, *_ in SEEDS if name == target]) >= seeds


def test_a_corpus_that_moved_away_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader that finds no input fails, and does not pass for a test."""
    monkeypatch.setattr(fuzz, "CORPUS", tmp_path)
    with pytest.raises(ValueError, match="nothing"):
        fuzz.kept("envelopes")


@pytest.mark.parametrize(("target", "path"), KEPT, ids=lambda value: getattr(value, "name", value))
def test_kept_inputs(target: str, path: Path) -> None:
    """What once failed, or is hostile by design, raises our errors only."""
    TARGETS[target].one_input(path.read_bytes())


@pytest.mark.parametrize(
    ("target", "name", "data"), SEEDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_seeds(target: str, name: str, data: bytes) -> None:
    """Genuine input, and the same cut and with a byte changed at up to 100 places."""
    one_input: Callable[[bytes], None] = TARGETS[target].one_input
    one_input(data)
    for place in range(0, min(len(data), 1500), max(8, len(data) // MOST_CUTS)):
        one_input(data[:place])
        one_input(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
