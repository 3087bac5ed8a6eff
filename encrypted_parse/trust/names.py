"""Which user a name is: not what the server says today, but what it said first (ADR 25).

Who is encrypted for is told by a user id, and a server that is asked for a name chooses one. So the
first answer is remembered by the user who asked, and another one is refused. It is remembered apart
from log-ins: what a server answers to a search must not say whose keys a log-in opens.
"""

from __future__ import annotations

from typing import NoReturn

from attrs import frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import UnexpectedUserIdError
from encrypted_parse.trust.store import TrustStore


@front_door
@frozen
class KnownNames:
    """The names that one user looked up. Every method raises `TrustStoreError` too.

    Attributes:
        application_id: The app.
        owner: The user id of who asks.
        store: Where names are remembered.
    """

    application_id: str
    owner: str
    store: TrustStore

    def confirm(self, username: str, user_id: str, expected: str | None = None) -> None:
        """Take *user_id* as the answer to a search for *username*, and remember it.

        Args:
            username: As it was asked for.
            user_id: As it was answered.
            expected: What a person, or the program's own records, say that it is: takes the place
                of what is remembered.

        Raises:
            UnexpectedUserIdError: Another id is expected or remembered, or logged in here by that
                name; or the id is remembered for another name.
        """
        known = self.store.find_login(self._names, username)
        if expected is not None:
            if user_id != expected:
                _refuse(username, user_id, expected, f"the user {expected!r} was expected")
            if known != user_id:
                self.store.save_login(self._names, username, user_id, replacing=known)
            return
        here = known or self.store.find_login(self.application_id, username)
        if here not in (None, user_id):
            _refuse(username, user_id, here, f"for this machine that name is the user {here!r}")
        if known is not None:
            return
        others = self.store.find_usernames(self._names, user_id) - {username}
        if others:
            names = ", ".join(map(repr, sorted(others)))
            _refuse(username, user_id, None, f"for this machine that user is {names}")
        self.store.save_login(self._names, username, user_id, replacing=None)
        if self.store.find_login(self._names, username) != user_id:
            _refuse(username, user_id, None, "it was another user at the same time")

    @property
    def _names(self) -> str:
        """The place of these names in the store, which no application id has."""
        return f"{self.application_id}\n{self.owner}"


def _refuse(username: str, user_id: str, known: str | None, reason: str) -> NoReturn:
    raise UnexpectedUserIdError(
        f"the server says that {username!r} is the user {user_id!r}: {reason}",
        user_id=user_id,
        known=known,
        hint=(
            "if the user says that it is right (a changed name): name the user by the id,"
            " or give it as expect_user_id"
        ),
    )
