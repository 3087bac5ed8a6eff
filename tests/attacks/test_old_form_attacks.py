"""Section 11 of the wire format for the plain and old signed forms (5.1, 5.2).

As in test_envelope_attacks.py: every attack runs through the three readers of the old form, and
what is not prevented is shown, beside the place that says so.
"""

from __future__ import annotations

import itertools

import pytest
import three_readers
from security_model import not_promised

from encrypted_parse.crypto import PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.envelope import (
    DetachedEnvelope,
    Form,
    Header,
    asn1,
    decrypt,
    decrypt_then_verify_detached,
    encrypt,
    padding,
    sign,
    sign_and_encrypt,
    sign_then_encrypt,
    sign_then_encrypt_detached,
    verify,
)
from encrypted_parse.envelope.header import OLD_SIGNATURE_PARAM, OLD_SIGNER_PARAM, build_header
from encrypted_parse.envelope.recipient import open_stanza
from encrypted_parse.errors import (
    EnvelopeError,
    MalformedEnvelopeError,
    NotSignedError,
    SignerNotFoundError,
    TamperedEnvelopeError,
)

ALICE, BOB, CAROL, MALLORY = (PrivateKey.generate() for _ in range(4))


def _write(plaintext: bytes = b"Lunch at noon?", signer: PrivateKey = ALICE) -> bytes:
    recipients = [BOB.public_key, CAROL.public_key]
    return sign_then_encrypt(plaintext, signer=signer, recipients=recipients)


class Read:
    """Reads as bob what one of some signers, or alice, wrote."""

    def __init__(self, by: three_readers.Reader) -> None:
        self._by = by

    def __call__(self, message: bytes, *signers: PrivateKey) -> bytes:
        """Return the plaintext, or raise."""
        return self._by(message, [BOB], [signer.public_key for signer in signers or (ALICE,)])


@pytest.fixture(params=three_readers.OLD)
def read(request: pytest.FixtureRequest) -> Read:
    """Give each reader of the old form in turn."""
    return Read(three_readers.OLD[request.param])


def _params(signature: bytes, signer: PublicKey | None = None) -> list[asn1.CustomParam]:
    params = {OLD_SIGNATURE_PARAM: signature}
    if signer is not None:
        params[OLD_SIGNER_PARAM] = signer.key_id
    return [
        asn1.CustomParam(key=key, value=der.Variant(value, "bytes"))
        for key, value in params.items()
    ]


def _with_params(message: bytes, params: list[asn1.CustomParam]) -> bytes:
    """Replace the custom parameters; needs no key."""
    header = Header.from_bytes(message)
    entries = der.members(header.info.content_info.content.recipients)
    stanzas = [der.encode_der(entry) for entry in entries]
    rebuilt = build_header(stanzas, header.nonce, padded=header.padded, params=params)
    return rebuilt + message[header.length :]


def test_guesses_can_be_confirmed() -> None:
    """Item 1: the signature in the header tells anybody whether a guess is right."""
    param = Header.from_bytes(_write(b"yes")).param(OLD_SIGNATURE_PARAM)
    assert param is not None
    verify(b"yes", param.value.value, ALICE.public_key)  # no private key of a recipient is used
    assert not_promised("confirm a guess")


def test_the_signer_is_visible() -> None:
    """Item 6: this form names its signer in clear."""
    param = Header.from_bytes(_write()).param(OLD_SIGNER_PARAM)
    assert param is not None
    assert param.value.value == ALICE.public_key.key_id
    assert not_promised("names its signer in clear")


def test_authorship_can_be_replaced_but_not_forged(read: Read) -> None:
    """Item 2: a recipient can put its own signature there; it cannot put alice's to other text."""
    stolen = _with_params(_write(), _params(sign(b"Lunch at noon?", CAROL), CAROL.public_key))
    assert read(stolen, CAROL) == b"Lunch at noon?"
    assert not_promised("put its own signature in place")
    with pytest.raises(TamperedEnvelopeError):
        read(stolen)
    with pytest.raises(SignerNotFoundError):
        read(stolen, ALICE, MALLORY)


def test_another_body_under_the_shared_key(read: Read) -> None:
    """Item 2: a recipient encrypts another body; only the unsigned verb takes it."""
    message = _write()
    header = Header.from_bytes(message)
    body = p.gcm_encrypt(open_stanza(header, [CAROL]), header.nonce, b"I quit.")
    forged = message[: header.length] + body
    with pytest.raises(TamperedEnvelopeError):
        read(forged)
    assert decrypt(forged, identities=[BOB]) == b"I quit."
    assert not_promised("unsigned verb")


def test_a_detached_signature_becomes_a_message(read: Read) -> None:
    """Item 3: whoever holds a signature and its text can make a message of both."""
    signature = sign(b"I owe you 9", ALICE)
    plain = encrypt(b"I owe you 9", recipients=[BOB.public_key])
    assert read(_with_params(plain, _params(signature))) == b"I owe you 9"
    assert not_promised("detached signature, with its text")


def test_stripped_signatures_are_notread(read: Read) -> None:
    """Without the parameter it is unsigned, and no signed verb reads it."""
    message = _write()
    for params in ([], [_params(b"x")[0]], _params(sign(b"other", ALICE))):
        with pytest.raises(EnvelopeError):
            read(_with_params(message, params))
    with pytest.raises(NotSignedError, match="unsigned"):
        read(_with_params(message, []))


def test_the_new_form_is_not_read_as_the_old(read: Read) -> None:
    """A header that has the fields of both forms is of the new one."""
    new = sign_and_encrypt(b"text", signer=ALICE, recipients=[BOB.public_key])
    with pytest.raises(NotSignedError):
        read(new)
    header = Header.from_bytes(new)
    info = header.info
    entry = der.encode_der(_params(sign(b"text", ALICE))[0])
    info.custom_params = asn1.SetHolder(set_of=der.set_of([entry]))
    both = der.encode_der(info) + new[header.length :]
    assert Header.from_bytes(both).form is Form.SIGN_AND_ENCRYPT
    with pytest.raises(NotSignedError):
        read(both)


# --- who signed -----------------------------------------------------------------------------


def test_one_candidate_has_to_verify(read: Read) -> None:
    """With one key offered the message's word is not looked at, right, wrong or missing (5.2)."""
    signature = sign(b"Lunch at noon?", ALICE)
    for named in (ALICE.public_key, MALLORY.public_key, None):
        message = _with_params(_write(), _params(signature, named))
        assert read(message) == b"Lunch at noon?"
        assert read(message, ALICE, ALICE) == b"Lunch at noon?"  # the same key twice is one
        with pytest.raises(TamperedEnvelopeError):
            read(message, MALLORY)


def test_several_candidates_are_selected_by_name(read: Read) -> None:
    """With several that one counts whom the message names; if it names none, each is tried."""
    assert read(_write(), MALLORY, ALICE) == b"Lunch at noon?"
    signature = sign(b"Lunch at noon?", ALICE)
    unnamed = _with_params(_write(), _params(signature, None))
    assert read(unnamed, MALLORY, ALICE) == b"Lunch at noon?"
    with pytest.raises(TamperedEnvelopeError):
        read(unnamed, MALLORY, CAROL)
    for named, error in (
        (CAROL.public_key, SignerNotFoundError),
        (MALLORY.public_key, TamperedEnvelopeError),
    ):
        with pytest.raises(error):
            read(_with_params(_write(), _params(signature, named)), MALLORY, ALICE)
    for reader in three_readers.OLD.values():
        with pytest.raises(SignerNotFoundError):
            reader(_write(), [BOB], [])


def test_long_identifiers_of_signers(read: Read) -> None:
    """A signer is found by its SHA-256 identifier too."""
    message = sign_then_encrypt(b"text", signer=ALICE, recipients=[BOB.public_key], long_ids=True)
    assert read(message, MALLORY, ALICE) == b"text"


def test_repeated_and_mistyped_parameters(read: Read) -> None:
    """The first of a repeated key counts; another type of value is malformed."""
    good, bad = _params(sign(b"Lunch at noon?", ALICE))[0], _params(sign(b"other", ALICE))[0]
    message = _with_params(_write(), [good, bad])
    first = Header.from_bytes(message).param(OLD_SIGNATURE_PARAM)
    assert first is not None
    if first.value.value == good.value.value:
        assert read(message) == b"Lunch at noon?"
    else:
        with pytest.raises(TamperedEnvelopeError):
            read(message)
    for value in (der.Variant(7, "int"), der.Variant("text", "str")):
        mistyped = [asn1.CustomParam(key=OLD_SIGNATURE_PARAM, value=value)]
        with pytest.raises(MalformedEnvelopeError):
            read(_with_params(_write(), mistyped))


def test_too_many_parameters(read: Read) -> None:
    """A header full of parameters is malformed."""
    many = [
        asn1.CustomParam(key=f"k{number}", value=der.Variant(b"", "bytes")) for number in range(65)
    ]
    with pytest.raises(MalformedEnvelopeError):
        read(_with_params(_write(), many))


# --- damage ---------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_small_message(read: Read) -> None:
    """Nothing but the ephemeral's sign and the signer's name can change without an error."""
    message = sign_then_encrypt(b"x", signer=ALICE, recipients=[BOB.public_key])
    tolerated = []
    for place, bit in itertools.product(range(len(message)), range(8)):
        changed = bytearray(message)
        changed[place] ^= 1 << bit
        try:
            opened = read(bytes(changed))
        except EnvelopeError:
            continue
        assert opened == b"x"
        tolerated.append((place, bit))
    assert tolerated
    entry = der.encode_der(_params(b"", ALICE.public_key)[1])
    start = message.index(entry)
    for place, bit in tolerated:
        is_sign = bit == 7 and place < message.index(b"\x30\x18\x06\x07")
        assert is_sign or start <= place < start + len(entry), (place, bit)


def test_short_bodies() -> None:
    """Item 7: a body shorter than its tag, or none at all, is an error."""
    for write in (_write(b""), encrypt(b"", recipients=[BOB.public_key])):
        header = Header.from_bytes(write).length
        for end in range(header, len(write)):
            with pytest.raises(EnvelopeError):
                decrypt(write[:end], identities=[BOB])


def test_impossible_padding() -> None:
    """Item 7: npm accepts it silently; both verbs refuse it."""
    key, nonce = bytes(range(32)), bytes(12)
    message = encrypt(b"", recipients=[BOB.public_key], pad=True)
    header = Header.from_bytes(message)
    key, nonce = open_stanza(header, [BOB]), header.nonce
    for padded in (
        b"",
        bytes(3),
        bytes(160),
        bytes(156) + (157).to_bytes(4, "little"),
        bytes(400) + (257).to_bytes(4, "little"),
        bytes(156) + b"\xff" * 4,
    ):
        forged = message[: header.length] + p.gcm_encrypt(key, nonce, padded)
        with pytest.raises(TamperedEnvelopeError, match="padding"):
            decrypt(forged, identities=[BOB])
    other_frame = bytes(4) + bytes(256) + (256).to_bytes(4, "little")
    forged = message[: header.length] + p.gcm_encrypt(key, nonce, other_frame)
    assert decrypt(forged, identities=[BOB]) == bytes(4)  # section 5.4: other platforms' frames


def test_padding_can_be_stripped_from_an_unsigned_message() -> None:
    """The table of section 11: nothing protects the padding field of an unsigned message."""
    message = encrypt(b"text", recipients=[BOB.public_key], pad=True)
    header = Header.from_bytes(message)
    entries = der.members(header.info.content_info.content.recipients)
    bare = build_header([der.encode_der(entry) for entry in entries], header.nonce)
    opened = decrypt(bare + message[header.length :], identities=[BOB])
    assert opened != b"text"
    assert padding.unpad(opened) == b"text"
    assert not_promised("padding field of an unsigned message")


def test_derived_keys_without_a_footer() -> None:
    """A combination that nobody has ever written is refused, not interpreted."""
    message = encrypt(b"text", recipients=[BOB.public_key])
    header = Header.from_bytes(message)
    info = header.info
    info.version = 1
    info.kdf = asn1.KdfAlgorithm(algorithm=asn1.HKDF, digest=None)
    with pytest.raises(MalformedEnvelopeError):
        decrypt(der.encode_der(info) + message[header.length :], identities=[BOB])


# --- detached -------------------------------------------------------------------------------


def test_detached_parts_belong_together() -> None:
    """Metadata of one and ciphertext of another do not open; nor does more than a header."""
    first, second = (
        sign_then_encrypt_detached(text, signer=ALICE, recipients=[BOB.public_key])
        for text in (b"yes", b"no!")
    )

    def read(metadata: bytes, body: bytes) -> bytes:
        return decrypt_then_verify_detached(
            DetachedEnvelope(metadata, body), identities=[BOB], signers=[ALICE.public_key]
        )

    assert read(*first) == b"yes"
    with pytest.raises(TamperedEnvelopeError):
        read(first.metadata, second.encrypted_data)
    with pytest.raises(MalformedEnvelopeError):
        read(first.metadata + first.encrypted_data, b"")
    for wrong in (b"", first.metadata[:-1], first.encrypted_data):
        with pytest.raises(EnvelopeError):
            read(wrong, first.encrypted_data)
