"""A gateway with a real database for its files, in front of fake services."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from PIL import Image
from prometheus_client import CollectorRegistry

from hubbub.bus import LocalBus
from hubbub.contracts.events import SettingsChanged
from hubbub.contracts.pictures import Pictures
from hubbub.mongo import Database
from services.gateway.migration import expand
from services.gateway.service import serving
from services.gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import Reply, Site
from tests.integration.gateway.fake_apps import FakeApps
from tests.integration.gateway.fakes import (
    FakeAccount,
    FakeAuthorization,
    FakeMessaging,
    FakePresence,
    made,
)
from tests.integration.gateway.world import Doc, World


@dataclass(frozen=True)
class Part:
    """One part of a form."""

    name: str
    data: bytes
    file_name: str | None = None
    media_type: str | None = None


def form(*parts: Part, boundary: str = "XXboundaryXX") -> tuple[bytes, dict[str, str]]:
    """A form, written by hand so that it can be written wrongly; its body and headers."""
    body = b""
    for part in parts:
        head = f'Content-Disposition: form-data; name="{part.name}"'
        if part.file_name is not None:
            head += f'; filename="{part.file_name}"'
        if part.media_type is not None:
            head += f"\r\nContent-Type: {part.media_type}"
        body += f"--{boundary}\r\n{head}\r\n\r\n".encode() + part.data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def picture(width: int = 40, height: int = 30, form: str = "PNG", color: str = "red") -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, form)
    return out.getvalue()


@dataclass
class FileSite(Site):
    """A site with files."""

    database: Database = field(kw_only=True)
    messaging: FakeMessaging = field(kw_only=True)

    @property
    def pictures(self) -> Pictures:
        return self.bus.proxy(Pictures)

    async def send(
        self,
        endpoint: str,
        *parts: Part,
        by: str | None = "ana",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Post a form."""
        body, form_headers = form(*parts)
        return await self.call(
            "POST",
            f"/api/v1/{endpoint}",
            by=by,
            data=body,
            headers={**form_headers, **(headers or {})},
        )

    async def media(
        self, room: Doc, data: bytes, name: str = "a.txt", *, by: str = "ana"
    ) -> dict[str, str]:
        """Upload a file that has to be taken; its id and address."""
        reply = await self.send(f"rooms.media/{room['_id']}", Part("file", data, name), by=by)
        assert reply.status == 200, reply.raw
        file: dict[str, str] = reply.body["file"]
        return file

    async def setting(self, setting_id: str, value: object) -> None:
        """Change a setting of the workspace."""
        await self.database.rocketchat_settings.update_one(
            {"_id": setting_id}, {"$set": {"value": value}}, upsert=True
        )
        await self.bus.publish(SettingsChanged(setting_id=setting_id))
        await self.bus.settled()

    async def files_left(self) -> tuple[int, int, int]:
        """Records, files and pieces in the database."""
        return (
            await self.database["rocketchat_uploads"].count_documents({}),
            await self.database["rocketchat_uploads.files"].count_documents({}),
            await self.database["rocketchat_uploads.chunks"].count_documents({}),
        )


@asynccontextmanager
async def running(database: Database, **settings: Any) -> AsyncIterator[FileSite]:
    """A gateway with files."""
    world = World()
    for username in ("ana", "bo", "cy"):
        world.add_user(username)
    world.add_user("root", "admin", "user")
    # As the messaging service makes it.
    await database.rocketchat__trash.create_index([("__collection__", 1), ("_deletedAt", 1)])
    await expand(database)
    authorization = made(FakeAuthorization, world)
    messaging = made(FakeMessaging, world)
    bus = LocalBus()
    registry = CollectorRegistry()
    try:
        for service in (made(FakeAccount, world), made(FakePresence, world), messaging):
            await bus.serve(service)
        await bus.serve(authorization)
        chosen = GatewaySettings(port=0, **settings)
        async with (
            serving(bus, chosen, registry, database=database) as gateway,
            aiohttp.ClientSession() as session,
        ):
            yield FileSite(
                world,
                bus,
                gateway,
                registry,
                authorization,
                made(FakeApps, world),
                session,
                database=database,
                messaging=messaging,
            )
    finally:
        await bus.drain()
        await bus.close()
