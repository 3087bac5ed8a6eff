"""The chat's data, as Virgil's tutorial for Back4App has it: threads of two, and their messages.

The web page writes the same rows with E3Kit. Only `Message.body` is secret; who writes to whom,
and when, the server sees.
"""

from __future__ import annotations

from encrypted_parse import Model, Pointer, acl_readers, encrypted, field


class ChatThread(Model):
    """A conversation of two users; its ACL lets both read."""

    member_ids: list[str] = field(factory=list)
    member_names: list[str] = field(factory=list)


class Message(Model):
    """One message; its ACL lets both members read, and so both can open `body`."""

    thread: Pointer[ChatThread]
    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")
