"""Many clients at once against the companion: publish and search, for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import requests
from attrs import Factory, define
from tokens import TokenIssuer, card_id, raw_card

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.devserver import DevServer

CARDS_OF_ONE_CHAIN = 20


@define
class Load:
    """What one run did.

    Attributes:
        seconds: How long it ran.
        publish: Seconds of each publication.
        search: Seconds of each search.
        failures: What went wrong, one text each.
        resident: KiB of Node's memory, sampled once a second.
    """

    seconds: float = 0.0
    publish: list[float] = Factory(list)
    search: list[float] = Factory(list)
    failures: list[str] = Factory(list)
    resident: list[int] = Factory(list)

    @property
    def per_second(self) -> float:
        """Requests in one second."""
        return (len(self.publish) + len(self.search)) / self.seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """Return that percentile of *values*."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def run_load(server: DevServer, *, clients: int, seconds: float) -> Load:
    """Let *clients* publish cards and search for each other's for *seconds*."""
    load, issuer = Load(), TokenIssuer(server)
    start = time.monotonic()
    deadline = start + seconds
    threads = [
        threading.Thread(target=_client, args=(server, issuer, number, clients, deadline, load))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        load.resident.append(_resident(server.process_id))
        time.sleep(1)
    for thread in threads:
        thread.join()
    load.seconds = time.monotonic() - start
    return load


def _client(  # noqa: PLR0913, PLR0917 - one thread's whole world
    server: DevServer, issuer: TokenIssuer, number: int, clients: int, deadline: float, load: Load
) -> None:
    session, round_number = requests.Session(), 0
    key = vc.generate_key_pair().private_key
    while time.monotonic() < deadline:
        # A new identity for each chain: one's cards are limited.
        identity = f"load{number}-{round_number}"
        headers = {"Authorization": f"Virgil {issuer.issue(identity)}"}
        previous: str | None = None
        for _ in range(CARDS_OF_ONE_CHAIN):
            raw = raw_card(identity, key, previous=previous)
            previous = card_id(raw)
            _timed(session, f"{server.directory_url}/card/v5", raw, headers, load.publish, load)
            others = [f"load{other}-{round_number}" for other in range(min(clients, 10))]
            url = f"{server.directory_url}/card/v5/actions/search"
            _timed(session, url, {"identities": others}, headers, load.search, load)
            if time.monotonic() >= deadline:
                return
        round_number += 1


def _timed(  # noqa: PLR0913, PLR0917 - one request with where its time goes
    session: requests.Session,
    url: str,
    body: object,
    headers: dict[str, str],
    times: list[float],
    load: Load,
) -> None:
    start = time.perf_counter()
    try:
        answer = session.post(url, json=body, headers=headers, timeout=30)
    except requests.RequestException as error:
        load.failures.append(type(error).__name__)
        return
    times.append(time.perf_counter() - start)
    if answer.status_code not in (200, 201):
        load.failures.append(answer.text)


def _resident(process_id: int) -> int:
    try:
        status = Path(f"/proc/{process_id}/status").read_text("ascii")
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
