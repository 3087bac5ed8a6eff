"""E3Kit's verbs for files, for one user (wire format, section 5.6)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from encrypted_parse import streams
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.directory import Card
from encrypted_parse.e3kit.arguments import Cards
from encrypted_parse.e3kit.verbs import Verbs
from encrypted_parse.envelope import refuse_other_meaning
from encrypted_parse.streams import File, Progress
from encrypted_parse.trust import naming_former_keys


class FileVerbs(Verbs):
    """What `E3Kit` does to files: paths or binary file objects, of any size, in flat memory.

    Plaintext appears at its target only after everything was verified; a path is replaced in one
    step. *progress* is called with the bytes done and, where known, how many there are.
    *encrypted_at* chooses the card that the sender had at that time, as in E3Kit.
    """

    def auth_encrypt_file(
        self,
        source: File,
        target: File,
        recipients: Cards = (),
        *,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Sign *source* and encrypt it for the cards' users and ourselves; up to 4 GiB.

        Raises:
            OtherMeaningError: Signed, the file would be a card, a group's ticket or an archive.
            EnvelopeError: See `streams.sign_and_encrypt_file`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            OSError: Reading or writing failed; a path is left as it was.
        """
        own = self._own_key()
        streams.sign_and_encrypt_file(
            source,
            target,
            signer=own,
            recipients=self._recipients(recipients, own),
            size=size,
            inspect=refuse_other_meaning,
            progress=progress,
        )

    def auth_decrypt_file(
        self,
        source: File,
        target: File,
        sender: Card | None = None,
        *,
        encrypted_at: dt.datetime | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Open what *sender* encrypted for us with `auth_encrypt_file`; without one, what we did.

        Raises:
            EnvelopeError: See `streams.decrypt_and_verify_file`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            OSError: Reading or writing failed; a path is left as it was.
        """
        stored = self._stored()
        streams.decrypt_and_verify_file(
            source,
            target,
            identities=stored.identities,
            signers=self._sender_keys(stored, sender, encrypted_at),
            progress=progress,
        )

    def open_file(
        self,
        source: File,
        target: File,
        signers: Sequence[PublicKey],
        *,
        progress: Progress | None = None,
    ) -> None:
        """Open a file of the signed form that one of *signers* made; see `author_keys`.

        Raises:
            FormerKeyError: It is by a key that does not count any more.
            EnvelopeError: See `streams.decrypt_and_verify_file`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            OSError: Reading or writing failed; a path is left as it was.
        """
        with naming_former_keys(signers):
            streams.decrypt_and_verify_file(
                source,
                target,
                identities=self._stored().identities,
                signers=signers,
                progress=progress,
            )

    def encrypt_file(
        self,
        source: File,
        target: File,
        recipients: Cards = (),
        *,
        progress: Progress | None = None,
    ) -> None:
        """Do as `auth_encrypt_file` in the old signed form, for E3Kit clients before 2.3.

        Its header shows the signature to everybody; new files take `auth_encrypt_file`.

        Raises:
            OtherMeaningError: Signed, the file would be a card, a group's ticket or an archive.
            EnvelopeError: See `streams.sign_then_encrypt_file`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            OSError: Reading or writing failed; a path is left as it was.
        """
        own = self._own_key()
        streams.sign_then_encrypt_file(
            source,
            target,
            signer=own,
            recipients=self._recipients(recipients, own),
            inspect=refuse_other_meaning,
            progress=progress,
        )

    def decrypt_file(
        self,
        source: File,
        target: File,
        sender: Card | None = None,
        *,
        encrypted_at: dt.datetime | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Open what *sender* encrypted for us with `encrypt_file`; without one, what we did.

        Raises:
            EnvelopeError: See `streams.decrypt_then_verify_file`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            OSError: Reading or writing failed; a path is left as it was.
        """
        stored = self._stored()
        streams.decrypt_then_verify_file(
            source,
            target,
            identities=stored.identities,
            signers=self._sender_keys(stored, sender, encrypted_at),
            progress=progress,
        )

    def encrypt_shared_file(
        self, source: File, target: File, *, progress: Progress | None = None
    ) -> PrivateKey:
        """Sign *source* and encrypt it for whoever is given the returned one-time key.

        Send the key encrypted, apart from the file; E3Kit's `fileKey` is its `to_bytes()`.

        Raises:
            OtherMeaningError: Signed, the file would be a card, a group's ticket or an archive.
            EnvelopeError: See `streams.sign_and_encrypt_file`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            OSError: Reading or writing failed; a path is left as it was.
        """
        return streams.encrypt_shared_file(
            source,
            target,
            signer=self._own_key(),
            inspect=refuse_other_meaning,
            progress=progress,
        )

    def decrypt_shared_file(  # noqa: PLR0913 - E3Kit's, and keywords
        self,
        source: File,
        target: File,
        file_key: PrivateKey,
        sender: Card | None = None,
        *,
        encrypted_at: dt.datetime | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Open what *sender* encrypted with `encrypt_shared_file`; without one, what we did.

        Raises:
            EnvelopeError: See `streams.decrypt_and_verify_file`.
            PrivateKeyNotFoundError: This machine holds no private key of the user.
            OSError: Reading or writing failed; a path is left as it was.
        """
        signers = self._sender_keys(self._stored(), sender, encrypted_at)
        streams.decrypt_shared_file(
            source, target, file_key=file_key, signers=signers, progress=progress
        )
