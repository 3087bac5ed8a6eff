"""docs/troubleshooting.md quotes messages as they are: each is provoked here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse import (
    EncryptedClient,
    FileKeystore,
    Model,
    Passphrase,
    UserClient,
    acl_readers,
    encrypted,
    version,
)
from encrypted_parse.backup import BrainKeyClient, PrivateKeyBackups
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import EncryptedParseError
from encrypted_parse.keystore import EnvironmentKeystore, StoredKey
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import FakeTransport, HttpResponse
from encrypted_parse.virgil_crypto import import_private_key

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
ROW = re.compile(r"^\| `([^`]+)` \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
FEWEST = 30
ANYTHING = "\u2026"  # an ellipsis in the page stands for any text


class Letter(Model):
    """What the provocations save."""

    sender_id: str
    stars: int = 0
    body: str | None = encrypted(to=acl_readers(), author="sender_id", default=None)


class Counted(Model):
    """What counts its saves."""

    title: str
    saves: int = version()


class World:
    """An app in memory with two users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app = InMemoryApp()
        self.ann = self.app.make_user("ann")
        self.ben = self.app.make_user("ben")

    def letter(self, *readers: str, body: str = "Lunch?") -> Letter:
        """Return a saved letter of ann's."""
        letter = Letter(sender_id=self.ann.user_id, body=body)
        for reader in readers:
            letter.acl.allow_read(reader)
        return self.ann.save(letter)

    def answering(self, status: int, text: str, path: str = "/classes/") -> UserClient:
        """Return ann, whose server answers requests of some path in this way."""
        answer = HttpResponse(status, {}, text.encode())
        self.app.before = lambda request: answer if path in request.url else None
        return self.ann

    def elsewhere(self) -> UserClient:
        """Return ann on a machine that has no key."""
        return self.app.client().log_in("ann", "password of ann")


class _OneKeyAPassword(BrainKeyClient):
    """BrainKey without a service: what is provoked is behind it."""

    def __init__(self) -> None:
        self._keys: dict[str, PrivateKey] = {}

    def derive(self, password: str) -> PrivateKey:
        """Return one key for each password."""
        return self._keys.setdefault(password, PrivateKey.generate())

    def derive_newer(self, _: str) -> PrivateKey | None:
        """Have none of the newer generation."""
        return None


Provocation = Callable[[World], Any]


def _with_variables(**variables: str) -> Provocation:
    def provoke(world: World) -> None:
        known = {"PARSE_SERVER_URL": "https://parse.example", "PARSE_APPLICATION_ID": "app"}
        EncryptedClient.from_env({**known, "HOME": str(world.folder), **variables})

    return provoke


def _no_variables(_: World) -> None:
    EncryptedClient.from_env({})


def _other_password(world: World) -> None:
    keyknox = world.ann.e3kit._service.keyknox
    backups = PrivateKeyBackups(world.ann.user_id, _OneKeyAPassword(), keyknox)
    backups.store([PrivateKey.generate()], "the first")
    backups.store([PrivateKey.generate()], "the second")


def _wrong_backup_password(world: World) -> None:
    keyknox = world.ann.e3kit._service.keyknox
    backups = PrivateKeyBackups(world.ann.user_id, _OneKeyAPassword(), keyknox)
    backups.store([PrivateKey.generate()], "the first")
    backups.load("the second")


def _sealed_without_passphrase(world: World) -> None:
    FileKeystore(world.folder / "keys", "app", protection=Passphrase("geheim")).save(
        StoredKey("ann", PrivateKey.generate())
    )
    FileKeystore(world.folder / "keys", "app").find("ann")


def _folder_of_others(world: World) -> None:
    folder = world.folder / "open"
    folder.mkdir()
    folder.chmod(0o777)
    FileKeystore(folder, "app").save(StoredKey("ann", PrivateKey.generate()))


def _read_only(world: World) -> None:
    key = PrivateKey.generate()
    store = EnvironmentKeystore(f"ann:{key.to_base64()}")
    store.save(StoredKey(world.ann.user_id, key))


def _no_function(world: World) -> None:
    del world.app.parse.functions["virgil-jwt"]
    world.app.client().log_in("ann", "password of ann").e3kit.find_users([world.ben.user_id])


def _no_token(world: World) -> None:
    world.app.parse.functions["virgil-jwt"] = lambda *_: {}
    world.app.client().log_in("ann", "password of ann").e3kit.find_users([world.ben.user_id])


def _unregistered_reader(world: World) -> None:
    eve = world.app.make_user("eve", registered=False)
    world.letter(eve.user_id)


def _changed_key(world: World) -> None:
    world.letter(world.ben.user_id)
    stranger = world.app.client().log_in("ben", "password of ben")
    stranger.e3kit.rotate_private_key(lost=True)
    world.ann.e3kit.find_users([world.ben.user_id], force_reload=True)
    world.letter(world.ben.user_id)


def _signed_by_another(world: World) -> None:
    cards = world.ann.e3kit.find_users([world.ben.user_id]).values()
    text = world.ann.e3kit.auth_encrypt("Lunch?", list(cards))
    world.ben.e3kit.auth_decrypt(text, world.ben.e3kit.find_own_card())


def _not_a_recipient(world: World) -> None:
    letter = world.letter()
    for_ben = {"ACL": {world.ben.user_id: {"read": True}}}
    world.ann.parse.update("Letter", str(letter.object_id), for_ben)
    assert world.ben.get(Letter, str(letter.object_id)).body


def _plaintext(world: World) -> None:
    letter = world.letter()
    world.ann.parse.update("Letter", str(letter.object_id), {"body": "Lunch, in the clear"})
    assert world.ann.get(Letter, str(letter.object_id)).body


def _public(world: World) -> None:
    letter = Letter(sender_id=world.ann.user_id, body="Lunch?")
    letter.acl.allow_public_read()
    world.ann.save(letter)


def _stale(world: World) -> None:
    first = world.ann.save(Counted(title="a"))
    second = world.ann.get(Counted, str(first.object_id))
    first.title, second.title = "b", "c"
    world.ann.save(first)
    world.ann.save(second)


def _other_user(world: World) -> None:
    client = world.app.client()
    client.log_in("ann", "password of ann", expect_user_id=world.ben.user_id)


def _master_key(_: World) -> None:
    app = ParseApp("https://parse.example", "app", master_key="sesame")
    answer = HttpResponse(403, {}, b'{"error":"unauthorized"}')
    ParseClient(app, FakeTransport(lambda _: answer)).find("Letter")


def _saving(status: int, text: str) -> Provocation:
    def provoke(world: World) -> None:
        ann = world.answering(status, text)
        ann.save(Letter(sender_id=ann.user_id, stars=1))

    return provoke


def _batch_path(world: World) -> None:
    text = '{"code":107,"error":"cannot route batch path /parse/classes/Letter"}'
    ann = world.answering(400, text, "/batch")
    for outcome in ann.save_all([Letter(sender_id=ann.user_id)]):
        assert outcome.error is not None
        raise outcome.error


PROVOCATIONS: list[Provocation] = [
    _no_variables,
    _with_variables(PARSE_APPLICATION_ID='"app"'),
    _with_variables(ENCRYPTED_PARSE_KEYSTORE="files"),
    _with_variables(PARSE_SERVER_URL="parse.example"),
    _with_variables(PARSE_SERVER_URL="http://parse.example/parse"),
    _with_variables(VIRGIL_API_URL="https://directory.example"),
    _with_variables(ENCRYPTED_PARSE_PRIVATE_KEYS="x;y"),
    lambda _: import_private_key("not a key"),
    lambda _: import_private_key(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAA\n-----END OPENSSH PRIVATE KEY-----"
    ),
    _sealed_without_passphrase,
    _folder_of_others,
    _read_only,
    lambda world: world.app.client().log_in("ann", "wrong"),
    lambda world: world.app.client().log_in("ann", None),  # type: ignore[arg-type]
    lambda world: world.app.client().become("r:nonsense"),
    _other_user,
    _no_function,
    _no_token,
    lambda world: world.elsewhere().save(Letter(sender_id=world.ann.user_id, body="Lunch?")),
    lambda world: world.elsewhere().register(),
    _unregistered_reader,
    _changed_key,
    _signed_by_another,
    _not_a_recipient,
    _plaintext,
    _public,
    _stale,
    lambda world: world.ann.query(Letter).filter(body="Lunch?"),
    lambda world: world.ann.increment(world.letter(), body=1),
    lambda world: world.ben.save(Letter(sender_id=world.ann.user_id, body="Lunch?")),
    lambda world: world.ann.save("letter"),  # type: ignore[type-var]
    lambda world: world.ann.query("Letter"),  # type: ignore[arg-type]
    lambda world: world.ann.get(Letter, None),  # type: ignore[arg-type]
    lambda world: world.ann.share(world.letter(), with_=[None]),  # type: ignore[list-item]
    lambda world: world.ann.get(Letter, "nonsense12"),
    _saving(400, '{"code":141,"error":"a title has at most 80 characters"}'),
    _saving(400, '{"code":119,"error":"Permission denied"}'),
    _saving(
        400,
        '{"code":111,"error":"schema mismatch for Letter.stars; expected Number but got String"}',
    ),
    _batch_path,
    _master_key,
    _other_password,
    _wrong_backup_password,
]


def _messages() -> list[str]:
    return ROW.findall(PAGE.read_text("utf-8"))


def _pattern(message: str) -> re.Pattern[str]:
    return re.compile(".+".join(map(re.escape, message.split(ANYTHING))), re.DOTALL)


@pytest.mark.filterwarnings("ignore::encrypted_parse.trust.KeyChangedWarning")
def test_every_message_of_the_page_is_raised_by_a_provocation(tmp_path: Path) -> None:
    """What stands in the page is what people see, and what is provoked stands in the page."""
    quoted = [_pattern(message) for message in _messages()]
    raised = []
    for number, provoke in enumerate(PROVOCATIONS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(EncryptedParseError) as caught:
            provoke(World(folder))
        raised.append(str(caught.value))
    assert len(quoted) >= FEWEST
    assert [one.pattern for one in quoted if not any(map(one.fullmatch, raised))] == []
    assert [one for one in raised if not any(pattern.fullmatch(one) for pattern in quoted)] == []


def test_every_row_of_the_page_is_read() -> None:
    """No message escapes the test by the way it is written: each row of a table is one."""
    rows = [
        line
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("|") and not line.startswith(("|---", "| message |"))
    ]
    assert len(rows) == len(_messages()) == len(set(_messages()))
