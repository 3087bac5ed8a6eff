"""Commands over one's own objects, told by the modules that declare their models."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from encrypted_parse._translating import translating
from encrypted_parse.cli.output import say, show
from encrypted_parse.cli.session import JsonOption, PasswordFdOption, UserOption, log_in
from encrypted_parse.cli.terminal import progress_bar
from encrypted_parse.errors import ConfigurationError
from encrypted_parse.models import Model

ModulesArgument = Annotated[
    list[str], typer.Argument(metavar="MODULE...", help="Python modules that declare models.")
]


def reseal(
    modules: ModulesArgument,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Keep the position in this file, and go on from it the next time.",
            show_default=False,
        ),
    ] = None,
    user: UserOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encrypt your own objects again for the keys that their readers have now.

    After a rotation, yours or a reader's. Looks at every object of the modules' models that you
    may read, and saves those of yours that need it. May be stopped and repeated.

    encrypted-parse reseal app.models --checkpoint reseal.json
    """
    models = [model for name in modules for model in models_of(name)]
    client = log_in(user, password_fd)
    place = None if checkpoint is None else FileCheckpoint(checkpoint, client.user_id)
    with progress_bar("resealing") as advance:
        report = client.reseal(
            *models, checkpoint=place, progress=lambda _name, done, total: advance(done, total)
        )
    failed = [
        {"class": class_name, "object_id": object_id, "error": str(error)}
        for class_name, object_id, error in report.failed
    ]
    facts = {
        "examined": report.examined,
        "resealed": report.resealed,
        "skipped": report.skipped,
        "failed": failed if as_json else len(failed),
    }
    show(facts, as_json=as_json)
    if not as_json:
        for failure in failed:
            say("{class} {object_id}: {error}".format(**failure))
    if place is not None and not failed:
        place.finish()
    if failed:
        raise typer.Exit(1)


class FileCheckpoint:
    """A job's position in a file, which is replaced in one step."""

    def __init__(self, path: Path, user_id: str) -> None:
        self._path = path
        self._user_id = user_id
        self._positions: dict[str, str] = {}
        with (
            translating(
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
                to=lambda: ConfigurationError(f"{path} is no checkpoint", hint="delete it"),
            ),
            contextlib.suppress(FileNotFoundError),
        ):
            content = json.loads(path.read_text("utf-8"))
            if content["user_id"] != user_id:
                raise ConfigurationError(
                    f"{path} is another user's job", hint="name another file, or delete it"
                )
            self._positions = {str(name): str(at) for name, at in content["positions"].items()}

    def position(self, class_name: str) -> str:
        """See `ResealCheckpoint.position`."""
        return self._positions.get(class_name, "")

    def advance(self, class_name: str, object_id: str) -> None:
        """See `ResealCheckpoint.advance`."""
        self._positions[class_name] = object_id
        content = json.dumps({"user_id": self._user_id, "positions": self._positions})
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        Path(name).replace(self._path)

    def finish(self) -> None:
        """Forget the position: the job is done."""
        self._path.unlink(missing_ok=True)


def models_of(name: str) -> list[type[Model]]:
    """Return the models that a module declares.

    Raises:
        ConfigurationError: It cannot be imported, or declares none.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        _fail_import(name, error)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Model) and value is not Model
    ]
    if not found:
        raise ConfigurationError(f"the module {name} declares no models")
    return found


def _fail_import(name: str, error: ImportError) -> NoReturn:
    raise ConfigurationError(
        f"cannot import {name}: {error}",
        hint="name it as Python does (app.models), from the folder that holds `app`",
    ) from error
