"""Other users: who they are, and whether that is true."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import segno
import typer

from encrypted_parse.cli.keys import fingerprint_of
from encrypted_parse.cli.output import say, show
from encrypted_parse.cli.session import JsonOption, PasswordFdOption, UserOption, log_in
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.errors import NotRegisteredError

UserIdArgument = Annotated[
    str, typer.Argument(metavar="USER_ID", help="The Parse object id of the user.")
]


def whois(
    user_ids: Annotated[
        list[str], typer.Argument(metavar="USER_ID...", help="Parse object ids of users.")
    ],
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the cards of users, and how far they are trusted."""
    e3kit = log_in(user, password_fd).e3kit
    facts = []
    for user_id, card in e3kit.find_users(user_ids).items():
        facts.append(
            {
                "user_id": user_id,
                "card_id": card.card_id,
                "key_id": card.public_key.key_id.hex(),
                "fingerprint": fingerprint_of(card),
                "created_at": card.created_at.isoformat(),
                "keys": len(e3kit.author_keys(user_id)),
                "trust": e3kit.trust_of(user_id).value,
            }
        )
    if as_json:
        show({"users": facts}, as_json=True)
        return
    for number, fact in enumerate(facts):
        if number:
            typer.echo("")
        show(fact, as_json=False)


def fingerprint(
    user_id: Annotated[
        str | None,
        typer.Argument(metavar="[USER_ID]", help="Whose key; without it, your own."),
    ] = None,
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the SHA-256 of a public key, in groups of eight hexadecimal digits."""
    e3kit = log_in(user, password_fd).e3kit
    card = e3kit.find_own_card() if user_id is None else e3kit.find_users([user_id])[user_id]
    if card is None:
        raise NotRegisteredError([e3kit.user_id], hint="`encrypted-parse register`")
    show({"fingerprint": fingerprint_of(card)}, as_json=as_json)


def verify_user(
    user_id: UserIdArgument,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="NUMBER",
            help="What the other side shows: 60 digits, or the text of its QR code.",
            show_default=False,
        ),
    ] = None,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept", help="Use the key that is published now, without comparing numbers."
        ),
    ] = False,
    former: Annotated[
        bool,
        typer.Option("--former", help="Show the user's former keys, which do not count any more."),
    ] = False,
    accept_former: Annotated[
        str | None,
        typer.Option(
            "--accept-former",
            metavar="FINGERPRINT",
            help="Let what this former key signed be opened again: the user says it was theirs.",
            show_default=False,
        ),
    ] = None,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show the number as a QR code.")] = True,
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare safety numbers with a user, and remember that they agree.

    Both of you see the same 60 digits, unless somebody in between replaced a key. Compare them by
    voice or side by side, never over the app itself.

    --accept takes over a changed key unseen: only where nobody could profit from lying. Keys that
    were only seen before stop counting then, and what they signed is locked; --former shows them.
    """
    e3kit = log_in(user, password_fd).e3kit
    if accept_former is not None:
        e3kit.accept_former_key(user_id, accept_former)
    if former or accept_former is not None:
        _show_former(e3kit, user_id, as_json=as_json)
        return
    if accept:
        e3kit.accept_key(user_id)
        show({"user_id": user_id, "trust": e3kit.trust_of(user_id).value}, as_json=as_json)
        return
    number = e3kit.safety_number(user_id)
    facts: dict[str, Any] = {"user_id": user_id, "safety_number": number.digits}
    if compare is not None:
        e3kit.mark_verified(user_id, compare)
    elif not as_json:
        typer.echo(f"{number}\n")
        if qr:
            segno.make(number.qr_text, error="m").terminal(compact=True)
        if sys.stdin.isatty():
            typer.confirm("Does the other side show the same number", abort=True, err=True)
            e3kit.mark_verified(user_id, number)
        else:
            say("hint: --compare NUMBER remembers that it agrees")
    facts["trust"] = e3kit.trust_of(user_id).value
    if as_json or compare is not None:
        show(facts, as_json=as_json)


def _show_former(e3kit: E3Kit, user_id: str, *, as_json: bool) -> None:
    keys = [
        {"fingerprint": key.fingerprint, "safety_number": key.safety_number.digits}
        for key in e3kit.former_keys(user_id)
    ]
    if as_json:
        show({"user_id": user_id, "former_keys": keys}, as_json=True)
        return
    show({"user_id": user_id, "former_keys": [key["fingerprint"] for key in keys]}, as_json=False)
