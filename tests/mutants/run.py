"""Mutation testing (Cosmic Ray) of what security rests on: `make mutants`.

`make mutants MODULES='envelope/stanza.py models/drafts.py'` tries some modules, `JOBS=4` uses more
processors. Faults are put into copies of the tree under build/mutants/, one at a time; a fault that
the tests in plan.py do not notice is a survivor. docs/testing.md says what to do about one.

What was killed is remembered until its module changes, or build/ is removed: a run that was stopped
goes on, and the next run after a new test tries the survivors alone.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import cosmic_ray.plugins
from attrs import frozen
from cosmic_ray.commands import execute, init
from cosmic_ray.config import ConfigDict
from cosmic_ray.work_db import WorkDB

sys.path.insert(0, str(Path(__file__).resolve().parent))

import operators
import plan
import survivors

FOLDER = plan.ROOT / "build" / "mutants"
SESSIONS = FOLDER / "sessions"
COPIED = ("cloud_code", "docs", "encrypted_parse", "tests", "pyproject.toml")
LEFT_OUT = ("__pycache__", "node_modules", "*.sqlite")
TIMES_SLOWER = 10  # a mutant that takes longer than that is in an endless loop
SPARE_SECONDS = 20.0  # the machine may be busy
PYTEST = f"{shlex.quote(sys.executable)} -m pytest -x -q -p no:cacheprovider --no-header "


@frozen
class Tried:
    """What became of the mutants of one module."""

    module: str
    mutants: int
    survived: frozenset[survivors.Survivor]
    seconds: float


def try_module(module: str) -> Tried:
    """Try every mutant of *module* in this process's copy of the tree.

    Raises:
        RuntimeError: The tests fail without any fault.
    """
    start = time.monotonic()
    os.chdir(_copy())
    # A process for each file: most mutants are dead after the first, and the rest costs imports.
    command = shlex.join(["sh", "-c", " && ".join(map(PYTEST.__add__, plan.modules()[module]))])
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # Hypothesis' takes longer than the tests
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # Cosmic Ray sets it for what runs a mutant
    sound = subprocess.run(shlex.split(command), capture_output=True, check=False, text=True)
    if sound.returncode != 0:
        raise RuntimeError(f"the tests of {module} fail as it is:\n{sound.stdout[-3000:]}")
    timeout = TIMES_SLOWER * (time.monotonic() - start) + SPARE_SECONDS
    config = ConfigDict(
        {
            "test-command": command,
            "timeout": timeout,
            "distributor": ConfigDict({"name": "local"}),
        }
    )
    cosmic_ray.plugins.OPERATOR_PROVIDERS.clear()
    cosmic_ray.plugins.OPERATOR_PROVIDERS["chosen"] = operators.CHOSEN
    database = _session(module)
    try:
        execute(database, config)
        functions = {item.job_id: item.mutations[0].definition_name for item in database.work_items}
        found = frozenset(
            survivors.Survivor.from_diff(module, functions[job_id], result.diff)
            for job_id, result in database.results
            if not result.is_killed
        )
        return Tried(module, database.num_work_items, found, time.monotonic() - start)
    finally:
        database.close()


def _session(module: str) -> WorkDB:
    """Return the mutants of *module* as it is, without a result for those that survived before."""
    digest = hashlib.sha256((plan.PACKAGE / module).read_bytes()).hexdigest()[:16]
    path = SESSIONS / f"{module.removesuffix('.py').replace('/', '-')}-{digest}.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    database = WorkDB(str(path), WorkDB.Mode.create)
    if not database.num_work_items:
        init([Path("encrypted_parse") / module], database, {})
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM work_results WHERE test_outcome != 'KILLED'")
    return database


def _copy() -> Path:
    """Return this process's copy of the tree, made when it is first needed."""
    folder = FOLDER / f"copy-{os.getpid()}"
    if not folder.exists():
        folder.mkdir(parents=True)
        for name in COPIED:
            source = plan.ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
            else:
                shutil.copyfile(source, folder / name)
        # Bytecode that knows its source by its digest: a mutant of the same second is noticed.
        compiling = ("compileall", "-q", "--invalidation-mode", "checked-hash", "encrypted_parse")
        subprocess.run([sys.executable, "-m", *compiling], cwd=folder, check=True)
    return folder


def judge(tried: list[Tried], listed: dict[survivors.Survivor, str]) -> list[str]:
    """Return what is wrong: survivors that are not listed, and listed ones that did not survive."""
    modules = {one.module for one in tried}
    found = frozenset().union(*(one.survived for one in tried))
    unlisted = [one.to_toml() for one in sorted(found - listed.keys())]
    killed = [
        f"listed, but killed or gone: {one}"
        for one in sorted(listed)
        if one.module in modules and one not in found
    ]
    return unlisted + killed


def main() -> int:
    """Try the modules that were named, or all; 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="paths inside the package; all by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    unknown = set(arguments.modules) - plan.modules().keys()
    if unknown:
        parser.error(f"not in the plan: {', '.join(sorted(unknown))}")
    modules = arguments.modules or list(plan.modules())
    listed = survivors.load()
    operators.check_examples()
    for copy in FOLDER.glob("copy-*"):  # of an earlier run
        shutil.rmtree(copy)
    modules.sort(key=lambda name: (plan.PACKAGE / name).stat().st_size, reverse=True)
    tried: list[Tried] = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for future in as_completed([pool.submit(try_module, module) for module in modules]):
            done = future.result()
            tried.append(done)
            print(
                f"{done.module}: {done.mutants} mutants, {len(done.survived)} survived, "
                f"{done.seconds:.0f} s",
                flush=True,
            )
    wrong = judge(tried, listed)
    print("\n".join(wrong))
    total = sum(one.mutants for one in tried)
    print(f"mutants: {total} tried, {len(wrong)} to look at")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
