"""Readers: rules, roles, sharing, revoking, and who can read; in memory and on a real server."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from encrypted_parse import (
    Model,
    Pointer,
    UserClient,
    acl_readers,
    computed,
    encrypted,
    field,
    role,
    users,
    version,
)
from encrypted_parse.envelope import Header
from encrypted_parse.errors import (
    AuthorMismatchError,
    ConnectionFailedError,
    EnvelopeError,
    FieldLockedError,
    InvalidValueError,
    NotARecipientError,
    NotRevokedError,
    RecipientRuleError,
    RecipientsNotRegisteredError,
    StaleObjectError,
    TransportError,
)
from encrypted_parse.models.roles import CACHE_SECONDS, RoleDirectory
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse

MakeUser = Callable[..., UserClient]


class Letter(Model, parse_class="ShareLetter"):
    """A value for the ACL's readers, and one for a list of users."""

    author_id: str
    copy_to: list[Pointer] = field(factory=list)
    subject: str = "-"
    body: str = encrypted(to=acl_readers(), author="author_id")
    remark: str | None = encrypted(to=users("copy_to"), author="author_id", default=None)


class Counted(Model, parse_class="ShareCounted"):
    """A letter whose saves are counted."""

    author_id: str
    revision: int = version()
    body: str = encrypted(to=acl_readers(), author="author_id")


def letter(author: UserClient, **values: Any) -> Letter:
    """Save a letter of *author*."""
    return author.save(Letter(**{"author_id": author.user_id, "body": "b", **values}))


def content_of(text: str) -> bytes:
    """Return an envelope without its header: body, tags, signature."""
    sealed = base64.b64decode(text)
    return sealed[Header.from_bytes(sealed).length :]


def seen_by(reader: UserClient, sent: Model) -> Letter:
    """Fetch the letter as *reader*."""
    return reader.get(Letter, str(sent.object_id))


def make_role(
    owner: UserClient, name: str, *members: UserClient, roles: list[str] | None = None
) -> str:
    """Create a role that everybody may see; returns its object id."""
    acl = {"*": {"read": True}, owner.user_id: {"read": True, "write": True}}
    made = owner.parse.create("_Role", {"name": name, "ACL": acl})
    pointers = [Pointer.to_user(member.user_id).to_json() for member in members]
    change: dict[str, Any] = {"users": {"__op": "AddRelation", "objects": pointers}}
    if roles:
        inner = [Pointer("_Role", one).to_json() for one in roles]
        change["roles"] = {"__op": "AddRelation", "objects": inner}
    owner.parse.update("_Role", made["objectId"], change)
    return str(made["objectId"])


# --- rules ----------------------------------------------------------------------------------


class Ticket(Model, parse_class="ShareTicket"):
    """A value for its author, a role and whoever is assigned."""

    author_id: str
    assigned: Pointer | None = None
    team: str = "none"
    body: str = encrypted(to=users("author_id") | role("support"), author="author_id")
    plan: str | None = encrypted(
        to=computed(lambda values: values["team"].split("+"), "team"),
        author="author_id",
        default=None,
    )


def test_roles_and_combinations(any_user: MakeUser) -> None:
    """A role's users and those of roles in it read; who joins later, after resealing."""
    boss, clerk, trainee, other = (any_user() for _ in range(4))
    name = f"support {boss.user_id}"

    class Case(Model, parse_class="ShareCase"):
        author_id: str
        body: str = encrypted(to=users("author_id") | role(name), author="author_id")

    trainees = make_role(boss, f"trainees {boss.user_id}", trainee)
    support = make_role(boss, name, clerk, roles=[trainees])
    case = Case(author_id=boss.user_id, body="help")
    case.acl.allow_public_read()
    boss.save(case)
    for reader in (boss, clerk, trainee):
        assert reader.get(Case, str(case.object_id)).body == "help"
    with pytest.raises(NotARecipientError):
        _ = other.get(Case, str(case.object_id)).body
    joined = {"__op": "AddRelation", "objects": [Pointer.to_user(other.user_id).to_json()]}
    boss.parse.update("_Role", support, {"users": joined})
    again = boss._store._sealer
    assert again._roles is not None  # type: ignore[attr-defined]
    again._roles.forget()  # type: ignore[attr-defined]
    assert boss.reseal(Case).resealed == 1
    assert other.get(Case, str(case.object_id)).body == "help"


def test_acl_roles(any_user: MakeUser) -> None:
    """A role in the ACL stands for its users, and can be revoked."""
    alice, bob = any_user(), any_user()
    name = f"readers {alice.user_id}"
    make_role(alice, name, bob)
    sent = Letter(author_id=alice.user_id, body="b")
    sent.acl.allow_read(f"role:{name}")
    alice.save(sent)
    assert seen_by(bob, sent).body == "b"
    with pytest.raises(RecipientRuleError, match="still for"):
        alice.revoke(sent, from_=[bob.user_id])
    sent = alice.refresh(sent)
    sent.acl.revoke(f"role:{name}")
    alice.save(sent)
    assert bob.user_id not in alice.who_can_read(sent)["body"].user_ids


def test_a_role_that_is_not_there(any_user: MakeUser) -> None:
    """Nothing is saved for a role that cannot be resolved."""
    alice = any_user()
    sent = Letter(author_id=alice.user_id, body="b")
    sent.acl.allow_read("role:nobody knows it")
    with pytest.raises(RecipientRuleError, match="cannot be resolved"):
        alice.save(sent)
    assert sent.is_new


def test_hidden_roles_are_not_told(any_user: MakeUser) -> None:
    """Only who may read a role by its ACL learns its users."""
    alice, bob = any_user(), any_user()
    acl = {alice.user_id: {"read": True, "write": True}}
    alice.parse.create("_Role", {"name": f"hidden {alice.user_id}", "ACL": acl})
    name = f"hidden {alice.user_id}"
    assert RoleDirectory(alice.parse).members([name]) == {name: frozenset()}
    with pytest.raises(RecipientRuleError):
        RoleDirectory(bob.parse).members([name])


def test_roles_are_kept_for_five_minutes(memory_app: InMemoryApp) -> None:
    """One call a role and five minutes; what the server may answer is bounded."""
    alice = memory_app.make_user()
    make_role(alice, "team", alice)
    now = 0.0
    roles = RoleDirectory(alice.parse, lambda: now)

    def calls() -> int:
        return sum(request.url.endswith("role-members") for request in memory_app.requests)

    assert roles.members(["team"]) == roles.members(["team"])
    assert calls() == 1
    now = CACHE_SECONDS + 1
    roles.members(["team"])
    assert calls() == 2
    for answer in ([], {"members": {}}, {"members": {"other": []}}, {"members": {"team": [5]}}):
        memory_app.parse.functions["role-members"] = lambda *_, a=answer: a  # type: ignore[misc]
        roles.forget()
        with pytest.raises(TransportError):
            roles.members(["team"])
    memory_app.parse.functions["role-members"] = lambda *_: {"members": {"team": ["u"] * 10_001}}
    with pytest.raises(TransportError):
        roles.members(["team"])


def test_computed_rules(any_user: MakeUser) -> None:
    """A function of plain values names the readers; a changed value encrypts again."""
    alice, bob = any_user(), any_user()

    class Plan(Model, parse_class="SharePlan"):
        author_id: str
        team: str
        body: str = encrypted(
            to=computed(lambda values: values["team"].split("+"), "team"), author="author_id"
        )

    plan = Plan(author_id=alice.user_id, team=alice.user_id, body="p")
    plan.acl.allow_public_read()
    alice.save(plan)
    with pytest.raises(NotARecipientError):
        _ = bob.get(Plan, str(plan.object_id)).body
    plan.team = f"{alice.user_id}+{bob.user_id}"
    alice.save(plan)
    assert bob.get(Plan, str(plan.object_id)).body == "p"


# --- explaining -----------------------------------------------------------------------------


def test_explain_before_saving(any_user: MakeUser) -> None:
    """It says who will read, what it costs, and what stands against it; it saves nothing."""
    alice, bob, ghost = any_user(), any_user(), any_user(registered=False)
    draft = Letter(author_id=alice.user_id, body="twelve bytes")
    draft.acl.allow_read(bob.user_id)
    explained = alice.explain(draft)
    body, remark = explained.fields
    assert explained.can_be_saved
    assert body.readers == {alice.user_id, bob.user_id}
    assert body.plaintext_bytes == 12
    assert "twelve bytes" not in str(explained)
    assert remark.plaintext_bytes is None
    assert "subject" in str(explained)
    saved = alice.save(draft)
    row = alice.parse.get("ShareLetter", str(saved.object_id))
    assert abs(len(row["body"]) - (body.stored_bytes or 0)) <= 4
    draft.acl.allow_read(ghost.user_id)
    explained = alice.explain(draft)
    assert explained.fields[0].not_registered == {ghost.user_id}
    assert not explained.can_be_saved
    draft.acl.allow_public_read()
    assert "everybody" in str(alice.explain(draft))


def test_who_can_read_asks_the_envelopes(any_user: MakeUser) -> None:
    """The ACL may promise what no envelope holds, and an envelope more than the ACL."""
    alice, bob, carol = (any_user() for _ in range(3))
    sent = letter(alice)
    acl = {who.user_id: {"read": True} for who in (alice, bob)}
    alice.parse.update(
        "ShareLetter",
        str(sent.object_id),
        {"ACL": {**acl, alice.user_id: {"read": True, "write": True}}},
    )
    readers = alice.who_can_read(alice.refresh(sent))
    assert readers["body"].user_ids == {alice.user_id}
    assert set(readers) == {"body"}
    alice.share(alice.refresh(sent), with_=[carol.user_id])
    readers = alice.who_can_read(alice.refresh(sent))
    assert readers["body"].user_ids == {alice.user_id, carol.user_id}
    carol.e3kit.rotate_private_key()
    alice.e3kit.find_users([carol.user_id], force_reload=True)
    readers = alice.who_can_read(alice.refresh(sent))
    assert readers["body"].user_ids == {alice.user_id, carol.user_id}
    assert readers["body"].current == {alice.user_id}


# --- sharing --------------------------------------------------------------------------------


def test_sharing_keeps_ciphertext_and_signature(any_user: MakeUser) -> None:
    """A reader shares on: the end of the envelope stays byte for byte, and the author's name."""
    alice, bob, carol = (any_user() for _ in range(3))
    sent = Letter(author_id=alice.user_id, body="b", remark="r")
    sent.acl.allow_read(bob.user_id)
    sent.acl.allow_write(bob.user_id)
    alice.save(sent)
    before = alice.parse.get("ShareLetter", str(sent.object_id))
    with pytest.raises(NotARecipientError):
        bob.share(seen_by(bob, sent), with_=[carol.user_id])  # the remark is not bob's to share
    sent.remark = None
    alice.save(sent)
    shared = bob.share(seen_by(bob, sent), with_=[Pointer.to_user(carol.user_id)])
    after = alice.parse.get("ShareLetter", str(sent.object_id))
    assert after["body"] != before["body"]
    assert content_of(after["body"]) == content_of(before["body"])
    assert after["ACL"][carol.user_id] == {"read": True}
    assert seen_by(carol, sent).body == "b"
    assert seen_by(carol, sent).author_id == alice.user_id
    shared.subject = "plain"
    bob.save(shared)  # nothing has to be encrypted again, which bob could not sign
    assert bob.share(shared, with_=[carol.user_id]).updated_at == shared.updated_at


def test_sharing_what_cannot_be(any_user: MakeUser) -> None:
    """Missing cards, unsaved changes, bad names: an error, and nothing is sent."""
    alice, ghost = any_user(), any_user(registered=False)
    sent = letter(alice)
    with pytest.raises(RecipientsNotRegisteredError):
        alice.share(sent, with_=[ghost.user_id])
    with pytest.raises(InvalidValueError, match="by their ids"):
        alice.share(sent, with_=None)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError):
        alice.share(sent, with_=[""])
    with pytest.raises(InvalidValueError, match="saved"):
        alice.share(Letter(author_id=alice.user_id, body="b"), with_=[])
    sent.body = "changed"
    with pytest.raises(InvalidValueError, match="unsaved"):
        alice.share(sent, with_=[])


def test_a_forged_value_is_not_shared(memory_app: InMemoryApp) -> None:
    """What we would not read, we do not pass on."""
    alice, bob, mallory = (memory_app.make_user() for _ in range(3))
    sent = Letter(author_id=alice.user_id, body="b")
    sent.acl.allow_write(bob.user_id)
    sent.acl.allow_read(bob.user_id)
    alice.save(sent)
    cards = mallory.e3kit.find_users([bob.user_id])
    forged = mallory.e3kit.auth_encrypt("forged", cards.values())
    memory_app.parse.change("ShareLetter", str(sent.object_id), body=forged)
    with pytest.raises(EnvelopeError):
        bob.share(bob.refresh(sent), with_=[mallory.user_id])


def test_what_the_object_does_not_show_is_not_shared(memory_app: InMemoryApp) -> None:
    """A server that puts another value of the author in its place cannot have it passed on."""
    alice, bob = memory_app.make_user(), memory_app.make_user()
    sent, diary = letter(alice), letter(alice, body="between me and myself")
    [secret] = [
        row["body"]
        for row in memory_app.parse.rows("ShareLetter")
        if row["objectId"] == diary.object_id
    ]
    memory_app.parse.change("ShareLetter", str(sent.object_id), body=secret)
    requests = len(memory_app.requests)
    for action in (
        lambda: alice.share(sent, with_=[bob.user_id]),
        lambda: alice.revoke(sent, from_=[bob.user_id]),
    ):
        with pytest.raises(StaleObjectError, match="not what this object holds"):
            action()
    assert all(request.method == "GET" for request in memory_app.requests[requests:])
    refreshed = alice.refresh(sent)  # who looks, and goes on, shares what was shown
    assert refreshed.body == "between me and myself"


def test_revoking(any_user: MakeUser) -> None:
    """The user leaves ACL, lists and every envelope; the report says what stays."""
    alice, bob, carol = (any_user() for _ in range(3))
    copy_to = [Pointer.to_user(bob.user_id), Pointer.to_user(carol.user_id)]
    sent = Letter(author_id=alice.user_id, body="b", remark="r", copy_to=copy_to)
    for reader in (bob, carol):
        sent.acl.allow_read(reader.user_id)
    alice.save(sent)
    before = alice.parse.get("ShareLetter", str(sent.object_id))
    report = alice.revoke(sent, from_=[bob.user_id])
    assert report.fields == ("body", "remark")
    assert "stays with them" in report.cannot_be_recalled
    after = alice.parse.get("ShareLetter", str(sent.object_id))
    assert content_of(before["body"]) != content_of(after["body"])
    assert bob.user_id not in after["ACL"]
    assert sent.copy_to == copy_to[1:]
    assert seen_by(carol, sent).remark == "r"
    for readers in alice.who_can_read(sent, candidates=[bob.user_id]).values():
        assert bob.user_id not in readers.user_ids
        assert readers.unknown == ()
    again = alice.revoke(sent, from_=[bob.user_id])
    assert again.users == {bob.user_id}


def test_revoking_what_was_shared(any_user: MakeUser) -> None:
    """A stanza that no rule names goes as well."""
    alice, bob = any_user(), any_user()
    sent = letter(alice, remark="r")
    alice.share(sent, with_=[bob.user_id])
    assert seen_by(bob, sent).remark == "r"
    alice.revoke(sent, from_=[bob.user_id])
    readers = alice.who_can_read(sent, candidates=[bob.user_id])
    assert all(bob.user_id not in one.user_ids for one in readers.values())


def test_only_the_author_revokes(any_user: MakeUser) -> None:
    """Others could not sign the new envelope, and the author cannot be taken out."""
    alice, bob = any_user(), any_user()
    sent = Letter(author_id=alice.user_id, body="b")
    for allow in (sent.acl.allow_read, sent.acl.allow_write):
        allow(bob.user_id)
    alice.save(sent)
    with pytest.raises(AuthorMismatchError):
        bob.revoke(seen_by(bob, sent), from_=["x"])
    with pytest.raises(InvalidValueError, match="author"):
        alice.revoke(sent, from_=[alice.user_id])
    hidden = Letter(author_id=alice.user_id, body="b", remark="alice's alone")
    for allow in (hidden.acl.allow_read, hidden.acl.allow_write):
        allow(bob.user_id)
    alice.save(hidden)
    with pytest.raises(FieldLockedError):
        bob.revoke(seen_by(bob, hidden), from_=["x"])


def test_a_server_that_keeps_the_old_value(memory_app: InMemoryApp) -> None:
    """A save that the server pretends to have done is noticed."""
    alice, bob = memory_app.make_user(), memory_app.make_user()
    sent = Letter(author_id=alice.user_id, body="b")
    sent.acl.allow_read(bob.user_id)
    alice.save(sent)
    [before] = memory_app.parse.rows("ShareLetter")

    def undo(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.method == "PUT":
            memory_app.parse.change("ShareLetter", str(sent.object_id), body=before["body"])
        return answer

    memory_app.after = undo
    with pytest.raises(NotRevokedError):
        alice.revoke(sent, from_=[bob.user_id])


def test_versions_guard_sharing(memory_app: InMemoryApp) -> None:
    """Sharing and revoking count as saves: a stale object is not written over."""
    alice, bob = memory_app.make_user(), memory_app.make_user()
    sent = alice.save(Counted(author_id=alice.user_id, body="b"))
    alice.share(sent, with_=[bob.user_id])
    assert sent.revision == 2
    alice.revoke(sent, from_=[bob.user_id])
    assert sent.revision == 3
    races = iter([True])

    def race(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.method == "GET" and "ShareCounted/" in request.url and next(races, False):
            memory_app.parse.change("ShareCounted", str(sent.object_id), revision=9)
        return answer

    memory_app.after = race
    with pytest.raises(StaleObjectError):
        alice.share(sent, with_=[bob.user_id])


class Place:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.at: dict[str, str] = {}

    def position(self, class_name: str) -> str:
        """See `ResealCheckpoint.position`."""
        return self.at.get(class_name, "")

    def advance(self, class_name: str, object_id: str) -> None:
        """See `ResealCheckpoint.advance`."""
        self.at[class_name] = object_id


def test_many_objects(any_user: MakeUser) -> None:
    """All of a query are shared and revoked; what cannot be is reported."""
    alice, bob = any_user(), any_user()
    alice.save_all([Letter(author_id=alice.user_id, body=str(n)) for n in range(7)])
    mine = alice.query(Letter).filter(author_id=alice.user_id)
    seen: list[int] = []
    shared = alice.share_all(mine, with_=[bob.user_id], progress=seen.append)
    assert (shared.examined, shared.done, shared.failed) == (7, 7, [])
    assert seen == list(range(1, 8))
    assert sorted(one.body for one in bob.query(Letter).filter(author_id=alice.user_id)) == [
        str(number) for number in range(7)
    ]
    theirs = bob.query(Letter).filter(author_id=alice.user_id)
    refused = bob.revoke_all(theirs, from_=["x"])
    assert (refused.done, len(refused.failed)) == (0, 7)
    revoked = alice.revoke_all(mine.all(), from_=[bob.user_id])
    assert revoked.done == 7
    assert not bob.query(Letter).filter(author_id=alice.user_id).exists()


def test_a_stopped_job_goes_on(memory_app: InMemoryApp) -> None:
    """With a checkpoint, what is done is not looked at again."""
    alice, bob = memory_app.make_user(), memory_app.make_user()
    alice.save_all([Letter(author_id=alice.user_id, body=str(n)) for n in range(6)])
    place, puts = Place(), iter(range(100))

    def cut(request: HttpRequest) -> None:
        if request.method == "PUT" and next(puts) >= 3:
            raise ConnectionFailedError("cut")

    memory_app.before = cut
    with pytest.raises(ConnectionFailedError):
        alice.share_all(alice.query(Letter), with_=[bob.user_id], checkpoint=place)
    memory_app.before = lambda _: None
    rest = alice.share_all(alice.query(Letter), with_=[bob.user_id], checkpoint=place)
    assert rest.examined == 3
    assert all(bob.user_id in row["ACL"] for row in memory_app.parse.rows("ShareLetter"))
