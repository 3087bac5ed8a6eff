"""Sharing: more recipients for an envelope that exists, without touching what it holds.

The recipient list is no part of what the body's tag or the author's signature covers (wire format,
section 4), so a recipient can wrap the content key for others. Taking somebody out is no such
thing: who has the content key keeps it, so that needs a new envelope.
"""

from __future__ import annotations

from collections.abc import Sequence

from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.discretion import front_door
from encrypted_parse.envelope.header import Header
from encrypted_parse.envelope.recipient import open_stanza
from encrypted_parse.envelope.signed import decrypt_and_verify
from encrypted_parse.envelope.stanza import wrap_for_all


@front_door
def add_recipients(
    envelope: bytes,
    *,
    identities: Sequence[PrivateKey],
    signers: Sequence[PublicKey],
    recipients: Sequence[PublicKey],
) -> bytes:
    """Return *envelope* with a stanza more for each of *recipients* that it does not name.

    The envelope is opened and verified first: nothing that we would not read is passed on. Body,
    footer and the author's signature stay byte for byte.

    Raises:
        EnvelopeError: As of `decrypt_and_verify`, or there would be more than 1,024 recipients.
        KeyFormatError: A recipient's key is unusable.
    """
    decrypt_and_verify(envelope, identities=identities, signers=signers)
    header = Header.from_bytes(envelope)
    named = set(header.recipient_ids())
    missing = [
        key for key in dict.fromkeys(recipients) if not named & {key.key_id, key.long_key_id}
    ]
    if not missing:
        return envelope
    stanzas = wrap_for_all(missing, open_stanza(header, identities))
    return header.with_stanzas(stanzas) + envelope[header.length :]
