"""Models beside the same client with plain fields, and beside the cryptography that they need.

All figures of one run, on a real local server unless said otherwise. Prints a table and writes
build/bench-data-layer.json.
"""

from __future__ import annotations

import json
import statistics
import time
import tracemalloc
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from encrypted_parse import (
    EncryptedClient,
    MemoryKeystore,
    Model,
    UserClient,
    acl_readers,
    encrypted,
)
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.devserver import dev_server
from encrypted_parse.discretion import front_door
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import FakeTransport, HttpRequest, HttpResponse

OBJECTS = 1000
FIELDS = 3
ROUNDS = 60
MANY = 100_000
TEXT = "x" * 200


class Plain(Model, parse_class="BenchPlain"):
    """Without encryption."""

    owner_id: str
    first: str
    second: str
    third: str


class Sealed(Model, parse_class="BenchSealed"):
    """The same, encrypted."""

    owner_id: str
    first: str = encrypted(to=acl_readers(), author="owner_id")
    second: str = encrypted(to=acl_readers(), author="owner_id")
    third: str = encrypted(to=acl_readers(), author="owner_id")


class PlainOne(Model, parse_class="BenchPlainOne"):
    """One field without encryption."""

    owner_id: str
    first: str


class SealedOne(Model, parse_class="BenchSealedOne"):
    """One field, encrypted."""

    owner_id: str
    first: str = encrypted(to=acl_readers(), author="owner_id")


FIGURES: dict[str, float] = {}


def report(name: str, figure: float, unit: str, target: str = "") -> None:
    """Print one line of the table, and keep the figure."""
    FIGURES[name] = figure
    print(f"{name:58} {figure:9.3f} {unit:6} {target}")


def seconds(action: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def make(model: type[Model], users: list[UserClient]) -> Any:
    """Return a new object of the first user that all of them may read."""
    texts = {name: TEXT for name in ("first", "second", "third") if name in model.fields}
    instance: Any = model(owner_id=users[0].user_id, **texts)
    for user in users:
        instance.acl.allow_read(user.user_id)
    instance.acl.allow_write(users[0].user_id)
    return instance


def single(alice: UserClient, bob: UserClient, plain: type[Model], sealed: type[Model]) -> None:
    """Save and fetch one object after the other, plain and sealed in turn."""
    fields = len(sealed.fields) - 1
    times: dict[str, list[float]] = {}
    for round_number in range(ROUNDS + 10):
        for model in (plain, sealed):
            instance = make(model, [alice, bob])
            saved = seconds(lambda instance=instance: alice.save(instance))
            object_id = str(instance.object_id)
            fetched = seconds(lambda model=model, oid=object_id: bob.get(model, oid).first)
            if round_number >= 10:
                times.setdefault(f"save {model.__name__}", []).append(saved)
                times.setdefault(f"fetch {model.__name__}", []).append(fetched)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for verb in ("save", "fetch"):
        ratio = medians[f"{verb} {plain.__name__}"] / medians[f"{verb} {sealed.__name__}"]
        report(f"{verb} one object, {fields} encrypted: speed beside plain", ratio, "x", "0.9")


def many(users: list[UserClient]) -> None:
    """Save and read 1,000 objects with three fields for three readers."""
    times: dict[str, list[float]] = {"Plain": [], "Sealed": []}
    for _ in range(3):
        for model in (Plain, Sealed):
            batch = [make(model, users) for _ in range(OBJECTS)]
            times[model.__name__].append(seconds(lambda batch=batch: users[0].save_all(batch)))
    ratio = min(times["Plain"]) / min(times["Sealed"])
    report("save_all of 1,000 objects: speed beside plain", ratio, "x", "0.4")
    reader = users[1]
    found = reader.query(Sealed).limit(OBJECTS)
    rows = [row for page in found._pages() for row in page]
    assert len(rows) == OBJECTS
    raw = reader.parse.find("BenchSealed", limit=OBJECTS)
    load = reader._store.load
    floor = min(crypto_floor(threads=2) for _ in range(3))
    opened = min(seconds(lambda: load(Sealed, raw, None)) for _ in range(3))
    whole = min(seconds(found.all) for _ in range(3))
    plain = min(seconds(reader.query(Plain).limit(OBJECTS).all) for _ in range(3))
    report("3,000 key exchanges and 3,000 signature checks, 2 threads", floor * 1000, "ms", "floor")
    report("opening 1,000 objects", opened * 1000, "ms")
    report("opening 1,000 objects beside the floor", opened / floor, "x", "1.4")
    report("reading 1,000 objects, with the requests", whole * 1000, "ms")
    report("reading 1,000 plain objects, with the requests", plain * 1000, "ms")


def crypto_floor(threads: int) -> float:
    """Return how long what nobody can avoid takes: one exchange and one check a value."""
    key, peer = PrivateKey.generate(), PrivateKey.generate()
    digest = bytes(64)
    signature, public_key = peer.sign(digest), peer.public_key
    point = peer.public_key.to_bytes()[-32:]

    def work(count: int) -> None:
        for _ in range(count):
            key.exchange(point)
            public_key.verify(signature, digest)

    count = OBJECTS * FIELDS // threads
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [1] * threads))
        return seconds(lambda: list(pool.map(work, [count] * threads)))


def memory() -> None:
    """Iterate over 100,000 objects that a fake server makes up as it goes."""
    app = InMemoryApp()
    alice = app.make_user()
    alice.save(make(Sealed, [alice]))
    [template] = app.parse.rows("BenchSealed")

    def answer(request: HttpRequest) -> HttpResponse:
        where = json.loads(urllib.parse.unquote(request.params["where"]))
        after = int(where.get("objectId", {}).get("$gt", "-1"))
        numbers = range(after + 1, min(after + 101, MANY))
        rows: list[Any] = [{**template, "objectId": f"{number:010}"} for number in numbers]
        return HttpResponse(200, {}, json.dumps({"results": rows}).encode())

    alice.parse._transport = FakeTransport(answer)  # type: ignore[assignment]
    fake = alice.parse._transport
    peaks: list[int] = []
    tracemalloc.start()
    start = time.perf_counter()
    for number, instance in enumerate(alice.query(Sealed).only("first"), 1):
        assert instance.first == TEXT
        if number % (MANY // 4) == 0:
            fake.requests.clear()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
    tracemalloc.stop()
    report("iterating 100,000 objects (fake server)", time.perf_counter() - start, "s")
    report("peak memory in the last quarter", peaks[-1] / 1e6, "MB")
    report("peak memory, last quarter beside the first", peaks[-1] / peaks[0], "x", "flat: 1")


def attributes() -> None:
    """Read a decrypted attribute, and one of a plain Python object."""
    app = InMemoryApp()
    alice = app.make_user()
    instance = alice.get(Sealed, str(alice.save(make(Sealed, [alice])).object_id))
    plain = alice.get(Plain, str(alice.save(make(Plain, [alice])).object_id))

    class Ordinary:
        def __init__(self) -> None:
            self.first = TEXT

    def read(thing: Any) -> float:
        def loop() -> None:
            for _ in range(200_000):
                _ = thing.first

        return min(seconds(loop) for _ in range(7))

    decrypted = read(instance)
    report(
        "reading a decrypted attribute beside a plain field", decrypted / read(plain), "x", "1.2"
    )
    ratio = decrypted / read(Ordinary())
    report("reading it beside an attribute of any Python object", ratio, "x")

    def assign() -> None:
        for _ in range(20_000):
            instance.first = TEXT

    report("assigning an attribute", min(seconds(assign) for _ in range(7)) / 0.02, "us")


def doors() -> None:
    """Call a function as it is, and behind a front door (ADR 20)."""

    def bare(value: str) -> str:
        return value

    closed = front_door(bare)

    def calls(function: Callable[[str], str]) -> float:
        def loop() -> None:
            for _ in range(200_000):
                function(TEXT)

        return min(seconds(loop) for _ in range(7))

    report("a front door adds to a call", (calls(closed) - calls(bare)) / 0.2, "us")


def main() -> None:
    """Measure and print."""
    with dev_server(progress=print) as server:
        app = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
        users = [app.sign_up(name, "pw") for name in ("alice", "bob", "carol")]
        for user in users:
            user.register()
        print(f"{'models':58} {'measured':>9} {'':6} target")
        single(users[0], users[1], PlainOne, SealedOne)
        single(users[0], users[1], Plain, Sealed)
        many(users)
    memory()
    attributes()
    doors()
    build = Path(__file__).parents[2] / "build"
    build.mkdir(exist_ok=True)
    (build / "bench-data-layer.json").write_text(json.dumps(FIGURES, indent=2))


if __name__ == "__main__":
    main()
