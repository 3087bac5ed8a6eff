"""Coverage-guided fuzzing of every parser (atheris): `make fuzz`, `make fuzz SECONDS=600`.

Starts from the vectors' messages and the inputs kept in corpus/. What it finds, a crash or an
input that takes too long, is written to corpus/ under its digest, so that the tests run it from
then on; inputs that merely reach new code stay in build/fuzz/.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
CORPUS = FOLDER / "corpus"
FOUND = ROOT / "build" / "fuzz"
VECTORS = FOLDER.parent / "vectors" / "e3kit-crypto.json"
MAX_INPUT_BYTES = 4096
SECONDS_FOR_ONE_INPUT = 5
MEBIBYTES = 1024

sys.path.insert(0, str(FOLDER))


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each message, ticket, signature and key of the vectors."""
    document = json.loads(VECTORS.read_text("utf-8"))
    for name, key in document["keys"].items():
        yield f"{name}-private", base64.b64decode(key["private_key"])
        yield f"{name}-public", base64.b64decode(key["public_key"])
    for vector in document["vectors"]:
        for member in ("message", "metadata", "signature"):
            if isinstance(vector.get(member), str):
                yield f"{vector['name']}-{member}", base64.b64decode(vector[member])
        for number, ticket in enumerate(vector.get("tickets", ())):
            yield f"{vector['name']}-ticket-{number}", base64.b64decode(ticket)


def main(arguments: list[str]) -> int:
    """Fuzz for so many seconds; atheris ends the process, with 0 if nothing was found."""
    seconds = int(arguments[0]) if arguments else 60
    import atheris  # noqa: PLC0415 - `make fuzz` installs it; nothing else needs it

    with atheris.instrument_imports(include=["encrypted_parse", "target"]):
        from target import one_input  # noqa: PLC0415 - imported under instrumentation

    start = FOUND / "seeds"
    start.mkdir(parents=True, exist_ok=True)
    CORPUS.mkdir(exist_ok=True)
    for name, data in seeds():
        if len(data) <= MAX_INPUT_BYTES:
            (start / name).write_bytes(data)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-timeout={SECONDS_FOR_ONE_INPUT}",
            f"-rss_limit_mb={MEBIBYTES}",
            f"-artifact_prefix={CORPUS}/",
            "-print_final_stats=1",
            str(FOUND),
            str(start),
            str(CORPUS),
        ],
        one_input,
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
