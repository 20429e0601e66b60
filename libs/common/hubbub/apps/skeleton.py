"""The files of a new app: small, whole, and tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hubbub.apps.manifest import Manifest

_MANIFEST: Final = """\
id = "{id}"
name = "{name}"
version = "0.1.0"
description = "Greets whoever says hello."
permissions = ["command", "notify"]

[commands.{command}]
description = "Say hello"
params = "[to whom]"

[settings.greeting]
type = "string"
default = "Hello"
label = "What it says"
"""

_CODE: Final = '''\
"""{name}: greets whoever says hello."""

from __future__ import annotations

from hubbub.apps import App, Command

app = App()


@app.command("{command}")
async def greet(command: Command) -> None:
    """Answer so that only whoever typed it sees it."""
    whom = command.params or command.user.name
    await command.reply(f"{{app.settings['greeting']}}, {{whom}}!")
'''

_TESTS: Final = '''\
"""Tests of the app, without a server: `python -m pytest`."""

from __future__ import annotations

from {package} import app


def test_it_greets() -> None:
    client = app.test_client()
    assert client.command("/{command}", user="ada") == ["Hello, Ada!"]
    assert client.command("/{command} Bob", user="ada") == ["Hello, Bob!"]


def test_it_greets_as_it_is_told() -> None:
    client = app.test_client(greeting="Ahoy")
    assert client.command("/{command}", user="ada") == ["Ahoy, Ada!"]
'''

_README: Final = """\
# {name}

An app for Hubbub. `hubbub app run .` tries it out, `python -m pytest` tests it,
`hubbub app check .` says whether it can be installed, and `hubbub app pack .` packs it.
"""

_ID = re.compile(r"[a-z][a-z0-9-]{1,38}[a-z0-9]")


class CannotMake(Exception):
    """The app cannot be made; the text says why."""


def make(name: str, parent: Path) -> list[Path]:
    """A new app with this id, in a folder of that name; returns its files.

    Raises: CannotMake: not an id, or the folder is there already; WrongManifest: Python has a
    package of that name.
    """
    if not _ID.fullmatch(name):
        raise CannotMake(f"{name!r} is not 3 to 40 small letters, digits and dashes")
    folder = parent / name
    words = {
        "id": name,
        "name": name.replace("-", " ").capitalize(),
        "package": name.replace("-", "_"),
        "command": name[:32].rstrip("-"),
    }
    texts = {
        Path("app.toml"): _MANIFEST.format(**words),
        Path(words["package"], "__init__.py"): _CODE.format(**words),
        Path(f"test_{words['package']}.py"): _TESTS.format(**words),
        Path("README.md"): _README.format(**words),
    }
    Manifest.parse(texts[Path("app.toml")])
    if folder.exists():
        raise CannotMake(f"{folder} is there already")
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return [folder / path for path in texts]
