"""What a malicious recipient can do: take an envelope apart, and seal the parts anew.

Every attack in tests/attacks is an envelope with one part changed. None of this checks anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from encrypted_parse.crypto import PrivateKey, PublicKey, der
from encrypted_parse.crypto import primitives as p
from encrypted_parse.envelope.asn1 import CustomParam
from encrypted_parse.envelope.header import Header, build_header
from encrypted_parse.envelope.recipient import open_stanza
from encrypted_parse.envelope.signed import KeySchedule, body_associated_data
from encrypted_parse.envelope.stanza import StanzaWriter


@frozen
class Opened:
    """An envelope's parts in clear. `stanzas` are encoded; `data` includes the padding."""

    content_key: bytes
    stanzas: tuple[bytes, ...]
    data: bytes
    footer: bytes
    padded: bool
    params: tuple[CustomParam, ...] = ()

    def but(self, **changes: object) -> Opened:
        """Return a copy with *changes*."""
        return evolve(self, **changes)

    def for_readers(self, *readers: PublicKey) -> Opened:
        """Return a copy that *readers* can open, and nobody else."""
        writer = StanzaWriter(self.content_key)
        return self.but(stanzas=tuple(writer.wrap(reader) for reader in readers))

    def seal(self) -> bytes:
        """Return the envelope of these parts."""
        schedule = KeySchedule(self.content_key)
        header = build_header(
            self.stanzas,
            schedule.body_nonce,
            data_size=len(self.data),
            padded=self.padded,
            params=self.params,
        )
        body = p.gcm_encrypt(
            schedule.body_key, schedule.body_nonce, self.data, body_associated_data()
        )
        return (
            header + body + p.gcm_encrypt(schedule.footer_key, schedule.footer_nonce, self.footer)
        )


def open_up(envelope: bytes, reader: PrivateKey) -> Opened:
    """Take *envelope* apart with the key of one of its recipients."""
    header = Header.from_bytes(envelope)
    content_key = open_stanza(header, [reader])
    schedule = KeySchedule(content_key)
    _, body, footer = split(envelope)
    return Opened(
        content_key=content_key,
        stanzas=stanzas_of(envelope),
        data=p.gcm_decrypt(schedule.body_key, schedule.body_nonce, body, body_associated_data()),
        footer=p.gcm_decrypt(schedule.footer_key, schedule.footer_nonce, footer),
        padded=header.padded,
        params=header.params,
    )


def split(envelope: bytes) -> tuple[bytes, bytes, bytes]:
    """Return header, body and footer as they stand; needs no key."""
    header = Header.from_bytes(envelope)
    end = header.length + (header.data_size or 0) + p.GCM_TAG_BYTES
    return envelope[: header.length], envelope[header.length : end], envelope[end:]


def stanzas_of(envelope: bytes) -> tuple[bytes, ...]:
    """Return the encoded stanzas; needs no key."""
    recipients = Header.from_bytes(envelope).info.content_info.content.recipients
    return tuple(der.encode_der(entry) for entry in der.members(recipients))


def swap_stanzas(envelope: bytes, stanzas: Sequence[bytes]) -> bytes:
    """Put *stanzas* in place of the envelope's own and leave all else; needs no key."""
    header = Header.from_bytes(envelope)
    rebuilt = build_header(
        stanzas,
        header.nonce,
        data_size=header.data_size,
        padded=header.padded,
        params=header.params,
    )
    return rebuilt + envelope[header.length :]
