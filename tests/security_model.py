"""What docs/security-model.md says that it does not promise, for the tests that show it."""

from __future__ import annotations

from pathlib import Path

SECURITY_MODEL = Path(__file__).parents[1] / "docs" / "security-model.md"


def not_promised(phrase: str) -> bool:
    """Tell whether a bullet under "What is not promised" of the security model names *phrase*."""
    text = SECURITY_MODEL.read_text("utf-8")
    section = text.partition("## What is not promised\n")[2].partition("\n## ")[0]
    bullets = [bullet.partition("\n\n")[0] for bullet in section.split("\n- ")[1:]]
    return any(phrase.casefold() in " ".join(bullet.casefold().split()) for bullet in bullets)
