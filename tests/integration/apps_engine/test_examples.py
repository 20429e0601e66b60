"""The example apps, packed, judged, unpacked, and running confined as an engine runs them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hubbub.apps.documents import date
from hubbub.apps.fake import FakeHubbub
from hubbub.apps.packing import pack
from hubbub.bus.context import call_context, current_call
from hubbub.clock import SystemClock
from services.apps_engine import packages
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.processes import AppProcess, Bounding

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[3] / "examples" / "apps"


class FakeBridge(FakeHubbub):
    """A chat in memory, behind the engine's real process."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.causes: set[tuple[str | None, float | None]] = set()

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        self.causes.add((current_call().request_id, current_call().deadline))
        return await super().call(name, args)

    def printed(self, line: str, *, is_error: bool) -> None:
        raise AssertionError(f"an app printed {line!r} ({is_error})")


class Example:
    """One of them, running."""

    def __init__(self, process: AppProcess, hubbub: FakeBridge, offers: dict[str, Any]) -> None:
        self.process = process
        self.hubbub = hubbub
        self.offers = offers

    async def command(self, name: str, params: str) -> None:
        """Ada types a command."""
        room, user = self.hubbub.room("general"), self.hubbub.user("ada")
        asked = {"command": name, "params": params, "room": room, "user": user}
        await self.process.call("command", asked)


Run = Callable[..., Awaitable[Example]]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """Installs and starts examples; all of them are ended afterwards."""
    async with AsyncExitStack() as stack:

        async def _run(name: str, **settings: Any) -> Example:
            package = packages.read(pack(EXAMPLES / name))
            folder, scratch = tmp_path / name / "app", tmp_path / name / "scratch"
            packages.write(package, folder)
            scratch.mkdir()
            stack.callback(packages.remove, folder)
            manifest = package.manifest
            plan = Plan(
                app=name,
                folder=str(folder),
                scratch=str(scratch),
                package=manifest.package_name,
            )
            hubbub = FakeBridge(manifest)
            process = await AppProcess.spawn(plan, hubbub, bounding=Bounding(), clock=SystemClock())
            stack.push_async_callback(process.kill)
            offers = await process.start(manifest.start(manifest.effective(settings)))
            return Example(process, hubbub, offers)

        yield _run


async def test_reminders(run: Run) -> None:
    app = await run("reminders")
    assert app.offers["commands"] == ["remind"]
    assert app.offers["jobs"] == [{"name": "remind", "cron": None}]

    await app.command("remind", "10m the oven")
    (notice,) = app.hubbub.notices
    assert notice.text.startswith("I will remind you at ")
    # Its own clock is the machine's.
    job = app.hubbub.next_job(app.hubbub.moment + timedelta(days=36_500))
    assert job is not None
    assert len(app.hubbub.stored) == 1
    due = date(job.at or app.hubbub.moment)
    await app.process.call("job", {"id": job.id, "name": job.name, "data": job.data, "due": due})
    assert [message.text for message in app.hubbub.sent] == ["the oven"]
    assert app.hubbub.stored == {}


async def test_what_it_asks_for_is_not_part_of_the_request_that_installed_it(run: Run) -> None:
    """Else nothing that it asks for would be done any more when the time of that is over."""
    with call_context(request_id="installs", deadline=1.0):
        app = await run("reminders")

    await app.command("remind", "list")

    assert app.hubbub.causes == {(None, None)}


async def test_moderation(run: Run) -> None:
    app = await run("moderation", words="darn")
    assert app.offers["hooks"] == ["message_sending"]

    async def judged(text: str) -> Any:
        ada = app.hubbub.user("ada")
        message = {"rid": "r", "msg": text, "u": ada}
        return await app.process.call("hook", {"name": "message_sending", "message": message})

    assert await judged("Darn!") == {"verdict": "change", "message": {"text": "****!"}}
    assert await judged("fine") == {"verdict": "allow"}
    settings = {"words": "darn", "action": "refuse", "reason": "No."}
    await app.process.call("settings", {"settings": settings})
    assert await judged("darn") == {"verdict": "refuse", "reason": "No."}


async def test_incoming_events(run: Run) -> None:
    app = await run("incoming-events", secret="of the test")
    app.hubbub.room("general")
    assert app.offers["endpoints"] == ["events"]
    event = {
        "ref": "refs/heads/main",
        "pusher": {"name": "ada"},
        "repository": {"full_name": "engines/analytical"},
        "commits": [{"message": "Add the mill"}],
    }
    body = json.dumps(event).encode()

    async def posted(secret: str) -> int:
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        asked = {
            "name": "events",
            "method": "POST",
            "path": "/events",
            "query": {},
            "headers": {"x-github-event": "push", "x-hub-signature-256": f"sha256={signature}"},
            "body": base64.b64encode(body).decode(),
        }
        answer = await app.process.call("request", asked)
        return int(answer["status"])

    assert await posted("another") == 401
    assert app.hubbub.sent == []
    assert await posted("of the test") == 200
    (message,) = app.hubbub.sent
    assert message.text == "ada pushed one commit to main of engines/analytical\n- Add the mill"
    assert [line.level for line in app.hubbub.log] == ["warning"]
