"""Makes cards.json: which cards the companion and the client accept (ADR 17).

Every case is a raw card as a user would publish it, without the service's signature. Both
test-suites run all of them: tests/vectors/test_card_vectors.py and
cloud_code/test/card-vectors.test.js. Run this file to write the vectors anew; a test says if they
are not what it makes. Cards of the keys that Python cannot use are Virgil's own, of
virgil-services.json.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from encrypted_parse import envelope
from encrypted_parse.crypto import KeyType, PrivateKey
from encrypted_parse.directory.raw_cards import (
    MAX_CARD_BYTES,
    MAX_CONTAINERS,
    MAX_CREATED_AT,
    MAX_SIGNATURES,
)

HERE = Path(__file__).parent
FILE = HERE / "cards.json"
CREATED_AT = 1_795_439_972
IDENTITY = "TbQeiO6SCxl"
ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group
FIELD = 2**255 - 19
MALFORMED, KEY_TYPE, SIGNATURE = "malformed", "key type", "signature"
Raw = dict[str, Any]


def made_key(name: str) -> PrivateKey:
    """Return a key that is the same in each run."""
    return PrivateKey(KeyType.ED25519, hashlib.sha256(f"card vectors: {name}".encode()).digest())


KEY = made_key("user")
SERVICE = made_key("service")


def base64_of(data: bytes) -> str:
    """Return standard base64."""
    return base64.b64encode(data).decode("ascii")


def content(**members: Any) -> Raw:
    """Return the content of an ordinary card, with some members changed; None takes one out."""
    usual = {
        "identity": IDENTITY,
        "created_at": CREATED_AT,
        "version": "5.0",
        "public_key": KEY.public_key.to_base64(),
    }
    return {name: value for name, value in (usual | members).items() if value is not None}


def text_of(**members: Any) -> str:
    """Return the JSON of `content`."""
    return json.dumps(content(**members), separators=(",", ":"), ensure_ascii=False)


def with_member(text: str) -> str:
    """Return the JSON of an ordinary content and one member more, as it is written."""
    return f"{text_of()[:-1]},{text}}}"


def signed(
    snapshot: str | bytes, *more: Raw, extra: bytes | None = None, key: PrivateKey = KEY
) -> Raw:
    """Return a raw card with a true self signature."""
    data = snapshot.encode("utf-8") if isinstance(snapshot, str) else snapshot
    own: Raw = {"signer": "self", "signature": base64_of(envelope.sign(data + (extra or b""), key))}
    if extra is not None:
        own["snapshot"] = base64_of(extra)
    return {"content_snapshot": base64_of(data), "signatures": [own, *more]}


def other(signer: str = "app", size: int = 64, **members: Any) -> Raw:
    """Return a signature that nobody here can check."""
    return {"signer": signer, "signature": base64_of(bytes(size)), **members}


def point(y: int, *, sign: int = 0) -> str:
    """Return the text of a public key whose point has this encoding."""
    der = KeyType.ED25519.public_prefix + (y | sign << 255).to_bytes(32, "little")
    return base64_of(der)


def countersigned(raw: Raw) -> Raw:
    """Return a card as it is served: its known members, and the service's signature."""
    snapshot = base64.b64decode(raw["content_snapshot"])
    kept = [
        {
            name: item[name]
            for name in ("signer", "signature", "snapshot")
            if item.get(name) is not None
        }
        for item in raw["signatures"]
    ]
    signature = {"signer": "virgil", "signature": base64_of(envelope.sign(snapshot, SERVICE))}
    return {"content_snapshot": raw["content_snapshot"], "signatures": [*kept, signature]}


def of_size(size_bytes: int) -> Raw:
    """Return a card that has this many bytes as it is served."""
    padded = signed(text_of(), other(snapshot=""))
    free = size_bytes - len(json.dumps(countersigned(padded), separators=(",", ":")))
    whole = free // 4 * 3 - 9
    padded["signatures"][1]["snapshot"] = base64_of(bytes(whole))
    rest = size_bytes - len(json.dumps(countersigned(padded), separators=(",", ":")))
    padded["signatures"][1]["signer"] += "x" * rest
    return padded


def accepted() -> Iterator[tuple[str, Raw]]:
    """Yield the cards that both sides accept."""
    yield "an ordinary card", signed(text_of())
    yield "a successor", signed(text_of(previous_card_id="ab" * 32))
    yield "an extra member", signed(text_of(device="phone"))
    yield "an extra member of every kind", signed(with_member('"a":[null,true,-5,"x",{"b":{}}]'))
    yield "a member named __proto__", signed(with_member('"__proto__":{"identity":"x"}'))
    yield "an empty member's name", signed(with_member('"":""'))
    yield (
        "white space between the tokens",
        signed(" \t\r\n" + text_of().replace(":", " :\n").replace(",", "\t,\r") + " \n"),
    )
    yield "escapes in the identity", signed(text_of().replace("TbQe", "\\u0054b\\u0051e"))
    yield (
        "brackets, colons and digits in a string",
        signed(with_member('"a":"[[[[[[[[[[{:1.5e7\\\\\\"12345678901234567890"')),
    )
    yield "Unicode in an extra member", signed(with_member('"a\u00e9\u20ac":"\U0001f600"'))
    yield "a lone surrogate, escaped", signed(with_member('"a":"\\ud800"'))
    yield "the same name but for a lone surrogate", signed(with_member('"\\ud800":1,"\\ud801":2'))
    yield (
        "as many objects and lists as there may be",
        signed(with_member('"a":' + "[" * (MAX_CONTAINERS - 1) + "]" * (MAX_CONTAINERS - 1))),
    )
    yield "an integer of 15 digits", signed(with_member('"a":999999999999999'))
    yield "created_at zero", signed(text_of(created_at=0))
    yield "created_at minus zero", signed(text_of().replace(str(CREATED_AT), "-0"))
    yield "the last created_at", signed(text_of(created_at=MAX_CREATED_AT))
    yield (
        "every printable character in the identity",
        signed(text_of(identity="".join(map(chr, range(0x20, 0x7F))))),
    )
    yield "an identity of 255 characters", signed(text_of(identity="x" * 255))
    yield (
        "a self signature that covers a snapshot of its own",
        signed(text_of(), extra=b'{"device":"phone"}'),
    )
    yield "a self signature with a snapshot of null", _with_own(signed(text_of()), snapshot=None)
    yield "a self signature with an empty snapshot", signed(text_of(), extra=b"")
    yield (
        "extra members beside the known ones",
        _with_own({**signed(text_of()), "tags": [1]}, note={"a": 1}),
    )
    yield "another's signature", signed(text_of(), other("previous", 83))
    yield (
        "another's signature without bytes, and with a snapshot",
        signed(text_of(), other("app", 0, snapshot=base64_of(b"{}"))),
    )
    yield (
        "a signer of every printable character but letters",
        signed(
            text_of(), other("".join(chr(c) for c in range(0x20, 0x7F) if not chr(c).isalnum()))
        ),
    )
    yield "a signer's name of 64 characters", signed(text_of(), other("s" * 64))
    yield (
        "as many signatures as there may be",
        signed(text_of(), *(other(f"s{number}") for number in range(MAX_SIGNATURES - 2))),
    )
    yield "as large as a card may be", of_size(MAX_CARD_BYTES)


def refused_as_malformed() -> Iterator[tuple[str, Any]]:
    """Yield what is no card by its form."""
    yield from _no_raw_card()
    yield from _no_content()
    yield from _no_json()
    for name, y in (("zero", 0), ("one, the identity", 1), ("minus one", FIELD - 1)):
        yield f"a key of small order: y is {name}", signed(text_of(public_key=point(y)))
    eighth = int("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
    yield "a key of small order: order 8", signed(text_of(public_key=point(eighth)))
    yield (
        "a key of small order: order 8, the other",
        signed(text_of(public_key=point(FIELD - eighth, sign=1))),
    )
    yield "the identity with a sign", signed(text_of(public_key=point(1, sign=1)))
    yield "a key that is not reduced: y is p + 3", signed(text_of(public_key=point(FIELD + 3)))
    yield "a key that is not reduced: y is p", signed(text_of(public_key=point(FIELD)))
    der = KEY.public_key.to_bytes()
    yield "a key that is too short", signed(text_of(public_key=base64_of(der[:-1])))
    yield "a key that is too long", signed(text_of(public_key=base64_of(der + b"\0")))
    yield "a key that is not base64", signed(text_of(public_key="?"))
    text = KEY.public_key.to_base64()
    yield "a key without its padding", signed(text_of(public_key=text.rstrip("=")))
    yield (
        "a key with unused bits",
        signed(text_of(public_key=text[:-2] + chr(ord(text[-2]) + 1) + "=")),
    )


def _no_raw_card() -> Iterator[tuple[str, Any]]:
    good = signed(text_of())
    for value in (None, [], "card", 5, {}):
        yield f"not a raw card: {json.dumps(value)}", value
    yield "no snapshot", {"signatures": good["signatures"]}
    for value in (None, 5, {}, ["a"], ""):
        yield f"a snapshot of {json.dumps(value)}", {**good, "content_snapshot": value}
    for value in (None, 5, {}, "self"):
        yield f"signatures of {json.dumps(value)}", {**good, "signatures": value}
    for value in (None, 5, "self", [], {}):
        yield (
            f"a signature of {json.dumps(value)}",
            {**good, "signatures": [*good["signatures"], value]},
        )
    snapshot = good["content_snapshot"]
    yield "a snapshot with a line break", {**good, "content_snapshot": snapshot + "\n"}
    yield "a snapshot with a space", {**good, "content_snapshot": " " + snapshot}
    yield "a snapshot with surplus padding", {**good, "content_snapshot": snapshot + "="}
    padded = next(
        card
        for card in (signed(text_of(device="x" * count)) for count in range(3))
        if card["content_snapshot"].endswith("=")
    )
    yield (
        "a snapshot without its padding",
        {**padded, "content_snapshot": padded["content_snapshot"].rstrip("=")},
    )
    url = signed(text_of(device="\u00bf\u00bf>>>???"))
    assert set("+/") & set(url["content_snapshot"])
    yield (
        "a snapshot in the alphabet of addresses",
        {**url, "content_snapshot": url["content_snapshot"].replace("+", "-").replace("/", "_")},
    )
    yield "a snapshot that is not ASCII", {**good, "content_snapshot": snapshot + "\u00e9"}
    for name, value in (
        ("null", None),
        ("a number", 5),
        ("not base64", "?"),
        ("a line break", "AAAA\n"),
    ):
        yield f"another's signature is {name}", signed(text_of(), {**other(), "signature": value})
        if value is not None:
            yield f"another's snapshot is {name}", signed(text_of(), other(snapshot=value))
    for name, value in (
        ("missing", None),
        ("a number", 5),
        ("empty", ""),
        ("65 characters", "s" * 65),
        ("not ASCII", "caf\u00e9"),
        ("a lone surrogate", "\ud800"),
        ("a tab", "a\tb"),
        ("an escape of terminals", "\x1b[2J"),
        ("a line break at the end", "app\n"),
        ("DEL", "\x7f"),
    ):
        yield f"a signer that is {name}", signed(text_of(), {**other(), "signer": value})
    yield "one signer twice", signed(text_of(), other(), other(size=83))
    yield "its user's signature twice", signed(text_of(), signed(text_of())["signatures"][0])
    yield (
        "one signature too many",
        signed(text_of(), *(other(f"s{number}") for number in range(MAX_SIGNATURES - 1))),
    )
    yield (
        "eight signatures beside its user's",
        signed(text_of(), *(other(f"s{number}") for number in range(8))),
    )
    yield "one byte too large", of_size(MAX_CARD_BYTES + 1)
    yield "far too large a snapshot", signed(text_of(x="x" * MAX_CARD_BYTES))
    yield "far too large a signature", signed(text_of(), other(size=MAX_CARD_BYTES))


def _no_content() -> Iterator[tuple[str, Raw]]:
    for name in content():
        yield f"without {name}", signed(text_of(**{name: None}))
        yield f"{name} is null", signed(json.dumps({**content(), name: None}))
    for name, value in (
        ("empty", ""),
        ("a number", 5),
        ("a list", [IDENTITY]),
        ("256 characters", "x" * 256),
        ("Unicode", "caf\u00e9"),
        ("a tab", "a\tb"),
        ("a line break at the end", "bob\n"),
        ("a lone surrogate", "\ud800"),
        ("DEL", "\x7f"),
    ):
        yield (
            f"an identity that is {name}",
            signed(json.dumps({**content(), "identity": value}, separators=(",", ":"))),
        )
    for name, value in (
        ("null", None),
        ("empty", ""),
        ("upper case", "AB" * 32),
        ("63 digits", "a" * 63),
        ("65 digits", "a" * 65),
        ("a number", 5),
        ("a line break at the end", "ab" * 32 + "\n"),
    ):
        yield (
            f"a predecessor that is {name}",
            signed(json.dumps({**content(), "previous_card_id": value})),
        )
    for text in (
        "1795439972.0",
        "1.795439972e9",
        "1E9",
        "-1",
        "253402300800",
        "true",
        '"1795439972"',
        "[1795439972]",
        "1" + "0" * 15,
        "1" + "0" * 400,
        "9007199254740993",
        "01",
        "+1",
        "NaN",
        "Infinity",
        "-Infinity",
        "0x10",
        "1_000",
    ):
        shown = text if len(text) < 30 else f"{text[:3]}... of {len(text)} digits"
        yield f"created_at {shown}", signed(text_of().replace(str(CREATED_AT), text))
    for version in ("5", "5.00", "5.0 ", "4.0", 5):
        yield f"version {json.dumps(version)}", signed(text_of(version=version))


def _no_json() -> Iterator[tuple[str, Raw]]:
    text = text_of()
    yield "a byte order mark", signed("\ufeff" + text)
    yield "a byte order mark at the end", signed(text + "\ufeff")
    yield "UTF-16", signed(text.encode("utf-16"))
    yield "a byte that is not UTF-8", signed(with_member('"a":"?"').encode().replace(b"?", b"\xff"))
    yield (
        "a surrogate in UTF-8",
        signed(with_member('"a":"?"').encode().replace(b"?", b"\xed\xa0\x80")),
    )
    yield "an overlong byte", signed(with_member('"a":"?"').encode().replace(b"?", b"\xc0\xaf"))
    yield "a NUL at the end", signed(text + "\0")
    yield "two objects", signed(text + text)
    yield "a comma at the end", signed(text[:-1] + ",}")
    yield "a comment", signed(text + "/**/")
    yield "a non-breaking space", signed("\u00a0" + text)
    yield "a vertical tab", signed("\v" + text)
    yield "single quotes", signed(text.replace('"', "'"))
    yield "a control character in a string", signed(with_member('"a":"\x01"'))
    yield "a line break in a string", signed(with_member('"a":"\n"'))
    yield "an unknown escape", signed(with_member('"a":"\\x41"'))
    yield "an escape that is cut off", signed(with_member('"a":"\\u12"'))
    yield "a string that is cut off", signed(text[:-2])
    yield "a string that ends in a backslash", signed(text[:-2] + "\\")
    for value in ("[]", "null", "5", '"card"', f"[{text}]"):
        yield f"a snapshot that holds {value[:6]}", signed(value)
    yield "a repeated member", signed(with_member('"a":1,"a":2'))
    yield "a repeated member of one value", signed(with_member('"a":1,"a":1'))
    yield "a repeated identity", signed(with_member(f'"identity":"{IDENTITY}"'))
    yield "a repeated identity, escaped", signed(with_member(f'"\\u0069dentity":"{IDENTITY}"'))
    yield "two identities", signed(text.replace('{"id', '{"identity":"somebody","id', 1))
    yield "a repeated member of an inner object", signed(with_member('"a":{"b":1,"b":2}'))
    yield "a repeated member of an object in a list", signed(with_member('"a":[{"b":1,"b":2}]'))
    yield "a repeated __proto__", signed(with_member('"__proto__":1,"__proto__":1'))
    yield "a repeated empty name", signed(with_member('"":1,"":1'))
    yield "a repeated lone surrogate", signed(with_member('"\\ud800":1,"\\uD800":1'))
    yield (
        "one object or list too many, nested",
        signed(with_member('"a":' + "[" * MAX_CONTAINERS + "]" * MAX_CONTAINERS)),
    )
    yield (
        "one object or list too many, side by side",
        signed(with_member('"a":[' + ",".join(["{}"] * (MAX_CONTAINERS - 1)) + "]")),
    )
    yield "five thousand lists", signed(with_member('"a":' + "[" * 5000 + "]" * 5000))
    yield "two thousand objects", signed(with_member('"a":' + '{"":' * 2000 + "1" + "}" * 2000))
    for constant in ("NaN", "Infinity", "-Infinity"):
        yield f"{constant} in an extra member", signed(with_member(f'"a":{constant}'))
    yield "a fraction in an extra member", signed(with_member('"a":1.5'))
    yield "an exponent in an extra member", signed(with_member('"a":1e5'))
    yield "an integer of 16 digits", signed(with_member('"a":1000000000000000'))
    yield "an integer of 5,000 digits", signed(with_member('"a":' + "1" * 5000))


def refused_for_the_key() -> Iterator[tuple[str, Raw]]:
    """Yield cards whose key is of a type that Python cannot use."""
    virgil = json.loads((HERE / "virgil-services.json").read_text("utf-8"))
    for case in virgil["cards"]["cases"]:
        if case["name"].split()[0] in ("P-256", "RSA-2048", "compound", "post-quantum"):
            yield f"Virgil's: {case['name']}", case["raw"]
    p256 = "3059301306072a8648ce3d020106082a8648ce3d030107034200"
    generator = (
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    compressed = "3039301306072a8648ce3d020106082a8648ce3d030107032200"
    for name, der in (
        ("a P-256 key", p256 + "04" + generator),
        ("a P-256 key with a compressed point", compressed + "03" + generator[:64]),
        ("a Curve25519 key", KeyType.CURVE25519.public_prefix.hex() + "09" + "00" * 31),
        ("an Ed448 key", "3043300506032b6571033a00" + "05" * 57),
        ("an Ed25519 key in another encoding", "302c300706032b65700500032100" + "05" * 32),
        ("a private key", KEY.to_bytes().hex()),
        ("nothing", ""),
        ("noise", "00" * 44),
    ):
        yield f"for a key: {name}", signed(text_of(public_key=base64_of(bytes.fromhex(der))))


def refused_for_the_signature() -> Iterator[tuple[str, Raw]]:
    """Yield cards of the right form that their key did not sign so."""
    good = signed(text_of())
    true = base64.b64decode(good["signatures"][0]["signature"])
    yield "without a signature", {**good, "signatures": []}
    yield "without its user's signature", {**good, "signatures": [other()]}
    yield "signed by another key", signed(text_of(), key=made_key("somebody"))
    yield (
        "changed after it was signed",
        {**good, "content_snapshot": base64_of(text_of(created_at=CREATED_AT + 1).encode())},
    )
    yield (
        "the same, but for a space",
        {**good, "content_snapshot": base64_of(text_of().encode() + b" ")},
    )
    yield "a snapshot of its own that was not signed", _with_own(good, snapshot=base64_of(b"{}"))
    yield (
        "a snapshot of its own that was left out",
        _with_own(signed(text_of(), extra=b"{}"), snapshot=None),
    )
    yield "the signature's bytes alone", _with_own(good, signature=base64_of(true[-64:]))
    yield "no bytes", _with_own(good, signature="")
    yield "one byte too many", _with_own(good, signature=base64_of(true + b"\0"))
    yield "one byte too few", _with_own(good, signature=base64_of(true[:-1]))
    yield "one bit flipped", _with_own(good, signature=base64_of(true[:-1] + bytes([true[-1] ^ 1])))
    for name, oid in (("SHA-256", 1), ("SHA-384", 2), ("SHA-224", 4)):
        digest = hashlib.new(name.replace("-", "").lower(), text_of().encode()).digest()
        prefix = bytes.fromhex(f"3051300d06096086480165030402{oid:02x}05000440")
        yield f"over {name}", _with_own(good, signature=base64_of(prefix + KEY.sign(digest)))
    digest = hashlib.sha512(text_of().encode()).digest()
    without = bytes.fromhex("304f300b06096086480165030402030440") + KEY.sign(digest)
    yield "over SHA-512 without its NULL", _with_own(good, signature=base64_of(without))
    long = bytes.fromhex("308151300d060960864801650304020305000440") + KEY.sign(digest)
    yield "in a length that is not minimal", _with_own(good, signature=base64_of(long))
    yield (
        "over the text itself",
        _with_own(good, signature=base64_of(true[:19] + KEY.sign(text_of().encode()))),
    )
    scalar = int.from_bytes(true[-32:], "little") + ORDER
    shifted = true[:-32] + scalar.to_bytes(32, "little")
    yield "with the group's order added", _with_own(good, signature=base64_of(shifted))
    yield "a key that is no point of the curve", signed(text_of(public_key=point(2)))


def _with_own(raw: Raw, **members: Any) -> Raw:
    first, *rest = raw["signatures"]
    return {**raw, "signatures": [{**first, **members}, *rest]}


def document() -> Raw:
    """Return everything that the file holds."""
    cases: list[Raw] = []
    for name, raw in accepted():
        served = countersigned(raw)
        snapshot = base64.b64decode(raw["content_snapshot"])
        card_id = envelope.card_id(snapshot)
        cases.append(
            {"name": name, "expect": "accepted", "card_id": card_id, "raw": raw,
             "service_signature": served["signatures"][-1]["signature"]}
        )  # fmt: skip
    for reason, refused in (
        (MALFORMED, refused_as_malformed()),
        (KEY_TYPE, refused_for_the_key()),
        (SIGNATURE, refused_for_the_signature()),
    ):
        cases += [
            {"name": name, "expect": "refused", "reason": reason, "raw": raw}
            for name, raw in refused
        ]
    return {
        "service_private_key": SERVICE.to_base64(),
        "service_public_key": SERVICE.public_key.to_base64(),
        "cases": cases,
    }


def written(vectors: Raw) -> str:
    """Return the text of the file: one case a line."""
    head = {name: value for name, value in vectors.items() if name != "cases"}
    lines = ",\n".join(json.dumps(case) for case in vectors["cases"])
    return f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    FILE.write_text(written(document()), "utf-8")
    sys.stdout.write(f"{FILE.name}: {len(document()['cases'])} cases\n")
