"""Other users: who they are, and whether that is true."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from encrypted_parse.cli.keys import fingerprint_of
from encrypted_parse.cli.output import say, show
from encrypted_parse.cli.session import JsonOption, PasswordFdOption, UserOption, log_in
from encrypted_parse.cli.terminal import confirm, write, write_qr
from encrypted_parse.cli.who import user_id_of, user_ids_of
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.errors import ConfigurationError, NotRegisteredError
from encrypted_parse.trust import SafetyNumber

_TRUST_HINT = "set ENCRYPTED_PARSE_TRUST to a file in a folder of your own"

UserIdArgument = Annotated[
    str, typer.Argument(metavar="USER", help="The user's Parse object id, or name.")
]


def whois(
    user_ids: Annotated[
        list[str], typer.Argument(metavar="USER...", help="Parse object ids of users, or names.")
    ],
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the cards of users, and how far they are trusted.

    encrypted-parse whois hO2kXcPVqa
    """
    client = log_in(user, password_fd)
    e3kit = client.e3kit
    facts = []
    for user_id, card in e3kit.find_users(user_ids_of(client, user_ids)).items():
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
            write()
        show(fact, as_json=False)


def fingerprint(
    user_id: Annotated[
        str | None,
        typer.Argument(metavar="[USER]", help="Whose key, by user id or name; or your own."),
    ] = None,
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the SHA-256 of a public key, in groups of eight hexadecimal digits.

    encrypted-parse fingerprint hO2kXcPVqa
    """
    client = log_in(user, password_fd)
    e3kit = client.e3kit
    if user_id is None:
        card = e3kit.find_own_card()
    else:
        card = e3kit.find_users(user_id_of(client, user_id))
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

    Where keys come from the environment, ENCRYPTED_PARSE_TRUST has to name the file that remembers
    it.

    --accept takes over a changed key unseen: only where nobody could profit from lying. Keys that
    were only seen before stop counting then, and what they signed is locked; --former shows them.

    encrypted-parse verify-user hO2kXcPVqa
    """
    client = log_in(user, password_fd)
    e3kit, user_id = client.e3kit, user_id_of(client, user_id)
    if any((accept, compare is not None, accept_former is not None)):
        _require_memory(e3kit)
    if former or accept_former is not None:
        _show_former(e3kit, user_id, accept_former, as_json=as_json)
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
        for line in str(number).splitlines():
            write(line)
        write()
        if qr:
            write_qr(number.qr_text)
        _ask_whether_it_agrees(e3kit, user_id, number)
    facts["trust"] = e3kit.trust_of(user_id).value
    if as_json or compare is not None:
        show(facts, as_json=as_json)


def _ask_whether_it_agrees(e3kit: E3Kit, user_id: str, number: SafetyNumber) -> None:
    if e3kit.forgets_keys:
        say(f"hint: that it agrees cannot be remembered here: {_TRUST_HINT}")
    elif sys.stdin.isatty():
        confirm("Does the other side show the same number")
        e3kit.mark_verified(user_id, number)
    else:
        say("hint: --compare NUMBER remembers that it agrees")


def _require_memory(e3kit: E3Kit) -> None:
    if e3kit.forgets_keys:
        raise ConfigurationError(
            "what is verified would be forgotten as soon as this command ends", hint=_TRUST_HINT
        )


def _show_former(e3kit: E3Kit, user_id: str, accepted: str | None, *, as_json: bool) -> None:
    """Show the former keys of a user that do not count, once one was perhaps accepted."""
    if accepted is not None:
        e3kit.accept_former_key(user_id, accepted)
    keys = [
        {"fingerprint": key.fingerprint, "safety_number": key.safety_number.digits}
        for key in e3kit.former_keys(user_id)
    ]
    if as_json:
        show({"user_id": user_id, "former_keys": keys}, as_json=True)
        return
    show({"user_id": user_id, "former_keys": [key["fingerprint"] for key in keys]}, as_json=False)
