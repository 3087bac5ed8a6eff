"""Declarative models: the only place where Parse and encryption meet."""

from __future__ import annotations

from encrypted_parse.models.acl import ACL
from encrypted_parse.models.fields import encrypted, field
from encrypted_parse.models.model import Model
from encrypted_parse.models.query import Query, Results
from encrypted_parse.models.reseal import ResealCheckpoint, ResealReport, reseal_objects
from encrypted_parse.models.rules import (
    GroupMembers,
    Recipient,
    RecipientRule,
    acl_readers,
    group,
    only_me,
    users,
)
from encrypted_parse.models.sealer import E3KitSealer, ObjectContext, Sealer
from encrypted_parse.models.store import ObjectStore, SaveOutcome

__all__ = [
    "ACL",
    "E3KitSealer",
    "GroupMembers",
    "Model",
    "ObjectContext",
    "ObjectStore",
    "Query",
    "Recipient",
    "RecipientRule",
    "ResealCheckpoint",
    "ResealReport",
    "Results",
    "SaveOutcome",
    "Sealer",
    "acl_readers",
    "encrypted",
    "field",
    "group",
    "only_me",
    "reseal_objects",
    "users",
]
