"""Tells people of an app that was disabled because it kept failing."""

from __future__ import annotations

import asyncio
from typing import Final

from hubbub.contracts.account import Account
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.messages import NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.errors import HubbubError
from hubbub.ids import UserId, random_id
from hubbub.telemetry.log import get_logger
from services.apps_engine.bridge import Who

log = get_logger(__name__)

_WITHIN: Final = 60.0  # seconds for all of them


class Farewell:
    """Administrators, and whoever installed it, hear of it from the app's own user."""

    def __init__(
        self, account: Account, authorization: Authorization, messaging: Messaging
    ) -> None:
        self._account = account
        self._authorization = authorization
        self._messaging = messaging

    async def tell(self, who: Who, installer: UserId, reason: str) -> None:
        """Tell each of them once, as far as they can be reached. Never fails: where the app is
        listed the reason stands, too."""
        text = f"I was disabled: {reason}.\nWhat I wrote down: `hubbub app logs {who.app_id}`"
        try:
            async with asyncio.timeout(_WITHIN):
                for username in await self._people(who.bot_id, installer):
                    await self._tell(who, username, text)
        except TimeoutError:
            log.warning("app_end_not_told", app=who.app_id, code="timeout")

    async def _people(self, bot: UserId, installer: UserId) -> list[str]:
        usernames: list[str] = []
        try:
            found = await self._account.user_info(bot, user_id=installer)
            if found.get("active", True):
                usernames.append(str(found["username"]))
        except HubbubError as error:  # gone meanwhile, perhaps
            log.info("app_installer_not_found", code=str(error.code))
        try:
            administrators = await self._authorization.administrators()
            usernames += [str(one["username"]) for one in administrators if one.get("username")]
        except HubbubError as error:
            log.warning("administrators_not_found", code=str(error.code))
        return list(dict.fromkeys(usernames))

    async def _tell(self, who: Who, username: str, text: str) -> None:
        try:
            room = await self._messaging.create_direct(who.bot_id, [username])
            message = NewMessage(id=random_id(), room_id=str(room["_id"]), text=text)
            await self._messaging.send_message(who.bot_id, message)
        except HubbubError as error:
            log.warning("app_end_not_told", app=who.app_id, code=str(error.code))
