"""A kept session: who is logged in on this machine, as key files and keyrings hold it."""

from __future__ import annotations

import base64
import json
from typing import NoReturn, Protocol, runtime_checkable

from attrs import field, frozen

from encrypted_parse._translating import translating
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import NotPicklableError, TamperedEnvelopeError
from encrypted_parse.keystore.protection import seal, unseal
from encrypted_parse.keystore.records import MISREAD

FORMAT_VERSION = 1
MAX_BYTES = 16 * 1024


@front_door
@frozen
class KeptSession:
    """One user's session with one server. The token is a password: in no `repr` and no pickle.

    Attributes:
        server_url: The only address that the token may be sent to.
        username: As it was typed in.
        user_id: As the log-in was answered and confirmed.
        session_token: The **secret** token.
    """

    server_url: str
    username: str
    user_id: str
    session_token: str = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the **secret** record as JSON."""
        fields = {
            "version": FORMAT_VERSION,
            "server_url": self.server_url,
            "username": self.username,
            "user_id": self.user_id,
            "session_token": self.session_token,
        }
        return json.dumps(fields).encode("ascii")

    @classmethod
    def from_bytes(cls, content: bytes) -> KeptSession:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: It is something else. The message quotes nothing.
        """
        with translating(
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
            to=lambda: ValueError("not a kept session"),
        ):
            fields = json.loads(content) if len(content) <= MAX_BYTES else {}
            names = ("server_url", "username", "user_id", "session_token")
            texts = [fields[name] for name in names]
            if fields["version"] != FORMAT_VERSION or not all(
                isinstance(text, str) and text for text in texts
            ):
                raise ValueError("fields")
            return cls(*texts)

    def to_file(self, master: bytes | None, context: bytes) -> bytes:
        """Return the content of a file: sealed under a **secret** master key, if there is one."""
        record = self.to_bytes()
        if master is not None:
            record = seal(master, record, context)
        text = base64.b64encode(record).decode("ascii")
        return json.dumps({"sealed": master is not None, "session": text}).encode("ascii")

    @classmethod
    def from_file(cls, content: bytes, master: bytes | None, context: bytes) -> KeptSession:
        """Read what `to_file` wrote: a plain one does not count where files are sealed.

        Raises:
            ValueError: It is something else. The message quotes nothing.
        """
        with translating(
            *MISREAD, TamperedEnvelopeError, to=lambda: ValueError("not a kept session")
        ):
            fields = json.loads(content)
            record = base64.b64decode(fields["session"].encode("ascii"), validate=True)
            if fields["sealed"] is not (master is not None):
                raise ValueError("sealed, or not")
            return cls.from_bytes(record if master is None else unseal(master, record, context))

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a session is not written into pickles")


@runtime_checkable
class SessionKeeper(Protocol):
    """A keystore that keeps a session too: one of an app on this machine, as it keeps keys."""

    def find_session(self) -> KeptSession | None:
        """Return the session that is kept, or None.

        Raises:
            KeystoreError: It is there but cannot be used.
        """

    def save_session(self, session: KeptSession) -> None:
        """Keep a session, in place of the one before.

        Raises:
            KeystoreError: It cannot be kept.
        """

    def delete_session(self) -> None:
        """Forget the session; nothing happens if there is none.

        Raises:
            KeystoreError: It cannot be deleted.
        """
