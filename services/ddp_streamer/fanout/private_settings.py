"""Changes of settings, of the workspace and of apps, for those who may see the one that changed.

Each receiver is asked about: some may see all settings, some only a few. It happens beside the
fan-out, in order, because an answer may have to be waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import orjson

from hubbub.ddp.stream import args_of
from hubbub.errors import HubbubError
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout.recipients import Topic
from services.ddp_streamer.fanout.topics import Topics
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.tally import Tally

log = get_logger(__name__)

PRIVATE_SETTINGS: Final[Topic] = ("notify-logged", "private-settings-changed")
APP_SETTINGS: Final[Topic] = ("apps", "app/settingUpdated")

_ALL = "view-privileged-setting edit-privileged-setting"
_APPS = "manage-apps"
_MAX_WAITING = 1_000  # changes

MayDo = Callable[[str, str], Awaitable[bool]]
"""Whether a user holds any of several permissions, joined by spaces. Raises: HubbubError."""


class PrivateSettings:
    """Delivers what was added, one after another; `run` is its task."""

    def __init__(self, topics: Topics, may_do: MayDo, *, tally: Tally) -> None:
        self._topics = topics
        self._tally = tally
        self._may_do = may_do
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(_MAX_WAITING)

    def add(self, event: Event) -> None:
        """A setting changed."""
        if not self._topics.listeners((event.stream, event.key)):
            self._tally.filtered["unsubscribed"] += 1
            return
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self._tally.dropped["queue_full"] += 1
            log.warning("setting_not_told")

    async def run(self) -> None:
        """Deliver, until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                permissions = _needed(event)
            except (ValueError, LookupError, TypeError):
                log.warning("bad_setting")
                continue
            topic = (event.stream, event.key)
            await self._deliver(SharedFrame(event.payload), topic, permissions)

    async def _deliver(self, frame: SharedFrame, topic: Topic, permissions: str) -> None:
        listeners = self._topics.listeners(topic)
        for recipient, session in list(listeners.items()):
            user_id = session.user_id
            if user_id is None:
                continue
            try:
                allowed = await self._may_do(user_id, permissions)
            except HubbubError as error:
                log.warning("setting_not_told", reason=type(error).__name__)
                continue
            still = self._topics.listeners(topic).get(recipient)
            if not allowed:
                self._tally.filtered["no_permission"] += 1
            elif still is None or still.user_id != user_id:
                self._tally.filtered["unsubscribed"] += 1
            else:
                self._tally.delivered[topic[0]] += recipient.send_shared(frame)


def _needed(event: Event) -> str:
    """The permissions of which one is enough to see this change, joined by spaces.

    Raises: ValueError, LookupError, TypeError: it says nothing of a setting.
    """
    if (event.stream, event.key) == APP_SETTINGS:
        return _APPS
    setting = orjson.loads(args_of(event.payload, event.stream, event.key))[1]
    setting_id = str(setting["_id"])
    return _ALL if " " in setting_id else f"{_ALL} change-setting-{setting_id}"
