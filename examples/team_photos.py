"""Photos for a team: an encrypted file, a role that reads it, one more reader, one less.

Needs the variables that `encrypted-parse dev` prints.
"""

from __future__ import annotations

import io
import secrets

from encrypted_parse import (
    EncryptedClient,
    EncryptedFile,
    Model,
    Pointer,
    UserClient,
    acl_readers,
    encrypted,
)


class Photo(Model, parse_class="TeamPhoto"):
    """A picture with a caption, for whoever the ACL lets read."""

    owner_id: str
    caption: str = encrypted(to=acl_readers(), author="owner_id")
    picture: EncryptedFile = encrypted(to=acl_readers(), author="owner_id")


def make_team(owner: UserClient, name: str, members: list[UserClient]) -> None:
    """Make a role that its owner administers."""
    acl = {"*": {"read": True}, owner.user_id: {"read": True, "write": True}}
    role = owner.parse.create("_Role", {"name": name, "ACL": acl})
    pointers = [Pointer.to_user(member.user_id).to_json() for member in members]
    change = {"users": {"__op": "AddRelation", "objects": pointers}}
    owner.parse.update("_Role", role["objectId"], change)


def main() -> None:
    """Upload, look, share, revoke."""
    app = EncryptedClient.from_env()
    ann, ben, guest = (
        app.sign_up(f"{name}-{secrets.token_hex(4)}", secrets.token_urlsafe())
        for name in ("ann", "ben", "guest")
    )
    for user in (ann, ben, guest):
        user.register()
    team = f"hikers-{secrets.token_hex(4)}"
    make_team(ann, team, [ann, ben])

    picture = ann.upload(b"\xff\xd8 a summit", name="summit.jpg", content_type="image/jpeg")
    photo = Photo(owner_id=ann.user_id, caption="3,000 m", picture=picture)
    photo.acl.allow_read(f"role:{team}")
    print(ann.explain(photo))
    ann.save(photo)

    seen = ben.refresh(photo)
    content = io.BytesIO()
    ben.download(seen.picture, content)
    print(f"ben sees {seen.caption!r} and {seen.picture.name}, {len(content.getvalue())} bytes")

    ann.share(photo, with_=[guest.user_id])
    print("the guest sees", guest.refresh(photo).caption)
    report = ann.revoke(photo, from_=[guest.user_id])
    print("taken away:", ", ".join(report.fields), "-", report.cannot_be_recalled)
    readers = ann.who_can_read(photo, candidates=[guest.user_id])["caption"]
    print("the guest is a reader:", guest.user_id in readers.user_ids)


if __name__ == "__main__":
    main()
