"""`make vectors`: every shared vector by the public module, and what the tool says of bad files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from vectors.run import Runner, VectorFailedError, main

FILE = Path(__file__).with_name("e3kit-crypto.json")
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
VECTORS: list[dict[str, Any]] = DOCUMENT["vectors"]


def _named(name: str) -> dict[str, Any]:
    (vector,) = [vector for vector in VECTORS if vector["name"] == name]
    return copy.deepcopy(vector)


def test_the_number_of_vectors() -> None:
    """All of them are here."""
    assert len(VECTORS) == sum(DOCUMENT["counts"].values()) == 43


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    """What E3Kit's libraries wrote is read, and what they refuse is refused."""
    Runner(DOCUMENT).check(vector)


def _flipped(text: str) -> str:
    return text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("hash-sha256", {"digest_hex": "00"}),
        ("signature-short", {"data": "AAAA"}),
        ("signature-short", {"signer": "bob"}),
        ("encrypt-1", {"plaintext": "AAAA"}),
        ("encrypt-1-padded", {"padding": False}),
        ("sign-then-encrypt-1", {"signer": "carol"}),
        ("sign-and-encrypt-1", {"recipients": ["carol"]}),
        ("sign-and-encrypt-1", {"recipients": []}),
        ("sign-and-encrypt-1", {"message": _flipped(_named("sign-and-encrypt-1")["message"])}),
        ("sign-and-encrypt-1", {"kind": "a_kind_of_tomorrow"}),
        ("card-self-signed", {"card_id": "00" * 32}),
        ("group-session-b59cae0e", {"session_id": "00" * 32}),
        ("group-message-b59cae0e-0", {"signer": "bob"}),
        ("group-message-b59cae0e-0", {"session_id": "00" * 32}),
        ("reject-body-bit", {"message": _named("sign-and-encrypt-1")["message"]}),
        ("reject-body-bit", {"operation": "an_operation_of_tomorrow"}),
        ("reject-raw-private-key", {"private_key": DOCUMENT["keys"]["bob"]["private_key"]}),
    ],
)
def test_a_wrong_vector_fails(name: str, change: dict[str, object]) -> None:
    """Each kind of check can fail: a vector that says something else does."""
    document = {**DOCUMENT, "vectors": [*VECTORS, {**_named(name), **change, "name": "wrong"}]}
    outcomes = dict(Runner(document).run())
    assert outcomes.pop("wrong")
    assert set(outcomes.values()) == {None}


def test_unknown_kinds_fail() -> None:
    """What is not checked is not passed."""
    with pytest.raises(VectorFailedError, match="unknown kind"):
        Runner(DOCUMENT).check({"kind": "nothing"})


def test_the_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, names and exit statuses are as promised."""
    assert main([str(FILE)]) == 0
    assert capsys.readouterr().out == "43 passed, 0 failed\n"

    some = tmp_path / "some.json"
    wrong = {**_named("hash-sha256"), "digest_hex": "00"}
    some.write_text(json.dumps({"vectors": [_named("hash-sha512"), wrong]}), "utf-8")
    assert main([str(some)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "1 passed, 1 failed"
    assert out[0].startswith("FAILED hash-sha256: ")

    some.write_text('{"vectors": []}', "utf-8")
    assert main([str(some)]) == 1
    assert capsys.readouterr().out == "0 passed, 0 failed\n"

    for content in ("", "[]", "{}", '{"vectors": 1}', '{"vectors": [1]}'):
        some.write_text(content, "utf-8")
        assert main([str(some)]) in (1, 2)
    assert main([str(tmp_path / "missing.json")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
