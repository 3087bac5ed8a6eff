"""Settings of the environment are read as meant, or refused by the variable's name, unseen."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest
import settings_table
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import encrypted_parse
from encrypted_parse import EncryptedClient, FileKeystore, MemoryKeystore, Passphrase
from encrypted_parse.cli.env import examine
from encrypted_parse.cli.session import read_private_key
from encrypted_parse.crypto import PrivateKey
from encrypted_parse.crypto.imports import import_private_key, import_public_key
from encrypted_parse.errors import ConfigurationError, KeyFormatError, KeystoreLockedError
from encrypted_parse.keystore import (
    EnvironmentKeystore,
    KeyringKeystore,
    StoredKey,
    keystore_from_env,
)
from encrypted_parse.settings import VARIABLES, read_settings
from encrypted_parse.testing import InMemoryApp
from encrypted_parse.testing.parse_server import APPLICATION_ID, URL
from encrypted_parse.testing.virgil import URL as DIRECTORY_URL

ROOT = Path(encrypted_parse.__file__).parent
SERVERS_OWN = {"companion.py"}  # names the variables of the server, which Python only prints
OURS = [variable for variable in VARIABLES if variable.ours]
KEY = PrivateKey.generate()
AROUND = [
    "{}\r",
    "{}\n",
    "{}\r\n",
    " {} ",
    "\t{}",
    "\ufeff{}",
    "\ufeff {}\r\n",
    "\u00ef\u00bb\u00bf{}",
]
NOT_MEANT = [
    '"{}"',
    "'{}'",
    '"{}',
    "{};",
    "{},",
    "${{{}}}",
    "$(cat {})",
    "%A%{}",
    "{}\0",
    "\ud800{}",
]


def _variables(app: InMemoryApp) -> dict[str, str]:
    return {
        "PARSE_SERVER_URL": URL,
        "PARSE_APPLICATION_ID": APPLICATION_ID,
        "PARSE_REST_API_KEY": "key",
        "VIRGIL_API_URL": DIRECTORY_URL,
        "VIRGIL_SERVICE_PUBLIC_KEY": app.service.key.public_key.to_base64(),
        "ENCRYPTED_PARSE_KEYSTORE": "memory",
        "ENCRYPTED_PARSE_TRUST_POLICY": "strict",
    }


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("variable", OURS, ids=lambda variable: variable.name)
def test_white_space_and_marks_around_are_no_part(
    variable: settings_table.Row, around: str
) -> None:
    """What editors, shells and secrets put around a value is taken away, of every variable."""
    assert read_settings({variable.name: around.format("value")})[variable.name] == "value"


@pytest.mark.parametrize("not_meant", [*NOT_MEANT, " ", "\ufeff\n"])
@pytest.mark.parametrize("variable", OURS, ids=lambda variable: variable.name)
def test_what_cannot_be_meant_is_refused_by_name(
    variable: settings_table.Row, not_meant: str
) -> None:
    """The message names the variable and shows nothing of the value."""
    with pytest.raises(ConfigurationError, match=variable.name) as caught:
        read_settings({variable.name: not_meant.format("canary")})
    assert "canary" not in f"{caught.value} {caught.value.hint}"


def test_a_line_break_inside_is_refused_where_none_can_be() -> None:
    """Only keys have several lines."""
    for variable in OURS:
        value = "one\ntwo"
        if variable.lines:
            assert read_settings({variable.name: value})[variable.name] == value
        else:
            with pytest.raises(ConfigurationError, match=variable.name):
                read_settings({variable.name: value})


def test_empty_is_not_set_and_others_stay() -> None:
    """An empty variable counts as none; what is not ours is left as it is."""
    assert read_settings({"PARSE_SERVER_URL": "", "HOME": " /h\n"}) == {"HOME": " /h\n"}


@pytest.mark.parametrize("around", AROUND)
def test_a_client_works_with_settings_from_edited_files(around: str) -> None:
    """Every variable at once, with what editors leave: log-in and directory answer."""
    app = InMemoryApp()
    ann = app.make_user("ann")
    given = {name: around.format(value) for name, value in _variables(app).items()}
    client = EncryptedClient.from_env(given, transport=app._transport)
    user = client.log_in("ann", "password of ann")
    assert user.e3kit.find_users([ann.user_id], force_reload=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARSE_SERVER_URL", "parseapi.back4app.com"),
        ("PARSE_SERVER_URL", "https://user:sesame@parse.example/parse"),
        ("PARSE_SERVER_URL", "http://parse.example/parse"),
        ("PARSE_APPLICATION_ID", "\u00e4pp"),
        ("PARSE_REST_API_KEY", "k\u00e9y"),
        ("VIRGIL_API_URL", "https://a b"),
        ("VIRGIL_SERVICE_PUBLIC_KEY", "MCow"),
        ("ENCRYPTED_PARSE_TRUST_POLICY", "sometimes"),
        ("ENCRYPTED_PARSE_KEYSTORE", "memroy"),
        ("ENCRYPTED_PARSE_PRIVATE_KEYS", "hO2kXcPVqa:sesame"),
        ("ENCRYPTED_PARSE_PRIVATE_KEYS_FILE", "no-such-file"),
        ("ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE", "no-such-file"),
    ],
)
def test_what_a_value_is_refused_for_comes_with_its_variable(
    name: str, value: str, tmp_path: Path
) -> None:
    """Checks of addresses, keys, files and words are told by the variable that they fail for."""
    app = InMemoryApp()
    variables = {**_variables(app), "ENCRYPTED_PARSE_KEYSTORE": str(tmp_path / "keys")}
    with pytest.raises(ConfigurationError, match=name) as caught:
        EncryptedClient.from_env({**variables, name: value}, transport=app._transport)
    assert "sesame" not in f"{caught.value} {caught.value.hint}"
    assert app.requests == []


def test_arguments_win_over_variables_that_are_wrong() -> None:
    """A variable that an argument replaces is not looked at."""
    app = InMemoryApp()
    wrong = {**_variables(app), "PARSE_SERVER_URL": "nonsense"}
    assert EncryptedClient.from_env(wrong, server_url=URL, transport=app._transport)


# --- keystores ------------------------------------------------------------------------------


def test_words_name_keystores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`memory` is the keystore in memory and makes no folder; case does not matter."""
    monkeypatch.chdir(tmp_path)
    for word in ("memory", "Memory"):
        keystore = keystore_from_env({"ENCRYPTED_PARSE_KEYSTORE": word}, "app")
        assert isinstance(keystore, MemoryKeystore)
        keystore.save(StoredKey("ann", KEY))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(KeyringKeystore, "__init__", lambda *_: None)
    found = keystore_from_env({"ENCRYPTED_PARSE_KEYSTORE": "Keyring", "HOME": str(tmp_path)}, "app")
    assert isinstance(found, KeyringKeystore)


def test_keys_in_a_folder_named_memory_are_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an earlier version made such a folder, the step is named."""
    monkeypatch.chdir(tmp_path)
    FileKeystore(Path("memory"), "app").save(StoredKey("ann", KEY))
    with pytest.raises(ConfigurationError, match="folder of that name") as caught:
        keystore_from_env({"ENCRYPTED_PARSE_KEYSTORE": "memory"}, "app")
    assert "./memory" in str(caught.value.hint)
    found = keystore_from_env({"ENCRYPTED_PARSE_KEYSTORE": "./memory"}, "app")
    assert found.find("ann") == StoredKey("ann", KEY)


def test_a_word_is_no_folder_unless_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt keystore makes no folder; a folder is written as one, or exists."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="neither a keystore's name"):
        keystore_from_env({"ENCRYPTED_PARSE_KEYSTORE": "files"}, "app")
    (tmp_path / "files").mkdir(mode=0o700)
    for place in ("files", "./keys", str(tmp_path / "keys")):
        assert isinstance(
            keystore_from_env({"ENCRYPTED_PARSE_KEYSTORE": place}, "app"), FileKeystore
        )


def test_the_home_folder_is_meant_where_no_shell_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~/keys` of a file of settings is in the home folder, not in a folder named `~`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    keystore = keystore_from_env({"ENCRYPTED_PARSE_KEYSTORE": "~/keys"}, "app")
    assert isinstance(keystore, FileKeystore)
    assert keystore.folder.is_relative_to(tmp_path / "keys")


def test_passphrases_in_files_are_one_line(tmp_path: Path) -> None:
    """Line ends and a byte order mark are no part; blanks around and more lines are refused."""
    store, secret = tmp_path / "store", tmp_path / "secret"
    FileKeystore(store, "app", protection=Passphrase("geh\u00ebim")).save(StoredKey("ann", KEY))
    variables = {
        "ENCRYPTED_PARSE_KEYSTORE": str(store),
        "ENCRYPTED_PARSE_KEYSTORE_PASSPHRASE_FILE": f"{secret}\n",
    }
    for text in ("geh\u00ebim", "geh\u00ebim\n", "geh\u00ebim\r\n", "\ufeffgeh\u00ebim\r\n\r\n"):
        secret.write_text(text, "utf-8", newline="")
        assert keystore_from_env(variables, "app").find("ann") == StoredKey("ann", KEY)
    for text in ("", "\n", " geh\u00ebim", "geh\u00ebim ", "geh\u00ebim\nmore"):
        secret.write_text(text, "utf-8", newline="")
        with pytest.raises(ConfigurationError, match="PASSPHRASE_FILE") as caught:
            keystore_from_env(variables, "app")
        assert "geh" not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(KeystoreLockedError):
        FileKeystore(store, "app").find("ann")


def _pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_containers_read_what_the_library_reads() -> None:
    """Base64 and PEM, in lines and in one line, with old keys behind commas."""
    pems = [_pem(Ed25519PrivateKey.generate()) for _ in range(3)]
    keys = [import_private_key(pem) for pem in pems]
    text = f"\ufeffann:{pems[0]}bob:\n{pems[1]},{pems[2]}\r\nurn:x:eve:{KEY.to_base64()}"
    for form in (text, text.replace("\n", "\\n")):
        store = EnvironmentKeystore(form)
        assert store.find("ann") == StoredKey("ann", keys[0])
        assert store.find("bob") == StoredKey("bob", keys[1], (keys[2],))
        assert store.find("urn:x:eve") == StoredKey("urn:x:eve", KEY)


@pytest.mark.parametrize(
    "text",
    [
        "a:{0};b:{1}",
        "a:{0},b:{1}",
        "a:{0}:b:{1}",
        "a:{0}/b:{1}",
        '"a:{0}"',
        "a={0}",
        "{0}",
        ":{0}",
        "a:",
        "",
        " \n",
        "a b:{0}",
    ],
)
def test_keys_of_nobody_are_refused_unseen(text: str) -> None:
    """Nothing is taken for the key of a user who cannot exist."""
    keys = [PrivateKey.generate().to_base64() for _ in range(2)]
    with pytest.raises(ConfigurationError) as caught:
        EnvironmentKeystore(text.format(*keys))
    assert not any(key[20:40] in f"{caught.value} {caught.value.hint}" for key in keys)


def test_a_file_of_keys_that_is_empty_is_no_other_keystore(tmp_path: Path) -> None:
    """A secret that was mounted empty does not fall through to files."""
    empty = tmp_path / "keys"
    empty.touch()
    with pytest.raises(ConfigurationError, match="PRIVATE_KEYS_FILE"):
        keystore_from_env({"ENCRYPTED_PARSE_PRIVATE_KEYS_FILE": str(empty)}, "app")


# --- keys -----------------------------------------------------------------------------------


def test_one_reader_takes_every_form_of_a_key() -> None:
    """DER, base64 and PEM, as text and as bytes, with marks, blanks and line ends."""
    key = Ed25519PrivateKey.generate()
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    expected = PrivateKey.from_bytes(der)
    base64 = expected.to_base64()
    lines = "\r\n".join((base64[:30], base64[30:]))
    texts = [base64, lines, f"\ufeff{base64}\r\n", _pem(key), f"\ufeff\n{_pem(key)}\n"]
    texts += [_pem(key).replace("\n", end) for end in ("\r\n", "\\n", "\\r\\n")]
    assert import_private_key(der) == expected
    for text in texts:
        assert import_private_key(text) == import_private_key(text.encode()) == expected
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert import_public_key(public) == import_public_key(public.decode()) == expected.public_key


def test_what_is_no_key_is_told_apart() -> None:
    """Each has words of its own, which show nothing of it."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    locked = BestAvailableEncryption(b"p")
    wrong = {
        "password": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked),
        "SSH": key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "public half": public,
        "converted": b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n",
        "nothing else": _pem(key).encode() * 2,
        "save the file": _pem(key).encode("utf-16"),
        "PKCS#8": key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex().encode(),
    }
    for word, content in wrong.items():
        with pytest.raises(KeyFormatError) as caught:
            import_private_key(content)
        assert word in str(caught.value.hint) + str(caught.value), word
    with pytest.raises(KeyFormatError, match="raw seed"):
        import_private_key(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def test_the_command_line_reads_keys_with_that_reader() -> None:
    """`--key-fd` takes DER and PEM, and refuses in the library's words."""
    key = Ed25519PrivateKey.generate()
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for content in (der, _pem(key).encode(), PrivateKey.from_bytes(der).to_base64().encode()):
        assert read_private_key("--key-fd", _readable(content)) == PrivateKey.from_bytes(der)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"p"))
    with pytest.raises(KeyFormatError) as library:
        import_private_key(locked)
    with pytest.raises(KeyFormatError) as command:
        read_private_key("--key-fd", _readable(locked))
    assert (str(command.value), command.value.hint) == (str(library.value), library.value.hint)
    with pytest.raises(ConfigurationError, match="nothing there"):
        read_private_key("--key-fd", _readable(b""))


def _readable(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def test_the_directorys_key_may_be_pem() -> None:
    """As the other keys: a PEM of several lines, or in one."""
    app = InMemoryApp()
    der = app.service.key.public_key.to_base64()
    pem = f"-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n"
    for text in (pem, pem.replace("\n", "\\n")):
        variables = {**_variables(app), "VIRGIL_SERVICE_PUBLIC_KEY": text}
        assert EncryptedClient.from_env(variables, transport=app._transport)


# --- the table ------------------------------------------------------------------------------


def test_the_table_has_every_variable_that_is_read() -> None:
    """A name that stands anywhere in the package stands in the table."""
    named = re.compile(r"(PARSE|VIRGIL|ENCRYPTED_PARSE|BACK4APP)_[A-Z0-9_]*[A-Z0-9]")
    found = {
        node.value
        for path in ROOT.rglob("*.py")
        if path.name not in SERVERS_OWN and "devserver" not in path.parts
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and named.fullmatch(str(node.value))
    }
    assert {"PARSE_SERVER_URL", "ENCRYPTED_PARSE_KEYSTORE"} <= found
    assert found == {variable.name for variable in OURS}


def test_the_page_is_up_to_date() -> None:
    """docs/settings.md is written by `python tests/settings_table.py`."""
    assert settings_table.table() in settings_table.PAGE.read_text("utf-8")


def test_env_shows_what_counts_and_no_secret() -> None:
    """Set, refused, left out and misspelt variables are told apart; secrets are never shown."""
    environ = {
        "PARSE_SERVER_URL": f"{URL}\r",
        "PARSE_APPLICATION_ID": '"app"',
        "PARSE_MASTER_KEY": "canary",
        "PARSE_SESSION_TOKEN": "canary",
        "PARSE_REST_API_KEY": "canary",
        "ENCRYPTED_PARSE_PRIVATE_KEYS": "ann:canary",
        "HTTPS_PROXY": "http://user:canary@proxy",
        "VIRGIL_API_URL": "https://user:canary@directory",
        "ENCRYPTED_PARSE_KEYSTROE": "canary",
        "ENCRYPTED_PARSE_PRIVATE_KEYS_FILE": "/no/such/file",
    }
    seen = {one.variable: one for one in examine(environ)}
    assert (seen["PARSE_SERVER_URL"].state, seen["PARSE_SERVER_URL"].value) == ("set", URL)
    assert seen["PARSE_APPLICATION_ID"].state == "refused"
    assert seen["VIRGIL_API_URL"].state == "refused"
    assert seen["ENCRYPTED_PARSE_PRIVATE_KEYS_FILE"].state == "refused"
    assert seen["PARSE_MASTER_KEY"].state == "set"
    assert seen["ENCRYPTED_PARSE_KEYSTROE"].state == "unknown"
    assert seen["ENCRYPTED_PARSE_TRUST_POLICY"].state == "not set"
    assert "canary" not in repr(list(seen.values()))


def test_env_knows_the_hosts_of_a_container_network() -> None:
    """What `from_env` takes in the open is no mistake here; a list that is none allows nothing."""
    address = {"PARSE_SERVER_URL": "http://parse:1337/parse"}
    for hosts, states in {
        "parse": ("set", "set"),
        "other": ("refused", "set"),
        "": ("refused", "not set"),
        "http://parse": ("refused", "refused"),
    }.items():
        environ = {**address, "ENCRYPTED_PARSE_INSECURE_HOSTS": hosts}
        seen = {one.variable: one.state for one in examine(environ)}
        found = seen["PARSE_SERVER_URL"], seen["ENCRYPTED_PARSE_INSECURE_HOSTS"]
        assert found == states, hosts
