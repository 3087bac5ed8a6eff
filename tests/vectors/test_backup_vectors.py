"""BrainKey, Keyknox containers and backups, as E3Kit's libraries made them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from encrypted_parse.backup.entries import read_entries, read_key, write_entries
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.crypto.brainkey import ORDER, blind, deblind, key_from_material
from encrypted_parse.envelope import DetachedEnvelope, decrypt_then_verify_detached
from encrypted_parse.errors import BrainKeyError, EncryptedParseError

FILE = Path(__file__).with_name("virgil-services.json")
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
BRAINKEY, KEYKNOX = DOCUMENT["brainkey"], DOCUMENT["keyknox"]


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _unblinding(case: dict[str, str]) -> int:
    secret = _bytes(case["blinding_secret"])
    number = int.from_bytes(secret[1:], "big")
    return ORDER - number if secret[0] else number


def test_the_file_holds_what_it_claims() -> None:
    """Nothing is left out."""
    assert len(BRAINKEY["cases"]) == 5
    assert len(BRAINKEY["rejected_passwords"]) == 2
    assert len(BRAINKEY["key_material"]) == 5
    assert len(KEYKNOX["cases"]) == 8


@pytest.mark.parametrize("case", BRAINKEY["cases"], ids=range(5))
def test_brainkey(case: dict[str, str]) -> None:
    """Blinded, deblinded and derived to the same bytes."""
    unblinding = _unblinding(case)
    blinded, computed = blind(case["password"], pow(unblinding, -1, ORDER))
    assert computed == unblinding
    assert blinded == _bytes(case["blinded"])
    material = deblind(_bytes(case["transformed"]), unblinding)
    assert material == _bytes(case["deblinded"])
    key = key_from_material(material)
    assert key.to_base64() == case["private_key"]
    assert key.public_key.to_base64() == case["public_key"]


@pytest.mark.parametrize("password", BRAINKEY["rejected_passwords"], ids=["empty", "long"])
def test_rejected_passwords(password: str) -> None:
    """What E3Kit refuses, we refuse."""
    with pytest.raises(BrainKeyError):
        blind(password)


@pytest.mark.parametrize("case", BRAINKEY["key_material"], ids=range(5))
def test_key_material(case: dict[str, str]) -> None:
    """Material of every length gives E3Kit's key."""
    assert key_from_material(_bytes(case["material"])).to_base64() == case["private_key"]


def test_every_blinding_is_another_and_all_agree() -> None:
    """The service sees a fresh point each time; the factors undo themselves."""
    (one, inverse), (other, _) = blind("password"), blind("password")
    assert one != other
    assert len(one) == 49
    assert 0 < inverse < ORDER


def _altered(case: dict[str, str], place: int) -> bytes:
    packed = bytearray(_bytes(case["transformed"]))
    packed[place] ^= 1
    return bytes(packed)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        bytes(383),
        bytes(384),
        b"\xff" * 384,
        bytes(383) + b"\x01",
        _bytes(BRAINKEY["cases"][0]["transformed"]) + b"\0",
        *(_altered(BRAINKEY["cases"][0], place) for place in (47, 95, 200, 383)),
    ],
)
def test_answers_that_are_no_answers(answer: bytes) -> None:
    """A service that answers with one, or with an element of small order, learns nothing."""
    with pytest.raises(BrainKeyError):
        deblind(answer, 5)


@pytest.mark.parametrize("case", KEYKNOX["cases"], ids=[c["name"] for c in KEYKNOX["cases"]])
def test_keyknox_containers(case: dict[str, Any]) -> None:
    """Each container opens for its reader and signers, or fails as the vector says."""
    envelope = DetachedEnvelope(_bytes(case["meta"]), _bytes(case["value"]))
    signers = [PublicKey.from_base64(text) for text in case["accept_signers"]]
    identities = [PrivateKey.from_base64(case["decrypt_with"])]
    expected = case["expect"]
    if "plaintext" not in expected:
        with pytest.raises(EncryptedParseError):
            decrypt_then_verify_detached(envelope, identities=identities, signers=signers)
        return
    if not envelope.metadata and not envelope.encrypted_data:
        assert expected["plaintext"] == ""  # nothing at all is no record, and is never opened
        return
    opened = decrypt_then_verify_detached(envelope, identities=identities, signers=signers)
    assert opened == _bytes(expected["plaintext"])


def test_a_cloud_key_storage() -> None:
    """E3Kit's entries are read, and written in a form that reads the same."""
    storage = KEYKNOX["cloud_key_storage"]
    key = PrivateKey.from_base64(storage["private_key"])
    envelope = DetachedEnvelope(_bytes(storage["meta"]), _bytes(storage["value"]))
    plaintext = decrypt_then_verify_detached(envelope, identities=[key], signers=[key.public_key])
    assert plaintext.decode("utf-8") == storage["plaintext_json"]
    entries = read_entries(plaintext)
    assert list(entries) == [entry["name"] for entry in storage["entries"]]
    assert read_key(entries["alice"]).to_base64() == storage["entries"][0]["data"]
    assert write_entries(entries).decode("utf-8") == storage["plaintext_json"]
