"""One pass over one declared app: read, compare, do what is lacking, write down.

Nothing is kept between two passes but what the object and the engine hold, and each step may be
done twice: an operator that ends in the middle leaves nothing half done that the next pass does
not finish.

Whose an app is stands with the app in the engine. One that an administrator installed is not
taken over: its settings and what it keeps are theirs, and would go with the object. The status
says so until they have removed it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hubbub.contracts.provisioning import AppOfAnother, AppTerms
from hubbub.errors import HubbubError, Timeout, Unavailable
from hubbub.telemetry.log import get_logger
from services.operator.declared import (
    AppStatus,
    Contents,
    HubbubApp,
    NoPackage,
    Package,
    package_of,
    settings_of,
)
from services.operator.domain import apps as rules
from services.operator.domain.apps import Found, Problem, Wanted
from services.operator.domain.conditions import renewed
from services.operator.engine import AppsEngine
from services.operator.kubernetes import FORBIDDEN, ApiError, Cluster
from services.operator.pools import NotYet
from services.operator.resources import ConditionPart

log = get_logger(__name__)

_STEPS: Final = 4  # in one pass: install, enable, disable, and one that should not be needed
_ABSENT = "the apps engine does not answer"


@dataclass(slots=True)
class _Pass:
    """What one pass knows, and what it found to say."""

    app: HubbubApp
    package: Package | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    revisions: list[str] = field(default_factory=list)
    found: Found | None = None
    problem: Problem | None = None
    refused: bool = False
    """The engine refused exactly this."""
    tried: bool = False
    """The app was enabled in this pass."""
    unset: bool = False
    """The settings are not known: those that the app has stay."""

    @property
    def wanted(self) -> Wanted:
        spec = self.app.spec
        return Wanted(
            owner=self.app.owner,
            app_id=spec.app_id,
            version=spec.version,
            enabled=spec.enabled,
            permissions=frozenset(spec.permissions),
            hosts=frozenset(spec.egress),
            digest=self.package.digest if self.package is not None else None,
            fresh=self.fresh and not self.tried,
        )

    @property
    def fresh(self) -> bool:
        """The object changed since the last pass that came to an end."""
        return self.app.status.observed_generation != self.app.metadata.generation

    @property
    def attempt(self) -> str:
        """The versions of all that an installation depends on, beside the object."""
        return " ".join(self.revisions)

    @property
    def refused_before(self) -> bool:
        return not self.fresh and self.app.status.refused == self.attempt


class AppKeeper:
    """Looks after declared apps, one pass at a time."""

    def __init__(
        self,
        cluster: Cluster,
        engine: AppsEngine,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._engine = engine
        self._now = now

    async def look_after(self, name: str) -> bool:
        """One pass over the object; False when nothing of it is ours any more.

        Raises:
            NotYet: something that it needs is not there. The status says what.
            ApiError: the API server refused something.
        """
        app = await self._cluster.app(name)
        if app is None:
            return False
        if app.metadata.deletion_timestamp is not None:
            return await self._let_go(app)
        held = await self._cluster.hold(app)
        if held is None:
            raise NotYet("somebody else changed it meanwhile")
        now = _Pass(held)
        await self._read(now)
        try:
            now.found = await self._engine.find(held.spec.app_id)
            now.problem = rules.standing(now.wanted, now.found) or now.problem
            await self._act(now)
        except (Unavailable, Timeout) as error:
            log.info("engine_absent", app=name, code=str(error.code))
            now.problem = Problem("EngineAbsent", _ABSENT)
        except HubbubError as error:
            now.problem = _failure(error)
            now.refused = rules.refusal(error.code, error.reason) is not None
        await self._report(now)
        if now.problem is not None and now.problem.waits:
            raise NotYet(now.problem.message)
        return True

    # -- reading ------------------------------------------------------------------------------

    async def _read(self, now: _Pass) -> None:
        """The package and the settings. What is lacking is the pass's problem."""
        spec = now.app.spec
        try:
            now.package = await self._package(now.app)
            now.revisions.append(now.package.revision)
        except NoPackage as error:
            now.problem = Problem("SourceNotFound", str(error))
        now.settings = spec.settings
        if spec.settings_secret_ref is None:
            return
        name = spec.settings_secret_ref.name
        try:
            secret = await self._contents("Secret", name)
            now.settings = spec.settings | settings_of(secret)
            now.revisions.append(secret.revision)
        except NoPackage as error:
            now.unset = True
            now.problem = Problem("SettingsNotFound", str(error))

    async def _package(self, app: HubbubApp) -> Package:
        source = app.spec.source
        if source.config_map is not None:
            holder = source.config_map
            return package_of(await self._contents("ConfigMap", holder.name), holder.key)
        if source.secret is not None:
            holder = source.secret
            return package_of(await self._contents("Secret", holder.name), holder.key)
        raise NoPackage("its source is of a kind that this operator does not know")

    async def _contents(self, kind: Literal["ConfigMap", "Secret"], name: str) -> Contents:
        """Raises: NoPackage: it is not there, or the operator may not read it."""
        try:
            found = await self._cluster.contents(kind, name)
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            text = f"the operator may not read {kind} {name}: the chart's operator.apps names it"
            raise NoPackage(text) from None
        if found is None:
            raise NoPackage(f"there is no {kind} {name}")
        return found

    # -- acting -------------------------------------------------------------------------------

    async def _act(self, now: _Pass) -> None:
        """Bring the engine's app closer to what is wanted, step by step."""
        if now.refused_before:
            now.refused = True
            now.problem = now.problem or _as_before(now.app.status)
        for _ in range(_STEPS):
            step = rules.next_step(now.wanted, now.found, refused=now.refused or now.unset)
            if step is None:
                break
            try:
                await self._do(step, now)
            except HubbubError as error:
                refusal = rules.refusal(error.code, error.reason)
                if refusal is None:
                    raise
                now.refused, now.problem = True, refusal
                continue
            now.problem = rules.standing(now.wanted, now.found) or _still(now)
        await self._configure(now)

    async def _configure(self, now: _Pass) -> None:
        """Give the app its settings, where it is ours and they are known and were not refused."""
        ours = now.found is not None and now.found.owner == now.app.owner
        if ours and not now.refused and not now.unset:
            now.found = await self._engine.configure(
                now.app.owner, now.app.spec.app_id, now.settings
            )

    async def _do(self, step: rules.Step, now: _Pass) -> None:
        app, spec = now.app, now.app.spec
        if step == "enable":
            now.tried = True
            await self._configure(now)  # it should not run with others first
            now.found = await self._engine.switch(app.owner, spec.app_id, on=True)
        elif step == "disable":
            now.found = await self._engine.switch(app.owner, spec.app_id, on=False)
        elif now.package is not None:
            now.app = await self._cluster.patch_app_status(app, {"phase": "Installing"})
            before = now.found
            now.found = await self._engine.install(
                now.package.data,
                AppTerms(
                    owner=app.owner,
                    app_id=spec.app_id,
                    version=spec.version,
                    permissions=spec.permissions,
                    hosts=spec.egress,
                ),
                now.settings,
                enable=spec.enabled,
            )
            text = f"version {now.found.version}"
            if before is not None:
                await self._cluster.tell(app, "Upgraded", f"{text}, after {before.version}")
            else:
                await self._cluster.tell(app, "Installed", text)

    async def _let_go(self, app: HubbubApp) -> bool:
        """Remove what was installed, then let the object go. One of somebody else's stays."""
        if not self._cluster.holds(app):
            return False
        try:
            await self._engine.remove(app.owner, app.spec.app_id)
        except AppOfAnother:
            log.info("app_of_another_stays", app=app.metadata.name)
        except (Unavailable, Timeout) as error:
            now = _Pass(app, problem=Problem("EngineAbsent", f"{_ABSENT}; it waits to be removed"))
            await self._report(now)
            raise NotYet(str(error)) from None
        except HubbubError as error:
            await self._report(_Pass(app, problem=_failure(error)))
            raise NotYet(error.message) from None
        await self._cluster.release(app)
        return False

    # -- reporting ----------------------------------------------------------------------------

    async def _report(self, now: _Pass) -> None:
        """Write the status where it differs. What an absent engine has is not known, and stays."""
        app, wanted, problem = now.app, now.wanted, now.problem
        unknown = problem is not None and problem.kind == "EngineAbsent"
        ours = now.found is not None and now.found.owner == app.owner
        generation = app.metadata.generation
        moment = self._now().replace(microsecond=0)
        parts = renewed(
            rules.findings(wanted, now.found, problem),
            app.status.plain(),
            now=moment,
            generation=generation,
        )
        before, phase = app.status, rules.phase(wanted, now.found, problem)
        status = AppStatus(
            observed_generation=before.observed_generation if unknown else generation,
            phase=(before.phase or "Pending") if unknown else phase,
            installed_version=before.installed_version
            if unknown
            else (now.found.version if now.found is not None and ours else None),
            last_error=rules.last_error(wanted, now.found, problem),
            refused=(before.refused if unknown else now.attempt if now.refused else None),
            conditions=[ConditionPart.of(one) for one in parts],
        )
        patch = _changes(before.written(), status.written())
        if patch:
            await self._cluster.patch_app_status(app, patch)
        if status.phase == "Failed" and (before.phase, before.last_error) != (
            "Failed",
            status.last_error,
        ):
            await self._cluster.tell(
                app, "Failed", status.last_error or "it does not run", severity="Warning"
            )


def _failure(error: HubbubError) -> Problem:
    if isinstance(error, AppOfAnother):
        return Problem("BelongsToAnother", error.reason)
    return rules.refusal(error.code, error.reason) or Problem("EngineFailed", error.message)


def _still(now: _Pass) -> Problem | None:
    """What a step that went well did not mend: something is not there, or was refused."""
    waits = now.problem is not None and now.problem.waits
    return now.problem if waits or now.refused else None


def _as_before(status: AppStatus) -> Problem:
    """What the engine said when it refused this."""
    text = status.last_error or "it was refused"
    reasons = {one.reason for one in status.conditions}
    kinds: tuple[rules.Kind, ...] = ("PermissionsNotGranted", "SettingsRefused")
    return Problem(next((one for one in kinds if one in reasons), "PackageRefused"), text)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: after.get(name)
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
