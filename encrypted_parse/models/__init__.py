"""Declarative models: the only place where Parse and encryption meet."""

from __future__ import annotations

from encrypted_parse.models.acl import ACL
from encrypted_parse.models.codecs import Codec
from encrypted_parse.models.embedded import Embedded
from encrypted_parse.models.explaining import Explanation, FieldExplanation, explain, who_can_read
from encrypted_parse.models.fields import encrypted, field, relation, version
from encrypted_parse.models.files import EncryptedFile, Files
from encrypted_parse.models.model import Model
from encrypted_parse.models.outcomes import BatchReport, DeleteOutcome, SaveOutcome
from encrypted_parse.models.query import Query, Results
from encrypted_parse.models.reseal import ResealCheckpoint, ResealReport, reseal_objects
from encrypted_parse.models.roles import RoleDirectory
from encrypted_parse.models.rules import (
    GroupMembers,
    Recipient,
    RecipientRule,
    RoleMembers,
    Rule,
    acl_readers,
    computed,
    group,
    only_me,
    role,
    users,
)
from encrypted_parse.models.sealer import E3KitSealer, ObjectContext, Readers, Sealer
from encrypted_parse.models.sharing import RevokeReport, Sharing, Users, for_each, user_ids_of
from encrypted_parse.models.store import ObjectStore
from encrypted_parse.models.user_names import UserNames
from encrypted_parse.models.values import File, GeoPoint, Pointer, Polygon, Relation

__all__ = [
    "ACL",
    "BatchReport",
    "Codec",
    "DeleteOutcome",
    "E3KitSealer",
    "Embedded",
    "EncryptedFile",
    "Explanation",
    "FieldExplanation",
    "File",
    "Files",
    "GeoPoint",
    "GroupMembers",
    "Model",
    "ObjectContext",
    "ObjectStore",
    "Pointer",
    "Polygon",
    "Query",
    "Readers",
    "Recipient",
    "RecipientRule",
    "Relation",
    "ResealCheckpoint",
    "ResealReport",
    "Results",
    "RevokeReport",
    "RoleDirectory",
    "RoleMembers",
    "Rule",
    "SaveOutcome",
    "Sealer",
    "Sharing",
    "UserNames",
    "Users",
    "acl_readers",
    "computed",
    "encrypted",
    "explain",
    "field",
    "for_each",
    "group",
    "only_me",
    "relation",
    "reseal_objects",
    "role",
    "user_ids_of",
    "users",
    "version",
    "who_can_read",
]
