"""The methods that clients call by name, through DDP or through REST's `method.call`.

Each is a thin door to one action of a contract. To add one: a row here, an action in the
contract, its implementation in the service. `login`, `logout` and whatever else needs the
socket itself are not here but in the streamer.
"""

from __future__ import annotations

from typing import Any, Literal

from hubbub.contracts.account import Registration
from hubbub.contracts.documents import Changes, Document, Identifier, Paging, Text
from hubbub.contracts.messages import MessageEdit, MessageNotFound, NewMessage
from hubbub.contracts.presence import Status, UnknownStatus
from hubbub.contracts.rooms import NewRoom, RoomNotFound, RoomType
from hubbub.doors.parameters import (
    EjsonDate,
    Limit,
    MessageReference,
    NewAccount,
    RoomExtra,
    RoomUser,
    RoomUsers,
    Since,
    SpotlightKinds,
    ThreadReference,
    Username,
    Window,
)
from hubbub.doors.table import METHODS, NOTHING, Call, Caller, Method, Nothing, Services, method
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import MessageId, RoomId, random_id

__all__ = ["METHODS", "NOTHING", "Call", "Caller", "Method", "Nothing", "Services"]


def _listed(changes: Changes, since: object) -> list[Document] | dict[str, Any]:
    """The two answers of the `…/get` methods: a plain list, or what changed since a date."""
    if since is None:
        return changes.update
    return {"update": changes.update, "remove": changes.remove}


# -- messages -----------------------------------------------------------------------------------


@method("sendMessage")
async def send_message(call: Call, message: NewMessage) -> Document:
    """Send a message; the stored message."""
    if message.id is None:
        # Made here, before the first attempt, so that a repeated attempt is the same message.
        message = message.model_copy(update={"id": random_id()})
    return await call.services.messaging.send_message(call.user_id, message)


@method("updateMessage")
async def update_message(call: Call, edit: MessageEdit) -> Nothing:
    """Change a message."""
    await call.services.messaging.update_message(call.user_id, edit)
    return NOTHING


@method("deleteMessage")
async def delete_message(call: Call, message: MessageReference | Identifier) -> Nothing:
    """Delete a message."""
    message_id = message.id if isinstance(message, MessageReference) else message
    await call.services.messaging.delete_message(call.user_id, MessageId(message_id))
    return NOTHING


@method("setReaction")
async def set_reaction(
    call: Call, reaction: Identifier, message_id: Identifier, should_react: bool | None = None
) -> Nothing:
    """Add or remove a reaction; toggles when not told which."""
    await call.services.messaging.set_reaction(
        call.user_id, reaction, MessageId(message_id), should_react
    )
    return NOTHING


@method("loadHistory", parallel_safe=True, anonymous=True)
async def load_history(
    call: Call,
    room_id: Identifier,
    end: EjsonDate | None = None,
    limit: Limit = 20,
    last_seen: Since = None,
    show_thread_messages: bool = True,
) -> dict[str, Any] | Literal[False]:
    """Messages before a date, newest first; false without access."""
    try:
        history = await call.services.messaging.history(
            call.caller.user_id,
            RoomId(room_id),
            latest=end,
            count=min(limit, 100),
            last_seen=last_seen,
            show_thread_messages=show_thread_messages,
        )
    except NotAllowed:
        return False
    answer: dict[str, Any] = {
        "messages": history.messages,
        "unreadNotLoaded": history.unread_not_loaded,
    }
    if history.first_unread is not None:
        answer["firstUnread"] = history.first_unread
    return answer


@method("loadNextMessages", parallel_safe=True)
async def load_next_messages(
    call: Call, room_id: Identifier, start: EjsonDate, limit: Limit = 20
) -> dict[str, Any]:
    """Messages after a date, oldest first."""
    messages = await call.services.messaging.next_messages(
        call.user_id, RoomId(room_id), start, min(limit, 100)
    )
    return {"messages": messages}


@method("loadMissedMessages", parallel_safe=True)
async def load_missed_messages(
    call: Call, room_id: Identifier, start: EjsonDate
) -> list[Document] | Literal[False]:
    """Messages sent or edited since a date; false without access."""
    try:
        return await call.services.messaging.missed_messages(call.user_id, RoomId(room_id), start)
    except NotAllowed:
        return False


@method("loadSurroundingMessages", parallel_safe=True)
async def load_surrounding_messages(
    call: Call,
    message: MessageReference,
    limit: Limit = 50,
    show_thread_messages: bool = True,
) -> dict[str, Any] | Literal[False]:
    """Messages around one, oldest first; false without access."""
    try:
        around = await call.services.messaging.surrounding_messages(
            call.user_id, MessageId(message.id), min(limit, 100), show_thread_messages
        )
    except (NotAllowed, MessageNotFound):
        return False
    return {
        "messages": around.messages,
        "moreBefore": around.more_before,
        "moreAfter": around.more_after,
    }


@method("getThreadMessages", parallel_safe=True)
async def get_thread_messages(call: Call, thread: ThreadReference) -> list[Document]:
    """The replies of a thread, oldest first."""
    page = await call.services.messaging.thread_messages(
        call.user_id,
        MessageId(thread.thread_id),
        Paging(count=min(thread.limit, 100), offset=thread.skip),
    )
    return page.items


@method("getMessages", parallel_safe=True)
async def get_messages(call: Call, message_ids: list[Identifier]) -> list[Document]:
    """Those of up to 100 messages that the caller may read."""
    if len(message_ids) > 100:
        raise BadRequest("Match failed", code=400)
    messages = []
    for message_id in message_ids:
        try:
            messages.append(
                await call.services.messaging.get_message(call.user_id, MessageId(message_id))
            )
        except (MessageNotFound, NotAllowed):
            continue
    return messages


@method("getSingleMessage", parallel_safe=True)
async def get_single_message(call: Call, message_id: Identifier) -> Document | Nothing:
    """One message, or nothing."""
    try:
        return await call.services.messaging.get_message(call.user_id, MessageId(message_id))
    except (MessageNotFound, NotAllowed):
        return NOTHING


@method("readMessages")
async def read_messages(call: Call, room_id: Identifier, read_threads: bool = False) -> Nothing:
    """Everything in a room has been seen."""
    await call.services.messaging.read_room(call.user_id, RoomId(room_id), read_threads)
    return NOTHING


# -- rooms and memberships ----------------------------------------------------------------------


@method("subscriptions/get", parallel_safe=True, anonymous=True)
async def subscriptions_get(
    call: Call, updated_since: Since = None
) -> list[Document] | dict[str, Any]:
    """The caller's memberships, or what changed in them."""
    changes = await call.services.messaging.subscriptions_of(call.caller.user_id, updated_since)
    return _listed(changes, updated_since)


@method("rooms/get", parallel_safe=True, anonymous=True)
async def rooms_get(call: Call, updated_since: Since = None) -> list[Document] | dict[str, Any]:
    """The caller's rooms, or what changed in them."""
    changes = await call.services.messaging.rooms_of(call.caller.user_id, updated_since)
    return _listed(changes, updated_since)


@method("getRoomIdByNameOrId", parallel_safe=True)
async def get_room_id_by_name_or_id(call: Call, name_or_id: Identifier) -> RoomId:
    """The id of a room known by id, name, or the other user's name."""
    return await call.services.messaging.room_id_of(call.user_id, name_or_id)


@method("getRoomNameById", parallel_safe=True)
async def get_room_name_by_id(call: Call, room_id: Identifier) -> str:
    """The name of a room; of a direct room the other user's."""
    return await call.services.messaging.room_name_of(call.user_id, RoomId(room_id))


@method("getRoomByTypeAndName", parallel_safe=True, anonymous=True)
async def get_room_by_type_and_name(
    call: Call, room_type: Literal["c", "p", "d"], name: Identifier
) -> Document:
    """A room of a type, by name or id."""
    messaging, viewer = call.services.messaging, call.caller.user_id
    types = [RoomType(room_type)]
    try:
        return await messaging.get_room(viewer, room_id=name, types=types)
    except RoomNotFound:
        if types != [RoomType.DIRECT]:
            return await messaging.get_room(viewer, name=name, types=types)
    room_id = await messaging.room_id_of(call.user_id, name)
    return await messaging.get_room(viewer, room_id=room_id, types=types)


@method("getRoomById", parallel_safe=True)
async def get_room_by_id(call: Call, room_id: Identifier) -> Document:
    """A room by id."""
    return await call.services.messaging.get_room(call.user_id, room_id=room_id)


@method("createDirectMessage")
async def create_direct_message(call: Call, *usernames: Username) -> Document:
    """The direct room with these users, made if need be."""
    if not usernames:
        raise BadRequest("Match failed", code=400)
    return await call.services.messaging.create_direct(call.user_id, list(usernames))


async def _create_room(
    call: Call,
    room_type: Literal["c", "p"],
    name: str,
    members: list[str],
    read_only: bool,
    custom_fields: dict[str, Any] | None,
    extra: RoomExtra | None,
) -> Document:
    extra = extra or RoomExtra()
    room = await call.services.messaging.create_room(
        call.user_id,
        NewRoom(
            type=room_type,
            name=name,
            members=members,
            read_only=read_only,
            custom_fields=custom_fields,
            topic=extra.topic,
            description=extra.description,
            announcement=extra.announcement,
            broadcast=extra.broadcast,
            repeatable=True,  # one client repeats unanswered calls after a reconnect
        ),
    )
    return {**room, "rid": room["_id"]}


@method("createChannel")
async def create_channel(
    call: Call,
    name: Text,
    members: list[Username] | None = None,
    read_only: bool = False,
    custom_fields: dict[str, Any] | None = None,
    extra: RoomExtra | None = None,
) -> Document:
    """Make a public channel."""
    return await _create_room(call, "c", name, members or [], read_only, custom_fields, extra)


@method("createPrivateGroup")
async def create_private_group(
    call: Call,
    name: Text,
    members: list[Username] | None = None,
    read_only: bool = False,
    custom_fields: dict[str, Any] | None = None,
    extra: RoomExtra | None = None,
) -> Document:
    """Make a private group."""
    return await _create_room(call, "p", name, members or [], read_only, custom_fields, extra)


@method("joinRoom")
async def join_room(call: Call, room_id: Identifier, join_code: Text | None = None) -> bool:
    """Become a member of a public room."""
    await call.services.messaging.join_room(call.user_id, RoomId(room_id), join_code or None)
    return True


@method("leaveRoom")
async def leave_room(call: Call, room_id: Identifier) -> Nothing:
    """End the caller's membership."""
    await call.services.messaging.leave_room(call.user_id, RoomId(room_id))
    return NOTHING


@method("addUsersToRoom")
async def add_users_to_room(call: Call, users: RoomUsers) -> bool:
    """Make others members."""
    await call.services.messaging.add_users(call.user_id, RoomId(users.room_id), users.users)
    return True


@method("addUserToRoom")
async def add_user_to_room(call: Call, user: RoomUser) -> bool:
    """Make another user a member."""
    await call.services.messaging.add_users(call.user_id, RoomId(user.room_id), [user.username])
    return True


@method("removeUserFromRoom")
async def remove_user_from_room(call: Call, user: RoomUser) -> bool:
    """End another user's membership."""
    await call.services.messaging.remove_user(call.user_id, RoomId(user.room_id), user.username)
    return True


@method("getUsersOfRoom", parallel_safe=True)
async def get_users_of_room(
    call: Call,
    room_id: Identifier,
    show_all: bool = False,
    window: Window | None = None,
    name_filter: Text | None = None,
) -> dict[str, Any]:
    """Members of a room; those online unless all are wanted."""
    window = window or Window()
    page = await call.services.messaging.members(
        call.user_id,
        RoomId(room_id),
        Paging(count=min(window.limit or 50, 5000), offset=max(window.skip or 0, 0)),
        name_filter=name_filter or None,
        online_only=not show_all,
    )
    return {"total": page.total, "records": page.items}


@method("getRoomRoles", parallel_safe=True)
async def get_room_roles(call: Call, room_id: Identifier) -> list[Document]:
    """Memberships of a room that hold roles."""
    return await call.services.messaging.room_roles(call.user_id, RoomId(room_id))


@method("spotlight", parallel_safe=True)
async def spotlight(
    call: Call,
    text: Identifier,
    except_usernames: list[Text] | None = None,
    kinds: SpotlightKinds | None = None,
) -> dict[str, list[Document]]:
    """Users and rooms whose name holds a text."""
    kinds = kinds or SpotlightKinds()
    return await call.services.messaging.find_users_and_rooms(
        call.user_id, text, kinds.users, kinds.rooms, except_usernames
    )


# -- users, settings, lists ---------------------------------------------------------------------


@method("registerUser", anonymous=True)
async def register_user(call: Call, account: NewAccount) -> str:
    """Make an account; its id."""
    password = account.password or account.password_by_name
    if password is None:
        raise BadRequest("Match failed", code=400)
    return await call.services.account.register(
        Registration(
            username=account.username,
            name=account.name,
            email=account.email,
            password=password,
            reason=account.reason,
        ),
        call.caller.address,
    )


@method("createUser", anonymous=True)
async def create_user(call: Call) -> Nothing:
    """Not offered: accounts are made by `registerUser`."""
    raise NotAllowed("Signups forbidden", code=403)


@method("setUsername")
async def set_username(call: Call, username: Username) -> str:
    """Choose a username."""
    return await call.services.account.set_username(call.user_id, username)


@method("setUserStatus")
async def set_user_status(
    call: Call, status: Text | None = None, text: Text | None = None
) -> Nothing:
    """Choose a status, a status text, or both."""
    chosen = _status(status) if status else None
    await call.services.presence.set_status(call.user_id, chosen, text)
    return NOTHING


@method("UserPresence:setDefaultStatus")
async def set_default_status(call: Call, status: Text) -> Nothing:
    """Choose a status."""
    await call.services.presence.set_status(call.user_id, _status(status))
    return NOTHING


def _status(name: str) -> Status:
    try:
        return Status(name)
    except ValueError:
        raise UnknownStatus(f"{name[:40]} is not a valid status") from None


@method("permissions/get", parallel_safe=True, anonymous=True)
async def permissions_get(
    call: Call, updated_since: Since = None
) -> list[Document] | dict[str, Any]:
    """Permissions with the roles that hold them."""
    return _listed(await call.services.authorization.permissions(updated_since), updated_since)


@method("public-settings/get", parallel_safe=True, anonymous=True)
async def public_settings_get(
    call: Call, updated_since: Since = None
) -> list[Document] | dict[str, Any]:
    """Settings that everybody may see."""
    return _listed(await call.services.messaging.public_settings(updated_since), updated_since)


@method("getUserRoles", parallel_safe=True)
async def get_user_roles(call: Call) -> list[Document]:
    """Users in roles that have a description."""
    return await call.services.authorization.users_in_public_roles()


def _enter_what_is_not_offered() -> None:
    """Features that clients ask for at start and that Hubbub does not have, by their answers."""

    def answering(value: Any, summary: str) -> Any:
        async def handler(call: Call) -> Any:
            return value

        handler.__doc__ = summary
        return handler

    for name in ("listCustomSounds", "listCustomUserStatus", "listEmojiCustom"):
        method(name, parallel_safe=True, anonymous=True)(answering([], "None are offered."))
    method("license:getModules", parallel_safe=True, anonymous=True)(
        answering([], "There is no licence: everything is free.")
    )
    method("license:isEnterprise", parallel_safe=True, anonymous=True)(
        answering(False, "There is no licence: everything is free.")
    )
    method("private-settings/get", parallel_safe=True)(
        answering([], "Private settings are not readable here.")
    )


_enter_what_is_not_offered()
