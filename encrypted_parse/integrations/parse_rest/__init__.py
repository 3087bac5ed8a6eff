"""Encryption for existing `parse_rest` code: one call to connect, one decorator a class.

```python
from parse_rest.datatypes import Object
from encrypted_parse.integrations.parse_rest import acl_readers, connect, encrypted_object, sealed

connect()                                          # in place of parse_rest's register()

@encrypted_object(body=sealed(to=acl_readers(), author="senderId"))
class Message(Object):
    pass
```

Everything else stays: `save`, `Query`, `select_related`, lazy pointers, `ParseBatcher`,
`User.login`, `SessionToken`. Rows are those of this package's own models. Who is logged in (by
`SessionToken`, or `log_in_as`) encrypts and decrypts, with the keys of this machine.

`connect` also mends ParsePy 0.3 while it runs: the address of the server, the paths of batches,
dict values, sessions that never ended, errors that could not be read. Nothing of ParsePy is part
of this package; it is under the GPL, version 3, and whoever combines the two has to heed that.
"""

from __future__ import annotations

from encrypted_parse.integrations.parse_rest.connection import (
    InsecureParseRestWarning,
    connect,
    current_user,
    log_in_as,
)
from encrypted_parse.integrations.parse_rest.objects import encrypted_object, sealed
from encrypted_parse.models import acl_readers, only_me, role, users

__all__ = [
    "InsecureParseRestWarning",
    "acl_readers",
    "connect",
    "current_user",
    "encrypted_object",
    "log_in_as",
    "only_me",
    "role",
    "sealed",
    "users",
]
