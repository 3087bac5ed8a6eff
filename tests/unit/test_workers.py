"""The threads that open values."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from encrypted_parse.models.workers import WORTH_SHARING, Workers

FORK = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from encrypted_parse.models.workers import Workers
workers = Workers(2)
def total():
    found = []
    workers.each(lambda part: found.extend(part), list(range(100)))
    return sorted(found) == list(range(100))
assert total()
child = os.fork()
if child == 0:
    os._exit(0 if total() else 1)
assert os.waitpid(child, 0)[1] == 0
assert total()
"""


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [0, 1, WORTH_SHARING - 1, WORTH_SHARING, 101])
def test_every_item_is_worked_on_once(threads: int, count: int) -> None:
    """Slices cover all, whatever their number."""
    seen: list[int] = []
    Workers(threads).each(seen.extend, list(range(count)))
    assert sorted(seen) == list(range(count))


def test_several_threads_work() -> None:
    """Slices meet at a barrier, which one thread could not pass."""
    barrier = threading.Barrier(2, timeout=10)
    Workers(2).each(lambda _: barrier.wait(), list(range(WORTH_SHARING)))


def test_errors_come_out() -> None:
    """Whatever slice it was in."""
    for bad in (0, 99):

        def work(part: list[int], bad: int = bad) -> None:
            if bad in part:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            Workers(4).each(work, list(range(100)))


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_after_a_fork() -> None:
    """The child makes threads of its own."""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK, str(root)], check=True, timeout=30)
