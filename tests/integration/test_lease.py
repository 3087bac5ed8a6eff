"""The lease on a real server: no write over what was not read, and no edit lost."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse import (
    EncryptedClient,
    MemoryKeystore,
    Model,
    UserClient,
    acl_readers,
    encrypted,
    field,
    users,
    version,
)
from encrypted_parse.devserver import DevServer, dev_server
from encrypted_parse.errors import GuardRefusedError, StaleObjectError
from encrypted_parse.models.tags import tag_of
from encrypted_parse.parse import BatchOperation, ParseApp, ParseClient
from encrypted_parse.tools import export_guard_schema
from encrypted_parse.transport import RequestsTransport, RetryingTransport

RACE_SECONDS = 4.0
ROWS = 5


class Leased(Model):
    """Fields for the ACL's readers and for a list of users."""

    owner_id: str
    title: str = "-"
    reader_ids: list[str] = field(factory=list)
    body: str = encrypted(to=acl_readers(), author="owner_id", default="-")
    remark: str | None = encrypted(to=users("reader_ids"), author="owner_id", default=None)


class LeasedCounted(Model):
    """The same, counted."""

    owner_id: str
    revision: int = version()
    body: str = encrypted(to=acl_readers(), author="owner_id")


@pytest.fixture(scope="module")
def fields_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the guard reads."""
    path = tmp_path_factory.mktemp("lease") / "encrypted-fields.json"
    path.write_text(json.dumps(export_guard_schema([Leased, LeasedCounted])))
    return path


@pytest.fixture(scope="module")
def server(fields_file: Path) -> Iterator[DevServer]:
    """A server with the guard."""
    with dev_server(encrypted_fields=fields_file) as running:
        yield running


@pytest.fixture(scope="module")
def ann_twice(server: DevServer) -> tuple[UserClient, UserClient]:
    """Return ann, and ann on another device."""
    keys = MemoryKeystore()
    clients = [EncryptedClient.from_env(server.environment(), keystore=keys) for _ in range(2)]
    ann = clients[0].sign_up("ann", "a password")
    ann.register()
    return ann, clients[1].log_in("ann", "a password")


@pytest.fixture(scope="module")
def ben(server: DevServer) -> UserClient:
    """Return another user."""
    client = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
    user = client.sign_up("ben", "a password")
    user.register()
    return user


def master(server: DevServer) -> ParseClient:
    """Return a client that sees every column."""
    app = ParseApp(
        server.url, server.application_id, server.rest_api_key, master_key=server.master_key
    )
    return ParseClient(app, RetryingTransport(RequestsTransport()))


def test_the_companion_says_what_it_compares(ann_twice: tuple[UserClient, UserClient]) -> None:
    """Of each guarded class the columns that decide who reads, and the encrypted ones."""
    features = ann_twice[0].parse.features()
    assert features.if_match == {
        "Leased": {"ACL", "ownerId", "readerIds", "body", "remark"},
        "LeasedCounted": {"ACL", "ownerId", "body"},
    }


@pytest.mark.parametrize("model", [Leased, LeasedCounted])
@pytest.mark.parametrize("together", [False, True])
def test_a_stale_save_brings_no_reader_back(
    ann_twice: tuple[UserClient, UserClient], ben: UserClient, model: Any, together: bool
) -> None:
    """Neither the envelope nor the ACL names who was revoked, and the row stays as it is."""
    ann, other = ann_twice
    note = model(owner_id=ann.user_id, body="old")
    note.acl.allow_read(ben)
    ann.save(note)
    stale = other.get(model, str(note.object_id))
    ann.revoke(note, from_=[ben.user_id])
    before = ann.parse.get(model.__name__, str(note.object_id))
    stale.body = "new"
    error: Exception | None = None
    if together:
        [outcome] = other.save_all([stale])
        error = outcome.error
    else:
        with pytest.raises(StaleObjectError) as caught:
            other.save(stale)
        error = caught.value
    assert isinstance(error, StaleObjectError)
    assert ann.parse.get(model.__name__, str(note.object_id)) == before
    fresh = other.refresh(stale)
    fresh.body = "new"
    assert other.save_all([fresh])[0].error is None


def test_everyday_saves_wait_for_nobody(
    ann_twice: tuple[UserClient, UserClient], ben: UserClient
) -> None:
    """Plain saves, encrypted saves, shares and revokes follow each other without a wait."""
    ann, _ = ann_twice
    note = ann.save(Leased(owner_id=ann.user_id, body="0"))
    ann.save(note)
    before = time.monotonic()
    for number in range(5):
        note.title = f"title {number}"
        ann.save(note)
        note.body, note.reader_ids, note.remark = f"{number}", [ben.user_id], f"{number}"
        ann.save(note)
        ann.share(note, with_=[ben.user_id])
        ann.revoke(note, from_=[ben.user_id])
    assert time.monotonic() - before < 3 * 5  # a hold for each would take longer
    assert ann.refresh(note).body == "4"


def test_a_write_that_fails_locks_nobody_out(ann_twice: tuple[UserClient, UserClient]) -> None:
    """After an ordinary write of a wrong type, and a conditional one, the row is written again."""
    ann, _ = ann_twice
    note = ann.save(Leased(owner_id=ann.user_id, body="0"))
    row = str(note.object_id)
    wrong = {"title": 5}
    expected = {"ownerId": tag_of("ownerId", ann.user_id)}
    for tags in (None, expected):
        with pytest.raises(Exception, match="111"):
            ann.parse.update("Leased", row, wrong, expected=tags)
    ann.parse.update("Leased", row, {"title": "after"})
    note.body = "1"
    ann.save(note)
    assert ann.refresh(note).body == "1"


@pytest.mark.parametrize(
    ("body", "tags", "code"),
    [
        ({"guardLease": 5}, None, 9019),
        ({"title": "t"}, {"ownerId": "A" * 22}, 9017),
        ({"title": "t"}, {"ownerId": "short"}, 9020),
        ({"title": "t"}, {"title": "A" * 22}, 9020),
    ],
)
def test_what_is_refused(
    ann_twice: tuple[UserClient, UserClient], body: Any, tags: Any, code: int
) -> None:
    """The lease's column, another row than was read, and what no tag can be."""
    ann, _ = ann_twice
    note = ann.save(Leased(owner_id=ann.user_id, body="0"))
    with pytest.raises(GuardRefusedError) as caught:
        ann.parse.update("Leased", str(note.object_id), body, expected=tags)
    assert caught.value.code == code
    if "guardLease" in body:
        with pytest.raises(GuardRefusedError):
            ann.parse.create("Leased", {"ownerId": ann.user_id, **body})


def test_the_lease_is_hidden(server: DevServer, ann_twice: tuple[UserClient, UserClient]) -> None:
    """The column is there, made with the master key, and users do not see it."""
    ann, _ = ann_twice
    note = ann.save(Leased(owner_id=ann.user_id, body="0"))
    note.body = "1"
    ann.save(note)
    assert "guardLease" not in ann.parse.get("Leased", str(note.object_id))
    assert master(server).get("Leased", str(note.object_id))["guardLease"] == 0


def test_transactions_go_through(ann_twice: tuple[UserClient, UserClient]) -> None:
    """All or none, with plain and encrypted changes, twice in a row."""
    ann, _ = ann_twice
    notes = [ann.save(Leased(owner_id=ann.user_id, body="0")) for _ in range(3)]
    for number in range(2):
        for note in notes:
            note.title, note.body = f"t{number}", f"b{number}"
        ann.save_all(notes, transaction=True)
    operations = [
        BatchOperation.update("Leased", str(notes[0].object_id), {"title": "lost"}),
        BatchOperation.update("Leased", str(notes[1].object_id), {"title": 5}),
    ]
    with pytest.raises(Exception, match="HTTP"):
        ann.parse.transaction(operations)
    notes[0].body = "after"
    ann.save(notes[0])
    assert [ann.refresh(note).title for note in notes] == ["t1"] * 3


class Race:
    """Writers with and without If-Match that add to the same lists.

    An operation adds in one step; a conditional writer adds to what it has read. Whatever was
    acknowledged has to be there in the end.
    """

    def __init__(self, parse: ParseClient, owner_id: str, *, pause: float = 0.15) -> None:
        self.parse = parse
        self._pause = pause  # a row that is written all the time leaves the others no moment
        self.rows = [
            str(parse.create("Leased", {"ownerId": owner_id, "readerIds": []})["objectId"])
            for _ in range(ROWS)
        ]
        self.ordinary: list[tuple[str, str]] = []
        self.conditional: list[tuple[str, str]] = []
        self._failures: list[Exception] = []

    def run(self, seconds: float) -> None:
        """Let them write, and raise what went wrong."""
        end = time.monotonic() + seconds
        writers = [self._add] * 3 + [self._add_to_what_was_read] * 2
        threads = [
            threading.Thread(target=self._until, args=(end, write, str(number)))
            for number, write in enumerate(writers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self._failures, self._failures

    def lost(self) -> list[tuple[str, str]]:
        """Return what was acknowledged and is not there."""
        found = {row: self.parse.get("Leased", row)["readerIds"] for row in self.rows}
        return [
            (row, item) for row, item in self.ordinary + self.conditional if item not in found[row]
        ]

    def _until(self, end: float, write: Callable[[str, str], None], name: str) -> None:
        try:
            for number in itertools.count():
                if time.monotonic() > end:
                    return
                write(self.rows[number % ROWS], f"{name}-{number}")
        except Exception as error:  # noqa: BLE001 - raised by `run`
            self._failures.append(error)

    def _add(self, row: str, item: str) -> None:
        self.parse.update("Leased", row, {"readerIds": {"__op": "Add", "objects": [item]}})
        self.ordinary.append((row, item))
        time.sleep(self._pause)

    def _add_to_what_was_read(self, row: str, item: str) -> None:
        stored = self.parse.get("Leased", row)["readerIds"]
        tags = {"readerIds": tag_of("readerIds", stored)}
        try:
            self.parse.update("Leased", row, {"readerIds": [*stored, item]}, expected=tags)
        except GuardRefusedError as error:
            if error.code not in (9017, 9018):
                raise
            return
        self.conditional.append((row, item))


def test_no_edit_is_lost(server: DevServer, ann_twice: tuple[UserClient, UserClient]) -> None:
    """Whatever writers with and without If-Match were told is stored, is there."""
    race = Race(master(server), ann_twice[0].user_id)
    race.run(RACE_SECONDS)
    assert race.lost() == []
    assert race.ordinary
    assert race.conditional
