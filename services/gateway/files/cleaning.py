"""The end of files: of those that no message ever carried, and of those whose message is gone."""

from __future__ import annotations

import asyncio
from typing import Final

from hubbub.clock import Clock, utc_now
from hubbub.contracts.base import listen
from hubbub.contracts.events import FilesOrphaned, RoomChanged, SettingsChanged, UserChanged
from hubbub.contracts.messaging import Messaging
from hubbub.errors import HubbubError
from hubbub.ids import MessageId
from hubbub.mongo import Unreachable
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from hubbub.workspace_settings import WorkspaceSettings
from services.gateway.files.portraits import Portraits
from services.gateway.store.rounds import Rounds
from services.gateway.store.uploads import Uploads

log = get_logger(__name__)

_ROUND: Final = "gateway.files"
_STEP: Final = 200  # files looked at together


class Cleaner:
    """Removes files. Everything it does can be repeated, by itself or by another replica."""

    def __init__(
        self,
        uploads: Uploads,
        portraits: Portraits,
        rounds: Rounds,
        messaging: Messaging,
        settings: WorkspaceSettings,
        *,
        holder: str,
        interval: float,
        clock: Clock,
    ) -> None:
        """
        Args:
            holder: names this process.
            interval: seconds between two rounds of all replicas together.
        """
        self._uploads = uploads
        self._portraits = portraits
        self._rounds = rounds
        self._messaging = messaging
        self._settings = settings
        self._holder = holder
        self._interval = interval
        self._clock = clock

    async def run(self) -> None:
        """Clean now and then, until cancelled."""
        while True:
            heed_cancellation()
            try:
                if await self._rounds.take(_ROUND, self._holder, utc_now(), self._interval):
                    removed = await self.clean()
                    if removed:
                        log.info("files_cleaned", files=removed)
            except (HubbubError, Unreachable) as error:
                log.warning("files_not_cleaned", reason=type(error).__name__)
            heed_cancellation()
            await self._clock.sleep(self._interval)

    async def clean(self) -> int:
        """Remove the files whose time is over; how many.

        A file whose message was stored but never noted here stays: messaging is asked first.
        """
        removed = 0
        while True:
            heed_cancellation()
            expired = await self._uploads.expired(utc_now(), _STEP)
            ids = [MessageId(record["messageId"]) for record in expired if "messageId" in record]
            stored = set(await self._messaging.stored_messages(ids)) if ids else set()
            for record in expired:
                if record.get("messageId") in stored:
                    await self._uploads.confirm(record["_id"], {"messageId": record["messageId"]})
                elif await self._uploads.doom(record):
                    await self._uploads.remove(record["_id"])
                    removed += 1
            if len(expired) < _STEP:
                return removed

    @listen(FilesOrphaned, to="one", durable=True)
    async def on_files_orphaned(self, event: FilesOrphaned) -> None:
        """Their messages are gone."""
        for file_id in event.file_ids:
            await self._uploads.remove(file_id)
            await asyncio.sleep(0)

    @listen(RoomChanged, to="one")
    async def on_room_changed(self, event: RoomChanged) -> None:
        """With a room all of its files go, also those that were never sent."""
        if not event.deleted:
            return
        await self._portraits.forget("room", event.room_id)
        while file_ids := await self._uploads.ids_in(event.room_id, _STEP):
            for file_id in file_ids:
                await self._uploads.remove(file_id)

    @listen(UserChanged, to="one")
    async def on_user_changed(self, event: UserChanged) -> None:
        """With a user the picture goes."""
        if event.deleted:
            await self._portraits.forget("user", event.user_id)

    @listen(SettingsChanged, to="all")
    async def on_settings_changed(self, event: SettingsChanged) -> None:
        """Forget the setting."""
        self._settings.forget(event.setting_id)
