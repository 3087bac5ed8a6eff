"""A message for one reader: declare, save, fetch.

Needs the variables that `encrypted-parse dev` prints.
"""

from __future__ import annotations

import secrets

from encrypted_parse import EncryptedClient, Model, acl_readers, encrypted


class Message(Model):
    """One message of a chat thread."""

    thread_id: str
    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


def main() -> None:
    """Sign two users up, send a message, read it."""
    app = EncryptedClient.from_env()
    password = secrets.token_urlsafe()
    alice, bob = (
        app.sign_up(f"{name}-{secrets.token_hex(4)}", password) for name in ("alice", "bob")
    )
    alice.register()
    bob.register()
    message = Message(thread_id="t1", sender_id=alice.user_id, body="Lunch at noon?")
    message.acl.allow_read(bob.user_id)
    alice.save(message)
    for received in bob.query(Message).filter(sender_id=alice.user_id):
        print(received.body)


if __name__ == "__main__":
    main()
