"""A whole Hubbub whose every trace goes to a collector of the test."""

from __future__ import annotations

import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from hubbub.local.programs import free_port
from tests.conformance.rest import Rest, User
from tests.e2e.launched import Launched, launched
from tests.e2e.observability.collector import Collector, collecting

_ADMIN_PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Scene:
    """What a test finds."""

    hubbub: Launched
    collector: Collector
    rest: Rest
    admin: User
    ana: User
    bo: User

    async def room(self, *members: User) -> str:
        """A private room of ana's."""
        made = await self.rest.post(
            "groups.create",
            self.ana,
            name=f"room-{secrets.token_hex(4)}",
            members=[member.username for member in members],
        )
        return str(made["group"]["_id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("observed")
    port, data = free_port(), folder / "data"
    command = [
        sys.executable, "-m", "hubbub.cli.main", "up",
        "--port", str(port), "--data", str(data), "--streamers", "2",
    ]  # fmt: skip
    async with collecting() as collector:
        environment = {
            "HUBBUB_ADMIN_PASSWORD": _ADMIN_PASSWORD,
            "HUBBUB_TRACING_RATIO": "1.0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        async with (
            launched(command, folder, port=port, data=data, environment=environment) as hubbub,
            aiohttp.ClientSession() as session,
        ):
            await hubbub.ready()
            rest, tail = Rest(session, hubbub.url), secrets.token_hex(3)
            admin = await rest.login("admin", _ADMIN_PASSWORD)
            ana, bo = [await rest.register(f"{name}-{tail}") for name in ("ana", "bo")]
            yield Scene(hubbub, collector, rest, admin, ana, bo)
