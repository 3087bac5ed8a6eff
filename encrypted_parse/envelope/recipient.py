"""The reader's side of the recipient list: our stanza among others (wire format, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from encrypted_parse.crypto import PrivateKey
from encrypted_parse.envelope.header import Header
from encrypted_parse.envelope.stanza import WrappedContentKey
from encrypted_parse.errors import NotARecipientError


def find_stanza(header: Header, identities: Sequence[PrivateKey]) -> WrappedContentKey:
    """Return the first stanza that names one of *identities*, read but not opened.

    Only the first counts, as in E3Kit: a later entry with the same identifier is never tried.

    Raises:
        MalformedEnvelopeError: The stanza, or an entry before it, does not parse.
        NotARecipientError: No stanza names one of them.
    """
    for stanza in header.stanzas():
        for key in identities:
            public_key = key.public_key
            if stanza.recipient_id in (public_key.key_id, public_key.long_key_id):
                return WrappedContentKey.read(stanza, key)
    raise NotARecipientError(
        "this envelope was not encrypted for our key",
        hint="ask its author to share it with you",
    )


def open_stanza(header: Header, identities: Sequence[PrivateKey]) -> bytes:
    """Return the content key from the first stanza that names one of *identities*.

    Raises:
        MalformedEnvelopeError: See `find_stanza`.
        NotARecipientError: The same.
        TamperedEnvelopeError: The stanza failed its check.
    """
    return find_stanza(header, identities).open()
