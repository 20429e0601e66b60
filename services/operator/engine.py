"""The apps engine, as the operator speaks to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hubbub.bus import Bus
from hubbub.contracts.apps import CHUNK, AppNotFound, AppStatus, Chunk
from hubbub.contracts.provisioning import AppTerms, ProvidedApp, Provisioning
from services.operator.domain.apps import Engine, Found

_STATES: Final[dict[AppStatus, Engine]] = {
    AppStatus.INITIALIZED: "starting",
    AppStatus.ENABLED: "running",
    AppStatus.DISABLED: "disabled",
    AppStatus.INVALID_SETTINGS: "incomplete",
    AppStatus.ERROR: "broken",
}


class AppsEngine:
    """Its calls. Each raises HubbubError: Unavailable when no engine is there."""

    def __init__(self, bus: Bus) -> None:
        self._engine = bus.proxy(Provisioning)

    async def find(self, app_id: str) -> Found | None:
        """What the engine has under this id."""
        app = await self._engine.provided(app_id)
        return found_of(app) if app is not None else None

    async def install(
        self, data: bytes, terms: AppTerms, settings: Mapping[str, Any], *, enable: bool
    ) -> Found:
        """Bring a package there and install it."""
        package = await self._engine.begin_package()
        for index, start in enumerate(range(0, len(data), CHUNK)):
            chunk = Chunk(index=index, data=data[start : start + CHUNK])
            await self._engine.add_to_package(package, chunk)
        return found_of(await self._engine.install(package, terms, dict(settings), enable))

    async def configure(self, owner: str, app_id: str, settings: Mapping[str, Any]) -> Found:
        """Give the app exactly these settings."""
        return found_of(await self._engine.configure(owner, app_id, dict(settings)))

    async def switch(self, owner: str, app_id: str, *, on: bool) -> Found:
        """Let it run, or not."""
        return found_of(await self._engine.switch(owner, app_id, on))

    async def remove(self, owner: str, app_id: str) -> None:
        """Remove it, if it is there."""
        try:
            await self._engine.remove(owner, app_id)
        except AppNotFound:
            return


def found_of(provided: ProvidedApp) -> Found:
    """What the rules need of it."""
    app = provided.app
    return Found(
        owner=provided.owner,
        version=app.version,
        digest=provided.digest,
        engine=_STATES[app.status],
        reason=app.reason,
        permissions=frozenset(app.permissions),
        hosts=frozenset(app.hosts),
    )
