"""Everything that keeps files and pictures, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from hubbub.bus import Bus
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import Account
from hubbub.contracts.messaging import Messaging
from hubbub.mongo import Database
from hubbub.settings import SiteSettings
from hubbub.tasks import owned
from hubbub.workspace_settings import WorkspaceSettings
from services.gateway.files.cleaning import Cleaner
from services.gateway.files.emoji import CustomEmoji
from services.gateway.files.fetching import Fetcher
from services.gateway.files.images import Images
from services.gateway.files.offering import PictureService
from services.gateway.files.portraits import Portraits
from services.gateway.files.uploads import FileRules, Shelf
from services.gateway.settings import GatewaySettings
from services.gateway.store.pictures import Avatars, Emoji
from services.gateway.store.rounds import Rounds
from services.gateway.store.settings import SettingsStore
from services.gateway.store.uploads import Uploads

_SERVICE: Final = "gateway"


@dataclass(frozen=True, slots=True)
class Shelves:
    """What endpoints about files and pictures need at hand."""

    files: Shelf
    portraits: Portraits
    emoji: CustomEmoji
    root_url: str
    """Where clients find this site, without a final slash."""
    _workspace: WorkspaceSettings
    _most: int
    """Bytes of a file, whatever the workspace says."""

    async def file_rules(self) -> FileRules:
        """Which files are taken."""
        limit = await self._workspace.number("FileUpload_MaxFileSize")
        return FileRules(
            enabled=await self._workspace.flag("FileUpload_Enabled"),
            limit=min(limit, self._most) if limit >= 0 else self._most,
            allowed=await self._workspace.text("FileUpload_MediaTypeWhiteList"),
            refused=await self._workspace.text("FileUpload_MediaTypeBlackList"),
        )

    async def avatars_need_login(self) -> bool:
        """Whether only who is signed in sees avatars."""
        return await self._workspace.flag("Accounts_AvatarBlockUnauthenticatedAccess")


@asynccontextmanager
async def kept(
    database: Database,
    bus: Bus,
    settings: GatewaySettings,
    site: SiteSettings,
    *,
    holder: str,
    fetcher: Fetcher | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Shelves]:
    """Files and pictures in `database`, which has its indexes, cleaned while the context lasts.

    Args:
        holder: names this process.
    """
    clock = clock or SystemClock()
    workspace = WorkspaceSettings(SettingsStore(database).values, clock=clock)
    uploads, emoji = Uploads(database), CustomEmoji(Emoji(database), images := Images())
    portraits = Portraits(Avatars(database), images, fetcher or Fetcher(), bus.proxy(Account))
    cleaner = Cleaner(
        uploads,
        portraits,
        Rounds(database),
        bus.proxy(Messaging),
        workspace,
        holder=holder,
        interval=settings.file_cleaning_interval,
        clock=clock,
    )
    shelf = Shelf(
        uploads,
        images,
        most=settings.max_uploads,
        kept_unsent=timedelta(hours=settings.unsent_hours),
    )
    try:
        await bus.listen(cleaner, service=_SERVICE)
        await bus.serve(PictureService(portraits, emoji, bus.proxy(Account)))
        async with owned(cleaner.run()):
            yield Shelves(
                shelf,
                portraits,
                emoji,
                str(site.root_url).rstrip("/"),
                workspace,
                settings.max_file_bytes,
            )
    finally:
        await bus.drain()  # others may still be asking for pictures
        await workspace.close()
        await images.close()
