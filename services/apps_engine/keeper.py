"""What administrators do with apps: install, enable, disable, set, remove.

What should be is in the database; what is, is in `lives`. Of one app one thing is done at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from hubbub.apps.manifest import Manifest, WrongSettings
from hubbub.contracts.account import Account
from hubbub.contracts.apps import (
    App,
    AppNotFound,
    AppStatus,
    InvalidAppSettings,
    InvalidPackage,
    PermissionsNotGranted,
)
from hubbub.contracts.documents import Document
from hubbub.errors import BadRequest, HubbubError
from hubbub.ids import UserId
from hubbub.telemetry.version import version
from services.apps_engine import packages
from services.apps_engine.bridge import Surroundings
from services.apps_engine.domain import records
from services.apps_engine.herald import Herald
from services.apps_engine.lives import Lives
from services.apps_engine.running import Declared
from services.apps_engine.settings import AppsSettings

_REQUIRED: Final = "a value is required"

Agree = Callable[[Manifest, Mapping[str, Any] | None], Mapping[str, Any]]
"""Says which settings to change when a package is installed over what is there, or raises."""


class Keeper:
    """What administrators do with apps."""

    def __init__(
        self,
        around: Surroundings,
        lives: Lives,
        herald: Herald,
        settings: AppsSettings,
        folder: Path,
    ) -> None:
        """
        Args:
            folder: where packages are unpacked.
        """
        self._around = around
        self._store = around.store
        self._account: Account = around.account
        self._lives = lives
        self._herald = herald
        self._settings = settings
        self._folder = folder
        self._locks: dict[str, asyncio.Lock] = {}

    async def start_all(self) -> None:
        """Start every app that was running when the engine ended. Returns before they run."""
        for document in await self._store.apps.all():
            if AppStatus(document["status"]).runs:
                async with self._lock(document["_id"]):
                    await self._lives.start(document)
        await self._lives.count()

    async def install(
        self,
        user_id: UserId,
        data: bytes,
        package_id: str,
        *,
        granted: list[str],
        settings: Mapping[str, Any],
        enable: bool,
        agree: Agree | None = None,
        owner: str = "",
    ) -> App:
        """See the contract.

        Args:
            agree: called with the manifest and what is stored of the app so far; returns the
                settings to change, instead of `settings`, or raises.
            owner: whose it is from now on; empty: whose it was.
        """
        try:
            package = await asyncio.to_thread(packages.read, data)
        except packages.WrongPackage as error:
            raise InvalidPackage(str(error)) from None
        manifest = package.manifest
        if not manifest.runs_on(version()):
            raise InvalidPackage(f"{manifest.name} needs Hubbub {manifest.hubbub} or later")
        lacking = sorted(set(manifest.permissions) - set(granted))
        if lacking:
            raise PermissionsNotGranted(
                f"{manifest.name} also asks for: {', '.join(lacking)}",
                details={"permissions": lacking},
            )
        async with self._lock(manifest.id):
            before = await self._store.apps.one(manifest.id)
            if agree is not None:
                settings = agree(manifest, before)
            if before is None and len(await self._store.apps.all()) >= self._settings.installed:
                raise BadRequest("there are too many apps", code="error-too-many-apps")
            values = records.settings_after(before, manifest, settings)
            _check(manifest, values)
            bot = await self._account.ensure_app_user(manifest.id, manifest.name)
            now = self._around.now()
            document = records.document(
                manifest,
                package=package_id,
                digest=package.digest,
                settings=values,
                bot={"_id": bot.user_id, "username": bot.username},
                before=before,
                installer=user_id,
                owner=owner,
                number=await self._number(before),
                now=now,
            )
            # Who was disabled stays so with another version.
            wanted = enable and (before is None or before["status"] != AppStatus.DISABLED)
            document["status"] = AppStatus.INITIALIZED.value if wanted else AppStatus.DISABLED.value
            await self._lives.stop(manifest.id)
            await self._store.packages.keep(package_id)
            await self._store.apps.save(document)
            if before is not None and before["package"] != package_id:
                await self._store.packages.remove(before["package"])
            await self._herald.installed(manifest.id, anew=before is None)
            await self._herald.stands(manifest.id, AppStatus(document["status"]))
            if wanted:
                await self._lives.start(document)
            await self._lives.changed()
        return await self._settled(manifest.id)

    async def enable(self, app_id: str) -> App:
        """See the contract."""
        async with self._lock(app_id):
            await self._document(app_id)
            if self._lives.one(app_id) is None:
                await self._lives.note(app_id, AppStatus.INITIALIZED)
                await self._lives.start(await self._document(app_id))
            await self._lives.changed()
        return await self._settled(app_id)

    async def disable(self, app_id: str) -> App:
        """See the contract."""
        async with self._lock(app_id):
            await self._document(app_id)
            await self._lives.stop(app_id)
            await self._lives.note(app_id, AppStatus.DISABLED)
            await self._lives.changed()
        return await self.view(app_id)

    async def update_settings(self, app_id: str, settings: Mapping[str, Any]) -> App:
        """See the contract."""
        async with self._lock(app_id):
            document = await self._document(app_id)
            manifest = records.manifest_of(document)
            values = records.settings_after(document, manifest, settings)
            complete = _check(manifest, values)
            changed = {"settings": values, "_updatedAt": self._around.now()}
            await self._store.apps.change(app_id, changed)
            await self._herald.configured(app_id, sorted(settings))
            life = self._lives.one(app_id)
            if life is not None and complete:
                life.settings = manifest.effective(values)
                try:
                    await life.app.ask("settings", {"settings": life.settings})
                except HubbubError as error:
                    # It is stored, and what a start tells.
                    self._around.logbook.write(app_id, "warning", f"settings: {error.reason}")
            elif life is not None:
                await self._lives.stop(app_id)
                await self._lives.note(
                    app_id, AppStatus.INVALID_SETTINGS, _missing(manifest, values)
                )
            elif complete and document["status"] == AppStatus.INVALID_SETTINGS:
                await self._lives.note(app_id, AppStatus.INITIALIZED)
                await self._lives.start(await self._document(app_id))
            await self._lives.changed()
        return await self._settled(app_id)

    async def remove(self, app_id: str) -> None:
        """See the contract."""
        async with self._lock(app_id):
            document = await self._document(app_id)
            await self._lives.stop(app_id)
            await self._lives.note(app_id, AppStatus.DISABLED)
            await self._store.jobs.remove_app(app_id)
            await self._store.data.remove_app(app_id)
            await self._account.retire_app_user(app_id)
            await self._store.packages.remove(document["package"])
            await self._store.logs.remove_app(app_id)
            await self._store.apps.remove(app_id)
            await asyncio.to_thread(packages.remove, self._folder / app_id)
            await self._lives.changed()
            await self._herald.removed(app_id)

    async def view(self, app_id: str) -> App:
        """An app as administrators see it. Raises: AppNotFound."""
        return self.completed(await self._document(app_id))

    def completed(self, document: Document) -> App:
        """What is stored of an app, and what is known of its process."""
        app, life = records.shown(document), self._lives.one(document["_id"])
        if life is None:
            return app
        declared = life.app.declared or Declared()
        return app.model_copy(
            update={
                "commands": life.app.commands,
                "events": sorted(declared.events),
                "hooks": list(declared.hooks),
                "endpoints": list(declared.endpoints),
                "confinement": list(life.app.confinement),
                "restarts": life.app.restarts,
            }
        )

    async def _settled(self, app_id: str) -> App:
        await self._lives.settled(app_id)
        return await self.view(app_id)

    async def _document(self, app_id: str) -> Document:
        document = await self._store.apps.one(app_id)
        if document is None:
            raise AppNotFound
        return document

    async def _number(self, before: Mapping[str, Any] | None) -> int:
        """A number that no other app has."""
        if before is not None:
            return int(before["number"])
        taken = {int(app["number"]) for app in await self._store.apps.all()}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def _lock(self, app_id: str) -> asyncio.Lock:
        return self._locks.setdefault(app_id, asyncio.Lock())


def _check(manifest: Manifest, values: Mapping[str, Any]) -> bool:
    """Whether nothing is missing. Raises: InvalidAppSettings: something does not fit."""
    try:
        manifest.effective(values)
    except WrongSettings as error:
        wrong = {name: why for name, why in error.problems.items() if why != _REQUIRED}
        if wrong:
            said = "; ".join(f"{name}: {why}" for name, why in wrong.items())
            raise InvalidAppSettings(said, details={"settings": wrong}) from None
        return False
    return True


def _missing(manifest: Manifest, values: Mapping[str, Any]) -> str:
    try:
        manifest.effective(values)
    except WrongSettings as error:
        return f"These settings need a value: {', '.join(sorted(error.problems))}"
    return ""
