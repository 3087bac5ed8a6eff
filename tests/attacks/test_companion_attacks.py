"""Hostile clients of the companion, on a real server: tokens, cards, records, points, noise."""

from __future__ import annotations

import base64
import itertools
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from tokens import TokenIssuer, card_id, raw_card

from encrypted_parse import UserClient
from encrypted_parse import virgil_crypto as vc
from encrypted_parse.devserver import DevServer
from encrypted_parse.errors import FunctionFailedError
from encrypted_parse.parse import ParseApp, ParseClient
from encrypted_parse.transport import RequestsTransport, RetryingTransport

_NUMBERS = itertools.count()
NOW = int(time.time())
P = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    16,
)
VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "virgil-services.json").read_text("utf-8")
)
BLINDED = [case["blinded"] for case in VECTORS["brainkey"]["cases"]]
RANDOM_REQUESTS = 10_000


class Caller:
    """Calls the companion with any token."""

    def __init__(self, server: DevServer) -> None:
        self.issuer = TokenIssuer(server)
        self._url = server.directory_url
        self._session = requests.Session()

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        identity: str | None = None,
        token: str | None = None,
        **options: Any,
    ) -> requests.Response:
        """Send one request, as *identity*, with *token*, or with neither."""
        headers = dict(options.pop("headers", {}))
        if identity is not None:
            token = self.issuer.issue(identity)
        if token is not None:
            headers["Authorization"] = f"Virgil {token}"
        content = {} if body is None else {"json": body}
        return self._session.request(
            method, f"{self._url}/{path}", headers=headers, timeout=30, **content, **options
        )


@pytest.fixture(scope="module")
def call(dev_server: DevServer) -> Caller:
    """The caller."""
    return Caller(dev_server)


@pytest.fixture
def victim() -> str:
    """A fresh identity."""
    return f"victim{next(_NUMBERS)}"


def _published(call: Caller, identity: str, **options: Any) -> dict[str, Any]:
    raw = raw_card(identity, **options)
    answer = call("POST", "card/v5", raw, identity=identity)
    assert answer.status_code == 201, answer.text
    return raw


def _code(answer: requests.Response) -> int:
    assert 400 <= answer.status_code < 500
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert isinstance(body["message"], str)
    return int(body["code"])


# --- tokens ---------------------------------------------------------------------------------

BAD_TOKENS: dict[str, Any] = {
    "expired": {"payload": {"exp": NOW - 3600}},
    "from the future": {"payload": {"iat": NOW + 3600, "exp": NOW + 7200}},
    "signed by somebody": {"key": vc.generate_key_pair().private_key},
    "of another app": {"payload": {"iss": "virgil-other"}},
    "without an identity": {"payload": {"sub": "identity-"}},
    "of another kind": {"payload": {"sub": "victim"}},
    "with another key id": {"header": {"kid": "other"}},
    "without an algorithm": {"header": {"alg": "none"}},
    "of another algorithm": {"header": {"alg": "HS256"}},
    "of another type": {"header": {"cty": "other"}},
    "that never ends": {"payload": {"exp": "never"}},
}


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_bad_tokens(call: Caller, what: str) -> None:
    """A token that is not this app's, live, and signed opens nothing."""
    token = call.issuer.issue("victim", **BAD_TOKENS[what])
    for method, path in (("GET", "keyknox/v1"), ("POST", "card/v5"), ("POST", "keyknox/v2/keys")):
        assert _code(call(method, path, token=token)) in (20303, 20304)


def test_malformed_tokens(call: Caller) -> None:
    """Neither part of a token, nor something like it; and none at all."""
    head, body, signature = call.issuer.issue("victim").split(".")
    for token in (f"{head}.{body}", f"{head}.{body}.", f".{body}.{signature}", "a.b.c", "x" * 9000):
        assert _code(call("GET", "keyknox/v1", token=token)) == 20303
    assert _code(call("GET", "keyknox/v1")) == 20300
    for scheme in ("Bearer", "Basic", ""):
        header = {"Authorization": f"{scheme} {head}.{body}.{signature}".strip()}
        assert _code(call("GET", "keyknox/v1", headers=header)) == 20300


def test_a_session_of_somebody_else(dev_server: DevServer) -> None:
    """The function refuses a session in its parameters that is not the request's."""
    keys = {
        "X-Parse-Application-Id": dev_server.application_id,
        "X-Parse-REST-API-Key": dev_server.rest_api_key,
    }

    def post(path: str, body: Any, session: str | None = None) -> Any:
        headers = keys | ({"X-Parse-Session-Token": session} if session else {})
        url = f"{dev_server.url}/{path}"
        return requests.post(url, json=body, headers=headers, timeout=20).json()

    sessions = [
        post("users", {"username": f"attack{next(_NUMBERS)}", "password": "x"})["sessionToken"]
        for _ in range(2)
    ]
    own = post("functions/virgil-jwt", {}, sessions[0])["result"]["token"]
    assert post("functions/virgil-jwt", {"sessionToken": sessions[0]}, sessions[0])["result"]
    assert post("functions/virgil-jwt", {"sessionToken": sessions[0]})["result"]
    assert own
    different = post("functions/virgil-jwt", {"sessionToken": sessions[1]}, sessions[0])
    assert different["code"] == 142
    for params in ({}, {"sessionToken": "r:0"}, {"sessionToken": {"$ne": ""}}, {"sessionToken": 5}):
        assert post("functions/virgil-jwt", params)["code"] == 209


# --- cards ----------------------------------------------------------------------------------


def test_another_users_card(call: Caller, victim: str) -> None:
    """Neither published nor revoked nor replaced by anybody else."""
    raw = _published(call, victim)
    assert _code(call("POST", "card/v5", raw_card(victim), identity="mallory")) == 40034
    revoke = f"card/v5/actions/revoke/{card_id(raw)}"
    assert _code(call("POST", revoke, identity="mallory")) == 40032
    successor = raw_card("mallory", previous=card_id(raw))
    assert _code(call("POST", "card/v5", successor, identity="mallory")) == 40038
    body = {"identities": [victim]}
    [found] = call("POST", "card/v5/actions/search", body, identity="mallory").json()
    assert found["content_snapshot"] == raw["content_snapshot"]


def test_a_replayed_publish(call: Caller, victim: str) -> None:
    """A replaced or revoked card does not come back; the current one may be sent again."""
    first = _published(call, victim)
    assert call("POST", "card/v5", first, identity=victim).status_code == 200
    second = _published(call, victim, previous=card_id(first))
    assert _code(call("POST", "card/v5", first, identity=victim)) == 40043
    call("POST", f"card/v5/actions/revoke/{card_id(second)}", identity=victim)
    for raw in (first, second):
        assert _code(call("POST", "card/v5", raw, identity=victim)) == 40043


def test_cards_that_lie(call: Caller, victim: str) -> None:
    """A bad self signature, another's key, a wrong time, a forged service signature."""
    raw, other = raw_card(victim), raw_card(victim)
    swapped = {**raw, "signatures": other["signatures"]}
    assert _code(call("POST", "card/v5", swapped, identity=victim)) == 40035
    forged = {"signer": "virgil", "signature": raw["signatures"][0]["signature"]}
    for wrong in ([], [forged], [*raw["signatures"], forged], raw["signatures"] * 2):
        answer = call("POST", "card/v5", {**raw, "signatures": wrong}, identity=victim)
        assert _code(answer) in (40031, 40035)
    old = raw_card(victim, created_at=NOW - 200_000)
    assert _code(call("POST", "card/v5", old, identity=victim)) == 40037
    body = {"identities": [victim]}
    assert call("POST", "card/v5/actions/search", body, identity=victim).json() == []


# --- records --------------------------------------------------------------------------------


def test_another_users_records(call: Caller, victim: str) -> None:
    """Not read, not listed, not overwritten, not deleted."""
    copy = {"meta": base64.b64encode(b"m").decode(), "value": base64.b64encode(b"v").decode()}
    place = {"root": "r", "path": "p", "key": "k"}
    push = {**place, **copy, "identities": [victim]}
    assert call("PUT", "keyknox/v1", copy, identity=victim).status_code == 200
    assert call("POST", "keyknox/v2/push", push, identity=victim).status_code == 200

    assert call("GET", "keyknox/v1", identity="mallory").json()["value"] == ""
    pull = {**place, "identity": victim}
    assert call("POST", "keyknox/v2/pull", pull, identity="mallory").json()["value"] == ""
    listed = call("POST", "keyknox/v2/keys", {"identity": victim}, identity="mallory").json()
    assert listed == []
    call("POST", "keyknox/v2/reset", {**place, "identity": victim}, identity="mallory")
    call("POST", "keyknox/v2/reset", {"owner": victim}, identity="mallory")
    call("POST", "keyknox/v1/reset", identity="mallory")
    own = call("POST", "keyknox/v2/push", {**push, "owner": victim}, identity="mallory").json()
    assert own["owner"] == "mallory"
    assert call("GET", "keyknox/v1", identity=victim).json()["value"] == copy["value"]
    assert call("POST", "keyknox/v2/pull", place, identity=victim).json()["value"] == copy["value"]


def test_bodies_that_are_too_large(call: Caller) -> None:
    """More than a mebibyte is refused with JSON, and the next request works."""
    token = call.issuer.issue("victim")
    for method, path in (("POST", "card/v5"), ("PUT", "keyknox/v1"), ("POST", "keyknox/v2/push")):
        assert _code(call(method, path, token=token, data=b" " * (3 * 2**20))) == 10003
        try:
            answer = call(method, path, token=token, data=b" " * (40 * 2**20))
        except requests.ConnectionError:
            continue  # refused while it was still being sent
        assert _code(answer) == 10003
    assert call("GET", "keyknox/v1", token=token).status_code == 200


# --- BrainKey -------------------------------------------------------------------------------


def _on_the_curve(start: int) -> tuple[int, int]:
    """Return a point of the curve; hardly any lies in the group of prime order."""
    x = start
    while True:
        square = (x**3 + 4) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            return x, y
        x += 1


def _encoded(x: int, tag: int = 2) -> str:
    return base64.b64encode(bytes([tag]) + x.to_bytes(48, "big")).decode()


def test_seeds(call: Caller) -> None:
    """A seed depends on the user, the key's name and the point, and on nothing else."""
    users = [f"brain{next(_NUMBERS)}" for _ in range(3)]

    def seed(user: str, point: str, **more: str) -> str:
        body = {"blinded_password": point, **more}
        answer = call("POST", "pythia/v1/brainkey", body, identity=user)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["seed"])

    first = seed(users[0], BLINDED[0])
    assert len(base64.b64decode(first)) == 384
    other = seed(users[1], BLINDED[0])
    named = seed(users[2], BLINDED[0], brainkey_id="second")
    assert len({first, other, named}) == 3
    time.sleep(2.0)
    assert seed(users[0], BLINDED[0]) == first
    assert seed(users[1], BLINDED[1]) != other


def test_one_try_every_two_seconds(call: Caller) -> None:
    """Faster tries are refused with the code that E3Kit waits for; refusals do not extend it."""
    user = f"brain{next(_NUMBERS)}"
    body = {"blinded_password": BLINDED[0]}
    start = time.monotonic()
    assert call("POST", "pythia/v1/brainkey", body, identity=user).status_code == 200
    answer = call("POST", "pythia/v1/brainkey", body, identity=user)
    assert (answer.status_code, answer.json()["code"]) == (429, 60007)
    statuses = []
    while time.monotonic() - start < 3.0:  # refused every 0.3 s, and still accepted in time
        answer = call("POST", "pythia/v1/brainkey", body, identity=user)
        statuses.append((answer.status_code, time.monotonic() - start))
        time.sleep(0.3)
    [accepted] = [at for status, at in statuses if status == 200]
    assert accepted > 1.9
    assert {status for status, _ in statuses} == {200, 429}


def test_points_outside_the_group(call: Caller) -> None:
    """Not on the curve, of another order, at infinity, not reduced: refused, without a seed."""
    x, _ = _on_the_curve(1234567)
    off = next(n for n in range(2, 99) if pow((n**3 + 4) % P, (P - 1) // 2, P) == P - 1)
    wrong = [_encoded(x), _encoded(x, 3), _encoded(0), _encoded(0, 3), _encoded(off), _encoded(P)]
    wrong += [_encoded(x, 4), base64.b64encode(bytes(49)).decode(), "", "!", BLINDED[0][:-4]]
    wrong += [base64.b64encode(b"\x02" + b"\xff" * 48).decode()]
    for point in [*wrong, None, 5, [BLINDED[0]], {"a": 1}]:
        user = f"brain{next(_NUMBERS)}"
        body = {"blinded_password": point}
        assert _code(call("POST", "pythia/v1/brainkey", body, identity=user)) == 60001, point
    body = {"blinded_password": BLINDED[0], "brainkey_id": 5}
    assert _code(call("POST", "pythia/v1/brainkey", body, identity="brain")) == 60001


# --- noise ----------------------------------------------------------------------------------

PATHS = [
    *("card/v5", "card/v5/", "card/v5/x", "card/v5/actions/search", "card/v5/actions/outdated"),
    *("card/v5/actions/revoke/x", "keyknox/v1", "keyknox/v1/reset", "keyknox/v2/push"),
    *("keyknox/v2/pull", "keyknox/v2/keys", "keyknox/v2/reset", "pythia/v1/brainkey"),
    *("", "/", "x", "card", "keyknox", "%00", "%2e%2e/parse/classes/_User", "card/v5/%f0%9f", "é"),
]
MEMBERS = [
    *("identities", "identity", "card_ids", "content_snapshot", "signatures", "root", "path"),
    *("key", "meta", "value", "blinded_password", "brainkey_id", "__proto__", "constructor"),
]


def _noise(source: random.Random, depth: int = 0) -> Any:
    """Return some JSON: wrong types, extremes, text of every kind."""
    kinds = 11 if depth < 3 else 8
    return [
        lambda: None,
        lambda: source.choice([True, False]),
        lambda: source.choice([0, -1, 2**31, 2**53 + 1, 1e308, 0.1]),
        lambda: "".join(chr(source.choice([0, 10, 65, 233, 0x416, 0x1F389])) for _ in range(9)),
        lambda: base64.b64encode(source.randbytes(source.randrange(80))).decode(),
        lambda: source.choice(["canary", "", "a" * 3000, "$ne", "..", "victim0"]),
        lambda: {"$ne": "canary"},
        lambda: {"__type": "Pointer", "className": "_User", "objectId": "x"},
        lambda: [_noise(source, depth + 1) for _ in range(source.randrange(4))],
        lambda: {source.choice(MEMBERS): _noise(source, depth + 1) for _ in range(3)},
        lambda: {source.choice(MEMBERS): _noise(source, depth + 1) for _ in range(6)},
    ][source.randrange(kinds)]()


# --- deleted users, quotas, throttles, roles -------------------------------------------------


def test_a_deleted_user(call: Caller, dev_server: DevServer) -> None:
    """No token for the session that is left over; and with an older token, nothing new."""
    headers = {
        "X-Parse-Application-Id": dev_server.application_id,
        "X-Parse-REST-API-Key": str(dev_server.rest_api_key),
    }

    def parse(method: str, path: str, body: Any, session: str | None = None) -> requests.Response:
        mine = headers if session is None else {**headers, "X-Parse-Session-Token": session}
        return requests.request(
            method, f"{dev_server.url}/{path}", json=body, headers=mine, timeout=20
        )

    name = f"deleted{next(_NUMBERS)}{random.random()}"
    user = parse("POST", "users", {"username": name, "password": "a password"}).json()
    identity, session = user["objectId"], user["sessionToken"]
    token = parse("POST", "functions/virgil-jwt", {}, session).json()["result"]["token"]
    root = raw_card(identity)
    assert call("POST", "card/v5", root, token=token).status_code == 201
    assert parse("DELETE", f"users/{identity}", {}, session).status_code == 200
    for answer in (
        parse("POST", "functions/virgil-jwt", {}, session),
        parse("POST", "functions/virgil-jwt", {"sessionToken": session}),
    ):
        assert answer.json()["code"] == 209
    copy = {"meta": "AAAA", "value": "AAAA"}
    place = {"root": "r", "path": "p", "key": "k", "identities": [identity]}
    for method, path, body in (
        ("POST", "card/v5", raw_card(identity)),
        ("POST", "card/v5", raw_card(identity, previous=card_id(root))),
        ("PUT", "keyknox/v1", copy),
        ("POST", "keyknox/v2/push", {**place, **copy}),
        ("POST", "pythia/v1/brainkey", {"blinded_password": BLINDED[0]}),
    ):
        assert _code(call(method, path, body, token=token)) == 40045
    assert call("POST", "card/v5/actions/search", {"identity": identity}, token=token).json() == []


def test_a_crowd_of_pushes(call: Caller, victim: str) -> None:
    """An identity keeps eight megabytes, however many requests push at once."""
    value = base64.b64encode(random.randbytes(600_000)).decode()

    def push(number: int) -> requests.Response:
        place = {"root": "r", "path": "p", "key": f"{number}", "identities": [victim]}
        return call("POST", "keyknox/v2/push", {**place, "meta": "AAAA", "value": value}, token=own)

    own = call.issuer.issue(victim)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(push, range(16)))
    assert sum(answer.status_code == 200 for answer in answers) == 10
    assert {_code(answer) for answer in answers if answer.status_code != 200} == {50014}
    other = call.issuer.issue(f"{victim}-other")
    copy = {"meta": "AAAA", "value": value}
    assert call("PUT", "keyknox/v1", copy, token=other).status_code == 200


def test_a_crowd_of_password_attempts(call: Caller, victim: str) -> None:
    """Of attempts in one moment one is answered: the database decides, not a process's memory."""
    token = call.issuer.issue(victim)

    def attempt(_: int) -> int:
        answer = call("POST", "pythia/v1/brainkey", {"blinded_password": BLINDED[0]}, token=token)
        return int(answer.status_code)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [200] + [429] * 7


def test_a_hidden_role_inside(dev_server: DevServer, make_user: Callable[..., UserClient]) -> None:
    """Through a role that may be read, nothing is told of one in it that may not."""
    caller, hidden = make_user(registered=False), make_user(registered=False)
    app = ParseApp(dev_server.url, dev_server.application_id, master_key=dev_server.master_key)
    master = ParseClient(app, RetryingTransport(RequestsTransport()))
    suffix = f"{next(_NUMBERS)}x{random.getrandbits(32)}"

    def role(name: str, acl: Any, **relations: Any) -> str:
        related = {
            column: {"__op": "AddRelation", "objects": [
                {"__type": "Pointer", "className": kind, "objectId": one} for one in ids
            ]}
            for column, (kind, ids) in relations.items()
        }  # fmt: skip
        body = json.dumps({"name": name, "ACL": acl, **related}).encode()
        return str(master.call("POST", "roles", content=body)["objectId"])

    inner = role(f"inner{suffix}", {}, users=("_User", [hidden.user_id]))
    readable = {caller.user_id: {"read": True}}
    outer = f"outer{suffix}"
    role(outer, readable, users=("_User", [caller.user_id]), roles=("_Role", [inner]))
    plain = f"plain{suffix}"
    role(plain, readable, users=("_User", [caller.user_id]))
    with pytest.raises(FunctionFailedError) as caught:
        caller.parse.call_function("role-members", {"roles": [outer]})
    assert hidden.user_id not in str(caught.value)
    answer = caller.parse.call_function("role-members", {"roles": [plain]})
    assert answer == {"members": {plain: [caller.user_id]}}


@pytest.mark.long
def test_ten_thousand_random_requests(call: Caller, dev_server: DevServer) -> None:
    """Never a 5xx, never HTML, never another user's data; and the service goes on."""
    canary = base64.b64encode(b"canary of a record").decode()
    copy = {"meta": canary, "value": canary}
    assert call("PUT", "keyknox/v1", copy, identity="canary").status_code == 200
    push = {**copy, "root": "r", "path": "p", "key": "k", "identities": ["canary"]}
    assert call("POST", "keyknox/v2/push", push, identity="canary").status_code == 200

    source = random.Random(4)
    token = call.issuer.issue("noise")
    for number in range(RANDOM_REQUESTS):
        method = source.choice(["GET", "POST", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
        options: dict[str, Any] = {"token": None if number % 50 == 0 else token}
        if source.random() < 0.2:
            options["data"] = source.randbytes(source.randrange(200))
        else:
            options["body"] = {member: _noise(source) for member in source.sample(MEMBERS, 4)}
        answer = call(method, source.choice(PATHS), **options)
        assert answer.status_code < 500, (method, answer.url, options)
        assert canary not in answer.text
        assert "<html" not in answer.text.casefold()
        if method != "OPTIONS":
            answer.json()
    assert call("GET", "keyknox/v1", identity="canary").json()["value"] == canary
    assert requests.get(f"{dev_server.url}/health", timeout=20).json() == {"status": "ok"}
