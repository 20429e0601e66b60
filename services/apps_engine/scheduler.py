"""Wakes apps for what they planned.

Each job is claimed in the database before it is run, so that no two processes run it at once, and
a job is claimed again only when it is done. What was due while nobody was here to run it is run
once, when somebody is; a repeated job then goes on with its next moment. A job may be run twice:
when the engine dies between its end and the note of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from hubbub.clock import Clock
from hubbub.contracts.apps import AppDisabled, AppFailed
from hubbub.ddp import ejson
from hubbub.errors import BadRequest, Unavailable
from hubbub.ids import random_id
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.apps_engine.bridge import next_run
from services.apps_engine.running import RunningApp
from services.apps_engine.store.jobs import MongoJobStore

log = get_logger(__name__)

CLAIMED_FOR: Final = timedelta(seconds=90)
"""Longer than an app has for a job: whoever claimed it and is silent for so long is dead."""
_LONGEST_NAP: Final = 15.0  # seconds
_TRIES: Final = 5  # for an app that is not running when its job is due
_AT_ONCE: Final = 8  # jobs of all apps
_PAUSE: Final = 1.0  # seconds after the database did not answer


class Scheduler:
    """Runs the jobs of the apps that run. `run` is its task."""

    def __init__(
        self,
        store: MongoJobStore,
        apps: Callable[[], Mapping[str, RunningApp]],
        *,
        clock: Clock,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._apps = apps
        self._clock = clock
        self._now = now
        self._wake = asyncio.Event()
        self._busy: set[str] = set()  # apps that have a job at hand: one at a time
        self._places = asyncio.Semaphore(_AT_ONCE)

    def planned(self) -> None:
        """A job was planned, or an app came: look again."""
        self._wake.set()

    async def run(self) -> None:
        """Run what is due until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                heed_cancellation()
                self._wake.clear()
                try:
                    nap = await self._round(tasks)
                except Unavailable:
                    nap = _PAUSE
                try:
                    async with asyncio.timeout(nap):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _round(self, tasks: asyncio.TaskGroup) -> float:
        """Begin what is due now; seconds until there may be more."""
        ready = [
            app_id
            for app_id, app in self._apps().items()
            if app.declared is not None and app_id not in self._busy
        ]
        now = self._now()
        for app_id in ready:
            claim = random_id()
            job = await self._store.claim(app_id, now, now + CLAIMED_FOR, claim)
            if job is not None:
                self._busy.add(app_id)
                tasks.create_task(self._do(app_id, job, claim), name=f"job of {app_id}")
        due = await self._store.next_due([app for app in ready if app not in self._busy])
        if due is None:
            return _LONGEST_NAP
        return min(_LONGEST_NAP, max(0.01, (due - self._now()).total_seconds()))

    async def _do(self, app_id: str, job: Mapping[str, Any], claim: str) -> None:
        try:
            async with self._places:
                await self._run_one(app_id, job, claim)
        except Unavailable:
            log.warning("job_not_noted", app=app_id)  # it will be due again when the claim ends
        finally:
            self._busy.discard(app_id)
            self._wake.set()

    async def _run_one(self, app_id: str, job: Mapping[str, Any], claim: str) -> None:
        app = self._apps().get(app_id)
        asked = {
            "id": job["id"],
            "name": job["name"],
            "data": orjson.loads(job["data"]),
            "due": ejson.encode(job["due"]),
        }
        try:
            if app is not None:
                await app.ask("job", asked)
            gone = app is None
        except AppDisabled:
            gone = True
        except AppFailed:
            gone = False
            log.info("job_failed", app=app_id)  # it is the app's to say why
        tries = int(job.get("tries") or 0) + 1
        if gone and tries < _TRIES:
            later = self._now() + timedelta(seconds=2**tries)
            await self._store.postpone(app_id, job["id"], claim, later)
            return
        if gone:
            log.warning("job_given_up", app=app_id)
        await self._store.finish(app_id, job["id"], claim, self._next(job))

    def _next(self, job: Mapping[str, Any]) -> datetime | None:
        cron = job.get("cron")
        if cron is None:
            return None
        try:
            return next_run(str(cron), self._now())
        except BadRequest:  # it has come true for the last time
            return None
