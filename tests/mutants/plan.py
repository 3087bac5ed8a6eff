"""Which modules are mutated, and which tests have to notice: fast ones that start no server."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "encrypted_parse"

_FORMS = (
    "tests/attacks/test_envelope_attacks.py",
    "tests/unit/test_envelope_variations.py",
    "tests/attacks/test_old_form_attacks.py",
    "tests/vectors/test_e3kit_vectors.py",
    "tests/unit/test_virgil_crypto.py",
    "tests/unit/test_envelope_sharing.py",
)
_GROUPS = (
    "tests/unit/test_groups.py",
    "tests/attacks/test_group_attacks.py",
    "tests/vectors/test_e3kit_vectors.py",
)
_STREAMS = ("tests/unit/test_streams.py", *_FORMS)
_TRUST = (
    "tests/unit/test_trust.py",
    "tests/attacks/test_hostile_directory.py",
    "tests/attacks/test_lying_directory.py",
)
_BACKUP = (
    "tests/unit/test_backups.py",
    "tests/attacks/test_hostile_archive.py",
    "tests/unit/test_newer_backups.py",
    "tests/vectors/test_backup_vectors.py",
    "tests/unit/test_key_life.py",
)
_DIRECTORY = (
    "tests/attacks/test_lying_directory.py",
    "tests/vectors/test_services_vectors.py",
    "tests/attacks/test_hostile_directory.py",
    "tests/unit/test_trust.py",
)
_DRAFTS = (
    "tests/unit/test_models.py",
    "tests/attacks/test_sharing_attacks.py",
    "tests/attacks/test_answers_to_saves.py",
)

PLAN: dict[str, tuple[str, ...]] = {
    "envelope/groups.py": _GROUPS,
    "envelope/protobuf.py": _GROUPS,
    "envelope/*.py": _FORMS,
    "streams/*.py": _STREAMS,
    "trust/*.py": _TRUST,
    "backup/*.py": _BACKUP,
    "directory/*.py": _DIRECTORY,
    "models/drafts.py": _DRAFTS,
}
"""By pattern, the first that fits: what pytest runs, until one test fails."""


def modules() -> dict[str, tuple[str, ...]]:
    """Return the tests of each module, by its path in the package."""
    found: dict[str, tuple[str, ...]] = {}
    for pattern, tests in PLAN.items():
        for path in sorted(PACKAGE.glob(pattern)):
            found.setdefault(path.relative_to(PACKAGE).as_posix(), tests)
    return {name: tests for name, tests in found.items() if not name.endswith("__init__.py")}
