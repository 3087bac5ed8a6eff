"""The races of the lease, on the oldest to the newest server, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from integration.test_lease import Leased, Race
from servers.matrix import Server, app_settings, mongodb, postgres, run_server

from encrypted_parse import EncryptedClient, MemoryKeystore
from encrypted_parse.errors import StaleObjectError
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.tools import export_guard_schema
from encrypted_parse.transport import RequestsTransport, RetryingTransport

pytestmark = pytest.mark.matrix
RACE_SECONDS = 15.0  # where announcements only age, a conditional writer waits for seconds
VERSIONS = [
    *[(version, "postgres") for version in ("5.6", "6.5", "7.5", "9.10")],
    *[(version, "mongodb") for version in ("5.6", "7.5", "9.10")],
]


@pytest.fixture(scope="module", params=VERSIONS, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each version and database in turn."""
    version, kind = request.param
    database = mongodb() if kind == "mongodb" else postgres(request.getfixturevalue("dev_server"))
    settings: Any = app_settings(export_guard_schema([Leased]))
    with database as uri, run_server(version, uri, settings) as running:
        yield running


def test_no_edit_is_lost(server: Server) -> None:
    """Whatever writers with and without If-Match were told is stored, is there."""
    app = ParseApp(
        server.url, server.application_id, server.rest_api_key, master_key=server.master_key
    )
    race = Race(ParseClient(app, RetryingTransport(RequestsTransport())), "nobody", pause=0.5)
    race.run(RACE_SECONDS)
    assert race.lost() == []
    assert race.ordinary
    assert race.conditional


def test_a_stale_save_brings_no_reader_back(server: Server) -> None:
    """A save of before a revoke is refused, alone and in a batch; a fresh one is taken."""
    client = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
    ann, ben = (client.sign_up(name, f"password of {name}") for name in ("ann", "ben"))
    ann.register()
    ben.register()
    note = Leased(owner_id=ann.user_id, body="old")
    note.acl.allow_read(ben)
    ann.save(note)
    stale = ann.refresh(note)
    ann.revoke(note, from_=[ben.user_id])
    stale.body = "new"
    with pytest.raises(StaleObjectError):
        ann.save(stale)
    [outcome] = ann.save_all([stale])
    assert isinstance(outcome.error, StaleObjectError)
    fresh = ann.refresh(note)
    fresh.title = "plain"
    ann.save(fresh)
    fresh.body = "new"
    ann.save(fresh)
    assert ann.refresh(note).body == "new"
    assert not ann.refresh(note).acl.can_read(ben)


# On MongoDB transactions need a replica set.
@pytest.mark.parametrize(
    "server", [one for one in VERSIONS if one[1] == "postgres"], ids="-".join, indirect=True
)
def test_transactions_go_through(server: Server) -> None:
    """All or none, twice in a row: announcing does not wait for the transaction's own locks."""
    client = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
    cat = client.sign_up("cat", "password of cat")
    cat.register()
    notes = [cat.save(Leased(owner_id=cat.user_id, body="0")) for _ in range(5)]
    for number in range(2):
        for note in notes:
            note.title, note.body = f"t{number}", f"b{number}"
        cat.save_all(notes, transaction=True)
    assert [cat.refresh(note).title for note in notes] == ["t1"] * 5
