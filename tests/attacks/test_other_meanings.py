"""Content that, once signed by a user, would be a card, a ticket or an archive of theirs."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forgery import open_up
from virgil_service import FakeClock, VirgilService, card_id, make_e3kit

from encrypted_parse import MemoryKeystore, Model, encrypted, only_me
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.backup.archive_form import ArchiveContent, seal
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.labels import Label, encode
from encrypted_parse.directory import new_card
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.envelope import GroupTicket, from_text, group_session_id
from encrypted_parse.envelope.meanings import MAX_MEANING_BYTES, refuse_other_meaning
from encrypted_parse.envelope.signed import _read_footer
from encrypted_parse.errors import MalformedGroupError, OtherMeaningError
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.trust import Finding, MemoryTrustStore, TrustKeeper

CARD = {
    "identity": "bob",
    "previous_card_id": "ab" * 32,
    "created_at": 1_795_439_972,
    "version": "5.0",
    "public_key": PrivateKey.generate().public_key.to_base64(),
}
SNAPSHOT = json.dumps(CARD, separators=(",", ":"))
GROUP = "the board of directors"
TICKET = GroupTicket(group_session_id(GROUP), 1, bytes(range(32))).to_bytes()
SESSION, KEY = TICKET[4:38], TICKET[40:]  # the ticket's first and third field
ARCHIVE = json.dumps({"version": 1, "user_id": "bob", "keys": ["k"], "recovery_key": None})
DEEP = 25_000
NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)

MEANINGS: dict[str, bytes] = {
    "a snapshot": SNAPSHOT.encode(),
    "with a byte order mark": b"\xef\xbb\xbf" + SNAPSHOT.encode(),
    "with blanks around it": b"\r\n\t " + SNAPSHOT.encode() + b"\n",
    "with a signature's extra fields behind it": SNAPSHOT.encode() + b'{"device":"phone"}',
    "with anything behind it": SNAPSHOT.encode() + b"\x00\xff" * 100_000,
    "pretty": json.dumps(CARD, indent=4).encode(),
    "with more members": json.dumps({"note": "see below", **CARD, "extra": [1]}).encode(),
    "with a repeated member": SNAPSHOT.replace("{", '{"identity":1,', 1).encode(),
    "with names that are escaped": SNAPSHOT.replace("identity", "\\u0069dentit\\u0079").encode(),
    "with an escaped blank name": SNAPSHOT.replace("public_key", "public\\u005Fkey").encode(),
    "as readers take it that ignore case": SNAPSHOT.replace("identity", "Identity").encode(),
    "with a number that no float holds": SNAPSHOT.replace("1795439972", "9" * 9999).encode(),
    "with no number": SNAPSHOT.replace("1795439972", "NaN").encode(),
    "deeper than our parser goes": (
        SNAPSHOT[:-1] + ',"x":' + "[" * DEEP + "]" * DEEP + "}"
    ).encode(),
    "after a comment": b"// a note\n" + SNAPSHOT.encode(),
    "after a comment of shells": b"# a note\r\n" + SNAPSHOT.encode(),
    "after a comment of C": b"\xef\xbb\xbf/* a\n note */ " + SNAPSHOT.encode(),
    "after what Gson passes over": b")]}'\n" + SNAPSHOT.encode(),
    "without quotation marks": b"{identity: 'bob', public_key: 'x'}",
    "with bytes that are no text": SNAPSHOT.encode().replace(b'"5.0"', b'"5.0\xff\x01"'),
    "with few members": b'{"public_key":"x","identity":"bob"}',
    "an archive": seal(ArchiveContent(1, (PrivateKey.generate(),)), "bob"),
    "an archive of the old form": ARCHIVE.encode(),
    "an archive in UTF-16": ARCHIVE.encode("utf-16-le"),
    "a ticket": TICKET,
    "a ticket with anything behind it": TICKET + b"\x00 and more",
    "a ticket after other fields": b"\x5a\x03abc\x60\x01" + TICKET,
    "a ticket in two parts": b"\x08\x00\x12\x22" + SESSION + b"\x12\x22" + KEY,
    "a ticket whose field's key is long": b"\x92\x00\x44\x0a\x20"
    + b"s" * 32
    + b"\x1a\x20"
    + b"k" * 32,
    "a ticket of zeros": b"\x08\x00\x12\x06\x0a\x00\x10\x01\x1a\x00",
} | {f"our {label.name}": encode(label, b"key", b"digest") for label in Label}

HARMLESS: dict[str, bytes] = {
    "nothing": b"",
    "text": "Lunch at noon? ☕".encode(),
    "a quoted snapshot": b"> " + SNAPSHOT.encode(),
    "a snapshot as a text in JSON": json.dumps(SNAPSHOT).encode(),
    "contacts with their keys": json.dumps({"contacts": [CARD]}).encode(),
    "an app's own object": json.dumps({"identity": "bob", "keys": [1]}).encode(),
    "a chapter about cards": b"# identity\n\nA card holds a public_key.",
    "words in JSON": json.dumps({"note": "identity and public_key"}).encode(),
    "protobuf with texts": b"\x08\x07\x12\x03bob\x1a\x05hello",
    "protobuf with a message": b"\x08\x07\x12\x05\x0a\x03bob",
    "any bytes": bytes(range(256)) * 300,
}

Verb = Callable[[E3Kit, bytes], object]
VERBS: dict[str, Verb] = {
    "auth_encrypt": lambda alice, data: alice.auth_encrypt(data),
    "encrypt": lambda alice, data: alice.encrypt(data),
    "seal": lambda alice, data: alice.seal(data, []),
    "auth_encrypt_file": lambda alice, data: alice.auth_encrypt_file(
        io.BytesIO(data), io.BytesIO()
    ),
    "encrypt_file": lambda alice, data: alice.encrypt_file(io.BytesIO(data), io.BytesIO()),
    "encrypt_shared_file": lambda alice, data: alice.encrypt_shared_file(
        io.BytesIO(data), io.BytesIO()
    ),
    "Group.encrypt": lambda alice, data: alice.create_group(GROUP).encrypt(data),
}


def start(service: VirgilService, user: str, store: MemoryTrustStore | None = None) -> E3Kit:
    """Return a registered user."""
    trust = None if store is None else TrustKeeper(user, store)
    e3kit = make_e3kit(service, user, MemoryKeystore(), FakeClock(), trust)
    e3kit.register()
    return e3kit


@pytest.mark.parametrize("meaning", MEANINGS)
def test_what_has_another_meaning_is_not_signed(meaning: str) -> None:
    """However it is written, as long as some reader would take it."""
    with pytest.raises(OtherMeaningError) as caught:
        refuse_other_meaning(MEANINGS[meaning])
    assert caught.value.hint
    assert "bob" not in str(caught.value)


@pytest.mark.parametrize("content", HARMLESS)
def test_what_has_none_is_signed(content: str) -> None:
    """Texts that quote a card, objects that hold cards, other protobuf."""
    refuse_other_meaning(HARMLESS[content])


def test_what_our_own_users_publish_is_recognised() -> None:
    """The true forms, as this package writes them: the cases above are not made up."""
    alice = PrivateKey.generate()
    raw = new_card("alice", alice, NOW)
    for genuine in (base64.b64decode(raw["content_snapshot"]), TICKET):
        with pytest.raises(OtherMeaningError):
            refuse_other_meaning(genuine)


@pytest.mark.parametrize("meaning", ["a snapshot", "a ticket", "an archive"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses(verb: str, meaning: str) -> None:
    """Messages, files, groups, the envelopes of models."""
    alice = start(VirgilService(), "alice")
    with pytest.raises(OtherMeaningError):
        VERBS[verb](alice, MEANINGS[meaning])


@pytest.mark.parametrize("verb", ["auth_encrypt", "encrypt"])
def test_texts_are_refused_too(verb: str) -> None:
    """A text is signed as its UTF-8."""
    alice = start(VirgilService(), "alice")
    with pytest.raises(OtherMeaningError):
        getattr(alice, verb)(SNAPSHOT)


def test_a_refused_file_leaves_nothing(tmp_path: Path) -> None:
    """Neither at a path nor in a file object; a longer file than any card is looked at alike."""
    alice = start(VirgilService(), "alice")
    source, target, sink = tmp_path / "card.json", tmp_path / "card.enc", io.BytesIO()
    source.write_bytes(SNAPSHOT.encode() + b" " * MAX_MEANING_BYTES * 40)
    for verb in (alice.auth_encrypt_file, alice.encrypt_file, alice.encrypt_shared_file):
        for where in (target, sink):
            with pytest.raises(OtherMeaningError):
                verb(source, where)
    assert not target.exists()
    assert sink.getvalue() == b""


def test_a_file_that_was_looked_at_is_whole(tmp_path: Path) -> None:
    """Its beginning is encrypted in its place, also of a stream that cannot go back."""
    service = VirgilService()
    alice = start(service, "alice")

    class Pipe(io.RawIOBase):
        """Gives a few bytes at a time, and cannot go back."""

        def __init__(self, content: bytes) -> None:
            super().__init__()
            self.rest = content

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            count = min(len(buffer), len(self.rest), 1000)
            buffer[:count], self.rest = self.rest[:count], self.rest[count:]
            return count

    for size in (0, 1, MAX_MEANING_BYTES, MAX_MEANING_BYTES + 1, 3 * 1024 * 1024 + 7):
        content = (b"0123456789" * (size // 10 + 1))[:size]
        sealed, opened = io.BytesIO(), io.BytesIO()
        pipe: Any = Pipe(content)
        alice.auth_encrypt_file(pipe, sealed, size=size)
        alice.auth_decrypt_file(io.BytesIO(sealed.getvalue()), opened)
        assert opened.getvalue() == content


class Note(Model):
    """One value of each kind that is stored as bytes of the app's choice."""

    text: str | None = encrypted(to=only_me(), default=None)
    data: dict[str, Any] | None = encrypted(to=only_me(), default=None)


def test_models_refuse_and_send_nothing() -> None:
    """In a text, a dictionary or the content of a file; nothing is stored."""
    app = InMemoryApp()
    alice = app.make_user("alice")
    for note in (Note(text=SNAPSHOT), Note(data=CARD)):
        with pytest.raises(OtherMeaningError):
            alice.save(note)
    with pytest.raises(OtherMeaningError):
        alice.upload(SNAPSHOT.encode(), name="card.json")
    assert app.parse.rows("Note") == []
    assert app.parse.files == {}
    saved = alice.save(Note(text=f"This came: {SNAPSHOT}", data={"card": CARD}))
    assert saved.data == {"card": CARD}


def test_virgil_crypto_signs_them() -> None:
    """The plain crypto is below: tickets and cards are made with it."""
    alice = vc.generate_key_pair()
    vc.verify(SNAPSHOT.encode(), vc.sign(SNAPSHOT.encode(), alice.private_key), alice.public_key)
    assert "anything" in (vc.__doc__ or "")


# --- what such a signature is worth: by a client that does not refuse -------------------------


def signature_of(sealed: bytes, reader: PrivateKey) -> bytes:
    """Return the author's raw signature, as any recipient finds it."""
    return _read_footer(open_up(sealed, reader).footer)[1]


def test_a_signed_text_is_no_succession() -> None:
    """Bob's E3Kit signs a text that mallory wrote; his peers do not follow to mallory's key."""
    service, store = VirgilService(), MemoryTrustStore()
    alice, bob = start(service, "alice", store), start(service, "bob")
    alice.mark_verified("bob", bob.safety_number("alice"))
    mallory, evil = PrivateKey.generate(), PrivateKey.generate()
    [bobs_card] = service.chain_of("bob")
    content = {**CARD, "previous_card_id": card_id(bobs_card), "public_key": ""}
    content["public_key"] = evil.public_key.to_base64()
    snapshot = json.dumps(content).encode()
    message = vc.sign_and_encrypt(snapshot, bob._own_key(), [mallory.public_key])
    raw_signature = signature_of(message, mallory)
    container = vc.sign(b"x", evil)[:-64] + raw_signature
    vc.verify(snapshot, container, bob._own_key().public_key)  # the old form of a link
    for name, value in (
        ("previous", container),
        (Label.CARD_LINK.value.decode(), container),
        (Label.CARD_LINK.value.decode(), raw_signature + evil.sign(snapshot)),
    ):
        forged = {
            "content_snapshot": base64.b64encode(snapshot).decode(),
            "signatures": [
                {
                    "signer": "self",
                    "signature": base64.b64encode(vc.sign(snapshot, evil)).decode(),
                },
                {"signer": name, "signature": base64.b64encode(value).decode()},
            ],
        }
        service.lies["alice", "bob"] = [bobs_card, service.countersign(forged)]
        assert alice.trust_of("bob") is Finding.CHANGED


def test_signed_bytes_that_are_a_ticket_are_never_ours() -> None:
    """What mallory would need of alice to plant an epoch, alice's verbs do not sign."""
    service = VirgilService()
    alice, bob = start(service, "alice"), start(service, "bob")
    alice.create_group(GROUP, alice.find_users(["bob"]).values())
    group = bob.load_group(GROUP, bob.find_users(["alice"])["alice"])
    for verb in (alice.auth_encrypt, alice.encrypt):
        with pytest.raises(OtherMeaningError):
            verb(TICKET, alice.find_users(["bob"]).values())
    # Signed by anybody else, it is not the initiator's.
    old = next(address for address in service.records if address[:2] == ("alice", "group-sessions"))
    planted = vc.sign_then_encrypt_detached(
        TICKET, PrivateKey.generate(), [bob._own_key().public_key]
    )
    copy = {
        "meta": base64.b64encode(planted.metadata).decode(),
        "value": base64.b64encode(planted.encrypted_data).decode(),
    }
    service.records[(*old[:3], "1")] = {"copies": {"bob": copy}, "hash": "x"}
    with pytest.raises(MalformedGroupError):
        group.update()
    assert group.session.newest.epoch == 0
    assert from_text(bob.auth_encrypt("still works"))
