"""An apps engine that installs nothing: it keeps what it is told, and refuses what it should."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hubbub.contracts.apps import (
    App,
    AppNotFound,
    AppStatus,
    Chunk,
    InvalidAppSettings,
    InvalidPackage,
    PermissionsNotGranted,
)
from hubbub.contracts.provisioning import AppOfAnother, AppTerms, ProvidedApp, Provisioning
from hubbub.errors import HubbubError
from hubbub.ids import UserId


def package(version: str = "1.0.0", *permissions: str, app_id: str = "echo") -> bytes:
    """What this engine takes for a package."""
    manifest = {"id": app_id, "version": version, "permissions": list(permissions)}
    return json.dumps(manifest).encode()


@dataclass(frozen=True)
class Installed:
    """An app as this engine has it."""

    owner: str
    version: str
    digest: str
    permissions: tuple[str, ...] = ()
    status: AppStatus = AppStatus.ENABLED
    reason: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


class FakeEngine(Provisioning):
    """See the module."""

    def __init__(self) -> None:
        self.apps: dict[str, Installed] = {}
        self.calls: list[str] = []
        """Of those that change something."""
        self.before: Callable[[str], None] = lambda action: None
        """Called before a change; may raise."""
        self.broken = False
        """Apps that are started break down."""
        self._packages: dict[str, dict[int, bytes]] = {}

    async def provided(self, app_id: str) -> ProvidedApp | None:
        """See the contract."""
        app = self.apps.get(app_id)
        return _shown(app_id, app) if app is not None else None

    async def begin_package(self) -> str:
        """See the contract."""
        self._packages[f"package-{len(self._packages)}"] = {}
        return [*self._packages][-1]

    async def add_to_package(self, package_id: str, chunk: Chunk) -> None:
        """See the contract."""
        self._packages[package_id][chunk.index] = chunk.data

    async def install(
        self, package_id: str, terms: AppTerms, settings: dict[str, Any], enable: bool = True
    ) -> ProvidedApp:
        """See the contract."""
        self._changes("install")
        parts = self._packages[package_id]
        data = b"".join(parts[index] for index in range(len(parts)))
        try:
            manifest = json.loads(data)
        except ValueError:
            raise InvalidPackage("it is not a zip archive") from None
        if manifest["id"] != terms.app_id:
            raise InvalidPackage(f"The package is of the app {manifest['id']}")
        lacking = sorted(set(manifest["permissions"]) - set(terms.permissions))
        if lacking:
            raise PermissionsNotGranted(f"Echo also asks for: {', '.join(lacking)}")
        before = self.apps.get(terms.app_id)
        if before is not None and before.owner != terms.owner:
            raise AppOfAnother
        _check(settings)
        stays = before is not None and before.status is AppStatus.DISABLED
        self.apps[terms.app_id] = Installed(
            terms.owner,
            manifest["version"],
            hashlib.sha256(data).hexdigest(),
            tuple(manifest["permissions"]),
            self._started() if enable and not stays else AppStatus.DISABLED,
            settings=(before.settings if before is not None else {}) | settings,
        )
        return _shown(terms.app_id, self.apps[terms.app_id])

    async def configure(self, owner: str, app_id: str, settings: dict[str, Any]) -> ProvidedApp:
        """See the contract."""
        app = self._owned(owner, app_id)
        if app.settings != settings:
            self._changes("configure")
            _check(settings)
        return self._become(app_id, settings=settings)

    async def switch(self, owner: str, app_id: str, on: bool) -> ProvidedApp:
        """See the contract."""
        self._owned(owner, app_id)
        self._changes("enable" if on else "disable")
        status = self._started() if on else AppStatus.DISABLED
        return self._become(app_id, status=status, reason="")

    async def remove(self, owner: str, app_id: str) -> None:
        """See the contract."""
        self._owned(owner, app_id)
        self._changes("remove")
        del self.apps[app_id]

    def breaks(self, app_id: str = "echo") -> None:
        """The app broke down too often."""
        self._become(app_id, status=AppStatus.ERROR, reason="it crashed too often")

    def by_hand(self, app_id: str = "echo", **changes: Any) -> None:
        """An administrator does something to an app."""
        self._become(app_id, **changes)

    def _become(self, app_id: str, **changes: Any) -> ProvidedApp:
        self.apps[app_id] = replace(self.apps[app_id], **changes)
        return _shown(app_id, self.apps[app_id])

    def _started(self) -> AppStatus:
        return AppStatus.ERROR if self.broken else AppStatus.ENABLED

    def _changes(self, action: str) -> None:
        self.calls.append(action)
        self.before(action)

    def _owned(self, owner: str, app_id: str) -> Installed:
        if app_id not in self.apps:
            raise AppNotFound
        if self.apps[app_id].owner != owner:
            raise AppOfAnother
        return self.apps[app_id]


def dies(error: HubbubError) -> Callable[[str], None]:
    """A `before` that fails."""

    def fail(action: str) -> None:
        del action
        raise error

    return fail


def _check(settings: dict[str, Any]) -> None:
    unknown = sorted(set(settings) - {"word", "key", "limit"})
    if unknown:
        raise InvalidAppSettings(f"{unknown[0]}: there is no such setting")


def _shown(app_id: str, app: Installed) -> ProvidedApp:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    shown = App(
        id=app_id,
        name=app_id.title(),
        version=app.version,
        status=app.status,
        reason=app.reason,
        permissions=list(app.permissions),
        bot_id=UserId("bot"),
        bot_username=f"{app_id}.bot",
        installed_at=moment,
        updated_at=moment,
    )
    return ProvidedApp(app=shown, digest=app.digest, owner=app.owner)
