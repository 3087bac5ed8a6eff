"""docs/formats.md keeps its word: the names exist, and the example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from encrypted_parse import virgil_crypto
from encrypted_parse.e3kit import E3Kit

TEXT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed in a folder with such a file, it leaves the file as it was, and an envelope."""
    monkeypatch.chdir(tmp_path)
    Path("report.pdf").write_bytes(b"a report")
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})  # noqa: S102 - our own documentation
    assert Path("report.pdf").read_bytes() == b"a report"
    assert Path("report.pdf.enc").stat().st_size > len(b"a report")
    assert "8 of 8 bytes" in capsys.readouterr().out


def test_every_call_exists() -> None:
    """Each name in the right column of the table of calls is a public name."""
    table = TEXT.partition("## The calls of")[2].partition("\n## ")[0]
    named = set()
    for line in table.splitlines():
        if line.startswith(("| `", "| session")):
            named |= set(re.findall(r"`([a-z_][a-z0-9_.]*)", line.split("|")[2]))
    named -= {name for name in named if name.startswith("session.")}
    named.discard("use_sha256_identifiers")
    assert len(named) > 25
    assert named <= set(virgil_crypto.__all__)


def test_every_verb_exists() -> None:
    """Each `e3kit.` verb is a method."""
    verbs = set(re.findall(r"`e3kit\.([a-z_]+)`", TEXT))
    assert len(verbs) >= 5
    assert all(callable(getattr(E3Kit, verb)) for verb in verbs)


@pytest.mark.parametrize("name", sorted(set(virgil_crypto.__all__)))
def test_every_public_name_is_documented(name: str) -> None:
    """A name of the public module stands in the document, unless it is a type or no E3Kit call."""
    own = {"card_id", "fingerprint", "encrypt_shared_file", "decrypt_shared_file"}
    if name[0].isupper() and name != "GroupSession":
        return
    assert name in own or name in TEXT
