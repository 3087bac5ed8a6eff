"""What a deployment would change: the folder beside the release that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from encrypted_parse.deploy.release import Release, StoredFile, md5_of
from encrypted_parse.discretion import front_door


@front_door
@frozen
class Plan:
    """Files by what happens to them; paths are sorted.

    Attributes:
        release: What runs now.
        added: New on the server.
        changed: There already, with content that this folder deployed.
        same: There already, with this content.
        dropped: Deployed by this folder, and not in it any more.
        foreign: On the server, not in this folder, and not deployed by it: kept.
        edited: There already, with content that this folder did not deploy.
    """

    release: Release
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()

    def to_upload(self) -> tuple[str, ...]:
        """Return the files that the server does not have."""
        return tuple(sorted({*self.added, *self.changed, *self.edited}))

    def kept(self, *, replace: bool) -> dict[str, StoredFile]:
        """Return the stored files that the next release takes over."""
        names = self.same if replace else (*self.same, *self.foreign)
        return {path: self.release.files[path] for path in names}

    def is_empty(self, *, replace: bool) -> bool:
        """True if the release that runs is what would be deployed."""
        return not (self.to_upload() or self.dropped or (replace and self.foreign))


def make_plan(
    folder: Mapping[str, bytes], release: Release, known: Callable[[str], frozenset[str]]
) -> Plan:
    """Compare *folder* with *release*.

    Args:
        folder: Contents by path.
        release: What runs now.
        known: The checksums under which this folder has deployed a path.
    """
    groups: dict[str, list[str]] = {}
    for path, content in folder.items():
        stored = release.files.get(path)
        if stored is None:
            group = "added"
        elif stored.md5 == md5_of(content):
            group = "same"
        else:
            group = "changed" if stored.md5 in known(path) else "edited"
        groups.setdefault(group, []).append(path)
    for path, stored in release.files.items():
        if path not in folder:
            ours = stored.md5 in known(path)
            groups.setdefault("dropped" if ours else "foreign", []).append(path)
    return Plan(release, **{group: tuple(sorted(paths)) for group, paths in groups.items()})
