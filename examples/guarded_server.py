"""Your own Parse Server with the companion and its guard, which refuses plaintext.

Starts a server on this machine, and needs nothing but the extra `devserver`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from encrypted_parse import EncryptedClient, MemoryKeystore, Model, acl_readers, encrypted
from encrypted_parse.devserver import dev_server
from encrypted_parse.errors import GuardRefusedError
from encrypted_parse.tools import export_guard_schema


class Report(Model, parse_class="GuardedReport"):
    """What the server must not see."""

    author_id: str
    text: str = encrypted(to=acl_readers(), author="author_id")


def main() -> None:
    """Tell the guard of the model, start, and try to get round it."""
    with tempfile.TemporaryDirectory() as folder:
        # What `encrypted-parse schema export` writes, to lie beside main.js in the cloud code.
        fields = Path(folder) / "encrypted-fields.json"
        fields.write_text(json.dumps(export_guard_schema([Report])))
        with dev_server(encrypted_fields=fields) as server:
            app = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
            ann = app.sign_up("ann", "a password")
            ann.register()
            saved = ann.save(Report(author_id=ann.user_id, text="encrypted"))
            print("saved:", ann.refresh(saved).text)
            try:  # a client that forgot to encrypt
                ann.parse.create("GuardedReport", {"authorId": ann.user_id, "text": "plain"})
            except GuardRefusedError as error:
                print("refused:", error)


if __name__ == "__main__":
    main()
