"""What holds for every envelope: it opens for its readers, and nothing that was altered opens."""

from __future__ import annotations

import base64
import contextlib
import functools
import random
from collections.abc import Iterator, Sequence

import pytest
from forgery import split, stanzas_of
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import expensive, ordinary, plaintexts, private_keys, readers

from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey, der
from encrypted_parse.envelope import (
    Header,
    decrypt_and_verify,
    from_text,
    is_envelope,
    sign,
    sign_and_encrypt,
    to_text,
    verify,
)
from encrypted_parse.envelope.header import MAX_DATA_BYTES, MAX_HEADER_BYTES, build_header
from encrypted_parse.envelope.padding import pad, padded_bytes, unpad
from encrypted_parse.envelope.signed import _sign_and_encrypt
from encrypted_parse.envelope.stanza import unwrap
from encrypted_parse.errors import (
    EnvelopeError,
    MalformedEnvelopeError,
    NotARecipientError,
    SignatureError,
    SignerNotFoundError,
)

STANZA_ID_OFFSET = 10  # SEQUENCE, INTEGER 2, [0], OCTET STRING: then the identifier


def _key(number: int, key_type: KeyType = KeyType.ED25519) -> PrivateKey:
    return PrivateKey(key_type, bytes([number]) * 32)


ALICE, BOB, CAROL, DAVE = (_key(number) for number in range(1, 5))


@functools.cache
def _fixed_envelope(*recipients: PublicKey, padded: bool = False, plaintext: bytes = b"x") -> bytes:
    """Return the same envelope in every run, so that exhaustive tests are repeatable."""
    source = random.Random(5)
    return _sign_and_encrypt(plaintext, ALICE, recipients, pad=padded, random=source.randbytes)


def _open(envelope: bytes, reader: PrivateKey = BOB) -> bytes:
    return decrypt_and_verify(envelope, identities=[reader], signers=[ALICE.public_key])


def _flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _tolerated(envelope: bytes, reader: PrivateKey, bits: Sequence[int]) -> set[int]:
    """Return the *bits* whose flip is not refused; the plaintext must then be the same."""
    expected = _open(envelope, reader)
    tolerated = set()
    for bit in bits:
        try:
            opened = _open(_flip(envelope, bit), reader)
        except EnvelopeError:
            continue
        assert opened == expected, f"bit {bit} changes the plaintext"
        tolerated.add(bit)
    return tolerated


def _extents(envelope: bytes) -> Iterator[tuple[bytes, range]]:
    """Yield each stanza's identifier and the bits that the stanza takes."""
    for stanza in stanzas_of(envelope):
        start = envelope.index(stanza)
        identifier = stanza[STANZA_ID_OFFSET : STANZA_ID_OFFSET + 8]
        yield identifier, range(8 * start, 8 * (start + len(stanza)))


def _ephemeral_sign_bit(envelope: bytes, reader: PrivateKey) -> int:
    (bits,) = (bits for key_id, bits in _extents(envelope) if key_id == reader.public_key.key_id)
    prefix = KeyType.ED25519.public_prefix
    point = envelope.index(prefix, bits.start // 8) + len(prefix)
    return 8 * (point + 31) + 7


# --- what opens -----------------------------------------------------------------------------


@ordinary
@given(plaintext=plaintexts(), signer=private_keys(), named=readers(), padded=st.booleans())
def test_round_trip(
    plaintext: bytes, signer: PrivateKey, named: list[PrivateKey], *, padded: bool
) -> None:
    """Every recipient, of either key type, gets exactly what was written, padded or not."""
    recipients = [reader.public_key for reader in named]
    envelope = sign_and_encrypt(plaintext, signer=signer, recipients=recipients, pad=padded)
    header = Header.from_bytes(envelope)
    assert header.to_bytes() == envelope[: header.length]
    assert sorted(header.recipient_ids()) == sorted(key.key_id for key in recipients)
    for reader in named:
        opened = decrypt_and_verify(envelope, identities=[reader], signers=[signer.public_key])
        assert opened == plaintext


@ordinary
@given(readers(), readers())
def test_exactly_the_named_can_read(named: list[PrivateKey], others: list[PrivateKey]) -> None:
    """Whoever is not named gets NotARecipientError, the author included."""
    recipients = [reader.public_key for reader in named]
    envelope = sign_and_encrypt(b"ours", signer=ALICE, recipients=recipients)
    for outsider in (ALICE, *others):
        if outsider in named:
            continue
        with pytest.raises(NotARecipientError):
            _open(envelope, outsider)
    assert _open(envelope, named[0]) == b"ours"


@ordinary
@given(readers(min_size=2), private_keys())
def test_any_of_several_identities_opens(named: list[PrivateKey], stranger: PrivateKey) -> None:
    """A reader may offer old and new keys together, in any order."""
    assume(stranger not in named)
    envelope = sign_and_encrypt(b"ours", signer=ALICE, recipients=[named[-1].public_key])
    for identities in ([stranger, *named], [*named, stranger]):
        opened = decrypt_and_verify(envelope, identities=identities, signers=[ALICE.public_key])
        assert opened == b"ours"


@ordinary
@given(private_keys(), private_keys())
def test_only_offered_signers_count(signer: PrivateKey, other: PrivateKey) -> None:
    """An envelope of another author is refused, however good its signature."""
    assume(signer != other)
    envelope = sign_and_encrypt(b"x", signer=signer, recipients=[BOB.public_key])
    for signers in ([other.public_key], []):
        with pytest.raises(SignerNotFoundError):
            decrypt_and_verify(envelope, identities=[BOB], signers=signers)


@ordinary
@given(readers())
def test_order_and_repetition_of_recipients_are_lost(named: list[PrivateKey]) -> None:
    """The same recipients in another order, or twice, give a header of the same recipients."""
    once = [reader.public_key for reader in named]
    first = sign_and_encrypt(b"x", signer=ALICE, recipients=once)
    again = sign_and_encrypt(b"x", signer=ALICE, recipients=once[::-1] + once)
    assert Header.from_bytes(first).recipient_ids() == Header.from_bytes(again).recipient_ids()
    assert len(first) == len(again)


@ordinary
@given(plaintexts())
def test_no_two_envelopes_are_alike(plaintext: bytes) -> None:
    """Key, nonce and ephemeral key are fresh each time, so equal values look different."""
    first, second = (
        sign_and_encrypt(plaintext, signer=ALICE, recipients=[BOB.public_key]) for _ in range(2)
    )
    assert Header.from_bytes(first).nonce != Header.from_bytes(second).nonce
    assert split(first)[1] != split(second)[1]
    prefix = KeyType.ED25519.public_prefix
    ephemerals = {stanzas_of(envelope)[0].partition(prefix)[2][:32] for envelope in (first, second)}
    assert len(ephemerals) == 2


@ordinary
@given(st.binary(max_size=700))
def test_padding_round_trip(plaintext: bytes) -> None:
    """Padding fills whole frames of 160 bytes and comes off again."""
    padded = pad(plaintext)
    assert len(padded) == padded_bytes(len(plaintext))
    assert len(padded) % 160 == 0
    assert unpad(padded) == plaintext


@ordinary
@given(plaintexts(), private_keys())
def test_signature_round_trip(data: bytes, signer: PrivateKey) -> None:
    """A detached signature holds over its data and over no other."""
    container = sign(data, signer)
    verify(data, container, signer.public_key)
    with pytest.raises(SignatureError):
        verify(data + b"!", container, signer.public_key)


# --- flipped bits ---------------------------------------------------------------------------


@pytest.mark.parametrize("padded", [False, True])
def test_every_flipped_bit_of_one_recipients_envelope(*, padded: bool) -> None:
    """All are refused with an EnvelopeError but one: the sign bit of the ephemeral point."""
    envelope = _fixed_envelope(BOB.public_key, padded=padded)
    tolerated = _tolerated(envelope, BOB, range(8 * len(envelope)))
    assert tolerated == {_ephemeral_sign_bit(envelope, BOB)}


def test_every_flipped_bit_among_other_stanzas() -> None:
    """Beside that bit only bits of other readers' stanzas pass, and the plaintext is the same."""
    envelope = _fixed_envelope(BOB.public_key, CAROL.public_key, DAVE.public_key)
    foreign = {
        bit
        for key_id, bits in _extents(envelope)
        for bit in bits
        if key_id != BOB.public_key.key_id
    }
    tolerated = _tolerated(envelope, BOB, range(8 * len(envelope)))
    assert tolerated <= foreign | {_ephemeral_sign_bit(envelope, BOB)}
    assert _ephemeral_sign_bit(envelope, BOB) in tolerated


@ordinary
@given(plaintext=plaintexts(), named=readers(max_size=3), padded=st.booleans(), data=st.data())
def test_any_flipped_bit(
    plaintext: bytes, named: list[PrivateKey], *, padded: bool, data: st.DataObject
) -> None:
    """A flipped bit raises an EnvelopeError and nothing else, or changes nothing at all."""
    recipients = [reader.public_key for reader in named]
    envelope = sign_and_encrypt(plaintext, signer=ALICE, recipients=recipients, pad=padded)
    bit = data.draw(st.integers(0, 8 * len(envelope) - 1))
    _tolerated(envelope, named[0], [bit])


def test_every_flipped_bit_of_a_header_re_encodes() -> None:
    """A header that still parses after a flip is written back exactly as it was read."""
    envelope = _fixed_envelope(BOB.public_key, CAROL.public_key, padded=True)
    parsed = 0
    for bit in range(8 * Header.from_bytes(envelope).length):
        changed = _flip(envelope, bit)
        try:
            header = Header.from_bytes(changed)
        except MalformedEnvelopeError:
            continue
        parsed += 1
        assert header.to_bytes() == changed[: header.length], f"bit {bit}"
    assert parsed > 1000  # keys, MACs and identifiers are free


# --- other damage ---------------------------------------------------------------------------


@pytest.mark.parametrize("padded", [False, True])
def test_truncation_at_every_length(*, padded: bool) -> None:
    """No proper prefix of an envelope opens."""
    envelope = _fixed_envelope(BOB.public_key, CAROL.public_key, padded=padded)
    for length in range(len(envelope)):
        with pytest.raises(EnvelopeError):
            _open(envelope[:length])


@ordinary
@given(st.binary(min_size=1, max_size=200))
def test_appended_bytes(tail: bytes) -> None:
    """Nothing can follow an envelope."""
    with pytest.raises(EnvelopeError):
        _open(_fixed_envelope(BOB.public_key) + tail)


@ordinary
@given(st.binary(min_size=1, max_size=50), st.data())
def test_inserted_bytes(extra: bytes, data: st.DataObject) -> None:
    """Nothing can be put into an envelope."""
    envelope = _fixed_envelope(BOB.public_key)
    place = data.draw(st.integers(0, len(envelope)))
    changed = envelope[:place] + extra + envelope[place:]
    with pytest.raises(EnvelopeError):
        _open(changed)


@ordinary
@given(st.data())
def test_replaced_stretches(data: st.DataObject) -> None:
    """A stretch of other bytes never opens to another plaintext."""
    envelope = _fixed_envelope(BOB.public_key, CAROL.public_key)
    start = data.draw(st.integers(0, len(envelope) - 1))
    stretch = data.draw(st.binary(min_size=1, max_size=len(envelope) - start))
    changed = envelope[:start] + stretch + envelope[start + len(stretch) :]
    with contextlib.suppress(EnvelopeError):
        assert _open(changed) == b"x"


@ordinary
@given(st.binary(max_size=600), st.sampled_from([b"", b"\x30", b"\x30\x82\x01\x77\x02\x01\x02"]))
def test_random_bytes(noise: bytes, start: bytes) -> None:
    """Noise is a MalformedEnvelopeError, decided without a key."""
    with pytest.raises(MalformedEnvelopeError):
        decrypt_and_verify(start + noise, identities=[], signers=[])


@ordinary
@given(st.data())
def test_damaged_key_envelopes(data: st.DataObject) -> None:
    """A stanza with other bytes gives an EnvelopeError, or some content key of the right length."""
    header = Header.from_bytes(_fixed_envelope(BOB.public_key))
    (stanza,) = header.stanzas()
    content_key = unwrap(stanza, BOB)
    place = data.draw(st.integers(0, len(stanza.envelope) - 1))
    stretch = data.draw(st.binary(min_size=1, max_size=4))
    changed = stanza.envelope[:place] + stretch + stanza.envelope[place + len(stretch) :]
    stanza = stanza._replace(envelope=changed)
    with contextlib.suppress(EnvelopeError):
        # The IV is outside the MAC: only the body's tag notices (section 11, item 4).
        assert len(unwrap(stanza, BOB)) == len(content_key)


@ordinary
@given(st.binary(max_size=200))
def test_random_signature_containers(noise: bytes) -> None:
    """Noise is never a signature."""
    with pytest.raises(SignatureError):
        verify(b"data", noise, ALICE.public_key)


# --- hostile structures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        "3084ffffffff",
        "308400100001",
        "30847fffffff",
        "3080",
        "3085ffffffffff",
        "30ff",
        "30820000",
        "3081ff",
        "308100",
        "3083000188",
        "30820188020103308000",
        "308201880201033084ffffffff",
    ],
)
def test_claimed_lengths(start: str) -> None:
    """Huge, indefinite and non-minimal lengths are refused before anything is allocated."""
    message = bytes.fromhex(start).ljust(64, b"\x00")
    with pytest.raises(MalformedEnvelopeError):
        Header.from_bytes(message)


def test_headers_have_a_limit() -> None:
    """A header over 1 MiB is refused though all of it is there."""
    length = MAX_HEADER_BYTES + 1
    message = b"\x30\x83" + length.to_bytes(3, "big") + bytes(length)
    with pytest.raises(MalformedEnvelopeError):
        Header.from_bytes(message)


@pytest.mark.parametrize("size", [2, 2**16, 2**31, MAX_DATA_BYTES])
def test_claimed_data_sizes(size: int) -> None:
    """A body shorter than the header claims is refused, up to the largest claim."""
    envelope = _fixed_envelope(BOB.public_key)
    header = Header.from_bytes(envelope)
    claim = build_header(stanzas_of(envelope), header.nonce, data_size=size)
    with pytest.raises(EnvelopeError):
        _open(claim + envelope[header.length :])


@pytest.mark.parametrize("size", [-1, MAX_DATA_BYTES + 1, 2**64, 2**4000])
def test_impossible_data_sizes(size: int) -> None:
    """A size that no writer can have meant is malformed."""
    envelope = _fixed_envelope(BOB.public_key)
    header = Header.from_bytes(envelope)
    claim = build_header(stanzas_of(envelope), header.nonce, data_size=size)
    with pytest.raises(MalformedEnvelopeError):
        _open(claim + envelope[header.length :])


@pytest.mark.parametrize("depth", [10, 1000, 100_000])
@pytest.mark.parametrize("tag", [b"\x30", b"\x31", b"\xa0"])
def test_deeply_nested_der(depth: int, tag: bytes) -> None:
    """Nesting of any depth, at the top or inside a field, costs no stack."""
    nested = _nest(tag, depth)
    with pytest.raises(MalformedEnvelopeError):
        Header.from_bytes(_nest(b"\x30", 1, nested + bytes(32)))
    envelope = _fixed_envelope(BOB.public_key)
    header = Header.from_bytes(envelope)
    hidden = _nest(b"\x30", 1, nested)
    claim = build_header([hidden, *stanzas_of(envelope)], header.nonce, data_size=1)
    with pytest.raises(MalformedEnvelopeError):
        _open(claim + envelope[header.length :], DAVE)  # looks at every entry


def _nest(tag: bytes, depth: int, content: bytes = b"") -> bytes:
    parts = []
    length = len(content)
    for _ in range(depth):
        octets = length.to_bytes((length.bit_length() + 7) // 8 or 1, "big")
        prefix = octets if length < 0x80 else bytes((0x80 | len(octets),)) + octets
        parts.append(tag + prefix)
        length += 1 + len(prefix)
    return b"".join(reversed(parts)) + content


@pytest.mark.parametrize("count", [1024, 1025])
def test_the_number_of_recipients_has_a_limit(count: int) -> None:
    """1,024 entries are searched, one more is refused before any is parsed."""
    entry = der.encode_der(der.Null())
    claim = build_header([entry] * count, bytes(12), data_size=1) + bytes(40)
    expected = NotARecipientError if count == 1024 else MalformedEnvelopeError
    with pytest.raises(expected):
        _open(claim)


def test_the_writer_keeps_the_same_limits() -> None:
    """No recipient, or more than 1,024, is refused; repetitions do not count."""
    many = [PublicKey(KeyType.ED25519, number.to_bytes(32, "big")) for number in range(1025)]
    for recipients in ([], many):
        with pytest.raises(EnvelopeError):
            sign_and_encrypt(b"", signer=ALICE, recipients=recipients)
    envelope = sign_and_encrypt(b"", signer=ALICE, recipients=[BOB.public_key] * 2000)
    assert len(Header.from_bytes(envelope).recipient_ids()) == 1


# --- the text form --------------------------------------------------------------------------


@ordinary
@given(plaintexts(), readers(max_size=2))
def test_text_round_trip(plaintext: bytes, named: list[PrivateKey]) -> None:
    """The text form is one line of base64 that is recognised and gives the bytes back."""
    recipients = [reader.public_key for reader in named]
    envelope = sign_and_encrypt(plaintext, signer=ALICE, recipients=recipients)
    text = to_text(envelope)
    assert text == base64.b64encode(envelope).decode("ascii")
    assert from_text(text) == envelope
    assert is_envelope(text)


@ordinary
@given(st.one_of(st.text(), st.text("MI+/=ABZaz09 \n", max_size=80), st.binary().map(to_text)))
def test_any_text(text: str) -> None:
    """What is accepted is canonical but for white space; all else is malformed, no other error."""
    assert is_envelope(text) in (True, False)
    try:
        data = from_text(text)
    except MalformedEnvelopeError:
        assert not is_envelope(text)
    else:
        assert to_text(data).encode() == b"".join(text.encode("ascii").split())


@ordinary
@given(st.data(), readers(max_size=1))
def test_white_space_changes_nothing(data: st.DataObject, named: list[PrivateKey]) -> None:
    """Lines of any length, anywhere: the same envelope, recognised as one."""
    envelope = sign_and_encrypt(
        b"x", signer=ALICE, recipients=[reader.public_key for reader in named]
    )
    text = to_text(envelope)
    for _ in range(data.draw(st.integers(1, 9))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text(" \t\r\n\f\v", min_size=1, max_size=3)) + text[at:]
    assert from_text(text) == envelope
    assert is_envelope(text)


@expensive
@given(st.data())
def test_altered_text(data: st.DataObject) -> None:
    """One character inserted or replaced never opens it as it was; but for inserted white space."""
    text = to_text(_fixed_envelope(BOB.public_key))
    place = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.one_of(st.sampled_from(" \t\r\n=+/-_\x00\xa0"), st.characters()))
    replace = data.draw(st.booleans())
    changed = text[:place] + character + text[place + replace :]
    assume(changed != text)
    assume(replace or character not in set(" \t\r\n\f\v"))  # test_white_space_changes_nothing
    with pytest.raises(EnvelopeError):
        assert _open(from_text(changed)) != b"x"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\x1f",
        lambda text: "\xa0" + text,
        lambda text: text[:76] + "\u2028" + text[76:],
        lambda text: text[:76] + "-" + text[76:],
        lambda text: text.rstrip("="),
        lambda text: text + "=",
        lambda text: text + "====",
        lambda text: text + "AAAA",
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("M", "\N{FULLWIDTH LATIN CAPITAL LETTER M}", 1),
        lambda text: text.replace("M", "\N{CYRILLIC CAPITAL LETTER EM}", 1),
        lambda text: text[:-1] + "\x00",
        lambda _: "",
        lambda _: "=",
        lambda _: "\ud800",
    ],
)
def test_lenient_readers_would_take_these(change: object) -> None:
    """Other white space than ASCII's, other alphabets, look-alikes, loose padding are refused."""
    text = to_text(_fixed_envelope(BOB.public_key))
    assert text.endswith("=")
    assert {"+", "/"} & set(text)
    with pytest.raises(MalformedEnvelopeError):
        _open(from_text(change(text)))


def test_unused_bits_must_be_zero() -> None:
    """Base64 whose last character carries stray bits is refused, so that texts are unique."""
    for plaintext in (b"x", b"xyz", b"xy"):
        text = to_text(_fixed_envelope(BOB.public_key, plaintext=plaintext))
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        body = text.rstrip("=")
        stray = body[:-1] + alphabet[alphabet.index(body[-1]) ^ 1] + text[len(body) :]
        with pytest.raises(EnvelopeError):
            _open(from_text(stray))
        if text.endswith("="):
            assert base64.b64decode(stray, validate=True) == base64.b64decode(text)
            with pytest.raises(MalformedEnvelopeError):
                from_text(stray)
