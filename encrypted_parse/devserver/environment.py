"""What Node and npm get to see of this process's variables: a list of names, and nothing else.

A developer's shell holds tokens of clouds, registries and databases. The server's packages are
other people's code, some five hundred of them; none of that is theirs to read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

# Where programs, home, language and temporary files are, and what Windows starts nothing without.
_BASE = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "LC_CTYPE",
        "LC_MESSAGES",
        "LD_LIBRARY_PATH",
        "TZ",
        "TMPDIR",
        "TMP",
        "TEMP",
        "SYSTEMROOT",
        "SYSTEMDRIVE",
        "WINDIR",
        "COMSPEC",
        "PATHEXT",
        "USERPROFILE",
        "HOMEDRIVE",
        "HOMEPATH",
        "APPDATA",
        "LOCALAPPDATA",
        "PROGRAMFILES",
        "PROGRAMDATA",
    ]
)
# A `node` on the PATH may be a stand-in that looks for the real one.
_VERSION_MANAGERS = frozenset(
    [
        "ASDF_DIR",
        "ASDF_DATA_DIR",
        "ASDF_NODEJS_VERSION",
        "FNM_DIR",
        "FNM_MULTISHELL_PATH",
        "MISE_DATA_DIR",
        "MISE_CONFIG_DIR",
        "NODENV_ROOT",
        "NODENV_VERSION",
        "NVM_DIR",
        "NVM_BIN",
        "VOLTA_HOME",
    ]
)
# npm alone uses the network, by whatever ways are set up here.
_NETWORK = frozenset(
    [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "PROXY",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ]
)
_NPM_PREFIX = "NPM_CONFIG_"
_NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)[?]?\}")  # in .npmrc: another variable
_MAX_SETTINGS_BYTES = 64 * 1024


def node_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a program in Node gets: none that can hold a secret."""
    return _chosen(environ, _BASE | _VERSION_MANAGERS)


def npm_environment(environ: Mapping[str, str], executable: Path) -> dict[str, str]:
    """Return the variables that npm gets: Node's, proxies, certificates, and its own settings.

    And those that the user's .npmrc names as ``${NAME}``, which are meant for npm. The packages'
    own scripts do not run.

    Args:
        environ: This process's.
        executable: Node's, whose folder comes first on the PATH.
    """
    npm = {name for name in environ if name.upper().startswith(_NPM_PREFIX)}
    names = _BASE | _VERSION_MANAGERS | _NETWORK | {name.upper() for name in npm}
    chosen = _chosen(environ, names)
    chosen |= {name: environ[name] for name in _named_by_settings(chosen) if name in environ}
    chosen["PATH"] = f"{executable.parent}{os.pathsep}{environ.get('PATH', '')}"
    return chosen


def _chosen(environ: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    # Proxies and npm's settings are written in either case; Windows does not tell them apart.
    return {name: value for name, value in environ.items() if name.upper() in names}


def _named_by_settings(environ: Mapping[str, str]) -> set[str]:
    settings = {name.lower(): value for name, value in environ.items()}
    named = settings.get("npm_config_userconfig")
    home = settings.get("home") or settings.get("userprofile")
    if not named and not home:
        return set()
    try:
        with Path(named or Path(home or "", ".npmrc")).open("rb") as file:
            text = file.read(_MAX_SETTINGS_BYTES).decode("utf-8", "replace")
    except OSError:
        return set()
    return set(_NAMED.findall(text))
