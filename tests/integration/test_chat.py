"""The chat in a real browser: unmodified E3Kit in the page, our models in Python, one server."""

from __future__ import annotations

import base64
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from encrypted_parse import EncryptedClient, MemoryKeystore
from encrypted_parse.e3kit import derive_passwords

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "chat"
PASSWORD = "correct horse"
PHONE, DESKTOP = {"width": 375, "height": 720}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or another that is on the PATH; Playwright brings none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root, nor in most containers.
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def chat() -> Iterator[Any]:
    """Everything that `make chat` starts."""
    run = _load("run")
    with run.chat(lambda _: None) as running:
        yield running


def _load(name: str) -> ModuleType:
    folder = ROOT / "examples" / "chat"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location(f"chat_{name}", folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


class Window:
    """One person's browser, apart from all others, whose console is kept."""

    def __init__(self, browser: Browser, chat: Any, viewport: dict[str, int]) -> None:
        self._context = browser.new_context(viewport=viewport)
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(30_000)
        self.page.goto(chat.url)

    def _listen(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def enter(self, name: str, button: str = "Sign up") -> None:
        """Sign up, or log in."""
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name=button).click()
        expect(self.page.locator("#me")).to_have_text(name, timeout=60_000)

    def open(self, peer: str) -> None:
        """Open the conversation with somebody."""
        self.page.get_by_label("Write to").fill(peer)
        self.page.get_by_role("button", name="Open", exact=True).click()
        expect(self.page.locator("#peer")).to_have_text(peer)

    def write(self, text: str) -> None:
        """Type a message and send it."""
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.get_by_role("button", name="Send").click()

    def message(self, text: str) -> Locator:
        """Return the messages that contain a text."""
        return self.page.locator("#messages li").filter(has_text=text)

    def picture(self, name: str) -> None:
        """Save what is to be seen."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def close(self, *, expected: str | None = None) -> None:
        """End it; its console had nothing to complain about, but for what is *expected*."""
        self._context.close()
        unexpected = [one for one in self.complaints if expected is None or expected not in one]
        assert unexpected == []


@pytest.mark.parametrize(("device", "viewport"), [("phone", PHONE), ("desktop", DESKTOP)])
def test_a_conversation_with_python(
    browser: Browser, chat: Any, device: str, viewport: dict[str, int]
) -> None:
    """Typed in the page, read and answered in Python, shown by the page; a reload keeps it."""
    window = Window(browser, chat, viewport)
    window.picture(f"{device}-welcome")
    name = f"alice-{device}"
    window.enter(name)
    window.open("bot")
    text = "Grüße, <b>you</b> 🎉"
    window.write(text)
    expect(window.message(f"“{text}”")).to_contain_text("Python has read 3 words, signed by you")
    expect(window.page.locator("#messages li.mine")).to_have_count(1)
    window.write("And a second one")
    expect(window.message("“And a second one”")).to_be_visible()
    window.picture(f"{device}-conversation")
    overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert window.page.evaluate(overflow) is False
    window.page.reload()
    expect(window.page.locator("#messages li")).to_have_count(4)
    expect(window.message(f"“{text}”")).to_be_visible()
    window.close()


def test_two_people_and_a_tampered_message(browser: Browser, chat: Any) -> None:
    """Two windows see each other's messages at once; what the database altered is not shown."""
    carol, dave = (Window(browser, chat, viewport) for viewport in (DESKTOP, PHONE))
    carol.enter("carol")
    dave.enter("dave")
    carol.open("dave")
    carol.write("Can you see this?")
    dave.page.get_by_role("button", name="carol").click()
    expect(dave.message("Can you see this?")).to_be_visible()
    dave.write("I can")
    expect(carol.message("I can")).to_be_visible()
    expect(carol.page.locator("#messages li.mine")).to_have_count(1)

    master = {
        "X-Parse-Application-Id": chat.server.application_id,
        "X-Parse-Master-Key": chat.server.master_key,
    }
    url = f"{chat.server.url}/classes/Message"
    rows = requests.get(url, {"order": "-createdAt", "limit": "1"}, headers=master, timeout=20)
    [row] = rows.json()["results"]
    assert "I can" not in rows.text
    body = bytearray(base64.b64decode(row["body"]))
    body[-1] ^= 1
    change = {"body": base64.b64encode(body).decode()}
    answer = requests.put(f"{url}/{row['objectId']}", json=change, headers=master, timeout=20)
    answer.raise_for_status()
    for window in (carol, dave):
        expect(window.page.locator("#messages li.tampered")).to_contain_text("is not shown")
        expect(window.message("I can")).to_have_count(0)
        expect(window.message("Can you see this?")).to_be_visible()
    carol.picture("desktop-tampered")
    dave.picture("phone-tampered")
    carol.close()
    dave.close()


def test_keys_come_back_and_python_reads_the_page(browser: Browser, chat: Any) -> None:
    """In another browser the key is restored; Python restores the same key and reads."""
    first = Window(browser, chat, DESKTOP)
    first.enter("erin")
    first.open("bot")
    first.write("Remember me")
    expect(first.message("“Remember me”")).to_be_visible()
    first.page.get_by_role("button", name="Log out").click()
    expect(first.page.get_by_role("button", name="Sign up")).to_be_visible()
    first.close()

    second = Window(browser, chat, DESKTOP)
    second.enter("erin", "Log in")
    second.page.get_by_role("button", name="bot").click()
    expect(second.message("“Remember me”")).to_be_visible()
    second.close(expected="status of 429")  # BrainKey: E3Kit waits two seconds, and asks again

    app = EncryptedClient.from_env(chat.server.environment(), keystore=MemoryKeystore())
    derived = derive_passwords(PASSWORD)
    erin = app.log_in("erin", derived.login_password)
    erin.e3kit.restore_private_key(derived.backup_password)
    mine = erin.query(_load("models").Message).filter(sender_id=erin.user_id).all()
    assert [message.body for message in mine] == ["Remember me"]


def test_what_goes_wrong_is_said(browser: Browser, chat: Any) -> None:
    """A wrong password, a name that is taken, a peer that is not there: words, and nothing lost."""
    window = Window(browser, chat, PHONE)
    window.enter("frank")
    window.page.get_by_label("Write to").fill("nobody-there")
    window.page.get_by_role("button", name="Open", exact=True).click()
    expect(window.page.get_by_text("There is nobody called nobody-there.")).to_be_visible()
    window.page.get_by_role("button", name="Log out").click()
    window.page.get_by_label("Name").fill("frank")
    window.page.get_by_label("Password").fill("wrong password")
    for button, says in (("Log in", "Invalid username/password."), ("Sign up", "already exists")):
        window.page.get_by_role("button", name=button).click()
        expect(window.page.get_by_text(says)).to_be_visible()
    window.close(expected="status of 4")
