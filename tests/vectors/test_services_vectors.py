"""Cards, chains and tokens of the shared vectors, made with Virgil's own packages."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse.crypto import PublicKey
from encrypted_parse.directory import Token, link_cards, parse_card
from encrypted_parse.errors import DirectoryError, TokenError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "virgil-services.json").read_text("utf-8")
)
CARDS = VECTORS["cards"]
# Valid to Virgil's SDK; ours reads Ed25519 keys and ASCII user ids only, and says so.
REFUSED_HERE = {
    "identity outside Latin-1",
    "post-quantum hybrid key (round5+falcon)",
}


def test_the_vectors_are_all_there() -> None:
    """The exact counts, so that no case can get lost."""
    assert (len(CARDS["cases"]), len(CARDS["chains"]), len(VECTORS["jwt"]["cases"])) == (18, 5, 32)


@pytest.mark.parametrize("case", CARDS["cases"], ids=lambda case: case["name"])
def test_cards_are_judged_as_the_vectors_say(case: dict[str, Any]) -> None:
    """A card with a valid self signature is read, with the same id; any other is refused."""
    ed25519 = case.get("content", {}).get("public_key", "").startswith("MCowBQYDK2Vw")
    if case["self_signature_valid"] and case["name"] not in REFUSED_HERE and ed25519:
        card = parse_card(case["raw"], service_key=None)
        assert card.card_id == case["card_id"]
        assert card.user_id == case["content"]["identity"]
    else:
        with pytest.raises(DirectoryError):
            parse_card(case["raw"], service_key=None)


def test_a_pinned_service_key_has_to_have_signed() -> None:
    """With a pinned key, a card without the service's signature is refused."""
    key = PublicKey.from_base64(CARDS["service_public_key"])
    root = CARDS["cases"][0]
    assert {item["signer"] for item in root["raw"]["signatures"]} == {"self"}
    with pytest.raises(DirectoryError):
        parse_card(root["raw"], service_key=key)


@pytest.mark.parametrize("case", CARDS["chains"], ids=lambda case: case["name"])
def test_chains_are_linked_as_the_sdk_links_them(case: dict[str, Any]) -> None:
    """Heads and their predecessors are those of Virgil's SDK, in any order of the answer."""
    cards = [parse_card(raw, service_key=None) for raw in case["answer"]]
    linked = {tuple(card.card_id for card in chain.cards) for chain in link_cards(cards)}
    assert linked == {tuple(card["id"] for card in head) for head in case["heads"]}


@pytest.mark.parametrize("case", VECTORS["jwt"]["cases"], ids=lambda case: case["name"])
def test_tokens_are_read(case: dict[str, Any]) -> None:
    """A valid token gives its identity; whatever is no token gives a `TokenError` only."""
    if case["expect"] == "valid":
        assert Token.parse(case["token"]).user_id == case["identity"]
        return
    # Signatures and dates are the directory's to judge; here only the form counts.
    with contextlib.suppress(TokenError):
        assert Token.parse(case["token"]).text == case["token"]
