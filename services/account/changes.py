"""Changing users: names, addresses, passwords, roles, preferences, the active flag."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hubbub.contracts.account import UserChanges, UserNotFound
from hubbub.contracts.workspace import BOT_USER_ID, ROLES
from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from hubbub.mongo import Document
from hubbub.workspace_settings import WorkspaceSettings
from services.account import names, profile
from services.account.default_rooms import DefaultRooms
from services.account.domain import PERSONAL_TOKEN
from services.account.passwords import Passwords
from services.account.registration import Registrar, field_taken
from services.account.store.fields import TOKENS
from services.account.store.logins import MongoLoginStore
from services.account.store.users import MongoUserStore, Taken

_NO_LOGIN_TOKENS = {TOKENS: {"type": {"$ne": PERSONAL_TOKEN}}}
_DIRECT = (
    ("nickname", "nickname"),
    ("bio", "bio"),
    ("language", "language"),
    ("utc_offset", "utcOffset"),
    ("require_password_change", "requirePasswordChange"),
)
"""Attributes of `UserChanges` that are stored as they are, and their fields."""


class Editor:
    """Changes users. Who may, the caller has decided."""

    def __init__(
        self,
        users: MongoUserStore,
        tokens: MongoLoginStore,
        registrar: Registrar,
        passwords: Passwords,
        workspace: WorkspaceSettings,
        rooms: DefaultRooms,
        now: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._registrar = registrar
        self._passwords = passwords
        self._workspace = workspace
        self._rooms = rooms
        self._now = now

    async def set_username(self, user_id: UserId, username: str) -> str:
        """Choose or change a username; a first one brings the user into the default rooms."""
        user = await self._found(user_id, ["username", "name"])
        name = await self._registrar.checked_username(username)
        present = user.get("username")
        if present == name:
            return name
        if present and not await self._workspace.flag("Accounts_AllowUsernameChange"):
            raise NotAllowed("Changing the username is not allowed", code="error-not-allowed")
        fields: Document = {"username": name, "_updatedAt": self._now()}
        if not user.get("name"):
            fields["name"] = name
        if not present:
            fields["defaultRoomsPending"] = True
        await self._update(user_id, {"$set": fields}, username=name)
        if not present:
            await self._rooms.join_soon(user_id)
        return name

    async def set_password(self, user_id: UserId, password: str, keep_token: str) -> None:
        """Change the password; every login token but one is gone with it."""
        if not await self._workspace.flag("Accounts_AllowPasswordChange"):
            raise NotAllowed("Password change is not allowed", code="error-not-allowed")
        stored = await self._passwords.hash(self._registrar.digest(password))
        if not await self._tokens.set_password(
            user_id, stored, keep_token=keep_token, now=self._now()
        ):
            raise user_not_found()

    async def update(self, user_id: UserId, changes: UserChanges) -> Document:
        """Change what `changes` holds; the document as administrators see it."""
        user = await self._found(user_id, ["roles", "emails"])
        fields: Document = {
            field: value
            for attribute, field in _DIRECT
            if (value := getattr(changes, attribute)) is not None
        }
        operators: dict[str, Any] = {"$set": fields}
        if changes.name is not None:
            fields["name"] = names.display_name(changes.name)
        if changes.username is not None:
            fields["username"] = await self._registrar.checked_username(
                changes.username, code="error-input-is-not-a-valid-field"
            )
        if changes.roles is not None:
            fields["roles"] = await self._checked_roles(user, changes.roles)
        fields |= _changed_address(user, changes)
        for key, value in names.custom_fields(changes.custom_fields or {}).items():
            fields[f"customFields.{key}"] = value
        if changes.password is not None:
            digest = self._registrar.digest(changes.password)
            fields["services.password.bcrypt"] = await self._passwords.hash(digest)
            operators["$pull"] = _NO_LOGIN_TOKENS
        fields["_updatedAt"] = self._now()
        await self._update(
            user_id, operators, username=fields.get("username"), address=changes.email
        )
        changed = await self._found(user_id, profile.SEEN_BY_ADMINISTRATORS)
        return profile.for_others(changed, full=True)

    async def set_active(self, user_id: UserId, *, active: bool) -> None:
        """Activate, or deactivate and end every login."""
        user = await self._found(user_id, ["roles"])
        fields: Document = {"active": active, "_updatedAt": self._now()}
        if not active:
            await self._check_not_last(user)
            fields[TOKENS] = []
        await self._update(user_id, {"$set": fields})

    async def sign_out(self, user_id: UserId) -> None:
        """End every login of a user."""
        await self._users.update(user_id, {"$pull": _NO_LOGIN_TOKENS})

    async def set_preferences(self, user_id: UserId, changes: dict[str, Any]) -> Document:
        """Change some preferences; all of them."""
        checked = profile.checked_preferences(changes)
        language = checked.pop("language", None)
        fields: Document = {f"settings.preferences.{key}": val for key, val in checked.items()}
        if language is not None:
            fields["language"] = language
        fields["_updatedAt"] = self._now()
        await self._update(user_id, {"$set": fields})
        return profile.preferences(await self._found(user_id, ["settings"]))

    async def delete(self, user_id: UserId) -> None:
        """Remove a user; one that is not there is no error."""
        user = await self._users.find(user_id, ["roles"])
        if user is None:
            return
        if user_id == BOT_USER_ID:
            raise action_not_allowed("The built-in bot cannot be removed")
        await self._check_not_last(user)
        await self._users.delete(user_id)

    async def _checked_roles(self, user: Document, roles: list[str]) -> list[str]:
        if any(role not in ROLES or ROLES[role][0] != "Users" for role in roles):
            raise action_not_allowed("Assigning this role is not allowed")
        if "admin" not in roles:
            await self._check_not_last(user)
        return list(dict.fromkeys(roles))

    async def _check_not_last(self, user: Document) -> None:
        if "admin" not in (user.get("roles") or []):
            return
        if await self._users.administrators(2) in ([], [user["_id"]]):
            raise action_not_allowed("There must be at least one administrator")

    async def _found(self, user_id: str, fields: list[str]) -> Document:
        user = await self._users.find(user_id, fields)
        if user is None:
            raise user_not_found()
        return user

    async def _update(
        self,
        user_id: UserId,
        operators: dict[str, Any],
        *,
        username: str | None = None,
        address: str | None = None,
    ) -> None:
        try:
            if not await self._users.update(user_id, operators):
                raise user_not_found()
        except Taken as taken:
            raise field_taken(taken, username, address) from None


def _changed_address(user: Document, changes: UserChanges) -> Document:
    """The field `emails` after a change: one address, which is unverified when it is new."""
    emails = user.get("emails") or []
    present = emails[0] if emails else {}
    if changes.email is None:
        if changes.verified is None or not present:
            return {}
        return {"emails": [present | {"verified": changes.verified}, *emails[1:]]}
    address = names.address(changes.email)
    is_same = present.get("address") == address
    was_verified = present.get("verified") is True and is_same
    verified = was_verified if changes.verified is None else changes.verified
    return {"emails": [{"address": address, "verified": verified}, *emails[1:]]}


def user_not_found() -> UserNotFound:
    """There is no such user."""
    return UserNotFound("Invalid user")


def action_not_allowed(reason: str) -> NotAllowed:
    """What nobody may do."""
    return NotAllowed(reason, code="error-action-not-allowed")
