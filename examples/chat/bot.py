"""A Python program that takes part in the chat: it answers every message that is meant for it.

LiveQuery wakes it; what it then reads, decrypts and verifies it fetches with a query, since events
can get lost. Started by `make chat`; on its own: ``python bot.py`` with the variables of
`encrypted-parse dev`, PARSE_LIVE_QUERY_URL and PARSE_JAVASCRIPT_KEY.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import threading
from collections.abc import Iterator

from models import Message
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from encrypted_parse import EncryptedClient, UserClient
from encrypted_parse.errors import EncryptedParseError

NAME = "bot"
_LOOK_SECONDS = 10.0  # without any event, look all the same


def sign_up(app: EncryptedClient, password: str) -> UserClient:
    """Make the bot's account and keys; everybody may find it by its name."""
    bot = app.sign_up(NAME, password)
    everybody = {"*": {"read": True}, bot.user_id: {"read": True, "write": True}}
    bot.parse.update("_User", bot.user_id, {"ACL": everybody})
    bot.register()
    return bot


def answer_messages(
    bot: UserClient, live_query_url: str, javascript_key: str, stop: threading.Event
) -> None:
    """Answer what is written to the bot, until *stop* is set."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)  # the server's clock is another
    seen: set[str | None] = set()
    for _ in _wake_ups(bot, live_query_url, javascript_key, stop):
        for message in bot.query(Message).filter(created_at__gte=since).order_by("created_at"):
            if message.object_id in seen:
                continue
            seen.add(message.object_id)
            since = message.created_at or since
            if message.sender_id != bot.user_id:
                try:
                    _answer(bot, message)
                except EncryptedParseError as error:  # one that cannot be answered stops no other
                    print(f"bot: no answer to {message.object_id}: {error}", file=sys.stderr)


def _answer(bot: UserClient, message: Message) -> None:
    if message.locked:
        text = "I could not open that: it is not what you wrote, or not for me."
    else:
        words = len(message.body.split())
        plural = "" if words == 1 else "s"
        text = f"Python has read {words} word{plural}, signed by you: “{message.body}”"
    reply = Message(thread=message.thread, sender_id=bot.user_id, body=text)
    reply.acl.allow_read(message.sender_id)
    bot.save(reply)


def _wake_ups(
    bot: UserClient, url: str, javascript_key: str, stop: threading.Event
) -> Iterator[None]:
    """Yield whenever there may be something new; connects again if the connection breaks."""
    hello = {
        "op": "connect",
        "applicationId": bot.parse.app.application_id,
        "javascriptKey": javascript_key,
        "sessionToken": bot.session_token,
    }
    wanted = {"op": "subscribe", "requestId": 1, "query": {"className": "Message", "where": {}}}
    while not stop.is_set():
        try:
            with connect(url, open_timeout=_LOOK_SECONDS) as socket:
                socket.send(json.dumps(hello))
                socket.recv(timeout=_LOOK_SECONDS)
                socket.send(json.dumps({**wanted, "sessionToken": bot.session_token}))
                while not stop.is_set():
                    yield
                    _wait(socket, stop)
        except (OSError, TimeoutError, ConnectionClosed):
            stop.wait(1.0)


def _wait(socket: object, stop: threading.Event) -> None:
    """Return after an event, after a while, or when the bot is to stop."""
    for _ in range(int(_LOOK_SECONDS / 0.25)):
        if stop.is_set():
            return
        try:
            socket.recv(timeout=0.25)  # type: ignore[attr-defined]
        except TimeoutError:
            continue
        return


if __name__ == "__main__":
    answer_messages(
        sign_up(EncryptedClient.from_env(), os.urandom(16).hex()),
        os.environ["PARSE_LIVE_QUERY_URL"],
        os.environ["PARSE_JAVASCRIPT_KEY"],
        threading.Event(),
    )
