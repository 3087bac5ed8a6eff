"""Cloud code on its way to a server: the folder, the deploy protocol, and a look at the result."""

from __future__ import annotations

from encrypted_parse.deploy.deploying import (
    Deployed,
    Rollback,
    deploy,
    find_rollback,
    plan,
    require_deployable,
    roll_back,
)
from encrypted_parse.deploy.doctor import Finding, Level, examine
from encrypted_parse.deploy.folder import read_folder
from encrypted_parse.deploy.plan import Plan
from encrypted_parse.deploy.protocol import BACK4APP, DeployServer, PastRelease
from encrypted_parse.deploy.record import Record
from encrypted_parse.deploy.release import Release, StoredFile
from encrypted_parse.deploy.repair import repair
from encrypted_parse.deploy.scaffold import Written, write_companion

__all__ = [
    "BACK4APP",
    "DeployServer",
    "Deployed",
    "Finding",
    "Level",
    "PastRelease",
    "Plan",
    "Record",
    "Release",
    "Rollback",
    "StoredFile",
    "Written",
    "deploy",
    "examine",
    "find_rollback",
    "plan",
    "read_folder",
    "repair",
    "require_deployable",
    "roll_back",
    "write_companion",
]
