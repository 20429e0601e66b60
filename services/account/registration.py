"""Making accounts: by registration, by an administrator, and the first ones of a workspace."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from hubbub.contracts.account import FieldTaken, Registration
from hubbub.contracts.documents import Frozen, Text
from hubbub.contracts.workspace import BOT_USER_ID
from hubbub.errors import BadRequest, Invalid
from hubbub.ids import UserId, random_id
from hubbub.mongo import Document
from hubbub.telemetry.log import get_logger
from hubbub.workspace_settings import WorkspaceSettings
from services.account import lookalikes, names
from services.account.default_rooms import DefaultRooms
from services.account.metrics import AccountMetrics
from services.account.passwords import Passwords
from services.account.settings import AccountSettings, AdministratorSettings
from services.account.store.fields import password_field
from services.account.store.users import MongoUserStore, Taken
from services.account.store.workspace import MongoWorkspaceStore

log = get_logger(__name__)

REGISTRATION_FORM = "Accounts_RegistrationForm"
REGISTRATION_SECRET = "Accounts_RegistrationForm_SecretURL"  # noqa: S105  a setting's id

_SECRET_FORMS = ("Secret URL", "Secret_URL")  # the two spellings that are about
_NUMBERED = 20  # suggestions that end in a number, before a random one

FIRST_ADMINISTRATOR = "first-administrator"
"""The mark that there is, or once was, an administrator."""


class AdministratorImpossible(Exception):
    """The administrator of the settings cannot be made; the text says why."""


class NewUser(Frozen):
    """What an administrator enters; every field that may be set, and no other."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, strict=True)

    name: Text
    email: Text
    username: Text
    password: Text | None = Field(default=None, repr=False)
    active: bool = True
    roles: list[Text] = Field(default=["user"], max_length=50)
    verified: bool = False
    join_default_rooms: bool = Field(default=True, alias="joinDefaultChannels")
    require_password_change: bool = Field(default=False, alias="requirePasswordChange")
    random_password: bool = Field(default=False, alias="setRandomPassword")
    custom_fields: dict[str, Any] = Field(default={}, alias="customFields")
    bio: Text | None = Field(default=None, max_length=260)
    nickname: Text | None = Field(default=None, max_length=120)
    status_text: Text | None = Field(default=None, alias="statusText", max_length=120)

    def optional(self) -> Document:
        """The fields that are only stored when they are there."""
        fields = {
            "bio": self.bio,
            "nickname": self.nickname,
            "statusText": self.status_text,
            "customFields": names.custom_fields(self.custom_fields) or None,
            "requirePasswordChange": self.require_password_change or None,
        }
        return {key: value for key, value in fields.items() if value is not None}


class Registrar:
    """Makes accounts."""

    def __init__(
        self,
        users: MongoUserStore,
        marks: MongoWorkspaceStore,
        passwords: Passwords,
        workspace: WorkspaceSettings,
        settings: AccountSettings,
        metrics: AccountMetrics,
        rooms: DefaultRooms,
        now: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._marks = marks
        self._passwords = passwords
        self._workspace = workspace
        self._settings = settings
        self._metrics = metrics
        self._rooms = rooms
        self.now = now
        self._administrator_known = False

    async def register(self, registration: Registration) -> UserId:
        """Make an account for a stranger. Raises: what `Account.register` raises."""
        form = await self._workspace.text(REGISTRATION_FORM)
        is_open = form == "Public" or (
            form in _SECRET_FORMS and await self.is_secret(registration.secret or "")
        )
        if not is_open:
            raise BadRequest(
                "User registration is disabled", code="error-user-registration-disabled"
            )
        address = names.address(registration.email)
        username = registration.username
        if username is not None:
            username = await self.checked_username(username)
            await self.check_similar(username)
        stored = await self._passwords.hash(self.digest(registration.password))
        needs_approval = await self._workspace.flag("Accounts_ManuallyApproveNewUsers")
        user = self.document(
            username=username,
            name=names.display_name(registration.name) or username or "",
            address=address,
            stored_password=stored,
        )
        user["active"] = not needs_approval
        if registration.custom_fields:
            user["customFields"] = names.custom_fields(registration.custom_fields)
        if registration.reason:
            user["reason"] = registration.reason[:1000]
        try:
            await self._insert(user)
        except Taken as taken:
            if taken.field == "email":
                raise BadRequest("Email already exists.", code=403) from None
            raise field_taken(taken, username, address) from None
        self._metrics.registrations.labels("registration").inc()
        if username is not None:
            await self._rooms.join_soon(user["_id"])
        return UserId(user["_id"])

    async def is_secret(self, secret: str) -> bool:
        """Whether this is the secret of an address behind which accounts are made."""
        if await self._workspace.text(REGISTRATION_FORM) not in _SECRET_FORMS:
            return False
        right = await self._workspace.text(REGISTRATION_SECRET)
        return bool(right) and hmac.compare_digest(secret.encode(), right.encode())

    async def create(self, fields: dict[str, Any]) -> Document:
        """Make an account for somebody else; its document. The caller has the right to.

        Raises: FieldTaken; BadRequest; Invalid.
        """
        new = read_new_user(fields)
        if not new.password and not new.random_password:
            raise BadRequest("The password is missing", code="error-password-policy-not-met")
        username = await self.checked_username(
            new.username, code="error-input-is-not-a-valid-field"
        )
        await self.check_similar(username)
        address = names.address(new.email)
        password = new.password or secrets.token_urlsafe(16)
        user = (
            self.document(
                username=username,
                name=names.display_name(new.name) or username,
                address=address,
                stored_password=await self._passwords.hash(self.digest(password)),
                roles=list(dict.fromkeys(new.roles)) or ["user"],
                verified=new.verified,
            )
            | new.optional()
        )
        user["active"] = new.active
        if not new.join_default_rooms:
            del user["defaultRoomsPending"]
        try:
            await self._users.insert(user)
        except Taken as taken:
            raise field_taken(taken, username, address) from None
        self._metrics.registrations.labels("administrator").inc()
        if new.join_default_rooms:
            await self._rooms.join_soon(user["_id"])
        return user

    async def ensure_administrator(self, administrator: AdministratorSettings) -> None:
        """Make the administrator of the settings, once in the life of the workspace.

        Raises: AdministratorImpossible.
        """
        if not administrator.username or await self._had_administrator():
            return
        try:
            username = await self.checked_username(administrator.username)
            digest = self.digest(administrator.password.get_secret_value())
            address = names.address(administrator.email) if administrator.email else None
        except BadRequest as error:
            raise AdministratorImpossible(f"HUBBUB_ADMIN_*: {error.reason}") from None
        user = self.document(
            username=username,
            name=names.display_name(administrator.name) or username,
            address=address,
            stored_password=await self._passwords.hash(digest),
            roles=["admin", "user"],
            verified=True,
        )
        try:
            made = await self._users.insert_once(user, FIRST_ADMINISTRATOR)
        except Taken as taken:
            raise AdministratorImpossible(
                f"HUBBUB_ADMIN_*: an ordinary user already has this {taken.field}"
            ) from None
        if made:
            log.info("first_administrator_made", username=username)
            self._rooms.look()

    async def ensure_bot(self) -> None:
        """Make the built-in bot, which nobody can sign in as."""
        now = self.now()
        bot = {
            "_id": BOT_USER_ID,
            "username": BOT_USER_ID,
            "name": self._settings.bot_name,
            "type": "bot",
            "active": True,
            "roles": ["bot"],
            "status": "online",
            "statusDefault": "online",
            "createdAt": now,
            "_updatedAt": now,
        }
        try:
            await self._users.insert_missing(bot)
        except Taken:
            log.warning("bot_name_taken", username=BOT_USER_ID)

    async def checked_username(self, text: str, *, code: str = "username-invalid") -> str:
        """`text` as a username of this workspace. Raises: BadRequest."""
        pattern = await self._workspace.text(names.USERNAME_PATTERN)
        return names.username(text, pattern, code=code)

    async def check_similar(self, username: str, *, besides: str = "") -> None:
        """Raises: FieldTaken: somebody else's username looks the same, or is the same."""
        shape = lookalikes.shape(username)
        if await self._users.has_username(
            username, shape, besides=besides
        ) or await self._users.has_shape(shape, besides=besides):
            raise FieldTaken(f"{username} is already in use :(", details={"field": "username"})

    async def suggestion(self, user_id: UserId) -> str | None:
        """A free username for somebody; None: no such user."""
        user = await self._users.find(user_id, ["name", "emails"])
        if user is None:
            return None
        addresses = [str(email.get("address", "")) for email in user.get("emails") or []]
        for candidate in names.suggestions(str(user.get("name") or ""), addresses, _NUMBERED):
            try:
                username = await self.checked_username(candidate)
                await self.check_similar(username)
            except BadRequest:
                continue
            return username
        return f"user-{random_id(8)}"

    def digest(self, password: str) -> str:
        """The digest of a new password. Raises: BadRequest."""
        return names.password_digest(
            password,
            shortest=self._settings.min_password,
            longest=self._settings.max_password,
            refuse_common=self._settings.refuse_common_passwords,
        )

    def document(
        self,
        *,
        username: str | None,
        name: str,
        address: str | None,
        stored_password: str,
        roles: list[str] | None = None,
        verified: bool = False,
    ) -> Document:
        """A new user. With a username it is marked to join the default rooms."""
        now = self.now()
        user: Document = {
            "_id": random_id(),
            "createdAt": now,
            "name": name,
            "type": "user",
            "status": "offline",
            "active": True,
            "roles": roles or ["user"],
            "services": {
                "password": {password_field(stored_password).rpartition(".")[2]: stored_password}
            },
            "_updatedAt": now,
        }
        if address is not None:
            user["emails"] = [{"address": address, "verified": verified}]
        if username is not None:
            user |= named(username)[0] | {"defaultRoomsPending": True}
        return user

    async def _insert(self, user: Document) -> None:
        """Add a user, as administrator if the workspace never had one. Raises: Taken."""
        if not await self._had_administrator():
            first = user | {"roles": ["admin", "user"], "active": True}
            if await self._users.insert_once(first, FIRST_ADMINISTRATOR):
                log.info("first_user_is_administrator")
                return
        await self._users.insert(user)

    async def _had_administrator(self) -> bool:
        if self._administrator_known:
            return True
        if await self._marks.is_marked(FIRST_ADMINISTRATOR):
            self._administrator_known = True
        elif await self._users.administrators(1):  # made by another server, before Hubbub
            await self._marks.mark(FIRST_ADMINISTRATOR)
            self._administrator_known = True
        return self._administrator_known


def named(username: str) -> tuple[Document, Document]:
    """What to store for a username, and what to remove."""
    shape = lookalikes.shape(username)
    if shape == username.casefold():
        return {"username": username}, {"usernameShape": 1}
    return {"username": username, "usernameShape": shape}, {}


def read_new_user(fields: dict[str, Any]) -> NewUser:
    """Raises: Invalid: with the faulty fields, never with their values."""
    try:
        return NewUser.model_validate({k: v for k, v in fields.items() if v is not None})
    except ValidationError as error:
        faults = [
            {"path": ".".join(map(str, fault["loc"])), "problem": fault["msg"]}
            for fault in error.errors(include_url=False, include_input=False)
        ]
        reason = "; ".join(f"{fault['path']}: {fault['problem']}" for fault in faults)
        raise Invalid(reason, details={"fields": faults}) from None


def field_taken(taken: Taken, username: str | None, address: str | None) -> FieldTaken:
    """What a client gets when another user has the name or address."""
    value = address if taken.field == "email" else username
    return FieldTaken(f"{value} is already in use :(", details={"field": taken.field})
