"""Coverage-guided fuzzing of every parser (atheris): `make fuzz`, `make fuzz SECONDS=600`.

Each target starts from its own seeds and the inputs kept in corpus/. What it finds, a crash or an
input that takes too long, is written to corpus/ under its digest, so that the tests run it from
then on; inputs that merely reach new code stay in build/fuzz/.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
CORPUS = FOLDER / "corpus"
FOUND = ROOT / "build" / "fuzz"
TARGETS = ("envelopes", "records")
MAX_INPUT_BYTES = 4096
SECONDS_FOR_ONE_INPUT = 5
MEBIBYTES = 1536
EMPTY = "a target without seeds would fuzz nothing"

sys.path.insert(0, str(FOLDER))


def kept(target: str) -> list[Path]:
    """Return the inputs in corpus/ for a *target*.

    Raises:
        ValueError: There is none, so the folder has moved away.
    """
    found = sorted(path for path in (CORPUS / target).glob("*") if path.is_file())
    if not found:
        raise ValueError(EMPTY)
    return found


def fuzz(target: str, seconds: int) -> None:
    """Fuzz one target; atheris ends the process, with 0 if nothing was found."""
    import atheris  # noqa: PLC0415 - `make fuzz` installs it; nothing else needs it

    with atheris.instrument_imports(include=["encrypted_parse", target]):
        module = importlib.import_module(target)

    found, start = FOUND / target, FOUND / f"{target}-seeds"
    for folder in (found, start):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = dict(module.seeds())
    if not seeds or not kept(target):
        raise ValueError(EMPTY)
    for name, data in seeds.items():
        if len(data) <= MAX_INPUT_BYTES:
            (start / name).write_bytes(data)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-timeout={SECONDS_FOR_ONE_INPUT}",
            f"-rss_limit_mb={MEBIBYTES}",
            f"-artifact_prefix={CORPUS / target}/",
            "-print_final_stats=1",
            str(found),
            str(start),
            str(CORPUS / target),
        ],
        module.one_input,
    )
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzz every target for its share of so many seconds, each in a process of its own."""
    seconds = int(arguments[0]) if arguments else 60
    if arguments[1:]:
        fuzz(arguments[1], seconds)
        return 0
    share = max(1, seconds // len(TARGETS))
    for target in TARGETS:
        print(f"fuzz: {target} for {share} s", flush=True)
        command = [sys.executable, str(FOLDER / "fuzz.py"), str(share), target]
        if subprocess.run(command, check=False).returncode != 0:
            print(f"fuzz: {target} failed; the input is in {CORPUS / target}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
