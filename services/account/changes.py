"""Changing users by those who may: names, addresses, passwords, roles, preferences."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hubbub.contracts.account import UserChanges
from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from hubbub.mongo import Document
from hubbub.workspace_settings import WorkspaceSettings
from services.account import names, profile, rights
from services.account.audit import Audit
from services.account.default_rooms import DefaultRooms
from services.account.departures import Departures
from services.account.domain import PERSONAL_TOKEN
from services.account.passwords import Passwords
from services.account.refusals import last_administrator, user_not_found
from services.account.registration import Registrar, field_taken, named
from services.account.rights import Rights
from services.account.store.fields import TOKENS, password_change
from services.account.store.users import LastAdministrator, MongoUserStore, Taken

NO_LOGIN_TOKENS = {TOKENS: {"type": {"$ne": PERSONAL_TOKEN}}}
"""What to `$pull` to end every login."""

_DIRECT = (
    ("nickname", "nickname"),
    ("bio", "bio"),
    ("language", "language"),
    ("utc_offset", "utcOffset"),
    ("require_password_change", "requirePasswordChange"),
)
"""Attributes of `UserChanges` that are stored as they are, and their fields."""


class Editor:
    """Changes users."""

    def __init__(
        self,
        users: MongoUserStore,
        registrar: Registrar,
        passwords: Passwords,
        workspace: WorkspaceSettings,
        rooms: DefaultRooms,
        departures: Departures,
        held: Rights,
        audit: Audit,
        now: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._registrar = registrar
        self._passwords = passwords
        self._workspace = workspace
        self._rooms = rooms
        self._departures = departures
        self._rights = held
        self._audit = audit
        self._now = now

    async def set_username(self, user_id: UserId, username: str) -> str:
        """Choose or change the own username; a first one brings the user into the default rooms."""
        user = await self.found(user_id, ["username", "name"])
        name = await self._registrar.checked_username(username)
        present = user.get("username")
        if present == name:
            return name
        if present and not await self._workspace.flag("Accounts_AllowUsernameChange"):
            raise NotAllowed("Changing the username is not allowed", code="error-not-allowed")
        await self._registrar.check_similar(name, besides=user_id)
        fields, gone = named(name)
        fields["_updatedAt"] = self._now()
        if not user.get("name"):
            fields["name"] = name
        if not present:
            fields["defaultRoomsPending"] = True
        await self.store(user_id, fields, gone, username=name)
        if not present:
            await self._rooms.join_soon(user_id)
        return name

    async def update(
        self, actor_id: UserId, user_id: UserId, changes: UserChanges, *, confirmed: bool
    ) -> Document:
        """See the contract."""
        await self._rights.check_change(actor_id, user_id, changes)
        user = await self.found(user_id, ["roles", "emails", "active", "type", "username"])
        deactivates = changes.active is False and user.get("active") is True
        if deactivates:
            await self._departures.check(user, confirmed=confirmed)
        fields, gone = await self._fields(user, changes)
        keeps_admin = changes.roles is None or "admin" in changes.roles
        await self.store(
            user_id,
            fields,
            gone,
            ends_logins=changes.password is not None,
            username=fields.get("username"),
            address=changes.email,
            may_lose_admin=not keeps_admin and "admin" in (user.get("roles") or []),
        )
        await self._note(actor_id, user, changes)
        if changes.active is not None and changes.active != user.get("active"):
            await self._departures.set_active(
                actor_id, user_id, active=changes.active, confirmed=confirmed
            )
        changed = await self.found(user_id, profile.SEEN_BY_ADMINISTRATORS)
        return profile.for_others(changed, full=True)

    async def sign_out(self, actor_id: UserId, user_id: UserId) -> None:
        """See the contract."""
        if actor_id != user_id:
            await self._rights.require(actor_id, rights.SIGN_OUT_OTHERS)
        await self._users.update(user_id, {"$pull": NO_LOGIN_TOKENS})
        await self._audit.note("token.all-removed", actor=actor_id, target=user_id)

    async def preferences(self, user_id: UserId) -> Document:
        """See the contract."""
        user = await self.found(user_id, ["settings", "language"])
        shown = profile.preferences(user, await self.default_preferences())
        if isinstance(user.get("language"), str):
            shown["language"] = user["language"]
        return shown

    async def set_preferences(
        self, actor_id: UserId, user_id: UserId, changes: dict[str, Any]
    ) -> Document:
        """See the contract."""
        if actor_id != user_id and not await self._rights.may(actor_id, rights.EDIT_OTHERS):
            raise NotAllowed("Editing user is not allowed", code="error-action-not-allowed")
        checked = profile.checked_preferences(changes)
        language = checked.pop("language", None)
        fields: Document = {f"settings.preferences.{key}": val for key, val in checked.items()}
        if language is not None:
            fields["language"] = language
        fields["_updatedAt"] = self._now()
        await self.store(user_id, fields)
        return await self.preferences(user_id)

    async def default_preferences(self) -> dict[str, Any]:
        """The workspace's preferences where it has some of its own."""
        found: dict[str, Any] = {}
        for key, setting_id in profile.WORKSPACE_DEFAULTS.items():
            match profile.PREFERENCES[key]:
                case bool():
                    found[key] = await self._workspace.flag(setting_id)
                case int():
                    found[key] = await self._workspace.number(setting_id)
                case _:
                    found[key] = await self._workspace.text(setting_id)
        return found

    async def found(self, user_id: str, fields: list[str]) -> Document:
        """Some fields of a user. Raises: UserNotFound."""
        user = await self._users.find(user_id, fields)
        if user is None:
            raise user_not_found()
        return user

    async def store(
        self,
        user_id: UserId,
        fields: Document,
        gone: Document | None = None,
        *,
        ends_logins: bool = False,
        username: str | None = None,
        address: str | None = None,
        may_lose_admin: bool = False,
    ) -> None:
        """Write what was checked. Raises: UserNotFound; FieldTaken; NotAllowed."""
        operators: dict[str, Any] = {"$set": fields}
        if gone:
            operators["$unset"] = gone
        if ends_logins:
            operators["$pull"] = NO_LOGIN_TOKENS
        update = (
            self._users.update_keeping_an_administrator if may_lose_admin else self._users.update
        )
        try:
            if not await update(user_id, operators):
                raise user_not_found()
        except Taken as taken:
            raise field_taken(taken, username, address) from None
        except LastAdministrator:
            raise last_administrator() from None

    async def _fields(self, user: Document, changes: UserChanges) -> tuple[Document, Document]:
        """What to set and to remove. Raises: BadRequest; FieldTaken."""
        fields: Document = {
            field: value
            for attribute, field in _DIRECT
            if (value := getattr(changes, attribute)) is not None
        }
        gone: Document = {}
        if changes.name is not None:
            fields["name"] = names.display_name(changes.name)
        if changes.username is not None and changes.username != user.get("username"):
            name = await self._registrar.checked_username(
                changes.username, code="error-input-is-not-a-valid-field"
            )
            await self._registrar.check_similar(name, besides=user["_id"])
            fields |= named(name)[0]
            gone |= named(name)[1]
        if changes.roles is not None:
            fields["roles"] = list(dict.fromkeys(changes.roles))
        fields |= changed_address(user, changes.email, verified=changes.verified)
        for key, value in names.custom_fields(changes.custom_fields or {}).items():
            fields[f"customFields.{key}"] = value
        if changes.password is not None:
            stored = await self._passwords.hash(self._registrar.digest(changes.password))
            put, removed = password_change(stored)
            fields |= put
            gone |= removed
        fields["_updatedAt"] = self._now()
        return fields, gone

    async def _note(self, actor_id: UserId, user: Document, changes: UserChanges) -> None:
        touched = sorted(name for name, value in changes if value is not None and name != "active")
        if not touched:
            return
        user_id = user["_id"]
        await self._audit.note("user.changed", actor=actor_id, target=user_id, fields=touched)
        if changes.roles is not None and changes.roles != user.get("roles"):
            await self._audit.note(
                "user.roles-changed",
                actor=actor_id,
                target=user_id,
                old=user.get("roles") or [],
                new=changes.roles,
            )
        if changes.password is not None:
            await self._audit.note("password.changed", actor=actor_id, target=user_id)


def changed_address(user: Document, email: str | None, *, verified: bool | None = None) -> Document:
    """The field `emails` after a change: one address, which is unverified when it is new.

    Raises: BadRequest: `error-invalid-email`.
    """
    emails = user.get("emails") or []
    present = emails[0] if emails else {}
    if email is None:
        if verified is None or not present:
            return {}
        return {"emails": [present | {"verified": verified}, *emails[1:]]}
    address = names.address(email)
    is_same = present.get("address") == address
    was_verified = present.get("verified") is True and is_same
    now_verified = was_verified if verified is None else verified
    return {"emails": [{"address": address, "verified": now_verified}, *emails[1:]]}
