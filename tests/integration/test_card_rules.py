"""Which cards a real companion takes, and what heavy or poisoned users do to others there."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from tokens import TokenIssuer, card_id
from vectors import make_cards

from encrypted_parse import Model, UserClient, acl_readers, encrypted
from encrypted_parse.devserver import DevServer
from encrypted_parse.directory.raw_cards import MAX_CARD_BYTES
from encrypted_parse.errors import DirectoryRefusedError

MakeUser = Callable[..., UserClient]
CASES = json.loads(make_cards.FILE.read_text("utf-8"))["cases"]
CODES = {"malformed": 40031, "key type": 40036, "signature": 40035, None: 40037}
HEAVY_CARDS = 140  # of 16 KiB: two users of them are more than an answer, one is not
_SECONDS = itertools.count(int(time.time()) - 1000)


class Note(Model, parse_class="CardRulesNote"):
    """An object with one encrypted field."""

    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


class Companion:
    """Raw calls of the cards service, as any user."""

    def __init__(self, server: DevServer) -> None:
        self._issuer = TokenIssuer(server)
        self._url = f"{server.directory_url}/card/v5"
        self._session = requests.Session()

    def publish(self, user_id: str, raw: Any) -> requests.Response:
        """Publish a raw card."""
        return self._post("", user_id, raw)

    def search(self, *user_ids: str) -> requests.Response:
        """Search cards."""
        return self._post("/actions/search", "reader", {"identities": user_ids})

    def _post(self, path: str, user_id: str, body: Any) -> requests.Response:
        headers = {"Authorization": f"Virgil {self._issuer.issue(user_id)}"}
        return self._session.post(f"{self._url}{path}", json=body, headers=headers, timeout=30)


@pytest.fixture
def companion(dev_server: DevServer) -> Companion:
    """The companion of the shared server."""
    return Companion(dev_server)


def test_the_companion_takes_what_the_vectors_say(companion: Companion) -> None:
    """Over HTTP too: what is accepted fails at its old date alone, the rest for its reason."""
    for case in CASES:
        if not isinstance(case["raw"], dict) or case["name"] == "one byte too large":
            continue  # no body of this service; measured with its signature, after the date
        identity = make_cards.IDENTITY
        if case["expect"] == "accepted":
            identity = json.loads(base64.b64decode(case["raw"]["content_snapshot"]))["identity"]
        answer = companion.publish(identity, case["raw"])
        assert answer.json()["code"] == CODES[case.get("reason")], case["name"]


def test_heavy_users_cost_others_nothing(companion: Companion, make_user: MakeUser) -> None:
    """Two users with megabytes of cards: too much for one answer, read by asking for each."""
    heavy = [make_user(), make_user()]
    reader = make_user()
    for user in heavy:
        previous = companion.search(user.user_id).json()[0]
        for _ in range(HEAVY_CARDS):
            text = make_cards.text_of(
                identity=user.user_id,
                created_at=next(_SECONDS),
                previous_card_id=card_id(previous),
                x="",
            )
            filler = "x" * ((MAX_CARD_BYTES - 600) // 4 * 3 - len(text))
            previous = make_cards.signed(text.replace('"x":""', f'"x":"{filler}"'))
            answer = companion.publish(user.user_id, previous)
            assert answer.status_code == 201, answer.text
    both = companion.search(*(user.user_id for user in heavy))
    assert both.json()["code"] == 40044
    alone = companion.search(heavy[0].user_id)
    assert alone.status_code == 200
    assert len(alone.content) < 4 * 1024 * 1024
    note = Note(sender_id=reader.user_id, body="hello")
    for user in heavy:
        note.acl.allow_read(user.user_id)
    reader.save(note)
    ids = {user.user_id for user in heavy}
    assert set(reader.e3kit.find_users(ids, force_reload=True)) == ids


def test_a_broken_card_of_ones_own_is_ended(companion: Companion, make_user: MakeUser) -> None:
    """The real companion lets a user revoke a chain by ids alone, and register again."""
    user, peer = make_user(), make_user()
    user.e3kit.rotate_private_key()
    client = user.e3kit._directory.client
    client._service_key = peer.e3kit.find_own_card().public_key  # type: ignore[union-attr]
    assert client.revoke_all(user.user_id) is True
    assert client.revoke_all(user.user_id) is False
    assert companion.search(user.user_id).json() == []
    with pytest.raises(DirectoryRefusedError):
        client.revoke(card_id(companion.search(peer.user_id).json()[0]))
