"""E3Kit's groups, for one user: shared sessions whose tickets travel through Keyknox (section 9).

The initiator makes tickets, one an epoch, and gives each member a copy that is encrypted for the
member and signed by the initiator. Removing a member starts an epoch that the member has no ticket
of; adding one shares all older tickets, so newcomers read what was written before.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import overload

from encrypted_parse._translating import translating
from encrypted_parse.backup import KeyknoxClient, Place
from encrypted_parse.backup.keyknox import KeyknoxRecord
from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Card
from encrypted_parse.discretion import front_door
from encrypted_parse.e3kit.arguments import Cards, card_of, cards_of
from encrypted_parse.e3kit.group_epochs import EpochMemory, SeenTicket, counted
from encrypted_parse.e3kit.group_trust import GroupTrust
from encrypted_parse.envelope import (
    GroupSession,
    GroupTicket,
    decrypt_then_verify_detached,
    from_text,
    group_session_id,
    refuse_other_meaning,
    sign_then_encrypt_detached,
    to_text,
)
from encrypted_parse.errors import (
    DirectoryRefusedError,
    EnvelopeError,
    GroupError,
    GroupExistsError,
    GroupNotFoundError,
    MalformedGroupError,
    UntrustedKeyError,
)
from encrypted_parse.keystore import StoredKey
from encrypted_parse.trust import MemoryTrustStore

ROOT = "group-sessions"
MAX_PARTICIPANTS = 100
_HASH_MISMATCH = 50010
_EPOCH = re.compile(r"0|[1-9][0-9]{0,9}")  # decimal, of 32 bits; longer ones are not even parsed


@front_door
class Group:
    """One group as this user sees it: its tickets, its members, its initiator.

    Made by `create_group` and `load_group`. Only the initiator changes members; the others call
    `update` to learn of it.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - made by GroupVerbs alone
        self,
        group_id: str,
        initiator: str,
        signers: Iterable[PublicKey],
        own: StoredKey,
        keyknox: KeyknoxClient,
        trust: GroupTrust | None = None,
        memory: EpochMemory | None = None,
    ) -> None:
        self.group_id = group_id
        self.initiator = initiator
        self._signers = list(dict.fromkeys(signers))
        self._user_id, self._key, self._identities = own.user_id, own.private_key, own.identities
        self._keyknox = keyknox
        self._trust = trust or GroupTrust()
        self._memory = memory or EpochMemory(MemoryTrustStore(), own.user_id, initiator, group_id)
        self._may_write = True
        self._path = group_session_id(group_id).hex()
        self._session: GroupSession | None = None
        self.participants: frozenset[str] = frozenset()

    @property
    def session(self) -> GroupSession:
        """The tickets that we hold."""
        if self._session is None:
            raise GroupNotFoundError(f"the group {self.group_id!r} is not loaded")
        return self._session

    @property
    def is_editable(self) -> bool:
        """Whether we are the initiator, who alone changes members."""
        return self._user_id == self.initiator

    # --- messages ---------------------------------------------------------------------------

    @overload
    def encrypt(self, data: str) -> str: ...
    @overload
    def encrypt(self, data: bytes) -> bytes: ...
    def encrypt(self, data: str | bytes) -> str | bytes:
        """Encrypt for the members of the newest epoch, signed by us; text gives base64.

        Raises:
            OtherMeaningError: *data* is a card, a group's ticket or an archive.
            PlaintextTooLongError: Over 29,915 bytes.
            UntrustedKeyError: The initiator's key is not the remembered one, so that its tickets
                may be somebody else's: `accept_key`, then `update`.
        """
        if not self._may_write:
            raise UntrustedKeyError([self.initiator])
        plaintext = data.encode("utf-8") if isinstance(data, str) else data
        refuse_other_meaning(plaintext)
        message = self.session.encrypt(plaintext, self._key)
        return to_text(message) if isinstance(data, str) else message

    @overload
    def decrypt(
        self, data: str, sender: Card, *, encrypted_at: dt.datetime | None = None
    ) -> str: ...
    @overload
    def decrypt(
        self, data: bytes, sender: Card, *, encrypted_at: dt.datetime | None = None
    ) -> bytes: ...
    def decrypt(
        self, data: str | bytes, sender: Card, *, encrypted_at: dt.datetime | None = None
    ) -> str | bytes:
        """Open a message that *sender* wrote to this group.

        *encrypted_at* chooses the card that the sender had at that time, as in E3Kit.

        Raises:
            CardNotFoundError: The sender had no card yet at *encrypted_at*.
            UnknownEpochError: We do not hold its ticket: call `update`, or we were removed.
            EnvelopeError: See `GroupSession.decrypt`.
        """
        [key] = self._trust.sender_keys(sender, encrypted_at)
        if isinstance(data, bytes):
            return self.session.decrypt(data, key)
        plaintext = self.session.decrypt(from_text(data), key)
        with translating(
            UnicodeDecodeError, to=lambda: MalformedGroupError("the decrypted message is not text")
        ):
            return plaintext.decode("utf-8")

    # --- members ----------------------------------------------------------------------------

    def add(self, cards: Cards) -> None:
        """Add members, and share all older tickets with them.

        Raises:
            GroupError: We are not the initiator, some are members already, or it gets too large.
            UntrustedKeyError: A key is not the remembered one.
            DirectoryRefusedError: Code 50010: another device of ours was faster; `update`.
        """
        new = self._members(cards)
        if new.keys() & self.participants:
            raise GroupError("some of them are members already")
        _check_size(len(self.participants | new.keys()))
        for epoch, seen in self._fetch_counted().items():
            self._share(epoch, seen.ticket, new, seen.record)
        self.participants |= new.keys()

    def remove(self, cards: Cards, remaining: Cards) -> None:
        """Remove members: start an epoch that they have no ticket of.

        Args:
            cards: Who leaves.
            remaining: The current cards of all who stay, but for ourselves.

        Raises:
            GroupError: We are not the initiator, or the two lists are not the members.
            UntrustedKeyError: The key of somebody who stays is not the remembered one.
            DirectoryRefusedError: Code 50010: another device of ours was faster; `update`.
        """
        gone, staying = self._members(cards, leaving=True), self._members(remaining)
        if gone.keys() & staying.keys() or (
            gone.keys() | staying.keys() | {self._user_id} != self.participants
        ):
            raise GroupError(
                "those who leave and those who stay are not together the members",
                hint="call update(), and look at participants",
            )
        _check_size(len(staying) + 1)
        session = self.session.with_new_epoch()
        self._share(session.newest.epoch, session.newest, staying, None, with_self=True)
        for user_id in gone:
            self._keyknox.reset_path(ROOT, self._path, user_id)
        self._keep(session, staying)

    def re_add(self, card: Card) -> None:
        """Share all tickets with a member again, who has another key now.

        Raises:
            GroupError: We are not the initiator, or it is no member.
            UntrustedKeyError: The key is not the remembered one: call `accept_key` first.
        """
        member = self._members(card_of(card))
        if not member.keys() <= self.participants:
            raise GroupError("it is no member of the group", hint="use add()")
        for epoch, seen in self._fetch_counted().items():
            self._keyknox.reset_records(self._place(epoch), card.user_id)
            self._share(epoch, seen.ticket, member, seen.record)

    def update(self, initiator: Card | None = None) -> None:
        """Fetch the tickets again; *initiator* is the initiator's current card, if it changed.

        Raises:
            GroupNotFoundError: The group was deleted, or we were removed.
            MalformedGroupError: A ticket is not the initiator's for this group and epoch, or the
                newest one that we have seen is gone, or was exchanged.
        """
        if initiator is not None and card_of(initiator).user_id != self.initiator:
            raise GroupError("the group has another initiator")
        self._signers = self._trust.initiator_keys(initiator, self._signers)
        self._may_write = self._trust.may_write()
        seen = self._fetch_counted()
        newest = max(seen)
        if self._session is not None and newest < self._session.newest.epoch:
            raise MalformedGroupError("the newest ticket that we have seen is gone")
        self._memory.require_newest(seen, self._signers)
        if self._may_write:  # what nobody trusts must not push out what is trusted
            self._memory.remember(seen[newest].ticket, seen[newest].signer)
        self._session = GroupSession(one.ticket for one in seen.values())
        self.participants = frozenset(seen[newest].record.identities)

    def begin_anew(self) -> None:
        """Forget which epochs were seen: the initiator deleted the group and made it again."""
        self._memory.forget(self._signers)

    def recreate(self, members: Cards, *, give_up_history: bool = False) -> None:
        """Make the group whole again after we, its initiator, changed our key.

        All tickets are signed by the present key, shared with *members* anew, and followed by a
        new epoch, in case the old key was stolen. Who is not among *members* is removed. May be
        repeated after a failure.

        Args:
            members: The current cards of all members, but for ourselves.
            give_up_history: Where the key that opens the old tickets is lost: delete them and
                start from the first epoch. What was written before is then lost to newcomers.

        Raises:
            GroupError: We are not the initiator, or it gets too large.
            MalformedGroupError: A ticket cannot be opened, is gone or was exchanged, and history is
                not given up.
            DirectoryRefusedError: Code 50010: another device of ours was faster; repeat it.
        """
        cards = cards_of(members)
        staying = self._members(cards)
        _check_size(len(staying) + 1)
        try:
            fetched = self._fetch()
            seen = counted(fetched, self._signers)
            self._memory.require_newest(seen, self._signers)
        except (GroupNotFoundError, MalformedGroupError):
            if not give_up_history:
                raise
            self._keyknox.reset_path(ROOT, self._path)
            self.create(cards)
            return
        for epoch in sorted(fetched.keys() - seen.keys()):
            self._keyknox.reset_records(self._place(epoch))  # by a key that was replaced
        former = {who for one in seen.values() for who in one.record.identities}
        for user_id in sorted(former - staying.keys() - {self._user_id}):
            self._keyknox.reset_path(ROOT, self._path, user_id)
        for epoch, one in sorted(seen.items()):
            self._share(epoch, one.ticket, staying, one.record, with_self=True)
        session = GroupSession(one.ticket for one in seen.values()).with_new_epoch()
        self._share(session.newest.epoch, session.newest, staying, None, with_self=True)
        self._keep(session, staying)

    def delete(self) -> None:
        """Delete the group's tickets for everybody. Members keep what they hold already.

        Raises:
            GroupError: We are not the initiator.
        """
        self._require_initiator()
        self._keyknox.reset_path(ROOT, self._path)
        self._session, self.participants = None, frozenset()

    def create(self, members: Cards) -> None:
        """Start the group with its first ticket. See `GroupVerbs.create_group`."""
        cards = self._members(members)
        _check_size(len(cards) + 1)
        session = GroupSession.create(self.group_id)
        try:
            self._share(0, session.newest, cards, None, with_self=True)
        except DirectoryRefusedError as error:
            if error.code != _HASH_MISMATCH:
                raise
            raise GroupExistsError(
                f"we have a group {self.group_id!r} already", hint="load it, or delete it first"
            ) from error
        self._memory.forget(self._signers)
        self._keep(session, cards)

    # --- inside -----------------------------------------------------------------------------

    def _require_initiator(self) -> None:
        if not self.is_editable:
            raise GroupError("only the initiator changes a group")

    def _keep(self, session: GroupSession, others: Iterable[str]) -> None:
        self._memory.remember(session.newest, self._key.public_key)
        self._session = session
        self.participants = frozenset({self._user_id, *others})

    def _members(self, cards: Cards, *, leaving: bool = False) -> Mapping[str, PublicKey]:
        self._require_initiator()
        chosen = cards_of(cards)
        if not leaving:
            self._trust.require_own_key(self._key.public_key)
            self._trust.require_writable(chosen)
        members = {card.user_id: card.public_key for card in chosen}
        return {who: key for who, key in members.items() if who != self._user_id}

    def _place(self, epoch: int) -> Place:
        return Place(ROOT, self._path, str(epoch))

    def _share(
        self,
        epoch: int,
        ticket: GroupTicket,
        members: Mapping[str, PublicKey],
        record: KeyknoxRecord | None,
        *,
        with_self: bool = False,
    ) -> None:
        envelope = sign_then_encrypt_detached(
            ticket.to_bytes(),
            signer=self._key,
            recipients=[*members.values(), self._key.public_key],
        )
        identities = [*members, *([self._user_id] if with_self else [])]
        previous = None if record is None else record.hash
        self._keyknox.push_record(self._place(epoch), identities, envelope, previous)

    def _fetch_counted(self) -> dict[int, SeenTicket]:
        return counted(self._fetch(), self._signers)

    def _fetch(self) -> dict[int, SeenTicket]:
        """Return every ticket that we can read, verified, by epoch."""
        fetched = {}
        for key in self._keyknox.list_keys(ROOT, self._path, self.initiator):
            if not _EPOCH.fullmatch(key):
                raise MalformedGroupError("an epoch's number is none")
            record = self._keyknox.pull_record(self._place(int(key)), self.initiator)
            if record.envelope is None:
                continue  # deleted, or we were removed, since it was listed
            fetched[int(key)] = self._open(record, int(key))
        if not fetched:
            raise GroupNotFoundError(
                f"there is no group {self.group_id!r} of {self.initiator!r} for us",
                hint="we may have been removed, or the initiator is another user",
            )
        return fetched

    def _open(self, record: KeyknoxRecord, epoch: int) -> SeenTicket:
        if record.envelope is None:
            raise MalformedGroupError("a ticket is empty")
        cause: EnvelopeError | None = None
        for signer in self._signers:  # the newest first: which one it was decides what it may do
            try:
                encoded = decrypt_then_verify_detached(
                    record.envelope, identities=self._identities, signers=[signer]
                )
                ticket = GroupTicket.from_bytes(encoded)
            except EnvelopeError as error:
                cause = error
                continue
            # E3Kit believes the record's address; what is signed is what is inside.
            if ticket.session_id.hex() != self._path or ticket.epoch != epoch:
                raise MalformedGroupError("a ticket is of another group or epoch")
            return SeenTicket(record, ticket, signer)
        raise MalformedGroupError(
            "a ticket cannot be opened, or is not by the initiator",
            hint="after a change of keys: re_add() or recreate() by the initiator",
        ) from cause

    def __repr__(self) -> str:
        return f"<Group {self.group_id!r} of {self.initiator!r}>"


def _check_size(count: int) -> None:
    if not 1 <= count <= MAX_PARTICIPANTS:
        raise GroupError(f"a group has 1 to {MAX_PARTICIPANTS} participants")
