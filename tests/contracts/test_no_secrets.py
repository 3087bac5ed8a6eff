"""Secrets are mute: no repr, no message, no traceback and no pickle shows one."""

from __future__ import annotations

import ast
import datetime as dt
import logging
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_keyring import FakeKeyring
from frames import shown_by

import encrypted_parse
from encrypted_parse import (
    EncryptedClient,
    EncryptedFile,
    MemoryKeystore,
    Model,
    UserClient,
    encrypted,
    only_me,
)
from encrypted_parse.backup import (
    ArchiveContent,
    ArchivedKeys,
    KeyknoxClient,
    LoginPassword,
    RecoveryCode,
)
from encrypted_parse.companion import CompanionSecrets
from encrypted_parse.crypto import EphemeralKey, KeyType, PrivateKey, PublicKey, der
from encrypted_parse.crypto.imports import _Algorithm, _PrivateKeyInfo
from encrypted_parse.crypto.receiving import ReceivingKey
from encrypted_parse.deploy import DeployServer
from encrypted_parse.devserver import Database, DevServer
from encrypted_parse.devserver.secrets import ServerSecrets
from encrypted_parse.directory import (
    CachingDirectory,
    DirectoryClient,
    ServiceClient,
    new_card,
    parse_card,
)
from encrypted_parse.directory.tokens import Token, TokenProvider
from encrypted_parse.e3kit import Group
from encrypted_parse.e3kit.backups import DerivedPasswords
from encrypted_parse.e3kit.files import FileVerbs
from encrypted_parse.e3kit.verbs import Verbs
from encrypted_parse.envelope import GroupSession, GroupTicket
from encrypted_parse.envelope.signed import KeySchedule
from encrypted_parse.envelope.stanza import StanzaWriter, WrappedContentKey
from encrypted_parse.errors import EncryptedParseError
from encrypted_parse.keystore import (
    EnvironmentKeystore,
    FileKeystore,
    KeptSession,
    KeyringKeystore,
    KeyService,
    Passphrase,
    StoredKey,
)
from encrypted_parse.models import drafts
from encrypted_parse.models.files import Part
from encrypted_parse.parse import BatchOperation, ParseApp, ParseClient, UserSession
from encrypted_parse.parse.sending import RestClient
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse
from encrypted_parse.virgil_crypto import KeyPair

ROOT = Path(encrypted_parse.__file__).parent

SEED = b"canary-seed-of-thirty-two-bytes!"
TEXT = "canary-in-text"
KEY = PrivateKey(KeyType.ED25519, SEED)
CODE = RecoveryCode(SEED[:20])
PUBLIC_KEY = PrivateKey(KeyType.ED25519, bytes(32)).public_key.to_base64()
# Every spelling that a secret of this file could turn up in. The seed is the end of the key's
# encoding, and begins inside one of base64's groups, so the whole text form is looked for.
CANARIES = (b"canary", SEED.hex().encode(), KEY.to_base64().encode(), KEY.to_bytes())
CANARIES += (CODE.text.encode(),)


class Note(Model):
    """An object with a decrypted field."""

    author_id: str
    body: str = encrypted(to=only_me(), author="author_id")


def _transport() -> FakeTransport:
    return FakeTransport(lambda _: HttpResponse(200, {}, TEXT.encode()))


def _app() -> ParseApp:
    return ParseApp("https://parse.invalid/1", "app", TEXT)


def _session() -> UserSession:
    return UserSession("u1", "alice", TEXT)


def _client() -> EncryptedClient:
    return EncryptedClient(
        server_url="https://parse.invalid/1",
        application_id="app",
        rest_api_key=TEXT,
        directory_url="https://directory.invalid",
        service_public_key=PUBLIC_KEY,
        keystore=_memory_keystore(),
        transport=_transport(),
    )


def _user_client() -> UserClient:
    return _client()._user(_session())


def _memory_keystore() -> MemoryKeystore:
    keystore = MemoryKeystore()
    keystore.save(StoredKey("u1", KEY))
    return keystore


def _file_keystore(folder: Path) -> FileKeystore:
    keystore = FileKeystore(folder, "app")
    keystore.save(StoredKey("u1", KEY))
    keystore.find("u1")  # now it is in the cache
    return keystore


def _sealed_keystore(folder: Path) -> FileKeystore:
    keystore = FileKeystore(folder, "app", protection=Passphrase(TEXT))
    keystore.save(StoredKey("u1", KEY))
    return keystore


def _keyring_keystore(folder: Path) -> KeyringKeystore:
    backend = FakeKeyring()
    keystore = KeyringKeystore("app", folder, backend=backend)
    keystore.save(StoredKey("u1", KEY))
    return keystore


def _client_directory() -> CachingDirectory:
    service_key = PublicKey.from_base64(PUBLIC_KEY)
    return CachingDirectory(
        DirectoryClient(
            "https://directory.invalid", _transport(), _token_provider(), service_key=service_key
        )
    )


def _token_provider() -> TokenProvider:
    provider = TokenProvider(lambda: TEXT)
    provider._token = Token(TEXT, "u1", 0)
    return provider


def _group() -> Group:
    card = parse_card(new_card("u1", KEY, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)), service_key=None)
    service = ServiceClient("https://service.invalid", _transport(), _token_provider())
    own = StoredKey("u1", KEY)
    group = Group("a group of ours", card, [KEY.public_key], own, KeyknoxClient(service))
    group._session = GroupSession([GroupTicket(bytes(32), 0, SEED)])
    return group


def _private_key_info() -> _PrivateKeyInfo:
    algorithm = _Algorithm(oid=der.ObjectIdentifier("1.3.101.112"))
    return _PrivateKeyInfo(version=0, algorithm=algorithm, private_key=SEED, attributes=None)


def _server_secrets() -> ServerSecrets:
    return ServerSecrets(
        application_id="app",
        rest_api_key=TEXT,
        javascript_key=TEXT,
        master_key=TEXT,
        database_password=TEXT,
        virgil_app_id="virgil",
        virgil_app_key_id="key",
        virgil_app_key=KEY.to_base64(),
        virgil_service_key=KEY.to_base64(),
        virgil_brainkey_secret=TEXT,
    )


def _database() -> Database:
    return Database("127.0.0.1", 5432, "parse", "parse", TEXT)


def _dev_server(folder: Path) -> DevServer:
    return DevServer(
        url="http://127.0.0.1:1/parse",
        directory_url="http://127.0.0.1:1/virgil",
        live_query_url="ws://127.0.0.1:1",
        application_id="app",
        rest_api_key=TEXT,
        javascript_key=TEXT,
        master_key=TEXT,
        service_public_key=PUBLIC_KEY,
        virgil_app_id="virgil",
        database=_database(),
        process_id=1,
        data_dir=folder,
    )


# Every class that holds a secret or a decrypted value, filled with canaries.
HOLDERS: dict[str, Callable[[Path], object]] = {
    "ArchiveContent": lambda _: ArchiveContent(1, (KEY,)),
    "ArchivedKeys": lambda _: ArchivedKeys(ArchiveContent(1, (KEY,)), None),
    "BatchOperation": lambda _: BatchOperation("POST", "/1/classes/Note", {"body": TEXT}),
    "Database": lambda _: _database(),
    "CompanionSecrets": lambda _: CompanionSecrets("app", "key", TEXT, TEXT, TEXT),
    "DeployServer": lambda _: DeployServer(_transport(), "app", TEXT),
    "DerivedPasswords": lambda _: DerivedPasswords(TEXT, TEXT),
    "DevServer": _dev_server,
    "EncryptedClient": lambda _: _client(),
    "EncryptedFile": lambda _: EncryptedFile(
        TEXT, TEXT, 1, "u1", (Part("a.bin", 1),), bytes(32), KEY
    ),
    "EnvironmentKeystore": lambda _: EnvironmentKeystore(f"u1:{KEY.to_base64()}"),
    "KeptSession": lambda _: KeptSession("https://parse.invalid", "alice", "u1", TEXT),
    "FileVerbs": lambda _: FileVerbs("u1", _client_directory(), _memory_keystore()),
    "FileKeystore": _file_keystore,
    "HttpRequest": lambda _: HttpRequest(
        "POST", "https://parse.invalid/1", {"x-token": TEXT}, {"where": TEXT}, TEXT.encode()
    ),
    "HttpResponse": lambda _: HttpResponse(200, {"x-token": TEXT}, TEXT.encode()),
    "EphemeralKey": lambda _: EphemeralKey(KeyType.ED25519, lambda count: SEED[:count]),
    "Group": lambda _: _group(),
    "GroupSession": lambda _: GroupSession([GroupTicket(bytes(32), 0, SEED)]),
    "GroupTicket": lambda _: GroupTicket(bytes(32), 0, SEED),
    "KeyPair": lambda _: KeyPair(KEY, KEY.public_key),
    "KeyService": lambda _: KeyService(
        "name", lambda key, _context: key[::-1], lambda data, _context: data[::-1]
    ),
    "KeySchedule": lambda _: KeySchedule(SEED),
    "KeyringKeystore": _keyring_keystore,
    "LoginPassword": lambda _: LoginPassword.of(TEXT),
    "MemoryKeystore": lambda _: _memory_keystore(),
    "Draft": lambda _: drafts.draft(Note(author_id="u1", body=TEXT), "u1"),
    "Note": lambda _: Note(author_id="u1", body=TEXT),
    "ParseApp": lambda _: ParseApp("https://parse.invalid/1", "app", TEXT, master_key=TEXT),
    "ParseClient": lambda _: ParseClient(_app(), _transport(), TEXT),
    "Passphrase": lambda _: Passphrase(TEXT),
    "PrivateKey": lambda _: KEY,
    "ReceivingKey": lambda _: ReceivingKey(SEED),
    "RecoveryCode": lambda _: CODE,
    "RestClient": lambda _: RestClient(_app(), _transport(), TEXT),
    "SealedKeystore": _sealed_keystore,
    "WrappedContentKey": lambda _: WrappedContentKey(KEY, bytes(32), b"", b"", b""),
    "_PrivateKeyInfo": lambda _: _private_key_info(),
    "ServerSecrets": lambda _: _server_secrets(),
    "StanzaWriter": lambda _: StanzaWriter(SEED),
    "StoredKey": lambda _: StoredKey("u1", KEY),
    "Token": lambda _: Token(TEXT, "u1", 0),
    "TokenProvider": lambda _: _token_provider(),
    "Verbs": lambda _: Verbs("u1", _client_directory(), _memory_keystore()),
    "UserClient": lambda _: _user_client(),
    "UserSession": lambda _: _session(),
}

# Values of one call that no user is ever handed, or that hold no more than one's own settings.
PICKLES = {
    "BatchOperation",
    "HttpRequest",
    "HttpResponse",
    "KeySchedule",
    "ParseApp",
    "StanzaWriter",
    "_PrivateKeyInfo",
}

SECRET_NAME = re.compile(
    r"password|secret|master_key|javascript_key|rest_api_key|private_key|content_key|seed"
    r"|session_token|^_?virgil_.*_key$"
)
SECRET_TYPE = re.compile(r"\b(PrivateKey|StoredKey|ServerSecrets|UserSession|Token)\b")


def _holders_by_declaration() -> set[str]:
    """Return the classes whose fields or constructor are named or typed like a secret."""
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ClassDef) or path.name == "errors.py":
                continue
            declared: list[tuple[str, ast.expr | None]] = []
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    declared.append((statement.target.id, statement.annotation))
                if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                    arguments = [*statement.args.args, *statement.args.kwonlyargs]
                    declared += [(argument.arg, argument.annotation) for argument in arguments]
            if any(
                SECRET_NAME.search(name)
                or (annotation is not None and SECRET_TYPE.search(ast.unparse(annotation)))
                for name, annotation in declared
            ):
                found.add(node.name)
    return found


def _assert_mute(shown: str | bytes) -> None:
    raw = shown.encode("utf-8", "surrogateescape") if isinstance(shown, str) else shown
    assert not [canary for canary in CANARIES if canary in raw]


@pytest.fixture(params=sorted(HOLDERS))
def holder(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """One object that holds secrets, of each class in turn."""
    return HOLDERS[request.param](tmp_path / "keys")


def test_every_holder_is_looked_at() -> None:
    """A class whose field or parameter is named or typed like a secret is in the list above."""
    found = _holders_by_declaration()
    assert {"StoredKey", "UserSession", "ServerSecrets", "PrivateKey"} <= found
    assert found - HOLDERS.keys() == set()


def test_the_canary_sings() -> None:
    """The search finds what it looks for: a secret that is shown fails these tests."""
    for shown in (TEXT, repr(SEED), SEED.hex(), KEY.to_base64(), KEY.to_bytes()):
        with pytest.raises(AssertionError):
            _assert_mute(shown)


def test_no_text_form_shows_a_secret(holder: object) -> None:
    """Not repr, str, format, either spelling of %, nor one inside a container."""
    for shown in (
        repr(holder),
        str(holder),
        f"{holder}",
        "%s %r" % (holder, holder),  # noqa: UP031 - the form that logging uses
        repr([holder]),
        repr({"key": (holder,)}),
    ):
        _assert_mute(shown)


def test_no_log_line_shows_a_secret(holder: object, caplog: pytest.LogCaptureFixture) -> None:
    """An object that is handed to a logger leaves no secret in the log."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("test").debug("%s %r", holder, holder)
    assert caplog.records
    _assert_mute(caplog.text)


@pytest.mark.parametrize("name", sorted(HOLDERS.keys() - PICKLES))
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_holds_a_secret(name: str, protocol: int, tmp_path: Path) -> None:
    """Pickling is refused, without naming the secret, or leaves the secret out."""
    holder = HOLDERS[name](tmp_path / "keys")
    try:
        pickled = pickle.dumps(holder, protocol)
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        _assert_mute("".join(traceback.format_exception(error)))
    else:
        _assert_mute(pickled)


def _damaged_keystore(folder: Path) -> None:
    keystore = _file_keystore(folder)
    (path,) = folder.rglob("*.json")
    path.write_text(path.read_text("utf-8").replace('"version": 2', '"version": 3'), "utf-8")
    FileKeystore(folder, "app").find("u1")
    keystore.find("u1")


def _wrong_passphrase(folder: Path) -> None:
    _sealed_keystore(folder)
    FileKeystore(folder, "app", protection=Passphrase(TEXT + "x")).find("u1")


def _damaged_sealed_file(folder: Path) -> None:
    _sealed_keystore(folder)
    (path,) = folder.rglob("*.json")
    path.write_text(path.read_text("utf-8").replace('"sealed": "', '"sealed": "A'), "utf-8")
    FileKeystore(folder, "app", protection=Passphrase(TEXT)).find("u1")


# Calls that are given a secret and refuse it.
REFUSALS: dict[str, Callable[[Path], Any]] = {
    "a key with a tail": lambda _: PrivateKey.from_bytes(KEY.to_bytes() + b"\0"),
    "a key's text with a tail": lambda _: PrivateKey.from_base64(KEY.to_base64() + "\u00e9"),
    "a raw seed": lambda _: PrivateKey.from_bytes(SEED),
    "a token of another kind": lambda _: Token.parse(TEXT),
    "a damaged key file": _damaged_keystore,
    "an answer that is not JSON": lambda _: HttpResponse(200, {}, TEXT.encode()).json(),
    "a key with a line break": lambda _: ParseApp("https://parse.invalid", "app", TEXT + "\n"),
    "a value of the wrong type": lambda _: Note(author_id="u1", body=[TEXT]),
    "a wrong passphrase": _wrong_passphrase,
    "a damaged sealed file": _damaged_sealed_file,
    "keys in a variable that are none": lambda _: EnvironmentKeystore(f"u1:{KEY.to_base64()}x"),
    "a recovery code that is mistyped": lambda _: RecoveryCode.parse(CODE.text[:-1] + "*"),
    "a recovery code that is too long": lambda _: RecoveryCode.parse(TEXT),
    "another key for the user": lambda folder: _file_keystore(folder).save(
        StoredKey("u1", PrivateKey.generate())
    ),
}


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return frame.filename == __file__


def _locals(frame: traceback.FrameSummary) -> list[str]:
    return [f"{name}={shown}\n" for name, shown in (frame.locals or {}).items()]


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_no_traceback_shows_a_secret(name: str, tmp_path: Path) -> None:
    """A call that refuses a secret raises our error; no message, no local of any frame and
    nothing that can be reached from it holds the secret.
    """
    with pytest.raises(EncryptedParseError) as caught:
        REFUSALS[name](tmp_path / "keys")
    _assert_mute("".join(traceback.format_exception(caught.value)))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    inner = [line for frame in told.stack[1:] if not _is_ours(frame) for line in _locals(frame)]
    _assert_mute("".join(inner))
    for _, shown in shown_by(caught.value):
        _assert_mute(shown)
