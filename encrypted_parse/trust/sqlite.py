"""A trust store in a SQLite file, for its owner alone.

A connection a call: usable from threads, processes and after a fork. SQLite's journal makes each
call whole or not at all, whenever the machine stops. It is a file beside the other, which SQLite
believes whoever wrote it: nobody else may write into the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from encrypted_parse._translating import translating
from encrypted_parse.crypto import PublicKey
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import KeyFormatError, TrustStoreError
from encrypted_parse.locks import FORK_GATE
from encrypted_parse.ownership import OTHERS, make_private_folder, others_write, require_own
from encrypted_parse.trust.pins import Pin, PinLevel, PinnedCard

SCHEMA_VERSION = 3
BUSY_SECONDS = 10.0
_RETRY_SECONDS = 0.01
_TICK_NANOSECONDS = 100_000_000  # more than file systems round times to, FAT aside
_BUSY_MILLISECONDS = int(BUSY_SECONDS * 1000)
_PRIMARY_CODE = 0xFF  # of SQLite's result codes: the kind of error
_JOURNALS = ("-journal", "-wal", "-shm")  # SQLite's, beside the file
_OLD_FORM = (
    "it believed links that any signed text could be: move the file away, log in with"
    " expect_user_id where several users share this machine, and compare safety numbers again"
)
_AT_ONCE = 500  # parameters of one statement; SQLite takes at least 999
_SCHEMA = """
    CREATE TABLE pins (
        owner TEXT NOT NULL, user_id TEXT NOT NULL, content TEXT NOT NULL,
        PRIMARY KEY (owner, user_id)
    ) WITHOUT ROWID;
    CREATE TABLE epochs (
        owner TEXT NOT NULL, initiator TEXT NOT NULL, group_id TEXT NOT NULL,
        epoch INTEGER NOT NULL, PRIMARY KEY (owner, initiator, group_id)
    ) WITHOUT ROWID;
    CREATE TABLE counters (
        owner TEXT NOT NULL, record TEXT NOT NULL, counter INTEGER NOT NULL,
        PRIMARY KEY (owner, record)
    ) WITHOUT ROWID;
    CREATE TABLE logins (
        application_id TEXT NOT NULL, username TEXT NOT NULL, user_id TEXT NOT NULL,
        PRIMARY KEY (application_id, username)
    ) WITHOUT ROWID;
"""


@front_door
class SqliteTrustStore:
    """Remembers pins in the file *path*, which is made with mode 0600 when it is first needed."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).expanduser()

    def find(self, owner: str, user_ids: Collection[str]) -> dict[str, Pin]:
        """See `TrustStore.find`."""
        wanted, found = list(user_ids), {}
        with self._opened() as database:
            for start in range(0, len(wanted), _AT_ONCE):
                chunk = wanted[start : start + _AT_ONCE]
                marks = ",".join("?" * len(chunk))
                query = (
                    f"SELECT user_id, content FROM pins WHERE owner = ? AND user_id IN ({marks})"  # noqa: S608 - marks alone
                )
                for user_id, content in database.execute(query, [owner, *chunk]):
                    found[user_id] = self._read(user_id, content)
        return found

    def save(
        self, owner: str, pins: Iterable[Pin], *, replacing: Mapping[str, Pin]
    ) -> frozenset[str]:
        """See `TrustStore.save`."""
        lost = set()
        with self._opened() as database:
            for pin in pins:
                before = replacing.get(pin.user_id)
                row = (owner, pin.user_id, _write(pin))
                if before is None:
                    done = database.execute("INSERT OR IGNORE INTO pins VALUES (?, ?, ?)", row)
                else:
                    done = database.execute(
                        "UPDATE pins SET content = ?"
                        " WHERE owner = ? AND user_id = ? AND content = ?",
                        (row[2], owner, pin.user_id, _write(before)),
                    )
                if done.rowcount != 1:
                    lost.add(pin.user_id)
        return frozenset(lost)

    def revision(self) -> object:
        """See `TrustStore.revision`. The file's, without opening it: it is asked for often.

        A file that was written just now has none: the next change may be of the same moment.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TrustStoreError(f"the remembered keys in {self._path} cannot be used") from error
        if time.time_ns() - status.st_mtime_ns < _TICK_NANOSECONDS:
            return object()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def find_epoch(self, owner: str, initiator: str, group_id: str) -> int:
        """See `TrustStore.find_epoch`."""
        query = "SELECT epoch FROM epochs WHERE owner = ? AND initiator = ? AND group_id = ?"
        with self._opened() as database:
            row = database.execute(query, (owner, initiator, group_id)).fetchone()
        return -1 if row is None else int(row[0])

    def save_epoch(self, owner: str, initiator: str, group_id: str, epoch: int) -> None:
        """See `TrustStore.save_epoch`."""
        with self._opened() as database:
            database.execute(
                "INSERT INTO epochs VALUES (?, ?, ?, ?)"
                " ON CONFLICT (owner, initiator, group_id) DO UPDATE SET epoch ="
                " CASE WHEN excluded.epoch < 0 THEN -1 ELSE max(epoch, excluded.epoch) END",
                (owner, initiator, group_id, epoch),
            )

    def find_counter(self, owner: str, record: str) -> int:
        """See `TrustStore.find_counter`."""
        query = "SELECT counter FROM counters WHERE owner = ? AND record = ?"
        with self._opened() as database:
            row = database.execute(query, (owner, record)).fetchone()
        return -1 if row is None else int(row[0])

    def raise_counter(self, owner: str, record: str, counter: int) -> None:
        """See `TrustStore.raise_counter`."""
        with self._opened() as database:
            database.execute(
                "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT (owner, record)"
                " DO UPDATE SET counter = max(counter, excluded.counter)",
                (owner, record, counter),
            )

    def forget_counter(self, owner: str, record: str) -> None:
        """See `TrustStore.forget_counter`."""
        with self._opened() as database:
            database.execute("DELETE FROM counters WHERE owner = ? AND record = ?", (owner, record))

    def find_login(self, application_id: str, username: str) -> str | None:
        """See `TrustStore.find_login`."""
        query = "SELECT user_id FROM logins WHERE application_id = ? AND username = ?"
        with self._opened() as database:
            row = database.execute(query, (application_id, username)).fetchone()
        return None if row is None else str(row[0])

    def find_usernames(self, application_id: str, user_id: str) -> frozenset[str]:
        """See `TrustStore.find_usernames`."""
        query = "SELECT username FROM logins WHERE application_id = ? AND user_id = ?"
        with self._opened() as database:
            rows = database.execute(query, (application_id, user_id)).fetchall()
        return frozenset(str(row[0]) for row in rows)

    def save_login(
        self, application_id: str, username: str, user_id: str, *, replacing: str | None
    ) -> None:
        """See `TrustStore.save_login`."""
        with self._opened() as database:
            if replacing is None:
                database.execute(
                    "INSERT OR IGNORE INTO logins VALUES (?, ?, ?)",
                    (application_id, username, user_id),
                )
            else:
                database.execute(
                    "UPDATE logins SET user_id = ?"
                    " WHERE application_id = ? AND username = ? AND user_id = ?",
                    (user_id, application_id, username, replacing),
                )

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, which holds as a whole or not at all."""
        try:
            with contextlib.ExitStack() as stack:
                database = self._begun(stack)
                self._prepare(database)
                yield database
                database.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise TrustStoreError(
                f"the remembered keys in {self._path} cannot be used: {error}",
                hint="bring back a copy of the file; without it every key is trusted anew",
            ) from error

    def _begun(self, stack: contextlib.ExitStack) -> sqlite3.Connection:
        """Begin a transaction that *stack* ends, with no fork meanwhile.

        A child would inherit what SQLite remembers of it, and wait for it for ever. So that forks
        do not wait for long, who waits for another program stands outside the gate.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            with contextlib.ExitStack() as attempt:
                attempt.enter_context(FORK_GATE)
                self._require_private()
                database = attempt.enter_context(
                    contextlib.closing(sqlite3.connect(self._path, timeout=0, isolation_level=None))
                )
                try:
                    database.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
                    if not busy or time.monotonic() > deadline:
                        raise
                else:
                    database.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
                    stack.push(attempt.pop_all())
                    return database
            time.sleep(_RETRY_SECONDS)

    def _require_private(self) -> None:
        """Make the file if there is none; let nobody else have a hand in what SQLite reads."""
        folder = self._path.parent
        make_private_folder(folder, TrustStoreError)
        if others_write(folder.stat()):  # a sticky folder too: others may put journals there
            raise TrustStoreError(
                f"others can write into {folder}: what is remembered there proves nothing",
                hint="use a folder of your own, of mode 0700",
            )
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            descriptor = os.open(self._path, flags | os.O_EXCL, 0o600)
            self._path.chmod(0o600)  # a umask takes bits away
        except FileExistsError:
            descriptor = os.open(self._path, flags, 0o600)
        try:
            _require_own(self._path, os.fstat(descriptor))
        finally:
            os.close(descriptor)
        for suffix in _JOURNALS:
            journal = self._path.with_name(self._path.name + suffix)
            with contextlib.suppress(FileNotFoundError):
                status = journal.lstat()
                _require_own(journal, status)
                if not stat.S_ISREG(status.st_mode):
                    raise TrustStoreError(f"{journal} is no file", hint="look who put it there")

    def _prepare(self, database: sqlite3.Connection) -> None:
        [version] = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version > SCHEMA_VERSION:
            raise TrustStoreError(
                f"{self._path} has version {version}, and this release reads {SCHEMA_VERSION}",
                hint="update the package: pip install --upgrade encrypted-parse",
            )
        elif version != SCHEMA_VERSION:
            raise TrustStoreError(
                f"{self._path} has version {version}, of before the first release",
                hint=_OLD_FORM,
            )

    def _read(self, user_id: str, content: str) -> Pin:
        with translating(
            ValueError,
            KeyError,
            TypeError,
            KeyFormatError,
            to=lambda: TrustStoreError(
                f"what {self._path} remembers of {user_id!r} is damaged",
                hint="bring back a copy of the file",
            ),
        ):
            fields = json.loads(content)
            cards = [
                PinnedCard(
                    str(card["card_id"]),
                    PublicKey.from_base64(card["public_key"]),
                    PinLevel(card["level"]),
                )
                for card in fields["cards"]
            ]
            if not cards:
                raise ValueError("no card")
            return Pin(user_id, tuple(cards))

    def __repr__(self) -> str:
        return f"<SqliteTrustStore {self._path}>"


def _require_own(path: Path, status: os.stat_result) -> None:
    hint = "if nobody changed it, make it your own, with mode 0600"
    require_own(path, status, TrustStoreError, forbidden=OTHERS, hint=hint)


def _write(pin: Pin) -> str:
    cards = [
        {
            "card_id": card.card_id,
            "public_key": card.public_key.to_base64(),
            "level": card.level.value,
        }
        for card in pin.cards
    ]
    return json.dumps({"cards": cards}, separators=(",", ":"))
