"""Changing one's own account: what the workspace lets people change, and what asks for the
present password."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hubbub.contracts.account import LoginRefused, ProfileChanges
from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from hubbub.mongo import Document
from hubbub.workspace_settings import WorkspaceSettings
from services.account import names, profile, second_factor
from services.account.audit import Audit
from services.account.changes import Editor, changed_address
from services.account.passwords import Passwords
from services.account.refusals import user_not_found
from services.account.registration import Registrar, named
from services.account.store.logins import MongoLoginStore

_CHANGE_ALLOWED = "Accounts_AllowUserProfileChange"
_NAME_ALLOWED = "Accounts_AllowRealNameChange"
_USERNAME_ALLOWED = "Accounts_AllowUsernameChange"
_EMAIL_ALLOWED = "Accounts_AllowEmailChange"
_PASSWORD_ALLOWED = "Accounts_AllowPasswordChange"  # noqa: S105  a setting's id


class OwnProfile:
    """Changes accounts for their owners."""

    def __init__(
        self,
        editor: Editor,
        registrar: Registrar,
        passwords: Passwords,
        tokens: MongoLoginStore,
        workspace: WorkspaceSettings,
        audit: Audit,
        check_password: Callable[[UserId, str], Awaitable[None]],
    ) -> None:
        """
        Args:
            check_password: raises `LoginRefused` when it is not the user's.
        """
        self._editor = editor
        self._registrar = registrar
        self._passwords = passwords
        self._tokens = tokens
        self._workspace = workspace
        self._audit = audit
        self._check_password = check_password

    async def set_password(self, user_id: UserId, password: str, keep_token: str) -> None:
        """Change the password; every login token but one is gone with it."""
        await self._check_allowed(_PASSWORD_ALLOWED, "Password change is not allowed")
        stored = await self._passwords.hash(self._registrar.digest(password))
        now = self._registrar.now()
        if not await self._tokens.set_password(user_id, stored, keep_token=keep_token, now=now):
            raise user_not_found()
        await self._audit.note("password.changed", actor=user_id, target=user_id)

    async def update(self, user_id: UserId, changes: ProfileChanges, hashed_token: str) -> Document:
        """See the contract."""
        await self._check_allowed(_CHANGE_ALLOWED, "Not allowed")
        user = await self._editor.found(user_id, ["name", "username", "emails"])
        fields, gone = await self._fields(user, changes)
        has_new_address = "emails" in fields
        if has_new_address or changes.new_password:
            await self._prove(user_id, changes.current_password)
        if changes.new_password:
            self._registrar.digest(changes.new_password)  # refused before anything is written
            await self._check_allowed(_PASSWORD_ALLOWED, "Password change is not allowed")
        if fields:
            fields["_updatedAt"] = self._registrar.now()
            await self._editor.store(
                user_id, fields, gone, username=fields.get("username"), address=changes.email
            )
        if has_new_address:
            await self._audit.note("email.changed", actor=user_id, target=user_id)
        if changes.new_password:
            await self.set_password(user_id, changes.new_password, hashed_token)
        return profile.for_others(
            await self._editor.found(user_id, profile.SEEN_BY_ADMINISTRATORS), full=True
        )

    async def _fields(self, user: Document, changes: ProfileChanges) -> tuple[Document, Document]:
        """What differs and may be changed. Raises: NotAllowed; BadRequest; FieldTaken."""
        fields: Document = {}
        gone: Document = {}
        if changes.name is not None:
            name = names.display_name(changes.name)
            if name != user.get("name"):
                await self._check_allowed(_NAME_ALLOWED, "Name change is not allowed")
                fields["name"] = name
        if changes.username is not None and changes.username != user.get("username"):
            await self._check_allowed(_USERNAME_ALLOWED, "Username change is not allowed")
            username = await self._registrar.checked_username(
                changes.username, code="error-input-is-not-a-valid-field"
            )
            await self._registrar.check_similar(username, besides=user["_id"])
            put, gone = named(username)
            fields |= put
        if changes.email and not _has_address(user, changes.email):
            await self._check_allowed(_EMAIL_ALLOWED, "Email change is not allowed")
            fields |= changed_address(user, changes.email)
        for field in ("nickname", "bio"):
            value = getattr(changes, field)
            if value is not None:
                fields[field] = value
        for key, value in names.custom_fields(changes.custom_fields or {}).items():
            fields[f"customFields.{key}"] = value
        return fields, gone

    async def _prove(self, user_id: UserId, password: str | None) -> None:
        """Raises: NotAllowed: `totp-required`, `totp-invalid`: no or not the present password."""
        if not password:
            raise second_factor.required("password")
        try:
            await self._check_password(user_id, password)
        except LoginRefused:
            raise second_factor.invalid("password") from None

    async def _check_allowed(self, setting_id: str, reason: str) -> None:
        if not await self._workspace.flag(setting_id):
            raise NotAllowed(reason, code="error-not-allowed")


def _has_address(user: Document, address: str) -> bool:
    wanted = address.strip().casefold()
    emails = user.get("emails") or []
    return any(str(email.get("address", "")).casefold() == wanted for email in emails)
