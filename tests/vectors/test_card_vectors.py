"""Which cards are accepted: the same here, in the companion and in the fake, case by case.

The companion runs the same file: cloud_code/test/card-vectors.test.js.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from vectors import make_cards
from virgil_service import RefusalError, VirgilService

from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.directory import parse_card
from encrypted_parse.errors import CardSignatureError, MalformedCardError, UnsupportedKeyError

VECTORS: dict[str, Any] = json.loads(make_cards.FILE.read_text("utf-8"))
CASES = VECTORS["cases"]
SERVICE_KEY = PublicKey.from_base64(VECTORS["service_public_key"])
REASONS = {
    "malformed": (MalformedCardError, 40031),
    "key type": (UnsupportedKeyError, 40036),
    "signature": (CardSignatureError, 40035),
}
COUNT = 216


def served(case: dict[str, Any]) -> Any:
    """Return a case's card with the service's signature, if it has a place for one."""
    raw = case["raw"]
    if not isinstance(raw, dict) or not isinstance(raw.get("signatures"), list):
        return raw
    try:
        return make_cards.countersigned(raw)
    except (TypeError, KeyError, AttributeError, ValueError):
        return raw


def test_the_file_is_what_its_maker_makes() -> None:
    """No case was lost or edited by hand, and both outcomes are there for every reason."""
    assert make_cards.FILE.read_text("utf-8") == make_cards.written(make_cards.document())
    assert len(CASES) == COUNT
    assert len({case["name"] for case in CASES}) == COUNT
    assert {case.get("reason") for case in CASES} == {None, *REASONS}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_client_accepts_what_the_vectors_say(case: dict[str, Any]) -> None:
    """Accepted with the same id, or refused for the same reason, as the companion does."""
    if case["expect"] == "accepted":
        card = parse_card(served(case), service_key=SERVICE_KEY)
        assert card.card_id == case["card_id"]
        assert card.raw["signatures"][-1]["signature"] == case["service_signature"]
    else:
        with pytest.raises(REASONS[case["reason"]][0]):
            parse_card(served(case), service_key=SERVICE_KEY)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_fake_accepts_what_the_vectors_say(case: dict[str, Any]) -> None:
    """The services in memory are as strict as the companion, and say the same code."""
    service = VirgilService()
    service.key = PrivateKey.from_base64(VECTORS["service_private_key"])
    raw = case["raw"]
    if case["expect"] == "accepted":
        snapshot = json.loads(base64.b64decode(raw["content_snapshot"]))
        user_id, previous = snapshot["identity"], snapshot.get("previous_card_id")
        if previous is None:
            answer = service.publish(user_id, raw)
            assert answer["signatures"][-1]["signature"] == case["service_signature"]
            return
        with pytest.raises(RefusalError) as caught:  # its predecessor is not there
            service.publish(user_id, raw)
        assert caught.value.code == 40038
        return
    with pytest.raises(RefusalError) as caught:
        service.publish(make_cards.IDENTITY, raw)
    assert caught.value.code == REASONS[case["reason"]][1]
