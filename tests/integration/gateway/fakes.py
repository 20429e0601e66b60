"""The services behind the gateway, as fakes that keep the promises of their contracts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from hubbub.contracts.account import (
    Account,
    FieldTaken,
    Identity,
    LoginExpired,
    LoginRefused,
    LoginResult,
    PasswordPolicy,
    PersonalToken,
    ProfileChanges,
    Registration,
    StoredToken,
    UserChanges,
    UserNotFound,
)
from hubbub.contracts.authorization import (
    Authorization,
    NewRole,
    PermissionRoles,
    RoleChanges,
    RoleNotFound,
    RoomQuestion,
    UnknownPermission,
)
from hubbub.contracts.documents import Changes, Document, Identifier, Page, Paging
from hubbub.contracts.members import LastOwnerLeaves
from hubbub.contracts.messages import (
    ActionNotAllowed,
    History,
    InvalidRoom,
    MessageEdit,
    MessageNotFound,
    MessageTooLong,
    NewMessage,
)
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.presence import (
    CustomStatus,
    CustomStatusNotFound,
    OwnPresence,
    Presence,
    Status,
    UserPresence,
)
from hubbub.contracts.push import Device, Push
from hubbub.contracts.rooms import (
    DuplicateRoomName,
    LastOwner,
    NewRoom,
    NotInRoom,
    RoomNotFound,
    RoomType,
)
from hubbub.contracts.second_factor import NoMailer
from hubbub.contracts.settings import SettingNotFound, WrongSettingValue
from hubbub.contracts.user_roles import NotInRole
from hubbub.contracts.workspace import PERMISSIONS, ROLES
from hubbub.errors import BadRequest, LacksPermission, NotAllowed, Unauthenticated
from hubbub.ids import MessageId, RoomId, UserId, hash_token
from tests.integration.gateway.fake_files import FakeAvatars, FakeFiles
from tests.integration.gateway.fake_marks import FakeMarks
from tests.integration.gateway.fake_members import FakeMembers
from tests.integration.gateway.fake_rooms import FakeDiscussions, FakeRoomLists
from tests.integration.gateway.world import START, Doc, World, page

F = TypeVar("F")

_STORED = {
    "roomName": "name",
    "roomTopic": "topic",
    "roomDescription": "description",
    "roomAnnouncement": "announcement",
    "roomType": "t",
    "roomCustomFields": "customFields",
    "readOnly": "ro",
    "archived": "archived",
    "default": "default",
    "joinCode": "joinCode",
    "encrypted": "encrypted",
}

_PUBLIC_FIELDS = ("_id", "username", "name", "type", "active", "status")


def made(kind: type[F], *arguments: Any) -> F:
    """A fake of `kind`. Actions of its contract that it lacks fail the test that reaches them."""

    async def not_faked(self: F, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    contract: Any = kind
    lacking = {
        name: not_faked
        for name, action in contract.contract_actions.items()
        if getattr(kind, name) is action.function
    }
    complete: Any = type(kind.__name__, (kind,), lacking)
    fake: F = complete(*arguments)
    return fake


class FakeAccount(FakeAvatars, Account):
    """Sign-in, tokens and users of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.personal: dict[tuple[str, str], str] = {}  # (user, name) → token

    async def ask_for_password(self, email: str) -> None:
        self.world.calls.append("ask_for_password")

    async def password_policy(self) -> PasswordPolicy:
        return PasswordPolicy(shortest=8, longest=128)

    async def suggest_username(self, user_id: UserId) -> str:
        return f"{self.world.users[user_id]['username']}-2"

    async def delete_own_account(
        self, user_id: UserId, password: str, confirmed: bool = False
    ) -> None:
        raise NotAllowed("Not allowed")

    async def set_email_factor(self, user_id: UserId, enabled: bool) -> None:
        if enabled:
            raise NoMailer("This server has no way to send e-mail")

    async def send_email_code(self, email_or_username: str) -> None:
        raise NoMailer("This server has no way to send e-mail")

    async def resume(self, tokens: list[str]) -> list[LoginResult | None]:
        raise NotImplementedError

    async def login(self, parameters: dict[str, Any], address: str = "") -> LoginResult:
        self.world.calls.append("login")
        if "resume" in parameters:
            user_id = self.world.tokens.get(hash_token(parameters["resume"]))
            if user_id is None:
                raise LoginExpired("You've been logged out by the server. Please log in again.")
            return self._result(user_id, parameters["resume"], "resume")
        if "totp" in parameters:
            parameters = parameters["totp"]["login"]
        user, password = parameters["user"], parameters["password"]
        if isinstance(user, str):
            user = {"email" if "@" in user else "username": user}
        found = next(
            (
                one
                for one in self.world.users.values()
                if one["username"] == user.get("username")
                or one["emails"][0]["address"] == user.get("email")
                or one["_id"] == user.get("id")
            ),
            None,
        )
        if found is None or password != self.world.passwords[found["_id"]]:
            raise LoginRefused("User not found or incorrect password")
        if not found["active"]:
            raise NotAllowed("User is not activated", code="error-user-is-not-activated")
        token = self.world.new_id("token-")
        self.world.tokens[hash_token(token)] = found["_id"]
        return self._result(found["_id"], token, "password")

    def _result(self, user_id: str, token: str, kind: Literal["resume", "password"]) -> LoginResult:
        return LoginResult(
            user_id=UserId(user_id),
            token=token,
            hashed_token=hash_token(token),
            token_expires=START + timedelta(days=90),
            type=kind,
            user={"username": self.world.users[user_id]["username"]},
        )

    async def logout(self, user_id: UserId, hashed_token: str) -> None:
        self.world.tokens.pop(hashed_token, None)

    async def authenticate(self, user_id: UserId, token: str) -> Identity:
        self.world.calls.append("authenticate")
        return await self.verify_token(user_id, hash_token(token))

    async def verify_tokens(self, tokens: list[StoredToken]) -> list[bool]:
        raise NotImplementedError

    async def verify_token(self, user_id: UserId, hashed_token: str) -> Identity:
        user = self.world.users.get(user_id)
        if user is None or self.world.tokens.get(hashed_token) != user_id or not user["active"]:
            raise Unauthenticated("Invalid user")
        return Identity(
            user_id=user_id,
            username=user["username"],
            name=user["name"],
            roles=user["roles"],
            hashed_token=hashed_token,
        )

    async def remove_other_tokens(self, user_id: UserId, hashed_token: str) -> None:
        for known, owner in list(self.world.tokens.items()):
            if owner == user_id and known != hashed_token:
                del self.world.tokens[known]

    async def register(self, registration: Registration, address: str = "") -> UserId:
        if registration.username and self.world.by_username(registration.username):
            raise FieldTaken(f"{registration.username} is already in use :(")
        if any(
            registration.email == user["emails"][0]["address"] for user in self.world.users.values()
        ):
            raise BadRequest("Email already exists.", code=403)
        user = self.world.add_user(registration.username or "", password=registration.password)
        return UserId(user["_id"])

    async def me(self, user_id: UserId) -> Document:
        return {
            **self.world.users[user_id],
            "settings": {"profile": {}, "preferences": self.world.preferences.get(user_id, {})},
        }

    async def user_info(
        self,
        viewer_id: UserId,
        user_id: str | None = None,
        username: str | None = None,
        email: str | None = None,
        full: bool = False,
        import_id: str | None = None,
    ) -> Document:
        found: Doc | None = None
        if user_id:
            found = self.world.users.get(user_id)
        elif username:
            found = self.world.by_username(username)
        elif email:
            found = next(
                (u for u in self.world.users.values() if u["emails"][0]["address"] == email), None
            )
        if found is None:
            raise UserNotFound("Invalid user")
        is_own = found["_id"] == viewer_id
        sees_all = self.world.may(viewer_id, "view-full-other-user-info")
        if is_own or (full and sees_all):
            return {**found, "lastLogin": START, "canViewAllInfo": True}
        if email and not (user_id or username or sees_all):
            raise UserNotFound("Invalid user")
        return {**{key: found[key] for key in _PUBLIC_FIELDS}, "canViewAllInfo": False}

    def _require(self, user_id: str, permission: str) -> None:
        if not self.world.may(user_id, permission):
            raise LacksPermission

    async def list_users(
        self, viewer_id: UserId, paging: Paging, status_not: str | None = None
    ) -> Page:
        self._require(viewer_id, "view-d-room")
        users = [
            user
            for _, user in sorted(self.world.users.items())
            if status_not is None or user["status"] != status_not
        ]
        return page(users, paging)

    async def create_user(self, creator_id: UserId, user: dict[str, Any]) -> Document:
        if self.world.by_username(user["username"]):
            raise FieldTaken(f"{user['username']} is already in use :(")
        made = self.world.add_user(user["username"], password=user.get("password", ""))
        made["name"] = user["name"]
        return made

    async def delete_user(self, actor_id: UserId, user_id: UserId, confirmed: bool = False) -> None:
        self._require(actor_id, "delete-user")
        self._check_departure(user_id, confirmed=confirmed)
        for room_id, member in list(self.world.memberships):
            if member == user_id:
                self.world.leave(room_id, user_id)
        self.world.users.pop(user_id, None)

    def _check_departure(self, user_id: str, *, confirmed: bool) -> None:
        alone: list[str] = []
        shared: list[str] = []
        for (room_id, member), one in self.world.memberships.items():
            if member != user_id or "owner" not in one.get("roles", ()):
                continue
            others = [
                key for key in self.world.memberships if key[0] == room_id and key[1] != member
            ]
            if not any("owner" in self.world.memberships[key].get("roles", ()) for key in others):
                (shared if others else alone).append(one["name"])
        if (alone or shared) and not confirmed:
            raise LastOwnerLeaves(details={"shouldChangeOwner": shared, "shouldBeRemoved": alone})

    async def is_username_free(self, username: str) -> bool:
        return self.world.by_username(username) is None

    async def update_user(
        self, actor_id: UserId, user_id: UserId, changes: UserChanges, confirmed: bool = False
    ) -> Document:
        given = changes.model_dump(exclude_none=True)
        if actor_id != user_id or not given.keys() <= {"name", "username", "nickname", "bio"}:
            self._require(actor_id, "edit-other-user-info")
        if given.get("active") is False:
            self._check_departure(user_id, confirmed=confirmed)
        self.world.users[user_id].update(given)
        return self.world.users[user_id]

    async def update_profile(
        self, user_id: UserId, changes: ProfileChanges, hashed_token: str
    ) -> Document:
        user = self.world.users[user_id]
        given = changes.model_dump(
            exclude_none=True, exclude={"current_password", "new_password", "email"}
        )
        address = user["emails"][0]["address"]
        if changes.email and changes.email.casefold() != address:
            details = {"method": "password"}
            if not changes.current_password:
                raise NotAllowed("TOTP Required", code="totp-required", details=details)
            if self.world.passwords[user_id] != changes.current_password:
                raise NotAllowed("TOTP Invalid", code="totp-invalid", details=details)
            given["email"] = changes.email
        user.update(given)
        return user

    async def check_password(self, user_id: UserId, password: str) -> None:
        if self.world.passwords[user_id] != password:
            raise LoginRefused("User not found or incorrect password")

    async def set_active(
        self, actor_id: UserId, user_id: UserId, active: bool, confirmed: bool = False
    ) -> None:
        self._require(actor_id, "edit-other-user-active-status")
        if not active:
            self._check_departure(user_id, confirmed=confirmed)
            await self.remove_other_tokens(user_id, "")
        self.world.users[user_id]["active"] = active

    async def sign_out(self, actor_id: UserId, user_id: UserId) -> None:
        if actor_id != user_id:
            self._require(actor_id, "logout-other-user")
        await self.remove_other_tokens(user_id, "")

    async def preferences(self, user_id: UserId) -> Document:
        return self.world.preferences.get(user_id, {})

    async def set_preferences(
        self, actor_id: UserId, user_id: UserId, preferences: dict[str, Any]
    ) -> Document:
        if actor_id != user_id and not self.world.may(actor_id, "edit-other-user-info"):
            raise NotAllowed("Editing user is not allowed", code="error-action-not-allowed")
        own: Doc = self.world.preferences.setdefault(user_id, {})
        own.update(preferences)
        return own

    async def prove_second_factor(
        self,
        user_id: UserId,
        hashed_token: str,
        code: str | None = None,
        method: str | None = None,
    ) -> None:
        wanted = self.world.codes.get(user_id)
        if wanted is not None and code != wanted:
            raise NotAllowed(
                "TOTP Invalid" if code else "TOTP Required",
                code="totp-invalid" if code else "totp-required",
                details={"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]},
            )

    async def add_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool = False
    ) -> str:
        await self.personal_tokens(user_id)
        if (user_id, token_name) in self.personal:
            raise BadRequest("Exists", code="error-token-already-exists")
        token = self.world.new_id("personal-")
        self.personal[user_id, token_name] = token
        self.world.tokens[hash_token(token)] = user_id
        return token

    async def renew_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool | None = None
    ) -> str:
        await self.remove_personal_token(user_id, token_name)
        return await self.add_personal_token(user_id, token_name, bypass_two_factor is True)

    async def remove_personal_token(self, user_id: UserId, token_name: str) -> None:
        token = self.personal.pop((user_id, token_name), None)
        if token is None:
            raise BadRequest("None", code="error-token-does-not-exists")
        del self.world.tokens[hash_token(token)]

    async def personal_tokens(self, user_id: UserId) -> list[PersonalToken]:
        if not self.world.may(user_id, "create-personal-access-tokens"):
            raise NotAllowed("Not Authorized", code="not-authorized")
        return [
            PersonalToken(name=name, created_at=START, last_token_part=token[-6:])
            for (owner, name), token in self.personal.items()
            if owner == user_id
        ]

    async def create_token(
        self, actor_id: UserId, user_id: UserId, secret: str | None = None
    ) -> LoginResult:
        may = self.world.may(actor_id, "user-generate-access-token")
        if actor_id != user_id and not may and secret != "s3cret":
            raise NotAllowed("Not authorized", code="error-not-authorized")
        token = self.world.new_id("token-")
        self.world.tokens[hash_token(token)] = user_id
        return self._result(user_id, token, "resume")

    async def new_token(self, user_id: UserId, hashed_token: str) -> LoginResult:
        del self.world.tokens[hashed_token]
        return await self.create_token(user_id, user_id)

    async def logout_other_clients(self, user_id: UserId, hashed_token: str) -> LoginResult:
        await self.remove_other_tokens(user_id, "")
        return await self.create_token(user_id, user_id)

    async def give_role(self, actor_id: UserId, user_id: UserId, role: str) -> Document:
        self._require(actor_id, "access-permissions")
        if role not in ROLES:
            raise RoleNotFound("This role does not exist")
        self.world.users[user_id]["roles"].append(role)
        return {"_id": role, "name": role}

    async def take_role(self, actor_id: UserId, user_id: UserId, role: str) -> Document:
        self._require(actor_id, "access-permissions")
        if role not in self.world.users[user_id]["roles"]:
            raise NotInRole("User is not in this role")
        self.world.users[user_id]["roles"].remove(role)
        return {"_id": role, "name": role}


class FakeAuthorization(Authorization):
    """Permissions of a new workspace, for the roles of a world's users."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.revoked = world.revoked

    def _holds(self, user_id: str | None, permission: str) -> bool:
        return self.world.may(user_id, permission)

    async def has_permission(
        self, user_id: UserId | None, permission: str, room_id: RoomId | None = None
    ) -> bool:
        return self._holds(user_id, permission)

    async def has_all_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        return all(self._holds(user_id, one) for one in permissions)

    async def has_at_least_one_permission(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        return any(self._holds(user_id, one) for one in permissions)

    async def held_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> list[str]:
        return [one for one in permissions if self._holds(user_id, one)]

    async def has_any_role(
        self, user_id: UserId, roles: list[str], room_id: RoomId | None = None
    ) -> bool:
        return bool(set(self.world.users[user_id]["roles"]) & set(roles))

    async def can_access_room_id(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        room = self.world.rooms.get(room_id)
        return room is not None and self.world.can_see(room, user_id)

    async def can_read_room(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        return await self.can_access_room_id(room_id, user_id)

    async def judge_rooms(self, questions: list[RoomQuestion]) -> list[bool | None]:
        return [await self.can_access_room_id(one.room_id, one.user_id) for one in questions]

    async def accessible_rooms(self, room_ids: list[RoomId], user_id: UserId) -> list[RoomId]:
        return [one for one in room_ids if await self.can_access_room_id(one, user_id)]

    async def permissions(self, updated_since: datetime | None = None) -> Changes:
        update: list[Doc] = [
            {"_id": name, "roles": list(roles), "_updatedAt": START}
            for name, roles in PERMISSIONS.items()
        ]
        return Changes(update=update, remove=[{"_id": "old", "_deletedAt": START}])

    async def roles(self) -> list[Document]:
        return [{"_id": name, "name": name, "scope": scope} for name, (scope, _) in ROLES.items()]

    async def administrators(self) -> list[Document]:
        return await self.users_in_public_roles()

    async def users_in_public_roles(self) -> list[Document]:
        return [
            {"_id": user["_id"], "username": user["username"], "roles": ["admin"]}
            for user in self.world.users.values()
            if "admin" in user["roles"]
        ]

    def _check_administrator(self, user_id: UserId) -> None:
        if not self._holds(user_id, "access-permissions"):
            raise LacksPermission

    async def roles_changed(self, updated_since: datetime) -> Changes:
        return Changes(update=await self.roles(), remove=[])

    async def find_role(self, role: str) -> Document:
        for one in await self.roles():
            if role in (one["_id"], one["name"]):
                return one
        raise RoleNotFound("This role does not exist")

    async def create_role(self, user_id: UserId, role: NewRole) -> Document:
        self._check_administrator(user_id)
        return {"_id": self.world.new_id("role"), "name": role.name, "scope": role.scope}

    async def update_role(self, user_id: UserId, role_id: str, changes: RoleChanges) -> Document:
        self._check_administrator(user_id)
        return await self.find_role(role_id)

    async def delete_role(self, user_id: UserId, role: str) -> None:
        self._check_administrator(user_id)
        await self.find_role(role)

    async def update_permissions(
        self, user_id: UserId, permissions: list[PermissionRoles]
    ) -> list[Document]:
        self._check_administrator(user_id)
        if any(one.id not in PERMISSIONS for one in permissions):
            raise UnknownPermission("Invalid permission")
        return (await self.permissions()).update

    async def users_in_role(
        self, user_id: UserId, role: str, paging: Paging, room_id: RoomId | None = None
    ) -> Page:
        self._check_administrator(user_id)
        found = await self.find_role(role)
        return page([u for u in self.world.users.values() if found["_id"] in u["roles"]], paging)


class FakePush(Push):
    """Devices of a world's users, by token."""

    def __init__(self, world: World) -> None:
        self.devices: dict[str, Doc] = {}

    async def register_token(
        self, user_id: UserId, device: Device, hashed_token: str | None = None
    ) -> Document:
        token = {device.kind.value: device.value}
        self.devices[device.value] = {"_id": device.id, "token": token, "userId": user_id}
        return self.devices[device.value]

    async def remove_token(self, user_id: UserId, value: str) -> bool:
        return self.devices.pop(value, None) is not None

    async def tokens_of(self, user_id: UserId) -> list[Document]:
        return [one for one in self.devices.values() if one["userId"] == user_id]


class FakePresence(Presence):
    """What a world's users chose."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.texts: dict[str, str] = {}

    async def set_status(
        self, user_id: UserId, status: Status | None = None, text: str | None = None
    ) -> None:
        if status is not None:
            self.world.users[user_id]["status"] = status.value
        if text is not None:
            self.texts[user_id] = text

    async def own_presence(self, user_id: UserId) -> OwnPresence:
        status = Status(self.world.users[user_id]["status"])
        return OwnPresence(
            status=status,
            connection=Status.ONLINE,
            default=status,
            text=self.texts.get(user_id, ""),
        )

    async def presence_of(self, user_ids: list[UserId]) -> list[UserPresence]:
        return [self._shown(one) for one in user_ids if one in self.world.users]

    async def everybody_present(self) -> list[UserPresence]:
        shown = [self._shown(UserId(one)) for one in self.world.users]
        return [one for one in shown if one.status is not Status.OFFLINE]

    def _shown(self, user_id: UserId) -> UserPresence:
        user = self.world.users[user_id]
        return UserPresence(
            user_id=user_id,
            username=user["username"],
            name=user["name"],
            status=Status(user["status"]),
            status_text=self.texts.get(user_id, ""),
        )

    async def changed_since(self, moment: datetime) -> list[UserPresence]:
        return [self._shown(user_id) for user_id in map(UserId, self.world.users)]

    async def custom_statuses(
        self, paging: Paging, status_id: str | None = None, name: str | None = None
    ) -> Page:
        return page([], paging)

    def _check_manager(self, user_id: UserId) -> None:
        if not self.world.may(user_id, "manage-user-status"):
            raise NotAllowed("Not authorized", code="not_authorized")

    async def create_custom_status(self, user_id: UserId, status: CustomStatus) -> Document:
        self._check_manager(user_id)
        return {"_id": self.world.new_id("status"), "name": status.name}

    async def update_custom_status(
        self, user_id: UserId, status_id: str, status: CustomStatus
    ) -> Document:
        self._check_manager(user_id)
        raise CustomStatusNotFound("Invalid user status")

    async def delete_custom_status(self, user_id: UserId, status_id: str) -> None:
        self._check_manager(user_id)
        raise CustomStatusNotFound("Invalid user status")


class FakeMessaging(FakeFiles, FakeMarks, FakeMembers, FakeDiscussions, FakeRoomLists, Messaging):
    """Rooms and messages of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    # -- messages

    async def send_message(
        self, user_id: UserId, message: NewMessage, allow_empty: bool = False
    ) -> Document:
        if not message.text and not message.attachments and not allow_empty:
            raise BadRequest("A message needs a text", code="error-empty-message")
        room = self.world.rooms.get(message.room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        if (room["_id"], user_id) not in self.world.memberships:
            raise NotAllowed("Not allowed")
        if len(message.text) > 5000:
            raise MessageTooLong("Message is too long")
        if message.alias or message.avatar or message.emoji:
            raise ActionNotAllowed("Not enough permission")
        assert message.id is not None, "an id must be chosen before the first attempt"
        known = self.world.messages.get(message.id)
        if known is not None:
            return known
        user = self.world.users[user_id]
        now = self.world.now()
        stored: Doc = {
            "_id": message.id,
            "rid": message.room_id,
            "msg": message.text,
            "ts": now,
            "_updatedAt": now,
            "u": {"_id": user_id, "username": user["username"], "name": user["name"]},
            "mentions": [],
            "urls": [],
        }
        if message.attachments is not None:
            stored["attachments"] = message.attachments
        if message.thread_id is not None:
            stored["tmid"] = message.thread_id
        self.world.messages[message.id] = stored
        room["msgs"] += 1
        return stored

    def _readable(self, user_id: str | None, message_id: str) -> Doc:
        message = self.world.messages.get(message_id)
        if message is None or not self.world.can_see(self.world.rooms[message["rid"]], user_id):
            raise MessageNotFound("No such message")
        return message

    async def update_message(self, user_id: UserId, edit: MessageEdit) -> Document | None:
        message = self.world.messages.get(edit.id)
        if message is None or message["msg"] == edit.text:
            return None
        if message["u"]["_id"] != user_id:
            raise ActionNotAllowed("Message editing not allowed")
        now = self.world.now()
        message |= {"msg": edit.text, "editedAt": now, "_updatedAt": now}
        message["editedBy"] = {"_id": user_id, "username": message["u"]["username"]}
        return message

    async def delete_message(self, user_id: UserId, message_id: MessageId) -> Document:
        message = self._readable(user_id, message_id)
        if message["u"]["_id"] != user_id:
            raise ActionNotAllowed("Not allowed")
        del self.world.messages[message_id]
        gone = {"_id": message_id, "_deletedAt": self.world.now()}
        self.world.deleted.append({**gone, "rid": message["rid"]})
        return {"_id": message_id, "rid": message["rid"], "ts": message["ts"]}

    async def set_reaction(
        self, user_id: UserId, reaction: str, message_id: MessageId, should_react: bool
    ) -> Document:
        return self._react(user_id, reaction, message_id, should_react)

    async def toggle_reaction(
        self, user_id: UserId, reaction: str, message_id: MessageId
    ) -> Document:
        return self._react(user_id, reaction, message_id, None)

    def _react(
        self, user_id: UserId, reaction: str, message_id: MessageId, should_react: bool | None
    ) -> Document:
        message = self._readable(user_id, message_id)
        names = message.setdefault("reactions", {}).setdefault(
            f":{reaction.strip(':')}:", {"usernames": []}
        )["usernames"]
        username = self.world.users[user_id]["username"]
        wanted = username not in names if should_react is None else should_react
        if wanted and username not in names:
            names.append(username)
        elif not wanted and username in names:
            names.remove(username)
        return message

    async def get_message(self, user_id: UserId, message_id: MessageId) -> Document:
        return self._readable(user_id, message_id)

    async def history(
        self,
        user_id: UserId | None,
        room_id: RoomId,
        latest: datetime | None = None,
        oldest: datetime | None = None,
        inclusive: bool = False,
        count: int = 20,
        offset: int = 0,
        last_seen: datetime | None = None,
        show_thread_messages: bool = True,
    ) -> History:
        self.world.calls.append("history")
        assert count <= 100, "the contract gives at most 100"
        room = self.world.rooms.get(room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        if not self.world.can_see(room, user_id):
            raise NotAllowed("Not allowed")
        found = [
            message
            for message in self.world.in_room(room_id)
            if (latest is None or message["ts"] < latest or (inclusive and message["ts"] == latest))
            and (
                oldest is None or message["ts"] > oldest or (inclusive and message["ts"] == oldest)
            )
            and (show_thread_messages or "tmid" not in message)
        ]
        shown = found[offset : offset + count]
        if last_seen is None:
            return History(messages=shown)
        unread = [message for message in found if message["ts"] > last_seen]
        return History(
            messages=shown,
            first_unread=unread[-1] if unread else None,
            unread_not_loaded=max(0, len(unread) - offset - count),
        )

    async def thread_messages(self, user_id: UserId, thread_id: MessageId, paging: Paging) -> Page:
        parent = self._readable(user_id, thread_id)
        replies = self.world.in_room(parent["rid"])[::-1]
        return page([one for one in replies if one.get("tmid") == thread_id], paging)

    # -- rooms

    async def create_room(self, user_id: UserId, room: NewRoom) -> Document:
        if "guest" in self.world.users[user_id]["roles"]:
            raise NotAllowed("Not allowed")
        if any(known.get("name") == room.name for known in self.world.rooms.values()):
            raise DuplicateRoomName(f"A channel with name '{room.name}' exists")
        owner = self.world.users[user_id]["username"]
        members = [name for name in room.members if self.world.by_username(name)]
        return self.world.add_room(room.type, room.name, owner, *members)

    async def create_direct(
        self, user_id: UserId, usernames: list[str], exclude_self: bool = False
    ) -> Document:
        me = self.world.users[user_id]["username"]
        for username in usernames:
            if self.world.by_username(username) is None:
                raise UserNotFound("Invalid user")
        names = sorted({me, *usernames})
        for room in self.world.rooms.values():
            if room.get("usernames") == names:
                return {**room, "rid": room["_id"]}
        room = self.world.add_room("d", None, None, *names)
        room["usernames"] = names
        return {**room, "rid": room["_id"]}

    async def join_room(
        self, user_id: UserId, room_id: RoomId, join_code: str | None = None
    ) -> Document:
        room = self.world.rooms.get(room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        if room["t"] != "c":
            raise NotAllowed("Not allowed")
        if (room_id, user_id) not in self.world.memberships:
            self.world.join(room_id, user_id)
        return room

    def _owners(self, room_id: str) -> list[str]:
        return [
            user_id
            for (rid, user_id), membership in self.world.memberships.items()
            if rid == room_id and "owner" in membership.get("roles", ())
        ]

    async def leave_room(self, user_id: UserId, room_id: RoomId) -> None:
        if (room_id, user_id) not in self.world.memberships:
            raise NotInRoom("User is not in this room")
        if self._owners(room_id) == [user_id]:
            raise LastOwner("You are the last owner. Please set new owner before leaving the room.")
        self.world.leave(room_id, user_id)

    async def add_users(self, user_id: UserId, room_id: RoomId, usernames: list[str]) -> Document:
        for username in usernames:
            user = self.world.by_username(username)
            if user is None:
                raise UserNotFound("Invalid user")
            if (room_id, user["_id"]) not in self.world.memberships:
                self.world.join(room_id, user["_id"])
        return self.world.rooms[room_id]

    async def remove_user(self, user_id: UserId, room_id: RoomId, username: str) -> Document:
        user = self.world.by_username(username)
        if user is None or (room_id, user["_id"]) not in self.world.memberships:
            raise NotInRoom("User is not in this room")
        self.world.leave(room_id, user["_id"])
        return self.world.rooms[room_id]

    async def read_room(self, user_id: UserId, room_id: RoomId, read_threads: bool = False) -> None:
        membership = self.world.memberships.get((room_id, user_id))
        if membership is not None:
            membership |= {"unread": 0, "alert": False, "ls": self.world.now()}

    async def room_id_of(self, user_id: UserId, name_or_id: str) -> RoomId:
        for room in self.world.rooms.values():
            if name_or_id in (room["_id"], room.get("name")) and self.world.can_see(room, user_id):
                return RoomId(room["_id"])
        me = self.world.users[user_id]["username"]
        for room in self.world.rooms.values():
            if room.get("usernames") == sorted({me, name_or_id}):
                return RoomId(room["_id"])
        raise NotAllowed("Not allowed")

    async def get_room(
        self,
        user_id: UserId | None,
        room_id: str | None = None,
        name: str | None = None,
        types: list[RoomType] | None = None,
    ) -> Document:
        for room in self.world.rooms.values():
            named = room["_id"] == room_id if room_id else room.get("name") == name
            wanted = not types or room["t"] in types
            if named and wanted and self.world.can_see(room, user_id):
                return room
        raise RoomNotFound("No such room")

    def _rooms_of(self, user_id: str | None) -> list[Doc]:
        return [self.world.rooms[rid] for rid, uid in self.world.memberships if uid == user_id]

    async def rooms_of(
        self, user_id: UserId | None, updated_since: datetime | None = None
    ) -> Changes:
        update = [
            room
            for room in self._rooms_of(user_id)
            if updated_since is None or room["_updatedAt"] > updated_since
        ]
        return Changes(update=update, remove=[{"_id": "gone", "_deletedAt": START}])

    async def subscriptions_of(
        self, user_id: UserId | None, updated_since: datetime | None = None
    ) -> Changes:
        update = [one for (_, uid), one in self.world.memberships.items() if uid == user_id]
        return Changes(update=update, remove=[{"_id": "gone", "_deletedAt": START}])

    async def subscription_of(self, user_id: UserId, room_id: RoomId) -> Document | None:
        return self.world.memberships.get((room_id, user_id))

    async def list_rooms(
        self,
        user_id: UserId,
        room_type: Literal["c", "p"],
        paging: Paging,
        joined_only: bool = False,
        name: str | None = None,
        name_part: str | None = None,
    ) -> Page:
        mine = {room["_id"] for room in self._rooms_of(user_id)}
        rooms = [
            room
            for room in sorted(self.world.rooms.values(), key=lambda one: str(one.get("name")))
            if room["t"] == room_type
            and (not joined_only or room["_id"] in mine)
            and (name is None or name == room["name"])
            and (name_part is None or name_part in room["name"])
        ]
        return page(rooms, paging)

    async def members(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        name_filter: str | None = None,
        online_only: bool = False,
        statuses: list[str] | None = None,
    ) -> Page:
        users = [self.world.users[uid] for rid, uid in self.world.memberships if rid == room_id]
        shown = [
            {key: user[key] for key in ("_id", "username", "name", "status")}
            for user in sorted(users, key=lambda one: str(one["username"]))
            if (not online_only or user["status"] != "offline")
            and (not statuses or user["status"] in statuses)
            and (name_filter is None or name_filter in user["username"])
        ]
        return page(shown, paging)

    async def set_room_open(self, user_id: UserId, room_id: RoomId, is_open: bool) -> bool:
        membership = self.world.memberships.get((room_id, user_id))
        if membership is not None:
            membership["open"] = is_open
        return membership is not None

    async def set_favorite(self, user_id: UserId, room_id: RoomId, favorite: bool) -> bool:
        membership = self.world.memberships.get((room_id, user_id))
        if membership is not None:
            membership["f"] = favorite
        return membership is not None

    async def erase_room(self, user_id: UserId, room_id: RoomId) -> None:
        if self._owners(room_id) != [user_id]:
            raise NotAllowed("Not allowed")
        del self.world.rooms[room_id]
        for key in [key for key in self.world.memberships if key[0] == room_id]:
            del self.world.memberships[key]

    async def save_room_settings(
        self, user_id: UserId, room_id: RoomId, settings: dict[str, Any]
    ) -> Document:
        if user_id not in self._owners(room_id):
            raise NotAllowed("Not allowed")
        room = self.world.rooms[room_id]
        for key, value in settings.items():
            room[_STORED[key]] = value
            if key == "joinCode":
                room["joinCodeRequired"] = bool(value)
        return {key: value for key, value in room.items() if key != "joinCode"}

    async def room_roles(self, user_id: UserId, room_id: RoomId) -> list[Document]:
        return [
            {"_id": one["_id"], "rid": rid, "u": one["u"], "roles": one["roles"]}
            for (rid, _), one in self.world.memberships.items()
            if rid == room_id and one.get("roles")
        ]

    async def find_users_and_rooms(
        self,
        user_id: UserId,
        text: Identifier,
        users: bool = True,
        rooms: bool = True,
        except_usernames: list[str] | None = None,
        room_id: str | None = None,
    ) -> dict[str, list[Document]]:
        found_users = [
            {"_id": user["_id"], "username": user["username"], "name": user["name"]}
            for user in self.world.users.values()
            if users
            and text in user["username"]
            and user["username"] not in (except_usernames or ())
        ]
        found_rooms = [
            {"_id": room["_id"], "name": room["name"], "t": room["t"]}
            for room in self.world.rooms.values()
            if rooms and text in room.get("name", "") and self.world.can_see(room, user_id)
        ]
        return {"users": found_users[:5], "rooms": found_rooms[:5]}

    # -- workspace

    async def public_settings(self, updated_since: datetime | None = None) -> Changes:
        update = [self._setting(id_) for id_ in self.world.settings]
        return Changes(update=update, remove=[])

    async def list_public_settings(self, paging: Paging, ids: list[str] | None = None) -> Page:
        self.world.calls.append("list_public_settings")
        wanted = [
            self._setting(id_) for id_ in sorted(self.world.settings) if not ids or id_ in ids
        ]
        return page(wanted, paging)

    def _setting(self, id_: str) -> Doc:
        return {"_id": id_, "value": self.world.settings[id_], "type": "string"}

    async def setting_values(self, setting_ids: list[str]) -> Document:
        return {id_: self.world.settings[id_] for id_ in setting_ids if id_ in self.world.settings}

    async def list_settings(
        self, user_id: UserId, paging: Paging, setting_ids: list[str] | None = None
    ) -> Page:
        return await self.list_public_settings(paging, setting_ids)

    async def get_setting(self, user_id: UserId, setting_id: str) -> Document:
        if not self.world.may(user_id, "view-privileged-setting"):
            raise LacksPermission
        if setting_id not in self.world.settings:
            raise SettingNotFound("There is no such setting")
        return self._setting(setting_id)

    async def set_setting(
        self, user_id: UserId, setting_id: str, value: Any, editor: str | None = None
    ) -> None:
        if not self.world.may(user_id, "edit-privileged-setting"):
            raise LacksPermission
        if setting_id not in self.world.settings:
            raise SettingNotFound("There is no such setting")
        if type(value) is not type(self.world.settings[setting_id]):
            raise WrongSettingValue("wrong", details={"problem": "must be string"})
        self.world.settings[setting_id] = value

    async def statistics(self, refresh: bool = False) -> Document:
        counts = {"totalUsers": len(self.world.users), "totalMessages": len(self.world.messages)}
        return {**counts, "activeUsers": len(self.world.users)}

    async def list_statistics(self, paging: Paging) -> Page:
        return page([await self.statistics()], paging)
