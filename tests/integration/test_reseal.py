"""Resealing own objects after a rotation, and the rule group(), on the real server."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from encrypted_parse import (
    EncryptedClient,
    MemoryKeystore,
    Model,
    UserClient,
    acl_readers,
    encrypted,
    group,
)
from encrypted_parse.cli.objects import FileCheckpoint
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.errors import (
    ConfigurationError,
    NotARecipientError,
    RecipientRuleError,
    TransportError,
)

MakeUser = Callable[..., UserClient]
_NUMBERS = itertools.count()


class Letter(Model):
    """An object for whom its ACL names."""

    topic: str
    sender_id: str
    body: str = encrypted(to=acl_readers(), author="sender_id")


class Minutes(Model):
    """An object for the members of a group."""

    team_id: str
    owner_id: str
    body: str = encrypted(to=group("team_id", initiator_from="owner_id"), author="owner_id")


def _letters(author: UserClient, reader: UserClient, count: int) -> tuple[str, list[Letter]]:
    topic = f"topic{next(_NUMBERS)}"
    letters = []
    for number in range(count):
        letter = Letter(topic=topic, sender_id=author.user_id, body=f"letter {number}")
        letter.acl.allow_read(reader.user_id)
        letters.append(letter)
    assert all(outcome.saved for outcome in author.save_all(letters))
    return topic, letters


def _new_device(app: EncryptedClient, user: UserClient) -> UserClient:
    """Return the user on a machine that has the current key alone."""
    app._keystore = MemoryKeystore()
    fresh = app.become(user.session_token)
    fresh.e3kit.register(user.e3kit._own_key())
    return fresh


def test_reseal_after_rotations(make_user: MakeUser, app: EncryptedClient) -> None:
    """Afterwards the new keys alone open everything; what was current already is left alone."""
    alice, bob = make_user(), make_user()
    topic, _ = _letters(alice, bob, 120)
    answer = Letter(topic=topic, sender_id=bob.user_id, body="an answer")
    answer.acl.allow_read(alice.user_id)
    bob.save(answer)
    assert alice.reseal(Letter).resealed == 0

    for user in (alice, bob):
        user.e3kit.rotate_private_key()
    for user, other in ((alice, bob), (bob, alice)):
        user.e3kit.find_users([other.user_id], force_reload=True)
    late = _new_device(app, bob)
    [*_, one] = late.query(Letter).filter(topic=topic).limit(2).all()
    with pytest.raises(NotARecipientError):
        _ = one.body

    steps: list[tuple[str, int, int]] = []
    report = alice.reseal(Letter, progress=lambda *step: steps.append(step))
    assert (report.examined, report.resealed, report.skipped) == (121, 120, 1)
    assert report.failed == []
    assert [step[1] for step in steps] == [50, 100, 121]
    assert bob.reseal(Letter).resealed == 1
    for user in (_new_device(app, bob), _new_device(app, alice)):
        read = list(user.query(Letter).filter(topic=topic).limit(1000))
        assert sorted(letter.body for letter in read) == sorted(
            [*(f"letter {number}" for number in range(120)), "an answer"]
        )
    assert alice.reseal(Letter).resealed == 0


def test_a_reseal_that_is_stopped(
    make_user: MakeUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run goes on where the last page was done."""
    alice, bob = make_user(), make_user()
    _letters(alice, bob, 120)
    alice.e3kit.rotate_private_key()
    file = tmp_path / "reseal.json"
    batch, calls = alice.parse.batch, itertools.count()

    def breaking(operations: object) -> object:
        if next(calls) == 1:
            raise TransportError("the network is gone")
        return batch(operations)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(alice.parse, "batch", breaking)
        with pytest.raises(TransportError):
            alice.reseal(Letter, checkpoint=FileCheckpoint(file, alice.user_id))
    place = FileCheckpoint(file, alice.user_id)
    report = alice.reseal(Letter, checkpoint=place)
    assert (report.examined, report.resealed) == (70, 70)
    with pytest.raises(ConfigurationError):
        FileCheckpoint(file, bob.user_id)
    place.finish()
    assert alice.reseal(Letter).resealed == 0
    file.write_text("{")
    with pytest.raises(ConfigurationError):
        FileCheckpoint(file, alice.user_id)


def test_the_rule_group(make_user: MakeUser, app: EncryptedClient) -> None:
    """Members read; who joins later reads after a reseal; who left does not read new values."""
    alice, bob, carol = make_user(), make_user(), make_user()
    cards = alice.e3kit.find_users([bob.user_id, carol.user_id])
    team = f"the team of {alice.user_id}"
    members = alice.e3kit.create_group(team, [cards[bob.user_id]])
    minutes = Minutes(team_id=team, owner_id=alice.user_id, body="first")
    for user in (bob, carol):
        minutes.acl.allow_read(user.user_id)
    alice.save(minutes)
    object_id = minutes.object_id or ""
    assert bob.get(Minutes, object_id).body == "first"
    with pytest.raises(NotARecipientError):
        _ = carol.get(Minutes, object_id).body

    members.add([cards[carol.user_id]])
    assert alice.reseal(Minutes).resealed == 1
    assert carol.get(Minutes, object_id).body == "first"
    members.remove([cards[bob.user_id]], [cards[carol.user_id]])
    minutes.body = "second"
    alice.save(minutes)
    assert carol.get(Minutes, object_id).body == "second"
    with pytest.raises(NotARecipientError):
        _ = bob.get(Minutes, object_id).body
    nameless = Minutes(team_id="", owner_id=alice.user_id, body="x")
    with pytest.raises(RecipientRuleError):
        alice.save(nameless)
    assert isinstance(alice.e3kit._own_key(), PrivateKey)
