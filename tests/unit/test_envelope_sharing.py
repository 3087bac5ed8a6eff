"""More recipients for an envelope that exists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import expensive, plaintexts, private_keys, readers

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.envelope import (
    Header,
    add_recipients,
    decrypt_and_verify,
    encrypt,
    sign_and_encrypt,
    sign_then_encrypt,
)
from encrypted_parse.envelope.stanza import MAX_RECIPIENTS
from encrypted_parse.errors import (
    EnvelopeError,
    NotARecipientError,
    NotSignedError,
    SignerNotFoundError,
    TamperedEnvelopeError,
)

AUTHOR, OLD, NEW = (PrivateKey.generate() for _ in range(3))
PUBLIC = AUTHOR.public_key


def envelope(*keys: PrivateKey, text: bytes = b"text") -> bytes:
    """Return an envelope of the author for *keys*."""
    return sign_and_encrypt(text, signer=AUTHOR, recipients=[key.public_key for key in keys])


@expensive
@given(plaintexts(), readers(), readers(), st.booleans(), st.booleans(), private_keys())
def test_old_and_new_readers_read(  # noqa: PLR0913, PLR0917 - what is drawn
    text: bytes,
    old: list[PrivateKey],
    new: list[PrivateKey],
    pad: bool,
    long_ids: bool,
    author: PrivateKey,
) -> None:
    """Everybody reads; body, tags and signature are byte for byte as they were."""
    sealed = sign_and_encrypt(
        text,
        signer=author,
        recipients=[key.public_key for key in old],
        pad=pad,
        long_ids=long_ids,
    )
    shared = add_recipients(
        sealed,
        identities=[old[0]],
        signers=[author.public_key],
        recipients=[key.public_key for key in new],
    )
    for key in (*old, *new):
        opened = decrypt_and_verify(shared, identities=[key], signers=[author.public_key])
        assert opened == text
    before, after = Header.from_bytes(sealed), Header.from_bytes(shared)
    assert sealed[before.length :] == shared[after.length :]
    assert after.to_bytes() == after.encoded
    assert len(set(after.recipient_ids())) == len({*old, *new})


def test_whoever_is_named_already_is_not_added() -> None:
    """Sharing twice changes nothing."""
    sealed = envelope(OLD, NEW)
    again = add_recipients(
        sealed, identities=[OLD], signers=[PUBLIC], recipients=[NEW.public_key] * 3
    )
    assert again == sealed


def test_only_what_we_would_read_is_shared() -> None:
    """Not for us, of another author, altered, or unsigned: nothing is passed on."""

    def share(sealed: bytes, *, key: PrivateKey = OLD, signer: PrivateKey = AUTHOR) -> bytes:
        return add_recipients(
            sealed,
            identities=[key],
            signers=[signer.public_key],
            recipients=[NEW.public_key],
        )

    with pytest.raises(NotARecipientError):
        share(envelope(OLD), key=NEW)
    with pytest.raises(SignerNotFoundError):
        share(envelope(OLD), signer=NEW)
    altered = bytearray(envelope(OLD))
    altered[-1] ^= 1
    with pytest.raises(TamperedEnvelopeError):
        share(bytes(altered))
    for unsigned in (
        encrypt(b"x", recipients=[OLD.public_key]),
        sign_then_encrypt(b"x", signer=AUTHOR, recipients=[OLD.public_key]),
    ):
        with pytest.raises(NotSignedError):
            share(unsigned)


def test_there_is_a_limit() -> None:
    """No envelope is made that readers would refuse."""
    keys = [PrivateKey.generate() for _ in range(MAX_RECIPIENTS)]
    sealed = envelope(*keys[:-1])
    full = add_recipients(
        sealed, identities=keys[:1], signers=[PUBLIC], recipients=[keys[-1].public_key]
    )
    assert decrypt_and_verify(full, identities=keys[-1:], signers=[PUBLIC]) == b"text"
    with pytest.raises(EnvelopeError, match="1024"):
        add_recipients(full, identities=keys[:1], signers=[PUBLIC], recipients=[NEW.public_key])
