"""Who is logged in: not what the server's answer says, but what this machine knows (ADR 14).

Private keys and pins are kept by user id, and a log-in is answered with one. A server that answers
mallory's log-in with bob's id would let mallory read with bob's key; one that answers alice's with
an id of its own would make everything that she remembers of others a first sight again. So the
user name that a person typed in is tied to the user id of its first answer.
"""

from __future__ import annotations

from typing import NoReturn

from attrs import frozen

from encrypted_parse.discretion import front_door
from encrypted_parse.errors import KeystoreError, UnexpectedUserIdError
from encrypted_parse.keystore import Keystore
from encrypted_parse.trust.store import TrustStore


@front_door
@frozen
class Logins:
    """The log-ins of one app on this machine. Every method raises `TrustStoreError` too.

    Attributes:
        application_id: The app.
        store: Where names are remembered.
        keystore: Whose keys a session would open.
    """

    application_id: str
    store: TrustStore
    keystore: Keystore

    def confirm_new(self, username: str, user_id: str) -> None:
        """Take *user_id* as the answer to a sign-up: it has to be nobody's whom we know.

        Raises:
            UnexpectedUserIdError: Keys of that user are here, or another name is that user's.
        """
        others = self._other_names(username, user_id)
        if others or self._holds(user_id):
            _refuse("a new user was given the user id of one who is known here", user_id)
        self._replace(username, user_id)

    def confirm(self, username: str, user_id: str, expected: str | None = None) -> None:
        """Take *user_id* as the answer to a log-in of *username*, and remember it.

        Args:
            username: As it was typed in.
            user_id: As it was answered.
            expected: What a person, or the program's own records, say that it is: takes the place
                of what is remembered.

        Raises:
            UnexpectedUserIdError: Another id is expected or remembered; the id is remembered for
                another name; or its keys are here among others', and nothing ties it to the name.
        """
        # (1) somebody says who it is   (2) it was answered before   (3) a name is only one user's,
        # and a user has one name   (4) keys that nobody's name is tied to, among others
        if expected is not None:  # (1)
            _require_expected(user_id, expected)
            self._replace(username, user_id)
            return
        known = self.store.find_login(self.application_id, username)  # (2)
        if known is not None:
            if known != user_id:
                _refuse(f"{username!r} is the user {known!r} for this machine", user_id, known)
            return
        others = self._other_names(username, user_id)  # (3)
        if others:
            names = ", ".join(map(repr, sorted(others)))
            _refuse(f"for this machine that user is {names}, not {username!r}", user_id)
        if self._holds(user_id) and set(self.keystore.user_ids()) != {user_id}:  # (4)
            _refuse(
                f"several users' keys are here, and nothing says that {username!r} is that one",
                user_id,
            )
        self.store.save_login(self.application_id, username, user_id, replacing=None)
        if self.store.find_login(self.application_id, username) != user_id:
            _refuse(f"{username!r} was answered with another user id at the same time", user_id)

    def confirm_session(self, user_id: str, expected: str | None = None) -> None:
        """Take *user_id* as the answer to a session token, which no name was typed in for.

        Raises:
            UnexpectedUserIdError: Another id is expected; or none is, and the keystore holds the
                keys of others, so that the server would choose whose are opened.
        """
        if expected is not None:
            _require_expected(user_id, expected)
        elif not set(self.keystore.user_ids()) <= {user_id}:
            _refuse("a session token names no user, and keys of other users are here", user_id)

    def _other_names(self, username: str, user_id: str) -> frozenset[str]:
        return self.store.find_usernames(self.application_id, user_id) - {username}

    def _holds(self, user_id: str) -> bool:
        try:
            return self.keystore.find(user_id) is not None
        except KeystoreError:  # there, and cannot be opened yet
            return True

    def _replace(self, username: str, user_id: str) -> None:
        known = self.store.find_login(self.application_id, username)
        if known != user_id:
            self.store.save_login(self.application_id, username, user_id, replacing=known)


def _require_expected(user_id: str, expected: str) -> None:
    if user_id != expected:
        _refuse(f"the user {expected!r} was expected", user_id, expected)


def _refuse(reason: str, user_id: str, known: str | None = None) -> NoReturn:
    raise UnexpectedUserIdError(
        f"the server answered with the user {user_id!r}: {reason}",
        user_id=user_id,
        known=known,
        hint=(
            "if you know that it is right (a renamed user, a server set up anew):"
            f" pass expect_user_id={user_id!r}"
        ),
    )
