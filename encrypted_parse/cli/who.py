"""Users as they are named on the command line: by ids, or by names where the app finds those."""

from __future__ import annotations

import re

from encrypted_parse.cli.output import say
from encrypted_parse.errors import ConfigurationError, FunctionFailedError, ObjectNotFoundError
from encrypted_parse.user_client import UserClient

_OBJECT_ID = re.compile(r"[A-Za-z0-9]{10}")  # as Parse Server makes them


def user_id_of(client: UserClient, text: str) -> str:
    """Return the user id that *text* means.

    ``id:ID`` and ``name:NAME`` say what they are. Ten letters and digits are an id. Anything else
    may be a name, or the id of an app that makes its own: whoever chose a name or an id like
    another user's must not get what is for that one, so what could be both is refused.

    Raises:
        ConfigurationError: It is the name of one user, and the id of another.
        ObjectNotFoundError: It is neither, as far as this user may know.
        UnexpectedUserIdError: The server gives another user than before.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind == "id":
        return rest
    if colon and kind == "name":
        return _by_name(client, rest)
    if _OBJECT_ID.fullmatch(text):
        return text
    is_id = text.isascii() and text.isprintable() and bool(client.e3kit.keys_ever_of(text))
    try:
        found = _by_name(client, text)
    except (ObjectNotFoundError, FunctionFailedError):
        if is_id:
            return text
        raise
    if is_id and found != text:
        raise ConfigurationError(
            f"{text!r} is the name of the user {found!r}, and the id of another user",
            hint=f"say which: name:{text} or id:{text}",
        )
    return found


def user_ids_of(client: UserClient, texts: list[str] | None) -> list[str]:
    """Return the user ids that *texts* mean, in order. Raises as `user_id_of`."""
    return [user_id_of(client, text) for text in texts or ()]


def _by_name(client: UserClient, name: str) -> str:
    user_id = client.user(name)
    say(f"note: {name!r} is the user {user_id}, as the server says")
    return user_id
