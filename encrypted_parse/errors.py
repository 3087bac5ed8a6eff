"""Every error that encrypted_parse raises on purpose.

Catch the class; read the message; follow the hint. Messages never contain a private key, a
password, a token or a plaintext, and the frames behind a public call hold no local any more when
an exception has passed it. What a class is for is said here; which call raises it stands under
"Raises:" of that call.

    EncryptedParseError
    ├── ConfigurationError
    │   └── MissingExtraError
    ├── KeyFormatError
    ├── SignatureError
    ├── EnvelopeError
    │   ├── MalformedEnvelopeError
    │   ├── NotARecipientError
    │   ├── NotSignedError
    │   ├── OtherMeaningError
    │   ├── PlaintextTooLongError
    │   ├── SignerNotFoundError
    │   ├── SourceSizeError
    │   ├── TamperedEnvelopeError
    │   └── UnknownEpochError
    ├── BackupError
    │   ├── BackupExistsError
    │   ├── BackupOutdatedError
    │   ├── BrainKeyError
    │   ├── MalformedBackupError
    │   ├── NewerBackupError
    │   ├── NoBackupError
    │   ├── RecoveryCodeError
    │   ├── UntrustedArchiveError
    │   ├── WeakPasswordError
    │   └── WrongBackupPasswordError
    ├── GroupError
    │   ├── GroupExistsError
    │   ├── GroupNotFoundError
    │   └── MalformedGroupError
    ├── KeystoreError
    │   ├── KeystoreConflictError
    │   ├── KeystoreFileError
    │   ├── KeystoreLockedError
    │   ├── KeystorePermissionError
    │   ├── KeystoreReadOnlyError
    │   ├── PrivateKeyNotFoundError
    │   └── WrongPassphraseError
    ├── DirectoryError
    │   ├── AlreadyRegisteredError
    │   ├── CardError
    │   │   ├── CardChainError
    │   │   ├── CardSignatureError
    │   │   ├── MalformedCardError
    │   │   ├── MultipleCardsError
    │   │   └── UnsupportedKeyError
    │   ├── CardNotFoundError
    │   ├── DirectoryRefusedError
    │   ├── FormerKeyError
    │   ├── NotRegisteredError
    │   ├── RecipientsNotRegisteredError
    │   ├── SafetyNumberMismatchError
    │   ├── TokenError
    │   ├── TrustStoreError
    │   ├── UnexpectedUserIdError
    │   ├── UntrustedKeyError
    │   └── UnusableCardsError
    ├── TransportError
    │   ├── ConnectionFailedError
    │   ├── MalformedResponseError
    │   ├── OutcomeUnknownError
    │   ├── RequestTimeoutError
    │   └── ResponseTooLargeError
    ├── ParseServerError
    │   ├── DuplicateRequestError
    │   ├── DuplicateValueError
    │   ├── EmailTakenError
    │   ├── FunctionFailedError
    │   ├── GuardRefusedError
    │   ├── IncorrectTypeError
    │   ├── InvalidQueryError
    │   ├── ObjectNotFoundError
    │   │   └── WrongLoginError
    │   ├── PermissionDeniedError
    │   ├── RateLimitedError
    │   ├── RequestTooLargeError
    │   ├── ServerFailedError
    │   ├── SessionExpiredError
    │   └── UsernameTakenError
    ├── ModelError
    │   ├── AuthorMismatchError
    │   ├── AuthorMissingError
    │   ├── EncryptedOperationError
    │   ├── EncryptedQueryError
    │   ├── FieldLockedError
    │   ├── InvalidValueError
    │   │   ├── ArgumentError
    │   │   └── DoubleEncryptionError
    │   ├── MissingValueError
    │   ├── ModelDefinitionError
    │   ├── NotPicklableError
    │   ├── NotRevokedError
    │   ├── RecipientRuleError
    │   │   └── PublicReadError
    │   ├── StaleObjectError
    │   ├── TransactionNotPossibleError
    │   └── UnexpectedPlaintextError
    ├── DeployError
    │   └── DeployConflictError
    └── DevServerError
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_OBJECT_ID = re.compile(r"[A-Za-z0-9]{10}")  # as Parse Server makes them


class EncryptedParseError(Exception):
    """Base class of every error that this package raises on purpose.

    Attributes:
        hint: What to do next, or None. Also attached as a note, so that tracebacks show it.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let errors cross processes, whatever their own constructors take."""
        return _rebuild, (type(self), self.args), dict(vars(self))


def _rebuild(error_class: type[EncryptedParseError], args: tuple[Any, ...]) -> EncryptedParseError:
    return error_class.__new__(error_class, *args)


# --- set-up ---------------------------------------------------------------------------------


class ConfigurationError(EncryptedParseError):
    """A setting is missing or cannot be right."""


class MissingExtraError(ConfigurationError):
    """An optional part of the package is not installed; the hint names the pip command."""

    def __init__(self, extra: str, feature: str) -> None:
        super().__init__(
            f"{feature} needs the extra {extra!r}",
            hint=f"pip install 'encrypted-parse[{extra}]'",
        )
        self.extra = extra


# --- keys and envelopes ---------------------------------------------------------------------


class KeyFormatError(EncryptedParseError):
    """The bytes are not a key of a supported type in its canonical encoding."""


class SignatureError(EncryptedParseError):
    """A detached signature does not hold, or is not a signature container."""


class EnvelopeError(EncryptedParseError):
    """An envelope could not be made or opened. No plaintext was released."""


class MalformedEnvelopeError(EnvelopeError):
    """Not an envelope, or not one of the form asked for; decided before any key is used."""


class NotARecipientError(EnvelopeError):
    """Well formed, but no stanza names our key."""


class NotSignedError(EnvelopeError):
    """Well formed and ours, but it carries no signature of the form asked for."""


class OtherMeaningError(EnvelopeError):
    """What is to be signed would count as something else than a user's content; nothing was made.

    A card, a group's ticket, a key archive: E3Kit signs them as it signs messages.
    """


class PlaintextTooLongError(EnvelopeError):
    """The format cannot carry so much in one message; nothing was encrypted.

    Attributes:
        limit_bytes: The longest plaintext that it can carry.
    """

    def __init__(self, size_bytes: int, limit_bytes: int, *, hint: str | None = None) -> None:
        super().__init__(
            f"the plaintext has {size_bytes} bytes; the limit is {limit_bytes} bytes", hint=hint
        )
        self.limit_bytes = limit_bytes


class SignerNotFoundError(EnvelopeError):
    """It is signed, but by none of the keys that were offered.

    Attributes:
        signer_id: The identifier that the envelope gives its signer, which nothing proves; None
            where it gives none.
    """

    def __init__(
        self, message: str, *, signer_id: bytes | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.signer_id = signer_id


class SourceSizeError(EnvelopeError):
    """A stream was longer or shorter than announced, or changed while it was read."""


class TamperedEnvelopeError(EnvelopeError):
    """Our stanza, the body, the footer, the padding or the signature failed its check."""


class UnknownEpochError(EnvelopeError):
    """A group message of an epoch whose ticket we do not hold.

    Attributes:
        epoch: The message's epoch.
    """

    def __init__(self, epoch: int, *, hint: str | None = None) -> None:
        super().__init__(f"we hold no group ticket of the epoch {epoch}", hint=hint)
        self.epoch = epoch


# --- backups --------------------------------------------------------------------------------


class BackupError(EncryptedParseError):
    """A private key could not be backed up or brought back."""


class BackupExistsError(BackupError):
    """There is a backup already; E3Kit's `CloudEntryExistsError`."""


class BackupOutdatedError(BackupError):
    """The backup holds another key than the one that is published for the user."""


class BrainKeyError(BackupError):
    """A password cannot be used, or the service's answer is not what a service can answer."""


class MalformedBackupError(BackupError):
    """The service keeps something that is not a backup of this user's key."""


class NewerBackupError(BackupError):
    """The backup is of E3Kit's newer generation (Kotlin 3), which is read here, but not written."""


class NoBackupError(BackupError):
    """There is no backup; E3Kit's `PrivateKeyNoBackupError`."""


class RecoveryCodeError(BackupError):
    """A text is not a recovery code, or not the one that the key archive is encrypted for."""


class UntrustedArchiveError(BackupError):
    """The key archive is genuine, but not the newest one: nothing that is written follows it."""


class WeakPasswordError(BackupError):
    """A backup's password could be guessed, or the server knows it; nothing was stored."""


class WrongBackupPasswordError(BackupError):
    """The backup was made with another password; E3Kit's `WrongKeyknoxPasswordError`."""


# --- groups ---------------------------------------------------------------------------------


class GroupError(EncryptedParseError):
    """A group cannot be changed in this way, or not by us."""


class GroupExistsError(GroupError):
    """We have a group with this id already; E3Kit's `GroupTicketAlreadyExistsError`."""


class GroupNotFoundError(GroupError):
    """There is no such group for us: deleted, never made, or we are no member."""


class MalformedGroupError(GroupError):
    """What the service keeps for the group is not what its initiator put there."""


# --- keystores ------------------------------------------------------------------------------


class KeystoreError(EncryptedParseError):
    """Private keys could not be read or written on this machine."""


class KeystoreConflictError(KeystoreError):
    """Other keys of the user are kept already, or by now; they were left as they are."""

    def __init__(self, user_id: str) -> None:
        super().__init__(
            f"the keystore holds other keys of the user {user_id!r}",
            hint="if another program changed them, try again; else delete them first",
        )


class KeystoreFileError(KeystoreError):
    """A key file cannot be read, written or understood. The file is left as it was."""


class KeystoreLockedError(KeystoreError):
    """Key files are sealed and nothing opens them, or they are plain where they must not be."""


class KeystorePermissionError(KeystoreError):
    """A key file or its folder can be read or written by others; it is not used."""


class KeystoreReadOnlyError(KeystoreError):
    """The keys come from the environment, which nothing can be written to."""


class PrivateKeyNotFoundError(KeystoreError):
    """This machine holds no private key for the user."""


class WrongPassphraseError(KeystoreError):
    """The passphrase is not the one that the keystore is sealed with."""


# --- directory ------------------------------------------------------------------------------


class DirectoryError(EncryptedParseError):
    """A public key could not be published, found or trusted."""


class AlreadyRegisteredError(DirectoryError):
    """The user has a card already, and its private key is not on this machine."""


class CardError(DirectoryError):
    """What the directory has for a user cannot be used. Nobody else is affected."""


class CardChainError(CardError):
    """The directory's cards of one user do not form one consistent chain."""


class CardSignatureError(CardError):
    """A card's own signature, or the pinned service's, is missing or wrong."""


class MalformedCardError(CardError):
    """Not a raw card of version 5.0, more than can be read, or a card of somebody else."""


class MultipleCardsError(CardError):
    """A user has several current cards, so there is no telling which key is right."""


class UnsupportedKeyError(CardError):
    """The user's key is of a type that E3Kit can make and Python cannot use: P-256, RSA, others."""

    def __init__(
        self,
        message: str = "this user's key type cannot be used from Python",
        *,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            message,
            hint=hint
            or "the user has to unregister, and register with an Ed25519 key: E3Kit's default",
        )


class CardNotFoundError(DirectoryError):
    """The user has cards, but none as old as the moment that was asked for."""


class DirectoryRefusedError(DirectoryError):
    """The directory answered with an error of its own.

    Attributes:
        code: Virgil's error code, or None when the answer had none.
        status: The HTTP status.
    """

    def __init__(
        self, message: str, *, code: int | None, status: int, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status


class FormerKeyError(DirectoryError):
    """It is by a key that was seen as the user's, before somebody vouched for another one.

    Attributes:
        user_id: Whose key it was said to be.
        fingerprint: SHA-256 of the key, in hexadecimal.
    """

    def __init__(self, user_id: str, fingerprint: str) -> None:
        super().__init__(
            f"it is by a former key of {user_id!r}, which nobody vouched for: {fingerprint}",
            hint="if the user says that the key was theirs: accept_former_key()",
        )
        self.user_id = user_id
        self.fingerprint = fingerprint


def _for_names(user_ids: Sequence[str], hint: str | None) -> str | None:
    """Say in the hint if what stands for a user id looks like a user's name."""
    for user_id in user_ids:
        if not _OBJECT_ID.fullmatch(user_id):
            named = f"{user_id!r} looks like a user name, and users are named by their object ids"
            return f"{named}: client.user({user_id!r}) may find it" + (f"; {hint}" if hint else "")
    return hint


class NotRegisteredError(DirectoryError):
    """A user has no card.

    Attributes:
        user_ids: Every user id without a card.
        deleted: Those of them whose account was deleted, as far as the directory tells.
    """

    def __init__(
        self, user_ids: Sequence[str], *, deleted: Sequence[str] = (), hint: str | None = None
    ) -> None:
        names = ", ".join(repr(user_id) for user_id in user_ids)
        message = f"no public key is published for {names}{_gone(deleted)}"
        super().__init__(message, hint=_GONE_HINT if deleted else _for_names(user_ids, hint))
        self.user_ids = tuple(user_ids)
        self.deleted = tuple(deleted)


class RecipientsNotRegisteredError(DirectoryError):
    """Some recipients have no card; nothing was saved.

    Attributes:
        user_ids: Every recipient without a card.
        deleted: Those of them whose account was deleted, as far as the directory tells.
    """

    def __init__(self, user_ids: Sequence[str], *, deleted: Sequence[str] = ()) -> None:
        names = ", ".join(repr(user_id) for user_id in user_ids)
        register = "each recipient has to call register() once; nothing was saved"
        super().__init__(
            f"cannot encrypt for {names}: not registered{_gone(deleted)}",
            hint=_GONE_HINT if deleted else _for_names(user_ids, register),
        )
        self.user_ids = tuple(user_ids)
        self.deleted = tuple(deleted)


_GONE_HINT = "nobody can register for a deleted account again: leave it out of the readers"


def _gone(deleted: Sequence[str]) -> str:
    names = ", ".join(repr(user_id) for user_id in deleted)
    return f"; the account of {names} was deleted" if deleted else ""


class SafetyNumberMismatchError(DirectoryError):
    """Two users see different numbers: somebody between them replaced a key."""


class TokenError(DirectoryError):
    """The function `virgil-jwt` gave no usable token, or the directory refuses the token."""


class TrustStoreError(DirectoryError):
    """What is remembered of other users' keys cannot be read or written."""


class UnexpectedUserIdError(DirectoryError):
    """A log-in or a name was answered with a user id that nobody confirmed; no key was used.

    Attributes:
        user_id: What the server answered.
        known: What is remembered of the name, or was expected; None if nothing is.
    """

    def __init__(
        self, message: str, *, user_id: str, known: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.user_id = user_id
        self.known = known


class UntrustedKeyError(DirectoryError):
    """Users have keys that are not the remembered ones, or were not verified; nothing was done.

    Attributes:
        user_ids: Every such user.
    """

    def __init__(self, user_ids: Sequence[str]) -> None:
        names = ", ".join(repr(user_id) for user_id in user_ids)
        super().__init__(
            f"the published key of {names} is not the one that is remembered and trusted",
            hint="compare safety numbers with each of them, then mark_verified() or accept_key()",
        )
        self.user_ids = tuple(user_ids)


class UnusableCardsError(DirectoryError):
    """What the directory has for some of several users cannot be used; nothing was done.

    The same call without these users is not affected by them.

    Attributes:
        reasons: By user id, why: a `CardError`, or a `NotRegisteredError` of a user without a card.
        user_ids: Every such user.
    """

    def __init__(self, reasons: Mapping[str, DirectoryError]) -> None:
        listed = "; ".join(str(reason) for reason in reasons.values())
        super().__init__(
            f"{len(reasons)} of the users have no usable card: {listed}",
            hint="leave these users out, or let each of them unregister and register again",
        )
        self.reasons = dict(reasons)
        self.user_ids = tuple(reasons)


# --- network --------------------------------------------------------------------------------


class TransportError(EncryptedParseError):
    """The network or the peer failed below the level of any API.

    The text of what a transport raises names the address, and the setting that it came from; no
    user, password or query of it.
    """


class ConnectionFailedError(TransportError):
    """No connection could be made: the request never reached the server."""


class MalformedResponseError(TransportError):
    """The answer is not what this API answers (not JSON, wrong shape)."""


class OutcomeUnknownError(TransportError):
    """The connection broke after a write was sent: it may or may not have happened."""


class RequestTimeoutError(TransportError):
    """No answer within the time limit."""


class ResponseTooLargeError(TransportError):
    """The answer exceeds the size limit; it was not read to the end."""


# --- Parse Server ---------------------------------------------------------------------------


class ParseServerError(EncryptedParseError):
    """Parse Server refused or failed.

    Attributes:
        code: Parse's error code, or None when the answer had none (403, 413, HTML).
        status: The HTTP status, or None for one item of a batch.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        status: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status


class DuplicateRequestError(ParseServerError):
    """Code 159: an earlier attempt with the same request id arrived."""


class DuplicateValueError(ParseServerError):
    """Code 137: an object id or a unique value exists already."""


class EmailTakenError(ParseServerError):
    """Code 203."""


class FunctionFailedError(ParseServerError):
    """Codes 141 and 142: a cloud function is unknown, threw, or refused its parameters."""


class GuardRefusedError(ParseServerError):
    """Codes 9001 to 9020: the cloud code's guard refuses what an encrypted column was to hold."""


class IncorrectTypeError(ParseServerError):
    """Code 111: the value's type is not the column's."""


class InvalidQueryError(ParseServerError):
    """Codes 102 and 107."""


class ObjectNotFoundError(ParseServerError):
    """Code 101: missing, or hidden by an ACL or class permission."""


class WrongLoginError(ObjectNotFoundError):
    """Code 101 of a log-in: the name or the password is wrong, or the account is locked.

    Parse does not say which.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        status: int | None = None,
        hint: str | None = "whose password is it: the account's, not that of a backup or keystore",
    ) -> None:
        super().__init__(message, code=code, status=status, hint=hint)


class PermissionDeniedError(ParseServerError):
    """Code 119 and HTTP 403: class permissions, or the keys, forbid it.

    Of any service: HTTP 401 or 403 of what stands in front of it.
    """


class RateLimitedError(ParseServerError):
    """HTTP 429 or code 155, after the waits that the server asked for. Of any service."""


class RequestTooLargeError(ParseServerError):
    """HTTP 413: the server, or what stands in front of any service, takes less at once."""


class ServerFailedError(ParseServerError):
    """HTTP 5xx, or code 1."""


class SessionExpiredError(ParseServerError):
    """Codes 206 and 209: log in again."""


class UsernameTakenError(ParseServerError):
    """Code 202."""


# --- models ---------------------------------------------------------------------------------


class ModelError(EncryptedParseError):
    """A model was declared, filled or used in a way that cannot work."""


class AuthorMismatchError(ModelError):
    """Only the user whom the author field names can encrypt (and so sign) the field."""


class AuthorMissingError(ModelError):
    """The row names no author, so that no signature can be checked."""


class EncryptedOperationError(ModelError):
    """An atomic operation names an encrypted field: the server would have to compute in it."""


class EncryptedQueryError(ModelError):
    """A filter or an order names an encrypted field, which the server cannot compare."""


class FieldLockedError(ModelError):
    """The field's stored value could not be opened, so it is neither overwritten nor re-sent."""


class InvalidValueError(ModelError):
    """A value cannot be stored in the field; nothing was sent."""


class ArgumentError(InvalidValueError, TypeError):
    """A call was given another kind of thing than it takes; nothing was done. A `TypeError` too.

    The hint says what to pass.
    """


class DoubleEncryptionError(InvalidValueError):
    """The value is an envelope already."""


class MissingValueError(ModelError, AttributeError):
    """The field holds no value, and its type does not allow None.

    An `AttributeError` too: `getattr` with a default, and `hasattr`, take it for what it is.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        # Else Python sets `obj` as well, and who reports the error would have all its values.
        self.name = ""


class ModelDefinitionError(ModelError):
    """The class statement cannot be a Parse class."""


class NotPicklableError(ModelError, TypeError):
    """Private keys, sessions and decrypted objects are not written into pickles."""


class NotRevokedError(ModelError):
    """The server holds something else than was saved to take a reader away."""


class RecipientRuleError(ModelError):
    """A recipient rule has no answer for this object."""


class PublicReadError(RecipientRuleError):
    """The ACL lets everybody read, so "the ACL's readers" cannot be enumerated."""


class StaleObjectError(ModelError):
    """Somebody else has saved the object since it was fetched.

    Attributes:
        overwritten: Whether the other's change was lost all the same: the server offered no
            better check than counting afterwards.
    """

    def __init__(self, message: str, *, overwritten: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.overwritten = overwritten


class TransactionNotPossibleError(ModelError):
    """The objects cannot be saved all or none; nothing was sent."""


class UnexpectedPlaintextError(ModelError):
    """An encrypted column holds something that is not an envelope."""


# --- tools ----------------------------------------------------------------------------------


class DeployError(EncryptedParseError):
    """Cloud code could not be deployed. The message says which release runs.

    Attributes:
        status: The HTTP status with which the service refused, or None if it did not.
    """

    def __init__(self, message: str, *, status: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class DeployConflictError(DeployError):
    """What runs on the server is not what this folder deployed; nothing was deployed over it."""


class DevServerError(EncryptedParseError):
    """The local Parse Server could not be installed, started or reached."""
