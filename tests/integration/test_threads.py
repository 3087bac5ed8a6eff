"""One client, many threads and processes, and connections that the server drops."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from encrypted_parse import Model, UserClient, acl_readers, encrypted
from encrypted_parse.devserver import DevServer
from encrypted_parse.errors import ServerFailedError

MakeUser = Callable[..., UserClient]
THREADS = 32
KEEP_ALIVE_SECONDS = 5  # of Node's HTTP server


class Line(Model, parse_class="ThreadLine"):
    """What threads write and read."""

    owner_id: str
    number: int
    text: str = encrypted(to=acl_readers(), author="owner_id")


FORK = """
import os
from encrypted_parse import EncryptedClient, MemoryKeystore, Model, encrypted, only_me

class Line(Model, parse_class="ThreadForked"):
    number: int
    text: str = encrypted(to=only_me())

me = EncryptedClient.from_env(keystore=MemoryKeystore()).sign_up("forker", "password")
me.register()
me.save_all([Line(number=number, text=str(number)) for number in range(40)])

def total():
    return sum(int(line.text) for line in me.query(Line))

assert total() == 780
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for _ in range(5):
                assert total() >= 780
            me.save(Line(number=1, text="0"))
            status = 0
        finally:
            os._exit(status)
    children.append(child)
for _ in range(5):
    assert total() >= 780
for child in children:
    assert os.waitpid(child, 0)[1] == 0
assert me.query(Line).count() == 44
"""


def test_one_client_in_many_threads(any_user: MakeUser) -> None:
    """Thirty-two threads save, change, query and read with one client; nothing is mixed up."""
    alice, bob = any_user(), any_user()

    def work(number: int) -> None:
        line = Line(owner_id=alice.user_id, number=number, text=f"first {number}")
        line.acl.allow_read(bob.user_id)
        alice.save(line)
        line.text = f"second {number}"
        alice.save(line)
        mine = bob.query(Line).filter(owner_id=alice.user_id, number=number)
        [found] = mine
        assert found.text == f"second {number}"
        assert bob.refresh(found).object_id == line.object_id

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS * 2)))
    texts = {line.text for line in bob.query(Line).filter(owner_id=alice.user_id)}
    assert texts == {f"second {number}" for number in range(THREADS * 2)}


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_one_client_in_many_processes(dev_server: DevServer, tmp_path: Path) -> None:
    """Children of a fork use their parent's client, beside it."""
    script = tmp_path / "forks.py"
    script.write_text(FORK)
    root = str(Path(__file__).parents[2])
    environment = {**dev_server.environment(), "PYTHONPATH": root, "HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        check=True,
        timeout=60,
        env={**environment, "PATH": "/usr/bin:/bin"},
    )


def test_connections_that_the_server_dropped(make_user: MakeUser) -> None:
    """After the server's keep-alive has run out, the next write is not lost, nor doubled."""
    alice = make_user()
    alice.save(Line(owner_id=alice.user_id, number=0, text="before"))
    time.sleep(KEEP_ALIVE_SECONDS + 1)
    alice.save(Line(owner_id=alice.user_id, number=1, text="after"))
    assert alice.query(Line).filter(owner_id=alice.user_id).count() == 2


def test_connections_that_end_with_an_error(make_user: MakeUser) -> None:
    """A server that fails says "keep alive" and hangs up; the next request has a new connection."""
    alice = make_user()
    for number in range(5):
        with pytest.raises(ServerFailedError):
            alice.parse.create("ThreadLine", {"number": {"__op": "Unknown"}})
        alice.save(Line(owner_id=alice.user_id, number=number, text="fine"))
    assert alice.query(Line).filter(owner_id=alice.user_id).count() == 5
