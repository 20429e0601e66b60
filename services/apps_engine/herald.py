"""Tells clients what becomes of apps and of their commands: the stream `apps`.

Nothing of it is stored, and nobody waits for it: an event that is lost is one after which a
client fetches a little later what it fetches anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from nats.errors import Error as NatsError

from hubbub.contracts.apps import AppCommand, AppStatus
from hubbub.contracts.event_log import APPS, EPHEMERAL_SUBJECTS, Header, Kind
from hubbub.ddp import ejson
from hubbub.ddp.stream import stream_frame
from hubbub.errors import Unavailable
from hubbub.telemetry.log import get_logger
from services.apps_engine.whisper import Publisher

log = get_logger(__name__)

STREAM: Final = "apps"
_TOGETHER: Final = "apps"
"""The event that brings all others, for clients that listen to this one alone."""
_ADDED, _UPDATED, _REMOVED = "app/added", "app/updated", "app/removed"
_STATUS, _SETTING = "app/statusUpdate", "app/settingUpdated"


class Herald:
    """Tells the sockets of whoever is signed in. At most once each."""

    def __init__(self, client: Publisher) -> None:
        self._client = client
        self._statuses: dict[str, AppStatus] = {}
        self._commands: dict[str, AppCommand] = {}

    async def installed(self, app_id: str, *, anew: bool) -> None:
        """An app was installed; `anew`: it was not there before."""
        await self._tell(_ADDED if anew else _UPDATED, app_id)

    async def removed(self, app_id: str) -> None:
        """An app is there no longer."""
        self._statuses.pop(app_id, None)
        await self._tell(_REMOVED, app_id)

    async def stands(self, app_id: str, status: AppStatus) -> None:
        """Where an app stands. It is told if it is not what was told before."""
        if self._statuses.get(app_id) is status:
            return
        self._statuses[app_id] = status
        await self._tell(_STATUS, {"appId": app_id, "status": status.value})

    async def configured(self, app_id: str, settings: Iterable[str]) -> None:
        """Settings of an app changed. What they are now is for those who ask and may know it."""
        for name in settings:
            change = {"appId": app_id, "setting": {"id": name}}
            # By its own event only: who hears of it is decided for each listener.
            await self._publish(_SETTING, [change])

    async def commands(self, commands: Iterable[AppCommand], installed: Iterable[str]) -> None:
        """These are the commands that apps have now; told is what is another thing than before.

        Args:
            installed: ids of the apps that are there, running or not.
        """
        before, self._commands = self._commands, {one.command: one for one in commands}
        for event, name in differences(before, self._commands, frozenset(installed)):
            await self._tell(event, name)

    async def _tell(self, event: str, what: Any) -> None:
        await self._publish(event, [what])
        await self._publish(_TOGETHER, [[event, [what]]])

    async def _publish(self, event: str, args: list[Any]) -> None:
        headers = {
            Header.KIND: str(Kind.FRAME),
            Header.STREAM: STREAM,
            Header.KEY: quote(event, safe=""),
        }
        frame = stream_frame(STREAM, event, ejson.dumps(args))
        try:
            await self._client.publish(EPHEMERAL_SUBJECTS + APPS, frame, headers=headers)
        except (NatsError, Unavailable) as error:
            log.debug("app_event_lost", err_type=type(error).__name__)


def differences(
    before: Mapping[str, AppCommand], now: Mapping[str, AppCommand], installed: frozenset[str]
) -> list[tuple[str, str]]:
    """Event and command, of everything that is another thing than before."""
    told = [
        ("command/disabled" if before[name].app_id in installed else "command/removed", name)
        for name in sorted(before.keys() - now.keys())
    ]
    told += [("command/added", name) for name in sorted(now.keys() - before.keys())]
    told += [
        ("command/updated", name)
        for name in sorted(now.keys() & before.keys())
        if now[name] != before[name]
    ]
    return told
