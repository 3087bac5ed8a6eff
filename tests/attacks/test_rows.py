"""What an app sees of a server that alters rows, and what the server sees of the app."""

from __future__ import annotations

import json
import re

import pytest

from encrypted_parse import Model, UserClient, acl_readers, encrypted, users
from encrypted_parse.envelope import Header, from_text
from encrypted_parse.errors import (
    AuthorMissingError,
    MalformedResponseError,
    RecipientRuleError,
    UnexpectedPlaintextError,
)
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse


class Memo(Model, parse_class="AlteredMemo"):
    """What is stored."""

    owner_id: str
    text: str = encrypted(to=acl_readers(), author="owner_id")


class Letter(Model, parse_class="AlteredLetter"):
    """What is for a list of users."""

    owner_id: str
    reader_ids: list[str]
    text: str = encrypted(to=users("reader_ids"), author="owner_id")


@pytest.fixture
def alice(memory_app: InMemoryApp) -> UserClient:
    """The author."""
    return memory_app.make_user("alice")


def test_lengths_show_in_steps_of_160(memory_app: InMemoryApp, alice: UserClient) -> None:
    """Every value of a model is padded: "yes" and "no" look alike, and a sentence as well."""
    lengths = []
    for text in ("no", "yes", "x" * 155, "x" * 156):
        memo = alice.save(Memo(owner_id=alice.user_id, text=text))
        rows = {row["objectId"]: row["text"] for row in memory_app.parse.rows(Memo.parse_class)}
        envelope = from_text(rows[memo.object_id])
        assert Header.from_bytes(envelope).padded
        lengths.append(len(envelope))
    assert lengths == [lengths[0]] * 3 + [lengths[0] + 160]


@pytest.mark.parametrize("value", ["plaintext", "M", "My dear, how are you? " * 9, 7, ["MII"], {}])
def test_plaintext_in_an_encrypted_column(
    memory_app: InMemoryApp, alice: UserClient, value: object
) -> None:
    """What is no envelope is locked as plaintext, and never returned."""
    memo = alice.save(Memo(owner_id=alice.user_id, text="secret"))
    memory_app.parse.change(Memo.parse_class, str(memo.object_id), text=value)
    with pytest.raises(UnexpectedPlaintextError):
        _ = alice.refresh(memo).text


@pytest.mark.parametrize("author", [None, "", 7, {"__type": "Pointer"}, ["alice"]])
def test_a_value_whose_author_is_hidden(
    memory_app: InMemoryApp, alice: UserClient, author: object
) -> None:
    """Without an author there is no signature to expect, so the value stays locked."""
    memo = alice.save(Memo(owner_id=alice.user_id, text="secret"))
    memory_app.parse.change(Memo.parse_class, str(memo.object_id), ownerId=author)
    with pytest.raises(AuthorMissingError, match="no author"):
        _ = alice.refresh(memo).text


@pytest.mark.parametrize(
    "change", [{"objectId": 7}, {"objectId": None}, {"createdAt": 7}, {"updatedAt": "now"}]
)
def test_a_row_that_is_no_object(
    memory_app: InMemoryApp, alice: UserClient, change: dict[str, object]
) -> None:
    """A row without a usable id or date is an error, not half an object."""
    alice.save(Memo(owner_id=alice.user_id, text="secret"))

    def spoil(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if request.method != "GET":
            return answer
        rows = [{**row, **change} for row in answer.json()["results"]]
        return HttpResponse(answer.status, answer.headers, json.dumps({"results": rows}).encode())

    memory_app.after = spoil
    with pytest.raises(MalformedResponseError):
        alice.query(Memo).first()


@pytest.mark.parametrize("readers", [["", "bob"], ["bob", ""], [""], []])
def test_a_list_of_readers_is_whole(alice: UserClient, readers: list[str]) -> None:
    """One reader who is nobody stops the save; an empty list is the author alone."""
    letter = Letter(owner_id=alice.user_id, reader_ids=readers, text="text")
    if not readers:
        assert alice.save(letter).object_id
        return
    with pytest.raises(RecipientRuleError):
        alice.save(letter)


def test_an_envelope_with_one_reader_too_many_is_not_current(
    memory_app: InMemoryApp, alice: UserClient
) -> None:
    """What names a key beside those of its readers has to be encrypted again by `reseal`."""
    mallory = memory_app.make_user("mallory")
    memo = Memo(owner_id=alice.user_id, text="text")
    memo.acl.allow_read(mallory.user_id)
    alice.save(memo)
    [row] = memory_app.parse.rows(Memo.parse_class)
    assert alice.sealer.is_current(row["text"], {alice.user_id, mallory.user_id})
    assert not alice.sealer.is_current(row["text"], {alice.user_id})
    assert not alice.sealer.is_current("plaintext", {alice.user_id})


def test_parts_of_files_have_names_that_say_nothing(
    memory_app: InMemoryApp, alice: UserClient
) -> None:
    """What is asked for is 128 random bits, whatever the server makes of it."""
    for _ in range(2):
        alice.upload(b"content", name="my diary.txt")
    asked = [
        request.url.rpartition("/")[2]
        for request in memory_app.requests
        if "/files/" in request.url
    ]
    assert len(set(asked)) == 2
    assert all(re.fullmatch(r"[0-9a-f]{32}\.bin", name) for name in asked)
