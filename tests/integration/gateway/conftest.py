"""A gateway on a loopback port, in front of fake services on the local bus."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest
from multidict import CIMultiDictProxy
from prometheus_client import CollectorRegistry
from yarl import URL

from hubbub.bus import LocalBus
from services.gateway.service import Gateway, serving
from services.gateway.settings import GatewaySettings
from tests.integration.gateway.fake_apps import FakeApps
from tests.integration.gateway.fakes import (
    FakeAccount,
    FakeAuthorization,
    FakeMessaging,
    FakePresence,
    FakePush,
    made,
)
from tests.integration.gateway.world import World


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)


@dataclass
class Site:
    """A running gateway and what stands behind it."""

    world: World
    bus: LocalBus
    gateway: Gateway
    registry: CollectorRegistry
    authorization: FakeAuthorization
    apps: FakeApps
    session: aiohttp.ClientSession
    headers: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def signed_in(self, username: str) -> dict[str, str]:
        """The headers of a user, one token per user and test."""
        if username not in self.headers:
            self.headers[username] = self.world.token_for(username)
        return self.headers[username]

    async def call(
        self,
        method: str,
        path: str,
        *,
        by: str | None = None,
        json: Any = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request; `path` goes out exactly as it is written."""
        sent = {**(self.signed_in(by) if by else {}), **(headers or {})}
        if json is not None:
            data = orjson.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        url = URL(self.base + path, encoded=True)
        body = None if data is None else io.BytesIO(data)
        async with self.session.request(method, url, data=body, headers=sent) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, name: str, by: str | None = None, **options: Any) -> Reply:
        return await self.call("GET", f"/api/v1/{name}", by=by, **options)

    async def post(
        self, name: str, json: Any = None, by: str | None = None, **options: Any
    ) -> Reply:
        return await self.call("POST", f"/api/v1/{name}", by=by, json=json, **options)

    async def raw(self, request: bytes, *, within: float = 5.0) -> bytes:
        """Send bytes, and read until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        try:
            writer.write(request)
            async with asyncio.timeout(within):
                return await reader.read()
        finally:
            writer.close()
            with suppress(ConnectionError):  # the server was faster
                await writer.wait_closed()


@asynccontextmanager
async def running(*, max_payload: int = 1_048_576, **settings: Any) -> AsyncIterator[Site]:
    """A gateway with other settings than the usual ones."""
    world = World()
    for username in ("ana", "bo", "cy"):
        world.add_user(username)
    world.add_user("root", "admin", "user")
    authorization = made(FakeAuthorization, world)
    registry = CollectorRegistry()
    bus = LocalBus(max_payload=max_payload)
    try:
        for kind in (FakeAccount, FakePresence, FakeMessaging, FakePush):
            await bus.serve(made(kind, world))
        apps = made(FakeApps, world)
        await bus.serve(apps)
        await bus.serve(authorization)
        chosen = GatewaySettings(port=0, **settings)
        async with (
            serving(bus, chosen, registry) as gateway,
            aiohttp.ClientSession() as session,
        ):
            yield Site(world, bus, gateway, registry, authorization, apps, session)
    finally:
        await bus.drain()
        await bus.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with running() as site:
        yield site


@pytest.fixture
def apps(site: Site) -> FakeApps:
    """The integrations of the site."""
    return site.apps
