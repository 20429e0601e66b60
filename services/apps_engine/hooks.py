"""Asks apps before a message is stored.

An app is asked about the rooms that its user is in; with `room.read-all`, about every room.
One after the other, each about what the one before made of it. An app that does not answer in
time, answers nonsense or is not there is passed by and counted: no app can stop the others, or
everybody's messages. One that goes on like that is not asked for a while, so that not every
message waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hubbub.clock import Clock
from hubbub.contracts.apps import HOOK_WITHIN, AppDisabled, AppFailed, Verdict
from hubbub.contracts.documents import Document, Text
from hubbub.ddp import ejson
from hubbub.errors import HubbubError, Timeout
from hubbub.telemetry.log import get_logger
from services.apps_engine.bot_rooms import BotRooms
from services.apps_engine.logbook import Level
from services.apps_engine.running import RunningApp

log = get_logger(__name__)

SENDING: Final = "message_sending"
_ONE: Final = 0.5  # seconds for one app
_SLACK: Final = 0.05  # seconds that the way back takes
_LEAST: Final = 0.02  # seconds without which there is no point in asking


class _Changed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    text: Text | None = Field(default=None, max_length=100_000)
    attachments: list[dict[str, Any]] | None = Field(default=None, max_length=100)


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    verdict: Literal["allow", "change", "refuse"]
    message: _Changed = _Changed()
    reason: Text | None = Field(default=None, max_length=500)


class Hooks:
    """The hooks of all apps."""

    def __init__(
        self,
        apps: Callable[[], Mapping[str, RunningApp]],
        rooms: BotRooms,
        clock: Clock,
        write: Callable[[str, Level, str], None],
    ) -> None:
        """
        Args:
            write: notes a line where administrators look for what became of an app.
        """
        self._apps = apps
        self._rooms = rooms
        self._clock = clock
        self._write = write

    async def before_message(self, message: Document) -> Verdict:
        """What the apps think of a message."""
        until = self._clock.monotonic() + HOOK_WITHIN - _SLACK
        about = dict(ejson.encode(message))
        verdict, room_id = Verdict(), str(message.get("rid") or "")
        for app_id, app in sorted(self._apps().items()):
            if app.declared is None or SENDING not in app.declared.hooks:
                continue
            covered = await self._covers(app, room_id, until - self._clock.monotonic())
            if covered is False:
                continue
            within = min(_ONE, until - self._clock.monotonic())
            if covered is None or within < _LEAST or not app.trust.asks(self._clock.monotonic()):
                app.metrics.asked(app_id, "hook", "dropped", 0.0)
                continue
            try:
                answer = await self._ask(app, about, within)
            except (AppDisabled, AppFailed):
                continue
            try:
                said = _Said.model_validate(answer)
            except ValidationError:
                app.metrics.asked(app_id, "hook", "error", 0.0)
                self._missed(app)
                continue
            app.trust.answered()
            if said.verdict == "refuse":
                reason = said.reason or "Not allowed"
                return Verdict(kind="refuse", reason=reason, app_id=app_id)
            if said.verdict == "change":
                text, attachments = said.message.text, said.message.attachments
                verdict = Verdict(
                    kind="change",
                    text=text if text is not None else verdict.text,
                    attachments=attachments if attachments is not None else verdict.attachments,
                    app_id=app_id,
                )
                if text is not None:
                    about["msg"] = text
                if attachments is not None:
                    about["attachments"] = attachments
        return verdict

    async def _covers(self, app: RunningApp, room_id: str, within: float) -> bool | None:
        """Whether an app is to be asked about a room; None: that is not known in time."""
        try:
            async with asyncio.timeout(within):
                return await self._rooms.covers(app.who, room_id)
        except (HubbubError, TimeoutError):
            return None

    async def _ask(self, app: RunningApp, message: Document, within: float) -> Any:
        try:
            args = {"name": SENDING, "message": dict(message)}
            return await app.ask("hook", args, within=within)
        except AppFailed as failed:
            if isinstance(failed.__cause__, Timeout):
                self._missed(app)
            else:
                app.trust.answered()
            raise

    def _missed(self, app: RunningApp) -> None:
        if app.trust.missed(self._clock.monotonic()):
            log.warning("app_hook_rests", app=app.who.app_id, seconds=app.trust.rest)
            text = f"It is not asked before messages for {app.trust.rest:g} s: no verdict in time"
            self._write(app.who.app_id, "error", text)
