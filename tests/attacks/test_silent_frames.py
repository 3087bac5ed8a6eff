"""What an error tracker sees: it sends the locals of every frame, and all that errors lead to.

Every call is made with mistakes, and with the network failing at each of its requests; no
exception leaves with a plaintext, a password, a token or a key.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from canaries import (
    BACKUP_PASSWORD,
    CANARY,
    NEW_BACKUP_PASSWORD,
    NEW_PASSWORD,
    OPERATIONS,
    PASSPHRASE,
    PASSWORD,
    TEXT,
    Address,
    Fragile,
    Note,
    World,
    errors_in,
    keystore_of,
    leaks,
)
from frames import shown_by

from encrypted_parse import (
    FileKeystore,
    KeyService,
    Model,
    Passphrase,
    Pointer,
    computed,
    encrypted,
    virgil_crypto,
)
from encrypted_parse.backup import RecoveryCode
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import (
    ConnectionFailedError,
    EncryptedParseError,
    InvalidValueError,
    OutcomeUnknownError,
)
from encrypted_parse.keystore import EnvironmentKeystore, StoredKey, keystore_from_env
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.transport import HttpRequest, HttpResponse


def _cut(_: HttpRequest) -> HttpResponse:
    raise ConnectionFailedError("cut")


def _lost(_: HttpRequest) -> HttpResponse:
    raise OutcomeUnknownError("lost")


def _broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"a transport of the app fails at {request.method}")


# What the network, or what stands for it, does to one request and all after it.
FAULTS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "no connection": _cut,
    "no answer": _lost,
    "an answer of another shape": lambda _: HttpResponse(200, {}, b'[{"a": [1]}]'),
    "a foreign exception": _broken,
}


def _run(world: World, operation: Callable[[World], Any]) -> tuple[list[str], int]:
    """Return what an operation's exception, or the errors it hands out, give away; and how many."""
    try:
        errors: Sequence[BaseException] = errors_in(operation(world))
    except Exception as error:  # noqa: BLE001 - any one has to be mute
        errors = [error]
    world.app.before = lambda _: None
    secrets = world.secrets()
    found = [place for error in errors for place in leaks(shown_by(error), secrets)]
    return found, len(errors)


class Failing:
    """Lets so many requests pass, and does something to each that follows."""

    def __init__(self, passing: int, fault: Callable[[HttpRequest], HttpResponse]) -> None:
        self.fault = fault
        self.passing = passing
        self.met = False

    def __call__(self, request: HttpRequest) -> HttpResponse | None:
        """See `InMemoryApp.before`."""
        if self.passing:
            self.passing -= 1
            return None
        self.met = True
        return self.fault(request)


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_no_fault_of_the_network_shows_a_secret(name: str, fault: str) -> None:
    """Whichever request of a call fails first, what it raises or hands out shows no secret."""
    failed = 0
    for passing in itertools.count():
        world = World()
        world.app.before = failing = Failing(passing, FAULTS[fault])
        found, errors = _run(world, OPERATIONS[name])
        assert found == []
        failed += errors
        if not failing.met:
            break
    assert failed or name == "explain"  # which tells in words


# --- mistakes -------------------------------------------------------------------------------


def _answering(body: object) -> Callable[[World], Any]:
    """Return a change of the world after which each answer is *body*."""
    text = json.dumps(body).encode()

    def change(world: World) -> None:
        world.app.before = lambda _: HttpResponse(200, {}, text)

    return change


def _after(change: Callable[[World], Any], operation: str) -> Callable[[World], Any]:
    return lambda world: (change(world), OPERATIONS[operation](world))[1]


def _in_place(world: World) -> Any:
    note = world.new(details={"key": TEXT})
    note.details = {"$key": TEXT}
    return note


def _changed_in_place(world: World) -> Any:
    note = world.fetched()
    note.tags.append({TEXT})  # type: ignore[arg-type]  # the mistake
    return world.alice.save(note)


def _for_nobody(world: World) -> Any:
    note = world.new()
    note.acl.allow_read("nobody-whose-id-exists")
    return world.alice.save(note)


def _public(world: World) -> Any:
    note = world.new()
    note.acl.allow_public_read()
    return world.alice.save(note)


def _computed_by(function: Callable[..., Any]) -> Callable[[World], Any]:
    class Computed(Model):
        author_id: str
        body: str = encrypted(to=computed(function, "author_id"), author="author_id")

    return lambda w: w.alice.save(Computed(author_id=w.alice.user_id, body=TEXT))


def _wrong_row(world: World) -> Any:
    """A row whose ciphertext is of another type than the field."""
    sealed = world.alice.e3kit.auth_encrypt(json.dumps({"number": TEXT}))
    world.app.parse._classes["Note"][str(world.note.object_id)]["count"] = sealed
    return world.alice.get(Note, str(world.note.object_id)).count


def _failing_service(world: World, tmp: Path) -> Any:
    calls = itertools.count()

    def unwrap(data: bytes, _: object) -> bytes:
        if next(calls):
            raise OSError("the key service is away")
        return data[::-1]

    keystore_of(world, tmp, KeyService("name", lambda key, _: key[::-1], unwrap))
    return FileKeystore(tmp, "app", protection=KeyService("name", unwrap, unwrap)).find("u1")


def _wrong_passphrase(world: World, tmp: Path) -> Any:
    keystore_of(world, tmp, Passphrase(PASSPHRASE))
    return FileKeystore(tmp, "app", protection=Passphrase(f"{PASSPHRASE} no")).find("u1")


def _asked_passphrase(world: World, tmp: Path) -> Any:
    keystore_of(world, tmp, Passphrase(PASSPHRASE))
    variables = {"ENCRYPTED_PARSE_KEYSTORE": str(tmp), "OTHER_PASSWORD": PASSWORD}
    keystore = keystore_from_env(variables, "app", ask_passphrase=lambda: f"{PASSPHRASE} no")
    return keystore.find("u1")


# Ordinary mistakes: a wrong type, a forgotten step, another user's object, a mistyped name.
MISTAKES: dict[str, Callable[[World], Any]] = {
    "a wrong type": lambda w: w.new(body=[TEXT]),
    "a wrong type inside": lambda w: w.new(tags=[TEXT, {TEXT}]),
    "a wrong type assigned": lambda w: setattr(w.note, "body", {TEXT}),
    "a text for a number": lambda w: w.new(count=TEXT),
    "None where none may be": lambda w: w.new(body=None, tags=[TEXT]),
    "a name that is no field": lambda w: w.new(bdoy=TEXT),
    "an attribute that is no field": lambda w: setattr(w.note, "bdoy", TEXT),
    "a value that is none in JSON": lambda w: w.new(details={"key": {TEXT}}),
    "a key that Parse refuses": _in_place,
    "a value changed in place": _changed_in_place,
    "a text with NUL": lambda w: w.new(body=f"{TEXT}\0"),
    "a text with a lone surrogate": lambda w: w.new(body=f"{TEXT}\ud800"),
    "a number beyond Parse's": lambda w: w.alice.save(w.new(title=TEXT[:0], count=2**70)),
    "an embedded value of a wrong type": lambda w: w.new(address={"street": TEXT}),
    "an embedded part of a wrong type": lambda _: Address(street=[TEXT]),
    "an envelope as a value": lambda w: w.new(body=w.alice.e3kit.auth_encrypt(TEXT)),
    "another user as author": lambda w: w.alice.save(w.new(author_id=w.bob.user_id)),
    "no author": lambda w: w.alice.save(w.new(author_id="")),
    "a reader who is not registered": _for_nobody,
    "a public object": _public,
    "a user without keys": lambda w: w.client.sign_up("gus", PASSWORD).save(w.new()),
    "a codec that fails": lambda w: w.alice.save(Fragile(body=TEXT)),
    "a rule that fails": _computed_by(lambda _: 1 / 0),
    "a rule that names nobody": _computed_by(lambda _: [None]),
    "a field that is not one": lambda w: w.alice.query(Note).update(bdoy=TEXT),
    "an update of a wrong type": lambda w: w.alice.query(Note).update(body=[TEXT]),
    "a filter on an encrypted field": lambda w: w.alice.query(Note).filter(body=TEXT),
    "an increment of an encrypted field": lambda w: w.alice.increment(w.note, count=1),
    "an append to an encrypted field": lambda w: w.alice.append(w.note, tags=[TEXT]),
    "no object": lambda w: w.alice.save(TEXT),
    "a dict for an object": lambda w: w.alice.save({"body": TEXT}),
    "objects in no list": lambda w: w.alice.save_all(w.note),
    "no object among many": lambda w: w.alice.save_all([w.new(), TEXT]),
    "a share of what is not saved": lambda w: w.alice.share(w.new(), with_=[w.bob.user_id]),
    "a share of what was changed": lambda w: w.alice.share(w.fetched(), with_=[w.bob.user_id]),
    "a share with nobody": lambda w: w.alice.share(w.note, with_=[""]),
    "a revocation by a reader": lambda w: w.bob.revoke(
        w.bob.get(Note, str(w.note.object_id)), from_=[w.alice.user_id]
    ),
    "a value of another type": _wrong_row,
    "an upload without a name": lambda w: w.alice.upload(TEXT.encode(), name=""),
    "an upload of a text": lambda w: w.alice.upload(io.StringIO(TEXT)),
    "an upload with a path": lambda w: w.alice.upload(TEXT.encode(), name=f"/{CANARY}"),
    "a download into nothing": lambda w: w.alice.download(
        w.alice.upload(TEXT.encode(), name=CANARY), "/no/such/folder/file"
    ),
    "a wrong password": lambda w: w.client.log_in("alice", NEW_PASSWORD),
    "a password that is bytes": lambda w: w.client.log_in("alice", PASSWORD.encode()),
    "a password that is a list": lambda w: w.client.log_in("alice", [PASSWORD]),
    "a password with a surrogate": lambda w: w.client.log_in("alice", f"{PASSWORD}\ud800"),
    "a user who exists": lambda w: w.client.sign_up("alice", PASSWORD),
    "columns of a wrong type": lambda w: w.client.sign_up("ida", PASSWORD, notes={PASSWORD}),
    "a token that is none": lambda w: w.client.become(f"r:{CANARY}"),
    "a token that is bytes": lambda w: w.client.become(f"r:{CANARY}".encode()),
    "an unknown parameter": lambda w: w.client.log_in("alice", pasword=PASSWORD),
    "a call without an argument": lambda w: w.alice.e3kit.change_password(BACKUP_PASSWORD),
    "a log-in that is no session": _after(_answering({"sessionToken": [CANARY]}), "log_in"),
    "rows that are none": _after(_answering({"results": [CANARY]}), "query"),
    "an object that is none": _after(_answering({"objectId": {"a": CANARY}}), "get"),
    "a token that is no token": _after(_answering({"result": {"token": CANARY}}), "register"),
    "a backup that exists": lambda w: w.alice.e3kit.backup_private_key(NEW_BACKUP_PASSWORD),
    "a wrong backup password": lambda w: w.alice.e3kit.restore_private_key(NEW_BACKUP_PASSWORD),
    "a backup password that is bytes": lambda w: w.alice.e3kit.restore_private_key(
        PASSWORD.encode()
    ),
    "no backup": lambda w: w.bob.e3kit.change_password(BACKUP_PASSWORD, NEW_BACKUP_PASSWORD),
    "a mistyped recovery code": lambda w: w.alice.e3kit.restore_with_recovery_code(
        f"{w.code.text[:-1]}*"
    ),
    "another recovery code": lambda w: w.alice.e3kit.restore_with_recovery_code(
        RecoveryCode.generate()
    ),
    "a code that is bytes": lambda w: w.alice.e3kit.restore_with_recovery_code(
        w.code.text.encode()
    ),
    "a message that is a list": lambda w: w.alice.e3kit.auth_encrypt([TEXT], w.cards),
    "a message with a surrogate": lambda w: w.alice.e3kit.auth_encrypt(f"{TEXT}\ud800"),
    "a user in place of a card": lambda w: w.alice.e3kit.auth_encrypt(TEXT, ["bob"]),
    "bytes read as text": lambda w: w.alice.e3kit.auth_decrypt(
        base64.b64encode(w.alice.e3kit.auth_encrypt(TEXT.encode() + b"\xff")).decode()
    ),
    "a message by somebody else": lambda w: w.alice.e3kit.auth_decrypt(
        w.alice.e3kit.auth_encrypt(TEXT), w.cards[0]
    ),
    "a group message too long": lambda w: w.group.encrypt(TEXT * 4000),
    "a group message that is a list": lambda w: w.group.encrypt([TEXT]),
    "a group message of another group": lambda w: w.group.decrypt(
        w.alice.e3kit.auth_encrypt(TEXT), w.own_card
    ),
    "text for bytes": lambda w: virgil_crypto.sign_and_encrypt(
        TEXT,
        w.own_key(),
        [],  # type: ignore[arg-type]
    ),
    "no recipient": lambda _: virgil_crypto.encrypt(TEXT.encode(), []),
    "a key for a public key": lambda w: virgil_crypto.sign_and_encrypt(
        TEXT.encode(),
        w.own_key(),
        [w.own_key()],  # type: ignore[list-item]
    ),
    "a key with a tail": lambda w: PrivateKey.from_bytes(w.own_key().to_bytes() + b"\0"),
    "a key's text with a tail": lambda w: PrivateKey.from_base64(f"{w.own_key().to_base64()}x"),
    "an imported key with a tail": lambda w: virgil_crypto.import_private_key(
        f"{w.own_key().to_base64()}x"
    ),
    "a key that is no text": lambda w: PrivateKey.from_base64(  # type: ignore[arg-type]
        [w.own_key().to_base64()]
    ),
    "keys in a variable that are none": lambda w: EnvironmentKeystore(
        f"u1:{w.own_key().to_base64()}x"
    ),
    "another key for the user": lambda w: w.alice.e3kit._keystore.save(
        StoredKey(w.alice.user_id, PrivateKey.generate())
    ),
    "an app's key with a line break": lambda _: ParseApp("https://a.invalid", "a", f"{CANARY}\n"),
    "an address with a password": lambda _: ParseApp(f"https://u:{CANARY}@a.invalid", "a"),
    "a column that is no JSON": lambda w: w.alice.parse.create("Plain", {"a": {CANARY}}),
    "a function's wrong parameter": lambda w: w.alice.parse.call_function("f", {"a": {CANARY}}),
    "a pointer to a text": lambda _: Pointer.to(TEXT),  # type: ignore[arg-type]
}
# The same, with a folder for key files.
KEYSTORE_MISTAKES: dict[str, Callable[[World, Path], Any]] = {
    "a wrong passphrase": _wrong_passphrase,
    "a wrong answer to a question": _asked_passphrase,
    "a key service that fails": _failing_service,
    "a passphrase that is bytes": lambda w, tmp: keystore_of(
        w,
        tmp,
        Passphrase(PASSPHRASE.encode()),  # type: ignore[arg-type]
    ),
    "a passphrase that is empty": lambda w, tmp: keystore_of(w, tmp, Passphrase("")),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_no_mistake_shows_a_secret(name: str) -> None:
    """An ordinary mistake raises, or hands out an error; in no frame of it stands a secret."""
    found, errors = _run(World(), MISTAKES[name])
    assert found == []
    assert errors


@pytest.mark.parametrize("name", sorted(KEYSTORE_MISTAKES))
def test_no_mistake_with_a_keystore_shows_a_secret(name: str, tmp_path: Path) -> None:
    """The same for passphrases and key files."""
    found, errors = _run(World(), lambda world: KEYSTORE_MISTAKES[name](world, tmp_path / "keys"))
    assert found == []
    assert errors


def test_the_search_finds_secrets() -> None:
    """Where no door is passed, the same search finds the plaintext in the frames."""
    world = World()
    with pytest.raises(InvalidValueError) as caught:
        Model.__setattr__.__wrapped__(world.note, "body", [TEXT])  # type: ignore[attr-defined]
    assert leaks(shown_by(caught.value), world.secrets())


def test_parse_keeps_no_session_in_a_frame() -> None:
    """The plain client of Parse, whose answer is no JSON, shows neither token nor answer."""
    app = ParseApp("https://parse.invalid/1", "app", CANARY)
    answer = HttpResponse(200, {"x": CANARY}, CANARY.encode())

    class Answers:
        def send(self, request: HttpRequest) -> HttpResponse:
            del request
            return answer

    with pytest.raises(EncryptedParseError) as caught:
        ParseClient(app, Answers(), CANARY).get("Note", "id")
    assert leaks(shown_by(caught.value), {CANARY}) == []
