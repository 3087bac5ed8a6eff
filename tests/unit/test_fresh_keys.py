"""A running program, and keys that are replaced meanwhile: what it writes, reads, and asks."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from encrypted_parse import Model, TrustPolicy, UserClient, acl_readers, encrypted, version
from encrypted_parse.directory import CachingDirectory, CardCache
from encrypted_parse.directory.cache import CACHE_SECONDS, RENEWAL_SECONDS, WRITING_SECONDS
from encrypted_parse.errors import (
    ConfigurationError,
    GuardRefusedError,
    ObjectNotFoundError,
    RecipientsNotRegisteredError,
    ServerFailedError,
    SignerNotFoundError,
    TokenError,
    UntrustedKeyError,
)
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.transport import HttpRequest, HttpResponse


class Message(Model):
    """Who sent it can change it, and whom its ACL names reads it."""

    sender_id: str
    text: str = encrypted(to=acl_readers(), author="sender_id")


class Counted(Model):
    """The same, with a version."""

    sender_id: str
    edition: int = version()
    text: str = encrypted(to=acl_readers(), author="sender_id")


class Note(Model):
    """Nothing in it is encrypted."""

    title: str


def written(by: UserClient, *readers: str, model: type[Any] = Message, text: str = "hi") -> Any:
    """Return an unsaved message for *readers*."""
    message = model(sender_id=by.user_id, text=text)
    for reader in readers:
        message.acl.allow_read(reader)
    return message


def searches(app: InMemoryApp) -> int:
    """Return how many searches for cards there were so far."""
    return sum("search" in request for request in app.service.requests)


def set_clock(user: UserClient, seconds: float) -> None:
    """Let the app's cache of cards believe that so much time has passed."""
    cache = user.e3kit._directory._directory._cache
    before = cache.clock
    cache.clock = lambda: before() + seconds


def unguarded(app: InMemoryApp) -> InMemoryApp:
    """Take the guard away."""
    app.parse.before_save = lambda *_: None
    return app


@pytest.fixture
def app() -> InMemoryApp:
    """An app with the guard."""
    return InMemoryApp()


def renewed(app: InMemoryApp, ann: UserClient, how: str) -> UserClient:
    """Give *ann* another key, and return who has it."""
    if how == "rotates":
        ann.e3kit.rotate_private_key()
    elif how == "registers anew":
        ann.e3kit.unregister()
        ann.register()
    else:
        ann = app.client().log_in(ann.username, f"password of {ann.username}")
        ann.e3kit.rotate_private_key(lost=True)
    return ann


HOW = pytest.mark.parametrize("how", ["rotates", "registers anew", "lost the old key"])


def saved_for(bot: UserClient, ann: UserClient, how: str, save: Any) -> Any:
    """Save with *save*; where the key is nobody's word, only after it was accepted."""
    if how != "rotates":
        with pytest.raises(UntrustedKeyError):
            save()
        bot.e3kit.accept_key(ann.user_id)
    return save()


@HOW
@pytest.mark.parametrize("model", [Message, Counted])
def test_a_save_is_readable_with_the_present_key_or_refused(
    app: InMemoryApp, how: str, model: type[Any]
) -> None:
    """With the guard a save moments after the reader got another key, created or updated."""
    bot, ann = app.make_user(), app.make_user()
    kept = bot.save(written(bot, ann.user_id, model=model))
    phone = renewed(app, ann, how)
    message = written(bot, ann.user_id, model=model, text="after")
    saved_for(bot, ann, how, lambda: bot.save(message))
    assert phone.get(model, message.object_id).text == "after"
    kept.text = "changed"
    bot.save(kept)
    assert phone.get(model, kept.object_id).text == "changed"


def test_a_usual_save_asks_nothing_more(app: InMemoryApp) -> None:
    """Two saves for the same reader: one search for cards; after a rotation one more."""
    bot, ann = app.make_user(), app.make_user()
    start = searches(app)
    bot.save(written(bot, ann.user_id))
    bot.save(written(bot, ann.user_id))
    assert searches(app) - start == 1
    ann.e3kit.rotate_private_key()
    start = searches(app)
    bot.save(written(bot, ann.user_id))
    assert searches(app) - start == 1


def test_of_a_batch_only_the_refused_are_sent_again(app: InMemoryApp) -> None:
    """Sixty messages for three users, two of whom rotated: one search, and forty sent again."""
    bot, *others = [app.make_user() for _ in range(4)]
    bot.save(written(bot, *(one.user_id for one in others)))
    for one in others[:2]:
        one.e3kit.rotate_private_key()
    start, sent = searches(app), len(app.requests)
    messages = [written(bot, others[place % 3].user_id) for place in range(60)]
    assert [outcome.error for outcome in bot.save_all(messages)] == [None] * 60
    assert searches(app) - start == 1
    batches = [one for one in app.requests[sent:] if one.url.endswith("/batch")]
    assert [(one.body or b"").count(b'"POST"') for one in batches] == [50, 10, 40]
    for place, message in enumerate(messages):
        assert others[place % 3].get(Message, message.object_id).text == "hi"


def test_in_a_batch_an_untrusted_key_hides_no_other_object(app: InMemoryApp) -> None:
    """Who registered anew is refused in the outcome; the others are saved."""
    bot, ann, ben = app.make_user(), app.make_user(), app.make_user()
    bot.save(written(bot, ann.user_id, ben.user_id))
    renewed(app, ann, "registers anew")
    ben.e3kit.rotate_private_key()
    first, second = bot.save_all([written(bot, ann.user_id), written(bot, ben.user_id)])
    assert isinstance(first.error, UntrustedKeyError)
    assert second.error is None
    assert len(app.parse.rows("Message")) == 2


def test_a_transaction_is_sent_again_if_a_key_was_replaced(app: InMemoryApp) -> None:
    """The server does not say why it failed: the directory does; else the error stays."""
    bot, ann = app.make_user(), app.make_user()
    bot.save(written(bot, ann.user_id))
    ann.e3kit.rotate_private_key()
    messages = [written(bot, ann.user_id), written(bot, ann.user_id)]
    bot.save_all(messages, transaction=True)
    assert [ann.get(Message, one.object_id).text for one in messages] == ["hi", "hi"]
    stored, start = len(app.parse.rows("Message")), searches(app)
    gone = bot.get(Message, messages[0].object_id)
    bot.delete(messages[0])
    gone.text = "of a row that is gone"
    with pytest.raises(ObjectNotFoundError):
        bot.save_all([gone, written(bot, ann.user_id)], transaction=True)
    assert searches(app) == start, "found before anything was sent"
    assert len(app.parse.rows("Message")) == stored - 1
    note = Note(title="for ann to read")
    note.acl.allow_read(ann.user_id)
    theirs = ann.get(Note, bot.save(note).object_id)
    theirs.title = "not for ann to write"
    start = searches(app)
    with pytest.raises(ServerFailedError):
        ann.save_all([theirs, written(ann, bot.user_id)], transaction=True)
    assert searches(app) - start == 1
    assert len(app.parse.rows("Message")) == stored - 1


def test_sharing_adds_present_keys_and_keeps_old_stanzas(app: InMemoryApp) -> None:
    """Another reader's replaced key in the stored envelope is no reason to refuse; a new one is."""
    bot, ann, ben = app.make_user(), app.make_user(), app.make_user()
    message = bot.save(written(bot, ann.user_id))
    ann.e3kit.rotate_private_key()
    bot.e3kit.find_users([ben.user_id])
    phone = app.client(keystore=ben.e3kit._keystore).log_in(
        ben.username, f"password of {ben.username}"
    )
    phone.e3kit.rotate_private_key()
    bot.share(message, with_=[ben.user_id])
    [row] = app.parse.rows("Message")
    bot.e3kit.find_users([ann.user_id], force_reload=True)
    assert phone.get(Message, message.object_id).text == "hi"
    named = bot._sealer.readers(row["text"], [ann.user_id, ben.user_id, bot.user_id])
    assert ben.user_id in named.current
    assert ann.user_id in named.user_ids - named.current


def test_revoking_and_resealing_are_sent_again(app: InMemoryApp) -> None:
    """Both encrypt anew, so both may meet a reader's replaced key."""
    bot, ann, ben = app.make_user(), app.make_user(), app.make_user()
    message = bot.save(written(bot, ann.user_id, ben.user_id))
    renewed(app, ann, "registers anew")
    with pytest.raises(UntrustedKeyError):
        bot.revoke(message, from_=[ben.user_id])
    bot.e3kit.accept_key(ann.user_id)
    bot.revoke(message, from_=[ben.user_id])
    assert ann.get(Message, message.object_id).text == "hi"
    other = bot.save(written(bot, ann.user_id))
    bot.e3kit.rotate_private_key()
    rotated: list[bool] = []

    def rotate_first(request: HttpRequest) -> None:
        if request.url.endswith("/batch") and not rotated:
            rotated.append(True)
            ann.e3kit.rotate_private_key()

    app.before = rotate_first
    report = bot.reseal(Message)
    assert (report.resealed, report.failed) == (2, [])
    [named] = [
        bot._sealer.readers(row["text"], [ann.user_id])
        for row in app.parse.rows("Message")
        if row["objectId"] == other.object_id
    ]
    assert named.current == {ann.user_id}


def test_a_guard_that_always_refuses_is_asked_twice(app: InMemoryApp) -> None:
    """No loop: the second refusal is the caller's, with the row and the object as before."""
    bot, ann = app.make_user(), app.make_user()
    message = bot.save(written(bot, ann.user_id))
    ann.e3kit.rotate_private_key()
    raw = app.service.chain_of(ann.user_id)[:1]
    app.service.lies[(bot.user_id, ann.user_id)] = raw  # an old directory, a new guard
    start = len(app.requests)
    message.text = "after"
    with pytest.raises(GuardRefusedError) as caught:
        bot.save(message)
    assert caught.value.code == 9013
    assert sum(one.method == "PUT" for one in app.requests[start:]) == 2
    assert ann.get(Message, message.object_id).text == "hi"


def test_without_a_guard_cards_to_write_for_are_fresh_for_seconds(app: InMemoryApp) -> None:
    """A save after five seconds asks again, one request for all readers; before, it does not."""
    unguarded(app)
    bot, ann, ben = app.make_user(), app.make_user(), app.make_user()
    bot.save(written(bot, ann.user_id, ben.user_id))
    renewed(app, ann, "rotates")
    start = searches(app)
    set_clock(bot, WRITING_SECONDS - 0.5)
    bot.save(written(bot, ann.user_id, ben.user_id))
    assert searches(app) == start
    set_clock(bot, 1)
    message = bot.save(written(bot, ann.user_id, ben.user_id))
    assert searches(app) - start == 1
    [row] = [one for one in app.parse.rows("Message") if one["objectId"] == message.object_id]
    named = bot._sealer.readers(row["text"], [ann.user_id])
    assert named.current == {ann.user_id}


def test_the_age_of_cards_is_a_setting(app: InMemoryApp) -> None:
    """Zero asks for each save, and nobody may write with older cards than readers read with."""
    unguarded(app)
    bot, ann = app.make_user(cards_fresh_seconds=0), app.make_user()
    set_clock(bot, 0.001)
    bot.save(written(bot, ann.user_id))
    start = searches(app)
    set_clock(bot, 0.001)
    bot.save(written(bot, ann.user_id))
    assert searches(app) > start
    for wrong in (-1, CACHE_SECONDS + 1):
        with pytest.raises(ConfigurationError):
            app.client(cards_fresh_seconds=wrong)


# --- reading ------------------------------------------------------------------------------------


def test_an_author_who_rotated_is_read_at_once(app: InMemoryApp) -> None:
    """The next value of one who rotated a moment ago opens, and costs one search."""
    bot, ann = app.make_user(), app.make_user()
    first = ann.save(written(ann, bot.user_id))
    assert bot.get(Message, first.object_id).text == "hi"
    ann.e3kit.rotate_private_key()
    second = ann.save(written(ann, bot.user_id, text="after"))
    start = searches(app)
    assert bot.get(Message, second.object_id).text == "after"
    assert searches(app) - start == 1
    assert bot.get(Message, first.object_id).text == "hi"
    assert searches(app) - start == 1


def test_an_author_who_registered_anew_is_read_with_a_warning(app: InMemoryApp) -> None:
    """What is asked for again is judged as ever: nobody vouched for the new key."""
    bot, ann = app.make_user(), app.make_user()
    assert bot.get(Message, ann.save(written(ann, bot.user_id)).object_id).text == "hi"
    renewed(app, ann, "registers anew")
    second = ann.save(written(ann, bot.user_id))
    with pytest.warns(UserWarning, match="another key"):
        assert bot.get(Message, second.object_id).text == "hi"


def test_values_that_nobody_signed_cost_one_search_a_page(app: InMemoryApp) -> None:
    """A hostile page names twenty authors whose cards are cached: one request, and none next."""
    bot, mallory = app.make_user(), app.make_user()
    users = [app.make_user() for _ in range(20)]
    bot.e3kit.find_users([one.user_id for one in users])
    for place in range(100):
        forged = mallory.save(written(mallory, bot.user_id))
        app.parse.change("Message", forged.object_id, senderId=users[place % 20].user_id)
    start = searches(app)
    assert all(one.locked for one in bot.query(Message))
    assert searches(app) - start == 1
    assert all(one.locked for one in bot.query(Message))
    assert searches(app) - start == 1
    set_clock(bot, RENEWAL_SECONDS)
    assert all(one.locked for one in bot.query(Message))
    assert searches(app) - start == 2


def test_authors_whom_nobody_knows_cost_two_questions_a_page(app: InMemoryApp) -> None:
    """A hostile page names thirty users who never registered: no request for each of them."""
    bot, mallory = app.make_user(), app.make_user()
    for place in range(30):
        forged = mallory.save(written(mallory, bot.user_id))
        app.parse.change("Message", forged.object_id, senderId=f"nobody{place}")
    start = searches(app)
    assert all(one.locked for one in bot.query(Message))
    assert searches(app) - start == 2


def test_cards_that_came_after_the_rows_are_not_asked_for_again(app: InMemoryApp) -> None:
    """A forged value of an author who was not in the cache costs the one search of before."""
    bot, mallory, ann = app.make_user(), app.make_user(), app.make_user()
    forged = mallory.save(written(mallory, bot.user_id))
    app.parse.change("Message", forged.object_id, senderId=ann.user_id)
    start = searches(app)
    assert "not by the expected author" in bot.get(Message, forged.object_id).locked["text"]
    assert searches(app) - start == 1


def test_a_message_of_a_sender_who_rotated_opens_with_the_card_in_the_cache(
    app: InMemoryApp,
) -> None:
    """The newer key has to follow the card; a new registration does not."""
    bot, ann = app.make_user(), app.make_user()
    cards = bot.e3kit.find_users([ann.user_id])
    to_bot = list(ann.e3kit.find_users([bot.user_id]).values())
    ann.e3kit.rotate_private_key()
    message = ann.e3kit.auth_encrypt("after", to_bot)
    assert bot.e3kit.auth_decrypt(message, cards[ann.user_id]) == "after"
    renewed(app, ann, "registers anew")
    message = ann.e3kit.auth_encrypt("anew", to_bot)
    with pytest.raises(SignerNotFoundError):
        bot.e3kit.auth_decrypt(message, cards[ann.user_id])


# --- one cache for all users --------------------------------------------------------------------


def test_sessions_of_one_app_share_verified_cards(app: InMemoryApp) -> None:
    """A web handler that becomes a user for each request gets an object with two requests."""
    ann, ben = app.make_user(), app.make_user()
    message = ann.save(written(ann, ben.user_id))
    keys = ben.e3kit._keystore
    client = app.client(keystore=keys)
    session = client.log_in(ben.username, f"password of {ben.username}")._session.session_token
    assert client.become(session).get(Message, message.object_id).text == "hi"
    start = len(app.requests)
    assert client.become(session).get(Message, message.object_id).text == "hi"
    assert len(app.requests) - start == 2


def test_each_user_judges_shared_cards_alone(app: InMemoryApp) -> None:
    """One user's acceptance is no other's, though both see the same card."""
    ann = app.make_user()
    client = app.client()
    users = [client.sign_up(name, f"password of {name}") for name in ("one", "two")]
    for user in users:
        user.register()
        user.save(written(user, ann.user_id))
    renewed(app, ann, "registers anew")
    for user in users:
        with pytest.raises(UntrustedKeyError):
            user.save(written(user, ann.user_id))
    users[0].e3kit.accept_key(ann.user_id)
    users[0].save(written(users[0], ann.user_id))
    with pytest.raises(UntrustedKeyError):
        users[1].save(written(users[1], ann.user_id))


class Asker:
    """A client of a directory that answers, or fails, and lets others ask meanwhile."""

    def __init__(self, meanwhile: Any = None, error: Exception | None = None) -> None:
        self.asked, self.meanwhile, self.error = 0, meanwhile, error

    def search(self, _: Any) -> dict[str, Any]:
        """Answer that nobody has a card."""
        self.asked += 1
        if self.meanwhile is not None:
            self.meanwhile()
        if self.error is not None:
            raise self.error
        return {}


def test_a_refused_token_is_nobody_elses_trouble() -> None:
    """Who waits for another session's question asks with the own token if that failed."""
    cache, waiting = CardCache(), threading.Event()
    ours = CachingDirectory(client := Asker(), cache=cache)  # type: ignore[arg-type]
    found: list[object] = []
    thread = threading.Thread(target=lambda: (waiting.set(), found.append(ours.look_up(["ann"]))))

    def wait_for_us() -> None:
        thread.start()
        waiting.wait(5)
        thread.join(0.2)  # it is waiting for the answer that does not come

    refused = Asker(wait_for_us, TokenError("ended"))
    theirs = CachingDirectory(refused, cache=cache)  # type: ignore[arg-type]
    with pytest.raises(TokenError):
        theirs.look_up(["ann"])
    thread.join(5)
    assert (found, client.asked) == ([{}], 1)


def test_an_older_answer_does_not_replace_a_newer_one(app: InMemoryApp) -> None:
    """Two questions at once, the earlier answered later: what was asked for last stays."""
    bot, ann = app.make_user(), app.make_user()
    directory = bot.e3kit._directory._directory
    old = directory.look_up([ann.user_id], force=True)[ann.user_id]
    before = directory._cache.clock()
    ann.e3kit.rotate_private_key()
    new = directory.look_up([ann.user_id], force=True)[ann.user_id]
    with directory._cache.lock:
        directory._cache.keep(ann.user_id, old, before)
        directory._cache.keep(ann.user_id, None, before)
    assert directory.look_up([ann.user_id])[ann.user_id] is new


# --- deleted accounts ---------------------------------------------------------------------------


def delete_account(app: InMemoryApp, user: UserClient) -> None:
    """Delete a Parse user, as the user."""
    user.parse.delete("_User", user.user_id)
    assert app.service.search([user.user_id], viewer="anybody") == []


def test_what_a_deleted_user_wrote_is_read_on_a_new_machine(app: InMemoryApp) -> None:
    """The last chain verifies it, first sight and all: also what an older key of it signed."""
    ann, ben = app.make_user(), app.make_user()
    messages = [ann.save(written(ann, ben.user_id))]
    ann.e3kit.rotate_private_key()
    messages.append(ann.save(written(ann, ben.user_id)))
    delete_account(app, ann)
    machine = app.client(keystore=ben.e3kit._keystore).log_in(
        ben.username, f"password of {ben.username}"
    )
    start = searches(app)
    assert [one.text for one in machine.query(Message)] == ["hi", "hi"]
    assert searches(app) - start == 2
    assert [one.text for one in machine.query(Message)] == ["hi", "hi"]
    assert searches(app) - start == 2
    assert machine.e3kit.trust_of(ann.user_id).value == "seen"
    del messages


def test_a_forged_value_of_a_deleted_user_stays_locked(app: InMemoryApp) -> None:
    """Nobody speaks for who is gone, and an older chain than the last does not count."""
    ann, ben, mallory = app.make_user(), app.make_user(), app.make_user()
    before = ann.save(written(ann, ben.user_id))
    renewed(app, ann, "registers anew")
    ann.save(written(ann, ben.user_id))
    forged = mallory.save(written(mallory, ben.user_id))
    app.parse.change("Message", forged.object_id, senderId=ann.user_id)
    delete_account(app, ann)
    machine = app.client(keystore=ben.e3kit._keystore).log_in(
        ben.username, f"password of {ben.username}"
    )
    locked = {one.object_id for one in machine.query(Message) if one.locked}
    assert locked == {before.object_id, forged.object_id}


@pytest.mark.parametrize("erased", [False, True])
def test_nobody_writes_for_a_deleted_account(app: InMemoryApp, *, erased: bool) -> None:
    """Refused, and the error says that the account is gone, and what to do."""
    ann, bot, ben = app.make_user(), app.make_user(), app.make_user(registered=False)
    delete_account(app, ann)
    if erased:
        app.service.erase(ann.user_id)
    with pytest.raises(RecipientsNotRegisteredError, match="was deleted") as caught:
        bot.save(written(bot, ann.user_id, ben.user_id))
    assert caught.value.deleted == (ann.user_id,)
    assert set(caught.value.user_ids) == {ann.user_id, ben.user_id}
    assert "leave it out" in str(caught.value.hint)
    with pytest.raises(RecipientsNotRegisteredError) as caught:
        bot.save(written(bot, ben.user_id))
    assert (caught.value.deleted, "register()" in str(caught.value.hint)) == ((), True)


def test_erased_cards_verify_nothing(app: InMemoryApp) -> None:
    """After the operator erased them, a new machine is told why the value is locked."""
    ann, ben = app.make_user(), app.make_user()
    message = ann.save(written(ann, ben.user_id))
    delete_account(app, ann)
    app.service.erase(ann.user_id)
    machine = app.client(keystore=ben.e3kit._keystore).log_in(
        ben.username, f"password of {ben.username}"
    )
    assert "was deleted" in machine.get(Message, message.object_id).locked["text"]


def test_a_directory_without_the_route_is_asked_once(app: InMemoryApp) -> None:
    """Virgil Cloud knows no ended chains: then a deleted user is one who is not registered."""
    asked: list[str] = []

    def no_such_route(request: HttpRequest) -> HttpResponse | None:
        if not request.url.endswith("search-ended"):
            return None
        asked.append(request.url)
        return HttpResponse(404, {}, b'{"code": 10000, "message": "no"}')

    app.before = no_such_route
    ann, bot = app.make_user(), app.make_user()
    delete_account(app, ann)
    for _ in range(3):
        with pytest.raises(RecipientsNotRegisteredError, match="not registered\n"):
            bot.save(written(bot, ann.user_id))
    assert len(asked) == 1


def test_a_strict_user_can_verify_who_is_gone(app: InMemoryApp) -> None:
    """What is vouched for by hand works with a last chain; writing for it does not."""
    ann, ben = app.make_user(), app.make_user()
    message = ann.save(written(ann, ben.user_id))
    delete_account(app, ann)
    strict = app.client(keystore=ben.e3kit._keystore, trust_policy=TrustPolicy.STRICT).log_in(
        ben.username, f"password of {ben.username}"
    )
    assert "remembered and trusted" in strict.get(Message, message.object_id).locked["text"]
    strict.e3kit.accept_key(ann.user_id)
    assert strict.get(Message, message.object_id).text == "hi"
    with pytest.raises(RecipientsNotRegisteredError):
        strict.save(written(strict, ann.user_id))
