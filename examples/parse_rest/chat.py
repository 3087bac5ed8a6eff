"""Code that uses the classes: nothing in it knows of encryption but the making of keys.

Needs the variables that `encrypted-parse dev` prints, and the extra `parse-rest`.
"""

from __future__ import annotations

import secrets

from messages import Message
from parse_rest.connection import SessionToken
from parse_rest.datatypes import ACL
from parse_rest.user import User

from encrypted_parse.integrations.parse_rest import current_user


def sign_up(name: str) -> User:
    """Sign a user up, and make the user's keys: once in a lifetime."""
    user = User.signup(f"{name}-{secrets.token_hex(4)}", secrets.token_urlsafe())
    with SessionToken(user.sessionToken):
        current_user().register()
    return user


def main() -> None:
    """One writes, the other reads."""
    ann, ben = sign_up("ann"), sign_up("ben")
    with SessionToken(ann.sessionToken):
        message = Message(senderId=ann.objectId, text="Lunch at noon?")
        message.ACL = ACL({ann.objectId: {"read": True, "write": True}})
        message.ACL.set_user(ben, read=True)
        message.save()
    with SessionToken(ben.sessionToken):
        for found in Message.Query.filter(senderId=ann.objectId).order_by("createdAt"):
            print(found.text)


if __name__ == "__main__":
    main()
