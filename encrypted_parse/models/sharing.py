"""Sharing: giving other users a saved object to read, and taking it away again.

Giving adds stanzas to the envelopes that are there, so any reader can do it, and the author's
signature stays. Taking away means new envelopes, which only their author can make; what somebody
has read, or could have read, is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from attrs import frozen

from encrypted_parse.discretion import as_value, front_door, hushed
from encrypted_parse.errors import (
    ArgumentError,
    EncryptedParseError,
    FieldLockedError,
    InvalidValueError,
    NotRevokedError,
    RecipientRuleError,
    StaleObjectError,
    TransportError,
)
from encrypted_parse.models import current, drafts, rows
from encrypted_parse.models.acl import Who, user_name_of
from encrypted_parse.models.arguments import require_instance, require_list, saved_id
from encrypted_parse.models.model import Model
from encrypted_parse.models.outcomes import BatchReport
from encrypted_parse.models.query import Query
from encrypted_parse.models.reseal import NoCheckpoint, ResealCheckpoint
from encrypted_parse.models.resending import send_anew, send_sealed
from encrypted_parse.models.rules import only_me, user_id_of
from encrypted_parse.models.sealer import Sealer
from encrypted_parse.models.tags import deciding_columns
from encrypted_parse.models.versions import update_if_current
from encrypted_parse.parse import ParseClient

M = TypeVar("M", bound=Model)
Users = Who | Iterable[Who]
"""One user or several: user ids, pointers to users, fetched users, clients."""


@front_door
@frozen
class RevokeReport:
    """What was taken away, and what cannot be.

    Attributes:
        object_id: The object.
        users: Who was taken out.
        fields: The encrypted attributes that are in new envelopes now. Each was fetched again,
            and names none of the users' keys.
    """

    object_id: str
    users: frozenset[str]
    fields: tuple[str, ...]

    @property
    def cannot_be_recalled(self) -> str:
        """What nobody can take back, in words for whoever asked for it."""
        return (
            "What these users have read or copied before stays with them. Old envelopes may live "
            "on in the host's backups and logs, and open with the keys that they were made for."
        )


@front_door
class Sharing:
    """Adds and removes readers of one user's objects."""

    def __init__(self, parse: ParseClient, sealer: Sealer) -> None:
        self._parse = parse
        self._sealer = sealer

    def share(self, instance: M, users: Users) -> M:
        """Let *users* read a saved object, whose stored values stay byte for byte.

        See `UserClient.share`.
        """
        added = user_ids_of(users)
        row, fresh = self._fetch(instance)
        body = self._shared(row, fresh, added)
        if not fresh.acl.readers >= added and "*" not in fresh.acl.readers:
            for user_id in added:
                fresh.acl.allow_read(user_id)
        draft = drafts.draft(fresh, self._sealer.user_id, keep=True)
        if body or not draft.is_empty:
            plain = drafts.versioned(draft)
            sent, answer = send_anew(
                lambda: {**plain, **self._shared(row, fresh, added)},
                added,
                self._sealer,
                lambda body: self._send(draft, body),
            )
            drafts.settle(draft, sent, answer, self._sealer)
        return _take_over(instance, fresh)

    def _shared(
        self, row: Mapping[str, Any], fresh: Model, added: Collection[str]
    ) -> dict[str, Any]:
        """Return the stored envelopes that *added* cannot open yet, so that they can."""
        body: dict[str, Any] = {}
        for declared, encryption in rows.encrypted_fields(fresh):
            text = row.get(declared.column)
            if text is None or encryption.to == only_me():
                continue  # it stays with its author
            if declared.name in fresh.locked:
                getattr(fresh, declared.name)  # raises, and says why it is locked
            author = rows.author_of(fresh, encryption, self._sealer.user_id)
            shared = self._sealer.share(text, author or "", added)
            if shared != text:
                body[declared.column] = shared
        return body

    def revoke(self, instance: Model, users: Users) -> RevokeReport:
        """Encrypt a saved object again without *users*. See `UserClient.revoke`."""
        removed = user_ids_of(users)
        _, fresh = self._fetch(instance)
        if self._sealer.user_id in removed:
            raise InvalidValueError("an author stays a reader of what is theirs")
        _forget_users(fresh, removed)
        present = []
        for declared, encryption in rows.encrypted_fields(fresh):
            if declared.name in fresh.locked:
                raise FieldLockedError(
                    f"{declared.where} is locked: {fresh.locked[declared.name]}",
                    hint="only its author can take readers away from a value",
                )
            if declared.name not in fresh._state.stored:  # noqa: SLF001 - our own
                continue
            present.append(declared)
            recipients = encryption.to.user_ids(fresh._state.acl, hushed(fresh.__dict__))  # noqa: SLF001 - our own
            still = self._sealer.resolve(recipients) & removed
            if still:
                raise RecipientRuleError(
                    f"{declared.where} is still for {', '.join(sorted(still))} by its rule",
                    hint="change what the rule reads (an attribute, a role, a group), then revoke",
                )
        names = [declared.name for declared in present]
        draft = drafts.draft(fresh, self._sealer.user_id, reseal=names)
        if not draft.is_empty:
            body, answer = send_sealed(draft, self._sealer, lambda body: self._send(draft, body))
            drafts.settle(draft, body, answer, self._sealer)
            self._verify(fresh, body, removed)
        _take_over(instance, fresh)
        return RevokeReport(str(fresh.object_id), removed, tuple(names))

    def _verify(self, fresh: Model, body: Mapping[str, Any], removed: Collection[str]) -> None:
        """Fetch the row again: the server might have kept what it had."""
        row = self._parse.get(fresh.parse_class, str(fresh.object_id))
        for declared, _ in rows.encrypted_fields(fresh):
            text = row.get(declared.column)
            if text is None and declared.column not in body:
                continue
            if (
                text is None
                or text != body.get(declared.column, text)
                or self._sealer.readers(text, removed).user_ids
            ):
                raise NotRevokedError(
                    f"{declared.where} on the server is not what was saved, or still names a "
                    "removed reader",
                    hint="somebody else saved it at the same time, or the server lies; try again",
                )

    def _fetch(self, instance: M) -> tuple[Mapping[str, Any], M]:
        """Return the row as it is now, and the object of it.

        It has to hold what *instance* shows: a server that puts another of the author's values in
        its place would have us hand that to somebody.
        """
        object_id = saved_id(instance)
        if not drafts.draft(instance, self._sealer.user_id, keep=True).is_empty:
            raise InvalidValueError("the object has unsaved changes", hint="save it first")
        row = self._parse.get(instance.parse_class, object_id)
        [fresh] = rows.load_rows(type(instance), [row], self._sealer)
        shown, found = instance._state, fresh._state  # noqa: SLF001 - our own
        for declared, _ in rows.encrypted_fields(fresh):
            name = declared.name
            if name in shown.deferred or name in fresh.locked:
                continue
            if shown.stored.get(name) != found.stored.get(name):
                raise StaleObjectError(
                    f"{declared.where} on the server is not what this object holds",
                    overwritten=False,
                    hint="refresh() it, and look whether that is what is to be shared or revoked",
                )
        return row, fresh

    def _send(self, draft: drafts.Draft, body: Mapping[str, Any]) -> Mapping[str, Any]:
        instance = draft.instance
        read = instance._state.read  # noqa: SLF001 - our own
        expected = {column: tag for column, tag in read.items() if column in body}
        for column in deciding_columns(type(instance)) & read.keys():
            expected[column] = read[column]
        counted = type(instance).version_field
        if counted is not None:
            return update_if_current(self._parse, draft, body, counted, expected)
        return current.update(self._parse, draft, body, expected, fresh=True)


@front_door
def for_each(
    objects: Iterable[M] | Query[M],
    action: Callable[[M], object],
    *,
    checkpoint: ResealCheckpoint | None,
    progress: Callable[[int], None] | None,
) -> BatchReport:
    """Do *action* with every object; what fails is reported and hides no other.

    Raises:
        TransportError: The server could not be reached; what is done is done.
    """
    report, place = BatchReport(), checkpoint or NoCheckpoint()
    class_name = None
    if isinstance(objects, Query):
        class_name = objects.parse_class
        after = place.position(class_name)
        objects = objects.filter(object_id__gt=after) if after else objects
    for instance in require_list(objects, "objects"):
        require_instance(instance)
        report.examined += 1
        try:
            action(instance)
            report.done += 1
        except TransportError:
            raise
        except EncryptedParseError as error:
            report.failed.append((str(instance.object_id), as_value(error)))
        if class_name is not None:
            place.advance(class_name, str(instance.object_id))
        if progress is not None:
            progress(report.examined)
    return report


@front_door
def user_ids_of(users: Users) -> frozenset[str]:
    """Return the user ids of one user, or of several.

    Raises:
        ArgumentError: Something that stands for no user.
    """
    alone = isinstance(users, str) or not isinstance(users, Iterable)
    several: Iterable[Who] = [users] if alone else users  # type: ignore[list-item, assignment]
    found = frozenset(user_name_of(user) for user in several)
    if "" in found:
        raise ArgumentError(
            "name users by their ids, by pointers to them, or by their clients",
            hint="pass one of them, or a list",
        )
    return found


def _forget_users(instance: Model, removed: Collection[str]) -> None:
    """Take users out of the ACL, and out of the lists that recipient rules read."""
    for user_id in removed:
        instance.acl.revoke(user_id)
    for _, encryption in rows.encrypted_fields(instance):
        for name in encryption.to.attributes():
            value = instance.__dict__.get(name)
            if isinstance(value, list):
                kept = [one for one in value if user_id_of(one) not in removed]
                if kept != value:
                    setattr(instance, name, kept)


def _take_over(instance: M, fresh: M) -> M:
    """Make *instance* what *fresh* is: the row as it is now."""
    object.__setattr__(instance, "_state", fresh._state)  # noqa: SLF001 - our own
    for name in type(instance).fields:
        instance.__dict__.pop(name, None)
        if name in fresh.__dict__:
            instance.__dict__[name] = fresh.__dict__[name]
    return instance
