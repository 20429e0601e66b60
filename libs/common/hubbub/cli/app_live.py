"""Lets an app run in a running Hubbub for as long as somebody works on it.

What is installed is always a package that starts here: one that does not is told of, and the
version before it runs on.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp

from hubbub.apps import packing
from hubbub.apps.checking import Checked, check
from hubbub.apps.manifest import FILE, Manifest, WrongManifest, read
from hubbub.cli import apps
from hubbub.cli.apps import Api
from hubbub.cli.failure import Failure

ABOUT: Final = (
    "Without --url: talk with the app in a chat of its own; no server is needed. With --url:"
    " install it in that Hubbub, show what it writes down, and install it again whenever one of"
    " its files changes; what does not start is told of and not installed. Ctrl-C removes it with"
    " what it keeps, unless it was installed there before, or --keep is given."
)

_LOOK: Final = 0.3  # seconds between two looks at the folder; what changes between them is awaited
_LINES: Final = 500  # of the log, at a look
_LOG: Final = 1.0  # seconds between two looks at the log
_TIRED: Final = 30.0  # seconds without a look at a log that could not be had


def main(chosen: argparse.Namespace) -> int:
    """Until Ctrl-C; the exit status."""
    return asyncio.run(apps.signed_in(chosen, _work))


async def _work(api: Api, chosen: argparse.Namespace) -> int:
    try:
        manifest = await asyncio.to_thread(read, chosen.folder)
    except WrongManifest as error:
        raise Failure("\n".join(f"{FILE}: {problem}" for problem in error.problems)) from None
    settings = apps.settings_of(manifest, chosen.set)
    apps.grant(manifest, asked=not chosen.yes)
    return await Live(api, chosen.folder, manifest, settings).run(keep=chosen.keep)


class Live:
    """One app, from its first version to the end of the work on it."""

    def __init__(
        self, api: Api, folder: Path, granted: Manifest, settings: Mapping[str, object]
    ) -> None:
        """
        Args:
            granted: the manifest that somebody agreed to; what asks for more is not installed.
        """
        self._api = api
        self._folder = folder
        self._granted = granted
        self._settings = dict(settings)
        self._package = granted.package_name
        self._installed: bytes | None = None
        self._log = LogTail()
        self._log_after = 0.0  # on the loop's clock
        self._away = False

    async def run(self, *, keep: bool) -> int:
        """Until a signal. Raises: Failure: its first version was not installed."""
        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        before = await self._find()
        if before is not None:
            self._log.new(await self._lines())
        try:
            tried = stamp(self._folder, self._package)
            if not await self._take():
                return 1
            say("Save a file, and it is installed again; Ctrl-C ends this")
            seen = tried
            while not stopping.is_set():
                try:
                    now = stamp(self._folder, self._package)
                    # What still changes is waited for: editors and checkouts write many files.
                    if now == seen != tried:
                        await self._take()
                        tried = now
                    seen = now
                    await self._show_log()
                    self._away = False
                except (aiohttp.ClientError, TimeoutError) as error:
                    if not self._away:
                        say(f"no answer, trying again: {str(error) or type(error).__name__}")
                    self._away = True
                await _wait(stopping, _LOOK)
        finally:
            await self._leave(keep=keep or before is not None)
        return 0

    async def _take(self) -> bool:
        """Install what is in the folder if it can be; whether it was. Raises: ClientError."""
        found = await asyncio.to_thread(check, self._folder)
        try:
            manifest = _agreed(found, self._granted)
            data = await asyncio.to_thread(packing.pack, self._folder)
            if data == self._installed:
                return True
            app = await self._api.install(data, manifest.permissions, self._settings)
            if app["status"] == "manually_disabled" and self._installed is None:
                app = await self._api.enable(app["id"])
        except (Failure, WrongManifest, packing.CannotPack) as error:
            say(str(error))
            if self._installed is not None:
                say(f"{self._granted.id}: the version before runs on")
            return False
        self._installed, self._settings = data, {}
        self._package = manifest.package_name
        say(*apps.standing(app))
        return True

    async def _leave(self, *, keep: bool) -> None:
        app_id = self._granted.id
        if self._installed is None:
            return
        if keep:
            say(f"{app_id} stays installed")
            return
        try:
            await self._api.ask("DELETE", f"/{app_id}")
        except Failure as error:
            say(f"{app_id} was not removed: {error}")
        else:
            say(f"{app_id}: removed")

    async def _find(self) -> dict[str, Any] | None:
        """The app as it is installed now."""
        found = (await self._api.ask("GET"))["apps"]
        return next((app for app in found if app["id"] == self._granted.id), None)

    async def _show_log(self) -> None:
        clock = asyncio.get_running_loop()
        if clock.time() < self._log_after:
            return
        try:
            say(*(apps.line_of(line) for line in self._log.new(await self._lines())))
        except Failure as error:
            say(f"its log cannot be shown: {error}")
            self._log_after = clock.time() + _TIRED
        else:
            self._log_after = clock.time() + _LOG

    async def _lines(self) -> list[dict[str, Any]]:
        params = {"count": str(_LINES)}
        found = await self._api.ask("GET", f"/{self._granted.id}/logs", params=params)
        lines: list[dict[str, Any]] = found["logs"]
        return lines


class LogTail:
    """What is new in a log of which the last lines are looked at now and then."""

    def __init__(self) -> None:
        self._at = ""
        self._shown: list[tuple[str, str]] = []  # of the moment `_at`

    def new(self, lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of the last lines, oldest first, that were not among them before."""
        fresh: list[Mapping[str, Any]] = []
        known = list(self._shown)
        for line in lines:
            at, what = str(line["at"]), (str(line["level"]), str(line["text"]))
            if at < self._at:
                continue
            if at == self._at and what in known:
                known.remove(what)
                continue
            fresh.append(line)
        for line in fresh:
            at, what = str(line["at"]), (str(line["level"]), str(line["text"]))
            if at != self._at:
                self._at, self._shown = at, []
            self._shown.append(what)
        return fresh


def stamp(folder: Path, package: str) -> dict[str, tuple[int, int]]:
    """What tells whether files of an app changed: their times and sizes."""
    found = {}
    for path in _watched(folder, package):
        try:
            state = path.stat()
        except OSError:
            continue  # it is just being replaced
        found[str(path)] = (state.st_mtime_ns, state.st_size)
    return found


def _watched(folder: Path, package: str) -> Iterator[Path]:
    yield folder / FILE
    for path in (folder / package).rglob("*"):
        hidden = any(
            part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts
        )
        if not hidden and path.suffix != ".pyc":
            yield path


def _agreed(found: Checked, granted: Manifest) -> Manifest:
    """The manifest of what may be installed where `granted` was agreed to.

    Raises: Failure: it would not start, or asks for more.
    """
    manifest = found.manifest
    if found.problems or manifest is None:
        raise Failure("\n".join(found.problems))
    if manifest.id != granted.id:
        raise Failure(f"its id was {granted.id} and is {manifest.id}: end this and begin again")
    more = [
        *sorted(set(manifest.permissions) - set(granted.permissions)),
        *sorted(set(manifest.hosts) - set(granted.hosts)),
    ]
    if more:
        asked = ", ".join(more)
        raise Failure(f"it asks for more: {asked}; end this and begin again to grant it")
    return manifest


def say(*lines: str) -> None:
    """Print lines at once, into a pipe, too."""
    if lines:
        print("\n".join(lines), flush=True)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass
