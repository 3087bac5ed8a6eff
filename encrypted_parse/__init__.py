"""End-to-end encryption for apps on Back4App and Parse Server, in E3Kit's formats.

```python
from encrypted_parse import EncryptedClient, Model, acl_readers, encrypted

class Message(Model):
    thread_id: str
    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")

alice = EncryptedClient.from_env().log_in("alice", "s3cret")
alice.register()                                        # once per user

message = Message(thread_id="t1", sender_id=alice.user_id, body="Lunch at noon?")
message.acl.allow_read(bob_id)
alice.save(message)                                     # the server stores ciphertext
```

Errors are in `encrypted_parse.errors`.
"""

from __future__ import annotations

from encrypted_parse._version import __version__
from encrypted_parse.client import EncryptedClient
from encrypted_parse.keystore import (
    EnvironmentKeystore,
    FileKeystore,
    KeyringKeystore,
    KeyService,
    MemoryKeystore,
    Passphrase,
)
from encrypted_parse.models import (
    ACL,
    Codec,
    Embedded,
    EncryptedFile,
    File,
    GeoPoint,
    Model,
    Pointer,
    Polygon,
    Query,
    Relation,
    Results,
    SaveOutcome,
    acl_readers,
    computed,
    encrypted,
    field,
    group,
    only_me,
    relation,
    role,
    users,
    version,
)
from encrypted_parse.trust import TrustPolicy
from encrypted_parse.user_client import UserClient

__all__ = [
    "ACL",
    "Codec",
    "Embedded",
    "EncryptedClient",
    "EncryptedFile",
    "EnvironmentKeystore",
    "File",
    "FileKeystore",
    "GeoPoint",
    "KeyService",
    "KeyringKeystore",
    "MemoryKeystore",
    "Model",
    "Passphrase",
    "Pointer",
    "Polygon",
    "Query",
    "Relation",
    "Results",
    "SaveOutcome",
    "TrustPolicy",
    "UserClient",
    "__version__",
    "acl_readers",
    "computed",
    "encrypted",
    "field",
    "group",
    "only_me",
    "relation",
    "role",
    "users",
    "version",
]
