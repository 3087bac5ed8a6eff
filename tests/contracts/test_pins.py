"""What comes from others is named by what cannot be exchanged: commit, version, hash."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.y*ml"))
MADE = {"node_modules", ".venv", "build", "dist"}

COMMIT = re.compile(r"[\w.-]+/[\w.-]+(?:/[\w./-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+")
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
EXACT_TAG = re.compile(r":\d+\.\d+(\.\d+)?(-[\w.-]+)?$")  # Postgres' versions have two numbers

# The first release without what is known to be wrong before it.
FIRST_GOOD = {
    "cryptography": (50, 0),
    "filelock": (3, 20, 3),  # CVE-2025-68146, CVE-2026-22701
    "requests": (2, 33),  # CVE-2024-47081, CVE-2026-25645
    "urllib3": (2, 6, 3),  # CVE-2025-66418, CVE-2025-66471, CVE-2026-21441
}


def files(*names: str) -> list[Path]:
    """Return the project's files of these names, without what is installed or built."""
    return sorted(
        path
        for name in names
        for path in PROJECT.rglob(name)
        if not MADE & set(path.relative_to(PROJECT).parts)
    )


def load_pin() -> ModuleType:
    """Return the script of `make pin`."""
    spec = importlib.util.spec_from_file_location("pin", PROJECT / ".ci" / "pin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """A tag can be moved to other code, a commit cannot; the version stands beside it."""
    uses = re.findall(r"uses: (.+)", path.read_text("utf-8"))
    assert uses
    for used in uses:
        assert COMMIT.fullmatch(used), used


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_read_and_nothing_else(path: Path) -> None:
    """The token reads the code; what runs later does not find it on the disk."""
    workflow: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        assert job.get("permissions", {}) in ({}, {"contents": "read"})
        assert job["timeout-minutes"] <= 180
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def images() -> list[str]:
    """Return every container image that the project names."""
    found = []
    for path in files("Dockerfile", "*.Dockerfile"):
        found += re.findall(r"^FROM (?:--\S+ )*(\S+)", path.read_text("utf-8"), re.MULTILINE)
    for path in files("compose*.y*ml", "docker-compose*.y*ml"):
        services = yaml.safe_load(path.read_text("utf-8"))["services"].values()
        found += [service["image"] for service in services if "image" in service]
    return found


def test_images_are_exact_versions() -> None:
    """By digest, or by a version that is not moved to the next one."""
    assert len(images()) >= 3
    for image in images():
        assert DIGEST.search(image) or EXACT_TAG.search(image), image
    for loose in ("node:22-bookworm-slim", "postgres:17", "redis:latest", "redis"):
        assert not EXACT_TAG.search(loose)


def test_every_package_json_has_a_lock_file() -> None:
    """What is installed from npm is named by hash; the companion's one package by version."""
    manifests = files("package.json")
    assert PROJECT / "examples" / "server" / "package.json" in manifests
    for manifest in manifests:
        wanted = json.loads(manifest.read_text("utf-8")).get("dependencies", {})
        assert all(re.fullmatch(r"\d[\w.+-]*", version) for version in wanted.values()), manifest
        if manifest.parent.name == "cloud_code" or not wanted:  # Back4App's own npm installs it
            continue
        packages = json.loads(manifest.with_name("package-lock.json").read_text("utf-8"))[
            "packages"
        ]
        assert packages[""].get("dependencies", {}) == wanted, manifest
        for name, package in packages.items():
            assert name == "" or "integrity" in package, f"{manifest}: {name}"
            assert "resolved" not in package, f"{manifest}: {name}"


def test_containers_install_what_is_locked() -> None:
    """`npm ci` takes the lock file or fails; `npm install` would take what is newest."""
    for path in files("Dockerfile"):
        text = path.read_text("utf-8")
        assert "npm install" not in text
        assert re.search(r"RUN npm ci .*--ignore-scripts", text)
        assert re.search(r"^COPY .*package-lock\.json", text, re.MULTILINE)


def test_dependencies_exclude_known_bad_releases() -> None:
    """Lower bounds are above the releases whose faults are known, as SECURITY.md says."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds: dict[str, tuple[int, ...]] = {}
    for dependency in project["dependencies"]:
        match = re.match(r"([\w-]+)>=([\d.]+)", dependency)
        assert match is not None, f"{dependency} has no lower bound"
        bounds[match[1]] = tuple(map(int, match[2].split(".")))
    for name, first_good in FIRST_GOOD.items():
        assert bounds[name] >= first_good, name


# --- make pin --------------------------------------------------------------------------------


def test_pinning_is_idempotent_and_keeps_everything_else() -> None:
    """With the same answers, `make pin` changes nothing of what is pinned already."""
    pin = load_pin()
    for path in WORKFLOWS:
        text = path.read_text("utf-8")
        pinned = dict(re.findall(r"uses: (\S+)@(\S+ # \S+)", text))
        newest = {name: tuple(found.split(" # ")) for name, found in pinned.items()}
        assert pin.pinned_actions(text, newest.__getitem__) == text
        other = pin.pinned_actions(text, lambda _: ("f" * 40, "v99.0.0"))
        assert re.sub(r"@\S+ # v\S+", "", other) == re.sub(r"@\S+ # v\S+", "", text)
        assert other.count("f" * 40 + " # v99.0.0") == len(re.findall("uses: ", text))
    digest = "sha256:" + "0" * 64
    for pattern in pin.IMAGES:
        for path in PROJECT.glob(pattern):
            text = path.read_text("utf-8")
            assert pin.pinned_images(text, lambda *_: None) == text
            once = pin.pinned_images(text, lambda *_: digest)
            assert once.count(digest) == len(
                re.findall(r"^\s*(?:FROM|image:) ", text, re.MULTILINE)
            )
            assert pin.pinned_images(once, lambda *_: digest) == once


def test_the_newest_release_is_the_commits() -> None:
    """Of an annotated tag the commit counts, not the tag; previews and moving tags do not."""
    answer = "\n".join(
        f"{letter * 40}\trefs/tags/{tag}"
        for letter, tag in [
            ("a", "v1"),
            ("b", "v1.9.0"),
            ("c", "v1.10.0^{}"),
            ("d", "v1.10.0"),
            ("e", "v2.0.0-beta"),
            ("f", "latest"),
        ]
    )
    assert load_pin().newest_release(answer) == ("c" * 40, "v1.10.0")
