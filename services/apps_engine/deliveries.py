"""Brings events to the apps that want to hear them, each at its own pace.

Every app has a queue and is told of one event at a time, in their order. After a start of the
engine all that happened meanwhile comes at once, so while an app works off a full queue everybody
waits for it, for a while. An app that does not catch up, or does not move, misses the newest
events, which is counted and written down, and nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from hubbub.clock import Clock
from hubbub.contracts.account import Account
from hubbub.contracts.apps import AppDisabled, AppFailed
from hubbub.contracts.event_log import Header
from hubbub.contracts.workspace import BOT_USER_ID
from hubbub.ddp import ejson
from hubbub.errors import HubbubError, Unavailable
from hubbub.ids import UserId
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.apps_engine.bot_rooms import BotRooms
from services.apps_engine.domain.frames import SUBJECTS, Heard, Reader
from services.apps_engine.log_reader import Entry
from services.apps_engine.running import RunningApp

log = get_logger(__name__)

_RESTARTING: Final = 65.0  # seconds for which an event waits for an app that is started again
_RETRY: Final = 1.0  # seconds
_MOMENT: Final = 0.02  # seconds
_CATCHING_UP: Final = 30.0  # seconds that others wait for one app, until it has caught up
_MOVING: Final = 5.0  # seconds in which it is done with an event meanwhile
_SETTLED: Final = 30.0  # seconds after which nobody waits for apps that do not start
_LOOK: Final = 2.0  # seconds between two looks at what others want


class Listener(Protocol):
    """Somebody else in the engine who hears of events."""

    async def __call__(
        self, name: str, payload: Mapping[str, Any], *, mark: str | None = None
    ) -> None:
        """Take an event: documents with dates; of messages and users the document alone.

        Args:
            mark: the same whenever the event comes.

        Raises: Unavailable: it should come again.
        """
        ...


@dataclass(slots=True)
class _Line:
    """The events that wait for one app."""

    queue: asyncio.Queue[tuple[Entry, Heard]]
    moved: float
    """When it was done with an event, monotonic seconds."""
    waited: float = 0.0
    """Seconds that others waited for it since it was not behind."""
    dropping: bool = False
    told: Entry | None = None
    """What it is being told of."""
    task: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Tell the app of nothing more."""
        if self.task is not None:
            self.task.cancel()

    def forget(self) -> None:
        """Be done with all that it was to be told of."""
        entries = [self.told] if self.told is not None else []
        while not self.queue.empty():
            entries.append(self.queue.get_nowait()[0])
        self.told = None
        for entry in entries:
            entry.release()


@dataclass(slots=True)
class _Others:
    """Those in the engine who hear of events beside apps."""

    wanted: Callable[[], Awaitable[Collection[str]]]
    told: Listener
    names: frozenset[str] = frozenset()
    """What they wanted when they were asked last."""


@dataclass(slots=True)
class Deliveries:
    """Who hears what. `handle` is given to the reader of the log; `close` it."""

    apps: Callable[[], Mapping[str, RunningApp]]
    rooms: BotRooms
    account: Account
    clock: Clock
    waiting: int
    """Events that may wait for one app."""
    _reader: Reader = field(default_factory=Reader)
    _lines: dict[str, _Line] = field(default_factory=dict)
    _others: list[_Others] = field(default_factory=list)
    _begun: float | None = None
    _asked: bool = False

    def also(self, wanted: Callable[[], Awaitable[Collection[str]]], told: Listener) -> None:
        """Tell somebody else as well, of the events that `wanted` names."""
        self._others.append(_Others(wanted, told))

    async def watch(self, changed: Callable[[], None]) -> None:
        """Ask the others now and then what they want, until cancelled."""
        while True:
            heed_cancellation()
            answered = True
            for other in self._others:
                try:
                    names = frozenset(await other.wanted())
                except HubbubError:
                    answered = False
                    continue  # what they wanted before is as good a guess as any
                if names != other.names:
                    other.names = names
                    changed()
            if answered and not self._asked:
                self._asked = True
                changed()
            await self.clock.sleep(_LOOK)

    def wanted(self) -> frozenset[str] | None:
        """The subjects of the log in which there is something for somebody. None: not known yet,
        because apps are only being started; what waits for them must wait on."""
        if self._settling():
            return None
        return frozenset(SUBJECTS[name] for name in self._names() if name in SUBJECTS)

    async def handle(self, entry: Entry) -> None:
        """Put an entry into the queues of those who want it. Raises: Unavailable: not all of them
        have it, and it should come again."""
        message, headers = entry.message, entry.message.headers or {}
        for one in self._reader.read(message.subject, headers, message.data):
            # First those who may ask for it again: apps should not hear of it twice.
            for other in self._others:
                if one.name in other.names:
                    await self._tell_other(other, one, headers.get(Header.EVENT_ID))
            for app in list(self.apps().values()):
                if self._wants(app, one) and await self._may_hear(app, one):
                    await self._put(app, entry, one)

    async def _tell_other(self, other: _Others, heard: Heard, mark: str | None) -> None:
        payload = ejson.decode(heard.payload)
        if heard.user_id is not None:
            payload["user"] = await self._anybody(heard.user_id)
        elif heard.name == "room_created":
            payload["user"] = payload["room"].get("u") or {"_id": heard.author_id}
        if heard.name.startswith("message_"):
            payload = payload["message"]
        elif heard.name == "user_created":
            payload = payload["user"]
        await other.told(heard.name, payload, mark=mark)

    async def _anybody(self, user_id: str) -> dict[str, Any]:
        try:
            found = await self.account.user_info(UserId(BOT_USER_ID), user_id=user_id)
        except Unavailable:
            raise
        except HubbubError:  # gone meanwhile
            return {"_id": user_id}
        return dict(found)

    def ended(self, app_id: str) -> None:
        """An app was stopped: nothing waits for it any more."""
        line = self._lines.pop(app_id, None)
        if line is not None:
            line.close()
            line.forget()

    async def close(self) -> None:
        """Let go of everything; what was not done with comes again."""
        lines = [*self._lines.values()]
        self._lines.clear()
        for line in lines:
            line.close()
        await asyncio.gather(
            *(line.task for line in lines if line.task is not None), return_exceptions=True
        )

    def _settling(self) -> bool:
        """Whether the engine has just begun, and somebody has not said what they want."""
        if self._begun is None:
            self._begun = self.clock.monotonic()
        if self.clock.monotonic() - self._begun > _SETTLED:
            return False
        starting = any(app.declared is None for app in self.apps().values())
        return starting or (bool(self._others) and not self._asked)

    def _names(self) -> frozenset[str]:
        names: set[str] = set()
        for app in self.apps().values():
            if app.declared is not None:
                names |= app.declared.events
        for other in self._others:
            names |= other.names
        return frozenset(names)

    def _wants(self, app: RunningApp, heard: Heard) -> bool:
        if app.declared is None or heard.name not in app.declared.events:
            return False
        return app.who.bot_id not in (heard.author_id, heard.user_id)

    async def _may_hear(self, app: RunningApp, heard: Heard) -> bool:
        """Whether it happened where the app's user is, or may look."""
        if heard.room_id is None:
            return True
        try:
            return await self.rooms.covers(app.who, heard.room_id)
        except HubbubError as error:
            log.warning("event_not_judged", app=app.who.app_id, code=str(error.code))
            return False

    async def _put(self, app: RunningApp, entry: Entry, heard: Heard) -> None:
        app_id = app.who.app_id
        line = self._lines.get(app_id)
        if line is None:
            line = self._lines[app_id] = _Line(asyncio.Queue(self.waiting), self.clock.monotonic())
            line.task = asyncio.create_task(self._tell(app_id, line), name=f"events of {app_id}")
        if line.queue.empty():
            line.waited, line.dropping = 0.0, False
        await self._catching_up(app_id, line)
        if self._lines.get(app_id) is not line:
            return  # it was stopped meanwhile
        try:
            line.queue.put_nowait((entry, heard))
        except asyncio.QueueFull:
            app.metrics.asked(app_id, "event", "dropped", 0.0)
            if not line.dropping:
                log.warning("app_misses_events", app=app_id, waiting=self.waiting)
            line.dropping = True
        else:
            entry.hold()

    async def _catching_up(self, app_id: str, line: _Line) -> None:
        """Wait for a place in a queue, as long as there is hope."""
        begun = now = self.clock.monotonic()
        until = begun + _CATCHING_UP - line.waited
        while (
            line.queue.full()
            and now < until
            and now - line.moved < _MOVING
            and self._lines.get(app_id) is line
        ):
            await self.clock.sleep(_MOMENT)
            now = self.clock.monotonic()
        line.waited += now - begun

    async def _tell(self, app_id: str, line: _Line) -> None:
        while True:
            line.told, heard = await line.queue.get()
            await self._tell_one(app_id, heard)
            line.moved = self.clock.monotonic()
            line.told.release()
            line.told = None

    async def _tell_one(self, app_id: str, heard: Heard) -> None:
        """Tell an app of an event. While it is started again the event waits for it."""
        patience = self.clock.monotonic() + _RESTARTING
        while (app := self.apps().get(app_id)) is not None:
            try:
                payload = heard.payload
                if heard.user_id is not None:
                    payload = {**payload, "user": await self._person(app, heard.user_id)}
                await app.ask("event", {"name": heard.name, "payload": payload})
            except AppDisabled:
                if self.clock.monotonic() < patience:
                    await self.clock.sleep(_RETRY)
                    continue
            except AppFailed:
                log.info("event_failed", app=app_id, name=heard.name)
            return

    async def _person(self, app: RunningApp, user_id: str) -> Any:
        try:
            return await app.bridge.person(user_id=user_id)
        except HubbubError:  # gone meanwhile
            return {"_id": user_id}
