"""One user's session: what an app works with after logging in."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO, NoReturn, TypeVar

from encrypted_parse.directory import Card
from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.errors import NotPicklableError
from encrypted_parse.models import (
    BatchReport,
    DeleteOutcome,
    E3KitSealer,
    EncryptedFile,
    Explanation,
    Files,
    Model,
    ObjectStore,
    Pointer,
    Query,
    Readers,
    ResealCheckpoint,
    ResealReport,
    RevokeReport,
    RoleDirectory,
    SaveOutcome,
    Sealer,
    Sharing,
    UserNames,
    Users,
    explain,
    for_each,
    reseal_objects,
    user_ids_of,
    who_can_read,
)
from encrypted_parse.parse import ParseClient, UserSession
from encrypted_parse.trust import KnownNames

M = TypeVar("M", bound=Model)


@front_door
class UserClient:
    """One user's session: saves, fetches, and holds E3Kit's verbs as `e3kit`."""

    def __init__(
        self, session: UserSession, parse: ParseClient, e3kit: E3Kit, names: KnownNames
    ) -> None:
        self._session = session
        self.parse = parse
        self.e3kit = e3kit
        self._names = UserNames(parse, names)
        self._roles = RoleDirectory(parse)
        self._sealer = E3KitSealer(e3kit, self._roles)
        self._files = Files(parse, e3kit)
        self._store = ObjectStore(parse, self._sealer, self._files)
        self._sharing = Sharing(parse, self._sealer)

    @property
    def sealer(self) -> Sealer:
        """Encrypts and decrypts single values as this user; what models and adapters use."""
        return self._sealer

    @property
    def user_id(self) -> str:
        """The Parse `_User` object id, under which the card is published."""
        return self._session.user_id

    @property
    def username(self) -> str:
        """The user's name, as the server answered; `user_id` is what was confirmed."""
        return self._session.username

    @property
    def session_token(self) -> str:
        """The **secret** token of this session, for `EncryptedClient.become`."""
        return self._session.session_token

    def register(self) -> Card:
        """Make the user's keys and publish the card, once per user. See `E3Kit.register`."""
        return self.e3kit.register()

    def user(self, username: str, *, expect_user_id: str | None = None) -> str:
        """Return the user id of the user with this exact name, where the app lets it be found.

        By default Parse Server hides users from each other, and with them their names: the
        companion's setting `ENCRYPTED_PARSE_FIND_USERS` opens names, see docs/companion.md.
        **The server says who it is**: its first answer is remembered, another one refused, and
        whether the first was true is told by `E3Kit.safety_number` alone.

        Args:
            username: The whole name, in its case.
            expect_user_id: The user id that this has to be, as you know it from elsewhere; it
                takes the place of what is remembered, as after a change of the name.

        Raises:
            ObjectNotFoundError: There is no such user, or none that you may find.
            UnexpectedUserIdError: The answer is another user than the remembered or expected one.
            FunctionFailedError: The companion is missing, or older.
            InvalidValueError: *username* is no name.
        """
        return self._names.user_id(username, expect_user_id)

    def save(self, instance: M) -> M:
        """Create or update one object. See `ObjectStore.save`."""
        return self._store.save(instance)

    def save_all(
        self, instances: Sequence[Model], *, transaction: bool = False
    ) -> list[SaveOutcome]:
        """Save many objects in batches, or all or none. See `ObjectStore.save_all`."""
        return self._store.save_all(instances, transaction=transaction)

    def get(self, model: type[M], object_id: str) -> M:
        """Fetch one object. See `ObjectStore.get`."""
        return self._store.get(model, object_id)

    def query(self, model: type[M]) -> Query[M]:
        """Return a query for all objects of *model*. See `Query`."""
        return self._store.query(model)

    def refresh(self, instance: M) -> M:
        """Fetch an object again. See `ObjectStore.refresh`."""
        return self._store.refresh(instance)

    def delete(self, instance: Model) -> None:
        """Delete an object. See `ObjectStore.delete`."""
        self._store.delete(instance)

    def delete_all(self, instances: Sequence[Model]) -> list[DeleteOutcome]:
        """Delete many objects in batches. See `ObjectStore.delete_all`."""
        return self._store.delete_all(instances)

    def increment(self, instance: M, **amounts: float) -> M:
        """Add to plain numbers on the server. See `ObjectStore.increment`."""
        return self._store.increment(instance, **amounts)

    def append(self, instance: M, *, unique: bool = False, **items: Iterable[Any]) -> M:
        """Add to plain lists on the server. See `ObjectStore.append`."""
        return self._store.append(instance, unique=unique, **items)

    def remove(self, instance: M, **items: Iterable[Any]) -> M:
        """Take items out of plain lists on the server. See `ObjectStore.remove`."""
        return self._store.remove(instance, **items)

    def relate(self, instance: Model, name: str, others: Sequence[Model | Pointer[Any]]) -> None:
        """Add objects to a relation. See `ObjectStore.relate`."""
        self._store.relate(instance, name, others)

    def unrelate(self, instance: Model, name: str, others: Sequence[Model | Pointer[Any]]) -> None:
        """Take objects out of a relation. See `ObjectStore.unrelate`."""
        self._store.unrelate(instance, name, others)

    def reseal(
        self,
        *models: type[Model],
        checkpoint: ResealCheckpoint | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> ResealReport:
        """Encrypt own values again for the keys that their readers have now.

        To be called after `e3kit.rotate_private_key`, or when a group changed. See
        `reseal_objects`.
        """
        return reseal_objects(
            self.parse, self._sealer, models, checkpoint=checkpoint, progress=progress
        )

    # --- files ------------------------------------------------------------------------------

    def upload(
        self,
        content: str | os.PathLike[str] | bytes | BinaryIO,
        *,
        name: str | None = None,
        content_type: str = "application/octet-stream",
        progress: Callable[[int, int | None], None] | None = None,
    ) -> EncryptedFile:
        """Encrypt and store a file; assign what is returned to an encrypted field, and save that.

        Content is a path, bytes, or a binary file object that can tell its size; up to 4 GiB, in
        flat memory. It is signed and encrypted on the way, and stored in parts of eight
        megabytes under random names. If it fails, the parts are deleted, or listed in
        `files_left`.

        Args:
            content: What to store.
            name: What readers will see as its name; by default the path's last part.
            content_type: What they will see as its type.
            progress: Called with the bytes done, and how many there are.

        Raises:
            InvalidValueError: The name is empty or a path.
            SourceSizeError: The source cannot tell its size.
            ParseServerError: The server does not take files of this user.
            OSError: The source cannot be read.
        """
        if isinstance(content, bytes):
            content = io.BytesIO(content)
        name = hushed(name)
        return self._files.upload(content, name=name, content_type=content_type, progress=progress)

    def download(
        self,
        file: EncryptedFile,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Fetch, verify and decrypt a file into a path or a binary file object, in flat memory.

        Nothing appears at *target* before everything was verified; a path is replaced in one
        step.

        Raises:
            EnvelopeError: It is not what its author stored.
            ObjectNotFoundError: It was deleted.
            NotRegisteredError: Its author has no card.
            OSError: The target cannot be written.
        """
        self._files.download(file, target, progress=progress)

    @property
    def files_left(self) -> tuple[str, ...]:
        """The names of stored parts that were replaced or whose objects were deleted.

        A Parse Server lets only the master key delete files, so a job of the app's owner may
        delete these, by ``DELETE /files/NAME``. What the server lets this user delete is gone.
        """
        return self._files.left

    # --- readers ----------------------------------------------------------------------------

    def explain(self, instance: Model) -> Explanation:
        """Tell who would be able to read what if *instance* were saved now, and its size.

        ``print(alice.explain(message))``. Looks up cards, roles and groups; sends no value.
        """
        return explain(instance, self._sealer)

    def who_can_read(self, instance: Model, *, candidates: Users = ()) -> dict[str, Readers]:
        """Tell who can read each stored value: by its envelope, not by the ACL.

        A directory finds keys by users, not users by keys: keys that belong to none of the
        users whom the object names, or who are *candidates*, are listed as unknown.

        Raises:
            ObjectNotFoundError: There is no such row, or you may not read it.
        """
        return who_can_read(instance, self.parse, self._sealer, user_ids_of(candidates))

    def share(self, instance: M, *, with_: Users) -> M:
        """Let one or more users read a saved object; returns it as it is now.

        Any reader who may write the row can share it: each value is verified, and a stanza is
        added for each user; ciphertext and the author's signature stay. The ACL lets the users
        read the row. What is `only_me` stays with its author. A rule that does not follow the ACL
        knows nothing of it: once the author changes the value, it is for the rule's readers again.

        Raises:
            InvalidValueError: The object was never saved, or has unsaved changes; or *with_* names
                no users.
            EnvelopeError: A value cannot be opened; nothing is shared then.
            RecipientsNotRegisteredError: Some users have no card; lists all of them.
            StaleObjectError: The server holds other values than this object.
        """
        return self._sharing.share(instance, with_)

    def revoke(self, instance: Model, *, from_: Users) -> RevokeReport:
        """Take users out of the readers of a saved object.

        They leave the ACL and the lists that recipient rules read; every value is encrypted
        again under a new key; then the row is fetched, and none of the users' keys may be named
        in it. Only the author of all values can do this.

        Raises:
            RecipientRuleError: A rule still names one of them: by a role, say.
            AuthorMismatchError: A value is somebody else's.
            FieldLockedError: A value cannot be opened.
            NotRevokedError: The server does not hold what was saved.
            InvalidValueError: The object was never saved, or has unsaved changes.
            StaleObjectError: The server holds other values than this object.
        """
        return self._sharing.revoke(instance, from_)

    def share_all(
        self,
        objects: Iterable[M] | Query[M],
        *,
        with_: Users,
        checkpoint: ResealCheckpoint | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> BatchReport:
        """Share every object of a query, or a list; what cannot be is reported.

        May be stopped and repeated: what is shared already is only read. With a *checkpoint*, a
        query goes on where it was stopped.

        Raises:
            TransportError: The server could not be reached; go on later.
        """
        users = user_ids_of(with_)
        return for_each(
            objects,
            lambda instance: self._sharing.share(instance, users),
            checkpoint=checkpoint,
            progress=progress,
        )

    def revoke_all(
        self,
        objects: Iterable[M] | Query[M],
        *,
        from_: Users,
        checkpoint: ResealCheckpoint | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> BatchReport:
        """Take users out of every object of a query, or a list. As `share_all`."""
        users = user_ids_of(from_)
        return for_each(
            objects,
            lambda instance: self._sharing.revoke(instance, users),
            checkpoint=checkpoint,
            progress=progress,
        )

    # --- caches -----------------------------------------------------------------------------

    def forget_roles(self) -> None:
        """Ask the server for roles' members next time: they are kept for five minutes."""
        self._roles.forget()

    def reload(self) -> None:
        """Ask for everything anew: cards, roles' members, groups' members.

        For a program that knows that something changed. What is remembered of other users' keys
        (`E3Kit.trust_of`) is no cache, and stays.
        """
        self.forget_roles()
        self.e3kit.forget_cards()
        self.e3kit.forget_group_members()

    def log_out(self) -> None:
        """End the session on the server; one that has ended already is no error.

        The private key stays on this machine.
        """
        self.parse.log_out()

    def __repr__(self) -> str:
        return f"<UserClient {self.user_id}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a client holds keys and sessions and is not pickled")
