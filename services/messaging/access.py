"""What a caller may see. What they may not is answered like what does not exist."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.messages import InvalidRoom, MessageNotFound
from hubbub.errors import NotAllowed
from services.messaging.desk import Desk
from services.messaging.domain import foreign


async def visible_room(desk: Desk, user_id: str, room_id: str) -> dict[str, Any]:
    """A room whose messages may be read. Raises: NotAllowed: none, or not to be read."""
    try:
        return await desk.readable_room(user_id, room_id)
    except InvalidRoom:
        raise NotAllowed("Not allowed") from None


async def visible_message(
    desk: Desk, user_id: str, message_id: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message and its room. Raises: MessageNotFound: none, or not to be read."""
    message = await desk.store.messages.one(message_id)
    if message is None or message.get("_hidden"):
        raise MessageNotFound("Message not found")
    try:
        room = await visible_room(desk, user_id, str(message.get("rid")))
    except NotAllowed:
        raise MessageNotFound("Message not found") from None
    return message, room


async def hidden_in(desk: Desk, room: dict[str, Any]) -> list[str]:
    """System types that the workspace or the room hides."""
    rules = await desk.facts.rules()
    return foreign.hidden_types(list(rules.hidden_types), room)
