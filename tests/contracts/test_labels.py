"""docs/spec/labels.md lists every label, once, and what a user's key signs keeps to its lengths."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import encrypted_parse
from encrypted_parse.crypto.labels import MAX_SIGNED_BYTES, MIN_SIGNED_BYTES, Label, encode

ROOT = Path(encrypted_parse.__file__).parent
DOCS = ROOT.parent / "docs" / "spec" / "labels.md"
REGISTRY = ROOT / "crypto" / "labels.py"
FIRST, SECOND, THIRD = "## Labels in the one encoding", "## Labels from before", "## What E3Kit"
_OLD_LABEL = re.compile(rb"encrypted_parse [a-z][a-z ]* \d|VIRGIL_[A-Z_]+")


def rows(start: str, end: str | None) -> list[list[str]]:
    """Return the rows of a table of the document, without its head."""
    part = DOCS.read_text("utf-8").split(start)[1]
    part = part if end is None else part.split(end)[0]
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("|")
    ]
    assert len(found) > 2
    return found[2:]


def test_the_table_is_the_registry() -> None:
    """Each label with its name, in order; none is a beginning of another."""
    documented = [(cells[0].strip("`"), cells[1].strip("`")) for cells in rows(FIRST, SECOND)]
    assert documented == [(label.value.decode(), label.name) for label in Label]
    starts = [encode(label) for label in Label]
    for start in starts:
        assert [other for other in starts if other.startswith(start)] == [start]


def test_what_is_signed_has_a_length_of_its_own() -> None:
    """Longer than a digest, shorter than a group's ciphertext, as the table says."""
    signed = [cells for cells in rows(FIRST, SECOND) if cells[2].startswith("signed by")]
    assert signed
    for cells in signed:
        statement = encode(Label[cells[1].strip("`")], bytes(32), bytes(32))
        assert MIN_SIGNED_BYTES <= len(statement) <= MAX_SIGNED_BYTES
        assert str(len(statement)) == cells[3]
    assert MIN_SIGNED_BYTES > 64
    assert MAX_SIGNED_BYTES < 176


def test_every_label_of_the_code_is_in_the_document() -> None:
    """Byte strings that look like labels stand in the second table, with their module."""
    found = set()
    for path in sorted(ROOT.rglob("*.py")):
        if path == REGISTRY:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                assert not node.value.startswith(b"ep1/"), f"{path}: a label has to be a Label"
                if _OLD_LABEL.match(node.value):
                    label = node.value.rstrip(b"\x00").decode()
                    found.add((label, str(path.relative_to(ROOT))))
    documented = {(cells[0].strip("`"), cells[1].strip("`")) for cells in rows(SECOND, THIRD)}
    assert found == documented


def test_the_encoding_is_the_documented_one() -> None:
    """Length, label, and each part after its length; different parts are different bytes."""
    assert encode(Label.CARD_LINK, b"a", b"") == (
        b"\x0dep1/card-link" + b"\x00\x00\x00\x01a" + b"\x00\x00\x00\x00"
    )
    assert encode(Label.CARD_LINK, b"ab", b"c") != encode(Label.CARD_LINK, b"a", b"bc")
