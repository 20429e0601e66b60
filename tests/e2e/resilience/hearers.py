"""Who is told of a conversation without taking part in it: an app, and a server outside."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.conformance.rest import Rest
from tests.integration.apps_engine.outside import Outside, outside
from tests.waiting import eventually

ADMIN_PASSWORD = "correct-horse-battery"
WITHIN = 60.0  # seconds

_MANIFEST = """
id = "listener"
name = "Listener"
version = "1.0.0"
permissions = ["endpoint", "message.read", "room.read-all", "store"]

[endpoints.heard]
path = "/heard"
methods = ["GET"]
"""

_CODE = """
import asyncio

from hubbub.apps import App, Refused, Response

app = App()


@app.on("message_sent")
async def heard(event):
    while True:
        try:
            return await app.store.set(event.message.id, True)
        except Refused:  # what was said meanwhile comes faster than it may write
            await asyncio.sleep(0.1)


@app.endpoint("heard")
async def tell(request):
    return Response("\\n".join(await app.store.keys()))
"""


@dataclass(frozen=True, slots=True)
class Hearers:
    """An app that writes down the ids of messages, and what an outgoing webhook calls."""

    url: str
    server: Outside

    async def app(self) -> set[str]:
        """The messages that the app has heard."""
        url = f"{self.url}/api/apps/public/listener/heard"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return set((await answer.text()).split()) if answer.status == 200 else set()

    async def webhook(self) -> set[str]:
        """The messages that the server outside was told of."""
        return {request.json["message_id"] for request in self.server.received}

    async def have(self, count: int) -> None:
        """Wait until both have heard of so many messages."""

        async def enough() -> bool:
            return min(len(await self.app()), len(await self.webhook())) >= count

        await eventually(_now_and_then(enough), within=WITHIN, what="both hear of messages")

    async def know(self, said: set[str]) -> None:
        """Wait until both have heard of all of these. Raises: AssertionError: some are missing."""
        missing = {"app": said, "webhook": said}

        async def none_missing() -> bool:
            missing["app"] = said - await self.app()
            missing["webhook"] = said - await self.webhook()
            return not any(missing.values())

        try:
            await eventually(_now_and_then(none_missing), within=WITHIN)
        except AssertionError:
            raise AssertionError(f"of {len(said)} messages: {missing}") from None


def _now_and_then(look: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """Look less often: the app has better things to do than to tell what it knows."""

    async def slowly() -> bool:
        await asyncio.sleep(0.3)
        return await look()

    return slowly


@asynccontextmanager
async def hearers(url: str, folder: Path) -> AsyncIterator[Hearers]:
    """Both, in a running Hubbub whose engine may call servers on this machine."""
    written = folder / "listener"
    (written / "listener").mkdir(parents=True)
    (written / "app.toml").write_text(_MANIFEST)
    (written / "listener" / "__init__.py").write_text(_CODE)
    async with aiohttp.ClientSession() as session, outside() as server:
        rest = Rest(session, url)
        admin = await rest.login("admin", ADMIN_PASSWORD)
        body = {
            "type": "webhook-outgoing",
            "name": f"told-{secrets.token_hex(4)}",
            "enabled": True,
            "username": "rocket.cat",
            "event": "sendMessage",
            "channel": "all_private_groups",
            "urls": [server.url],
            "retryFailedCalls": True,
            "retryCount": 5,
            "scriptEnabled": False,
        }
        hook = (await rest.post("integrations.create", admin, **body))["integration"]
        try:
            await _command(url, "install", str(written), "--yes")
            yield Hearers(url, server)
        finally:
            await _command(url, "remove", "listener")
            about = {"type": hook["type"], "integrationId": hook["_id"]}
            await rest.post("integrations.remove", admin, **about)


async def _command(url: str, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hubbub.cli.main", "app", *words, "--url", url),
        env={**os.environ, "HUBBUB_ADMIN_PASSWORD": ADMIN_PASSWORD},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
