"""What `make mutants` goes by: its plan names real tests, and its list real survivors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mutants import plan, survivors

CRITICAL = ("envelope/*.py", "trust/*.py", "backup/*.py", "directory/*.py", "models/drafts.py")
FIXTURES_OF_SERVERS = {"any_user", "dev_server", "make_user", "other_server", "server"}
PLANNED = plan.modules()
TESTS = sorted({path for tests in PLANNED.values() for path in tests})
DIFF = """--- mutation diff ---
--- a/encrypted_parse/envelope/padding.py
+++ b/encrypted_parse/envelope/padding.py
@@ -1,3 +1,3 @@
 def unpad(padded):
-    if end < 0:
-        raise Bad
+    if end <= 0:
+        pass
"""
FOUND = survivors.Survivor(
    "envelope/padding.py", "unpad", "if end < 0: / raise Bad", "if end <= 0: / pass"
)


def test_the_plan_covers_what_security_rests_on() -> None:
    """Every module of the critical folders is mutated."""
    wanted = {
        path.relative_to(plan.PACKAGE).as_posix()
        for pattern in CRITICAL
        for path in plan.PACKAGE.glob(pattern)
        if path.name != "__init__.py"
    }
    assert len(wanted) >= 30
    assert wanted <= PLANNED.keys()


@pytest.mark.parametrize("pattern", plan.PLAN)
def test_every_pattern_fits_a_module(pattern: str) -> None:
    """A module that moved away is noticed."""
    assert list(plan.PACKAGE.glob(pattern))


@pytest.mark.parametrize("path", TESTS)
def test_planned_tests_exist_and_start_no_server(path: str) -> None:
    """Thousands of runs of a file have to be fast."""
    tree = ast.parse((plan.ROOT / path).read_text("utf-8"))
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert tests
    requested = {argument.arg for test in tests for argument in test.args.args}
    assert not requested & FIXTURES_OF_SERVERS


def test_listed_survivors_are_still_in_the_code() -> None:
    """An entry whose line has changed excuses nothing any more."""
    for survivor in survivors.load():
        lines = {
            line.strip()
            for line in (plan.PACKAGE / survivor.module).read_text("utf-8").splitlines()
        }
        assert survivor.module in PLANNED
        assert set(survivor.was.split(" / ")) <= lines, survivor
        assert survivor.was != survivor.became


def test_a_survivor_is_read_from_its_diff() -> None:
    """The changed lines, without their places, name it; its entry is read again."""
    found = survivors.Survivor.from_diff("envelope/padding.py", "unpad", DIFF)
    assert found == FOUND


def test_an_entry_needs_a_reason(tmp_path: Path) -> None:
    """What the run prints is an entry but for its reason, which a person has to write."""
    path = tmp_path / "survivors.toml"
    path.write_text(FOUND.to_toml())
    with pytest.raises(ValueError, match="no reason"):
        survivors.load(path)
    entry = FOUND.to_toml().replace("reason = ''", "reason = 'an example'")
    path.write_text(entry)
    assert survivors.load(path) == {FOUND: "an example"}
    path.write_text(entry * 2)
    with pytest.raises(ValueError, match="twice"):
        survivors.load(path)
