"""Declarative models: the only place where Parse and encryption meet."""

from __future__ import annotations

from encrypted_parse.models.acl import ACL
from encrypted_parse.models.codecs import Codec
from encrypted_parse.models.embedded import Embedded
from encrypted_parse.models.fields import encrypted, field, relation, version
from encrypted_parse.models.model import Model
from encrypted_parse.models.outcomes import BatchReport, DeleteOutcome, SaveOutcome
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
from encrypted_parse.models.store import ObjectStore
from encrypted_parse.models.values import File, GeoPoint, Pointer, Polygon, Relation

__all__ = [
    "ACL",
    "BatchReport",
    "Codec",
    "DeleteOutcome",
    "E3KitSealer",
    "Embedded",
    "File",
    "GeoPoint",
    "GroupMembers",
    "Model",
    "ObjectContext",
    "ObjectStore",
    "Pointer",
    "Polygon",
    "Query",
    "Recipient",
    "RecipientRule",
    "Relation",
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
    "relation",
    "reseal_objects",
    "users",
    "version",
]
