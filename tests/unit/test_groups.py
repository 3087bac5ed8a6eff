"""Group sessions: epochs, limits, and what a hostile member or server can send (section 9)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from security_model import not_promised
from strategies import ordinary

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.crypto import primitives as p
from encrypted_parse.envelope import protobuf
from encrypted_parse.envelope.groups import (
    MAX_GROUP_PLAINTEXT_BYTES,
    MAX_TICKETS,
    _derive,
    _pad,
)
from encrypted_parse.errors import (
    EnvelopeError,
    KeyFormatError,
    MalformedEnvelopeError,
    PlaintextTooLongError,
    TamperedEnvelopeError,
    UnknownEpochError,
)

ALICE, BOB = vc.generate_key_pair(), vc.generate_key_pair()
GROUP = vc.create_group_session("our lunch group")
SESSION_ID, EPOCH, SALT = 1, 2, 3


def _read(message: bytes, group: vc.GroupSession = GROUP) -> bytes:
    return group.decrypt(message, ALICE.public_key)


def _parts(message: bytes) -> tuple[bytes, bytes, bytes]:
    regular = protobuf.decode(protobuf.decode(message)[3])
    return regular[1], regular[2], regular[3]


def _message(header: bytes, signature: bytes, ciphertext: bytes) -> bytes:
    return protobuf.encode({1: 0, 3: protobuf.encode({1: header, 2: signature, 3: ciphertext})})


def _forge(header: bytes, padded: bytes) -> bytes:
    """Write what a member can: it holds the ticket, and signs with its own key (here alice's)."""
    salt = protobuf.decode(header)[SALT]
    key, nonce = _derive(GROUP.newest, salt)
    ciphertext = p.gcm_encrypt(key, nonce, padded, header)
    return _message(header, ALICE.private_key.sign(ciphertext), ciphertext)


@pytest.mark.parametrize("size", [0, 1, 155, 156, 157, 316, MAX_GROUP_PLAINTEXT_BYTES])
def test_round_trip(size: int) -> None:
    """Every member reads; lengths show in frames of 160 only."""
    message = GROUP.encrypt(bytes(size), ALICE.private_key)
    assert _read(message) == bytes(size)
    ciphertext = _parts(message)[2]
    assert (len(ciphertext) - p.GCM_TAG_BYTES) % 160 == 0


def test_limits() -> None:
    """The limit that E3Kit's readers have is ours, and the error says so."""
    with pytest.raises(PlaintextTooLongError, match="29915") as caught:
        GROUP.encrypt(bytes(MAX_GROUP_PLAINTEXT_BYTES + 1), ALICE.private_key)
    assert caught.value.limit_bytes == 29_915
    with pytest.raises(KeyFormatError):
        GROUP.encrypt(b"", vc.generate_key_pair(vc.KeyType.CURVE25519).private_key)
    for short in ("123456789", b"123456789", ""):
        with pytest.raises(EnvelopeError, match="10 bytes"):
            vc.create_group_session(short)
    assert vc.group_session_id("äöüßé") == vc.group_session_id("äöüßé".encode())
    with pytest.raises(MalformedEnvelopeError):
        _read(bytes(40_000))


def test_epochs() -> None:
    """A new epoch's messages are read with its ticket alone; older ones stay readable."""
    second = GROUP.with_new_epoch()
    assert (GROUP.epochs, second.epochs) == ((0,), (0, 1))
    assert second.newest.key != GROUP.newest.key
    old, new = (group.encrypt(b"hello", ALICE.private_key) for group in (GROUP, second))
    assert _read(old, second) == _read(new, second) == b"hello"
    with pytest.raises(UnknownEpochError) as caught:
        _read(new)
    assert caught.value.epoch == 1
    outsider = vc.GroupSession([second.newest])
    with pytest.raises(UnknownEpochError):
        _read(old, outsider)


def test_the_newest_tickets_are_kept() -> None:
    """Fifty, whatever their order; numbers may have gaps and end at 2^32 - 1."""
    tickets = [vc.GroupTicket(GROUP.session_id, epoch, bytes(32)) for epoch in range(60)]
    session = vc.GroupSession(reversed(tickets))
    assert session.epochs == tuple(range(10, 60))
    assert len(session.to_tickets()) == MAX_TICKETS
    last = vc.GroupTicket(GROUP.session_id, 2**32 - 1, bytes(32))
    assert vc.GroupTicket.from_bytes(last.to_bytes()) == last
    with pytest.raises(EnvelopeError, match="used up"):
        vc.GroupSession([last]).with_new_epoch()


def test_tickets_that_do_not_belong_together() -> None:
    """No ticket, two of one epoch, or two groups make no session."""
    ticket = GROUP.newest
    other = vc.create_group_session("another group").newest
    again = vc.GroupTicket(ticket.session_id, ticket.epoch, bytes(32))
    for tickets in ([], [ticket, other], [ticket, again], [ticket, ticket]):
        with pytest.raises(MalformedEnvelopeError):
            vc.GroupSession(tickets)


def test_a_ticket_is_no_message_and_the_reverse() -> None:
    """One passed as the other is refused (npm's module aborts, section 11, item 7)."""
    message = GROUP.encrypt(b"hello", ALICE.private_key)
    with pytest.raises(MalformedEnvelopeError):
        vc.GroupTicket.from_bytes(message)
    with pytest.raises(MalformedEnvelopeError):
        _read(GROUP.to_tickets()[0])


def test_every_flipped_bit() -> None:
    """No byte of a message can change: header, salt, signature and ciphertext are all bound."""
    message = GROUP.encrypt(b"hello", ALICE.private_key)
    accepted = []
    for place, bit in itertools.product(range(len(message)), range(8)):
        changed = bytearray(message)
        changed[place] ^= 1 << bit
        try:
            assert _read(bytes(changed)) == b"hello"
        except EnvelopeError:
            continue
        accepted.append(place)
    # The version's value is ignored by every reader; a varint of it has seven bits.
    assert set(accepted) == {1}


def test_cut_and_extended_messages() -> None:
    """Neither less nor more is a message."""
    message = GROUP.encrypt(b"hello", ALICE.private_key)
    for end in range(len(message)):
        with pytest.raises(EnvelopeError):
            _read(message[:end])
    for tail in (b"\0", message, b"\x08\x00"):
        with pytest.raises(EnvelopeError):
            _read(message + tail)


def test_messages_of_another_group() -> None:
    """The session id is compared, and bound by the tag."""
    other = vc.create_group_session("another group")
    message = other.encrypt(b"hello", ALICE.private_key)
    with pytest.raises(MalformedEnvelopeError, match="another group"):
        _read(message)
    header, signature, ciphertext = _parts(message)
    renamed = {**protobuf.decode(header), SESSION_ID: GROUP.session_id}
    with pytest.raises(TamperedEnvelopeError):
        _read(_message(protobuf.encode(renamed), signature, ciphertext))


def test_another_sender() -> None:
    """A member cannot pass off its own message as another's."""
    message = GROUP.encrypt(b"hello", BOB.private_key)
    with pytest.raises(TamperedEnvelopeError, match="signature"):
        _read(message)
    header, signature, ciphertext = _parts(message)
    for wrong in (bytes(64), signature[:-1], signature + b"\0", b""):
        with pytest.raises(EnvelopeError):
            _read(_message(header, wrong, ciphertext))


def test_a_header_with_room_for_more() -> None:
    """A header is its canonical encoding: no unknown field, other order or long varint in it."""
    header = _parts(GROUP.encrypt(b"hello", ALICE.private_key))[0]
    fields = protobuf.decode(header)
    assert _read(_forge(header, _pad(b"mine"))) == b"mine"  # the forging itself is right
    for changed in (
        header + protobuf.encode({4: b"room"}),
        protobuf.encode(dict(reversed(fields.items()))),
        header.replace(b"\x10\x00", b"\x10\x80\x00", 1),
        header + header,
    ):
        with pytest.raises(MalformedEnvelopeError):
            _read(_forge_raw(changed, fields[SALT]))


def _forge_raw(header: bytes, salt: bytes) -> bytes:
    key, nonce = _derive(GROUP.newest, salt)
    ciphertext = p.gcm_encrypt(key, nonce, _pad(b"mine"), header)
    return _message(header, ALICE.private_key.sign(ciphertext), ciphertext)


def test_malformed_padding() -> None:
    """A length that leaves no room for padding is refused, though a member signed it."""
    header = _parts(GROUP.encrypt(b"", ALICE.private_key))[0]
    for padded in (
        bytes(156) + (156).to_bytes(4, "little"),
        bytes(156) + (2**32 - 1).to_bytes(4, "little"),
        b"",
        bytes(3),
        bytes(4),
    ):
        with pytest.raises(TamperedEnvelopeError):
            _read(_forge(header, padded))
    assert _read(_forge(header, bytes(156) + (155).to_bytes(4, "little"))) == bytes(155)


def test_what_a_group_message_does_not_promise() -> None:
    """The same message twice is two genuine messages; section 11, item 9."""
    message = GROUP.encrypt(b"hello", ALICE.private_key)
    assert _read(message) == _read(message)
    assert not_promised("replay a group message")
    assert not_promised("no forward secrecy within an epoch")
    assert not_promised("read older epochs")


@ordinary
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x08\x00", b"\x08\x00\x1a", b"\x08\x00\x12F"])
)
def test_noise(noise: bytes, start: bytes) -> None:
    """Noise is neither a message nor a ticket."""
    with pytest.raises(EnvelopeError):
        _read(start + noise)
    try:
        ticket = vc.GroupTicket.from_bytes(start + noise)
    except MalformedEnvelopeError:
        return
    assert vc.GroupTicket.from_bytes(ticket.to_bytes()) == ticket


# --- the encoding ---------------------------------------------------------------------------

NUMBERS = st.integers(0, 2**64 - 1)


@ordinary
@given(st.dictionaries(st.integers(1, 2**29 - 1), NUMBERS | st.binary(max_size=40), max_size=6))
def test_fields_are_read_back(fields: dict[int, int | bytes]) -> None:
    """What is written is read, in its order."""
    assert list(protobuf.decode(protobuf.encode(fields)).items()) == list(fields.items())


def test_unknown_fields_are_skipped() -> None:
    """Fixed-width and later fields do not disturb; groups and repetitions are refused."""
    message = GROUP.encrypt(b"hello", ALICE.private_key)
    for extra in ("7901020304050607 08", "7d01020304", "780f", "7a03616263"):
        assert _read(message + bytes.fromhex(extra)) == b"hello"
    for wrong in ("7b", "7c", "7e", "7f", "79010203", "7d0102", "7a05616263", "78", "00", "0000"):
        with pytest.raises(MalformedEnvelopeError):
            _read(message + bytes.fromhex(wrong))


@pytest.mark.parametrize("wrong", ["08" + "80" * 10 + "01", "08" + "ff" * 9 + "02", "0880", ""])
def test_numbers_beyond_64_bits(wrong: str) -> None:
    """A number that never ends, or is too large, is refused."""
    with pytest.raises(MalformedEnvelopeError):
        _read(bytes.fromhex(wrong))
