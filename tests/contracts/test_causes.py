"""What hangs on our errors: no password, token, key or plaintext, by whatever way one goes.

Causes and contexts are objects: error trackers send them, debuggers show them, `raise ... from
None` hides them and keeps them.
"""

from __future__ import annotations

import ast
import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_keyring import FakeKeyring
from raw_server import Peer, RawServer, answer, answering
from reachable import reachable

import encrypted_parse
from encrypted_parse import EncryptedClient, EncryptedFile, MemoryKeystore, Model, only_me
from encrypted_parse import encrypted as encrypted_field
from encrypted_parse import virgil_crypto as vc
from encrypted_parse._translating import translating
from encrypted_parse.backup import RecoveryCode
from encrypted_parse.backup.entries import read_entries
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.imports import import_private_key
from encrypted_parse.directory.tokens import Token
from encrypted_parse.e3kit.messages import _to_text
from encrypted_parse.errors import EncryptedParseError, InvalidValueError, KeyFormatError
from encrypted_parse.keystore import EnvironmentKeystore, FileKeystore, KeyringKeystore, StoredKey
from encrypted_parse.models.annotations import codec_for
from encrypted_parse.models.files import _from_json
from encrypted_parse.parse.sending import encode
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpResponse, RequestsTransport, RetryingTransport

ROOT = Path(encrypted_parse.__file__).parent
CANARY = "canary7f3anevershown"
RAW = CANARY.encode()
BROKEN = RAW + b"\xff\xfe"

# Classes that may hold their input, or quote it: the document, the bytes, a key, a value.
HOLDERS = {
    "ArithmeticError",
    "AttributeError",
    "BaseException",
    "Exception",
    "JSONDecodeError",
    "KeyError",
    "LookupError",
    "RequestException",
    "TypeError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "ValueError",
    "binascii.Error",
    "HTTPError",
    "HTTPException",
    "self._errors",
}


class Diary(Model):
    """One of each kind of value that is decrypted or encrypted."""

    author_id: str
    entry: str = encrypted_field(to=only_me(), author="author_id")
    facts: dict[str, Any] = encrypted_field(to=only_me(), author="author_id")


def _client(url: str, **limits: Any) -> EncryptedClient:
    transport = RequestsTransport(**limits)
    return EncryptedClient(
        server_url=url,
        application_id="app",
        rest_api_key=CANARY,
        directory_url=url,
        service_public_key=vc.generate_key_pair().public_key.to_base64(),
        keystore=MemoryKeystore(),
        transport=RetryingTransport(transport, attempts=2, sleep=lambda _: None),
    )


def _calls(url: str, **limits: Any) -> list[Callable[[], object]]:
    client = _client(url, **limits)
    return [
        lambda: client.log_in("u", CANARY),
        lambda: client.sign_up(CANARY, CANARY, email=CANARY),
        lambda: client.become(f"r:{CANARY}"),
        lambda: client.parse.with_session(CANARY).find("Note", where={"text": CANARY}),
        lambda: client.parse.with_session(CANARY).create("Note", {"text": CANARY}),
        lambda: client.parse.with_session(CANARY).delete("Note", "id"),
        lambda: client.parse.with_session(CANARY).upload_file("name", RAW, "text/plain"),
    ]


def _breaks(peer: Peer) -> None:
    peer.read_head()


def _halves(peer: Peer) -> None:
    peer.read_head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + RAW)


def _waits(peer: Peer) -> None:
    peer.read_head()
    peer.socket.recv(1)


# How a server fails, and what it says then: the last ones say what they were told.
SERVERS: dict[str, Callable[[Peer], None]] = {
    "breaks": _breaks,
    "waits": _waits,
    "speaks nonsense": answering(b"nonsense\r\n\r\n"),
    "speaks of a length": _halves,
    "answers with a page": answering(answer(b"<html>" + RAW)),
    "answers with half of JSON": answering(answer(b'{"sessionToken": "' + RAW)),
    "answers with no text": answering(answer(BROKEN)),
    "answers with broken gzip": answering(answer(BROKEN, "Content-Encoding: gzip")),
    "answers with deep JSON": answering(answer(b"[" * 100_000 + RAW)),
    "answers with another shape": answering(answer(json.dumps([CANARY]).encode())),
    "fails with a page": answering(answer(b"<html>" + RAW, status="502 Oh")),
}


@pytest.mark.parametrize("server", SERVERS)
def test_no_failure_of_the_network_holds_the_request(server: str) -> None:
    """Whatever a server does, the error holds neither what was sent nor what came back."""
    with RawServer(SERVERS[server]) as running:
        errors: list[EncryptedParseError] = []
        for call in _calls(running.url, total_timeout_seconds=0.5):
            try:
                call()
            except EncryptedParseError as error:
                errors.append(error)
    assert len(errors) >= 6  # the answer to a deletion is not looked at
    assert [reachable(error, CANARY) for error in errors] == [None] * len(errors)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
def test_no_failure_to_connect_holds_the_request(url: str) -> None:
    """The same where nobody listens; the text names the class that is not passed on."""
    for call in _calls(url):
        with pytest.raises(EncryptedParseError) as caught:
            call()
        assert reachable(caught.value, CANARY) is None
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert "(ConnectionError)" in str(caught.value)


def test_no_chain_leaves_the_transport() -> None:
    """Each class of failure is raised behind the block that caught the library's error."""
    for talk in (_breaks, _waits, answering(b"nonsense\r\n\r\n")):
        with RawServer(talk) as running:
            for call in _calls(running.url, total_timeout_seconds=0.5)[:3]:
                with pytest.raises(EncryptedParseError) as caught:
                    call()
                assert caught.value.__cause__ is caught.value.__context__ is None


def _damaged_key_file(folder: Path) -> None:
    FileKeystore(folder, "app").save(StoredKey("u1", PrivateKey.generate()))
    (path,) = folder.rglob("*.json")
    path.write_bytes(b'{"version": 2, "private_key": "' + RAW)
    FileKeystore(folder, "app").find("u1")


def _keyring(folder: Path) -> KeyringKeystore:
    backend = FakeKeyring()
    backend.get_password = lambda *_: json.dumps({CANARY: CANARY})  # type: ignore[method-assign]
    return KeyringKeystore("app", folder, backend=backend)


def _read(annotation: Any) -> Callable[[Path], object]:
    codec, _ = codec_for(annotation, "here")
    return lambda _: codec.from_plaintext(json.dumps(CANARY).encode())


def _saved(change: Callable[[Diary], None]) -> Callable[[Path], object]:
    def save(_: Path) -> None:
        user = InMemoryApp().make_user()
        diary = user.save(Diary(author_id=user.user_id, entry="", facts={}))
        diary.facts = {"fact": CANARY}
        change(diary)
        user.save(diary)

    return save


# Calls that are given a secret, or find one, and refuse it.
REFUSALS: dict[str, Callable[[Path], object]] = {
    "JSON of a body": lambda _: HttpResponse(200, {}, RAW).json(),
    "a body that is no text": lambda _: HttpResponse(200, {}, BROKEN).json(),
    "a body to send": lambda _: encode({"password": CANARY, "other": float("nan")}),
    "a password with half a character": lambda _: encode({"password": f"{CANARY}\ud800"}),
    "a private key's text": lambda _: PrivateKey.from_base64(f"{CANARY}é"),
    "a private key": lambda _: import_private_key(f"-----BEGIN {CANARY}"),
    "a private key that is no text": lambda _: import_private_key(BROKEN),
    "a token": lambda _: Token.parse(f"a.{base64.b64encode(RAW).decode()}.c"),
    "entries of a backup": lambda _: read_entries(b'{"name": "' + RAW),
    "entries that are no text": lambda _: read_entries(BROKEN),
    "a recovery code": lambda _: RecoveryCode.parse(CANARY),
    "a message that is no text": lambda _: _to_text(BROKEN),
    "a decrypted text": lambda _: codec_for(str, "here")[0].from_plaintext(BROKEN),
    "a decrypted number": _read(int),
    "a decrypted date": _read(__import__("datetime").date),
    "a decrypted id": _read(__import__("uuid").UUID),
    "a decrypted amount": _read(__import__("decimal").Decimal),
    "a decrypted file": lambda _: _from_json({"version": 1, CANARY: CANARY}),
    "a decrypted file of another kind": lambda _: _from_json(
        {"version": 1, "parts": [[CANARY, 1, 2]], "sha256": CANARY}
    ),
    "bytes of a file": lambda _: codec_for(EncryptedFile, "here")[0].from_plaintext(BROKEN),
    "keys of the environment": lambda _: EnvironmentKeystore(f"u1:{CANARY}"),
    "a key file": _damaged_key_file,
    "an entry of the keyring": lambda folder: _keyring(folder).find("u1"),
    "a value that JSON has not": _saved(lambda diary: diary.facts.update(more={1, 2})),
    "a value that no text has": _saved(lambda diary: diary.facts.update(more="\ud800")),
    "a value without an end": _saved(lambda diary: diary.facts.update(more=diary.facts)),
    "a value that is no number": _saved(lambda diary: diary.facts.update(more=float("nan"))),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_no_refusal_holds_what_it_refuses(name: str, tmp_path: Path) -> None:
    """An error of ours, and the canary is nowhere behind it."""
    with pytest.raises(EncryptedParseError) as caught:
        REFUSALS[name](tmp_path / "keys")
    assert reachable(caught.value, CANARY) is None


def test_the_search_finds_what_hides() -> None:
    """A secret in a cause, a hidden context, an argument or a request is found."""

    def raising(make: Callable[[], object]) -> BaseException:
        try:
            try:
                make()
            except Exception:  # noqa: BLE001 - that is what is looked at
                raise InvalidValueError("ours") from None
        except InvalidValueError as error:
            return error
        raise AssertionError

    def send() -> None:
        requests.post("http://127.0.0.1:1", json={"password": CANARY}, timeout=5)

    for make in (
        send,
        lambda: json.loads(CANARY),
        BROKEN.decode,
        lambda: {}[CANARY],
        lambda: int(CANARY),
        f"{CANARY}\ud800".encode,
    ):
        assert reachable(raising(make), CANARY) is not None
    assert reachable(KeyFormatError("ours", hint=CANARY), CANARY) is not None
    assert reachable(KeyFormatError("ours"), CANARY) is None


def test_translating_leaves_nothing_behind() -> None:
    """No cause, no context, and no frame that holds the foreign error; others pass."""
    with (
        pytest.raises(InvalidValueError) as caught,
        translating(ValueError, to=lambda: InvalidValueError("ours")),
    ):
        json.loads(CANARY)
    assert caught.value.__cause__ is caught.value.__context__ is None
    trace = caught.value.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is translating.__exit__.__code__:
            assert not [
                value
                for value in trace.tb_frame.f_locals.values()
                if isinstance(value, BaseException) and value is not caught.value
            ]
        trace = trace.tb_next
    with pytest.raises(KeyError), translating(ValueError, to=lambda: InvalidValueError("ours")):
        raise KeyError
    with translating(ValueError, to=lambda: InvalidValueError("ours")):
        assert sys.exc_info()[0] is None


def _caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"BaseException"}
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {name for one in types for name in (ast.unparse(one), ast.unparse(one).split(".")[-1])}


def _raises_within(tree: ast.Module) -> list[int]:
    return [
        node.lineno
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler) and _caught(handler) & HOLDERS
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise) and node.exc is not None
    ]


def test_nothing_is_raised_where_a_holder_was_caught() -> None:
    """In no module does a `raise` stand in a block that catches what may hold its input."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        for line in _raises_within(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("try:\n f()\nexcept ValueError as e:\n raise X from e", [4]),
        ("try:\n f()\nexcept (OSError, json.JSONDecodeError):\n raise X from None", [4]),
        ("try:\n f()\nexcept:\n if x:\n  raise X", [5]),
        ("try:\n f()\nexcept ValueError:\n raise", []),
        ("try:\n f()\nexcept OSError:\n raise X", []),
        ("try:\n f()\nexcept ValueError:\n x = 1\nraise X", []),
    ],
)
def test_the_rule_is_seen(source: str, lines: list[int]) -> None:
    """The rule above finds what it is for, and nothing else."""
    assert _raises_within(ast.parse(source)) == lines
