"""Certificates: a real TLS server with each kind of wrong one, and proxies in between."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_server import Authority, Peer, RawServer, answer, answering, relay

from encrypted_parse.errors import (
    ConfigurationError,
    ConnectionFailedError,
    RequestTimeoutError,
)
from encrypted_parse.transport import HttpRequest, RequestsTransport

HERE = ("127.0.0.1", "localhost")
CANARY = "canary-of-a-token"


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make the authority that clients are told to trust."""
    return Authority(tmp_path_factory.mktemp("trusted"), "trusted")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make an authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def transport(trusted: Authority) -> Iterator[RequestsTransport]:
    """Give a transport that trusts one authority."""
    transport = RequestsTransport(ca_bundle=str(trusted.bundle))
    yield transport
    transport.close()


def _request(url: str) -> HttpRequest:
    return HttpRequest("POST", f"{url}/", {"X-Parse-Session-Token": CANARY}, body=CANARY.encode())


def _refused(transport: RequestsTransport, context: ssl.SSLContext) -> ConnectionFailedError:
    with RawServer(answering(answer(b"read")), context=context) as server:
        with pytest.raises(ConnectionFailedError) as caught:
            transport.send(_request(server.url))
        assert server.heads == []  # the token was not sent
        assert server.url in str(caught.value)
    assert "SSLError" in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value


def test_the_right_certificate(trusted: Authority, transport: RequestsTransport) -> None:
    """The server that the others differ from in one thing each is believed."""
    with RawServer(answering(answer(b"read")), context=trusted.context(*HERE)) as server:
        assert transport.send(_request(server.url)).body == b"read"
        assert transport.send(_request(server.url)).body == b"read"
        assert server.connections == 1
        transport.close()


def test_an_unknown_authority(stranger: Authority, transport: RequestsTransport) -> None:
    """A certificate that somebody made for themselves is refused; the settings are named."""
    error = _refused(transport, stranger.context(*HERE))
    assert "nobody whom this machine trusts" in str(error)
    assert error.hint is not None
    assert {"REQUESTS_CA_BUNDLE", "ca_bundle"} <= set(error.hint.replace(",", "").split())


def test_the_systems_authorities_do_not_know_it(stranger: Authority) -> None:
    """Without any setting the same certificate is refused too."""
    transport = RequestsTransport()
    _refused(transport, stranger.context(*HERE))
    transport.close()


def test_another_name(trusted: Authority, transport: RequestsTransport) -> None:
    """A valid certificate of another host is refused, and called that."""
    error = _refused(transport, trusted.context("other.example"))
    assert "IP address" in str(error)  # which is what 127.0.0.1 is
    with (
        RawServer(answering(answer(b"")), context=trusted.context("other.example")) as server,
        pytest.raises(ConnectionFailedError, match="another host's"),
    ):
        transport.send(_request(f"https://localhost:{server.port}"))


def test_an_expired_certificate(trusted: Authority, transport: RequestsTransport) -> None:
    """A certificate that was right until yesterday is refused, and called expired."""
    assert "has expired" in str(_refused(transport, trusted.context(*HERE, days=(-9, -1))))


def test_a_certificate_of_tomorrow(trusted: Authority, transport: RequestsTransport) -> None:
    """A certificate that is not valid yet is refused, with a word on this machine's clock."""
    error = _refused(transport, trusted.context(*HERE, days=(2, 9)))
    assert "not valid yet" in str(error)
    assert error.hint is not None
    assert "clock" in error.hint


def test_no_tls_at_all(transport: RequestsTransport) -> None:
    """A server that answers https:// in plain text is refused."""
    seen = []

    def talk(peer: Peer) -> None:
        seen.append(peer.socket.recv(65536))
        peer.send(answer(b"read"))

    with RawServer(talk) as server:
        with pytest.raises(ConnectionFailedError):
            transport.send(_request(f"https://127.0.0.1:{server.port}"))
        assert len(seen) == 1
        assert CANARY.encode() not in seen[0]


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_never_overrides_ca_bundle(
    variable: str,
    stranger: Authority,
    transport: RequestsTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A variable does not add an authority to the one that the program names."""
    monkeypatch.setenv(variable, str(stranger.bundle))
    _refused(transport, stranger.context(*HERE))


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_decides_where_nothing_else_does(
    variable: str, trusted: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ca_bundle the variable names the authorities, and no others."""
    for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, str(trusted.bundle))
    transport = RequestsTransport()
    with RawServer(answering(answer(b"read")), context=trusted.context(*HERE)) as server:
        assert transport.send(_request(server.url)).body == b"read"
        transport.close()
    _refused(transport, stranger.context(*HERE))


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["missing", "empty", "odd"])
def test_a_bundle_that_is_none(content: bytes | None, tmp_path: Path) -> None:
    """A file of certificates that cannot be read is a setting that cannot be right."""
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    transport = RequestsTransport(ca_bundle=str(path))
    with pytest.raises(ConfigurationError, match=r"bundle\.pem', from ca_bundle"):
        transport.send(_request("https://127.0.0.1:1"))


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment_that_is_none(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that names a file which is not in this container is named, with the file."""
    for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, "/nowhere/company.pem")
    with pytest.raises(ConfigurationError, match=r"/nowhere/company\.pem") as caught:
        RequestsTransport().send(_request("https://127.0.0.1:1"))
    assert f"from {variable}" in str(caught.value)
    assert caught.value.hint is not None
    assert variable in caught.value.hint
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_an_answer_over_tls_does_not_drip_past_the_deadline(trusted: Authority) -> None:
    """The deadline holds within TLS as it does without."""
    transport = RequestsTransport(ca_bundle=str(trusted.bundle), total_timeout_seconds=1)

    def talk(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n")
        peer.drip(b" ", 1500)

    with RawServer(talk, context=trusted.context(*HERE)) as server:
        with pytest.raises(RequestTimeoutError):
            transport.send(_request(server.url))
        assert not server.finished.is_set()
    transport.close()


def _proxy(backend: RawServer, context: ssl.SSLContext | None) -> RawServer:
    """Return a proxy that leads every CONNECT to *backend*."""

    def talk(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", backend.port)) as behind:
            back = threading.Thread(target=lambda: list(relay(behind, peer.socket)))
            back.start()
            list(relay(peer.socket, behind))
            back.join()

    return RawServer(talk, context=context)


@pytest.mark.parametrize("proxy_speaks", ["http", "https"])
def test_the_certificate_is_checked_behind_a_proxy(
    proxy_speaks: str,
    trusted: Authority,
    stranger: Authority,
    transport: RequestsTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy of the environment is used, and sees nothing that it could read or replace."""
    own = trusted.context(*HERE) if proxy_speaks == "https" else None
    for authority, believed in ((trusted, True), (stranger, False)):
        name = "parse.invalid"
        with (
            RawServer(answering(answer(b"read")), context=authority.context(name)) as backend,
            _proxy(backend, own) as proxy,
        ):
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            if believed:
                assert transport.send(_request(f"https://{name}")).body == b"read"
            else:
                with pytest.raises(ConnectionFailedError) as caught:
                    transport.send(_request(f"https://{name}"))
                assert f"through the proxy {proxy.url} (HTTPS_PROXY)" in str(caught.value)
                assert "REQUESTS_CA_BUNDLE" in str(caught.value.hint)
            assert proxy.connections == 1
            assert not any(CANARY.encode() in head for head in proxy.heads)
            transport.close()


def test_a_proxy_of_https_has_to_be_the_right_one(
    trusted: Authority,
    stranger: Authority,
    transport: RequestsTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The certificate of the proxy itself is checked as well."""
    with (
        RawServer(answering(answer(b"read")), context=trusted.context("parse.invalid")) as backend,
        _proxy(backend, stranger.context(*HERE)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ConnectionFailedError):
            transport.send(_request("https://parse.invalid"))
        assert backend.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_is_for_this_machine_stays_on_it(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http:// to this machine goes through no proxy, which would carry tokens away."""
    transport = RequestsTransport()
    with (
        RawServer(answering(answer(b"here"))) as server,
        RawServer(answering(answer(b"there"))) as proxy,
    ):
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        assert transport.send(_request(f"http://{host}:{server.port}")).body == b"here"
        assert proxy.connections == 0
        transport.close()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://", "a b"])
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of another kind, or no address of one, is never passed by: nothing is sent."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConnectionFailedError):
        RequestsTransport().send(_request("https://parse.invalid"))
