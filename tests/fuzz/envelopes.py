"""First target: bytes of the wire format, to every parser. Only our own errors may come out."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from encrypted_parse import envelope
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.envelope import Form, Header
from encrypted_parse.envelope.signature import SignatureContainer
from encrypted_parse.errors import EncryptedParseError

AUTHOR = vc.import_private_key("MC4CAQAwBQYDK2VwBCIEIPkMRUcMIPXBDIOWhCKyPofgi4GYo/FVS/MWREWEhta2")
READER = vc.import_private_key("MC4CAQAwBQYDK2VwBCIEIAt7q/1+noh3+Yf40OiDlZxcKzKpxZiurobJQFJ7eNRr")
GROUP = vc.GroupSession([vc.GroupTicket(bytes(32), 0, bytes(range(32)))])
SIGNERS = [AUTHOR.public_key]


VECTORS = Path(__file__).parents[1] / "vectors" / "e3kit-crypto.json"


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each message, ticket, signature and key of the vectors."""
    document = json.loads(VECTORS.read_text("utf-8"))
    for name, key in document["keys"].items():
        yield f"{name}-private", base64.b64decode(key["private_key"])
        yield f"{name}-public", base64.b64decode(key["public_key"])
    for vector in document["vectors"]:
        for member in ("message", "metadata", "signature"):
            if isinstance(vector.get(member), str):
                yield f"{vector['name']}-{member}", base64.b64decode(vector[member])
        for number, ticket in enumerate(vector.get("tickets", ())):
            yield f"{vector['name']}-ticket-{number}", base64.b64decode(ticket)


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
    """Read in one call, among many and as a stream: all give the same bytes, or none does."""
    outcomes: list[bytes | None] = []
    readers: list[Callable[[], bytes]] = [
        lambda: vc.decrypt(data, READER),
        lambda: _stream(data, signed=False),
        lambda: vc.decrypt_and_verify(data, READER, SIGNERS),
        lambda: _stream(data, signed=True),
        lambda: _among_many(data),
    ]
    for read in readers:
        try:
            outcomes.append(read())
        except EncryptedParseError:
            outcomes.append(None)
    anyhow, as_stream, verified, verified_stream, verified_among_many = outcomes
    assert anyhow == as_stream
    assert verified == verified_stream == verified_among_many
    assert verified is None or verified == anyhow


def _among_many(data: bytes) -> bytes:
    outcome, _ = envelope.decrypt_and_verify_all([data, b""], identities=[READER], signers=SIGNERS)
    if isinstance(outcome, EncryptedParseError):
        raise outcome
    return outcome


def _stream(data: bytes, *, signed: bool) -> bytes:
    target = io.BytesIO()
    if signed:
        vc.decrypt_and_verify_file(io.BytesIO(data), target, identities=[READER], signers=SIGNERS)
    else:
        vc.decrypt_file(io.BytesIO(data), target, identities=[READER])
    return target.getvalue()


def _old(data: bytes) -> None:
    """The old form in one call and as a stream: the same bytes, or neither."""
    outcomes: list[bytes | None] = []
    for read in (lambda: vc.decrypt_then_verify(data, READER, SIGNERS), lambda: _old_stream(data)):
        try:
            outcomes.append(read())
        except EncryptedParseError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


def _old_stream(data: bytes) -> bytes:
    target = io.BytesIO()
    vc.decrypt_then_verify_file(io.BytesIO(data), target, identities=[READER], signers=SIGNERS)
    return target.getvalue()


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
        packed = b"".join(text.encode("ascii").split()).decode("ascii")
        assert envelope.to_text(envelope.from_text(text)) == packed


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
