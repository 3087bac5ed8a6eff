"""The guard's parser in the cloud code and the reader in Python agree on what an envelope is."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Iterator

import pytest
from npm_peer import TESTS, NpmPeer

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.envelope import Form, Header, from_text, to_text
from encrypted_parse.errors import EnvelopeError, MissingExtraError

FORMS = {
    "plain": Form.PLAIN,
    "encrypt": Form.SIGN_THEN_ENCRYPT,
    "authEncrypt": Form.SIGN_AND_ENCRYPT,
}
ALICE, BOB = vc.generate_key_pair(), vc.generate_key_pair()
CURVE = vc.generate_key_pair(vc.KeyType.CURVE25519)
KEYS = [key.public_key for key in (ALICE, BOB, CURVE)]
MUTANTS = 3000


@pytest.fixture(scope="module")
def parser() -> Iterator[NpmPeer]:
    """One Node with the guard's parser."""
    try:
        peer = NpmPeer(TESTS / "interop" / "guard_parser.cjs")
    except MissingExtraError as error:
        pytest.skip(f"{error}; {error.hint}")
    with peer:
        yield peer


def _genuine() -> list[bytes]:
    messages = []
    for size in (0, 1, 155, 156, 5000):
        for count in (1, 2, 3):
            for pad in (True, False):
                data, keys = bytes(size), KEYS[:count]
                messages += [
                    vc.encrypt(data, keys, enable_padding=pad),
                    vc.sign_then_encrypt(data, ALICE.private_key, keys, enable_padding=pad),
                    vc.sign_and_encrypt(data, ALICE.private_key, keys, enable_padding=pad),
                ]
    long = vc.sign_and_encrypt(b"x", ALICE.private_key, KEYS, use_sha256_identifiers=True)
    return [*messages, long]


def _agree(text: str, read: dict[str, object] | None) -> None:
    """Check that what the guard accepts, Python reads alike."""
    if read is None:
        return
    try:
        header = Header.from_bytes(from_text(text))
    except EnvelopeError as error:
        pytest.fail(f"the guard reads {read} from {text[:1200]}, and Python: {error.__cause__}")
    assert header.form is FORMS[str(read["form"])]
    assert [key_id.hex() for key_id in header.recipient_ids()] == read["recipients"]


def test_genuine_envelopes(parser: NpmPeer) -> None:
    """Everything that is written here is an envelope there, of the same form and recipients."""
    texts = [to_text(message) for message in _genuine()]
    for text, read in zip(texts, parser.ask("parse", texts=texts), strict=True):
        assert read is not None
        _agree(text, read)


def test_mutants(parser: NpmPeer) -> None:
    """Changed, cut and doubled bytes: the guard accepts nothing that Python refuses."""
    source, genuine = random.Random(7), _genuine()
    mutants = []
    for _ in range(MUTANTS):
        message = bytearray(source.choice(genuine))
        place = source.randrange(min(len(message), 900))
        kind = source.randrange(4)
        if kind == 0:
            message[place] ^= 1 << source.randrange(8)
        elif kind == 1:
            message[place] = source.randrange(256)
        elif kind == 2:
            del message[place : place + source.randrange(1, 40)]
        else:
            message[place:place] = message[place : place + source.randrange(1, 40)]
        mutants.append(to_text(bytes(message)))
    accepted = 0
    for text, read in zip(mutants, parser.ask("parse", texts=mutants), strict=True):
        _agree(text, read)
        accepted += read is not None
    assert 0 < accepted < MUTANTS  # bytes of keys and MACs may change; structure may not


def test_refused_texts(parser: NpmPeer) -> None:
    """What Python refuses as text, the guard refuses."""
    text = to_text(_genuine()[0])
    texts = ["", "x", text[:-1], text + "=", text.replace("M", "m", 1), "é" * 60]
    texts += [text + space for space in ("\xa0", "\u2028", "\0", "\x1f", "\ufeff", "-")]
    assert parser.ask("parse", texts=texts) == [None] * len(texts)
    for wrong in texts:
        with pytest.raises(EnvelopeError):
            Header.from_bytes(from_text(wrong))


def test_lines(parser: NpmPeer) -> None:
    """Base64 in lines, as many encoders write it: an envelope there as here."""
    lines = [to_text(message) for message in _genuine()[:12]]
    texts = [textwrap.fill(text, 76) + "\r\n" for text in lines]
    texts += ["\v\f\t " + "\n".join(text) for text in lines]
    for text, read in zip(texts, parser.ask("parse", texts=texts), strict=True):
        assert read is not None
        _agree(text, read)
