"""Forks at the worst moment: whatever another thread held, the child gets on.

Each script runs in a process of its own, since Python 3.12 and newer warn of forks with threads.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SECONDS = 60  # of a whole script; each takes a few, and before the fix it hung for ever

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no fork")

PREAMBLE = """
import contextlib, os, sys, threading, time
from encrypted_parse import Model, encrypted, only_me, acl_readers, ACL
from encrypted_parse import locks
from encrypted_parse.keystore import FileKeystore, StoredKey
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.trust import SqliteTrustStore

def in_child(work):
    '''Fork; the child does the work; return once it has ended well, and soon.'''
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(status)
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, 'the child failed'
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError('the child hangs')

def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
"""

EVERY_LOCK = """
class Note(Model):
    owner_id: str
    number: int
    text: str = encrypted(to=acl_readers(), author="owner_id")

app = InMemoryApp()
folder = sys.argv[1]
store = SqliteTrustStore(folder + "/trust.sqlite")
alice = app.make_user(keystore=FileKeystore(folder + "/keys", "app"), trust_store=store)
bob = app.make_user()

def everything(round):
    note = Note(owner_id=alice.user_id, number=round, text="secret")
    note.acl.allow_read(bob.user_id)
    alice.save(note)
    alice.save_all([Note(owner_id=alice.user_id, number=round, text="x") for _ in range(40)])
    assert len([one.text for one in alice.query(Note)]) >= 41
    assert bob.get(Note, note.object_id).text == "secret"
    alice.e3kit.find_users([bob.user_id], force_reload=True)
    alice.upload(b"content", content_type="text/plain")
    assert alice.e3kit.author_keys(bob.user_id)

everything(0)
held = [one for one in locks._begun_anew if isinstance(one, locks.Lock)]
assert len(held) >= 12, len(held)
holding, over = threading.Event(), threading.Event()

def hold():
    with contextlib.ExitStack() as stack:
        for one in held:
            stack.enter_context(one)
        holding.set()
        over.wait()

thread = in_thread(hold)
assert holding.wait(10)
in_child(lambda: everything(1))
over.set()
thread.join()
everything(2)
in_child(lambda: everything(3))
"""

HELD_BY_THE_FORKING_THREAD = """
lock = locks.Lock()
with lock, lock:
    def work():
        # Still held by this very thread, as in the parent: others wait, this one does not.
        taken = []

        def take():
            with lock:
                taken.append(1)

        thread = in_thread(take)
        time.sleep(0.2)
        assert not taken
        with lock:
            pass
        lock.__exit__(None, None, None)
        lock.__exit__(None, None, None)
        thread.join(10)
        assert taken
    in_child(work)
"""

SINGLE_FLIGHTS = """
app = InMemoryApp()
alice, bob = app.make_user("alice"), app.make_user("bob")
newcomer = app.client().log_in("alice", "password of alice")  # without a token so far
parent = os.getpid()

for user in (alice, newcomer):
    asking, over = threading.Event(), threading.Event()

    def before(request):
        if os.getpid() == parent and threading.current_thread() is not threading.main_thread():
            asking.set()
            over.wait()

    app.before = before
    # Cards that others wait for; the newcomer's token, which is fetched under a lock.
    thread = in_thread(lambda: user.e3kit.find_users([bob.user_id], force_reload=True))
    assert asking.wait(10)
    in_child(lambda: user.e3kit.find_users([bob.user_id]))
    over.set()
    thread.join()
"""

PAGES = """
class Note(Model):
    number: int

app = InMemoryApp()
alice = app.make_user()
alice.save_all([Note(number=number) for number in range(350)])
asking, over, parent = threading.Event(), threading.Event(), os.getpid()

def before(request):
    if os.getpid() == parent and threading.current_thread() is not threading.main_thread():
        asking.set()
        over.wait()

app.before = before
notes = iter(alice.query(Note))
first = next(notes)
assert asking.wait(10)  # the next page is under way, in a thread that the child has not got

def rest():
    assert len({first.number} | {note.number for note in notes}) == 350

in_child(rest)
over.set()
rest()
"""

DATABASE = """
store = SqliteTrustStore(sys.argv[1] + "/trust.sqlite")
store.save_epoch("a", "b", "c", 1)
over = threading.Event()

def hammer(number):
    while not over.is_set():
        store.raise_counter("owner", f"record {number}", 1)

threads = [in_thread(lambda number=number: hammer(number)) for number in range(3)]
for number in range(30):
    def work():
        assert store.find_epoch("a", "b", "c") == 1
        store.save_epoch("a", "b", "d", number)
    in_child(work)
over.set()
for thread in threads:
    thread.join()
"""

STALLED_DATABASE = """
from encrypted_parse.errors import TrustStoreError
from encrypted_parse.trust import sqlite
locks._FORK_WAITS_SECONDS, sqlite.BUSY_SECONDS = 0.2, 0.5
store = SqliteTrustStore(sys.argv[1] + "/trust.sqlite")
inside, over = threading.Event(), threading.Event()

def stall():
    with store._opened():
        inside.set()
        over.wait()

thread = in_thread(stall)
assert inside.wait(10)

def work():
    try:
        store.find_epoch("a", "b", "c")
    except TrustStoreError:
        pass

in_child(work)
over.set()
thread.join()
"""

KEY_FILES = """
keystore = FileKeystore(sys.argv[1] + "/keys", "app")
keystore.save(StoredKey("alice", PrivateKey.generate()))
over = threading.Event()

def hammer():
    while not over.is_set():
        name = f"user {time.monotonic_ns()}"
        keystore.save(StoredKey(name, PrivateKey.generate()))
        keystore.delete(name)

threads = [in_thread(hammer) for _ in range(2)]
for number in range(10):
    in_child(lambda: keystore.save(StoredKey(f"child {number}", PrivateKey.generate())))
over.set()
for thread in threads:
    thread.join()
assert len([user for user in keystore.user_ids() if user.startswith("child")]) == 10
"""

SCRIPTS = {
    "every lock held": EVERY_LOCK,
    "held by the forking thread": HELD_BY_THE_FORKING_THREAD,
    "single flights": SINGLE_FLIGHTS,
    "pages read ahead": PAGES,
    "transactions": DATABASE,
    "a transaction that stalls": STALLED_DATABASE,
    "key files": KEY_FILES,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_child_gets_on(name: str, tmp_path: Path) -> None:
    """A thread holds the lock, the flight, the page or the transaction; the child does its work."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREAMBLE + SCRIPTS[name], str(tmp_path)],
        cwd=TESTS.parent,
        capture_output=True,
        check=False,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
