"""`mypy --strict` understands a model, as an editor does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GOOD = """
from encrypted_parse import Model, UserClient, acl_readers, encrypted, only_me

class Message(Model):
    thread_id: str
    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")
    score: int | None = encrypted(to=only_me(), default=None)

def use(alice: UserClient) -> str:
    message = alice.save(Message(thread_id="t", sender_id=alice.user_id, body="x"))
    message.score = 3
    first = alice.query(Message).filter(thread_id="t").first()
    return message.body if first is None else first.body
"""
BAD = {
    'Message(thread_id="t", sender_id="s")': "Missing named argument",
    'Message(thread_id=1, sender_id="s", body="x")': "incompatible type",
    'Message(thread_id="t", sender_id="s", body="x", colour="red")': "Unexpected keyword",
    'Message("t", "s", "x")': "positional",
    'Message(thread_id="t", sender_id="s", body="x").score.upper()': "has no attribute",
}


def check(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy as a user's project would."""
    (folder / "sample.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache", "sample.py"],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )


def test_a_right_use_has_no_error(tmp_path: Path) -> None:
    """Declaring, making, saving and querying a model type-checks without a cast."""
    result = check(GOOD, tmp_path)
    assert result.returncode == 0, result.stdout


def test_wrong_uses_are_errors(tmp_path: Path) -> None:
    """Missing, wrong, unknown and positional arguments are errors, each on its line."""
    result = check(GOOD + "\n".join(BAD), tmp_path)
    lines = result.stdout.splitlines()
    first = GOOD.count("\n") + 1
    for offset, (source, expected) in enumerate(BAD.items()):
        found = [line for line in lines if line.startswith(f"sample.py:{first + offset}:")]
        assert any(expected in line for line in found), (source, lines)
