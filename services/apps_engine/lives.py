"""The apps that are meant to run, each kept running by a supervisor of its own.

A process of an app is started and started again by its supervisor; what comes of it is written
down where administrators look.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hubbub.apps.manifest import WrongSettings
from hubbub.audit import Auditor
from hubbub.contracts.apps import AppStatus, InvalidPackage, Offers
from hubbub.contracts.documents import Document
from hubbub.errors import HubbubError
from hubbub.ids import UserId
from hubbub.telemetry.log import get_logger
from services.apps_engine import packages
from services.apps_engine.bridge import Bridge, Surroundings, Who
from services.apps_engine.confinement.plan import MEBIBYTE, Plan
from services.apps_engine.confinement.report import Confinement
from services.apps_engine.domain import records
from services.apps_engine.domain.boundaries import Boundary, active
from services.apps_engine.farewell import Farewell
from services.apps_engine.herald import Herald
from services.apps_engine.metrics import AppsMetrics
from services.apps_engine.processes import Ending
from services.apps_engine.running import Declared, Kept, RunningApp
from services.apps_engine.settings import AppsSettings
from services.apps_engine.supervisor import Listener

log = get_logger(__name__)

STARTED_WITHIN: Final = 20.0
"""Seconds that whoever enables an app waits to see it run."""
_FAREWELL: Final = 3.0
"""Seconds that an engine which ends gives to telling people of apps that were disabled."""
_DECLARED: Final = "declared:"  # begins the ids of jobs that an app always has

_WEIGHTY: Final = (Boundary.NETWORK, Boundary.FILES, Boundary.PROCESSES, Boundary.PRIVILEGES)
"""What whoever runs Hubbub has to know if it does not hold."""

Supervise = Callable[[Plan, Callable[[], dict[str, Any]], Bridge, Listener], Kept]
"""Makes what keeps an app running."""


@dataclass(slots=True)
class Life:
    """One app that is meant to run."""

    app: RunningApp
    settings: dict[str, Any]
    """Effective ones."""
    scratch: Path
    installer: UserId
    task: asyncio.Task[None] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set as soon as it is known whether it runs."""


class Lives:
    """All apps of one engine that are meant to run. `close` it."""

    def __init__(
        self,
        around: Surroundings,
        supervise: Supervise,
        *,
        announce: Callable[[], Awaitable[None]],
        ended: Callable[[str], None],
        herald: Herald,
        auditor: Auditor,
        metrics: AppsMetrics,
        settings: AppsSettings,
        folder: Path,
    ) -> None:
        """
        Args:
            announce: called when what the apps offer is another thing than before.
            ended: called with the id of an app that does not run any more.
            folder: where packages are unpacked.
        """
        self._around = around
        self._store = around.store
        self._supervise = supervise
        self._announce = announce
        self._ended = ended
        self._herald = herald
        self._auditor = auditor
        self._metrics = metrics
        self._settings = settings
        self._folder = folder
        self._lives: dict[str, Life] = {}
        self._installed: frozenset[str] = frozenset()
        self._farewell = Farewell(around.account, around.authorization, around.messaging)
        self._leaving: set[asyncio.Task[None]] = set()  # of apps that were given up just now

    def running(self) -> Mapping[str, RunningApp]:
        """The apps that are meant to run, by id."""
        return {app_id: life.app for app_id, life in self._lives.items()}

    @property
    def installed(self) -> frozenset[str]:
        """Ids of the apps that are there, running or not, as of the last change."""
        return self._installed

    def one(self, app_id: str) -> Life | None:
        """An app that is meant to run."""
        return self._lives.get(app_id)

    def unconfined(self) -> str | None:
        """What this machine does not keep running apps from, in words; None: nothing of weight."""
        lacking = {
            boundary.value
            for life in self._lives.values()
            if life.app.declared is not None
            for boundary in _WEIGHTY
            if boundary.value not in life.app.confinement
        }
        return f"apps are not confined in: {', '.join(sorted(lacking))}" if lacking else None

    def offers(self) -> Offers:
        """What they offer now. Of two that have a command, the first by id has it."""
        commands: dict[str, Any] = {}
        hooks: set[str] = set()
        bots, judges, everywhere = [], [], False
        for _, life in sorted(self._lives.items()):
            bots.append(life.app.who.bot_id)
            for command in life.app.commands:
                commands.setdefault(command.command, command)
            if life.app.declared is not None:
                hooks.update(life.app.declared.hooks)
                if life.app.declared.hooks and not life.app.who.reads_all:
                    judges.append(life.app.who.bot_id)
                elif life.app.declared.hooks:
                    everywhere = True
        return Offers(
            hooks=sorted(hooks),
            commands=[*commands.values()],
            bots=bots,
            judges=judges,
            judged_everywhere=everywhere,
        )

    async def close(self) -> None:
        """End every app; in the database they stay as they are."""
        await asyncio.gather(*(self._end(app_id) for app_id in list(self._lives)))
        leaving = [*self._leaving]
        if leaving:
            await asyncio.wait(leaving, timeout=_FAREWELL)
            for task in leaving:
                task.cancel()
            await asyncio.wait(leaving)

    async def start(self, document: Document) -> None:
        """Let an app run. Returns before it does."""
        app_id = document["_id"]
        try:
            manifest = records.manifest_of(document)
            settings = manifest.effective(document["settings"])
            folder, scratch = await self._unpack(document)
        except WrongSettings as error:
            missing = f"These settings need a value: {', '.join(sorted(error.problems))}"
            await self.note(app_id, AppStatus.INVALID_SETTINGS, missing)
            return
        except (InvalidPackage, OSError) as error:
            log.warning("app_not_unpacked", app=app_id, err_type=type(error).__name__)
            await self.note(app_id, AppStatus.ERROR, f"It cannot be unpacked: {error}")
            return
        user = self._settings.first_user + int(document["number"]) if _is_root() else None
        if user is not None:
            await asyncio.to_thread(os.chown, scratch, user, user)
        who = Who(
            app_id,
            UserId(document["bot"]["_id"]),
            document["bot"]["username"],
            frozenset(manifest.permissions),
            frozenset(manifest.hosts),
        )
        bridge = Bridge(who, self._around)
        plan = Plan(
            app=app_id,
            folder=str(folder),
            scratch=str(scratch),
            package=manifest.package_name,
            user=user,
            memory=manifest.limits.memory_megabytes * MEBIBYTE,
        )
        listener = _AppListener(self, app_id)
        kept = self._supervise(plan, lambda: manifest.start(life.settings), bridge, listener)
        life = Life(
            RunningApp(who, manifest, bridge, kept, self._metrics),
            settings,
            scratch,
            UserId(document["installedBy"]),
        )
        self._lives[app_id] = life
        # Apart from whoever installs or enables it: it lives longer than their request.
        life.task = asyncio.create_task(
            self._keep(life), name=f"keep {app_id}", context=contextvars.Context()
        )

    async def _keep(self, life: Life) -> None:
        """Own the supervisor of an app; a defect of ours is shown where the app is shown."""
        app_id = life.app.who.app_id
        try:
            await life.app.kept.run()
        except Exception:
            log.exception("app_not_kept", app=app_id)
            await self.gave_up(app_id, "the engine failed to keep it running")

    async def stop(self, app_id: str) -> None:
        """End an app; its folder is gone then."""
        life = self._lives.pop(app_id, None)
        if life is None:
            return
        self._ended(app_id)
        await self._finish(life)
        await asyncio.to_thread(packages.remove, self._folder / app_id)

    async def _end(self, app_id: str) -> None:
        life = self._lives.pop(app_id, None)
        if life is not None:
            self._ended(app_id)
            await self._finish(life)

    async def _finish(self, life: Life) -> None:
        await life.app.kept.stop()
        if life.task is not None and life.task is not asyncio.current_task():
            await asyncio.wait((life.task,))

    async def _unpack(self, document: Document) -> tuple[Path, Path]:
        data = await self._store.packages.read(document["package"])
        if data is None:
            raise InvalidPackage("its package is not there")
        root = self._folder / document["_id"]
        folder, scratch = root / "package", root / "scratch"

        def write() -> None:
            packages.remove(root)
            try:
                packages.write(packages.read(data), folder)
            except packages.WrongPackage as error:
                raise InvalidPackage(str(error)) from None
            scratch.mkdir(mode=0o700)

        await asyncio.to_thread(write)
        return folder, scratch

    # -- what supervisors tell

    async def started(self, app_id: str, said: Mapping[str, Any], confinement: Confinement) -> None:
        """An app runs. Raises: ValueError: it says that it has what its manifest does not."""
        life = self._lives.get(app_id)
        if life is None:
            return
        declared = Declared.judged(said, life.app.manifest)
        life.app.confinement = tuple(sorted(boundary.value for boundary in active(confinement)))
        life.app.declared = declared
        try:
            await self._plan_jobs(app_id, declared.jobs)
            await self.note(app_id, AppStatus.ENABLED)
        except HubbubError as error:
            log.warning("app_start_not_noted", app=app_id, code=str(error.code))
        life.settled.set()
        self._around.planned()
        await self.changed()

    async def failed(self, app_id: str, why: str, pause: float) -> None:
        """The process of an app ended, and is started again."""
        life = self._lives.get(app_id)
        if life is None:
            return
        life.app.restarts += 1
        self._metrics.restarted(app_id)
        await asyncio.to_thread(_empty, life.scratch)
        reason = f"It {why}; it is started again in {pause:g} s"
        self._around.logbook.write(app_id, "error", reason)
        try:
            await self.note(app_id, AppStatus.INITIALIZED, reason)
        except HubbubError as error:
            log.warning("app_end_not_noted", app=app_id, code=str(error.code))
        life.settled.set()

    async def gave_up(self, app_id: str, reason: str) -> None:
        """An app is not started again."""
        life = self._lives.pop(app_id, None)
        if life is None:
            return
        self._ended(app_id)
        self._around.logbook.write(app_id, "error", f"It was disabled: {reason}")
        try:
            await self.note(app_id, AppStatus.ERROR, reason)
        except HubbubError as error:
            log.warning("app_end_not_noted", app=app_id, code=str(error.code))
        life.settled.set()
        await self.changed()
        await self._auditor.tell("app.given-up", actor=None, target=app_id)
        if life.task is not None:
            self._leaving.add(life.task)
            life.task.add_done_callback(self._leaving.discard)
        await self._farewell.tell(life.app.who, life.installer, reason)

    async def _plan_jobs(self, app_id: str, declared: Mapping[str, str]) -> None:
        present = {job["id"]: job for job in await self._store.jobs.of_app(app_id)}
        for job_id in present:
            if job_id.startswith(_DECLARED) and job_id.removeprefix(_DECLARED) not in declared:
                await self._store.jobs.remove(app_id, job_id)
        for name, cron in declared.items():
            job_id = _DECLARED + name
            if present.get(job_id, {}).get("cron") == cron:
                continue  # when it is due next stands there already, if it was missed, too
            job = records.job(name, cron, self._around.now())
            await self._store.jobs.save(app_id, job_id, job, limit=self._settings.jobs + 100)

    # -- noting

    async def settled(self, app_id: str) -> None:
        """Wait until it is known whether an app runs; not for ever."""
        life = self._lives.get(app_id)
        if life is not None:
            try:
                async with asyncio.timeout(STARTED_WITHIN):
                    await life.settled.wait()
            except TimeoutError:
                pass  # it is still being started, and shown so

    async def note(self, app_id: str, status: AppStatus, reason: str = "") -> None:
        """Write down how an app stands, where administrators look. Raises: Unavailable."""
        fields = {"status": status.value, "reason": reason, "_updatedAt": self._around.now()}
        await self._store.apps.change(app_id, fields)
        await self._herald.stands(app_id, status)

    async def changed(self) -> None:
        """Apps came, went or offer something else."""
        await self.count()
        await self._announce()

    async def count(self) -> None:
        """See which apps there are, and in which state."""
        try:
            documents = await self._store.apps.all()
        except HubbubError:
            return
        self._installed = frozenset(one["_id"] for one in documents)
        self._metrics.counted(Counter(AppStatus(one["status"]) for one in documents))


class _AppListener:
    """Hands what a supervisor tells to the lives."""

    def __init__(self, lives: Lives, app_id: str) -> None:
        self._lives = lives
        self._app_id = app_id

    async def started(self, declared: dict[str, Any], confinement: Confinement) -> None:
        """See `Listener`."""
        await self._lives.started(self._app_id, declared, confinement)

    async def failed(self, ending: Ending, pause: float) -> None:
        """See `Listener`."""
        await self._lives.failed(self._app_id, ending.detail, pause)

    async def disabled(self, reason: str) -> None:
        """See `Listener`."""
        await self._lives.gave_up(self._app_id, reason)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
