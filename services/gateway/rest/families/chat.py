"""`chat.*`: sending, changing and deleting one message, and reading it."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from hubbub.contracts.documents import Document
from hubbub.contracts.messages import MessageEdit, MessageNotFound, NewMessage
from hubbub.ddp.ejson import milliseconds
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import MessageId, RoomId
from services.gateway.rest.answers import PlainRefusal, Refusal, Unsuccessful
from services.gateway.rest.asked import Asked, Flag, Required, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families import attachments
from services.gateway.rest.families.posting import Post, post, send
from services.gateway.rest.requests import WrongValue
from services.gateway.rest.router import Routes
from services.gateway.rest.validation import filled

routes = Routes()

_WRONG_ROOM: Final = "The room id provided does not match where the message is from."
_NO_FORCE: Final = (
    "Unauthorized. You must have the permission "
    '"force-delete-message" to delete other\'s message as them.'
)


@routes.post("chat.postMessage")
async def post_message(call: Call, asked: Post) -> dict[str, Any]:
    """Send a text to rooms or users, by id or name."""
    channel, message = await post(call, asked)
    return {"ts": milliseconds(message["ts"]), "channel": channel, "message": message}


def _sendable(value: Any) -> Any:
    """The message without keys that are null, once its attachments are looked at."""
    if not isinstance(value, dict):
        raise WrongValue("must be object")
    given = {key: one for key, one in value.items() if one is not None}
    if "attachments" in given and (found := attachments.problems(given["attachments"])):
        raise WrongValue("\n ".join(found))
    return given


class Send(Asked):
    """A message as realtime clients send it."""

    message: Annotated[NewMessage, BeforeValidator(_sendable)]


@routes.post("chat.sendMessage")
async def send_message(call: Call, asked: Send) -> dict[str, Any]:
    """Send a message as realtime clients do; repeatable by its own id."""
    return {"message": await send(call, asked.message)}


class Update(Asked):
    """A new text for a message."""

    room_id: Required
    msg_id: Required
    text: Word
    custom_fields: dict[str, Any] | None = None


@routes.post("chat.update")
async def update(call: Call, asked: Update) -> dict[str, Any]:
    """Change a message."""
    stored = await _message_in(call, asked.msg_id, asked.room_id)
    changes: dict[str, Any] = {"_id": asked.msg_id, "rid": asked.room_id, "msg": asked.text}
    if asked.custom_fields is not None:
        changes["customFields"] = asked.custom_fields
    edited = await call.services.messaging.update_message(
        call.user_id, filled(MessageEdit, changes)
    )
    return {"message": edited or stored}


class Delete(Asked):
    """A message that is to go."""

    room_id: Required
    msg_id: Required
    as_user: Flag = False
    """Delete somebody else's message as its author would; needs `force-delete-message`."""


@routes.post("chat.delete")
async def delete(call: Call, asked: Delete) -> dict[str, Any]:
    """Delete a message."""
    stored = await _message_in(call, asked.msg_id, asked.room_id)
    author = stored.get("u", {})
    if (
        asked.as_user
        and author.get("_id") != call.user_id
        and not await call.may("force-delete-message", RoomId(asked.room_id))
    ):
        raise PlainRefusal(_NO_FORCE)
    try:
        await call.services.messaging.delete_message(call.user_id, MessageId(asked.msg_id))
    except MessageNotFound:
        raise _no_message(asked.msg_id) from None
    return {
        "_id": asked.msg_id,
        "ts": str(int(time.time() * 1000)),
        "message": {"_id": asked.msg_id, "rid": asked.room_id, "u": author},
    }


async def _message_in(call: Call, message_id: str, room_id: str) -> Document:
    """The message, if it is in the room that the client names. Raises: PlainRefusal."""
    try:
        stored = await call.services.messaging.get_message(call.user_id, MessageId(message_id))
    except (MessageNotFound, NotAllowed):
        raise _no_message(message_id) from None
    if stored.get("rid") != room_id:
        raise PlainRefusal(_WRONG_ROOM)
    return stored


def _no_message(message_id: str) -> PlainRefusal:
    return PlainRefusal(f'No message found with the id of "{message_id}".')


class Get(Asked):
    """A message by id."""

    msg_id: Required


@routes.get("chat.getMessage")
async def get_message(call: Call, asked: Get) -> dict[str, Any]:
    """One message."""
    try:
        message = await call.services.messaging.get_message(call.user_id, MessageId(asked.msg_id))
    except (MessageNotFound, NotAllowed):
        raise Unsuccessful from None
    return {"message": message}


class React(Asked):
    """A reaction to a message. Clients use either name for it."""

    message_id: Required
    emoji: Word | None = None
    reaction: Word | None = None
    should_react: Flag | None = None


@routes.post("chat.react")
async def react(call: Call, asked: React) -> None:
    """Add or remove a reaction; toggles when not told which."""
    emoji = asked.emoji or asked.reaction
    if not emoji:
        raise Refusal(
            'The required "emoji" param is missing.', code="error-emoji-param-not-provided"
        )
    messaging, target = call.services.messaging, MessageId(asked.message_id)
    try:
        if asked.should_react is None:
            await messaging.toggle_reaction(call.user_id, emoji, target)
        else:
            await messaging.set_reaction(call.user_id, emoji, target, asked.should_react)
    except MessageNotFound:
        raise no_such_message() from None


def no_such_message() -> BadRequest:
    """The refusal of endpoints that take a message by `messageId`."""
    return BadRequest(
        'The provided "messageId" does not match any existing message.',
        code="error-message-not-found",
    )
