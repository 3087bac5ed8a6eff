"""A diary that its author alone can read: every kind of value, encrypted.

Needs the variables that `encrypted-parse dev` prints.
"""

from __future__ import annotations

import datetime as dt
import secrets

from encrypted_parse import EncryptedClient, Model, encrypted, only_me


class Entry(Model, parse_class="DiaryEntry"):
    """One day."""

    day: dt.datetime
    text: str = encrypted(to=only_me())
    mood: int | None = encrypted(to=only_me(), default=None)
    tags: list[str] = encrypted(to=only_me(), factory=list)


def main() -> None:
    """Write two days and read them back, newest first."""
    app = EncryptedClient.from_env()
    me = app.sign_up(f"diarist-{secrets.token_hex(4)}", secrets.token_urlsafe())
    me.register()
    today = dt.datetime.now(dt.UTC)
    outcomes = me.save_all(
        [
            Entry(day=today - dt.timedelta(days=1), text="Rain.", mood=2),
            Entry(day=today, text="Sun!", mood=9, tags=["garden", "bees"]),
        ]
    )
    if not all(outcome.saved for outcome in outcomes):
        raise SystemExit("some entries could not be saved")
    for entry in me.query(Entry).order_by("-day"):
        print(f"{entry.day:%Y-%m-%d} {entry.text} mood={entry.mood} {', '.join(entry.tags)}")


if __name__ == "__main__":
    main()
