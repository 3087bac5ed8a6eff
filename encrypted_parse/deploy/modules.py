"""Which kind of JavaScript cloud code is: CommonJS, or ES modules, as Node decides it.

Node reads a `.js` file by the nearest package.json above it. What is written beside a project's
own files has to be of their kind, or it does not load: then none of the app's functions runs after
the next deployment.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from encrypted_parse._translating import translating
from encrypted_parse.errors import ConfigurationError

PACKAGE = "package.json"
_INSTALL = {
    "main.js": (
        "companion.installCloudFunctions(Parse, companion.loadSettings(process.env));",
        "Parse.Cloud.beforeSave('_User', companion.createEncodableCheck(Parse));",
    ),
    "app.js": (
        "app.use('/virgil', companion.virgilHandler(Parse, companion.loadSettings(process.env)));",
    ),
}
_LOAD = {
    False: "const companion = require('./lib/index.js');",
    True: "import companion from './lib/index.js';",
}
_GUARD = {
    False: ("companion.installGuard(Parse, require('./encrypted-fields.json'));",),
    True: (
        "import { readFileSync as readFields } from 'node:fs';",
        "const encryptedFields = new URL('./encrypted-fields.json', import.meta.url);",
        "companion.installGuard(Parse, JSON.parse(readFields(encryptedFields, 'utf8')));",
    ),
}
_DEPENDENCIES = ('"dependencies": { "@noble/curves": "1.9.7" }',)


def are_modules(cloud: Path, ours: Sequence[str]) -> bool:
    """Tell whether the project's cloud code is ES modules.

    Above *cloud* a package.json counts only for files that are there already: for new ones,
    *cloud* gets one of its own, and CommonJS loads everywhere.

    Args:
        cloud: The folder of main.js.
        ours: Names of files in it that we wrote, and nobody changed.

    Raises:
        ConfigurationError: A package.json cannot be read. Node would refuse to load anything.
    """
    own = _type_of(cloud / PACKAGE)
    if own is not None:
        return own == "module"
    theirs = [path for path in cloud.glob("*.js") if path.name not in ours]
    if not theirs:
        return False
    above = (_type_of(folder / PACKAGE) for folder in cloud.resolve().parents)
    return next((found for found in above if found is not None), "") == "module"


def lines_to_add(name: str, *, modules: bool, guarded: bool) -> tuple[str, ...]:
    """Return what the project's own *name* needs beside its lines, or none.

    Args:
        name: The file in the folder of cloud code.
        modules: Cloud code is ES modules.
        guarded: encrypted-fields.json is there: loading it is an error where it is not.
    """
    if name == PACKAGE:
        return _DEPENDENCIES
    if name not in _INSTALL:
        return ()
    guard = _GUARD[modules] if guarded and name == "main.js" else ()
    return (_LOAD[modules], *_INSTALL[name], *guard)


def _type_of(path: Path) -> str | None:
    """Return `type` of a package.json, empty if it says none; None if there is no such file."""
    if not path.is_file():
        return None
    with translating(
        OSError,
        ValueError,
        AttributeError,
        RecursionError,
        to=lambda: ConfigurationError(
            f"{path} cannot be read, and it says how main.js is loaded",
            hint="Node loads nothing beside it either: mend it, then run this again",
        ),
    ):
        return str(json.loads(path.read_text("utf-8-sig")).get("type") or "")
