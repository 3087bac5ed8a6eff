"""The main job on a real Parse Server: declare, save, fetch; and what a hostile server can do."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from encrypted_parse import Model, UserClient, acl_readers, encrypted, field, only_me, users
from encrypted_parse.devserver import DevServer, run_sql
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    AuthorMismatchError,
    EncryptedParseError,
    EnvelopeError,
    FieldLockedError,
    NotARecipientError,
    ObjectNotFoundError,
    RecipientsNotRegisteredError,
    SessionExpiredError,
    UnexpectedPlaintextError,
)

MakeUser = Callable[..., UserClient]
CANARY = "canary-7f3a-never-on-the-server"


class Message(Model):
    """One message of a chat thread."""

    thread_id: str
    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


class Record(Model):
    """Every supported type, plain and encrypted."""

    owner_id: str
    reader_ids: list[str] = field(factory=list)
    text: str | None = encrypted(to=users("reader_ids"), author="owner_id", default=None)
    number: int | None = encrypted(to=only_me(), default=None)
    ratio: float | None = encrypted(to=only_me(), default=None)
    flag: bool | None = encrypted(to=only_me(), default=None)
    blob: bytes | None = encrypted(to=only_me(), default=None)
    when: dt.datetime | None = encrypted(to=only_me(), default=None)
    tags: list[str] | None = encrypted(to=only_me(), default=None)
    extra: dict[str, int] | None = encrypted(to=only_me(), default=None)
    plain_when: dt.datetime | None = None
    plain_blob: bytes | None = None


def shared_message(author: UserClient, *readers: UserClient, body: str = CANARY) -> Message:
    """Save a message of *author* for *readers*."""
    message = Message(thread_id=f"t-{author.user_id}", sender_id=author.user_id, body=body)
    for reader in readers:
        message.acl.allow_read(reader.user_id)
    return author.save(message)


def stored_body(server: DevServer, message: Message) -> str:
    """Return the column as the database holds it."""
    query = f'SELECT body FROM "Message" WHERE "objectId" = \'{message.object_id}\''
    return run_sql(server, query)[0][0]


def store_body(server: DevServer, message: Message, text: str) -> None:
    """Change the column behind the server's back."""
    run_sql(
        server,
        f"UPDATE \"Message\" SET body = '{text}' WHERE \"objectId\" = '{message.object_id}'",
    )


def test_a_recipient_reads_what_the_author_saved(make_user: MakeUser) -> None:
    """What alice saves for bob, bob reads, and alice reads it too."""
    alice, bob = make_user(), make_user()
    message = shared_message(alice, bob, body="Lunch at noon? прив\u0435т 🎉")
    for reader in (alice, bob):
        assert reader.get(Message, message.object_id or "").body == message.body


def test_every_type_survives(make_user: MakeUser) -> None:
    """A value of every supported type comes back equal, plain and encrypted."""
    alice = make_user()
    moment = dt.datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=dt.UTC)
    record = Record(
        owner_id=alice.user_id,
        text="t",
        number=-(2**53) + 1,
        ratio=0.1,
        flag=False,
        blob=bytes(range(256)),
        when=moment,
        tags=["a", ""],
        extra={"k": 1},
        plain_when=moment,
        plain_blob=b"\0\xff",
    )
    read = alice.refresh(alice.save(record))
    for name in Record.fields:
        assert getattr(read, name) == getattr(record, name), name


def test_a_missing_recipient_stops_the_save(make_user: MakeUser) -> None:
    """Recipients without keys are all named, and nothing is saved."""
    alice, bob, carol = make_user(), make_user(registered=False), make_user(registered=False)
    message = Message(thread_id="t", sender_id=alice.user_id, body="x")
    message.acl.allow_read(bob.user_id)
    message.acl.allow_read(carol.user_id)
    with pytest.raises(RecipientsNotRegisteredError) as caught:
        alice.save(message)
    assert set(caught.value.user_ids) == {bob.user_id, carol.user_id}
    assert message.is_new
    assert alice.query(Message).filter(sender_id=alice.user_id).count() == 0


def test_the_canary_is_nowhere(dev_server: DevServer, make_user: MakeUser) -> None:
    """A plaintext saved through every write path is in no table and in no log of the server."""
    alice, bob = make_user(), make_user()
    message = shared_message(alice, bob)
    message.body = CANARY + " changed"
    alice.save(message)
    message.acl.revoke(bob.user_id)
    alice.save(message)
    batch = [Message(thread_id="t", sender_id=alice.user_id, body=CANARY) for _ in range(3)]
    assert all(outcome.saved for outcome in alice.save_all(batch))
    batch[0].body = CANARY + " again"
    assert all(outcome.saved for outcome in alice.save_all(batch))
    tables = run_sql(dev_server, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = "".join(
        row[0]
        for [table] in tables
        for row in run_sql(dev_server, f'SELECT row_to_json(t)::text FROM "{table}" t')
    )
    assert message.object_id is not None
    assert message.object_id in dump
    assert CANARY not in dump
    logs = [path.read_text("utf-8", "replace") for path in dev_server.data_dir.rglob("*.log*")]
    assert any(message.object_id in log for log in logs), "the log does not show requests"
    assert not any(CANARY in log for log in logs)


def test_a_new_reader_is_added_and_an_old_one_removed(make_user: MakeUser) -> None:
    """A changed ACL re-encrypts the fields for the readers that it names now."""
    alice, bob, carol = make_user(), make_user(), make_user()
    message = shared_message(alice, bob)
    message.acl.revoke(bob.user_id)
    message.acl.allow_read(carol.user_id)
    alice.save(message)
    assert carol.get(Message, message.object_id or "").body == CANARY
    with pytest.raises(ObjectNotFoundError):
        bob.get(Message, message.object_id or "")


def test_a_stranger_whom_the_server_lets_in_reads_nothing(
    dev_server: DevServer, make_user: MakeUser
) -> None:
    """Secrecy does not rest on the ACL: the attribute raises, the plain fields are usable."""
    alice, mallory = make_user(), make_user()
    message = shared_message(alice)
    run_sql(
        dev_server,
        f"UPDATE \"Message\" SET _rperm = ARRAY['{mallory.user_id}'] "
        f"WHERE \"objectId\" = '{message.object_id}'",
    )
    read = mallory.get(Message, message.object_id or "")
    assert read.sender_id == alice.user_id
    with pytest.raises(NotARecipientError):
        _ = read.body


def test_a_flipped_bit_in_the_database_is_noticed(
    dev_server: DevServer, make_user: MakeUser
) -> None:
    """A changed ciphertext gives an error and no text, and hides no other object of the list."""
    alice, bob = make_user(), make_user()
    good, bad = shared_message(alice, bob), shared_message(alice, bob)
    envelope = bytearray(base64.b64decode(stored_body(dev_server, bad)))
    envelope[-150] ^= 4
    store_body(dev_server, bad, base64.b64encode(envelope).decode())
    results = bob.query(Message).filter(sender_id=alice.user_id).all()
    assert results.locked_count == 1
    by_id = {message.object_id: message for message in results}
    assert by_id[good.object_id].body == CANARY
    with pytest.raises(EnvelopeError):
        _ = by_id[bad.object_id].body


def test_plaintext_in_an_encrypted_column_is_refused(
    dev_server: DevServer, make_user: MakeUser
) -> None:
    """A value that a careless client stored in clear is an error on access, not a value."""
    alice = make_user()
    message = shared_message(alice)
    store_body(dev_server, message, "Meet me")
    with pytest.raises(UnexpectedPlaintextError):
        _ = alice.get(Message, message.object_id or "").body


def test_another_authors_value_is_refused(dev_server: DevServer, make_user: MakeUser) -> None:
    """A value that somebody else signed does not pass for the named author's."""
    alice, mallory, bob = make_user(), make_user(), make_user()
    message, forged = shared_message(alice, bob), shared_message(mallory, bob, body="I quit")
    store_body(dev_server, message, stored_body(dev_server, forged))
    with pytest.raises(EnvelopeError):
        _ = bob.get(Message, message.object_id or "").body


def test_a_locked_field_is_left_alone(dev_server: DevServer, make_user: MakeUser) -> None:
    """Saving an object with a locked field sends the others only; overwriting must be said."""
    alice = make_user()
    message = shared_message(alice)
    damaged = stored_body(dev_server, message)[:-4] + "AAAA"
    store_body(dev_server, message, damaged)
    read = alice.get(Message, message.object_id or "")
    read.thread_id = "moved"
    alice.save(read)
    assert stored_body(dev_server, message) == damaged
    with pytest.raises(FieldLockedError):
        read.body = "new"
    read.acl.allow_read(make_user().user_id)
    with pytest.raises(FieldLockedError):
        alice.save(read)
    read.overwrite_locked("body")
    read.body = "new"
    alice.save(read)
    assert alice.refresh(read).body == "new"
    assert read.locked == {}


def test_only_the_author_signs(make_user: MakeUser) -> None:
    """A user cannot save a field in another author's name."""
    alice, bob = make_user(), make_user()
    with pytest.raises(AuthorMismatchError):
        alice.save(Message(thread_id="t", sender_id=bob.user_id, body="not me"))


def test_save_all_reports_each(make_user: MakeUser) -> None:
    """In a batch, what cannot be saved hides no other, and the outcome says why."""
    alice, bob = make_user(), make_user()
    good = [Message(thread_id="many", sender_id=alice.user_id, body=str(n)) for n in range(120)]
    bad = Message(thread_id="many", sender_id=bob.user_id, body="no")
    outcomes = alice.save_all([*good[:60], bad, *good[60:]])
    assert [outcome.saved for outcome in outcomes] == [True] * 60 + [False] + [True] * 60
    assert isinstance(outcomes[60].error, AuthorMismatchError)
    found = alice.query(Message).filter(thread_id="many").all()
    assert sorted(message.body for message in found) == sorted(message.body for message in good)
    newest = alice.query(Message).filter(thread_id="many").order_by("-created_at").limit(105).all()
    assert len({message.object_id for message in newest}) == 105


def test_registering_again_changes_nothing(make_user: MakeUser) -> None:
    """`register` may be repeated; without the private key it is refused."""
    alice = make_user()
    card = alice.register()
    assert alice.register() == card
    alice.e3kit.cleanup()
    with pytest.raises(AlreadyRegisteredError):
        alice.register()


def test_racing_registrations_have_one_winner(app, make_user: MakeUser) -> None:  # type: ignore[no-untyped-def]
    """Of devices that register one user at once, exactly one wins, and the rest are told."""
    from encrypted_parse import EncryptedClient, MemoryKeystore  # noqa: PLC0415 - used here only

    first = make_user(registered=False)
    token = first.session_token
    settings = vars(app)
    devices = []
    for _ in range(8):
        device = EncryptedClient.__new__(EncryptedClient)
        vars(device).update(settings, _keystore=MemoryKeystore())
        devices.append(device.become(token))

    def register(device: UserClient) -> bool:
        try:
            device.register()
        except EncryptedParseError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(register, devices)) == 1
    assert sum(device.e3kit.has_local_private_key() for device in devices) == 1


def test_an_ended_session_is_named(app, make_user: MakeUser) -> None:  # type: ignore[no-untyped-def]
    """After logging out, calls say that the session is over."""
    alice = make_user()
    alice.log_out()
    with pytest.raises(SessionExpiredError):
        app.become(alice.session_token)
