"""Apps that run: what they said they have, and how they are asked."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from hubbub.apps.cron import WrongCron, next_of
from hubbub.apps.manifest import Manifest
from hubbub.contracts.apps import AppCommand, AppDisabled, AppFailed
from hubbub.errors import HubbubError, Timeout, Unavailable
from services.apps_engine.bridge import Bridge, Who
from services.apps_engine.domain.frames import NEEDS
from services.apps_engine.domain.watch import Trust
from services.apps_engine.metrics import AppsMetrics, Asked, Outcome

HOOKS: Final = ("message_sending",)
_JOB = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST: Final = 100  # of anything that an app declares


class Kept(Protocol):
    """An app that is kept running by somebody."""

    async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
        """Ask the app.

        Raises: Unavailable: it is not running now; Timeout; HubbubError: it answered with an
        error, or cannot be asked this.
        """
        ...

    async def run(self) -> None:
        """Keep it running until it is stopped or given up."""
        ...

    async def stop(self) -> None:
        """End it; `run` returns."""
        ...


@dataclass(frozen=True, slots=True)
class Declared:
    """What an app answered to `start`, checked against its manifest."""

    commands: tuple[str, ...] = ()
    events: frozenset[str] = frozenset()
    hooks: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    jobs: Mapping[str, str] = field(default_factory=dict)
    """Name → cron expression of those that it always has."""

    @classmethod
    def judged(cls, said: Mapping[str, Any], manifest: Manifest) -> Declared:
        """Raises: ValueError: something that its manifest does not say, or nonsense."""
        held = frozenset(manifest.permissions)
        commands = _names(said, "commands", manifest.commands)
        endpoints = _names(said, "endpoints", manifest.endpoints)
        events = _names(said, "events", NEEDS)
        hooks = _names(said, "hooks", HOOKS)
        for event in events:
            _need(held, NEEDS[event], f"the event {event}")
        if hooks:
            _need(held, "message.hook", "a hook")
        jobs = _jobs(said.get("jobs") or [])
        if jobs:
            _need(held, "schedule", "a job")
        return cls(commands, frozenset(events), hooks, endpoints, jobs)


def _names(said: Mapping[str, Any], kind: str, known: Any) -> tuple[str, ...]:
    names = said.get(kind) or []
    if not isinstance(names, list) or len(names) > _MOST:
        raise ValueError(f"{kind} is not a list")
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"{kind}: there is no {str(name)[:80]!r}")
    return tuple(dict.fromkeys(names))


def _need(held: frozenset[str], permission: str, what: str) -> None:
    if permission not in held:
        raise ValueError(f"{what} needs the permission {permission!r}")


def _jobs(said: Any) -> dict[str, str]:
    if not isinstance(said, list) or len(said) > _MOST:
        raise ValueError("jobs is not a list")
    jobs: dict[str, str] = {}
    for job in said:
        name, cron = (job.get("name"), job.get("cron")) if isinstance(job, dict) else (None, None)
        if not isinstance(name, str) or not _JOB.fullmatch(name):
            raise ValueError("jobs: a name that is none")
        if cron is None:
            continue  # it is planned when the app wants it
        try:
            next_of(str(cron), datetime.now(UTC))
        except WrongCron as error:
            raise ValueError(f"jobs: {name}: {error}") from None
        jobs[name] = str(cron)
    return jobs


@dataclass(slots=True)
class RunningApp:
    """An app that is meant to run."""

    who: Who
    manifest: Manifest
    bridge: Bridge
    kept: Kept
    metrics: AppsMetrics
    declared: Declared | None = None
    """None: it has not started yet."""
    confinement: tuple[str, ...] = ()
    restarts: int = 0
    trust: Trust = field(default_factory=Trust)
    """Whether messages wait for what it thinks of them."""

    @property
    def commands(self) -> list[AppCommand]:
        """What it offers to people now."""
        if self.declared is None:
            return []
        return [
            AppCommand(
                command=name,
                description=self.manifest.commands[name].description,
                parameters=self.manifest.commands[name].params,
                permission=self.manifest.commands[name].permission,
                app_id=self.who.app_id,
            )
            for name in self.declared.commands
        ]

    async def ask(self, what: Asked, args: dict[str, Any], *, within: float | None = None) -> Any:
        """Ask the app for something; its answer, unjudged.

        Raises:
            AppDisabled: it is not running now.
            AppFailed: it could not do it, in its own words; or not in time, because of a Timeout.
        """
        begun = time.perf_counter()
        outcome: Outcome = "error"
        try:
            answer = await self.kept.call(what, args, within)
            outcome = "ok"
        except Unavailable:
            outcome = "gone"
            raise AppDisabled(f"{self.manifest.name} is not running") from None
        except Timeout as late:
            outcome = "timeout"
            raise AppFailed(f"{self.manifest.name} did not answer in time") from late
        except HubbubError as error:
            raise AppFailed(error.reason or f"{self.manifest.name} could not do it") from None
        finally:
            self.metrics.asked(self.who.app_id, what, outcome, time.perf_counter() - begun)
        return answer
