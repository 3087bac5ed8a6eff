"""What is done in one place stays there: writing to a terminal, making locks, starting programs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import encrypted_parse

PROJECT = Path(__file__).parents[2]
PACKAGE = Path(encrypted_parse.__file__).parent
CLI = sorted((PACKAGE / "cli").glob("*.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))
EXAMPLES = sorted((PROJECT / "examples").rglob("*.py"))

# The modules that write; and where content, not talk, goes to a file that may be standard output.
WRITERS = {"terminal.py", "printable.py"}
CONTENT = {"files.py": {"sys.stdout.buffer"}}
SPEAKING = {"echo", "secho", "prompt", "confirm", "style", "progressbar", "launch", "pager"}
LIBRARIES = {"rich", "segno", "click", "curses"}
# What says a line: an argument is one, and a line feed in it would show as U+FFFD.
LINES = {"write", "say"}

LOCKS = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier"}
# Pools that begin and end within one call, and those that `PerProcess` makes anew.
POOLS = {"models/ahead.py", "models/workers.py", "streams/hashing.py"}
STARTING = {"run", "Popen", "call", "check_call", "check_output", "getoutput"}
ENVIRONMENTS = {"node_environment", "npm_environment"}


def tree(path: Path) -> ast.Module:
    """Return a module, parsed."""
    return ast.parse(path.read_text("utf-8"))


def imported(module: ast.Module) -> Iterator[str]:
    """Yield every name that is imported, with its module's."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def speaking(module: ast.Module) -> Iterator[str]:
    """Yield what speaks to a terminal by itself."""
    for name in imported(module):
        parts = name.split(".")
        if parts[0] in LIBRARIES or (parts[0] == "typer" and parts[-1] in SPEAKING):
            yield name
    for node in ast.walk(module):
        text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        if text == "print" or text in {f"typer.{name}" for name in SPEAKING}:
            yield text
        if text in {"sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer", "os.write"}:
            yield text
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".print"):
            yield ast.unparse(node.func)


def test_there_is_something_to_look_at() -> None:
    """The tests below read the real package, and would find what they look for."""
    assert len(CLI) >= 15
    assert {path.name for path in CLI} >= WRITERS
    assert set(speaking(ast.parse("import rich\nprint(1)\nsys.stderr.write('')"))) == {
        "rich",
        "print",
        "sys.stderr.write",
    }
    assert list(speaking(tree(PACKAGE / "cli" / "terminal.py")))


@pytest.mark.parametrize("path", CLI, ids=lambda path: path.name)
def test_commands_speak_through_one_module(path: Path) -> None:
    """No command writes to the terminal, or asks there, but through `cli/terminal.py`."""
    if path.name in WRITERS:
        return
    assert set(speaking(tree(path))) <= CONTENT.get(path.name, set())


@pytest.mark.parametrize("path", CLI, ids=lambda path: path.name)
def test_an_argument_is_a_line(path: Path) -> None:
    """Texts of ours are handed over line by line: a line feed inside one is never ours."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in LINES:
            for argument in node.args:
                texts = [one.value for one in ast.walk(argument) if isinstance(one, ast.Constant)]
                assert not any(isinstance(text, str) and "\n" in text for text in texts), texts


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_locks_are_made_by_one_module(path: Path) -> None:
    """A lock of `threading`'s stays held in a forked child; those of `locks.py` do not."""
    name = path.relative_to(PACKAGE).as_posix()
    module = tree(path)
    if name == "locks.py":
        return
    found = {one for one in imported(module) if one.split(".")[0] in {"_thread", "multiprocessing"}}
    for node in ast.walk(module):
        text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        if text in {f"threading.{lock}" for lock in LOCKS} or text.startswith("queue."):
            found.add(text)
    found |= {one for one in imported(module) if one in {f"threading.{lock}" for lock in LOCKS}}
    assert found == set()
    pools = any(one.endswith("ThreadPoolExecutor") for one in imported(module))
    assert not pools or name in POOLS


@pytest.mark.parametrize("path", [*MODULES, *EXAMPLES], ids=lambda path: path.name)
def test_programs_get_a_list_of_variables(path: Path) -> None:
    """Whatever is started gets the variables that a function names, never this process's."""
    module = tree(path)
    names = {
        target.id
        for node in ast.walk(module)
        if isinstance(node, ast.Assign) and _is_environment(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    # `_run` in install.py hands on what its callers were given.
    names |= {"variables"} if path.name == "install.py" else set()
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert not called.startswith(("os.system", "os.popen", "os.exec", "os.spawn")), called
        if called.startswith("subprocess.") and called.split(".")[1] in STARTING:
            [env] = [one.value for one in node.keywords if one.arg == "env"]
            assert _is_environment(env) or ast.unparse(env) in names, ast.unparse(node)


def _is_environment(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ENVIRONMENTS
