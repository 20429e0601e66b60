"""The door for declared apps: what an operator of a cluster asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hubbub.apps.manifest import Manifest, Setting
from hubbub.audit import Auditor
from hubbub.contracts.apps import App, AppNotFound, Chunk, InvalidPackage
from hubbub.contracts.documents import Document
from hubbub.contracts.provisioning import (
    OPERATOR,
    AppOfAnother,
    AppTerms,
    HostsNotAllowed,
    ProvidedApp,
    Provisioning,
)
from services.apps_engine.domain import records
from services.apps_engine.keeper import Keeper
from services.apps_engine.packages_brought import Packages
from services.apps_engine.store.apps import MongoAppStore


class ProvisioningDoors(Provisioning):
    """Checks whose an app is, and hands to the keeper. Who may ask at all, NATS decides."""

    def __init__(
        self, keeper: Keeper, packages: Packages, apps: MongoAppStore, auditor: Auditor
    ) -> None:
        self._keeper = keeper
        self._packages = packages
        self._apps = apps
        self._auditor = auditor

    async def provided(self, app_id: str) -> ProvidedApp | None:
        """See the contract."""
        document = await self._apps.one(app_id)
        return self._shown(document) if document is not None else None

    async def begin_package(self) -> str:
        """See the contract."""
        return await self._packages.begin(OPERATOR)

    async def add_to_package(self, package_id: str, chunk: Chunk) -> None:
        """See the contract."""
        await self._packages.add(OPERATOR, package_id, chunk)

    async def install(
        self, package_id: str, terms: AppTerms, settings: dict[str, Any], enable: bool = True
    ) -> ProvidedApp:
        """See the contract."""
        data = await self._packages.whole(OPERATOR, package_id)

        def agree(manifest: Manifest, before: Mapping[str, Any] | None) -> Mapping[str, Any]:
            keeps_to(terms, manifest)
            if before is not None:
                belongs_to(terms.owner, before)
            return difference((before or {}).get("settings") or {}, read(manifest, settings))

        app = await self._keeper.install(
            OPERATOR,
            data,
            package_id,
            granted=terms.permissions,
            settings={},
            enable=enable,
            agree=agree,
            owner=terms.owner,
        )
        await self._tell("app.installed", app, version=app.version, permissions=app.permissions)
        return await self._provided(app.id)

    async def configure(self, owner: str, app_id: str, settings: dict[str, Any]) -> ProvidedApp:
        """See the contract."""
        document = await self._owned(owner, app_id)
        wanted = read(records.manifest_of(document), settings)
        changes = difference(document.get("settings") or {}, wanted)
        if changes:
            app = await self._keeper.update_settings(app_id, changes)
            await self._tell("app.configured", app, settings=sorted(changes))
        return await self._provided(app_id)

    async def switch(self, owner: str, app_id: str, on: bool) -> ProvidedApp:
        """See the contract."""
        await self._owned(owner, app_id)
        if on:
            await self._tell("app.enabled", await self._keeper.enable(app_id))
        else:
            await self._tell("app.disabled", await self._keeper.disable(app_id))
        return await self._provided(app_id)

    async def remove(self, owner: str, app_id: str) -> None:
        """See the contract."""
        await self._owned(owner, app_id)
        await self._keeper.remove(app_id)
        await self._auditor.tell("app.removed", actor=OPERATOR, target=app_id)

    async def _owned(self, owner: str, app_id: str) -> Document:
        document = await self._apps.one(app_id)
        if document is None:
            raise AppNotFound
        belongs_to(owner, document)
        return document

    async def _provided(self, app_id: str) -> ProvidedApp:
        found = await self.provided(app_id)
        if found is None:
            raise AppNotFound
        return found

    def _shown(self, document: Document) -> ProvidedApp:
        return ProvidedApp(
            app=self._keeper.completed(document),
            digest=document.get("digest") or "",
            owner=document.get("owner") or "",
        )

    async def _tell(self, action: str, app: App, **details: Any) -> None:
        await self._auditor.tell(action, actor=OPERATOR, target=app.id, **details)


def keeps_to(terms: AppTerms, manifest: Manifest) -> None:
    """Raises: InvalidPackage; HostsNotAllowed."""
    if manifest.id != terms.app_id:
        raise InvalidPackage(f"The package is of the app {manifest.id}, not {terms.app_id}")
    if terms.version is not None and manifest.version != terms.version:
        raise InvalidPackage(f"The package is of version {manifest.version}, not {terms.version}")
    lacking = sorted(set(manifest.hosts) - set(terms.hosts))
    if lacking:
        raise HostsNotAllowed(
            f"{manifest.name} also sends to: {', '.join(lacking)}", details={"hosts": lacking}
        )


def belongs_to(owner: str, stored: Mapping[str, Any]) -> None:
    """Raises: AppOfAnother."""
    theirs = stored.get("owner")
    if theirs != owner:
        raise AppOfAnother(f"It belongs to {theirs or 'the administrators'}")


def read(manifest: Manifest, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with numbers and flags for texts that stand for them where the manifest wants
    them: a Secret has nothing but texts."""
    return {name: _read(manifest.settings.get(name), value) for name, value in settings.items()}


def _read(setting: Setting | None, value: Any) -> Any:
    if setting is None or setting.type not in ("number", "boolean") or not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return value if setting.problem(found) else found


def difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What makes `stored` into `wanted`; None takes a value away. A value of null is none."""
    kept = {name: value for name, value in wanted.items() if value is not None}
    changed = {
        name: value
        for name, value in kept.items()
        if name not in stored or stored[name] != value or _is_flag(stored[name]) != _is_flag(value)
    }
    return changed | dict.fromkeys(set(stored) - set(kept))


def _is_flag(value: object) -> bool:
    """In Python, True is 1."""
    return isinstance(value, bool)
