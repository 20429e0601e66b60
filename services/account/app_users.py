"""The users that apps act as."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from hubbub.contracts.account import FieldTaken
from hubbub.contracts.app_users import AppUser
from hubbub.ids import UserId
from services.account import names
from services.account.audit import Audit
from services.account.departures import Departures
from services.account.registration import Registrar, named
from services.account.store.users import MongoUserStore, Taken


def username_of(app_id: str) -> str:
    """The username of an app's user, which is its id as well: both are there once or not at all."""
    return f"{app_id}.bot"


class AppUserKeeper:
    """Makes users that nobody can sign in as: they have no password and no token."""

    def __init__(
        self,
        users: MongoUserStore,
        registrar: Registrar,
        departures: Departures,
        audit: Audit,
        now: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._registrar = registrar
        self._departures = departures
        self._audit = audit
        self._now = now

    async def ensure(self, app_id: str, name: str) -> AppUser:
        """See the contract."""
        username, now = username_of(app_id), self._now()
        user_id = UserId(username)
        present = await self._users.find(user_id, ["type", "appId"])
        if present is None:
            await self._registrar.check_similar(username)
            user = {
                "_id": user_id,
                **named(username)[0],
                "name": names.display_name(name) or username,
                "type": "app",
                "appId": app_id,
                "active": True,
                "roles": ["app"],
                "status": "online",
                "statusDefault": "online",
                "createdAt": now,
                "_updatedAt": now,
            }
            try:
                await self._users.insert_missing(user)
            except Taken:
                raise _taken(username) from None
            await self._audit.note("user.created", actor=None, target=user_id, app=app_id)
        elif present.get("type") != "app" or present.get("appId") != app_id:
            raise _taken(username)
        else:
            fields = {
                "active": True,
                "name": names.display_name(name) or username,
                "_updatedAt": now,
            }
            await self._users.update(user_id, {"$set": fields})
        return AppUser(user_id=user_id, username=username)

    async def retire(self, app_id: str) -> None:
        """See the contract."""
        user_id = UserId(username_of(app_id))
        present = await self._users.find(user_id, ["type", "appId", "active"])
        if present is None or present.get("type") != "app" or present.get("appId") != app_id:
            return
        # Rooms that it owns go to somebody else, or with it when nobody else is there.
        await self._departures.set_active(user_id, user_id, active=False, confirmed=True)


def _taken(username: str) -> FieldTaken:
    return FieldTaken(f"{username} is already in use :(", details={"field": "username"})


class AppUsers:
    """The doors."""

    _app_user_keeper: AppUserKeeper

    async def ensure_app_user(self, app_id: str, name: str) -> AppUser:
        """See the contract."""
        return await self._app_user_keeper.ensure(app_id, name)

    async def retire_app_user(self, app_id: str) -> None:
        """See the contract."""
        await self._app_user_keeper.retire(app_id)
