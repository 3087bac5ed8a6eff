"""Files and file objects: the same bytes as one-shot calls, flat memory, all or nothing."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from encrypted_parse import virgil_crypto as vc
from encrypted_parse.envelope import Header
from encrypted_parse.errors import (
    EnvelopeError,
    KeyFormatError,
    MalformedEnvelopeError,
    NotARecipientError,
    NotSignedError,
    PlaintextTooLongError,
    SignatureError,
    SignerNotFoundError,
    SourceSizeError,
    TamperedEnvelopeError,
)
from encrypted_parse.streams.source import CHUNK_BYTES

ALICE, BOB, MALLORY = (vc.generate_key_pair() for _ in range(3))
SIZES = [
    *(0, 1, 155, 156, 300),
    *(CHUNK_BYTES + offset for offset in (-261, -260, -17, -16, -1, 0, 1, 16)),
    2 * CHUNK_BYTES + 12_345,
]
PATTERN = bytes(range(251))  # no period of the chunk's
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX systems")
MOST_KIBIBYTES = 96 * 1024

Writer = Callable[..., object]
Reader = Callable[..., None]


def _text(size: int) -> bytes:
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def _signed(source: vc.File, target: vc.File, **options: object) -> None:
    vc.sign_and_encrypt_file(
        source, target, signer=ALICE.private_key, recipients=[BOB.public_key], **options
    )


def _old(source: vc.File, target: vc.File, **options: object) -> None:
    vc.sign_then_encrypt_file(
        source, target, signer=ALICE.private_key, recipients=[BOB.public_key], **options
    )


def _plain(source: vc.File, target: vc.File, **options: object) -> None:
    vc.encrypt_file(source, target, recipients=[BOB.public_key], **options)


def _open_signed(source: vc.File, target: vc.File, **options: object) -> None:
    vc.decrypt_and_verify_file(
        source, target, identities=[BOB.private_key], signers=[ALICE.public_key], **options
    )


def _open_old(source: vc.File, target: vc.File, **options: object) -> None:
    vc.decrypt_then_verify_file(
        source, target, identities=[BOB.private_key], signers=[ALICE.public_key], **options
    )


def _open_plain(source: vc.File, target: vc.File, **options: object) -> None:
    vc.decrypt_file(source, target, identities=[BOB.private_key], **options)


PAIRS: dict[str, tuple[Writer, Reader]] = {
    "signed": (_signed, _open_signed),
    "old": (_old, _open_old),
    "plain": (_plain, _open_plain),
}
FORM = pytest.mark.parametrize("form", PAIRS)


def _sealed(form: str, plaintext: bytes, **options: object) -> bytes:
    target = io.BytesIO()
    PAIRS[form][0](io.BytesIO(plaintext), target, **options)
    return target.getvalue()


class OnlyRead:
    """A stream that has nothing but `read`, and gives less than it is asked for."""

    def __init__(self, data: bytes, most: int = 1000) -> None:
        self._rest = io.BytesIO(data)
        self._most = most

    def read(self, count: int) -> bytes:
        """Return up to *count* bytes."""
        return self._rest.read(min(count, self._most))


# --- the same as one call -------------------------------------------------------------------


@FORM
@pytest.mark.parametrize("size", SIZES)
def test_files(tmp_path: Path, form: str, size: int) -> None:
    """What is written from path to path is read from path to path, and by one call too."""
    write, read = PAIRS[form]
    source, sealed, opened = (tmp_path / name for name in ("source", "sealed", "opened"))
    source.write_bytes(_text(size))
    write(source, sealed)
    read(str(sealed), opened)
    assert opened.read_bytes() == _text(size)
    assert vc.decrypt(sealed.read_bytes(), BOB.private_key) == _text(size)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "sealed", "opened"}


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("form", ["signed", "plain"])
@pytest.mark.parametrize("size", SIZES)
def test_padding(form: str, size: int, *, pad: bool) -> None:
    """Padding is written when asked for and removed wherever the pieces end."""
    envelope = _sealed(form, _text(size), pad=pad)
    assert Header.from_bytes(envelope).padded is pad
    target = io.BytesIO()
    PAIRS[form][1](OnlyRead(envelope, 65_537), target)
    assert target.getvalue() == _text(size)


@pytest.mark.parametrize("size", SIZES)
def test_one_call_is_read_as_a_stream(size: int) -> None:
    """Both writers of the signed form are read by both readers."""
    envelope = vc.sign_and_encrypt(
        _text(size), ALICE.private_key, BOB.public_key, enable_padding=True
    )
    target = io.BytesIO()
    _open_signed(io.BytesIO(envelope), target)
    assert target.getvalue() == _text(size)
    assert len(envelope) == len(_sealed("signed", _text(size)))


def test_streams_are_taken_from_where_they_stand() -> None:
    """A file object is read from its position, written at its position, and left open."""
    source, target = io.BytesIO(b"beforeafter"), io.BytesIO(b"head")
    source.seek(6)
    target.seek(0, io.SEEK_END)
    _signed(source, target)
    target.seek(4)
    opened = io.BytesIO()
    _open_signed(target, opened)
    assert opened.getvalue() == b"after"
    assert not source.closed
    assert not target.closed


def test_in_place(tmp_path: Path) -> None:
    """Source and target may be one path: it is replaced when the new content is whole."""
    path = tmp_path / "file"
    path.write_bytes(_text(3 * CHUNK_BYTES))
    _signed(path, path)
    _open_signed(path, path)
    assert path.read_bytes() == _text(3 * CHUNK_BYTES)


def test_shared_files() -> None:
    """Whoever has the one-time key reads the file, if the sender's key verifies."""
    sealed, opened = io.BytesIO(), io.BytesIO()
    file_key = vc.encrypt_shared_file(io.BytesIO(_text(5000)), sealed, signer=ALICE.private_key)
    again = vc.import_private_key(vc.export_private_key(file_key))
    sealed.seek(0)
    vc.decrypt_shared_file(sealed, opened, file_key=again, signers=[ALICE.public_key])
    assert opened.getvalue() == _text(5000)
    for key, signer, error in (
        (BOB.private_key, ALICE.public_key, NotARecipientError),
        (file_key, BOB.public_key, SignerNotFoundError),
    ):
        sealed.seek(0)
        with pytest.raises(error):
            vc.decrypt_shared_file(sealed, io.BytesIO(), file_key=key, signers=[signer])


@pytest.mark.parametrize("size", SIZES)
def test_signatures_over_files(tmp_path: Path, size: int) -> None:
    """A file's signature is that of its bytes, and no other file's."""
    path = tmp_path / "file"
    path.write_bytes(_text(size))
    signature = vc.sign_file(path, ALICE.private_key)
    assert signature == vc.sign(_text(size), ALICE.private_key)
    vc.verify_file(path, signature, ALICE.public_key)
    for source, key in ((io.BytesIO(_text(size) + b"x"), ALICE), (path, BOB)):
        with pytest.raises(SignatureError):
            vc.verify_file(source, signature, key.public_key)


@FORM
def test_progress(form: str) -> None:
    """Progress rises to the size, in both directions; the old form counts both its passes."""
    size = 3 * CHUNK_BYTES + 5
    write, read = PAIRS[form]
    calls: list[tuple[int, int | None]] = []
    sealed = io.BytesIO()
    write(io.BytesIO(_text(size)), sealed, progress=lambda *call: calls.append(call))
    total = size * (2 if form == "old" else 1)
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert len(calls) >= 4
    calls.clear()
    envelope = sealed.getvalue()
    read(io.BytesIO(envelope), io.BytesIO(), progress=lambda *call: calls.append(call))
    assert calls[-1] == (len(envelope), len(envelope))
    read(OnlyRead(envelope), io.BytesIO(), progress=lambda *call: calls.append(call))
    assert calls[-1] == (len(envelope), None)


# --- sizes ----------------------------------------------------------------------------------


def test_a_source_that_cannot_tell_its_size() -> None:
    """The signed form needs the size first, the old one reads twice, the plain one is free."""
    with pytest.raises(SourceSizeError) as caught:
        _signed(OnlyRead(b"12345"), io.BytesIO())
    assert "size=" in str(caught.value.hint)
    target = io.BytesIO()
    _signed(OnlyRead(b"12345"), target, size=5)
    assert vc.decrypt_and_verify(target.getvalue(), BOB.private_key, ALICE.public_key) == b"12345"
    with pytest.raises(SourceSizeError, match="twice"):
        _old(OnlyRead(b"12345"), io.BytesIO())
    target = io.BytesIO()
    _plain(OnlyRead(b"12345"), target)
    assert vc.decrypt(target.getvalue(), BOB.private_key) == b"12345"


@pytest.mark.parametrize("size", [0, 4, 6, CHUNK_BYTES * 2])
def test_another_size_than_announced(tmp_path: Path, size: int) -> None:
    """A source that is longer or shorter is refused; a path is left as it was."""
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with pytest.raises(SourceSizeError):
        _signed(OnlyRead(b"12345"), target, size=size)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_source_that_changes_between_the_passes(tmp_path: Path) -> None:
    """The old form's signature would be over other bytes than its ciphertext: refused."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"first")

    def change(done: int, _: int | None) -> None:
        if done == 5:
            source.write_bytes(b"other")

    with pytest.raises(SourceSizeError, match="changed"):
        _old(source, target, progress=change)
    assert not target.exists()


@POSIX
def test_files_beyond_the_format(tmp_path: Path) -> None:
    """More than 4 GiB has no number in the signed form: refused before anything is read."""
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(2**32)
    with pytest.raises(PlaintextTooLongError) as caught:
        _signed(source, target)
    assert caught.value.limit_bytes < 2**32
    with source.open("wb") as file:
        file.truncate(2**36)
    with pytest.raises(PlaintextTooLongError):
        _plain(source, target)
    assert not target.exists()


def test_keys_are_checked_before_anything_is_read() -> None:
    """A key that cannot sign, and a list without recipients, are refused at once."""
    weak = vc.generate_key_pair(vc.KeyType.CURVE25519).private_key
    for write in (vc.sign_and_encrypt_file, vc.sign_then_encrypt_file):
        source = io.BytesIO(b"x")
        with pytest.raises(KeyFormatError):
            write(source, io.BytesIO(), signer=weak, recipients=[BOB.public_key])
        assert source.tell() == 0
    with pytest.raises(EnvelopeError):
        vc.encrypt_file(io.BytesIO(b"x"), io.BytesIO(), recipients=[])


# --- nothing is released before it was verified ---------------------------------------------


def _damages(envelope: bytes) -> dict[str, bytes]:
    header = Header.from_bytes(envelope).length

    def flipped(place: int) -> bytes:
        return envelope[:place] + bytes([envelope[place] ^ 1]) + envelope[place + 1 :]

    return {
        "stanza": flipped(250),
        "first byte of the body": flipped(header),
        "last byte of the body": flipped(len(envelope) - 200),
        "last byte": flipped(len(envelope) - 1),
        "cut in the body": envelope[: header + 1000],
        "cut before the last byte": envelope[:-1],
        "cut in the header": envelope[:100],
        "header alone": envelope[:header],
        "a byte too many": envelope + b"\0",
        "a megabyte too many": envelope + bytes(2**20),
        "nothing": b"",
    }


@FORM
@pytest.mark.parametrize("damage", _damages(_sealed("signed", b"x" * 3000)))
def test_damaged_files(tmp_path: Path, form: str, damage: str) -> None:
    """Whatever is wrong: an error, the target as it was, and nothing beside it."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(_damages(_sealed(form, _text(CHUNK_BYTES + 3000)))[damage])
    target.write_bytes(b"old")
    with pytest.raises(EnvelopeError):
        PAIRS[form][1](source, target)
    assert target.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"source", "target"}

    released = io.BytesIO()
    with pytest.raises(EnvelopeError):
        PAIRS[form][1](io.BytesIO(source.read_bytes()), released)
    assert released.getvalue() == b""


def test_another_author(tmp_path: Path) -> None:
    """A file by somebody else leaves nothing behind, in either signed form."""
    for form, (_, read) in PAIRS.items():
        if form == "plain":
            continue
        sealed = io.BytesIO()
        write = vc.sign_and_encrypt_file if form == "signed" else vc.sign_then_encrypt_file
        write(
            io.BytesIO(b"forged"),
            sealed,
            signer=MALLORY.private_key,
            recipients=[BOB.public_key],
        )
        sealed.seek(0)
        with pytest.raises((SignerNotFoundError, TamperedEnvelopeError)):
            read(sealed, tmp_path / "target")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("written", "read"), [(a, b) for a in PAIRS for b in PAIRS if a != b])
def test_no_form_is_read_as_another(written: str, read: str) -> None:
    """A reader of signed files takes its own form alone; the unsigned verb takes all."""
    envelope, target = _sealed(written, b"text"), io.BytesIO()
    if read == "plain":
        _open_plain(io.BytesIO(envelope), target)
        assert target.getvalue() == b"text"
        return
    with pytest.raises(NotSignedError):
        PAIRS[read][1](io.BytesIO(envelope), target)
    assert target.getvalue() == b""


class Endless:
    """A source that begins with *start* and never ends."""

    def __init__(self, start: bytes) -> None:
        self._start = io.BytesIO(start)
        self.given = 0

    def read(self, count: int) -> bytes:
        """Return *count* bytes."""
        data = self._start.read(count)
        data += bytes(count - len(data))
        self.given += len(data)
        return data


def test_a_source_that_never_ends() -> None:
    """A header that claims 4 GiB, and a footer without an end, are given up after little."""
    for start in (b"", bytes.fromhex("3084ffffffff"), bytes.fromhex("3083100000")):
        source = Endless(start)
        with pytest.raises(MalformedEnvelopeError):
            _open_signed(source, io.BytesIO())
        assert source.given <= 2 * 2**20
    envelope = _sealed("signed", b"text")
    source = Endless(envelope)
    with pytest.raises(TamperedEnvelopeError, match="footer"):
        _open_signed(source, io.BytesIO())
    assert source.given <= 2**20


# --- crashes, full disks, modes -------------------------------------------------------------


@POSIX
def test_modes(tmp_path: Path) -> None:
    """Decrypted files are for their owner alone; envelopes follow the umask."""
    source, sealed, opened = (tmp_path / name for name in ("source", "sealed", "opened"))
    source.write_bytes(b"text")
    before = os.umask(0o022)
    try:
        _signed(source, sealed)
        _open_signed(sealed, opened)
    finally:
        os.umask(before)
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o644
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder, or a file in a folder that is not there: an error that names it."""
    with pytest.raises(IsADirectoryError, match="folder"):
        _signed(io.BytesIO(b"x"), tmp_path)
    with pytest.raises(FileNotFoundError):
        _signed(io.BytesIO(b"x"), tmp_path / "missing" / "target")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_as_a_file_object() -> None:
    """What the device says reaches the caller."""
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="space"):
        _signed(io.BytesIO(_text(5000)), full)


def _run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    head = """
        import os, signal, sys
        from pathlib import Path
        from encrypted_parse import virgil_crypto as vc
        key = vc.import_private_key(sys.argv[1])
        folder = Path(sys.argv[2])
        keys = {"identities": [key], "signers": [key.public_key]}
        to = {"signer": key, "recipients": [key.public_key]}
    """
    return subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(head) + textwrap.dedent(script),
            *map(str, arguments),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )


@POSIX
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """With no room for the new file, the old one stays and nothing lies beside it."""
    for name in ("source", "sealed", "opened"):
        (tmp_path / name).write_bytes(b"old")
    (tmp_path / "source").write_bytes(_text(3 * CHUNK_BYTES))
    done = _run(
        """
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        vc.sign_and_encrypt_file(folder / "source", folder / "sealed", **to)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
        try:
            vc.decrypt_and_verify_file(folder / "sealed", folder / "opened", **keys)
        except OSError as error:
            print("refused", error.strerror)
        """,
        ALICE.private_key.to_base64(),
        tmp_path,
    )
    assert done.stdout.startswith("refused"), done.stderr
    assert (tmp_path / "opened").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"source", "sealed", "opened"}


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
@pytest.mark.parametrize("verb", ["sign_and_encrypt_file", "decrypt_and_verify_file"])
def test_a_killed_process_leaves_the_old_file(tmp_path: Path, verb: str) -> None:
    """Killed in the middle: the old file, and no part of the plaintext beside it."""
    (tmp_path / "source").write_bytes(_text(4 * CHUNK_BYTES))
    _signed_for_self(tmp_path / "source", tmp_path / "sealed")
    (tmp_path / "target").write_bytes(b"old")
    done = _run(
        f"""
        def die(done, total):
            if done > 2 * 2**20:
                os.kill(os.getpid(), signal.SIGKILL)
        arguments = to if sys.argv[3] == "source" else keys
        vc.{verb}(folder / sys.argv[3], folder / "target", **arguments, progress=die)
        """,
        ALICE.private_key.to_base64(),
        tmp_path,
        "source" if verb.startswith("sign") else "sealed",
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "target").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"source", "sealed", "target"}


def _signed_for_self(source: Path, target: Path) -> None:
    vc.sign_and_encrypt_file(
        source, target, signer=ALICE.private_key, recipients=[ALICE.public_key]
    )


def test_without_files_that_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has none, a named temporary file is used, and removed on failure."""
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    source, sealed, opened = (tmp_path / name for name in ("source", "sealed", "opened"))
    source.write_bytes(_text(5000))
    _signed(source, sealed)
    _open_signed(sealed, opened)
    assert opened.read_bytes() == _text(5000)
    sealed.write_bytes(sealed.read_bytes()[:-1])
    with pytest.raises(TamperedEnvelopeError):
        _open_signed(sealed, opened)
    assert opened.read_bytes() == _text(5000)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "sealed", "opened"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_is_flat(tmp_path: Path) -> None:
    """A file of 192 MiB takes no more memory than a small one: under 96 MiB in all."""
    with (tmp_path / "source").open("wb") as file:
        file.truncate(192 * 2**20)
    done = _run(
        """
        for _ in range(2):
            vc.sign_and_encrypt_file(folder / "source", folder / "sealed", **to)
            vc.decrypt_and_verify_file(folder / "sealed", folder / "opened", **keys)
        status = Path("/proc/self/status").read_text()
        print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
        """,
        ALICE.private_key.to_base64(),
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST_KIBIBYTES
