"""The end of an account: deactivated, or removed with what it holds in rooms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, Protocol

from hubbub.contracts.account import LoginRefused
from hubbub.contracts.members import Departure, LastOwnerLeaves
from hubbub.contracts.workspace import BOT_USER_ID
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import UserId
from hubbub.mongo import Document
from hubbub.workspace_settings import WorkspaceSettings
from services.account import rights
from services.account.audit import Audit
from services.account.refusals import action_not_allowed, last_administrator, user_not_found
from services.account.rights import Rights
from services.account.store.fields import TOKENS
from services.account.store.users import LastAdministrator, MongoUserStore


class RoomsLeft(Protocol):
    """The part of the messaging service that is needed here."""

    async def check_departure(self, user_id: UserId) -> Departure:
        """Which rooms would be left without an owner, or without anybody."""
        ...

    async def relinquish_rooms(
        self,
        user_id: UserId,
        leaving: Literal["deactivated", "deleted"],
        confirmed: bool = False,
    ) -> None:
        """Let go of what an account holds in rooms. Repeatable. Raises: LastOwnerLeaves."""
        ...


class Departures:
    """Ends accounts, and brings deactivated ones back."""

    def __init__(
        self,
        users: MongoUserStore,
        rooms: RoomsLeft,
        workspace: WorkspaceSettings,
        held: Rights,
        audit: Audit,
        now: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._rooms = rooms
        self._workspace = workspace
        self._rights = held
        self._audit = audit
        self._now = now

    async def check(self, user: Document, *, confirmed: bool) -> None:
        """Raises: LastOwnerLeaves; NotAllowed: as `deactivate` would. Nothing has happened."""
        await self._check_not_last(user)
        if confirmed:
            return
        departure = await self._rooms.check_departure(UserId(user["_id"]))
        if not departure.is_free:
            raise LastOwnerLeaves(
                details={
                    "shouldChangeOwner": departure.should_change_owner,
                    "shouldBeRemoved": departure.should_be_removed,
                }
            )

    async def change_active(
        self, actor_id: UserId, user_id: UserId, *, active: bool, confirmed: bool
    ) -> None:
        """See `Account.set_active`."""
        await self._rights.require(actor_id, rights.SET_ACTIVE)
        await self.set_active(actor_id, user_id, active=active, confirmed=confirmed)

    async def set_active(
        self, actor_id: UserId, user_id: UserId, *, active: bool, confirmed: bool
    ) -> None:
        """`change_active` for whoever may. Raises: as it does."""
        user = await self._users.find(user_id, ["roles", "active"])
        if user is None:
            raise user_not_found()
        now = self._now()
        if active:
            await self._users.update(user_id, {"$set": {"active": True, "_updatedAt": now}})
        else:
            await self._check_not_last(user)
            await self._rooms.relinquish_rooms(user_id, "deactivated", confirmed)
            change = {"$set": {"active": False, TOKENS: [], "_updatedAt": now}}
            await self._changed(user, change)
        if user.get("active") is not active:
            action = "user.activated" if active else "user.deactivated"
            await self._audit.note(action, actor=actor_id, target=user_id)

    async def delete(self, actor_id: UserId, user_id: UserId, *, confirmed: bool) -> None:
        """See `Account.delete_user`."""
        await self._rights.require(actor_id, rights.DELETE_USER)
        await self._delete(actor_id, user_id, confirmed=confirmed)

    async def delete_oneself(
        self, user_id: UserId, *, confirmed: bool, check_password: Callable[[], Any]
    ) -> None:
        """See `Account.delete_own_account`."""
        if not await self._workspace.flag("Accounts_AllowDeleteOwnAccount"):
            raise NotAllowed("Not allowed", code="error-not-allowed")
        try:
            await check_password()
        except LoginRefused:
            raise BadRequest("Invalid password", code="error-invalid-password") from None
        await self._delete(user_id, user_id, confirmed=confirmed)

    async def _delete(self, actor_id: UserId, user_id: UserId, *, confirmed: bool) -> None:
        user = await self._users.find(user_id, ["roles", "active", "username"])
        if user_id == BOT_USER_ID:
            raise action_not_allowed("The built-in bot cannot be removed")
        if user is not None:
            await self._check_not_last(user)
        # Also when the account is gone: an earlier attempt may have ended half-way.
        await self._rooms.relinquish_rooms(user_id, "deleted", confirmed)
        if user is None:
            return
        try:
            await self._users.delete(user_id)
        except LastAdministrator:
            raise last_administrator() from None
        await self._audit.note(
            "user.deleted", actor=actor_id, target=user_id, username=user.get("username")
        )

    async def _changed(self, user: Document, change: Document) -> None:
        update = (
            self._users.update_keeping_an_administrator
            if "admin" in (user.get("roles") or [])
            else self._users.update
        )
        try:
            await update(user["_id"], change)
        except LastAdministrator:
            raise last_administrator() from None

    async def _check_not_last(self, user: Document) -> None:
        """Raises: NotAllowed: the last administrator, so that nothing is begun in vain."""
        if "admin" not in (user.get("roles") or []):
            return
        if await self._users.administrators(2) in ([], [user["_id"]]):
            raise last_administrator()
