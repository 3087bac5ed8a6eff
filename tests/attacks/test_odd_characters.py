"""Settings, tokens and names of any characters: an error of ours, or they work; never another.

Whoever sets a header adds one, if line breaks pass; and what `http.client`, `json` or a codec
raises on a lone surrogate quotes the token or the password that holds it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from raw_server import RawServer, answer, answering
from reachable import reachable

from encrypted_parse import EncryptedClient, MemoryKeystore, TrustPolicy
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.client import VIRGIL_CLOUD_KEY
from encrypted_parse.directory import ServiceClient, TokenProvider
from encrypted_parse.directory.tokens import Token
from encrypted_parse.errors import (
    ConfigurationError,
    EncryptedParseError,
    InvalidValueError,
    MalformedResponseError,
    TokenError,
)
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.transport import (
    FakeTransport,
    HttpRequest,
    HttpResponse,
    Repeat,
    RequestsTransport,
    RetryingTransport,
    check_url,
    insecure_hosts,
)

ODD = (
    "\r\nX-Evil: 1",
    "\n",
    "\0",
    "\u202e",
    "\ud800",
    "\ud83d\ude00",
    "\U0001f600",
    "é",
    "\x7f",
    " ",
    "x ",
    " x",
    "x\ty",
    "",
    "..",
    "../../users",
    "?x=1",
    "#x",
    "%2e%2e",
    "a" * 100_000,
)
# Characters as hypothesis likes them, surrogates included, and the odd ones by themselves.
TEXTS = st.one_of(st.sampled_from(ODD), st.text(st.characters(), max_size=60))
PUBLIC_KEY = vc.generate_key_pair().public_key.to_base64()
SETTINGS: dict[str, Any] = {
    "server_url": "https://parse.invalid/1",
    "application_id": "app",
    "directory_url": "https://directory.invalid",
    "service_public_key": PUBLIC_KEY,
}
VARIABLES = {
    "PARSE_SERVER_URL": "https://parse.invalid/1",
    "PARSE_APPLICATION_ID": "app",
    "VIRGIL_API_URL": "https://directory.invalid",
    "VIRGIL_SERVICE_PUBLIC_KEY": PUBLIC_KEY,
}
SESSION = {"objectId": "u1", "username": "u1", "sessionToken": "r:1"}


def _client(answered: Any = None, **settings: Any) -> EncryptedClient:
    body = json.dumps(SESSION if answered is None else answered).encode()
    transport = FakeTransport(lambda _: HttpResponse(200, {}, body))
    return EncryptedClient(
        **{**SETTINGS, "keystore": MemoryKeystore(), "transport": transport, **settings}
    )


@contextlib.contextmanager
def _ours_and_mute(secret: str = "") -> Any:
    """Let pass what is ours, if it holds no *secret* that is long enough to tell."""
    try:
        yield
    except EncryptedParseError as error:
        cause = error.__cause__
        if not isinstance(cause, (EncryptedParseError, type(None))):
            assert type(cause).__module__ == "builtins"  # a file's; never one of the network's
            assert isinstance(cause, OSError)
        if len(secret) > 5:
            assert reachable(error, secret) is None


@pytest.mark.parametrize(
    "setting", [*SETTINGS, "rest_api_key", "username", "password", "session_token"]
)
@given(text=TEXTS)
def test_every_setting(setting: str, text: str) -> None:
    """Each argument of a client: refused by name, or taken; and never quoted if secret."""
    secret = text if setting in {"rest_api_key", "password", "session_token"} else ""
    with _ours_and_mute(secret):
        if setting == "username":
            _client().log_in(text, "password")
        elif setting == "password":
            _client().log_in("u1", text)
            _client().sign_up("u1", text)
        elif setting == "session_token":
            _client().become(text)
        else:
            _client(**{setting: text})


@pytest.mark.parametrize("name", [*VARIABLES, "PARSE_REST_API_KEY", "ENCRYPTED_PARSE_TRUST_POLICY"])
@given(text=TEXTS)
def test_every_variable(name: str, text: str) -> None:
    """Each variable of the environment that names no file."""
    with _ours_and_mute():
        client = EncryptedClient.from_env({**VARIABLES, name: text}, keystore=MemoryKeystore())
        assert client.parse.app.application_id


@pytest.mark.parametrize("text", ["\0", "\ud800", "\r\n", "é", "a" * 5000, ":", "u1:"])
@pytest.mark.parametrize(
    "name",
    [
        "ENCRYPTED_PARSE_KEYSTORE",
        "ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE",
        "ENCRYPTED_PARSE_PRIVATE_KEYS",
        "ENCRYPTED_PARSE_PRIVATE_KEYS_FILE",
        "ENCRYPTED_PARSE_TRUST",
    ],
)
def test_every_variable_that_names_a_file(name: str, text: str, tmp_path: Path) -> None:
    """Names of files that no system has, and keys that are none."""
    value = text if name.endswith("KEYS") else f"{tmp_path}/{text}"
    body = json.dumps(SESSION).encode()
    variables = {**VARIABLES, "ENCRYPTED_PARSE_KEYSTORE": f"{tmp_path}/keys", name: value}
    with _ours_and_mute():
        client = EncryptedClient.from_env(
            variables, transport=FakeTransport(lambda _: HttpResponse(200, {}, body))
        )
        user = client.log_in("u1", "password")
        user.e3kit.has_local_private_key()


@given(text=TEXTS)
def test_every_argument_of_the_parse_client(text: str) -> None:
    """Names, ids, types, parameters and values of Parse's REST interface."""
    transport = FakeTransport(lambda _: HttpResponse(200, {}, json.dumps(SESSION).encode()))
    parse = ParseClient(ParseApp("https://parse.invalid/1", "app"), transport, "r:1")
    for call in (
        lambda: parse.get(text, "id"),
        lambda: parse.get("Note", text),
        lambda: parse.create("Note", {"text": text}),
        lambda: parse.find("Note", where={text: text}),
        lambda: parse.upload_file(text, b"", "text/plain"),
        lambda: parse.upload_file("name", b"", text),
        lambda: parse.download_file(text, max_bytes=10),
        lambda: parse.call_function(text, {text: text}),
        lambda: parse.call("GET", text),
        lambda: parse.call("GET", "users", params={text: text}),
        lambda: parse.call("GET", "users", headers={"X-Text": text}),
        lambda: parse.call("GET", "users", headers={text: "x"}),
        lambda: parse.call(text, "users"),
    ):
        with _ours_and_mute():
            call()
    for request in transport.requests:
        assert urllib.parse.urlsplit(request.url).netloc == "parse.invalid"
        for value in request.headers.values():
            assert value.isascii()
            assert value.isprintable()


@given(name=TEXTS, value=TEXTS, query=TEXTS)
def test_a_real_connection_sends_what_a_fake_takes(name: str, value: str, query: str) -> None:
    """No request that can be built fails in `requests`, and none has a header too many."""
    try:
        request = HttpRequest("GET", "http://127.0.0.1:1/x", {name: value}, {"q": query})
    except InvalidValueError:
        return
    with pytest.raises(EncryptedParseError) as caught:
        RequestsTransport().send(request)  # nobody listens there
    assert "ConnectionError" in str(caught.value)


@pytest.mark.parametrize("token", ODD[:9])
def test_a_header_stays_one_header(token: str) -> None:
    """What a token holds never becomes a header of its own, and a refusal does not show it."""
    with RawServer(answering(answer())) as server:
        app = ParseApp(server.url, "app")
        with pytest.raises(InvalidValueError) as caught:
            ParseClient(app, RequestsTransport(), f"r:canary{token}").become(f"r:canary{token}")
        assert server.connections == 0
    assert reachable(caught.value, "canary") is None


@pytest.mark.parametrize("text", ["\ud800", "\ud83d\ude00", "a\udc80b"])
def test_half_a_character_is_no_password(text: str) -> None:
    """A lone surrogate has no UTF-8: the server would take another one in its place."""
    client = _client()
    for call in (lambda: client.log_in("u1", text), lambda: client.sign_up(text, "p")):
        with pytest.raises(InvalidValueError):
            call()
    assert _client().log_in("u1", "\U0001f600 \\ud800 é").user_id == "u1"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes"])
def test_what_has_no_json_is_not_sent(value: object) -> None:
    """NaN and Python's own types are refused before anything is sent, and are not shown."""
    with pytest.raises(InvalidValueError) as caught:
        _client().sign_up("u1", "canary-password", column=value)
    assert reachable(caught.value, "canary-password") is None


@given(
    answered=st.fixed_dictionaries(
        {}, optional={name: st.one_of(TEXTS, st.none(), st.integers()) for name in SESSION}
    )
)
def test_every_answer_to_a_log_in(answered: dict[str, Any]) -> None:
    """A server that answers with odd texts gives a session that can be used, or an error."""
    with _ours_and_mute():
        user = _client(answered).log_in("u1", "password")
        user.parse.find("Note")


@pytest.mark.parametrize("token", [*ODD[:9], " "])
def test_a_session_token_of_the_server_that_no_header_can_hold(token: str) -> None:
    """The answer is refused as what it is: no session."""
    with pytest.raises(MalformedResponseError):
        _client({**SESSION, "sessionToken": f"r:1{token}"}).log_in("u1", "password")


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@given(
    text=st.one_of(
        TEXTS,
        st.builds(
            lambda subject, expiry, tail: (
                f"{_part({})}.{_part({'sub': subject, 'exp': expiry})}." + tail
            ),
            st.builds("identity-{}".format, TEXTS),
            st.one_of(st.integers(), st.floats(), st.booleans(), TEXTS),
            TEXTS,
        ),
    )
)
@example(text=f"{_part({})}.{_part({'sub': 'identity-u', 'exp': 10**400})}.AA")
@example(text=f"{_part({})}.{_part({'sub': 'identity-u', 'exp': -1})}.AA")
@example(text=f"{_part({})}.{_part({'sub': 'identity-u', 'exp': 2**40})}.A\nX-Evil: 1")
def test_every_directory_token(text: str) -> None:
    """What the cloud function gives is a token that a header can hold, or an error."""
    transport = FakeTransport(lambda _: HttpResponse(200, {}, b"{}"))
    service = ServiceClient("https://directory.invalid", transport, TokenProvider(lambda: text))
    with _ours_and_mute(text):
        service.call("GET", "card/v5")
    for request in transport.requests:
        assert request.headers["Authorization"].isprintable()


@pytest.mark.parametrize("expiry", [10**400, 2**53, -1, 1.5, None, "1"])
def test_an_expiry_that_is_no_time(expiry: object) -> None:
    """A number that no clock can be compared with is refused."""
    with pytest.raises(TokenError):
        Token.parse(f"{_part({})}.{_part({'sub': 'identity-u', 'exp': expiry})}.AA")


@given(
    value=st.one_of(
        TEXTS,
        st.floats().map(str),
        st.integers().map(str),
        st.builds("Mon, {} Jan {} 00:00:00 {}".format, st.integers(), st.integers(), TEXTS),
        st.builds("Mon, 01 Jan 2024 00:00:00 {:+d}".format, st.integers()),
    )
)
@example(value="9" * 5000)
@example(value="Mon, 01 Jan 2024 00:00:00 +99999999999999999999")
@example(value="Mon, 01 Jan 0000 00:00:00 +0000")
@example(value="nan")
def test_every_retry_after(value: str) -> None:
    """Whatever the server asks for, the wait is bounded and the answer comes back."""
    waits: list[float] = []
    transport = FakeTransport(lambda _: HttpResponse(429, {"retry-after": value}, b"{}"))
    retrying = RetryingTransport(transport, sleep=waits.append)
    request = HttpRequest("GET", "https://parse.invalid", repeat=Repeat.SAFE)
    assert retrying.send(request).status == 429
    assert all(0 <= wait <= 30 for wait in waits)


@given(
    lines=st.lists(
        st.builds(
            "{}: {}".format,
            st.sampled_from(
                ["Location", "Set-Cookie", "Content-Type", "Content-Length", "Retry-After", "X"]
            ),
            st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40),
        ),
        max_size=4,
    ),
    status=st.sampled_from(["200 OK", "302 Found", "401 No", "500 Oh", "999 Who", "204 No"]),
)
@example(lines=["Location: \xff\xfe"], status="302 Found")
@example(lines=["Location: http://[x"], status="307 Moved")
@example(lines=["Set-Cookie: a=b; expires=Mon, 99 Foo 99999 99:99:99 GMT"], status="200 OK")
def test_every_header_of_an_answer(lines: list[str], status: str) -> None:
    """Odd headers of an answer are read or refused; nothing is followed and nothing kept."""
    head = "\r\n".join([f"HTTP/1.1 {status}", *lines, "Connection: close", "", ""])
    transport = RequestsTransport(read_timeout_seconds=20)
    with RawServer(lambda peer: peer.read_head() and peer.send(head.encode("latin-1"))) as server:
        with _ours_and_mute():
            transport.send(HttpRequest("GET", f"{server.url}/"))
        assert server.connections == 1
        transport.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://parse.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "http://localhost:80@evil.example",
        "http://localhost\\@evil.example",
        "http://127.0.0.1#@evil.example",
        "http://[::1].evil.example",
        "http://[::1]evil.example",
        "http://local\thost",
        "http://evil.example\n",
        "\nhttp://localhost",
        " https://parse.example",
        "https://parse.example/\r\nX-Evil: 1",
        "https://parse.example/a b",
        "https://parse.example/../admin",
        "https://parse.example/%2e%2E/admin",
        "https://parse.example/%zz",
        "https://parse.example?x",
        "https://parse.example/#",
        "https://user:canary@parse.example",
        "https://user@parse.example",
        "https://parse.example:0x50",
        "https://parse.example:99999",
        "https://parsé.example",
        "https://-parse.example",
        "https://parse..example",
        f"https://{'a' * 64}.example",
        "https:///path",
        "https:parse.example",
        "ftp://parse.example",
        "file:///etc/passwd",
        "parse.example",
        "",
    ],
)
def test_addresses_that_leak_or_differ(url: str) -> None:
    """The same addresses are refused for the server, the directory and the deploy service."""
    for setting in ("server_url", "directory_url"):
        with pytest.raises(ConfigurationError) as caught:
            _client(**{setting: url})
        assert reachable(caught.value, "canary") is None
    with pytest.raises(ConfigurationError):
        ServiceClient(url, FakeTransport(lambda _: HttpResponse(200)), TokenProvider(lambda: ""))


@pytest.mark.parametrize(
    "url",
    [
        "https://parse.example",
        "HTTPS://Parse.Example:8443/a/b%20c",
        "http://localhost:1337/parse",
        "http://LOCALHOST",
        "http://127.0.0.1",
        "http://[::1]:1337",
        "https://xn--pars-epa.example",
        "https://parse_server/parse",
    ],
)
def test_addresses_that_are_right(url: str) -> None:
    """What people do use is taken as it is, but for slashes at its end."""
    assert check_url(f"{url}//") == url


def test_insecure_addresses_are_allowed_by_name() -> None:
    """A test network is one argument away, for both addresses."""
    client = _client(
        server_url="http://parse.example",
        directory_url="http://directory.example",
        allow_insecure_http=True,
        trust_policy=TrustPolicy.STRICT,
    )
    assert client.log_in("u1", "password").user_id == "u1"


HOSTS = "ENCRYPTED_PARSE_INSECURE_HOSTS"


def test_insecure_hosts_are_named_one_by_one() -> None:
    """Inside a network of containers: the named hosts on any port, and nothing else."""
    hosts = insecure_hosts({HOSTS: " parse, Companion ,[fd00::1],"})
    for url in ("http://parse:1337/parse", "http://COMPANION", "http://[fd00::1]:8080"):
        assert check_url(url, allow_insecure_http=hosts) == url
    for url in (
        "http://parse.example",
        "http://notparse",
        "http://parse.companion",
        "http://fd00",
        "http://parse@evil.example",
        "http://evil.example/parse",
    ):
        with pytest.raises(ConfigurationError):
            check_url(url, allow_insecure_http=hosts)
    for environ in ({}, {HOSTS: ""}, {HOSTS: " , "}):
        assert insecure_hosts(environ) == frozenset()


@pytest.mark.parametrize(
    "text",
    ["*", "*.example", "http://parse", "parse:1337", "parse companion", "parse;x", "pärse", "."],
)
def test_insecure_hosts_are_no_patterns(text: str) -> None:
    """What is no host's name is an error that names the variable, and allows nothing."""
    with pytest.raises(ConfigurationError, match=HOSTS):
        insecure_hosts({HOSTS: f"parse,{text}"})


def test_insecure_hosts_of_the_environment() -> None:
    """`from_env` allows both addresses by that list; without it, neither."""
    settings = {
        "PARSE_SERVER_URL": "http://parse:1337/parse",
        "PARSE_APPLICATION_ID": "app",
        "VIRGIL_API_URL": "http://companion:1337/virgil",
        "VIRGIL_SERVICE_PUBLIC_KEY": VIRGIL_CLOUD_KEY,
    }
    client = EncryptedClient.from_env(
        {**settings, HOSTS: "parse,companion"}, keystore=MemoryKeystore()
    )
    assert client.parse.app.server_url == settings["PARSE_SERVER_URL"]
    for hosts in ("", "parse", "companion"):
        with pytest.raises(ConfigurationError, match="to the network") as refused:
            EncryptedClient.from_env({**settings, HOSTS: hosts}, keystore=MemoryKeystore())
        assert HOSTS in (refused.value.hint or "")
