"""Servers that break HTTP in every way: they say what a test tells them, byte by byte."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PAUSE_SECONDS = 0.02
_WAIT_SECONDS = 60


class Peer:
    """One connection, as its server sees it."""

    def __init__(self, server: RawServer, connection: socket.socket) -> None:
        self._server = server
        self.socket = connection

    def read_head(self) -> bytes:
        """Return a request up to its empty line, and what came with it; empty at the end."""
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self.socket.recv(65536)
            if not piece:
                return b""
            received += piece
        self._server.heads.append(received)
        return received

    def send(self, data: bytes) -> None:
        """Send all of *data*, and count it."""
        self.socket.sendall(data)
        self._server.sent += len(data)

    def drip(self, piece: bytes, count: int) -> None:
        """Send *piece* again and again, slowly, until somebody has had enough."""
        for _ in range(count):
            if self._server.stopping.wait(PAUSE_SECONDS):
                return
            self.send(piece)
        self._server.finished.set()

    def flood(self, piece: bytes, total: int) -> None:
        """Send *piece* again and again, fast."""
        many = piece * (65536 // len(piece))
        for _ in range(total // len(many)):
            if self._server.stopping.is_set():
                return
            self.send(many)
        self._server.finished.set()


class RawServer:
    """Listens on 127.0.0.1 and hands each connection to *talk*, in a thread of its own.

    Attributes:
        heads: Every request's head.
        connections: How many there were.
        sent: Bytes sent, of all connections.
        stopping: Set when the test is over.
        finished: Set when something that drips or floods came to its end.
    """

    def __init__(
        self, talk: Callable[[Peer], None], *, context: ssl.SSLContext | None = None
    ) -> None:
        self._talk = talk
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.port: int = self._listener.getsockname()[1]
        self.heads: list[bytes] = []
        self.connections = 0
        self.sent = 0
        self.stopping = threading.Event()
        self.finished = threading.Event()

    @property
    def url(self) -> str:
        """The server's address."""
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Break every connection, and wait for every thread."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept` up
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_WAIT_SECONDS)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
                stack.enter_context(connection)
            self._talk(Peer(self, connection))


def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(data: bytes) -> Callable[[Peer], None]:
    """Return what answers every request of a connection with *data*."""

    def talk(peer: Peer) -> None:
        while peer.read_head():
            peer.send(data)

    return talk


class Authority:
    """A certificate authority of a test."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = (
            self._builder(self._name, self._key, now, now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(key_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.bundle = folder / f"{name}.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, *names: str, days: tuple[int, int] = (-1, 1)) -> ssl.SSLContext:
        """Return a server's context with a certificate for *names*, valid from *days*[0] on."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        first, last = (now + dt.timedelta(days=number) for number in days)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(subject, key, first, last)
            .add_extension(x509.SubjectAlternativeName(map(_name, names)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(issuer_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{names[0].replace(':', '_')}-{certificate.serial_number}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        first: dt.datetime,
        last: dt.datetime,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first - dt.timedelta(hours=1))
            .not_valid_after(last)
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def relay(one: socket.socket, other: socket.socket) -> Iterator[None]:
    """Carry bytes from *one* to *other* until the first is done."""
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
            yield
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
