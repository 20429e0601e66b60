"""A chat with one app and nobody else: lines in, lines out. For `hubbub app run`.

The app is loaded again whenever one of its files has changed; what it keeps stays. It runs
here, with the rights of whoever runs this, and on a clock that only `:wait` moves.
"""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from hubbub.apps import packing
from hubbub.apps.app import App
from hubbub.apps.calls import Planned
from hubbub.apps.documents import Message
from hubbub.apps.engine import Refused
from hubbub.apps.manifest import Manifest, WrongManifest, WrongSettings, read
from hubbub.apps.testing import Prevented, TestClient

HELP: Final = """\
/COMMAND …           type a command          TEXT                 say something
:user NAME           be somebody else        :room NAME           go elsewhere
:wait 10m            let time pass           :post ENDPOINT BODY  ask an endpoint
:set NAME VALUE      change a setting        :store               what it keeps
:jobs                what it has planned     :quit                end"""

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Ended(Exception):
    """The user wants no more."""


class Simulator:
    """The chat.

    Raises: WrongManifest, WrongSettings, CannotPack, Refused, and what the app's import raises.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        self._folder = folder.resolve()
        self._settings = dict(settings or {})
        self.user, self.room = "ada", "general"
        # A file that is changed within a second would be taken from what Python compiled before.
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(self._folder))
        self._stamp = self._stamp_now()
        self._client = self._load()
        self._shown = _Shown(self._client)

    def close(self) -> None:
        """Forget the app."""
        sys.path.remove(str(self._folder))
        self._unload(read(self._folder))

    def feed(self, line: str) -> list[str]:
        """What a line that is typed brings about, in lines. Raises: Ended."""
        told = self._reload_if_changed()
        line = line.strip()
        if not line:
            return told
        try:
            told += self._do(line)
        except (Prevented, Refused, WrongSettings) as error:
            told.append(f"{'refused' if isinstance(error, Prevented) else 'error'}: {error}")
        except Ended:
            raise
        except Exception as error:
            # The app's; its traceback is in the log that is shown next.
            told.append(f"raised {type(error).__name__}: {error}")
        return told + self._shown.news(self._client)

    def _do(self, line: str) -> list[str]:
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if not line.startswith((":", "/")):
            sent = self._client.message(line, user=self.user, room=self.room)
            return [f"{self.user} → {self.room}: {sent.text}"]
        if line.startswith("/"):
            if word[1:] not in self._commands():
                return [f"no such command; there are {', '.join(self._commands()) or 'none'}"]
            self._client.command(line, user=self.user, room=self.room)
            return []
        if word == ":store":
            return [f"{key} = {value}" for key, value in self._client.stored.items()]
        if word == ":jobs":
            return [f"{job.name} at {job.at} {job.data}" for job in self._planned()]
        if word == ":quit":
            raise Ended
        acts: dict[str, Callable[[str], list[str]]] = {
            ":user": self._be,
            ":room": self._go,
            ":wait": self._wait,
            ":post": self._post,
            ":set": self._set,
        }
        return acts[word](rest) if word in acts else HELP.splitlines()

    def _commands(self) -> list[str]:
        manifest = self._client.hubbub.manifest
        return [] if manifest is None else list(manifest.commands)

    def _planned(self) -> list[Planned]:
        return sorted(self._client.planned, key=lambda job: str(job.at))

    def _be(self, name: str) -> list[str]:
        self.user = name or self.user
        return []

    def _go(self, name: str) -> list[str]:
        self.room = name.removeprefix("#") or self.room
        return []

    def _wait(self, span: str) -> list[str]:
        found = re.fullmatch(r"(\d{1,6})([smhd])", span)
        if found is None:
            return ["how long? 30s, 10m, 2h or 1d"]
        self._client.advance(**{_UNITS[found[2]]: int(found[1])})
        return [f"it is {self._client.now:%A %Y-%m-%d %H:%M:%S} UTC"]

    def _post(self, rest: str) -> list[str]:
        name, _, body = rest.partition(" ")
        manifest = self._client.hubbub.manifest
        if manifest is None or name not in manifest.endpoints:
            return ["no such endpoint"]
        response = self._client.request(name, body)
        return [f"{response.status} {response.text}".rstrip()]

    def _set(self, rest: str) -> list[str]:
        name, _, word = rest.partition(" ")
        value = setting_value(read(self._folder), name, word)
        self._client.configure(**{name: value})
        self._settings[name] = value
        return []

    def _stamp_now(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for path in packing.files(self._folder, read(self._folder)):
            state = path.stat()
            found[path] = (state.st_mtime_ns, state.st_size)
        return found

    def _reload_if_changed(self) -> list[str]:
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return []
            self._stamp = stamp
            client = self._load(self._client)
        except (WrongManifest, WrongSettings, packing.CannotPack, Refused, OSError) as error:
            return [f"still as it was: {error}"]
        except Exception:
            return ["still as it was:", *traceback.format_exc(limit=-3).splitlines()]
        self._client = client
        return ["loaded again"]

    def _load(self, before: TestClient | None = None) -> TestClient:
        manifest = read(self._folder)
        self._unload(manifest)
        app = getattr(importlib.import_module(manifest.package_name), "app", None)
        if not isinstance(app, App):
            raise Refused("no-app", f"{manifest.package_name} has no `app = App()`")
        client = TestClient(app, self._settings)
        if before is not None:
            new, old = client.hubbub, before.hubbub
            for name in (
                "moment",
                "users",
                "rooms",
                "messages",
                "notices",
                "log",
                "stored",
                "_planned",
            ):
                setattr(new, name, getattr(old, name))
            once = {job.id: job for job in old.jobs.values() if job.cron is None}
            new.jobs |= {id_: job for id_, job in once.items() if job.name in app.handlers.jobs}
        client.hubbub.room(self.room)
        client.hubbub.user(self.user)
        return client

    def _unload(self, manifest: Manifest) -> None:
        package = manifest.package_name
        for name in [one for one in sys.modules if one == package or one.startswith(f"{package}.")]:
            del sys.modules[name]
        importlib.invalidate_caches()


class _Shown:
    """What of the app's doings was shown already."""

    def __init__(self, client: TestClient) -> None:
        self._sent = len(client.sent)
        self._notices = len(client.notices)
        self._lines = len(client.log)

    def news(self, client: TestClient) -> list[str]:
        """What is new, in lines."""
        sent, notices, lines = client.sent, client.notices, client.log
        told = [f"log {line.level}: {line.text}" for line in lines[self._lines :]]
        told += [f"only {one.username} sees: {one.text}" for one in notices[self._notices :]]
        told += [_line(client, message) for message in sent[self._sent :]]
        self._sent, self._notices, self._lines = len(sent), len(notices), len(lines)
        return told


def _line(client: TestClient, message: Message) -> str:
    more = f" (+{len(message.attachments)} attached)" if message.attachments else ""
    return f"{message.user.username} → {client.room_of(message)}: {message.text}{more}"


def setting_value(manifest: Manifest, name: str, word: str) -> Any:
    """What a word stands for as the value of a setting. Raises: WrongSettings."""
    setting = manifest.settings.get(name)
    if setting is None:
        raise WrongSettings({name: "there is no such setting"})
    if setting.type == "boolean" and word in ("true", "false"):
        return word == "true"
    if setting.type == "number":
        try:
            return float(word) if "." in word else int(word)
        except ValueError:
            raise WrongSettings({name: "not a number"}) from None
    return word
