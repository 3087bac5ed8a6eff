"""Whoever answers in a server's place: errors say which address was meant, and who it looks like.

Addresses that a program sets by mistake, pages of proxies and content delivery networks, and a
company's proxy. No text shows a password, a token, or what stood in an answer.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from raw_server import Authority, Peer, RawServer, answer, answering

from encrypted_parse import EncryptedClient, MemoryKeystore
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.deploy import DeployServer
from encrypted_parse.directory import ServiceClient
from encrypted_parse.directory.tokens import Token, TokenProvider
from encrypted_parse.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DeployError,
    DirectoryRefusedError,
    EncryptedParseError,
    MalformedResponseError,
    OutcomeUnknownError,
    ParseServerError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    RequestTooLargeError,
    ResponseTooLargeError,
    ServerFailedError,
    TokenError,
    TransportError,
)
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.transport import (
    Endpoint,
    FakeTransport,
    HttpRequest,
    HttpResponse,
    Repeat,
    RequestsTransport,
    RetryingTransport,
    calls,
    connections,
)

CANARY = "canary-of-a-secret"
KEY = PrivateKey.generate().public_key.to_base64()
PAGE = f"<!DOCTYPE html><html><title>{CANARY}</title></html>".encode()
OF_HTML = "Content-Type: text/html; charset=utf-8"


def _client(url: str, **limits: Any) -> EncryptedClient:
    environment = {
        "PARSE_SERVER_URL": url,
        "PARSE_APPLICATION_ID": "app",
        "PARSE_REST_API_KEY": CANARY,
        "VIRGIL_API_URL": f"{url}/virgil",
        "VIRGIL_SERVICE_PUBLIC_KEY": KEY,
    }
    transport = RequestsTransport(**limits)
    return EncryptedClient.from_env(environment, keystore=MemoryKeystore(), transport=transport)


def _failure(url: str, **limits: Any) -> EncryptedParseError:
    with pytest.raises(EncryptedParseError) as caught:
        _client(url, **limits).log_in("ann", CANARY)
    assert CANARY not in f"{caught.value} {caught.value.hint}"
    return caught.value


def _waits(peer: Peer) -> None:
    peer.read_head()
    peer.drip(b"H", 1500)


def _breaks(peer: Peer) -> None:
    peer.read_head()


FAILURES: dict[str, tuple[Callable[[Peer], None], type[TransportError]]] = {
    "breaks": (_breaks, OutcomeUnknownError),
    "waits": (_waits, RequestTimeoutError),
    "too large": (answering(answer(bytes(9999))), ResponseTooLargeError),
    "broken gzip": (answering(answer(b"x", "Content-Encoding: gzip")), MalformedResponseError),
    "other compression": (answering(answer(b"x", "Content-Encoding: br")), MalformedResponseError),
    "a page": (answering(answer(PAGE, OF_HTML)), MalformedResponseError),
    "nothing": (answering(answer(b"")), MalformedResponseError),
    "a list": (answering(answer(b"[]")), MalformedResponseError),
    "another service's JSON": (answering(answer(b'{"status":"up"}')), MalformedResponseError),
}


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_names_the_address_and_its_variable(name: str) -> None:
    """Whatever goes wrong on the way, the error says which server, and which variable names it."""
    talk, kind = FAILURES[name]
    with RawServer(talk) as server:
        error = _failure(f"{server.url}/parse", total_timeout_seconds=0.5, max_response_bytes=5000)
        assert type(error) is kind
        assert f"{server.url}/parse (PARSE_SERVER_URL)" in str(error)


def test_a_server_that_is_not_there_is_named() -> None:
    """Nobody listens, or the name does not exist: the error says where."""
    for url in ("http://127.0.0.1:1/parse", "https://parse.invalid/parse"):
        error = _failure(url)
        assert type(error) is ConnectionFailedError
        assert f"{url} (PARSE_SERVER_URL)" in str(error)


def test_a_parameter_is_named_as_one() -> None:
    """What a program passes itself is called by its name; the environment's is not meant."""
    client = EncryptedClient.from_env(
        {"PARSE_SERVER_URL": "https://other.invalid", "PARSE_APPLICATION_ID": "app"},
        server_url="http://127.0.0.1:1/1",
        keystore=MemoryKeystore(),
        transport=RequestsTransport(),
    )
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1/1 \(server_url\)"):
        client.log_in("ann", CANARY)


def test_an_address_that_cannot_be_right_is_named_by_its_variable() -> None:
    """The address itself is not quoted, since it may hold a password; its variable is."""
    for name in ("PARSE_SERVER_URL", "VIRGIL_API_URL"):
        environment = {
            "PARSE_SERVER_URL": "https://parse.invalid/1",
            "PARSE_APPLICATION_ID": "app",
            "VIRGIL_API_URL": "https://directory.invalid",
            "VIRGIL_SERVICE_PUBLIC_KEY": KEY,
            name: f"https://ann:{CANARY}@parse.invalid",
        }
        with pytest.raises(ConfigurationError, match=name) as caught:
            EncryptedClient.from_env(environment, keystore=MemoryKeystore())
        assert CANARY not in f"{caught.value} {caught.value.hint}"


def test_a_lost_answer_to_a_write_names_the_address() -> None:
    """Also what is made of a time-out when the caller has to know that it may have happened."""
    with RawServer(_waits) as server:
        transport = RetryingTransport(RequestsTransport(total_timeout_seconds=0.5))
        client = ParseClient(ParseApp(f"{server.url}/parse", "app"), transport)
        with pytest.raises(OutcomeUnknownError, match=f"{server.url}/parse"):
            client.create("Message", {})


def test_a_gateways_answer_to_a_write_names_the_address() -> None:
    """A gateway that gave up on a write is named by the address that it stands in front of."""
    transport = FakeTransport(lambda _: HttpResponse(502, {}, PAGE))
    with pytest.raises(OutcomeUnknownError, match=r"https://x/parse \(server_url\)"):
        ParseClient(ParseApp("https://x/parse", "app"), transport).create("Message", {})


@pytest.mark.parametrize(
    "url",
    [
        f"https://ann:{CANARY}@parse.invalid/1?token={CANARY}#{CANARY}",
        f"https://ann:{CANARY}/@parse.invalid/1?{CANARY}",
        f"https://{CANARY}@parse.invalid/1#{CANARY}?{CANARY}",
    ],
)
def test_what_is_shown_of_any_address(url: str) -> None:
    """A request without a setting shows scheme, host, port and path, and nothing that is secret."""
    assert str(Endpoint.of(url)) == "https://parse.invalid/1"
    assert str(HttpRequest("GET", url).endpoint) == "https://parse.invalid/1"


def test_a_request_that_nobody_named_shows_its_address() -> None:
    """A transport that is used alone names scheme, host, port and path, and no query."""
    with pytest.raises(ConnectionFailedError) as caught:
        RequestsTransport().send(HttpRequest("GET", f"http://127.0.0.1:1/a/b?q={CANARY}"))
    assert str(caught.value).endswith(": http://127.0.0.1:1/a/b")


# --- what answers ------------------------------------------------------------------------------


def _answered(status: int, body: bytes = PAGE, url: str = "https://x", **headers: str) -> Any:
    transport = FakeTransport(lambda _: HttpResponse(status, headers, body))
    with pytest.raises(EncryptedParseError) as caught:
        ParseClient(ParseApp(url, "app", setting="PARSE_SERVER_URL"), transport).log_in("ann", "x")
    assert CANARY not in f"{caught.value} {caught.value.hint}"
    assert f"{url} (PARSE_SERVER_URL)" in str(caught.value)
    return caught.value


@pytest.mark.parametrize("status", [200, 404, 405])
def test_a_page_where_the_path_is_missing(status: int) -> None:
    """An address without /parse at its end is pointed out; one that has it is not."""
    error = _answered(status)
    assert type(error) is MalformedResponseError
    assert "a web page" in str(error)
    assert "/parse missing" in error.hint
    assert "missing" not in _answered(status, url="https://x/parse").hint


def test_json_without_a_code_where_nothing_is() -> None:
    """Another service's 404 names the address, too."""
    error = _answered(404, b'{"error":"no such route"}')
    assert type(error) is ParseServerError
    assert "address" in error.hint


def test_a_redirect_says_where_it_leads() -> None:
    """A redirect names the host that it leads to, and is still not followed."""
    error = _answered(301, b"", location=f"https://parse.example:8443/{CANARY}?token={CANARY}")
    assert type(error) is MalformedResponseError
    assert "a redirect to https://parse.example:8443, and" in str(error)
    assert "PARSE_SERVER_URL" in error.hint
    odd = _answered(302, b"", location="javascript:\x1b[2J")
    assert "a redirect, and" in str(odd)
    with_user = _answered(302, b"", location=f"https://ann:{CANARY}@parse.example")
    assert "a redirect to https://parse.example, and" in str(with_user)


@pytest.mark.parametrize("body", [PAGE, b"", b"Forbidden", b"{half"])
@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (401, PermissionDeniedError, "refused"),
        (403, PermissionDeniedError, "refused"),
        (413, RequestTooLargeError, "too large"),
        (429, RateLimitedError, "too many"),
        (500, ServerFailedError, "HTTP 500"),
        (503, ServerFailedError, "HTTP 503"),
    ],
)
def test_a_status_is_enough(
    status: int, kind: type[ParseServerError], word: str, body: bytes
) -> None:
    """What nginx, a firewall or a content delivery network says by its status has its class."""
    error = _answered(status, body)
    assert type(error) is kind
    assert error.status == status
    assert word in str(error)


def test_json_says_too_large_as_well() -> None:
    """Parse Server's own 413 is the same class."""
    assert type(_answered(413, b'{"error":"request entity too large"}')) is RequestTooLargeError


def test_a_proxys_wish_for_a_password_in_an_answer() -> None:
    """407 is nobody's but a proxy's, whatever stands in it."""
    error = _answered(407)
    assert "proxy" in str(error)
    assert "HTTPS_PROXY" in error.hint


def _service(status: int, body: bytes, **headers: str) -> ServiceClient:
    transport = FakeTransport(lambda _: HttpResponse(status, headers, body))
    tokens = TokenProvider(lambda: CANARY)
    tokens.get = tokens.replace = lambda *_: Token(CANARY, "u1", 1e12)  # type: ignore[method-assign, assignment]
    return ServiceClient("https://x/virgil", transport, tokens, setting="VIRGIL_API_URL")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, PAGE, PermissionDeniedError),
        (401, b'{"code":20304,"message":"expired"}', TokenError),
        (403, PAGE, PermissionDeniedError),
        (404, PAGE, DirectoryRefusedError),
        (413, PAGE, RequestTooLargeError),
        (429, PAGE, RateLimitedError),
        (429, b'{"code":60001,"message":"later"}', DirectoryRefusedError),
        (502, PAGE, DirectoryRefusedError),
        (200, PAGE, MalformedResponseError),
    ],
)
def test_in_front_of_the_directory(
    status: int, body: bytes, kind: type[EncryptedParseError]
) -> None:
    """The same statuses are the same classes for the directory, unless it says a code itself."""
    with pytest.raises(EncryptedParseError) as caught:
        _service(status, body).call("GET", "card/v5/x", repeat=Repeat.SAFE).json()
    assert type(caught.value) is kind
    assert CANARY not in f"{caught.value} {caught.value.hint}"
    if body == PAGE:
        assert "https://x/virgil (VIRGIL_API_URL)" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, PAGE, PermissionDeniedError),
        (403, PAGE, PermissionDeniedError),
        (403, b'{"error":"unauthorized"}', DeployError),
        (404, PAGE, DeployError),
        (413, b"", RequestTooLargeError),
        (413, PAGE, RequestTooLargeError),
        (429, PAGE, RateLimitedError),
        (502, PAGE, DeployError),
        (200, PAGE, MalformedResponseError),
    ],
)
def test_in_front_of_the_deploy_service(
    status: int, body: bytes, kind: type[EncryptedParseError]
) -> None:
    """The same for the deploy service, whose keys only its own answers refuse."""
    transport = FakeTransport(lambda _: HttpResponse(status, {}, body))
    server = DeployServer(transport, "app", CANARY, "https://x/1", setting="BACK4APP_DEPLOY_URL")
    with pytest.raises(EncryptedParseError) as caught:
        server.current()
    assert type(caught.value) is kind
    assert CANARY not in f"{caught.value} {caught.value.hint}"
    if body != b'{"error":"unauthorized"}':
        assert "https://x/1 (BACK4APP_DEPLOY_URL)" in str(caught.value)


# --- proxies -----------------------------------------------------------------------------------


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the environment's proxies away."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


REFUSALS = {
    "407 Proxy Authentication Required": ("wants a name and a password", "HTTPS_PROXY"),
    "403 Forbidden": ("the proxy refuses to connect (HTTP 403)", "NO_PROXY"),
    "502 Bad Gateway": ("the proxy refuses to connect (HTTP 502)", "NO_PROXY"),
}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("status", REFUSALS)
def test_a_proxy_that_refuses(
    no_proxies: None, monkeypatch: pytest.MonkeyPatch, variable: str, status: str
) -> None:
    """The error names the proxy, the variable that it comes from, and not its password."""
    text, hint = REFUSALS[status]
    with RawServer(answering(answer(PAGE, status=status))) as proxy:
        place = proxy.url.removeprefix("http://")
        monkeypatch.setenv(variable, f"http://ann:{CANARY}@{place}")
        error = _failure("https://parse.invalid/parse")
    assert type(error) is ConnectionFailedError
    assert text in str(error)
    assert "https://parse.invalid/parse (PARSE_SERVER_URL)" in str(error)
    assert f"through the proxy http://{place} ({variable})" in str(error)
    assert error.hint is not None
    assert hint in error.hint


def test_a_proxy_that_is_not_there(no_proxies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that nobody runs is not taken for a server that nobody runs."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    error = _failure("https://parse.invalid/parse")
    assert "through the proxy http://127.0.0.1:1 (HTTPS_PROXY)" in str(error)
    assert error.hint is not None
    assert "proxy" in error.hint


# --- the directory's address -------------------------------------------------------------------


def test_a_pinned_key_needs_its_directory() -> None:
    """With a key that is pinned, Virgil's cloud is nobody's default: its address has to be said."""
    settings = {"server_url": "https://x", "application_id": "app", "service_public_key": KEY}
    with pytest.raises(ConfigurationError) as caught:
        EncryptedClient(**settings, keystore=MemoryKeystore())  # type: ignore[arg-type]
    assert caught.value.hint is not None
    assert "VIRGIL_API_URL" in caught.value.hint
    for empty in ({}, {"VIRGIL_API_URL": ""}):
        with pytest.raises(ConfigurationError):
            EncryptedClient.from_env(
                {
                    "PARSE_SERVER_URL": "https://x",
                    "PARSE_APPLICATION_ID": "app",
                    "VIRGIL_SERVICE_PUBLIC_KEY": KEY,
                    **empty,
                },
                keystore=MemoryKeystore(),
            )


def test_without_both_the_cloud_is_meant() -> None:
    """Neither key nor address: Virgil Cloud with the key that its own SDKs pin."""
    sent: list[HttpRequest] = []

    def refuse(request: HttpRequest) -> HttpResponse:
        sent.append(request)
        if request.url.endswith("/login"):
            fields = b'{"objectId":"u1","username":"ann","sessionToken":"r:1"}'
            return HttpResponse(200, {}, fields)
        return HttpResponse(404, {}, b'{"code":101,"error":"none"}')

    client = EncryptedClient(
        server_url="https://x",
        application_id="app",
        keystore=MemoryKeystore(),
        transport=FakeTransport(refuse),
    )
    assert client._directory_url == "https://api.virgilsecurity.com"
    assert client.log_in("ann", "x").user_id == "u1"


# --- waiting -----------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a list for whom is waited for, and make a wait of 50 ms a long one."""
    monkeypatch.setattr(calls, "WAITING_SECONDS", 0.05)
    return []


def test_a_wait_is_told_once(told: list[str]) -> None:
    """A server that does not begin its answer is named, once per request, and then waited for."""
    transport = RequestsTransport(on_waiting=told.append)

    def talk(peer: Peer) -> None:
        while peer.read_head():
            server.stopping.wait(0.4)
            peer.send(answer(b"late"))

    with RawServer(talk) as server:
        for count in (1, 2):
            request = HttpRequest("POST", f"{server.url}/a?q={CANARY}", body=b"x")
            assert transport.send(request).body == b"late"
            assert told == [f"127.0.0.1:{server.port}"] * count
        assert server.connections == 1
    transport.close()


def test_what_answers_at_once_is_not_told(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that has begun is not waited for any more, however long it takes."""
    monkeypatch.setattr(calls, "WAITING_SECONDS", 1.0)
    transport = RequestsTransport(on_waiting=told.append)

    def talk(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        peer.drip(b" ", 100)

    with RawServer(talk) as server:
        assert len(transport.send(HttpRequest("GET", f"{server.url}/")).body) == 100
    transport.close()
    assert told == []


def test_a_wait_still_ends_in_its_time(told: list[str]) -> None:
    """Telling somebody gives nobody more time."""
    transport = RequestsTransport(total_timeout_seconds=0.5, on_waiting=told.append)
    with RawServer(_waits) as server:
        with pytest.raises(RequestTimeoutError):
            transport.send(HttpRequest("GET", f"{server.url}/"))
        assert told == [f"127.0.0.1:{server.port}"]
        assert not server.finished.is_set()
    transport.close()


def test_a_call_is_given_up_after_it_was_told(told: list[str]) -> None:
    """Whoever is told may end the call: what it waits for fails."""
    gone = threading.Event()
    made: list[calls.Call] = []
    server = RawServer(lambda peer: (peer.read_head(), gone.wait(60)))  # type: ignore[arg-type, return-value]

    def give_up(host: str) -> None:
        told.append(host)
        made[0].give_up()

    with server, pytest.MonkeyPatch.context() as patch:
        original = calls.Call.__init__

        def kept(self: calls.Call, *args: Any, **settings: Any) -> None:
            original(self, *args, **settings)
            made.append(self)

        patch.setattr(calls.Call, "__init__", kept)
        transport = RequestsTransport(on_waiting=give_up)
        with pytest.raises((OutcomeUnknownError, RequestTimeoutError)):
            transport.send(HttpRequest("GET", f"{server.url}/"))
        gone.set()
    assert len(told) == 1


def test_a_slow_hand_shake_is_told_and_goes_on(
    told: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A hand-shake that was waited for in two parts is still one."""
    authority = Authority(tmp_path_factory.mktemp("waiting"), "waiting")
    context = authority.context("127.0.0.1")
    transport = RequestsTransport(ca_bundle=str(authority.bundle), on_waiting=told.append)

    def talk(peer: Peer) -> None:
        server.stopping.wait(0.4)
        with context.wrap_socket(peer.socket, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(answer(b"late"))

    with RawServer(talk) as server:
        request = HttpRequest("GET", f"https://127.0.0.1:{server.port}/")
        assert transport.send(request).body == b"late"
        assert told == [f"127.0.0.1:{server.port}"]
    transport.close()


def test_a_connection_that_is_being_made_is_waited_for() -> None:
    """What `connect` has begun is not begun again: it ends as it would have ended."""
    with RawServer(answering(answer(b""))) as server, connections._Socket() as made:
        made.setblocking(False)
        made.connect_ex(("127.0.0.1", server.port))
        made.settimeout(60)
        made._await_connection()
        assert made.getpeername() == ("127.0.0.1", server.port)
    with connections._Socket() as refused:
        refused.setblocking(False)
        if refused.connect_ex(("127.0.0.1", 1)) == errno.EINPROGRESS:
            refused.settimeout(60)
            with pytest.raises(ConnectionRefusedError):
                refused._await_connection()


def test_what_was_begun_is_gone_on_with(told: list[str]) -> None:
    """An operation that timed out when somebody was told is resumed, not called again."""
    done: list[str] = []
    call = calls.Call(10, 10, 10, on_waiting=lambda: told.append("told"))

    def begin() -> str:
        done.append("begun")
        raise TimeoutError

    with socket.socket() as unused:
        assert call.run(unused, begin, resume=lambda: "resumed") == "resumed"
    assert (done, told) == (["begun"], ["told"])


# --- time that grows with what moves -----------------------------------------------------------


def test_a_large_answer_has_the_time_of_its_size() -> None:
    """An answer that takes longer than the limit, and comes faster than the slowest rate, comes."""
    transport = RequestsTransport(total_timeout_seconds=0.5)
    piece = bytes(64 * 1024)

    def talk(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 * len(piece)))
        for _ in range(8):
            peer.send(piece)
            server.stopping.wait(0.2)

    with RawServer(talk) as server:
        body = transport.send(HttpRequest("GET", f"{server.url}/")).body
        assert len(body) == 8 * len(piece)
    transport.close()


def test_a_large_request_has_the_time_of_its_size() -> None:
    """What was sent counts as well: the answer to two megabytes may come after the limit."""
    transport = RequestsTransport(total_timeout_seconds=0.5)
    size = 2 * 1024 * 1024

    def talk(peer: Peer) -> None:
        left = size - len(peer.read_head().partition(b"\r\n\r\n")[2])
        while left > 0:
            left -= len(peer.socket.recv(65536))
        server.stopping.wait(1.5)
        peer.send(answer(b"thanks"))

    with RawServer(talk) as server:
        request = HttpRequest("POST", f"{server.url}/", body=bytes(size))
        assert transport.send(request).body == b"thanks"
    transport.close()


def test_the_time_of_a_size() -> None:
    """The whole is 30 s and a second for every 64 KiB, of both directions together."""
    now = [0.0]
    call = calls.Call(10, 1000, 30, clock=lambda: now[0])
    call.connected()
    call.expect_body(10**9)
    assert call.seconds() == 30
    call.sent(640 * 1024)
    assert call.seconds() == 40
    call.received(1280 * 1024)
    assert call.seconds() == 60
    now[0] = 60.0
    with pytest.raises(TimeoutError):
        call.seconds()


def test_no_byte_moves_for_long() -> None:
    """However much time the size gives, a step in which nothing moves has its own limit."""
    call = calls.Call(10, 30, 30, clock=lambda: 0.0)
    call.connected()
    call.sent(64 * 1024 * 1024)
    assert call.seconds() == 30
