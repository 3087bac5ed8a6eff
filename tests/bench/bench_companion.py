"""Twenty clients at once publish cards and search for each other's, on one local server.

Run as a script; prints rates and percentiles and writes build/bench-companion.json. Server,
database and clients share the machine's cores: this is what one small machine bears, not what
Node could.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from load import percentile, run_load

from encrypted_parse.devserver import dev_server
from encrypted_parse.errors import DevServerError, MissingExtraError

RESULT = Path(__file__).resolve().parents[2] / "build" / "bench-companion.json"
CLIENTS = 20
SECONDS = 15.0
TARGET_PER_SECOND = 150


def main() -> int:
    """Measure, print, write; tell whether there was a server to measure."""
    try:
        with dev_server() as server:
            load = run_load(server, clients=CLIENTS, seconds=SECONDS)
    except (DevServerError, MissingExtraError) as error:
        print(f"bench_companion: {error}; {error.hint}", file=sys.stderr)
        return 1
    rows = {}
    for name, times in (("publish", load.publish), ("search", load.search)):
        p50, p99 = (1000 * percentile(times, percent) for percent in (50, 99))
        rows[name] = {"per_second": len(times) / load.seconds, "p50_ms": p50, "p99_ms": p99}
        print(f"{name:<10}{rows[name]['per_second']:>8.0f}/s   p50 {p50:>6.1f} ms", end="")
        print(f"   p99 {p99:>6.1f} ms")
    memory = max(load.resident) / 1024
    print(
        f"both: {load.per_second:.0f}/s (target {TARGET_PER_SECOND}), {CLIENTS} clients, ", end=""
    )
    print(f"{load.seconds:.0f} s, {len(load.failures)} failures, Node's memory {memory:.0f} MiB")
    RESULT.parent.mkdir(exist_ok=True)
    content = {**rows, "failures": len(load.failures), "node_mebibytes": memory}
    RESULT.write_text(json.dumps(content, indent=2))
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
