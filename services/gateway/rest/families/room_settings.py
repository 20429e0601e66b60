"""Changing rooms: what they are called, what is said about them, who sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hubbub.contracts.documents import Document
from hubbub.ids import RoomId
from services.gateway.rest.answers import Answer, InvalidParams, PlainRefusal
from services.gateway.rest.call import Call
from services.gateway.rest.families.channels import acting
from services.gateway.rest.requests import Parameters
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import CHANNEL, RoomKind, room_of, writable_room_of

routes = Routes()

_SAME: Final = "is the same as what it would be"


async def _saved(call: Call, room: Document, settings: Mapping[str, Any]) -> Document:
    return await call.services.messaging.save_room_settings(
        call.user_id, RoomId(room["_id"]), dict(settings)
    )


def _given(call: Call, name: str) -> Any:
    """The value under `name`. Raises: PlainRefusal: it is not there."""
    if name not in call.body:
        raise PlainRefusal(f'The bodyParam "{name}" is required')
    return call.body.raw(name)


def _describing(verb: str, name: str, setting: str, stored: str) -> None:
    """`setTopic` and its like: one text, answered under its own name."""

    async def act(call: Call, kind: RoomKind) -> dict[str, Any]:
        _given(call, name)
        text = call.body.text(name) or ""
        room = await writable_room_of(call, kind)
        if kind is CHANNEL and room.get(stored, "") == text:
            raise PlainRefusal(f"{kind.archived} {name} {_SAME} changed to.")
        await _saved(call, room, {setting: text})
        return {name: text}

    act.__doc__ = f"Change the {name} of a room; an empty text clears it."
    acting(routes, "POST", verb)(act)


_describing("setTopic", "topic", "roomTopic", "topic")
_describing("setDescription", "description", "roomDescription", "description")
_describing("setPurpose", "purpose", "roomDescription", "description")
_describing("setAnnouncement", "announcement", "roomAnnouncement", "announcement")


@acting(routes, "POST", "rename")
async def rename(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Give a room another name."""
    _given(call, "name")
    name = call.body.required_text("name")
    room = await writable_room_of(call, kind)
    if room.get("name") == name:
        raise PlainRefusal(f"{kind.archived} name {_SAME} renamed to.")
    return {kind.key: await _saved(call, room, {"roomName": name})}


@acting(routes, "POST", "setReadOnly")
async def set_read_only(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Let everybody write, or only those with a right."""
    _given(call, "readOnly")
    read_only = call.body.flag("readOnly")
    room = await writable_room_of(call, kind)
    if bool(room.get("ro")) == read_only:
        raise PlainRefusal(f"{kind.archived} read only setting {_SAME} changed to.")
    return {kind.key: await _saved(call, room, {"readOnly": read_only})}


@acting(routes, "POST", "setType")
async def set_type(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Make a public room private or the other way round; the other door has it afterwards."""
    _given(call, "type")
    wanted = call.body.required_text("type")
    if wanted not in ("c", "p"):
        raise InvalidParams("must be equal to one of the allowed values")
    room = await writable_room_of(call, kind)
    if room.get("t") == wanted:
        raise PlainRefusal(f"{kind.archived} type {_SAME} changed to.")
    return {kind.key: await _saved(call, room, {"roomType": wanted})}


@acting(routes, "POST", "setDefault", CHANNEL)
async def set_default(call: Call, kind: RoomKind) -> Answer | dict[str, Any]:
    """Let new users join a channel by themselves, or not."""
    room = await writable_room_of(call, kind)
    if "default" not in call.body:
        # The two codes are exchanged; clients know them so.
        return _refused('The bodyParam "default" is required', "error-channels-setdefault-is-same")
    default = call.body.flag("default")
    if bool(room.get("default")) == default:
        return _refused(
            f"The channel default setting {_SAME} changed to.",
            "error-channels-setdefault-missing-default-param",
        )
    return {kind.key: await _saved(call, room, {"default": default})}


def _refused(text: str, code: str) -> Answer:
    return Answer({"success": False, "error": text, "errorType": code}, status=400)


@acting(routes, "POST", "setJoinCode", CHANNEL)
async def set_join_code(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Ask for a word before somebody may join."""
    _given(call, "joinCode")
    code = call.body.text("joinCode") or ""
    room = await writable_room_of(call, kind)
    return {kind.key: await _saved(call, room, {"joinCode": code})}


@acting(routes, "POST", "setCustomFields")
async def set_custom_fields(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Replace the fields that a room's owner keeps with it."""
    fields = call.body.raw("customFields")
    if not isinstance(fields, dict):
        raise PlainRefusal('The bodyParam "customFields" is required with a type like object.')
    room = await writable_room_of(call, kind)
    return {kind.key: await _saved(call, room, {"roomCustomFields": fields})}


@acting(routes, "POST", "archive")
async def archive(call: Call, kind: RoomKind) -> None:
    """Close a room for everybody, and keep it."""
    await _saved(call, await writable_room_of(call, kind), {"archived": True})


@acting(routes, "POST", "unarchive")
async def unarchive(call: Call, kind: RoomKind) -> None:
    """Open an archived room again."""
    room = await room_of(call, call.body, kind)
    if not room.get("archived"):
        raise PlainRefusal(f"{kind.archived}, {room.get('name', '')}, is not archived")
    await _saved(call, room, {"archived": False})


@acting(routes, "POST", "delete")
async def delete(call: Call, kind: RoomKind) -> None:
    """Delete a room with all that was said in it."""
    room = await room_of(call, call.body, kind)
    await call.services.messaging.erase_room(call.user_id, RoomId(room["_id"]))


@acting(routes, "POST", "open")
async def open_room(call: Call, kind: RoomKind) -> None:
    """Show a room in the caller's list."""
    room, membership = await _place(call, kind)
    if membership.get("open"):
        word = "to" if kind is CHANNEL else "for"
        raise PlainRefusal(
            f"{kind.archived}, {room.get('name', '')}, is already open {word} the sender"
        )
    await call.services.messaging.set_room_open(call.user_id, RoomId(room["_id"]), True)


@acting(routes, "POST", "close")
async def close_room(call: Call, kind: RoomKind) -> None:
    """Hide a room in the caller's list."""
    room, membership = await _place(call, kind)
    if not membership.get("open"):
        raise PlainRefusal(
            f"{kind.archived}, {room.get('name', '')}, is already closed to the sender"
        )
    await call.services.messaging.set_room_open(call.user_id, RoomId(room["_id"]), False)


async def _place(call: Call, kind: RoomKind) -> tuple[Document, Document]:
    """A room and the caller's membership. Raises: PlainRefusal: there is none."""
    room = await room_of(call, call.body, kind)
    found = await call.services.messaging.subscription_of(call.user_id, RoomId(room["_id"]))
    if found is None:
        noun = kind.archived.removeprefix("The ")
        name = room.get("name", "")
        raise PlainRefusal(f'The user/callee is not in the {noun} "{name}".')
    return room, found


_SETTINGS: Final = (
    "roomName roomTopic roomAnnouncement roomDescription roomType readOnly reactWhenReadOnly"
    " systemMessages default joinCode roomCustomFields"
).split()


@routes.post("rooms.saveRoomSettings")
async def save(call: Call) -> dict[str, Any]:
    """Change several things of a room, all or none."""
    room_id = call.body.required_text("rid")
    settings = {name: call.body.raw(name) for name in _SETTINGS if name in call.body}
    if settings:
        await _saved(call, {"_id": room_id}, settings)
    favorite = call.body.optional_flag("favorite")
    if favorite is not None:
        await call.services.messaging.set_favorite(call.user_id, RoomId(room_id), favorite)
    return {"rid": room_id}


@routes.post("rooms.changeArchivationState")
async def change_archivation(call: Call) -> dict[str, Any]:
    """Archive a room, or open it again."""
    room_id = call.body.required_text("rid")
    archived = call.body.required_text("action") == "archive"
    await _saved(call, {"_id": room_id}, {"archived": archived})
    return {"result": True}


@routes.post("rooms.delete")
async def delete_any(call: Call) -> None:
    """Delete a room of any kind."""
    await call.services.messaging.erase_room(call.user_id, _room_id(call.body))


@routes.post("rooms.favorite")
async def favorite(call: Call) -> None:
    """Mark a room as favourite, or not."""
    wanted = call.body.optional_flag("favorite")
    if wanted is None:
        raise PlainRefusal("The 'favorite' param is required")
    room = await room_of(call, call.body)
    await call.services.messaging.set_favorite(call.user_id, RoomId(room["_id"]), wanted)


@routes.post("rooms.open")
async def open_any(call: Call) -> None:
    """Show a room of any kind in the caller's list."""
    await call.services.messaging.set_room_open(call.user_id, _room_id(call.body), True)


@routes.post("rooms.hide", "rooms.close")
async def hide(call: Call) -> None:
    """Hide a room of any kind in the caller's list."""
    await call.services.messaging.set_room_open(call.user_id, _room_id(call.body), False)


def _room_id(body: Parameters) -> RoomId:
    room_id = body.text("roomId")
    if not room_id:
        raise PlainRefusal("The 'roomId' param is required")
    return RoomId(room_id)
