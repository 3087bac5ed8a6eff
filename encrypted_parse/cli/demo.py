"""The demo: the main job on a real server, with a look at what the database holds."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from encrypted_parse.cli.terminal import Stage
from encrypted_parse.client import EncryptedClient
from encrypted_parse.devserver import DevServer, dev_server, run_sql
from encrypted_parse.errors import (
    EncryptedParseError,
    EnvelopeError,
    NotARecipientError,
    RecipientsNotRegisteredError,
)
from encrypted_parse.keystore import MemoryKeystore
from encrypted_parse.models import Model, acl_readers, encrypted
from encrypted_parse.user_client import UserClient

SECRET = "Lunch at noon? I got the job!"  # noqa: S105 - the demo's message, shown on purpose


class Message(Model):
    """One message of a chat thread."""

    thread_id: str
    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


class _Steps:
    def __init__(self, stage: Stage, pause_seconds: float) -> None:
        self._stage = stage
        self._pause = pause_seconds
        self.failed = 0

    def show(self, title: str, text: str, style: str) -> None:
        self._stage.panel(title, [[text]], style)

    def check(self, claim: str, *, holds: bool) -> None:
        mark, style = ("✓", "green") if holds else ("✗", "bold red")
        self.failed += not holds
        self._stage.say(f"  {mark} {claim}", style)
        time.sleep(self._pause)


def run_demo(*, pause_seconds: float) -> int:
    """Run the demo and return the exit status: 0 only if every step held."""
    stage = Stage()
    stage.rule("encrypted_parse: the main job, on a real Parse Server")
    steps = _Steps(stage, pause_seconds)
    with ExitStack() as stack:
        with stage.waiting("starting Parse Server and Postgres") as progress:
            server = stack.enter_context(dev_server(progress=progress))
        steps.check(f"Parse Server 9.10 with Postgres is running at {server.url}", holds=True)
        _main_job(steps, server)
        return _finish(stage, steps)


def _main_job(steps: _Steps, server: DevServer) -> None:
    app = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
    alice, bob, carol = (
        app.sign_up(name, f"{name}-password") for name in ("alice", "bob", "carol")
    )
    message = Message(thread_id="t1", sender_id=alice.user_id, body=SECRET)
    message.acl.allow_read(bob.user_id)

    alice.register()
    error = _error_of(lambda: alice.save(message))
    missing = isinstance(error, RecipientsNotRegisteredError) and error.user_ids == (bob.user_id,)
    steps.check(f"bob has no key yet: {type(error).__name__}, nothing is saved", holds=missing)
    for user in (bob, carol):
        user.register()
    steps.check("alice, bob and carol have keys; their cards are published", holds=True)

    alice.save(message)
    steps.check(f"alice saves a message for bob: {SECRET!r}", holds=not message.is_new)
    row = _row(server, message)
    shown = {**row, "body": f"{row['body'][:120]}... ({len(row['body'])} characters)"}
    steps.show("the row in Postgres, read past the server", json.dumps(shown, indent=2), "yellow")
    steps.check("no word of it is in the database", holds=_is_absent(server, SECRET))

    [read] = bob.query(Message).filter(thread_id="t1").all()
    steps.check(f"bob reads: {read.body!r}, signed by alice", holds=read.body == SECRET)
    _carol(steps, server, carol, message)
    _tamper(steps, server, bob, message)


def _carol(steps: _Steps, server: DevServer, carol: UserClient, message: Message) -> None:
    steps.check(
        "carol's query finds nothing: the ACL hides the row", holds=not carol.query(Message).all()
    )
    readers = f"array_append(_rperm, '{carol.user_id}')"
    run_sql(server, f'UPDATE "Message" SET _rperm = {readers}')  # noqa: S608 - our own row
    error = _error_of(lambda: carol.get(Message, message.object_id or "").body)
    refused = isinstance(error, NotARecipientError)
    steps.check(f"a server that lets her in all the same: {type(error).__name__}", holds=refused)


def _tamper(steps: _Steps, server: DevServer, bob: UserClient, message: Message) -> None:
    envelope = bytearray(base64.b64decode(_row(server, message)["body"]))
    envelope[-200] ^= 1
    changed = base64.b64encode(envelope).decode("ascii")
    run_sql(server, f"UPDATE \"Message\" SET body = '{changed}'")  # noqa: S608 - our own row
    error = _error_of(lambda: bob.get(Message, message.object_id or "").body)
    refused = isinstance(error, EnvelopeError)
    steps.check(f"one bit flipped in the database: {type(error).__name__}, no text", holds=refused)


def _finish(stage: Stage, steps: _Steps) -> int:
    stage.panel(
        "what was, and what was not, protected",
        [
            [
                ("The server could see", "bold"),
                (
                    ": who wrote when, the ACL, the thread id, the recipients' key identifiers, "
                    "the length in steps of 160 bytes."
                ),
            ],
            [("The server could not see", "bold"), ": the message, or a key that opens it."],
            [
                ("The server could still", "bold"),
                ": delete it, withhold it, or show an older value of the same author.",
            ],
        ],
        "green" if steps.failed == 0 else "red",
    )
    if steps.failed:
        stage.say(f"{steps.failed} steps failed", "bold red")
    return 1 if steps.failed else 0


def _error_of(action: Callable[[], Any]) -> EncryptedParseError | None:
    try:
        action()
    except EncryptedParseError as error:
        return error
    return None


def _row(server: DevServer, message: Message) -> dict[str, Any]:
    query = f'SELECT row_to_json(m) FROM "Message" m WHERE "objectId" = \'{message.object_id}\''  # noqa: S608 - our own row
    row: dict[str, Any] = run_sql(server, query)[0][0]
    return row


def _is_absent(server: DevServer, text: str) -> bool:
    """Search every column of every table."""
    tables = run_sql(server, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [
        row
        for [table] in tables
        for row in run_sql(server, f'SELECT row_to_json(t)::text FROM "{table}" t')  # noqa: S608 - its own names
    ]
    return bool(rows) and not any(text in row[0] for row in rows)
