"""Whether an app can be installed, told to its author before an administrator tries."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hubbub.apps import packing, wire
from hubbub.apps.manifest import Manifest, SettingValue, WrongManifest, read
from hubbub.apps.seen import look
from hubbub.apps.wire import Answer, Broken, Call, Decoder, Refusal, Tell, encode

_READ: Final = 1 << 16
_OWN_ROOMS: Final = (
    "it judges messages for the rooms that its bot is in; with 'room.read-all', for every room"
)


@dataclass(slots=True)
class Checked:
    """What was found. Without problems it can be installed."""

    manifest: Manifest | None = None
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    """What may be meant, and may be forgotten."""
    offers: dict[str, Any] = field(default_factory=dict)
    """What its package registers."""


def check(folder: Path) -> Checked:
    """Look at the manifest and the sources, then start the app as its engine would.

    The start runs the app's code with the rights of whoever calls this.
    """
    found = Checked()
    try:
        found.manifest = read(folder)
        packed = packing.pack(folder)
    except WrongManifest as error:
        found.problems += [f"app.toml: {problem}" for problem in error.problems]
    except packing.CannotPack as error:
        found.problems.append(str(error))
    else:
        _look(folder, found.manifest, found)
        if not found.problems:
            _start(folder, found.manifest, found)
        if found.offers.get("hooks") and "room.read-all" not in found.manifest.permissions:
            found.hints.append(_OWN_ROOMS)
        if len(packed) > packing.LARGEST // 2:
            found.hints.append(f"the package has {len(packed)} bytes of {packing.LARGEST}")
    return found


def _look(folder: Path, manifest: Manifest, found: Checked) -> None:
    used: dict[str, str] = {}
    for path in packing.files(folder, manifest):
        if path.suffix != ".py":
            continue
        name = path.relative_to(folder).as_posix()
        try:
            seen = look(path.read_text(encoding="utf-8"), manifest.package_name)
        except SyntaxError as error:
            found.problems.append(f"{name}:{error.lineno}: {error.msg}")
            continue
        except ValueError as error:
            found.problems.append(f"{name}: {error}")
            continue
        found.problems += [f"{name}:{line}: {problem}" for line, problem in seen.problems]
        for permission, line in seen.permissions.items():
            used.setdefault(permission, f"{name}:{line}")
    found.problems += [
        f"{where}: needs the permission {permission!r}, which app.toml does not ask for"
        for permission, where in used.items()
        if permission not in manifest.permissions
    ]
    found.hints += [
        f"app.toml asks for {permission!r}, and nothing was seen that needs it"
        for permission in manifest.permissions
        if permission not in used and permission != "room.read-all"
    ]


def _start(folder: Path, manifest: Manifest, found: Checked) -> None:
    """Start it in a process of its own, with made-up values for the settings it requires."""
    ours, theirs = socket.socketpair()
    arguments = [str(theirs.fileno()), str(folder.resolve()), manifest.package_name]
    with (
        ours,
        subprocess.Popen(  # noqa: S603 - our own interpreter, with our own arguments
            [sys.executable, "-I", "-m", "hubbub.apps.host", *arguments],
            pass_fds=[theirs.fileno()],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        theirs.close()
        try:
            _ask(ours, Call(1, "start", manifest.start(_values(manifest))), found)
        finally:
            process.kill()


def _ask(channel: socket.socket, start: Call, found: Checked) -> None:
    """Call `start`, and tell what came of it."""
    decoder = Decoder()
    channel.settimeout(wire.DEADLINES["start"])
    lines: list[str] = []
    try:
        channel.sendall(encode(start))
        while data := channel.recv(_READ):
            for frame in decoder.feed(data):
                match frame:
                    case Tell(name="log", args={"text": str(text)}):
                        lines += text.splitlines()
                    case Refusal(code=code, reason=reason):
                        found.problems += [f"start: {line}" for line in reason.splitlines()]
                        if code == "import-failed":
                            found.problems += [f"    {line}" for line in lines]
                        return
                    case Answer(value=dict(offers)):
                        found.offers = offers
                        return
                    case _:
                        found.hints.append("it asks its engine for something while it starts")
    except TimeoutError:
        found.problems.append(f"start: took more than {wire.DEADLINES['start']:g} s")
    except (Broken, ConnectionError) as error:
        found.problems.append(f"start: its process does not speak with its engine: {error}")
    else:
        found.problems.append("start: its process ended")


def _values(manifest: Manifest) -> dict[str, SettingValue]:
    """Its defaults, and something of the right type for what has none and is required."""
    made_up: dict[str, SettingValue] = {"string": "x", "secret": "x", "number": 1, "boolean": True}
    given = {
        name: setting.options[0] if setting.options else made_up[setting.type]
        for name, setting in manifest.settings.items()
        if setting.required and setting.default in (None, "")
    }
    return manifest.effective(given)
