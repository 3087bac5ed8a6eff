"""Any sequence of saves, shares, revocations and deletions leaves each reader what is theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from encrypted_parse import (
    Model,
    UserClient,
    acl_readers,
    encrypted,
    field,
    only_me,
    users,
    version,
)
from encrypted_parse.errors import (
    AuthorMismatchError,
    FieldLockedError,
    InvalidValueError,
    NotARecipientError,
    ObjectNotFoundError,
    StaleObjectError,
)
from encrypted_parse.testing import InMemoryApp

NAMES = ("alice", "bob", "carol")
names = st.sampled_from(NAMES)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


class Card(Model, parse_class="MachineCard"):
    """One value for the ACL's readers, one for a list, one for the author."""

    owner_id: str
    listed: list[str] = field(factory=list)
    revision: int = version()
    body: str = encrypted(to=acl_readers(), author="owner_id")
    note: str | None = encrypted(to=users("listed"), author="owner_id", default=None)
    secret: str | None = encrypted(to=only_me(), default=None)


@define(eq=False)
class Truth:
    """What should be, told without keys: users by name.

    Attributes:
        row: Who gets the row at all.
        writers: Who may write it.
        values: By attribute, the text and who can read it; absent if there is none.
    """

    object_id: str
    author: str
    row: set[str]
    writers: set[str]
    listed: set[str]
    values: dict[str, tuple[str, set[str]]]
    held: dict[str, Card]


class Sharing(RuleBasedStateMachine):
    """Three users and their cards, on the app that `make_users` gives."""

    cards = Bundle("cards")
    make_user: Callable[..., UserClient] = staticmethod(lambda: InMemoryApp().make_user())

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, UserClient] = {}
        self.existing: list[Truth] = []

    def people(self) -> dict[str, UserClient]:
        """Return three fresh users of one app."""
        app = InMemoryApp()
        return {name: app.make_user() for name in NAMES}

    @initialize()
    def begin(self) -> None:
        """Sign the users up."""
        self.users = self.people()

    def _id(self, name: str) -> str:
        return self.users[name].user_id

    @rule(
        target=cards,
        author=names,
        readers=st.sets(names),
        listed=st.sets(names),
        body=texts,
        note=st.none() | texts,
        secret=st.none() | texts,
    )
    def create(  # noqa: PLR0913, PLR0917 - what is drawn
        self,
        author: str,
        readers: set[str],
        listed: set[str],
        body: str,
        note: str | None,
        secret: str | None,
    ) -> Truth:
        """A new card is readable as its rules say."""
        card = Card(
            owner_id=self._id(author),
            listed=[self._id(name) for name in sorted(listed)],
            body=body,
            note=note,
            secret=secret,
        )
        everybody = readers | {author}
        for name in everybody:
            card.acl.allow_read(self._id(name))
            card.acl.allow_write(self._id(name))
        self.users[author].save(card)
        values = {"body": (body, set(everybody))}
        if note is not None:
            values["note"] = (note, listed | {author})
        if secret is not None:
            values["secret"] = (secret, {author})
        row, writers = set(everybody), set(everybody)
        truth = Truth(str(card.object_id), author, row, writers, set(listed), values, {})
        truth.held[author] = card
        self.existing.append(truth)
        return truth

    @rule(card=cards, who=names)
    def fetch(self, card: Truth, who: str) -> None:
        """A user holds a copy, which others may make stale."""
        if who in card.row:
            card.held[who] = self.users[who].get(Card, card.object_id)

    @rule(card=cards, who=names, text=texts)
    def edit_a_held_copy(self, card: Truth, who: str, text: str) -> None:
        """An old copy is refused; another reader cannot sign; else it is saved for the readers."""
        held = card.held.pop(who, None)
        if held is None or who not in card.row:
            return
        if held.locked.get("body"):
            return
        before, held.body = held.body, text
        if before == text:
            return
        current = self.users[who].get(Card, card.object_id).revision
        try:
            self.users[who].save(held)
        except AuthorMismatchError:
            assert who != card.author
            return
        except StaleObjectError:
            assert held.revision != current
            return
        except ObjectNotFoundError:
            assert who not in card.writers
            return
        assert who == card.author
        card.values["body"] = (text, set(card.row))

    @rule(card=cards, who=names, added=st.sets(names, min_size=1))
    def share(self, card: Truth, who: str, added: set[str]) -> None:
        """Who reads everything in a card may pass it on; who does not may not."""
        if who not in card.row:
            return
        held = self.users[who].get(Card, card.object_id)
        shared = [values for name, values in card.values.items() if name != "secret"]
        can = all(who in readers for _, readers in shared)
        try:
            self.users[who].share(held, with_=[self._id(name) for name in added])
        except NotARecipientError:
            assert not can
            return
        except ObjectNotFoundError:
            assert who not in card.writers
            return
        assert can
        card.row |= added
        for _, readers in shared:
            readers.update(added)

    @rule(card=cards, who=names, removed=names)
    def revoke(self, card: Truth, who: str, removed: str) -> None:
        """Only the author takes readers away, from everything at once, but never itself."""
        if who not in card.row or removed == card.author:
            return
        held = self.users[who].get(Card, card.object_id)
        try:
            self.users[who].revoke(held, from_=[self._id(removed)])
        except (AuthorMismatchError, FieldLockedError, ObjectNotFoundError):
            assert who != card.author
            return
        except InvalidValueError:
            assert who == removed  # nobody revokes itself
            return
        assert who == card.author
        card.row -= {removed}
        card.writers -= {removed}
        card.listed -= {removed}
        for name, (text, _) in card.values.items():
            rules = {
                "body": set(card.row),
                "note": card.listed | {card.author},
                "secret": {card.author},
            }
            card.values[name] = (text, rules[name])

    @rule(card=consumes(cards), who=names)
    def delete(self, card: Truth, who: str) -> None:
        """Whoever may write deletes; others are told that there is no such row."""
        held = card.held.get(who)
        if held is None:
            return
        try:
            self.users[who].delete(held)
        except ObjectNotFoundError:
            assert who not in card.writers
            return
        self.existing = [one for one in self.existing if one is not card]

    @invariant()
    def everybody_reads_what_is_theirs(self) -> None:
        """Row by row, value by value, for every user."""
        for card in self.existing:
            for name, user in self.users.items():
                if name not in card.row:
                    with pytest.raises(ObjectNotFoundError):
                        user.get(Card, card.object_id)
                    continue
                seen = user.get(Card, card.object_id)
                for attribute in ("body", "note", "secret"):
                    expected = card.values.get(attribute)
                    if expected is None:
                        assert getattr(seen, attribute) is None
                    elif name in expected[1]:
                        assert getattr(seen, attribute) == expected[0]
                    else:
                        assert attribute in seen.locked


Sharing.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSharing = Sharing.TestCase


def test_the_same_on_a_real_server(make_user: Callable[..., UserClient]) -> None:
    """A shorter run, on a real Parse Server."""

    class Real(Sharing):
        def people(self) -> dict[str, UserClient]:
            return {name: make_user() for name in NAMES}

    run_state_machine_as_test(
        Real,
        settings=settings(max_examples=4, stateful_step_count=10, deadline=None),
    )
