"""Changing rooms: what they are called, what is said about them, who sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from hubbub.contracts.documents import Document
from hubbub.ids import RoomId
from services.gateway.rest.answers import Answer, InvalidParams, PlainRefusal
from services.gateway.rest.asked import Asked, Flag, Required, RoomSelector, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.room_doors import acting
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import CHANNEL, GROUP, RoomKind, room_of, writable_room_of

routes = Routes()

_SAME: Final = "is the same as what it would be"


async def _saved(call: Call, room: Document, settings: Mapping[str, Any]) -> Document:
    return await call.services.messaging.save_room_settings(
        call.user_id, RoomId(room["_id"]), dict(settings)
    )


def _required(name: str) -> PlainRefusal:
    return PlainRefusal(f'The bodyParam "{name}" is required')


class Topic(RoomSelector):
    """A room's topic; an empty text clears it."""

    topic: Word | None = None


class Description(RoomSelector):
    """A room's description; an empty text clears it."""

    description: Word | None = None


class Purpose(RoomSelector):
    """A room's description under its old name; an empty text clears it."""

    purpose: Word | None = None


class Announcement(RoomSelector):
    """A room's announcement; an empty text clears it."""

    announcement: Word | None = None


async def _describe(
    call: Call, chosen: RoomSelector, kind: RoomKind, name: str, text: str | None, stored: str
) -> dict[str, Any]:
    """Change one text of a room; it is answered under its own name."""
    if text is None:
        raise _required(name)
    room = await writable_room_of(call, kind, chosen)
    if kind is CHANNEL and room.get(stored, "") == text:
        raise PlainRefusal(f"{kind.archived} {name} {_SAME} changed to.")
    await _saved(call, room, {f"room{stored.capitalize()}": text})
    return {name: text}


@acting(routes, "POST", "setTopic")
async def set_topic(call: Call, kind: RoomKind, asked: Topic) -> dict[str, Any]:
    """Change the topic of a room."""
    return await _describe(call, asked, kind, "topic", asked.topic, "topic")


@acting(routes, "POST", "setDescription")
async def set_description(call: Call, kind: RoomKind, asked: Description) -> dict[str, Any]:
    """Change the description of a room."""
    return await _describe(call, asked, kind, "description", asked.description, "description")


@acting(routes, "POST", "setPurpose")
async def set_purpose(call: Call, kind: RoomKind, asked: Purpose) -> dict[str, Any]:
    """Change the description of a room."""
    return await _describe(call, asked, kind, "purpose", asked.purpose, "description")


@acting(routes, "POST", "setAnnouncement")
async def set_announcement(call: Call, kind: RoomKind, asked: Announcement) -> dict[str, Any]:
    """Change the announcement of a room."""
    text = asked.announcement
    return await _describe(call, asked, kind, "announcement", text, "announcement")


class Name(RoomSelector):
    """A room's new name."""

    name: Word | None = None


@acting(routes, "POST", "rename")
async def rename(call: Call, kind: RoomKind, asked: Name) -> dict[str, Any]:
    """Give a room another name."""
    if asked.name is None:
        raise _required("name")
    if not asked.name:
        raise InvalidParams("must NOT have fewer than 1 characters")
    room = await writable_room_of(call, kind, asked)
    if room.get("name") == asked.name:
        raise PlainRefusal(f"{kind.archived} name {_SAME} renamed to.")
    return {kind.key: await _saved(call, room, {"roomName": asked.name})}


class ReadOnly(RoomSelector):
    """Whether only members with a right may write."""

    read_only: Flag | None = None


@acting(routes, "POST", "setReadOnly")
async def set_read_only(call: Call, kind: RoomKind, asked: ReadOnly) -> dict[str, Any]:
    """Let everybody write, or only those with a right."""
    if asked.read_only is None:
        raise _required("readOnly")
    room = await writable_room_of(call, kind, asked)
    if bool(room.get("ro")) == asked.read_only:
        raise PlainRefusal(f"{kind.archived} read only setting {_SAME} changed to.")
    return {kind.key: await _saved(call, room, {"readOnly": asked.read_only})}


class Type(RoomSelector):
    """A room's new type: `c` public, `p` private."""

    type_: Word | None = Field(default=None, alias="type")


@acting(routes, "POST", "setType")
async def set_type(call: Call, kind: RoomKind, asked: Type) -> dict[str, Any]:
    """Make a public room private or the other way round; the other door has it afterwards."""
    if asked.type_ is None:
        raise _required("type")
    if asked.type_ not in ("c", "p"):
        raise InvalidParams("must be equal to one of the allowed values")
    room = await writable_room_of(call, kind, asked)
    if room.get("t") == asked.type_:
        raise PlainRefusal(f"{kind.archived} type {_SAME} changed to.")
    return {kind.key: await _saved(call, room, {"roomType": asked.type_})}


class Default(RoomSelector):
    """Whether new users join by themselves."""

    default: Flag | None = None


@acting(routes, "POST", "setDefault", CHANNEL)
async def set_default(call: Call, kind: RoomKind, asked: Default) -> Answer | dict[str, Any]:
    """Let new users join a channel by themselves, or not."""
    room = await writable_room_of(call, kind, asked)
    if asked.default is None:
        # The two codes are exchanged; clients know them so.
        return _refused('The bodyParam "default" is required', "error-channels-setdefault-is-same")
    if bool(room.get("default")) == asked.default:
        return _refused(
            f"The channel default setting {_SAME} changed to.",
            "error-channels-setdefault-missing-default-param",
        )
    return {kind.key: await _saved(call, room, {"default": asked.default})}


def _refused(text: str, code: str) -> Answer:
    return Answer({"success": False, "error": text, "errorType": code}, status=400)


class JoinCode(RoomSelector):
    """The word that joining asks for; empty: none."""

    join_code: Word | None = None


@acting(routes, "POST", "setJoinCode", CHANNEL)
async def set_join_code(call: Call, kind: RoomKind, asked: JoinCode) -> dict[str, Any]:
    """Ask for a word before somebody may join."""
    if asked.join_code is None:
        raise _required("joinCode")
    room = await writable_room_of(call, kind, asked)
    return {kind.key: await _saved(call, room, {"joinCode": asked.join_code})}


class CustomFields(RoomSelector):
    """Fields that a room's owner keeps with it: an object."""

    custom_fields: Any = None


@acting(routes, "POST", "setCustomFields")
async def set_custom_fields(call: Call, kind: RoomKind, asked: CustomFields) -> dict[str, Any]:
    """Replace the fields that a room's owner keeps with it."""
    if not isinstance(asked.custom_fields, dict):
        raise PlainRefusal('The bodyParam "customFields" is required with a type like object.')
    room = await writable_room_of(call, kind, asked)
    return {kind.key: await _saved(call, room, {"roomCustomFields": asked.custom_fields})}


class Encrypted(RoomSelector):
    """Whether the room is marked as encrypted."""

    encrypted: Flag | None = None


@acting(routes, "POST", "setEncrypted", GROUP)
async def set_encrypted(call: Call, kind: RoomKind, asked: Encrypted) -> dict[str, Any]:
    """Mark a group as encrypted, or not; encryption itself is not offered."""
    if asked.encrypted is None:
        raise _required("encrypted")
    room = await writable_room_of(call, kind, asked)
    return {kind.key: await _saved(call, room, {"encrypted": asked.encrypted})}


@acting(routes, "POST", "archive")
async def archive(call: Call, kind: RoomKind, asked: RoomSelector) -> None:
    """Close a room for everybody, and keep it."""
    await _saved(call, await writable_room_of(call, kind, asked), {"archived": True})


@acting(routes, "POST", "unarchive")
async def unarchive(call: Call, kind: RoomKind, asked: RoomSelector) -> None:
    """Open an archived room again."""
    room = await room_of(call, asked, kind)
    if not room.get("archived"):
        raise PlainRefusal(f"{kind.archived}, {room.get('name', '')}, is not archived")
    await _saved(call, room, {"archived": False})


@acting(routes, "POST", "delete")
async def delete(call: Call, kind: RoomKind, asked: RoomSelector) -> None:
    """Delete a room with all that was said in it."""
    room = await room_of(call, asked, kind)
    await call.services.messaging.erase_room(call.user_id, RoomId(room["_id"]))


@acting(routes, "POST", "open")
async def open_room(call: Call, kind: RoomKind, asked: RoomSelector) -> None:
    """Show a room in the caller's list."""
    room, membership = await _place(call, asked, kind)
    if membership.get("open"):
        word = "to" if kind is CHANNEL else "for"
        raise PlainRefusal(
            f"{kind.archived}, {room.get('name', '')}, is already open {word} the sender"
        )
    await call.services.messaging.set_room_open(call.user_id, RoomId(room["_id"]), True)


@acting(routes, "POST", "close")
async def close_room(call: Call, kind: RoomKind, asked: RoomSelector) -> None:
    """Hide a room in the caller's list."""
    room, membership = await _place(call, asked, kind)
    if not membership.get("open"):
        raise PlainRefusal(
            f"{kind.archived}, {room.get('name', '')}, is already closed to the sender"
        )
    await call.services.messaging.set_room_open(call.user_id, RoomId(room["_id"]), False)


async def _place(call: Call, chosen: RoomSelector, kind: RoomKind) -> tuple[Document, Document]:
    """A room and the caller's membership. Raises: PlainRefusal: there is none."""
    room = await room_of(call, chosen, kind)
    found = await call.services.messaging.subscription_of(call.user_id, RoomId(room["_id"]))
    if found is None:
        noun = kind.archived.removeprefix("The ")
        name = room.get("name", "")
        raise PlainRefusal(f'The user/callee is not in the {noun} "{name}".')
    return room, found


class RoomChanges(Asked):
    """What is to be changed of a room; what is absent stays as it is."""

    rid: Required
    room_name: Word | None = None
    room_topic: Word | None = None
    room_description: Word | None = None
    room_announcement: Word | None = None
    room_type: Word | None = None
    """`c` public, `p` private."""
    read_only: Flag | None = None
    react_when_read_only: Flag | None = None
    system_messages: bool | list[str] | None = None
    """Types of system messages that the room does not show."""
    default: Flag | None = None
    """Whether new users join by themselves."""
    join_code: Word | None = None
    room_avatar: Word | None = None
    room_custom_fields: dict[str, Any] | None = None
    encrypted: Flag | None = None
    archived: Flag | None = None
    favorite: Flag | None = None
    """Whether it is a favourite of the caller's."""


@routes.post("rooms.saveRoomSettings")
async def save(call: Call, asked: RoomChanges) -> dict[str, Any]:
    """Change several things of a room, all or none."""
    room_id = RoomId(asked.rid)
    settings = asked.model_dump(by_alias=True, exclude_none=True, exclude={"rid", "favorite"})
    if settings:
        await _saved(call, {"_id": room_id}, settings)
    if asked.favorite is not None:
        await call.services.messaging.set_favorite(call.user_id, room_id, asked.favorite)
    return {"rid": room_id}


class Archivation(Asked):
    """Whether a room is to be archived."""

    rid: Required
    action: Required
    """`archive`; anything else opens the room again."""


@routes.post("rooms.changeArchivationState")
async def change_archivation(call: Call, asked: Archivation) -> dict[str, Any]:
    """Archive a room, or open it again."""
    await _saved(call, {"_id": asked.rid}, {"archived": asked.action == "archive"})
    return {"result": True}


class OneRoom(Asked):
    """A room by id."""

    room_id: Word | None = None


def _room_id(asked: OneRoom) -> RoomId:
    if not asked.room_id:
        raise PlainRefusal("The 'roomId' param is required")
    return RoomId(asked.room_id)


@routes.post("rooms.delete")
async def delete_any(call: Call, asked: OneRoom) -> None:
    """Delete a room of any kind."""
    await call.services.messaging.erase_room(call.user_id, _room_id(asked))


class Favorite(RoomSelector):
    """Whether a room is a favourite of the caller's."""

    favorite: Flag | None = None


@routes.post("rooms.favorite")
async def favorite(call: Call, asked: Favorite) -> None:
    """Mark a room as favourite, or not."""
    if asked.favorite is None:
        raise PlainRefusal("The 'favorite' param is required")
    room = await room_of(call, asked)
    room_id = RoomId(room["_id"])
    await call.services.messaging.set_favorite(call.user_id, room_id, asked.favorite)


@routes.post("rooms.open")
async def open_any(call: Call, asked: OneRoom) -> None:
    """Show a room of any kind in the caller's list."""
    await call.services.messaging.set_room_open(call.user_id, _room_id(asked), True)


@routes.post("rooms.hide", "rooms.close")
async def hide(call: Call, asked: OneRoom) -> None:
    """Hide a room of any kind in the caller's list."""
    await call.services.messaging.set_room_open(call.user_id, _room_id(asked), False)
