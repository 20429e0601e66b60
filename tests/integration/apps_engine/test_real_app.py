"""A package becomes a confined process with the real host in it; nothing is in its way there."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hubbub.apps.manifest import Manifest
from hubbub.clock import SystemClock
from services.apps_engine import packages
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.processes import AppFailed, AppProcess, Bounding, Cause, Ending
from tests.integration.apps_engine.conftest import RecordingBridge, exists
from tests.waiting import eventually

_EXAMPLES = Path(__file__).parents[3] / "examples" / "apps"

_CURIOUS = '''
import asyncio, decimal, hashlib, hmac, json, secrets, sqlite3, ssl, tempfile, zoneinfo
from datetime import datetime
from pathlib import Path
from hubbub.apps import App

app = App()

@app.command("all")
async def everything(command):
    """What an author may expect to work."""
    print("printed")
    assert ssl.create_default_context() and sqlite3.connect(":memory:")
    assert datetime.now(zoneinfo.ZoneInfo("Europe/Berlin")).tzinfo
    assert len(secrets.token_hex(8)) == 16
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 100_000)
    assert await asyncio.to_thread(lambda: sum(range(1000))) == 499500
    await asyncio.wait_for(asyncio.sleep(0), 1)
    assert (await app.store.get("key")) is None
'''
_CURIOUS_MANIFEST = (
    'id = "curious"\nname = "Curious"\nversion = "1.0.0"\n'
    'permissions = ["command", "store"]\n[commands.all]\n'
)


class StoreBridge(RecordingBridge):
    """Keeps nothing."""

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        self.calls.append(name)
        return None


def _packed(folder: Path) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for path in folder.rglob("*"):
            if path.suffix in (".py", ".toml"):
                archive.write(path, path.relative_to(folder))
    return target.getvalue()


def _curious() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("app.toml", _CURIOUS_MANIFEST)
        archive.writestr("curious/__init__.py", _CURIOUS)
    return target.getvalue()


class Installed:
    """Unpacks and starts one app."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.bridge = StoreBridge()
        self.process: AppProcess | None = None

    async def start(self, data: bytes, **settings: Any) -> tuple[AppProcess, dict[str, Any]]:
        package = packages.read(data)
        manifest: Manifest = package.manifest
        folder, scratch = self._root / "app", self._root / "scratch"
        packages.write(package, folder)
        scratch.mkdir()
        plan = Plan(manifest.id, str(folder), str(scratch), package=manifest.package_name)
        self.process = await AppProcess.spawn(
            plan, self.bridge, bounding=Bounding(), clock=SystemClock()
        )
        return self.process, await self.process.start(manifest.start(manifest.effective(settings)))


@pytest.fixture
async def installed(tmp_path: Path) -> AsyncIterator[Installed]:
    app = Installed(tmp_path)
    yield app
    if app.process:
        await app.process.kill()
    packages.remove(tmp_path / "app")


async def test_a_hook_of_an_example_works_confined(installed: Installed) -> None:
    app, offers = await installed.start(_packed(_EXAMPLES / "moderation"), words="darn")
    assert offers["hooks"] == ["message_sending"]

    verdict = await app.call(
        "hook",
        {
            "name": "message_sending",
            "message": {
                "_id": "m1",
                "rid": "GENERAL",
                "msg": "Darn it",
                "ts": {"$date": 1_700_000_000_000},
                "u": {"_id": "u1", "username": "ann"},
            },
        },
        30,
    )

    assert verdict["verdict"] == "change"
    assert verdict["message"]["text"] == "**** it"
    assert await app.stop() == Ending(Cause.STOPPED, "was stopped")
    assert not exists(app.pid)


@pytest.mark.parametrize(
    ("name", "settings"), [("reminders", {}), ("incoming-events", {"secret": "not-a-secret"})]
)
async def test_every_example_starts_confined(
    installed: Installed, name: str, settings: dict[str, str]
) -> None:
    app, offers = await installed.start(_packed(_EXAMPLES / name), **settings)

    assert offers["commands"] or offers["endpoints"]
    assert app.ending is None


async def test_the_standard_library_works_confined(installed: Installed) -> None:
    app, offers = await installed.start(_curious())
    assert offers["commands"] == ["all"]

    await app.call(
        "command",
        {
            "command": "all",
            "params": "",
            "room": {"_id": "GENERAL", "t": "c", "name": "general"},
            "user": {"_id": "u1", "username": "ann"},
        },
        30,
    )

    assert installed.bridge.calls == ["store_get"]
    await eventually(lambda: installed.bridge.lines == [("printed", False)])


async def test_an_app_that_cannot_be_imported_says_why(installed: Installed) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("app.toml", _CURIOUS_MANIFEST)
        archive.writestr("curious/__init__.py", "import no_such_module")

    with pytest.raises(AppFailed, match="no_such_module"):
        await installed.start(target.getvalue())
