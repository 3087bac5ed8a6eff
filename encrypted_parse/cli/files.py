"""Files and standard input: encrypted for users, opened, looked into."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from encrypted_parse._translating import translating
from encrypted_parse.cli.output import show
from encrypted_parse.cli.session import JsonOption, PasswordFdOption, UserOption, log_in
from encrypted_parse.cli.terminal import ContentWriter, progress_bar
from encrypted_parse.cli.who import user_id_of, user_ids_of
from encrypted_parse.crypto import PublicKey
from encrypted_parse.envelope import Header, from_text
from encrypted_parse.errors import ConfigurationError, MalformedEnvelopeError, SignerNotFoundError
from encrypted_parse.streams.target import replaced

MAX_HEADER_BYTES = 1024 * 1024
MAX_TEXT_BYTES = 64 * 1024 * 1024
_STDIN = Path("-")
_BASE64_START = b"M"  # of the byte 0x30, with which every envelope begins
_START_BYTES = 64  # of base64 in lines, white space perhaps
_IN_MEMORY_BYTES = 16 * 1024 * 1024

SourceArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="What to read; - is standard input.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Where the result goes; without it, to standard output.",
        show_default=False,
    ),
]
TextOption = Annotated[
    bool,
    typer.Option("--text", help="The message is base64 text, as in E3Kit's encrypted columns."),
]


def encrypt(
    source: SourceArgument,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="USER",
            help="Who may read it, beside yourself: a user id, or a name; may be repeated.",
            show_default=False,
        ),
    ] = None,
    out: OutOption = None,
    text: TextOption = False,
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
) -> None:
    """Sign a file and encrypt it for users; every E3Kit reads it.

    A name is looked up where the app allows it, and the server says who that is. Ten letters and
    digits are an id; name:elizabeth1 and id:bob say what they are.

    encrypted-parse encrypt report.pdf --to hO2kXcPVqa -o report.pdf.enc
    """
    client = log_in(user, password_fd)
    e3kit = client.e3kit
    cards = e3kit.find_users(user_ids_of(client, to))
    target = _target(out, encrypted_file=not text)
    with _input(source) as file:
        if text:
            _write(target, e3kit.auth_encrypt(_read_text(file), cards).encode("ascii") + b"\n")
            return
        with progress_bar("encrypting", as_bytes=True) as advance:
            e3kit.auth_encrypt_file(file, target, cards, progress=advance)


def decrypt(
    source: SourceArgument,
    sender: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="USER",
            help="Who has to have signed it, by user id or name; without it, yourself.",
            show_default=False,
        ),
    ] = None,
    out: OutOption = None,
    text: TextOption = False,
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
) -> None:
    """Open what a user encrypted for you, and check who signed it.

    Nothing is written before everything is verified. Keys that the sender replaced count too.
    On a terminal only text shows: what a terminal would obey is replaced.

    encrypted-parse decrypt report.pdf.enc --from TbQeiO6SCx -o report.pdf
    """
    client = log_in(user, password_fd)
    e3kit = client.e3kit
    signers = e3kit.author_keys(user_id_of(client, sender) if sender else e3kit.user_id)
    with _naming_the_sender(sender), _input(source) as file, _shown(out) as target:
        if text:
            _write(target, e3kit.open(from_text(_read_text(file)), signers))
            return
        if file.read(_START_BYTES).lstrip().startswith(_BASE64_START):
            raise ConfigurationError("this is a message as text", hint="add --text")
        file.seek(0)
        with progress_bar("decrypting", as_bytes=True) as advance:
            e3kit.open_file(file, target, signers, progress=advance)


def inspect(
    source: SourceArgument,
    known: Annotated[
        list[str] | None,
        typer.Option(
            "--known",
            metavar="USER",
            help="Name this user's key among the recipients; needs a login; may be repeated.",
            show_default=False,
        ),
    ] = None,
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what anybody can see of an encrypted message: form, recipients, sizes.

    Needs no private key and, without --known, no server. Takes files and base64 text. Nothing of
    it is authenticated: whoever held the message may have changed it.

    encrypted-parse inspect report.pdf.enc
    """
    with _input(source) as file:
        message, total = _read_head(file)
    header = Header.from_bytes(message)
    names: dict[bytes, str] = {}
    if known:
        client = log_in(user, password_fd)
        for user_id in user_ids_of(client, known):
            for key in client.e3kit.author_keys(user_id):
                names |= dict.fromkeys(_identifiers(key), user_id)
    facts: dict[str, Any] = {
        "form": header.form.name.lower(),
        "recipients": [
            names.get(recipient_id, f"key {recipient_id.hex()}")
            for recipient_id in header.recipient_ids()
        ],
        "padded": header.padded,
        "message_bytes": total,
        "header_bytes": header.length,
    }
    show(facts, as_json=as_json)


def _identifiers(key: PublicKey) -> tuple[bytes, bytes]:
    return key.key_id, key.long_key_id


def _read_head(file: BinaryIO) -> tuple[bytes, int]:
    """Return the first part of a message, decoded, and how many bytes it has in all."""
    head = file.read(MAX_HEADER_BYTES)
    total = file.seek(0, 2)
    if not head[:_START_BYTES].lstrip().startswith(_BASE64_START):
        return head, total
    if total > MAX_TEXT_BYTES:
        raise MalformedEnvelopeError("the base64 text is too long")
    file.seek(0)
    message = from_text(file.read().decode("utf-8", "replace"))
    return message, len(message)


def _read_text(file: BinaryIO) -> str:
    content = file.read(MAX_TEXT_BYTES + 1)
    hint = "leave --text out, for files"
    if len(content) > MAX_TEXT_BYTES:
        raise ConfigurationError("the text is too long", hint=hint)
    with translating(
        UnicodeDecodeError, to=lambda: ConfigurationError("this is not UTF-8 text", hint=hint)
    ):
        return content.decode("utf-8")


@contextmanager
def _input(path: Path) -> Iterator[BinaryIO]:
    """Open a file, or standard input, which is set aside first: a message begins with its size."""
    if path != _STDIN:
        try:
            file = path.open("rb")
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
        with file:
            yield file
        return
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.seek(0)
        yield spool  # type: ignore[misc]  # a BinaryIO in all but name


@contextmanager
def _naming_the_sender(sender: str | None) -> Iterator[None]:
    """Let the error of a message that somebody else signed say whom the command took for it."""
    try:
        yield
    except SignerNotFoundError as error:
        if sender is not None:
            raise
        failure = SignerNotFoundError(
            f"{error}; without --from, that is yourself",
            signer_id=error.signer_id,
            hint="name who sent it: --from USER_ID",
        )
    else:
        return
    raise failure


def _target(path: Path | None, *, encrypted_file: bool) -> Path | BinaryIO:
    if path is not None:
        return path
    if encrypted_file and sys.stdout.isatty():
        raise ConfigurationError(
            "this would write an encrypted file to the terminal",
            hint="--out FILE, or --text for a message as text",
        )
    return sys.stdout.buffer


@contextmanager
def _shown(path: Path | None) -> Iterator[Path | BinaryIO]:
    """Give where decrypted content goes; what its author wrote does not reach a terminal as is."""
    if path is not None or not sys.stdout.isatty():
        yield path or sys.stdout.buffer
        return
    writer = ContentWriter()
    yield writer  # type: ignore[misc]  # a BinaryIO in all but name
    writer.finish()


def _write(target: Path | BinaryIO, content: bytes) -> None:
    with replaced(target, private=True) as file:
        file.write(content)
