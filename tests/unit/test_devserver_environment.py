"""The variables that Node and npm get."""

from __future__ import annotations

from pathlib import Path

import pytest

from encrypted_parse.devserver.environment import node_environment, npm_environment

SECRETS = dict.fromkeys(
    (
        "AWS_SECRET_ACCESS_KEY",
        "DATABASE_URI",
        "DATABASE_URL",
        "ENCRYPTED_PARSE_PRIVATE_KEYS",
        "GITHUB_TOKEN",
        "NODE_AUTH_TOKEN",
        "NODE_OPTIONS",
        "NPM_TOKEN",
        "PARSE_MASTER_KEY",
        "PARSE_SERVER_DATABASE_URI",
        "PARSE_SESSION_TOKEN",
        "PGPASSWORD",
        "SSH_AUTH_SOCK",
        "VIRGIL_APP_KEY",
        "_SECRET",
        "path_to_secret",
    ),
    "secret",
)
USUAL = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - a value
    "SystemRoot": r"C:\Windows",
    "Path": r"C:\Windows\system32",
}
NETWORK = {
    "https_proxy": "http://name:password@proxy",
    "HTTP_PROXY": "http://proxy",
    "NO_PROXY": "127.0.0.1",
    "npm_config_registry": "https://registry.example",
    "NPM_CONFIG_USERCONFIG": "/dev/null",
    "npm_config_//registry.example/:_authToken": "token",
    "NODE_EXTRA_CA_CERTS": "/etc/ca.pem",
}


def test_node_gets_what_it_needs_and_no_secret() -> None:
    """Programs, home, language, temporary files; no token, no proxy's password, no registry's."""
    assert node_environment(USUAL | NETWORK | SECRETS) == USUAL


def test_npm_gets_its_settings_and_the_network() -> None:
    """Besides, proxies, certificates and what is meant for npm; Node's folder is found first."""
    found = npm_environment(USUAL | NETWORK | SECRETS, Path("/node/bin/node"))
    assert found.pop("PATH") == "/node/bin:/usr/bin"
    assert found == {name: value for name, value in (USUAL | NETWORK).items() if name != "PATH"}


@pytest.mark.parametrize("where", ["home", "named"])
def test_npm_gets_what_its_settings_name(tmp_path: Path, where: str) -> None:
    """An .npmrc that says ${NPM_TOKEN} gets that variable, and no other."""
    settings = tmp_path / (".npmrc" if where == "home" else "settings")
    settings.write_text("//registry.example/:_authToken=${NPM_TOKEN}\ncafile=${MISSING?}\n")
    environ = {"PATH": "/usr/bin", "HOME": str(tmp_path), **SECRETS}
    if where == "named":
        environ |= {"HOME": "/nowhere", "npm_config_userconfig": str(settings)}
    found = npm_environment(environ, Path("/usr/bin/node"))
    assert found["NPM_TOKEN"] == "secret"
    assert set(found) & set(SECRETS) == {"NPM_TOKEN"}
    assert "NPM_TOKEN" not in node_environment(environ)
