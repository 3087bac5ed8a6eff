"""Any sequence of what may happen to keys: on two machines a user, and with a thief about.

Each message stays readable by whom it should be, no key is lost or made up, a recovery code that
should work does; and whoever has replaced keys and writes the user's records gets no later key.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import logging
import warnings
from typing import Any

from attrs import define, field, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from virgil_service import FakeClock, VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup import ArchiveContent, RecoveryCode
from encrypted_parse.backup.archive_form import open_archive, seal
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.receiving import ReceivingKey
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.envelope import from_text
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    BackupError,
    BackupExistsError,
    BackupOutdatedError,
    CardChainError,
    EnvelopeError,
    NoBackupError,
    NotRegisteredError,
    PrivateKeyNotFoundError,
)
from encrypted_parse.transport import HttpRequest
from encrypted_parse.trust import KeyChangedWarning, MemoryTrustStore, TrustKeeper

USERS, MACHINES = ("alice", "bob"), ("phone", "laptop")
PASSWORD = "7KQ2Z-M0D4X-PA1BC-9RT3W"
ARCHIVE = ("encrypted_parse", "keys", "archive")
users, machines = st.sampled_from(USERS), st.sampled_from(MACHINES)
logging.getLogger("encrypted_parse.keys").addHandler(logging.NullHandler())


class PowerLossError(Exception):
    """The machine stops between two requests."""


@define
class Machine:
    """One machine of a user: what is on its disk, and the process that runs on it.

    Attributes:
        held: The keys that it had when it was last looked at: none of them may get lost.
        knows: The recovery code that it made, saw first or was shown; None before any.
    """

    keystore: MemoryKeystore
    memory: MemoryTrustStore
    e3kit: E3Kit
    held: set[PrivateKey] = field(factory=set)
    knows: str | None = None


@define
class Truth:
    """What should hold for one user.

    Attributes:
        published: The key whose card is current, or None.
        replaced: Keys whose cards were replaced, oldest first.
        backup: The keys in the backup by password; None if there is none.
        code: The recovery code that was made last.
        archive: The keys that it has to bring back; None if nothing is known of the archive.
        stolen: Replaced keys that the thief has.
        old_archives: The archive's record as it was after each writing.
    """

    published: PrivateKey | None = None
    replaced: list[PrivateKey] = field(factory=list)
    backup: set[PrivateKey] | None = None
    code: RecoveryCode | None = None
    archive: set[PrivateKey] | None = None
    stolen: list[PrivateKey] = field(factory=list)
    old_archives: list[dict[str, Any]] = field(factory=list)


@frozen
class Message:
    """A text from one user to others: whose key was used at the time, by user."""

    text: str
    author: str
    readers: dict[str, PrivateKey]


class KeyLife(RuleBasedStateMachine):
    """Two users with two machines each, a service, and a thief with their sessions."""

    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.service, self.clock = VirgilService(), FakeClock()
        self.truth = {user: Truth() for user in USERS}
        self.machines = {(user, name): self._machine(user) for user in USERS for name in MACHINES}
        self.thiefs = RecoveryCode.generate()

    def _machine(self, user: str) -> Machine:
        keystore, memory = MemoryKeystore(), MemoryTrustStore()
        return Machine(keystore, memory, self._start(user, keystore, memory))

    def _start(self, user: str, keystore: MemoryKeystore, memory: MemoryTrustStore) -> E3Kit:
        trust = TrustKeeper(user, memory)
        return make_e3kit(self.service, user, keystore, self.clock, trust)

    def _at(self, user: str, name: str) -> tuple[Truth, Machine, E3Kit]:
        machine = self.machines[user, name]
        return self.truth[user], machine, machine.e3kit

    def _other(self, user: str, name: str) -> Machine:
        [other] = [one for one in MACHINES if one != name]
        return self.machines[user, other]

    def _record(self, user: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.service.records.get((user, *ARCHIVE))
        return found

    def _rotated(self, truth: Truth, machine: Machine) -> None:
        """Note the key that is published now, and whether the code still brings all back."""
        assert truth.published is not None
        truth.replaced.append(truth.published)
        truth.published = machine.e3kit._own_key()
        if truth.archive is not None:
            code = None if truth.code is None else truth.code.text
            if machine.knows in (None, code):
                machine.knows = code
                truth.archive |= machine.held | {truth.published}
            else:
                truth.archive = None  # made on the other machine: not followed, and said so

    # --- rules --------------------------------------------------------------------------------

    @initialize()
    def everybody_registers(self) -> None:
        """Start with two registered users: other states are reached from there."""
        for user in USERS:
            self.register(user, "phone")
            self.make_a_code(user, "phone")
            self.use_the_code(user, "laptop")

    @rule(user=users, name=machines)
    def register(self, user: str, name: str) -> None:
        """Registering works exactly when there is no card, or the card's key is here."""
        truth, machine, e3kit = self._at(user, name)
        if truth.published is None:
            e3kit.register()
            truth.published = e3kit._own_key()
        elif truth.published in machine.held:
            e3kit.register()
        else:
            _raises(AlreadyRegisteredError, e3kit.register)

    @rule(user=users, name=machines)
    def rotate(self, user: str, name: str) -> None:
        """A rotation needs the published key here, and makes one key more."""
        truth, machine, e3kit = self._at(user, name)
        if truth.published is None:
            _raises(NotRegisteredError, e3kit.rotate_private_key)
        elif truth.published not in machine.held:
            _raises(AlreadyRegisteredError, e3kit.rotate_private_key)
        else:
            e3kit.rotate_private_key()
            self._rotated(truth, machine)

    @rule(user=users, name=machines)
    def give_the_key_up(self, user: str, name: str) -> None:
        """Without the published key, and saying so: a new one, which no archive brings back."""
        truth, machine, e3kit = self._at(user, name)
        if truth.published is None or truth.published in machine.held:
            return
        e3kit.rotate_private_key(lost=True)
        truth.replaced.append(truth.published)
        truth.published, truth.archive = e3kit._own_key(), None

    @rule(
        user=users,
        name=machines,
        request=st.sampled_from(["card/v5", "push", "search", "pull"]),
        lost=st.booleans(),
    )
    def rotate_in_a_storm(self, user: str, name: str, request: str, *, lost: bool) -> None:
        """The machine stops in the middle; after a restart, a rotation completes."""
        truth, machine, e3kit = self._at(user, name)
        if truth.published is None or truth.published not in machine.held:
            return

        def stop(sent: HttpRequest) -> None:
            if sent.url.endswith(request):
                raise PowerLossError

        if lost:
            self.service.after = stop
        else:
            self.service.before = stop
        with contextlib.suppress(PowerLossError):
            e3kit.rotate_private_key()
        self.service.before = self.service.after = lambda _: None
        machine.e3kit = self._start(user, machine.keystore, machine.memory)
        if machine.e3kit._stored().next_key is not None:
            machine.e3kit.rotate_private_key()
        if machine.e3kit._own_key() != truth.published:
            self._rotated(truth, machine)

    @rule(user=users, name=machines)
    def make_a_code_while_the_other_rotates(self, user: str, name: str) -> None:
        """Both write the archive at once: the card decides, and nothing is lost."""
        truth, machine, e3kit = self._at(user, name)
        other = self._other(user, name)
        if truth.published is None or truth.published not in machine.held & other.held:
            return
        begun: list[HttpRequest] = []

        def interfere(sent: HttpRequest) -> None:
            if sent.url.endswith("push") and not begun:
                begun.append(sent)
                with contextlib.suppress(BackupError):
                    truth.code = other.e3kit.create_recovery_code()
                    other.knows = truth.code.text

        self.service.before = interfere
        e3kit.rotate_private_key()
        self.service.before = lambda _: None
        if begun:
            truth.archive = None  # of the other's code, or of none that this machine knows
        self._rotated(truth, machine)

    @rule(user=users, name=machines)
    def lose_the_machine(self, user: str, name: str) -> None:
        """Everything on it is gone."""
        self.machines[user, name] = self._machine(user)

    @precondition(lambda self: not any(truth.stolen for truth in self.truth.values()))
    @rule(user=users)
    def unregister(self, user: str) -> None:
        """The card and the keys of both machines go; what lies in the cloud stays."""
        truth, _, e3kit = self._at(user, "phone")
        if truth.published is None:
            _raises(NotRegisteredError, e3kit.unregister)
            return
        e3kit.unregister()
        self.machines[user, "laptop"].e3kit.cleanup()
        truth.replaced.append(truth.published)
        truth.published = truth.archive = None
        for name in MACHINES:
            self.machines[user, name].held = set()

    @rule(user=users, name=machines)
    def back_up(self, user: str, name: str) -> None:
        """A backup is made, or brought up to date; never replaced by one that holds less."""
        truth, machine, e3kit = self._at(user, name)
        if not machine.held:
            _raises(PrivateKeyNotFoundError, lambda: e3kit.backup_private_key(PASSWORD))
        elif truth.backup is None or truth.backup < machine.held:
            e3kit.backup_private_key(PASSWORD)
            truth.backup = set(machine.held)
        else:
            _raises(BackupExistsError, lambda: e3kit.backup_private_key(PASSWORD))

    @rule(user=users, name=machines)
    def restore(self, user: str, name: str) -> None:
        """A restore adds what the backup holds, if the published key is found at all."""
        truth, machine, e3kit = self._at(user, name)
        if truth.backup is None:
            _raises(NoBackupError, lambda: e3kit.restore_private_key(PASSWORD))
        elif truth.published is None:
            _raises(NotRegisteredError, lambda: e3kit.restore_private_key(PASSWORD))
        elif truth.published not in machine.held | truth.backup:
            _raises(BackupOutdatedError, lambda: e3kit.restore_private_key(PASSWORD))
        else:
            e3kit.restore_private_key(PASSWORD)
            assert truth.backup <= set(e3kit._stored().identities)
            if machine.knows is None and truth.archive is not None and truth.code is not None:
                machine.knows = truth.code.text

    @rule(user=users, name=machines)
    def make_a_code(self, user: str, name: str) -> None:
        """A recovery code is made where the published key is; it holds what the machine holds."""
        truth, machine, e3kit = self._at(user, name)
        if not machine.held and truth.published is not None and not e3kit.has_local_private_key():
            _raises(PrivateKeyNotFoundError, e3kit.create_recovery_code)
            return
        if truth.published is None:
            _raises((NotRegisteredError, PrivateKeyNotFoundError), e3kit.create_recovery_code)
            return
        if e3kit._own_key() != truth.published:
            _raises(AlreadyRegisteredError, e3kit.create_recovery_code)
            return
        try:
            code = e3kit.create_recovery_code()
        except BackupError:
            assert truth.archive is None, "an archive in good order was refused"
            e3kit.delete_recovery_code()
            code = e3kit.create_recovery_code()
        truth.code, machine.knows = code, code.text
        truth.archive = (truth.archive or set()) | set(e3kit._stored().identities)

    @rule(user=users, name=machines)
    def use_the_code(self, user: str, name: str) -> None:
        """The newest code restores what the archive holds, unless that was given up or altered."""
        truth, machine, e3kit = self._at(user, name)
        code = truth.code
        if code is None:
            return
        if truth.published is None:
            _raises(NotRegisteredError, lambda: e3kit.restore_with_recovery_code(code))
        elif truth.archive is not None:
            e3kit.restore_with_recovery_code(code)
            truth.archive |= set(e3kit._stored().identities)
            assert truth.archive == set(e3kit._stored().identities)
            machine.knows = code.text
        else:
            with contextlib.suppress(BackupError, CardChainError):
                e3kit.restore_with_recovery_code(code)
                machine.knows = code.text
                truth.archive = set(e3kit._stored().identities)

    # --- the thief ----------------------------------------------------------------------------

    @rule(user=users, which=st.integers(0, 9))
    def steal(self, user: str, which: int) -> None:
        """A key that was replaced gets known."""
        truth = self.truth[user]
        if truth.replaced and truth.published is not None:
            truth.stolen.append(truth.replaced[which % len(truth.replaced)])

    @rule(user=users, which=st.integers(0, 9), back=st.booleans(), counter=st.integers(1, 40))
    def tamper(self, user: str, which: int, counter: int, *, back: bool) -> None:
        """The thief writes an archive of its own, or rolls the record back."""
        truth = self.truth[user]
        if not truth.stolen:
            return
        if back and truth.old_archives:
            record = copy.deepcopy(truth.old_archives[which % len(truth.old_archives)])
        else:
            key = truth.stolen[which % len(truth.stolen)]
            content = ArchiveContent(counter, (key,), self.thiefs.key.public_key)
            value = base64.b64encode(seal(content, user)).decode()
            record = {"copies": {user: {"meta": "AA==", "value": value}}, "hash": f"h{which}"}
        self.service.records[user, *ARCHIVE] = record
        truth.archive = None

    # --- messages -----------------------------------------------------------------------------

    @rule(target=messages, author=users, name=machines, readers=st.sets(users))
    def write(self, author: str, name: str, readers: set[str]) -> Any:
        """A message is for its readers' published keys, and the author's own."""
        _, machine, e3kit = self._at(author, name)
        others = sorted(readers - {author})
        published = {user: self.truth[user].published for user in others}
        if not machine.held or None in published.values():
            return multiple()
        with warnings.catch_warnings():
            # Nobody vouches for a key that came without the old one; test_trust is about that.
            warnings.simplefilter("ignore", KeyChangedWarning)
            cards = e3kit.find_users(others, force_reload=True)
        for user in others:
            e3kit.accept_key(user)
        text = f"{author} to {others}"
        sealed = e3kit.auth_encrypt(text, cards.values())
        keys = {user: key for user, key in published.items() if key is not None}
        return Message(text, author, {**keys, author: e3kit._own_key()}), sealed

    @rule(written=messages, reader=users, name=machines)
    def read(self, written: tuple[Message, str], reader: str, name: str) -> None:
        """Readable exactly by those who hold the key that it was written for."""
        message, sealed = written
        _, machine, e3kit = self._at(reader, name)
        should = message.readers.get(reader) in machine.held
        signer = message.readers[message.author].public_key
        try:
            text = e3kit.open(from_text(sealed), [signer]).decode()
        except (EnvelopeError, PrivateKeyNotFoundError):
            assert not should, f"{reader} lost a message"
        else:
            assert should, f"{reader} reads what was not meant for this key"
            assert text == message.text

    @rule(written=consumes(messages))
    def everybody_reads(self, written: tuple[Message, str]) -> None:
        """The same for all machines at once."""
        for user, name in self.machines:
            self.read(written, user, name)

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def no_key_is_lost_or_made_up(self) -> None:
        """What a machine held, it holds; the thief's keys are no user's."""
        for machine in self.machines.values():
            stored = machine.e3kit._keystore.find(machine.e3kit.user_id)
            held = set() if stored is None else set(stored.identities)
            assert machine.held <= held
            machine.held = held

    @invariant()
    def the_thief_learns_no_later_key(self) -> None:
        """Whatever the archive was made to be, replaced keys and the thief's code open no more."""
        for user, truth in self.truth.items():
            record = self._record(user)
            if record is None or (truth.old_archives and truth.old_archives[-1] == record):
                continue
            truth.old_archives.append(copy.deepcopy(record))
            sealed = base64.b64decode(record["copies"][user]["value"])
            for key in (self.thiefs.key, *map(ReceivingKey.of, truth.replaced)):
                with contextlib.suppress(EnvelopeError):
                    found = set(open_archive(sealed, user, key).keys)
                    assert truth.published not in found


def _raises(error: Any, action: Any) -> None:
    try:
        action()
    except error:
        return
    raise AssertionError(f"no {error}")


KeyLife.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestKeyLife = KeyLife.TestCase
