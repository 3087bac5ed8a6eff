"""Section 11 of the wire format, item by item, as far as it concerns the signed form (5.3).

Every attack runs through all three readers of that form. The attacker holds every public key and
every envelope; where a test says "recipient", also that recipient's private key. What is not
prevented is asserted too, beside the place that says so.
"""

from __future__ import annotations

import functools

import pytest
import three_readers
from forgery import Opened, open_up, split, stanzas_of, swap_stanzas
from security_model import not_promised

from encrypted_parse.crypto import KeyType, PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.envelope import (
    asn1,
    encrypt,
    sign,
    sign_and_encrypt,
    sign_then_encrypt,
    sign_then_encrypt_detached,
)
from encrypted_parse.envelope.header import (
    OLD_SIGNATURE_PARAM,
    OLD_SIGNER_PARAM,
    Header,
    build_header,
)
from encrypted_parse.envelope.signed import (
    MAX_FOOTER_BYTES,
    KeySchedule,
    body_associated_data,
    build_footer,
)
from encrypted_parse.envelope.stanza import MAX_RECIPIENTS, StanzaWriter
from encrypted_parse.errors import (
    EnvelopeError,
    KeyFormatError,
    MalformedEnvelopeError,
    NotARecipientError,
    NotSignedError,
    SignerNotFoundError,
    TamperedEnvelopeError,
)

P = 2**255 - 19
ORDER_8 = int("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)

ALICE, BOB, CAROL, MALLORY = (PrivateKey.generate() for _ in range(4))


def _write(
    plaintext: bytes = b"Lunch at noon?", *readers: PrivateKey, signer: PrivateKey = ALICE
) -> bytes:
    recipients = [reader.public_key for reader in readers or (BOB,)]
    return sign_and_encrypt(plaintext, signer=signer, recipients=recipients)


@pytest.fixture(params=three_readers.SIGNED)
def reader(request: pytest.FixtureRequest) -> three_readers.Reader:
    """Give each reader of the signed form in turn."""
    return three_readers.SIGNED[request.param]


class Read:
    """Reads as bob what alice wrote, unless told otherwise."""

    def __init__(self, by: three_readers.Reader) -> None:
        self._by = by

    def __call__(
        self, envelope: bytes, reader: PrivateKey = BOB, signer: PrivateKey = ALICE
    ) -> bytes:
        """Return the plaintext, or raise."""
        return self._by(envelope, [reader], [signer.public_key])


@pytest.fixture
def read(reader: three_readers.Reader) -> Read:
    """Give the short form of `reader`."""
    return Read(reader)


# --- the table: which field is protected by what --------------------------------------------


def test_body_of_another_envelope(read: Read) -> None:
    """Swapping the bodies of two envelopes of the same author and reader breaks both."""
    first, second = _write(b"yes"), _write(b"no!")
    (header_1, body_1, footer_1), (header_2, body_2, footer_2) = split(first), split(second)
    for spliced in (header_1 + body_2 + footer_1, header_2 + body_1 + footer_2):
        with pytest.raises(TamperedEnvelopeError):
            read(spliced)


def test_footer_of_another_envelope(read: Read) -> None:
    """A footer cannot be moved, not even between envelopes of one and the same plaintext."""
    first, second = _write(), _write()
    header, body, _ = split(first)
    with pytest.raises(TamperedEnvelopeError):
        read(header + body + split(second)[2])


def test_body_and_footer_of_another_envelope(read: Read) -> None:
    """Body and footer belong to the content key in the header."""
    header, _, _ = split(_write(b"yes"))
    _, body, footer = split(_write(b"no!"))
    with pytest.raises(TamperedEnvelopeError):
        read(header + body + footer)


def test_dropped_recipient(read: Read) -> None:
    """Anybody can cut a reader out; that reader is told so, and the others read the same."""
    envelope = _write(b"for both", BOB, CAROL)
    kept = [s for s in stanzas_of(envelope) if BOB.public_key.key_id in s]
    less = swap_stanzas(envelope, kept)
    with pytest.raises(NotARecipientError):
        read(less, CAROL)
    assert read(less, BOB) == b"for both"
    assert not_promised("drop stanzas")


def test_added_recipient_by_an_outsider(read: Read) -> None:
    """Without the content key an added stanza opens nothing."""
    envelope = _write(b"for bob")
    useless = StanzaWriter(bytes(32)).wrap(MALLORY.public_key)
    with pytest.raises(TamperedEnvelopeError):
        read(swap_stanzas(envelope, [*stanzas_of(envelope), useless]), MALLORY)


def test_added_recipient_with_anothers_stanza(read: Read) -> None:
    """A reader's stanza under one's own identifier does not open."""
    envelope = _write(b"for bob")
    (stanza,) = stanzas_of(envelope)
    renamed = stanza.replace(BOB.public_key.key_id, MALLORY.public_key.key_id)
    with pytest.raises(TamperedEnvelopeError):
        read(swap_stanzas(envelope, [renamed]), MALLORY)


def test_added_recipient_by_a_recipient(read: Read) -> None:
    """Not prevented: a recipient can add readers, who see what the author wrote."""
    opened = open_up(_write(b"for bob"), BOB)
    added = StanzaWriter(opened.content_key).wrap(CAROL.public_key)
    envelope = opened.but(stanzas=(*opened.stanzas, added)).seal()
    assert read(envelope, CAROL) == read(envelope, BOB) == b"for bob"
    assert not_promised("add or drop stanzas")


def test_repeated_recipient(read: Read) -> None:
    """Only the first stanza of an identifier counts; a later good one is never tried."""
    opened = open_up(_write(), BOB)
    good = opened.stanzas[0]
    for _ in range(20):  # the set is sorted by what is random in the stanzas
        bad = StanzaWriter(bytes(32)).wrap(BOB.public_key)
        envelope = opened.but(stanzas=(bad, good)).seal()
        if min(bad, good) == good:
            assert read(envelope) == b"Lunch at noon?"
        else:
            with pytest.raises(TamperedEnvelopeError):
                read(envelope)


def test_reordered_recipients(read: Read) -> None:
    """Order carries no meaning: an unsorted set opens for all."""
    envelope = _write(b"for both", BOB, CAROL)
    first, second = stanzas_of(envelope)
    swapped = envelope.replace(first + second, second + first)
    assert swapped != envelope
    header = Header.from_bytes(swapped)
    assert header.to_bytes() == swapped[: header.length]
    assert read(swapped, BOB) == read(swapped, CAROL) == b"for both"


def test_added_custom_parameters(read: Read) -> None:
    """Custom parameters are outside of every check; nothing that is returned depends on them."""
    opened = open_up(_write(), BOB)
    value = der.Variant(b"anything", "bytes")
    envelope = opened.but(params=(asn1.CustomParam(key="note", value=value),)).seal()
    assert Header.from_bytes(envelope).param("note") is not None
    assert read(envelope) == b"Lunch at noon?"
    assert not_promised("custom parameters can be altered")


def test_old_signature_beside_the_new(read: Read) -> None:
    """An old form's signature parameter does not replace the footer's signer."""
    opened = open_up(_write(signer=MALLORY), BOB)
    params = (
        asn1.CustomParam(
            key=OLD_SIGNATURE_PARAM,
            value=der.Variant(sign(b"Lunch at noon?", ALICE), "bytes"),
        ),
        asn1.CustomParam(key=OLD_SIGNER_PARAM, value=der.Variant(ALICE.public_key.key_id, "bytes")),
    )
    with pytest.raises(SignerNotFoundError):
        read(opened.but(params=params).seal())


def test_altered_nonce(read: Read) -> None:
    """The header's nonce, which peers ignore, must be the derived one."""
    envelope = _write()
    nonce = Header.from_bytes(envelope).nonce
    with pytest.raises(TamperedEnvelopeError, match="header was altered"):
        read(envelope.replace(nonce, bytes(12)))


def test_stripped_padding_field(read: Read) -> None:
    """Removing the padding field makes padding part of the plaintext; the signature objects."""
    opened = open_up(_write(), BOB)
    assert opened.padded
    with pytest.raises(TamperedEnvelopeError):
        read(opened.but(padded=False).seal())


def test_added_padding_field(read: Read) -> None:
    """Declaring padding where there is none cuts nothing off unnoticed."""
    plaintext = b"pay 100 to carol" + (5).to_bytes(4, "little")
    opened = open_up(
        sign_and_encrypt(plaintext, signer=ALICE, recipients=[BOB.public_key], pad=False), BOB
    )
    with pytest.raises(TamperedEnvelopeError):
        read(opened.but(padded=True).seal())


@pytest.mark.parametrize("change", [-1, 1, 113, -160])
def test_altered_data_size(read: Read, change: int) -> None:
    """Moving the border between body and footer breaks a tag."""
    envelope = _write()
    header = Header.from_bytes(envelope)
    size = header.data_size + change
    moved = build_header(stanzas_of(envelope), header.nonce, data_size=size, padded=True)
    with pytest.raises(TamperedEnvelopeError):
        read(moved + envelope[header.length :])


SIGNED_DIGEST = body_associated_data()
OTHER_DIGESTS = {"sha224": 4, "sha256": 1, "sha384": 2}


@pytest.mark.parametrize("arc", OTHER_DIGESTS.values(), ids=OTHER_DIGESTS)
def test_altered_digest(read: Read, arc: int) -> None:
    """Another digest in the header breaks the body's tag, which covers it."""
    altered = SIGNED_DIGEST[:-3] + bytes((arc,)) + SIGNED_DIGEST[-2:]
    with pytest.raises(TamperedEnvelopeError):
        read(_write().replace(SIGNED_DIGEST, altered))


@pytest.mark.parametrize("arc", [5, 0x7F], ids=["sha512-224", "unknown"])
def test_unknown_digest(reader: three_readers.Reader, arc: int) -> None:
    """A digest that the format does not allow is malformed, before any key is used."""
    altered = SIGNED_DIGEST[:-3] + bytes((arc,)) + SIGNED_DIGEST[-2:]
    envelope = _write().replace(SIGNED_DIGEST, altered)
    with pytest.raises(MalformedEnvelopeError):
        reader(envelope, [], [])


def test_digest_downgrade_by_a_recipient(read: Read) -> None:
    """A signature over one digest does not hold when a recipient declares another."""
    opened = open_up(_write(), BOB)
    altered = SIGNED_DIGEST[:-3] + b"\x01" + SIGNED_DIGEST[-2:]
    schedule = KeySchedule(opened.content_key)
    header, _, footer = split(opened.seal())
    body = p.gcm_encrypt(
        schedule.body_key, schedule.body_nonce, opened.data, body_associated_data("sha256")
    )
    with pytest.raises(TamperedEnvelopeError):
        read(header.replace(SIGNED_DIGEST, altered) + body + footer)


def test_signer_is_not_visible() -> None:
    """The signer's identifier and signature stand in the encrypted footer only."""
    envelope = _write()
    assert ALICE.public_key.key_id in open_up(envelope, BOB).footer
    assert ALICE.public_key.key_id not in envelope
    assert ALICE.public_key.to_bytes() not in envelope


# --- 1: no test for the plaintext -----------------------------------------------------------


def test_guesses_cannot_be_confirmed() -> None:
    """Unlike the old form, an envelope shows no signature that a guess could be tried on."""
    envelope = _write(b"yes")
    assert sign(b"yes", ALICE)[-64:] not in envelope
    assert Header.from_bytes(envelope).params == ()
    assert len(envelope) == len(_write(b"no"))


# --- 2: authorship --------------------------------------------------------------------------


def test_recipient_writes_another_body(read: Read) -> None:
    """A recipient that seals another text under the shared key fails the author's signature."""
    opened = open_up(_write(b"pay 1"), BOB)
    forged = opened.but(data=b"pay 9", padded=False)
    with pytest.raises(TamperedEnvelopeError, match="signature does not hold"):
        read(forged.seal())


def test_recipient_claims_authorship(read: Read) -> None:
    """A recipient can sign what the author wrote, but under its own name only."""
    opened = open_up(_write(b"my idea"), BOB)
    stolen = opened.but(footer=build_footer(p.digest(b"my idea"), MALLORY)).seal()
    with pytest.raises(SignerNotFoundError):
        read(stolen)
    assert read(stolen, signer=MALLORY) == b"my idea"


def test_recipient_signs_in_the_authors_name(read: Read) -> None:
    """The author's identifier over another key's signature does not hold."""
    opened = open_up(_write(b"pay 1"), BOB)
    footer = build_footer(p.digest(b"pay 9"), MALLORY)
    footer = footer.replace(MALLORY.public_key.key_id, ALICE.public_key.key_id)
    with pytest.raises(TamperedEnvelopeError, match="signature does not hold"):
        read(opened.but(data=b"pay 9", padded=False, footer=footer).seal())


def _footer(*signers: PrivateKey, text: bytes, version: int = 0) -> bytes:
    entries = []
    for signer in signers:
        info = asn1.WrittenSignerInfo(
            version=0,
            signer_id=signer.public_key.key_id,
            algorithm=asn1.BareAlgorithm(algorithm=asn1.ED25519),
            signature=signer.sign(p.digest(text)),
        )
        entries.append(der.encode_der(info))
    holder = asn1.SetHolder(set_of=der.set_of(entries))
    return der.encode_der(asn1.Footer(version=version, signers=holder))


def test_footer_with_no_signer(read: Read) -> None:
    """An empty set of signers is not a signature."""
    opened = open_up(_write(), BOB)
    with pytest.raises(NotSignedError):
        read(opened.but(footer=_footer(text=b"")).seal())


def test_footer_without_a_set_of_signers(read: Read) -> None:
    """A footer that leaves the set out is malformed."""
    opened = open_up(_write(), BOB)
    footer = der.encode_der(asn1.Footer(version=0, signers=None))
    with pytest.raises(TamperedEnvelopeError):
        read(opened.but(footer=footer).seal())


@pytest.mark.parametrize("footer", [b"", b"\x30\x00", b"\x00" * 97, b"\x30\x80\x00\x00"])
def test_footer_that_is_no_der(read: Read, footer: bytes) -> None:
    """A recipient's malformed footer is one of our errors."""
    with pytest.raises(TamperedEnvelopeError):
        read(open_up(_write(), BOB).but(footer=footer).seal())


def test_footer_of_another_version(read: Read) -> None:
    """Only version 0 is understood."""
    footer = _footer(ALICE, text=b"Lunch at noon?", version=1)
    with pytest.raises(TamperedEnvelopeError):
        read(open_up(_write(), BOB).but(footer=footer).seal())


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"algorithm": asn1.BareAlgorithm(algorithm=asn1.X25519)},
        {"signature": bytes(63)},
        {"signature": b""},
    ],
    ids=["version", "algorithm", "short signature", "no signature"],
)
def test_signer_entry_of_another_kind(read: Read, change: dict[str, object]) -> None:
    """The author's entry must be of version 0, Ed25519 and 64 bytes, beside a good signature."""
    fields = {
        "version": 0,
        "signer_id": ALICE.public_key.key_id,
        "algorithm": asn1.BareAlgorithm(algorithm=asn1.ED25519),
        "signature": ALICE.sign(p.digest(b"Lunch at noon?")),
    }
    info = der.encode_der(asn1.WrittenSignerInfo(**fields | change))
    holder = asn1.SetHolder(set_of=der.set_of([info]))
    footer = der.encode_der(asn1.Footer(version=0, signers=holder))
    with pytest.raises(TamperedEnvelopeError, match="footer is malformed"):
        read(open_up(_write(), BOB).but(footer=footer).seal())


def _footer_of(sealed_bytes: int) -> bytes:
    """Return alice's good footer, followed by an entry that makes it so long once encrypted."""
    good = der.decode_der(asn1.Footer, _footer(ALICE, text=b"Lunch at noon?"))
    entries = list(der.encoded_members(good.signers.set_of))

    def with_second_entry(id_bytes: int) -> bytes:
        second = asn1.WrittenSignerInfo(
            version=0,
            signer_id=bytes(id_bytes),
            algorithm=asn1.BareAlgorithm(algorithm=asn1.ED25519),
            signature=bytes(64),
        )
        holder = asn1.SetHolder(set_of=der.set_of([*entries, der.encode_der(second)]))
        return der.encode_der(asn1.Footer(version=0, signers=holder))

    guess = sealed_bytes - 300
    off_by = sealed_bytes - p.GCM_TAG_BYTES - len(with_second_entry(guess))
    return with_second_entry(guess + off_by)


@pytest.mark.parametrize("more", [0, 1, 4096])
def test_footer_that_is_too_long(read: Read, more: int) -> None:
    """A footer of 64 KiB is read by all readers, a longer one by none, however well signed."""
    envelope = open_up(_write(), BOB).but(footer=_footer_of(MAX_FOOTER_BYTES + more)).seal()
    assert len(split(envelope)[2]) == 64 * 1024 + more
    if not more:
        assert read(envelope) == b"Lunch at noon?"
        return
    with pytest.raises(TamperedEnvelopeError, match="footer is too long"):
        read(envelope)


@pytest.mark.parametrize("id_bytes", [0, 1, 7, 9, 31])
def test_part_of_an_identifier_names_nobody(read: Read, id_bytes: int) -> None:
    """A signer's identifier is compared whole."""
    info = asn1.WrittenSignerInfo(
        version=0,
        signer_id=ALICE.public_key.long_key_id[:id_bytes],
        algorithm=asn1.BareAlgorithm(algorithm=asn1.ED25519),
        signature=ALICE.sign(p.digest(b"Lunch at noon?")),
    )
    holder = asn1.SetHolder(set_of=der.set_of([der.encode_der(info)]))
    footer = der.encode_der(asn1.Footer(version=0, signers=holder))
    with pytest.raises(SignerNotFoundError):
        read(open_up(_write(), BOB).but(footer=footer).seal())


def test_second_signer_does_not_count(read: Read) -> None:
    """Of several signers the first in encoded order counts, and no other."""
    text = b"Lunch at noon?"
    first, second = sorted((ALICE, MALLORY), key=lambda key: key.public_key.key_id)
    envelope = open_up(_write(text), BOB).but(footer=_footer(first, second, text=text)).seal()
    assert read(envelope, signer=first) == text
    with pytest.raises(SignerNotFoundError):
        read(envelope, signer=second)


# --- 3: no binding to readers, time or purpose ----------------------------------------------


def test_forwarded_footer(read: Read) -> None:
    """Not prevented: a recipient re-targets the author's footer to a third party."""
    opened = open_up(_write(b"only between us", BOB), BOB)
    fresh = opened.but(content_key=bytes(range(32)))
    forwarded = fresh.for_readers(CAROL.public_key).seal()
    assert read(forwarded, CAROL) == b"only between us"
    assert not_promised("forward")


def test_replay(read: Read) -> None:
    """Not prevented: an envelope opens any number of times, anywhere."""
    envelope = _write(b"yes")
    assert read(envelope) == read(envelope) == b"yes"
    assert not_promised("replay")


def test_detached_signature_becomes_an_envelope(read: Read) -> None:
    """Not prevented: whoever has a text and its detached signature can send both as a value."""
    snapshot = b'{"identity":"alice"}'
    published = sign(snapshot, ALICE)
    footer = build_footer(p.digest(b""), ALICE)
    footer = footer[:-64] + published[-64:]
    blank = Opened(bytes(32), (), snapshot, footer, padded=False)
    assert read(blank.for_readers(BOB.public_key).seal()) == snapshot


# --- 4: the key envelope --------------------------------------------------------------------


def _with_ephemeral(envelope: bytes, point: bytes) -> bytes:
    (stanza,) = stanzas_of(envelope)
    prefix = KeyType.ED25519.public_prefix
    start = stanza.index(prefix) + len(prefix)
    return swap_stanzas(envelope, [stanza[:start] + point + stanza[start + 32 :]])


SMALL_ORDER = {
    "y=0": 0,
    "y=1": 1,
    "y=p-1": P - 1,
    "y=p": P,
    "y=p+1": P + 1,
    "order 8": ORDER_8,
    "order 8, other": P - ORDER_8,
}


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize("y", SMALL_ORDER.values(), ids=SMALL_ORDER)
def test_small_order_ephemeral_points(read: Read, y: int, sign_bit: int) -> None:
    """Points that would make the shared secret zero for everybody are refused."""
    point = (y | sign_bit << 255).to_bytes(32, "little")
    with pytest.raises(TamperedEnvelopeError, match="unusable"):
        read(_with_ephemeral(_write(), point))


@pytest.mark.parametrize("u", [0, 1, P - 1, P, P + 1])
def test_small_order_ephemeral_points_of_curve25519(read: Read, u: int) -> None:
    """The same for a reader whose key is a Curve25519 key."""
    reader = PrivateKey.generate(KeyType.CURVE25519)
    envelope = _write(b"x", reader)
    (stanza,) = stanzas_of(envelope)
    prefix = KeyType.CURVE25519.public_prefix
    start = stanza.index(prefix) + len(prefix)
    stanza = stanza[:start] + u.to_bytes(32, "little") + stanza[start + 32 :]
    with pytest.raises(TamperedEnvelopeError, match="unusable"):
        read(swap_stanzas(envelope, [stanza]), reader)


@pytest.mark.parametrize("y", SMALL_ORDER.values(), ids=SMALL_ORDER)
def test_small_order_recipients(y: int) -> None:
    """Nothing is encrypted for a key whose shared secret everybody knows."""
    weak = PublicKey(KeyType.ED25519, y.to_bytes(32, "little"))
    with pytest.raises(KeyFormatError):
        sign_and_encrypt(b"secret", signer=ALICE, recipients=[BOB.public_key, weak])


def test_ephemeral_sign_bit(read: Read) -> None:
    """Documented: the sign bit of the ephemeral point is ignored; the plaintext is the same."""
    envelope = _write()
    (stanza,) = stanzas_of(envelope)
    start = stanza.index(KeyType.ED25519.public_prefix) + len(KeyType.ED25519.public_prefix)
    point = bytearray(stanza[start : start + 32])
    point[31] ^= 0x80
    assert read(_with_ephemeral(envelope, bytes(point))) == b"Lunch at noon?"
    assert not_promised("ephemeral sign bit")


def test_iv_of_a_stanza(read: Read) -> None:
    """The IV is outside the stanza's MAC; a flipped bit gives another key, which opens nothing."""
    envelope = _write()
    (stanza,) = stanzas_of(envelope)
    iv = len(stanza) - 48 - 2 - 1
    changed = stanza[:iv] + bytes((stanza[iv] ^ 1,)) + stanza[iv + 1 :]
    with pytest.raises(TamperedEnvelopeError):
        read(swap_stanzas(envelope, [changed]))


@pytest.mark.parametrize("padding", [b"\x01" * 16, b"\x10" * 15 + b"\x11", bytes(16)])
def test_padding_of_the_content_key(read: Read, padding: bytes) -> None:
    """A well authenticated stanza whose inner padding is not one full block is refused."""
    opened = open_up(_write(), BOB)
    writer = StanzaWriter(opened.content_key)
    writer._content_key = opened.content_key + padding
    with pytest.raises(TamperedEnvelopeError):
        read(opened.but(stanzas=(writer.wrap(BOB.public_key),)).seal())


# --- keys of the wrong kind, and too many --------------------------------------------------------


def test_a_curve25519_key_signs_nothing() -> None:
    """Neither form is written with a key that cannot sign, and nothing is encrypted first."""
    mute = PrivateKey.generate(KeyType.CURVE25519)
    for write in (sign_and_encrypt, sign_then_encrypt, sign_then_encrypt_detached):
        with pytest.raises(KeyFormatError, match="cannot sign"):
            write(b"x", signer=mute, recipients=[])  # before it is noticed that nobody reads it


def test_a_curve25519_key_has_signed_nothing(read: Read) -> None:
    """An expected author whose key cannot sign is an author whose signature does not hold."""
    mute = PrivateKey.generate(KeyType.CURVE25519)
    footer = build_footer(p.digest(b"x"), MALLORY)
    footer = footer.replace(MALLORY.public_key.key_id, mute.public_key.key_id)
    forged = open_up(_write(b"x"), BOB).but(footer=footer).seal()
    with pytest.raises(TamperedEnvelopeError, match="signature does not hold"):
        read(forged, signer=mute)


@functools.cache
def _crowd() -> tuple[PublicKey, ...]:
    """Return 1,025 keys, the most recipients and one more."""
    return tuple(PrivateKey.generate().public_key for _ in range(MAX_RECIPIENTS + 1))


def test_as_many_recipients_as_are_allowed(read: Read) -> None:
    """An envelope for 1,024 readers is written and read."""
    assert MAX_RECIPIENTS == 1024  # docs/security-model.md says so
    recipients = [BOB.public_key, *_crowd()[:-2]]
    envelope = sign_and_encrypt(b"all", signer=ALICE, recipients=recipients)
    assert len(Header.from_bytes(envelope).recipient_ids()) == MAX_RECIPIENTS
    assert read(envelope) == b"all"


def test_one_recipient_too_many(read: Read) -> None:
    """One for 1,025 is neither written, in any form, nor read, in whichever encoding it comes."""
    recipients = [BOB.public_key, *_crowd()[1:]]
    assert len(recipients) == MAX_RECIPIENTS + 1
    signed = functools.partial(sign_and_encrypt, signer=ALICE)
    old = functools.partial(sign_then_encrypt, signer=ALICE)
    for write in (signed, old, encrypt):
        with pytest.raises(EnvelopeError, match="1024"):
            write(b"x", recipients=recipients)
    for padded in (True, False):
        envelope = sign_and_encrypt(b"x", signer=ALICE, recipients=recipients[:-1], pad=padded)
        opened = open_up(envelope, BOB)
        one_more = StanzaWriter(opened.content_key).wrap(recipients[-1])
        with pytest.raises(MalformedEnvelopeError):
            read(opened.but(stanzas=(*opened.stanzas, one_more)).seal())


# --- 5: identifiers collide -----------------------------------------------------------------


def _colliding(key: PrivateKey, victim: PrivateKey) -> PrivateKey:
    """Give *key* the short identifier of *victim*, as some 2^32 work could."""
    twin = PrivateKey.from_bytes(key.to_bytes())
    twin.public_key.key_id = victim.public_key.key_id
    return twin


def test_colliding_reader(read: Read) -> None:
    """A key with a reader's identifier opens nothing that was written for that reader."""
    with pytest.raises(TamperedEnvelopeError):
        read(_write(), _colliding(MALLORY, BOB))


def test_colliding_signer(read: Read) -> None:
    """A key with the author's identifier signs nothing in the author's name."""
    twin = _colliding(MALLORY, ALICE)
    assert twin.public_key != ALICE.public_key
    with pytest.raises(TamperedEnvelopeError):
        read(_write(signer=twin))


def test_colliding_recipients_are_both_named(read: Read) -> None:
    """Keys are told apart by their encoding: both get a stanza, and nobody gets another's text."""
    twin = _colliding(CAROL, BOB)
    envelope = _write(b"for both", BOB, twin)
    assert len(stanzas_of(envelope)) == 2
    outcomes = []
    for reader in (BOB, twin):
        try:
            outcomes.append(read(envelope, reader))
        except TamperedEnvelopeError:
            outcomes.append(None)  # the first stanza with the identifier is the other's
    assert sorted(outcomes, key=bool) == [None, b"for both"]


# --- 6: identifiers are visible -------------------------------------------------------------


def test_readers_are_visible() -> None:
    """Documented: recipients' identifiers can be read without any key."""
    envelope = _write(b"x", BOB, CAROL)
    visible = set(Header.from_bytes(envelope).recipient_ids())
    assert visible == {BOB.public_key.key_id, CAROL.public_key.key_id}
    assert not_promised("key identifiers stand in clear")


# --- 7: what peers take silently, or abort on -----------------------------------------------


@pytest.mark.parametrize("count", [0, 257, 1000, 2**31, 2**32 - 1])
def test_impossible_padding_count(read: Read, count: int) -> None:
    """A padding count that no writer writes is refused, though a recipient sealed it well."""
    opened = open_up(_write(b"p" * 400), BOB)
    data = opened.data[:-4] + count.to_bytes(4, "little")
    with pytest.raises(TamperedEnvelopeError, match="padding is malformed"):
        read(opened.but(data=data).seal())


@pytest.mark.parametrize("count", [1, 100, 160, 256])
def test_other_padding_count(read: Read, count: int) -> None:
    """A possible but wrong count yields another plaintext, which the signature does not cover."""
    opened = open_up(_write(b"p" * 200), BOB)
    data = opened.data[:-4] + count.to_bytes(4, "little")
    assert data != opened.data
    with pytest.raises(TamperedEnvelopeError, match="signature does not hold"):
        read(opened.but(data=data).seal())


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x01\x00\x00", b"\x01\x00\x00\x00"])
def test_padded_body_without_room_for_padding(read: Read, data: bytes) -> None:
    """A padded body shorter than its own padding is refused."""
    opened = open_up(_write(b""), BOB)
    with pytest.raises(TamperedEnvelopeError):
        read(opened.but(data=data).seal())


@pytest.mark.parametrize("length", [0, 8, 11, 13, 16])
def test_nonce_of_another_length(read: Read, length: int) -> None:
    """A nonce that is not 12 bytes long, which aborts npm, is malformed."""
    envelope = _write()
    header = Header.from_bytes(envelope)
    forged = build_header(
        stanzas_of(envelope), bytes(length), data_size=header.data_size, padded=True
    )
    with pytest.raises(MalformedEnvelopeError):
        read(forged + envelope[header.length :])


@pytest.mark.parametrize("length", [0, 1, 15, 16])
def test_body_shorter_than_a_tag(read: Read, length: int) -> None:
    """A body without room for its tag, or a footer without one, is refused."""
    opened = open_up(_write(), BOB).but(data=b"", padded=False)
    header, body, _ = split(opened.seal())
    with pytest.raises(TamperedEnvelopeError):
        read(header + body[:length])


def test_body_that_is_cut_off(read: Read) -> None:
    """An envelope that ends before its body does says so, wherever it ends."""
    envelope = _write(b"x" * 400)
    header, body, _ = split(envelope)
    for length in (0, 1, len(body) - 17, len(body) - 16, len(body) - 1):
        with pytest.raises(TamperedEnvelopeError, match="cut off"):
            read(header + body[:length])
    with pytest.raises(TamperedEnvelopeError, match="authentication"):
        read(header + body)  # the footer is missing


# --- 10: not key-committing -----------------------------------------------------------------


def test_other_content_key_for_one_reader(read: Read) -> None:
    """An author's stanza with another content key gives its reader an error, not another text."""
    opened = open_up(_write(b"for both", BOB), BOB)
    other = StanzaWriter(bytes(range(32))).wrap(CAROL.public_key)
    envelope = opened.but(stanzas=(*opened.stanzas, other)).seal()
    assert read(envelope, BOB) == b"for both"
    with pytest.raises(TamperedEnvelopeError):
        read(envelope, CAROL)
    assert not_promised("key-committing")


# --- no fall-back ---------------------------------------------------------------------------


def _plain(plaintext: bytes, *params: asn1.CustomParam, padded: bool = False) -> bytes:
    """Return a message of the plain or old signed form (5.1, 5.2) for bob."""
    content_key, nonce = bytes(range(32)), bytes(12)
    stanza = StanzaWriter(content_key).wrap(BOB.public_key)
    header = build_header([stanza], nonce, params=params, padded=padded)
    return header + p.gcm_encrypt(content_key, nonce, plaintext)


@pytest.mark.parametrize("padded", [False, True])
def test_unsigned_is_notread(read: Read, *, padded: bool) -> None:
    """A plain message is refused, however well it decrypts."""
    with pytest.raises(NotSignedError, match="unsigned"):
        read(_plain(b"x" * 160, padded=padded))


def test_old_form_is_notread(read: Read) -> None:
    """The old signed form is refused, even with the author's genuine signature."""
    text = b"genuine"
    params = (
        asn1.CustomParam(key=OLD_SIGNATURE_PARAM, value=der.Variant(sign(text, ALICE), "bytes")),
        asn1.CustomParam(key=OLD_SIGNER_PARAM, value=der.Variant(ALICE.public_key.key_id, "bytes")),
    )
    with pytest.raises(NotSignedError, match="old signed form"):
        read(_plain(text, *params))


def test_stripped_footer_info(read: Read) -> None:
    """Dropping the field that announces the signature makes it unsigned, not readable."""
    opened = open_up(_write(), BOB)
    schedule = KeySchedule(opened.content_key)
    header = build_header(opened.stanzas, schedule.body_nonce, padded=True)
    body = p.gcm_encrypt(schedule.body_key, schedule.body_nonce, opened.data)
    with pytest.raises(NotSignedError):
        read(header + body)


def test_footer_info_without_a_digest(read: Read) -> None:
    """Announcing a footer that signs nothing is not signed either."""
    opened = open_up(_write(), BOB)
    envelope = opened.seal()
    header = Header.from_bytes(envelope)
    info = header.info
    info.footer = asn1.FooterInfo(version=0, data_size=header.data_size, signed=None)
    with pytest.raises(NotSignedError):
        read(der.encode_der(info) + envelope[header.length :])


def test_the_security_model_is_searched_where_it_says_so() -> None:
    """The searches above find what is there, and do not find what is not."""
    assert not_promised("forward")
    assert not not_promised("a phrase that nobody would write")
