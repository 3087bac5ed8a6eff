"""The key archive: all keys of a user, encrypted for the current one and for a recovery code.

E3Kit keeps one key. Here the former ones are kept too, in one Keyknox record that no E3Kit reads:
whoever has the current key finds the old ones in it, and whoever has the recovery code finds all.
The code's *public* half is inside, so that every device can write the record anew after a rotation
without knowing the code; it is in clear nowhere, so that nobody else can make a record for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn

from attrs import field, frozen

from encrypted_parse._translating import translating
from encrypted_parse.backup.keyknox import KeyknoxClient, Place
from encrypted_parse.crypto import PrivateKey, PublicKey
from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.envelope import (
    DetachedEnvelope,
    decrypt,
    decrypt_and_verify,
    sign_and_encrypt,
)
from encrypted_parse.errors import (
    EnvelopeError,
    KeyFormatError,
    MalformedBackupError,
    NotARecipientError,
    NotPicklableError,
)

FORMAT_VERSION = 1
MAX_KEYS = 256
MAX_BYTES = 64 * 1024
_PLACE = Place("encrypted_parse", "keys", "archive")
_METADATA = b"encrypted_parse key archive 1"


@front_door
@frozen
class ArchivedKeys:
    """What the archive holds.

    Attributes:
        keys: The user's private keys, the newest first.
        recovery_key: The public half of the recovery code; None if there is no code.
        revision: The record that this was read from, which is all that it may replace.
    """

    keys: tuple[PrivateKey, ...] = field(repr=False)
    recovery_key: PublicKey | None = field(default=None, repr=False)
    revision: str | None = None

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("archived keys are not written into pickles")


@front_door
class KeyArchive:
    """One user's archive. Writing replaces it; of two writers at once, one wins."""

    def __init__(self, user_id: str, keyknox: KeyknoxClient) -> None:
        self._user_id = user_id
        self._keyknox = keyknox

    def load(
        self, identities: Sequence[PrivateKey], signers: Sequence[PublicKey] | None
    ) -> ArchivedKeys | None:
        """Return what the archive holds, or None if there is none.

        Args:
            identities: Keys that may open it: the user's own, or a recovery code's.
            signers: Keys of the user that may have written it. None, for a recovery code alone:
                one of the keys inside, which nobody can put there who never opened an archive.

        Raises:
            NotARecipientError: There is one, for none of *identities*.
            MalformedBackupError: It was altered, is another user's, or signed by nobody known.
        """
        record = self._keyknox.pull_record(_PLACE, self._user_id)
        if record.envelope is None:
            return None
        sealed = record.envelope.encrypted_data
        try:
            if signers is None:
                inside = self._parse(decrypt(sealed, identities=identities), None)
                signers = [key.public_key for key in inside.keys]
            plaintext = decrypt_and_verify(sealed, identities=identities, signers=signers)
        except NotARecipientError:
            raise
        except EnvelopeError as error:
            raise MalformedBackupError(
                "the key archive was altered, or was not written by this user"
            ) from error
        return self._parse(plaintext, record.hash)

    def store(self, archived: ArchivedKeys, signer: PrivateKey) -> None:
        """Write the archive in place of the one that *archived* was read from.

        *signer*, the keys that are newer, and the recovery key open it. Keys that *signer*
        replaced do not: a key that was stolen must not open those after it.

        Raises:
            DirectoryRefusedError: Code 50010: there is another one, perhaps by another device.
        """
        current = archived.keys[: archived.keys.index(signer) + 1]
        readers = [key.public_key for key in current]
        if archived.recovery_key is not None:
            readers.append(archived.recovery_key)
        plaintext = hushed(
            json.dumps(
                {
                    "version": FORMAT_VERSION,
                    "user_id": self._user_id,
                    "keys": [key.to_base64() for key in archived.keys],
                    "recovery_key": archived.recovery_key and archived.recovery_key.to_base64(),
                }
            ).encode("ascii")
        )
        sealed = sign_and_encrypt(plaintext, signer=signer, recipients=readers)
        record = DetachedEnvelope(_METADATA, sealed)
        self._keyknox.push_record(_PLACE, [self._user_id], record, archived.revision)

    def delete(self) -> None:
        """Delete the archive; nothing happens if there is none."""
        self._keyknox.reset_records(_PLACE)

    def _parse(self, plaintext: bytes, revision: str | None) -> ArchivedKeys:
        with translating(
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
            KeyFormatError,
            to=lambda: MalformedBackupError("the key archive is not this user's"),
        ):
            if len(plaintext) > MAX_BYTES:
                raise ValueError("too long")
            content = json.loads(plaintext)
            if (content["version"], content["user_id"]) != (FORMAT_VERSION, self._user_id):
                raise ValueError("another user's")
            keys = [PrivateKey.from_base64(text) for text in content["keys"]]
            recovery = content["recovery_key"]
            recovery_key = None if recovery is None else PublicKey.from_base64(recovery)
            if not 1 <= len(keys) <= MAX_KEYS:
                raise ValueError("no keys, or too many")
        return ArchivedKeys(tuple(keys), recovery_key, revision)

    def __repr__(self) -> str:
        return f"<KeyArchive of {self._user_id!r}>"
