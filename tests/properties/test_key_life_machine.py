"""Any sequence of what may happen to keys leaves each message readable by whom it should be."""

from __future__ import annotations

import contextlib
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
    rule,
)
from virgil_service import FakeClock, VirgilService, make_e3kit

from encrypted_parse import MemoryKeystore
from encrypted_parse.backup import RecoveryCode
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.errors import (
    AlreadyRegisteredError,
    BackupExistsError,
    BackupOutdatedError,
    EnvelopeError,
    NoBackupError,
    NotRegisteredError,
    PrivateKeyNotFoundError,
)
from encrypted_parse.transport import HttpRequest
from encrypted_parse.trust import KeyChangedWarning

USERS = ("alice", "bob", "carol")
users = st.sampled_from(USERS)


class PowerLossError(Exception):
    """The machine stops between two requests."""


@define
class Truth:
    """What should hold for one user, told without keys: generations are counted.

    Attributes:
        published: The generation whose card is current, or None.
        device: The generations that this machine holds.
        backup: Those in the backup by password; None if there is none.
        archive: Those in the key archive; None if there is none.
        openers: The generations that open the archive.
        code: The recovery code that opens the archive.
    """

    published: int | None = None
    device: set[int] = field(factory=set)
    backup: list[int] | None = None
    archive: set[int] | None = None
    openers: set[int] = field(factory=set)
    code: RecoveryCode | None = None


@frozen
class Message:
    """A text from one user to others, each at the generation that was current."""

    text: str
    author: str
    readers: dict[str, int]


class KeyLife(RuleBasedStateMachine):
    """Three users with one device each, a service, and what must be readable."""

    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.service, self.clock = VirgilService(), FakeClock()
        self.truth = {user: Truth() for user in USERS}
        self.generations = 0
        self.keystores = {user: MemoryKeystore() for user in USERS}
        self.e3kits = {user: self._start(user) for user in USERS}
        self.keys: dict[int, Any] = {}

    def _start(self, user: str) -> E3Kit:
        return make_e3kit(self.service, user, self.keystores[user], self.clock)

    def _new_generation(self, user: str) -> int:
        """Number the key that was just made; a key never gets two numbers."""
        key = self.e3kits[user]._own_key()
        for number, known in self.keys.items():
            if known == key:
                return number
        self.generations += 1
        self.keys[self.generations] = key
        return self.generations

    @initialize()
    def everybody_registers(self) -> None:
        """Start with three registered users: other states are reached from there."""
        for user in USERS:
            self.register(user)

    @rule(user=users)
    def register(self, user: str) -> None:
        """Registering works exactly when there is no card, or the card's key is here."""
        truth, e3kit = self.truth[user], self.e3kits[user]
        if truth.published is None:
            e3kit.register()
            truth.published = self._new_generation(user)
            truth.device.add(truth.published)
        elif truth.published in truth.device:
            e3kit.register()
        else:
            _raises(AlreadyRegisteredError, e3kit.register)

    @rule(user=users)
    def rotate(self, user: str) -> None:
        """A rotation keeps what the device holds, and makes one key more."""
        truth, e3kit = self.truth[user], self.e3kits[user]
        if truth.published is None:
            _raises(NotRegisteredError, e3kit.rotate_private_key)
            return
        held = bool(truth.device)
        e3kit.rotate_private_key()
        truth.published = self._new_generation(user)
        if held and (truth.archive is None or truth.openers & truth.device):
            truth.archive = truth.device | {truth.published}
            truth.openers = {self._before(user), truth.published}
        truth.device.add(truth.published)

    def _before(self, user: str) -> int:
        """Return the generation that was current on the device before the newest."""
        old = self.e3kits[user]._stored().old_keys[0]
        return next(number for number, key in self.keys.items() if key == old)

    @rule(user=users, request=st.sampled_from(["card/v5", "push", "search"]), lost=st.booleans())
    def rotate_in_a_storm(self, user: str, request: str, *, lost: bool) -> None:
        """The machine stops in the middle; after a restart, a rotation completes."""
        truth = self.truth[user]
        if truth.published is None or truth.published not in truth.device:
            return

        def stop(sent: HttpRequest) -> None:
            if sent.url.endswith(request):
                raise PowerLossError

        if lost:
            self.service.after = stop
        else:
            self.service.before = stop
        with contextlib.suppress(PowerLossError):
            self.e3kits[user].rotate_private_key()
        self.service.before = self.service.after = lambda _: None
        self.e3kits[user] = self._start(user)
        if self.e3kits[user]._stored().next_key is not None:
            self.e3kits[user].rotate_private_key()
        current = self._new_generation(user)
        if current != truth.published:
            opened = truth.archive is None or bool(truth.openers & truth.device)
            if opened:
                truth.archive = truth.device | {current}
                truth.openers = {self._before(user), current}
            truth.published = current
            truth.device.add(current)

    @rule(user=users)
    def lose_the_device(self, user: str) -> None:
        """Everything on this machine is gone."""
        self.keystores[user] = MemoryKeystore()
        self.e3kits[user] = self._start(user)
        self.truth[user].device = set()

    @rule(user=users)
    def unregister(self, user: str) -> None:
        """The card and the keys of this machine go; what lies in the cloud stays."""
        truth = self.truth[user]
        if truth.published is None:
            _raises(NotRegisteredError, self.e3kits[user].unregister)
            return
        self.e3kits[user].unregister()
        truth.published, truth.device = None, set()

    @rule(user=users)
    def back_up(self, user: str) -> None:
        """A backup is made, or brought up to date; never replaced by one that holds less."""
        truth, e3kit = self.truth[user], self.e3kits[user]
        if not truth.device:
            _raises(PrivateKeyNotFoundError, lambda: e3kit.backup_private_key("p"))
        elif truth.backup is None or set(truth.backup) < truth.device:
            e3kit.backup_private_key("p")
            truth.backup = sorted(truth.device)
        else:
            _raises(BackupExistsError, lambda: e3kit.backup_private_key("p"))

    @rule(user=users)
    def restore(self, user: str) -> None:
        """A restore adds what the backup holds, if the published key is found at all."""
        truth, e3kit = self.truth[user], self.e3kits[user]
        if truth.backup is None:
            _raises(NoBackupError, lambda: e3kit.restore_private_key("p"))
        else:
            self._restored(user, lambda: e3kit.restore_private_key("p"), set(truth.backup))

    @rule(user=users)
    def make_a_code(self, user: str) -> None:
        """A recovery code holds what the device holds."""
        truth, e3kit = self.truth[user], self.e3kits[user]
        if not truth.device:
            _raises(PrivateKeyNotFoundError, e3kit.create_recovery_code)
        elif truth.archive is not None and not truth.openers & truth.device:
            _raises(BackupExistsError, e3kit.create_recovery_code)
        else:
            truth.code = e3kit.create_recovery_code()
            truth.archive = set(truth.device)
            truth.openers = {self._new_generation(user)}

    @rule(user=users)
    def use_the_code(self, user: str) -> None:
        """The newest code restores what the archive holds."""
        truth, e3kit = self.truth[user], self.e3kits[user]
        if truth.code is None:
            return
        code = truth.code
        assert truth.archive is not None
        self._restored(user, lambda: e3kit.restore_with_recovery_code(code), truth.archive)

    def _restored(self, user: str, action: Any, brought: set[int]) -> None:
        truth = self.truth[user]
        if truth.published is None:
            _raises(NotRegisteredError, action)
        elif truth.published not in truth.device | brought:
            _raises(BackupOutdatedError, action)
        else:
            action()
            truth.device |= brought
            if truth.archive is not None and truth.published in truth.openers:
                truth.device |= truth.archive

    @rule(target=messages, author=users, readers=st.sets(users))
    def write(self, author: str, readers: set[str]) -> Any:
        """A message is for its readers' published keys, and the author's own."""
        truth = self.truth[author]
        absent = [user for user in readers if self.truth[user].published is None]
        if not truth.device or absent:
            return multiple()
        others = sorted(readers - {author})
        with warnings.catch_warnings():
            # Nobody vouches for a key that came without the old one; test_trust is about that.
            warnings.simplefilter("ignore", KeyChangedWarning)
            cards = self.e3kits[author].find_users(others, force_reload=True)
        for user in others:
            self.e3kits[author].accept_key(user)
        text = f"{author} to {others}"
        sealed = self.e3kits[author].auth_encrypt(text, cards.values())
        generations = {user: self.truth[user].published for user in others}
        generations[author] = self._new_generation(author)
        return Message(text, author, generations), sealed  # type: ignore[arg-type]

    @rule(written=messages, reader=users)
    def read(self, written: tuple[Message, str], reader: str) -> None:
        """Readable exactly by those who hold the key that it was written for."""
        message, sealed = written
        truth, e3kit = self.truth[reader], self.e3kits[reader]
        should = message.readers.get(reader) in truth.device
        signer = self.keys[message.readers[message.author]].public_key
        try:
            text = e3kit.open(_decoded(sealed), [signer]).decode()
        except (EnvelopeError, PrivateKeyNotFoundError):
            assert not should, f"{reader} lost a message"
        else:
            assert should, f"{reader} reads what was not meant for this key"
            assert text == message.text

    @rule(written=consumes(messages))
    def everybody_reads(self, written: tuple[Message, str]) -> None:
        """The same for all users at once."""
        for reader in USERS:
            self.read(written, reader)

    @invariant()
    def devices_hold_what_they_should(self) -> None:
        """No key is lost, and none appears."""
        for user, truth in self.truth.items():
            stored = self.keystores[user].find(user)
            held = set() if stored is None else set(stored.identities)
            assert held == {self.keys[number] for number in truth.device}


def _decoded(sealed: str) -> bytes:
    from encrypted_parse.envelope import from_text  # noqa: PLC0415 - used here alone

    return from_text(sealed)


def _raises(error: type[Exception], action: Any) -> None:
    try:
        action()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


KeyLife.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestKeyLife = KeyLife.TestCase
