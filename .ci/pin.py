"""`make pin`: bring what others publish up to date here, named by what cannot be exchanged.

Actions of the workflows get the commit of their newest release; container images the digest of
the version that is written beside them, where the registry can be asked; npm's lock files what
their package.json allows today. Look at the difference, run `make test-all`, commit it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORKFLOWS = ".github/workflows/*.yml"
IMAGES = ("examples/**/Dockerfile", "examples/**/compose.yaml")
PACKAGES = ("encrypted_parse/devserver/node", "examples/server", "examples/chat/web")

ACTION = re.compile(r"(uses: )([\w.-]+/[\w.-]+)@\S+( # )v[\d.]+")
IMAGE = re.compile(r"((?:FROM|image:) )([\w./-]+):([\w.-]+)(?:@sha256:[0-9a-f]{64})?")
_RELEASE = re.compile(r"[0-9a-f]{40}\s+refs/tags/v(\d+)\.(\d+)\.(\d+)(\^\{\})?")
_SECONDS = 60
_HUB = "https://registry-1.docker.io/v2/{}/manifests/{}"
_HUB_TOKENS = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:{}:pull"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

Newest = Callable[[str], tuple[str, str]]
Digest = Callable[[str, str], str | None]


def pinned_actions(text: str, newest: Newest) -> str:
    """Return a workflow whose actions are named by the commit of their newest release."""

    def pin(found: re.Match[str]) -> str:
        commit, version = newest(found[2])
        return f"{found[1]}{found[2]}@{commit}{found[3]}{version}"

    return ACTION.sub(pin, text)


def pinned_images(text: str, digest_of: Digest) -> str:
    """Return a Dockerfile or compose file whose images have digests, where there is an answer."""

    def pin(found: re.Match[str]) -> str:
        digest = digest_of(found[2], found[3])
        return found[0] if digest is None else f"{found[1]}{found[2]}:{found[3]}@{digest}"

    return IMAGE.sub(pin, text)


def newest_release(answer: str) -> tuple[str, str]:
    """Return commit and version of the highest release in what `git ls-remote --tags` says."""
    found: dict[tuple[int, ...], str] = {}
    for line in sorted(answer.splitlines(), key=lambda line: line.endswith("^{}")):
        match = _RELEASE.fullmatch(line)
        if match is not None:  # of an annotated tag the line with ^{} is last, and the commit's
            found[int(match[1]), int(match[2]), int(match[3])] = line.split()[0]
    version = max(found)
    return found[version], "v" + ".".join(map(str, version))


def _newest(action: str) -> tuple[str, str]:
    command = ["git", "ls-remote", "--tags", f"https://github.com/{action}"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    return newest_release(answer.stdout)


def _digest(image: str, tag: str) -> str | None:
    name = image if "/" in image else f"library/{image}"
    try:
        with urllib.request.urlopen(_HUB_TOKENS.format(name), timeout=_SECONDS) as answer:
            token = json.load(answer)["token"]
        request = urllib.request.Request(
            _HUB.format(name, tag),
            method="HEAD",
            headers={"Authorization": f"Bearer {token}", "Accept": f"{_INDEX}, {_LIST}"},
        )
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return str(answer.headers["Docker-Content-Digest"])
    except (urllib.error.URLError, KeyError, ValueError) as error:
        sys.stderr.write(f"pin: {image}:{tag} keeps its version alone: {error}\n")
        return None


def _lock(folder: Path) -> None:
    from encrypted_parse.devserver.node import find_node  # noqa: PLC0415 - in .venv

    node = find_node()
    flags = ["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
    command = [node.executable, node.npm_script, "update", "--omit-lockfile-registry-resolved"]
    subprocess.run([*command, *flags], cwd=folder, check=True)


def main() -> None:
    """Rewrite what is pinned in this repository."""
    for path in sorted(ROOT.glob(WORKFLOWS)):
        path.write_text(pinned_actions(path.read_text("utf-8"), _newest), "utf-8")
    for pattern in IMAGES:
        for path in sorted(ROOT.glob(pattern)):
            path.write_text(pinned_images(path.read_text("utf-8"), _digest), "utf-8")
    for folder in PACKAGES:
        _lock(ROOT / folder)


if __name__ == "__main__":
    main()
