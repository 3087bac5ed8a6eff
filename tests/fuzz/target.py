"""What the fuzzer feeds: one input to every parser. Only our own errors may come out."""

from __future__ import annotations

import io
from collections.abc import Callable

from encrypted_parse import envelope
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.envelope import Form, Header
from encrypted_parse.envelope.signature import SignatureContainer
from encrypted_parse.errors import EncryptedParseError

AUTHOR = vc.import_private_key("MC4CAQAwBQYDK2VwBCIEIPkMRUcMIPXBDIOWhCKyPofgi4GYo/FVS/MWREWEhta2")
READER = vc.import_private_key("MC4CAQAwBQYDK2VwBCIEIAt7q/1+noh3+Yf40OiDlZxcKzKpxZiurobJQFJ7eNRr")
GROUP = vc.GroupSession([vc.GroupTicket(bytes(32), 0, bytes(range(32)))])
SIGNERS = [AUTHOR.public_key]


def one_input(data: bytes) -> None:
    """Parse *data* as everything that a peer could send.

    Raises:
        AssertionError: Two ways of reading disagree, or what parses does not re-encode.
    """
    for parse in PARSERS:
        try:
            parse(data)
        except EncryptedParseError:
            continue


def _header(data: bytes) -> None:
    header = Header.from_bytes(data)
    assert header.to_bytes() == data[: header.length]
    assert header.form in Form
    assert len(header.recipient_ids()) <= 1024


def _message(data: bytes) -> None:
    """Read one-shot and as a stream: both open it to the same bytes, or neither does."""
    outcomes: list[bytes | None] = []
    readers: list[Callable[[], bytes]] = [
        lambda: vc.decrypt(data, READER),
        lambda: _stream(data, signed=False),
        lambda: vc.decrypt_and_verify(data, READER, SIGNERS),
        lambda: _stream(data, signed=True),
    ]
    for read in readers:
        try:
            outcomes.append(read())
        except EncryptedParseError:
            outcomes.append(None)
    anyhow, as_stream, verified, verified_stream = outcomes
    assert anyhow == as_stream
    assert verified == verified_stream
    assert verified is None or verified == anyhow


def _stream(data: bytes, *, signed: bool) -> bytes:
    target = io.BytesIO()
    if signed:
        vc.decrypt_and_verify_file(io.BytesIO(data), target, identities=[READER], signers=SIGNERS)
    else:
        vc.decrypt_file(io.BytesIO(data), target, identities=[READER])
    return target.getvalue()


def _old(data: bytes) -> None:
    vc.decrypt_then_verify(data, READER, SIGNERS)


def _container(data: bytes) -> None:
    SignatureContainer.from_bytes(data).digest_of(b"")


def _ticket(data: bytes) -> None:
    ticket = vc.GroupTicket.from_bytes(data)
    assert vc.GroupTicket.from_bytes(ticket.to_bytes()) == ticket


def _group_message(data: bytes) -> None:
    GROUP.decrypt(data, AUTHOR.public_key)


def _private_key(data: bytes) -> None:
    key = vc.import_private_key(data)
    assert vc.import_private_key(key.to_bytes()) == key


def _public_key(data: bytes) -> None:
    key = vc.import_public_key(data)
    assert vc.import_public_key(key.to_bytes()) == key


def _text(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    if envelope.is_envelope(text):
        assert envelope.to_text(envelope.from_text(text)) == text


PARSERS: tuple[Callable[[bytes], None], ...] = (
    _header,
    _message,
    _old,
    _container,
    _ticket,
    _group_message,
    _private_key,
    _public_key,
    _text,
)
