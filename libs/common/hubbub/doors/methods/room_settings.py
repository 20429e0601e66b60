"""Changing, archiving and erasing rooms; discussions; removing what was said."""

from __future__ import annotations

from typing import Any, Literal

from hubbub.contracts.discussions import NewDiscussion, Stretch
from hubbub.contracts.documents import Document, Identifier
from hubbub.doors.parameters import ClearedStretch
from hubbub.doors.table import NOTHING, Call, Nothing, method
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import RoomId


@method("saveRoomSettings")
async def save_room_settings(
    call: Call, room_id: Identifier, settings: dict[str, Any] | Identifier, value: Any = None
) -> dict[str, Any]:
    """Change one thing of a room (key, value), or several, all or none."""
    wanted = settings if isinstance(settings, dict) else {settings: value}
    wanted = {key: one for key, one in wanted.items() if one is not None}
    if not wanted:
        raise BadRequest("Invalid settings", code="error-invalid-settings")
    if wanted.get("encrypted") is True:
        raise NotAllowed("Encryption is not offered", code="error-action-not-allowed")
    await call.services.messaging.save_room_settings(call.user_id, RoomId(room_id), wanted)
    return {"result": True, "rid": room_id}


@method("archiveRoom")
async def archive_room(call: Call, room_id: Identifier) -> Nothing:
    """Close a room for everybody, and keep it."""
    messaging = call.services.messaging
    await messaging.save_room_settings(call.user_id, RoomId(room_id), {"archived": True})
    return NOTHING


@method("unarchiveRoom")
async def unarchive_room(call: Call, room_id: Identifier) -> Nothing:
    """Open an archived room again."""
    messaging = call.services.messaging
    await messaging.save_room_settings(call.user_id, RoomId(room_id), {"archived": False})
    return NOTHING


@method("eraseRoom")
async def erase_room(call: Call, room_id: Identifier) -> Literal[True]:
    """Delete a room with everything that was said in it."""
    await call.services.messaging.erase_room(call.user_id, RoomId(room_id))
    return True


@method("createDiscussion")
async def create_discussion(call: Call, discussion: NewDiscussion) -> Document:
    """Begin a discussion in a room, about a message or a name."""
    # One client repeats unanswered calls after a reconnect.
    wanted = discussion.model_copy(update={"repeatable": True})
    room = await call.services.messaging.create_discussion(call.user_id, wanted)
    return {**room, "rid": room["_id"]}


@method("cleanRoomHistory")
async def clean_room_history(call: Call, stretch: ClearedStretch) -> int:
    """Remove what was said between two dates; how many messages that were."""
    pruned = await call.services.messaging.clean_history(
        call.user_id,
        RoomId(stretch.room_id),
        Stretch(
            latest=stretch.latest,
            oldest=stretch.oldest,
            inclusive=stretch.inclusive,
            limit=stretch.limit or 0,
            exclude_pinned=stretch.exclude_pinned,
            files_only=stretch.files_only,
            usernames=stretch.usernames,
            ignore_threads=stretch.ignore_threads,
            ignore_discussions=stretch.ignore_discussions,
        ),
    )
    return pruned.count
