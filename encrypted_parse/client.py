"""Clients: the app, and one user's session in it.

`EncryptedClient` is the app: addresses, keys and limits. Logging in gives a `UserClient`, which
saves and fetches. Both are immutable and may be used from many threads; a process may hold
thousands of users. Nothing reads the environment but `from_env`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Self

from encrypted_parse._translating import translating
from encrypted_parse.backup import LoginPassword
from encrypted_parse.crypto.imports import import_public_key
from encrypted_parse.directory import (
    CachingDirectory,
    CardCache,
    DirectoryClient,
    ServiceClient,
    TokenProvider,
)
from encrypted_parse.directory.cache import CACHE_SECONDS, WRITING_SECONDS
from encrypted_parse.discretion import front_door, hushed
from encrypted_parse.e3kit import E3Kit
from encrypted_parse.errors import ConfigurationError, NotPicklableError
from encrypted_parse.keystore import (
    FileKeystore,
    KeyringKeystore,
    Keystore,
    default_keystore_folder,
    keystore_from_env,
)
from encrypted_parse.parse import ParseApp, ParseClient, UserSession
from encrypted_parse.parse.app import check_key
from encrypted_parse.parse.tokens import fetch_virgil_token
from encrypted_parse.settings import checked, read_settings
from encrypted_parse.transport import (
    RequestsTransport,
    RetryingTransport,
    Transport,
    check_url,
    insecure_hosts,
)
from encrypted_parse.trust import (
    KnownNames,
    Logins,
    MemoryTrustStore,
    SqliteTrustStore,
    TrustKeeper,
    TrustPolicy,
    TrustStore,
)
from encrypted_parse.user_client import UserClient

VIRGIL_CLOUD_URL = "https://api.virgilsecurity.com"
VIRGIL_CLOUD_KEY = "MCowBQYDK2VwAyEAljOYGANYiVq1WbvVvoYIKtvZi2ji9bAhxyu6iV/LF8M="
"""The key that Virgil Cloud signs cards with, as compiled into Virgil's own SDKs."""


@front_door
class EncryptedClient:
    """One Parse app with a directory of public keys.

    Args:
        server_url: Parse's REST address with its path, e.g. ``https://parseapi.back4app.com``.
        application_id: Parse's application id.
        rest_api_key: Parse's REST API key, if the server wants one.
        directory_url: Where cards live: your own companion, or Virgil Cloud. The cloud is the
            default only where no key is pinned either.
        service_public_key: The base64 public key that the directory signs cards with. It is
            pinned, so it has to come from you and never from the server. It needs *directory_url*.
        keystore: Where private keys rest. By default, files in the user's data folder.
        trust_store: Where other users' keys, and who logs in as whom, are remembered. By default
            a file beside key files or the keyring's lock, and for any other keystore memory,
            which forgets when the process ends.
        trust_policy: What is done about users whose key changed: see `TrustPolicy`.
        server_deduplicates: The server has `idempotencyOptions` for ``classes/.*``, so that a
            create whose answer was lost may be repeated.
        cards_fresh_seconds: How old a card of the cache may be that is encrypted for. It is how
            long a key that was replaced or lost goes on being written for, where no guard refuses
            that: 5 s; up to 300 s cost nothing where the guard is in every class.
        allow_insecure_http: Allow ``http://`` to other machines, for both addresses: to any, or
            to hosts by name. Never over a network that others use: it gives session tokens and
            directory tokens to it.
        setting_names: What errors call the parameters *server_url* and *directory_url*: by
            `from_env`, the variables.

    Raises:
        ConfigurationError: An address or key cannot be right.
    """

    def __init__(  # noqa: PLR0913 - settings, all by keyword
        self,
        *,
        server_url: str,
        application_id: str,
        rest_api_key: str | None = None,
        directory_url: str | None = None,
        service_public_key: str | None = None,
        keystore: Keystore | None = None,
        trust_store: TrustStore | None = None,
        trust_policy: TrustPolicy = TrustPolicy.TOFU,
        transport: Transport | None = None,
        server_deduplicates: bool = False,
        cards_fresh_seconds: float = WRITING_SECONDS,
        allow_insecure_http: bool | frozenset[str] = False,
        setting_names: Mapping[str, str] | None = None,
    ) -> None:
        names = setting_names or {}
        if directory_url is None:
            if service_public_key is not None:
                raise ConfigurationError(
                    "a service key is pinned, and no directory is named that signs with it",
                    hint="pass directory_url, or set VIRGIL_API_URL: your companion's address",
                )
            directory_url = VIRGIL_CLOUD_URL
        if service_public_key is None:
            if directory_url.rstrip("/") != VIRGIL_CLOUD_URL:
                raise ConfigurationError(
                    "an own directory needs its public key",
                    hint="pass service_public_key, or set VIRGIL_SERVICE_PUBLIC_KEY",
                )
            service_public_key = VIRGIL_CLOUD_KEY
        self._app = ParseApp(
            server_url=server_url,
            application_id=application_id,
            rest_api_key=rest_api_key,
            server_deduplicates=server_deduplicates,
            allow_insecure_http=allow_insecure_http,
            setting=names.get("server_url", "server_url"),
        )
        self._directory_setting = names.get("directory_url", "directory_url")
        self._directory_url = check_url(
            directory_url,
            allow_insecure_http=allow_insecure_http,
            whose="directory",
            setting=self._directory_setting,
        )
        self._service_key = import_public_key(service_public_key)
        self._transport = transport or RetryingTransport(RequestsTransport())
        self._parse = ParseClient(self._app, self._transport)
        self._keystore = keystore or FileKeystore(
            default_keystore_folder(os.environ), application_id
        )
        self._trust_store = trust_store or _trust_beside(self._keystore)
        self._trust_policy = trust_policy
        if not 0 <= cards_fresh_seconds <= CACHE_SECONDS:
            raise ConfigurationError(f"cards_fresh_seconds is 0 to {CACHE_SECONDS:.0f}")
        self._cards_fresh_seconds = cards_fresh_seconds
        self._cards = CardCache()  # one for all users: ADR 24

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        ask_passphrase: Callable[[], str] | None = None,
        **overrides: Any,  # noqa: ANN401 - as __init__
    ) -> Self:
        """Read the settings from environment variables; keyword arguments win.

        ``PARSE_SERVER_URL``, ``PARSE_APPLICATION_ID``, ``PARSE_REST_API_KEY`` (optional),
        ``VIRGIL_API_URL`` and ``VIRGIL_SERVICE_PUBLIC_KEY`` (each needs the other; without both,
        Virgil Cloud).

        ``ENCRYPTED_PARSE_KEYSTORE`` (a folder for key files, ``keyring`` or ``memory``),
        ``ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE`` (a file with the passphrase that seals them),
        ``ENCRYPTED_PARSE_PRIVATE_KEYS`` or ``ENCRYPTED_PARSE_PRIVATE_KEYS_FILE`` (keys for
        containers, see `EnvironmentKeystore`, in place of any other).

        ``ENCRYPTED_PARSE_TRUST`` (a file for remembered keys), ``ENCRYPTED_PARSE_TRUST_POLICY``
        (tofu, strict or log), ``ENCRYPTED_PARSE_INSECURE_HOSTS`` (hosts that ``http://`` is allowed
        to, as inside a network of containers: ``parse``, or ``parse,companion``).

        White space and byte order marks around a value are not part of it; what cannot be meant
        is refused by the variable's name. docs/settings.md has the table.

        Args:
            environ: The variables; by default, this process's.
            ask_passphrase: Called if key files are sealed and no variable gives the passphrase,
                e.g. `getpass.getpass`.
            overrides: As of `EncryptedClient`.

        Raises:
            ConfigurationError: A variable is missing, or cannot be right.
        """
        variables = read_settings(os.environ if environ is None else environ)
        insecure = overrides.setdefault("allow_insecure_http", insecure_hosts(variables))
        checks = setting_checks(allow_insecure_http=insecure)
        settings: dict[str, Any] = hushed(
            {
                parameter: checked(name, variables[name], checks[name])
                for parameter, name in _VARIABLES.items()
                if name in variables and parameter not in overrides
            }
        )
        settings["setting_names"] = {
            parameter: _VARIABLES[parameter] for parameter in settings if parameter not in overrides
        }
        settings.update(overrides)
        for parameter in ("server_url", "application_id"):
            if parameter not in settings:
                raise ConfigurationError(
                    f"the environment variable {_VARIABLES[parameter]} is not set",
                    hint="`encrypted-parse dev` prints the values of a local server, and "
                    "`encrypted-parse env` shows all variables",
                )
        if "keystore" not in settings:
            settings["keystore"] = keystore_from_env(
                variables, settings["application_id"], ask_passphrase=ask_passphrase
            )
        if "ENCRYPTED_PARSE_TRUST" in variables and "trust_store" not in settings:
            settings["trust_store"] = SqliteTrustStore(variables["ENCRYPTED_PARSE_TRUST"])
        if "trust_policy" not in settings:
            settings["trust_policy"] = _policy(
                variables.get("ENCRYPTED_PARSE_TRUST_POLICY", "tofu")
            )
        return cls(**settings)

    def sign_up(self, username: str, password: str, **fields: Any) -> UserClient:  # noqa: ANN401 - any columns
        """Create a Parse user and log in. Call `UserClient.register` next.

        Raises:
            UsernameTakenError: The name is in use.
            UnexpectedUserIdError: The server gave the new user the id of one who is known here.
        """
        session = self._parse.sign_up(username, password, **fields)
        self._logins.confirm_new(username, session.user_id)
        return self._user(session, LoginPassword.of(password))

    def log_in(
        self, username: str, password: str, *, expect_user_id: str | None = None
    ) -> UserClient:
        """Log a Parse user in.

        Which user that is decides whose keys are opened, so it is not the server's word alone: the
        user id of a name's first log-in is remembered beside other users' keys, and another one
        is refused.

        Args:
            username: The name, or what else the server takes for one.
            password: The **secret** password of the account.
            expect_user_id: The user id that this has to be, as you know it from elsewhere; it
                takes the place of what is remembered, as after a change of the name.

        Raises:
            WrongLoginError: Wrong name or password; Parse does not say which.
            UnexpectedUserIdError: The answer is another user than the remembered or expected one,
                or one whom nothing ties to this name though several users' keys are here.
        """
        session = self._parse.log_in(username, password)
        self._logins.confirm(username, session.user_id, expect_user_id)
        return self._user(session, LoginPassword.of(password))

    def become(self, session_token: str, *, expect_user_id: str | None = None) -> UserClient:
        """Take over a session that exists already.

        A token names nobody, so without *expect_user_id* the server would choose whose keys are
        opened: it is needed wherever the keystore holds another user's.

        Args:
            session_token: The **secret** token.
            expect_user_id: Whose session it has to be.

        Raises:
            SessionExpiredError: The token is not valid any more.
            UnexpectedUserIdError: It is another user's than expected, or none is expected and
                keys of other users are here.
        """
        return self._take_over(session_token, expect_user_id)

    def _take_over(
        self,
        session_token: str,
        expect_user_id: str | None,
        login_password: LoginPassword | None = None,
    ) -> UserClient:
        """Do as `become`, for a caller who may have seen the password: `parse_rest`."""
        session = self._parse.become(session_token)
        self._logins.confirm_session(session.user_id, expect_user_id)
        return self._user(session, login_password)

    def confirm_log_in(self, username: str, user_id: str) -> None:
        """Take the answer to a log-in that another library sent, as `log_in` takes its own.

        Raises:
            UnexpectedUserIdError: As `log_in`.
        """
        self._logins.confirm(username, user_id)

    def confirm_sign_up(self, username: str, user_id: str) -> None:
        """Take the answer to a sign-up that another library sent, as `sign_up` takes its own.

        Raises:
            UnexpectedUserIdError: As `sign_up`.
        """
        self._logins.confirm_new(username, user_id)

    @property
    def parse(self) -> ParseClient:
        """A plain client without a session."""
        return self._parse

    @property
    def keystore(self) -> Keystore:
        """Where private keys rest."""
        return self._keystore

    @property
    def _logins(self) -> Logins:
        return Logins(self._app.application_id, self._trust_store, self._keystore)

    def _user(
        self, session: UserSession, login_password: LoginPassword | None = None
    ) -> UserClient:
        parse = self._parse.with_session(session.session_token)
        tokens = TokenProvider(lambda: fetch_virgil_token(parse), user_id=session.user_id)
        insecure = self._app.allow_insecure_http
        client = DirectoryClient(
            self._directory_url,
            self._transport,
            tokens,
            service_key=self._service_key,
            allow_insecure_http=insecure,
            setting=self._directory_setting,
        )
        service = ServiceClient(
            self._directory_url,
            self._transport,
            tokens,
            allow_insecure_http=insecure,
            setting=self._directory_setting,
        )
        directory = CachingDirectory(
            client, cache=self._cards, writing_seconds=self._cards_fresh_seconds
        )
        keeper = TrustKeeper(session.user_id, self._trust_store, self._trust_policy)
        e3kit = E3Kit(
            session.user_id,
            directory,
            self._keystore,
            service=service,
            trust=keeper,
            login_password=login_password,
        )
        names = KnownNames(self._app.application_id, session.user_id, self._trust_store)
        return UserClient(session, parse, e3kit, names)

    def __repr__(self) -> str:
        return f"<EncryptedClient {self._app.server_url}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a client holds keys and sessions and is not pickled")


_VARIABLES = {
    "server_url": "PARSE_SERVER_URL",
    "application_id": "PARSE_APPLICATION_ID",
    "rest_api_key": "PARSE_REST_API_KEY",
    "directory_url": "VIRGIL_API_URL",
    "service_public_key": "VIRGIL_SERVICE_PUBLIC_KEY",
}


@front_door
def setting_checks(
    *, allow_insecure_http: bool | frozenset[str] = False
) -> dict[str, Callable[[str], str]]:
    """Return, by variable, what its value has to pass; each returns the value as it counts."""

    def address(whose: str) -> Callable[[str], str]:
        return lambda url: check_url(url, allow_insecure_http=allow_insecure_http, whose=whose)

    return {
        "PARSE_SERVER_URL": address("server"),
        "PARSE_APPLICATION_ID": lambda text: check_key("application id", text),
        "PARSE_REST_API_KEY": lambda text: check_key("REST API key", text),
        "VIRGIL_API_URL": address("directory"),
        "VIRGIL_SERVICE_PUBLIC_KEY": lambda text: import_public_key(text).to_base64(),
        "ENCRYPTED_PARSE_TRUST_POLICY": lambda text: _policy(text).value,
    }


def _trust_beside(keystore: Keystore) -> TrustStore:
    if isinstance(keystore, FileKeystore | KeyringKeystore):
        return SqliteTrustStore(keystore.folder / "trust.sqlite")
    return MemoryTrustStore()


def _policy(name: str) -> TrustPolicy:
    with translating(
        ValueError,
        to=lambda: ConfigurationError(
            f"ENCRYPTED_PARSE_TRUST_POLICY is {name!r}", hint="it is tofu, strict or log"
        ),
    ):
        return TrustPolicy(name.lower())
