"""The short cuts, held to the long way: frames to the DER codec, points to the map."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from strategies import ordinary, private_keys, readers

from encrypted_parse.crypto import EphemeralKey, KeyType, PrivateKey, der
from encrypted_parse.crypto.keys import (
    edwards_to_montgomery,
    edwards_to_montgomery_all,
    montgomery_to_edwards,
)
from encrypted_parse.envelope import (
    Header,
    asn1,
    decrypt_and_verify,
    decrypt_and_verify_all,
    sign_and_encrypt,
)
from encrypted_parse.envelope.header import _encode_header, _interpret, _match_usual, build_header
from encrypted_parse.envelope.signed import _encode_footer, _footer_frame, _read_footer
from encrypted_parse.envelope.stanza import Stanza, StanzaWriter, WrappedContentKey
from encrypted_parse.errors import (
    EncryptedParseError,
    KeyFormatError,
    NotARecipientError,
    NotSignedError,
    TamperedEnvelopeError,
)

P = 2**255 - 19
ALICE, BOB = PrivateKey.generate(), PrivateKey.generate()
SEEDS = st.binary(min_size=32, max_size=32)


# --- frames ---------------------------------------------------------------------------------


def _octets(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


@ordinary
@given(_octets(8), _octets(64))
def test_footers(signer_id: bytes, signature: bytes) -> None:
    """A filled footer is the encoder's, and a matched one is what the decoder reads."""
    encoded = _encode_footer(signer_id, signature)
    frame = _footer_frame(8)
    assert frame.fill(signer_id, signature) == encoded
    assert frame.match(encoded) == [signer_id, signature] == list(_read_footer(encoded))


@ordinary
@given(readers(max_size=4), st.booleans(), SEEDS)
def test_stanzas(keys: list[PrivateKey], long_id: bool, content_key: bytes) -> None:
    """A stanza from the frame is read by the decoder alike, and encodes again to the same bytes."""
    writer = StanzaWriter(content_key)
    for key in keys:
        encoded = writer.wrap(key.public_key, long_id=long_id)
        parsed = der.decode_der(asn1.RecipientInfo, encoded)
        assert der.encode_der(parsed) == encoded
        stanza = Stanza.read(encoded)
        assert stanza == Stanza._interpret(parsed)
        assert stanza is not None
        usual = WrappedContentKey.read(stanza, key)
        long_way = WrappedContentKey._interpret(
            der.decode_der(asn1.KeyEnvelope, stanza.envelope), key
        )
        for name in WrappedContentKey.__slots__:
            assert getattr(usual, name) == getattr(long_way, name)
        assert usual.open() == long_way.open() == content_key


@ordinary
@given(readers(max_size=6), st.integers(1, 40), st.booleans(), _octets(12))
def test_headers(keys: list[PrivateKey], frames: int, padded: bool, nonce: bytes) -> None:
    """A header from the frame is the encoder's; what is matched is what the decoder reads."""
    writer, size = StanzaWriter(bytes(32)), 160 * frames
    stanzas = [writer.wrap(key.public_key) for key in keys]
    encoded = build_header(stanzas, nonce, data_size=size, padded=padded)
    assert encoded == _encode_header(b"".join(sorted(stanzas)), nonce, size, padded, ())
    matched, read = _match_usual(encoded, size + 129), _interpret(encoded)
    assert (matched is not None) == padded
    for header in (matched, read) if matched is not None else (read,):
        assert (header.nonce, header.data_size, header.padded) == (nonce, size, padded)
        assert (header.params, header.derives_keys, header.digest) == ((), True, "sha512")
        assert list(header.stanzas()) == [Stanza.read(entry) for entry in sorted(stanzas)]
        assert header.to_bytes() == encoded


@ordinary
@given(st.data())
def test_damaged_headers_are_read_alike(data: st.DataObject) -> None:
    """Where a byte differs, the short way and the long way say the same, or both refuse."""
    envelope = bytearray(sign_and_encrypt(b"x", signer=ALICE, recipients=[BOB.public_key]))
    length = Header.from_bytes(bytes(envelope)).length
    place = data.draw(st.integers(0, length - 1))
    envelope[place] ^= data.draw(st.integers(1, 255))
    encoded, rest = bytes(envelope[:length]), len(envelope) - length
    matched = _match_usual(encoded, rest)
    if matched is None:
        return
    read = _interpret(encoded)
    assert (matched.nonce, matched.data_size) == (read.nonce, read.data_size)

    def ids(header: Header) -> tuple[bytes, ...] | str:
        try:
            return header.recipient_ids()
        except EncryptedParseError as error:
            return type(error).__name__

    assert ids(matched) == ids(read)


def test_a_hole_is_found_behind_octets_like_its_own() -> None:
    """A frame's markers are not found too early, whatever stands before a hole."""
    for size in (3, 8, 160, 0xA0E0):
        frame = der.Frame(lambda hole: b"\xe0\xa0\xe0" + hole + b"\xa0", size)
        filled = frame.fill(b"h" * size)
        assert filled == b"\xe0\xa0\xe0" + b"h" * size + b"\xa0"
        assert frame.match(filled) == [b"h" * size]
        assert frame.match(filled + b"x") is None
        assert frame.match(filled[:-1] + b"x") is None


# --- points ---------------------------------------------------------------------------------


@ordinary
@given(SEEDS, st.integers(0, 1))
def test_ephemeral_points(seed: bytes, sign: int) -> None:
    """The point is a valid Ed25519 point of either sign whose image is the X25519 public key."""
    key = EphemeralKey(KeyType.ED25519, lambda count: seed if count == 32 else bytes([sign]))
    assert key.point[31] >> 7 == sign
    Ed25519PublicKey.from_public_bytes(key.point)
    u = EphemeralKey(KeyType.CURVE25519, lambda _: seed).point
    assert edwards_to_montgomery(key.point) == u
    assert montgomery_to_edwards(u, sign=sign) == key.point


@ordinary
@given(private_keys(*KeyType), SEEDS)
def test_both_sides_agree(reader: PrivateKey, seed: bytes) -> None:
    """Writer and reader get one secret, whichever sign the point has."""
    secrets = set()
    for sign in (0, 1):
        key = EphemeralKey(
            reader.key_type, lambda count, sign=sign: seed if count == 32 else bytes([sign])
        )
        secrets |= {key.exchange(reader.public_key), reader.exchange(key.point)}
    assert len(secrets) == 1


@ordinary
@given(private_keys())
def test_ordinary_points_map_back(key: PrivateKey) -> None:
    """The map and its inverse undo each other for points that Ed25519 made."""
    point = key.public_key.raw
    assert montgomery_to_edwards(edwards_to_montgomery(point), sign=point[31] >> 7) == point


def test_the_inverse_map_has_no_value_at_minus_one() -> None:
    """The denominator is checked before it is inverted."""
    with pytest.raises(KeyFormatError):
        montgomery_to_edwards((P - 1).to_bytes(32, "little"), sign=0)


def test_points_on_the_curve_are_what_opens() -> None:
    """What `cryptography` takes for a curve point is what 200 ephemeral keys make."""
    for _ in range(200):
        Ed25519PublicKey.from_public_bytes(EphemeralKey(KeyType.ED25519).point)


@ordinary
@given(st.lists(st.binary(min_size=32, max_size=32), max_size=12))
def test_many_points_at_once(points: list[bytes]) -> None:
    """Mapped together is mapped one by one; what has no image is left out."""
    points += [number.to_bytes(32, "little") for number in (1, P + 1, 1 | 1 << 255, 0, P - 1)]
    expected = {}
    for point in points:
        try:
            expected[point] = edwards_to_montgomery(point)
        except KeyFormatError:
            continue
    assert edwards_to_montgomery_all(points) == expected
    assert edwards_to_montgomery_all([]) == {}


def test_many_envelopes_at_once() -> None:
    """Each envelope gives its plaintext or its own error, in order; one bad one harms none."""
    curve = PrivateKey.generate(KeyType.CURVE25519)
    good = [
        sign_and_encrypt(b"%d" % number, signer=ALICE, recipients=[BOB.public_key])
        for number in range(5)
    ]
    for_curve = sign_and_encrypt(b"curve", signer=ALICE, recipients=[curve.public_key])
    stranger = sign_and_encrypt(b"x", signer=ALICE, recipients=[ALICE.public_key])
    start = good[0].index(b"\x06\x03\x2b\x65\x70\x03\x21\x00") + 8
    small_order = good[0][:start] + b"\x01" + bytes(31) + good[0][start + 32 :]
    page = [good[0], b"", good[1], good[2][:-1], stranger, small_order, for_curve, *good[3:]]
    opened = decrypt_and_verify_all(page, identities=[BOB, curve], signers=[ALICE.public_key])
    assert [item if isinstance(item, bytes) else type(item) for item in opened] == [
        b"0",
        type(_error(b"")),
        b"1",
        TamperedEnvelopeError,
        NotARecipientError,
        TamperedEnvelopeError,
        b"curve",
        b"3",
        b"4",
    ]
    assert decrypt_and_verify_all([], identities=[BOB], signers=[]) == []


def _error(envelope: bytes) -> EncryptedParseError:
    with pytest.raises(EncryptedParseError) as caught:
        decrypt_and_verify(envelope, identities=[BOB], signers=[ALICE.public_key])
    assert not isinstance(caught.value, NotSignedError)
    return caught.value
