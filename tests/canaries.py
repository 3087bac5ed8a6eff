"""A world full of canaries: two users whose every secret can be told when it is shown."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from virgil_service import FakeBrainKey

from encrypted_parse import (
    Codec,
    Embedded,
    EncryptedFile,
    FileKeystore,
    MemoryKeystore,
    Model,
    UserClient,
    acl_readers,
    encrypted,
    only_me,
)
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import EncryptedParseError, InvalidValueError
from encrypted_parse.keystore import StoredKey
from encrypted_parse.models import BatchReport, ResealReport
from encrypted_parse.testing import InMemoryApp

CANARY = "canary"
TEXT = f"{CANARY} in a field"
PASSWORD = f"{CANARY} as password"
NEW_PASSWORD = f"{CANARY} as new password"
BACKUP_PASSWORD = f"{CANARY} keeps a backup"
NEW_BACKUP_PASSWORD = f"{CANARY} keeps another backup"
PASSPHRASE = f"{CANARY} as passphrase"


def _check_text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValueError("no text")
    return value


def _refuse(_: Any) -> Any:
    raise ValueError("a codec of the app fails")


class Address(Embedded):
    """An embedded value."""

    street: str
    number: int = 0


class Note(Model):
    """An object with encrypted fields of several types."""

    author_id: str
    title: str = ""
    body: str = encrypted(to=acl_readers(), author="author_id")
    tags: list[str] = encrypted(to=acl_readers(), author="author_id", factory=list)
    details: dict[str, Any] | None = encrypted(to=only_me(), default=None)
    address: Address | None = encrypted(to=only_me(), default=None)
    photo: EncryptedFile | None = encrypted(to=only_me(), default=None)
    count: int | None = encrypted(to=only_me(), default=None)


class Fragile(Model):
    """An object whose codec, the app's own, fails when it writes."""

    body: str = encrypted(to=only_me(), codec=Codec("text", _check_text, _refuse, _check_text))


class World:
    """Two users on one app in memory, with canaries in all that is secret."""

    def __init__(self) -> None:
        self.app = InMemoryApp()
        self.client = self.app.client(keystore=MemoryKeystore())
        self.alice = self.client.sign_up("alice", PASSWORD)
        self.alice.register()
        self.bob = self.app.make_user("bob")
        self.carol = self.app.make_user("carol")
        for user in (self.alice, self.bob):
            services = user.e3kit._services
            services.backups._brainkey = FakeBrainKey(services.backups._brainkey._service)
        self.alice.e3kit.backup_private_key(BACKUP_PASSWORD)
        self.code = self.alice.e3kit.create_recovery_code()
        self.note = self.alice.save(self.new())
        self.cards = list(self.alice.e3kit.find_users([self.bob.user_id]).values())
        self.group = self.alice.e3kit.create_group("a group of ours", self.cards)
        self.own_card = self.alice.e3kit.find_own_card()

    def new(self, **values: Any) -> Note:
        """Return an unsaved object of alice's, for bob."""
        values = {"author_id": self.alice.user_id, "body": TEXT, "tags": [TEXT], **values}
        note = Note(**values)
        for user in (self.alice, self.bob):
            note.acl.allow_read(user.user_id)
        note.acl.allow_write(self.alice.user_id)
        return note

    def fetched(self) -> Note:
        """Return alice's saved object, with another text."""
        note = self.alice.get(Note, str(self.note.object_id))
        note.body = f"{TEXT}, changed"
        return note

    def own_key(self) -> PrivateKey:
        """Return alice's private key."""
        return self.alice.e3kit._own_key()

    def secrets(self) -> set[str]:
        """Return how each secret of these users would look in a `repr`."""
        found = {CANARY, self.code.text, self.group.session.to_tickets()[-1].hex()}
        for user in (self.alice, self.bob, self.carol):
            found.add(user.session_token)
            stored = user.e3kit._keystore.find(user.user_id)
            for key in () if stored is None else stored.identities:
                found |= {key.to_base64(), key._seed.hex(), repr(key._seed)[2:-1]}
        for request in self.app.requests:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            found |= {token} if scheme == "Virgil" else set()
        return found


def _each(results: Iterable[Any]) -> list[EncryptedParseError]:
    return [result for result in results if isinstance(result, EncryptedParseError)]


def errors_in(result: object) -> list[EncryptedParseError]:
    """Return the errors that a call handed out, in place of raising them."""
    if isinstance(result, BatchReport):
        return [error for _, error in result.failed]
    if isinstance(result, ResealReport):
        return [error for _, _, error in result.failed]
    if isinstance(result, list):
        return _each([*result, *(getattr(one, "error", None) for one in result)])
    return []


def _read_again(world: World) -> None:
    for note in world.bob.query(Note).filter(author_id=world.alice.user_id):
        str(note.body)


def _upload(world: World) -> Any:
    file = world.alice.upload(TEXT.encode() * 100, name=f"{CANARY}.txt")
    world.alice.save(world.new(photo=file))
    world.alice.download(file, io.BytesIO())
    return file


def _explain(world: World) -> Any:
    note = world.new()
    note.acl.allow_read(world.carol.user_id)
    return world.alice.explain(note)


def _other_device(world: World) -> UserClient:
    client = world.app.client(keystore=MemoryKeystore())
    other = client.log_in("alice", PASSWORD)
    services = other.e3kit._services
    services.backups._brainkey = FakeBrainKey(services.backups._brainkey._service)
    return other


# What users do, each with canaries. Every one crosses the network.
OPERATIONS: dict[str, Callable[[World], Any]] = {
    "sign_up": lambda w: w.client.sign_up("dora", PASSWORD, nickname="d").register(),
    "log_in": lambda w: w.client.log_in("alice", PASSWORD),
    "become": lambda w: w.client.become(w.alice.session_token),
    "log_out": lambda w: w.client.log_in("alice", PASSWORD).log_out(),
    "parse.log_in": lambda w: w.client.parse.log_in("alice", password=PASSWORD),
    "parse.sign_up": lambda w: w.client.parse.sign_up("emil", PASSWORD),
    "register": lambda w: w.client.sign_up("fred", PASSWORD).e3kit.register(
        show_recovery_code=lambda _: None
    ),
    "save new": lambda w: w.alice.save(w.new()),
    "save changed": lambda w: w.alice.save(w.fetched()),
    "save_all": lambda w: w.alice.save_all([w.new(body=f"{TEXT} {n}") for n in range(60)]),
    "transaction": lambda w: w.alice.save_all([w.new(), w.new()], transaction=True),
    "update": lambda w: w.alice.query(Note).update(body=f"{TEXT} again"),
    "get": lambda w: w.alice.get(Note, str(w.note.object_id)).body,
    "query": _read_again,
    "delete_all": lambda w: w.alice.delete_all([w.note]),
    "share": lambda w: w.alice.share(w.note, with_=[w.carol.user_id]),
    "share_all": lambda w: w.alice.share_all(w.alice.query(Note), with_=[w.carol.user_id]),
    "revoke": lambda w: w.alice.revoke(w.note, from_=[w.bob.user_id]),
    "explain": _explain,
    "who_can_read": lambda w: w.alice.who_can_read(w.note),
    "upload": _upload,
    "auth_encrypt": lambda w: w.bob.e3kit.auth_decrypt(
        w.alice.e3kit.auth_encrypt(TEXT, w.cards),
        w.bob.e3kit.find_users([w.alice.user_id], force_reload=True)[w.alice.user_id],
    ),
    "group": lambda w: w.bob.e3kit.load_group("a group of ours", w.own_card).decrypt(
        w.group.encrypt(TEXT), w.own_card
    ),
    "backup": lambda w: w.bob.e3kit.backup_private_key(BACKUP_PASSWORD),
    "change_password": lambda w: w.alice.e3kit.change_password(
        BACKUP_PASSWORD, NEW_BACKUP_PASSWORD
    ),
    "restore": lambda w: _other_device(w).e3kit.restore_private_key(BACKUP_PASSWORD),
    "recovery": lambda w: _other_device(w).e3kit.restore_with_recovery_code(w.code.text),
    "create_recovery_code": lambda w: w.bob.e3kit.create_recovery_code(),
    "rotate": lambda w: w.alice.e3kit.rotate_private_key(),
    "reseal": lambda w: (w.alice.e3kit.rotate_private_key(), w.alice.reseal(Note))[1],
    "unregister": lambda w: w.bob.e3kit.unregister(),
}


def leaks(shown: Iterable[tuple[str, str]], secrets: set[str]) -> list[str]:
    """Return the places at which one of *secrets* is shown."""
    return [place for place, text in shown if any(secret in text for secret in secrets)]


def keystore_of(world: World, tmp: Path, protection: Any) -> FileKeystore:
    """Return a keystore in *tmp* that holds alice's key for the user u1."""
    keystore = FileKeystore(tmp, "app", protection=protection)
    keystore.save(StoredKey("u1", world.own_key()))
    return keystore
