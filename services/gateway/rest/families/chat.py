"""`chat.*`: messages and threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from hubbub.contracts.documents import Document, Paging
from hubbub.contracts.messages import MessageEdit, MessageNotFound
from hubbub.ddp.ejson import milliseconds
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import MessageId, RoomId
from services.gateway.rest.answers import InvalidParams, PlainRefusal, Refusal, Unsuccessful
from services.gateway.rest.asked import Asked, Flag, Required, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families import synchronizing
from services.gateway.rest.families.posting import checked, post, send
from services.gateway.rest.paging import EVERYTHING, cut, paged, parse_paging
from services.gateway.rest.requests import missing, parse_date
from services.gateway.rest.router import Routes
from services.gateway.rest.steps import in_steps
from services.gateway.rest.validation import filled

routes = Routes()

_WRONG_ROOM: Final = "The room id provided does not match where the message is from."
_NO_FORCE: Final = (
    "Unauthorized. You must have the permission "
    '"force-delete-message" to delete other\'s message as them.'
)


@routes.post("chat.postMessage")
async def post_message(call: Call) -> dict[str, Any]:
    """Send a text to rooms or users, by id or name."""
    channel, message = await post(call)
    return {"ts": milliseconds(message["ts"]), "channel": channel, "message": message}


@routes.post("chat.sendMessage")
async def send_message(call: Call) -> dict[str, Any]:
    """Send a message as realtime clients do; repeatable by its own id."""
    message = call.body.mapping("message")
    if message is None:
        raise missing("message")
    checked(message.get("attachments"))
    return {"message": await send(call, message)}


@routes.post("chat.update")
async def update(call: Call) -> dict[str, Any]:
    """Change a message."""
    body = call.body
    room_id, message_id = body.required_text("roomId"), body.required_text("msgId")
    text = body.text("text")
    if text is None:
        raise missing("text")
    stored = await _message_in(call, message_id, room_id)
    changes = {"_id": message_id, "rid": room_id, "msg": text}
    if (custom_fields := body.mapping("customFields")) is not None:
        changes["customFields"] = custom_fields  # type: ignore[assignment]  # any value may stand here
    edited = await call.services.messaging.update_message(
        call.user_id, filled(MessageEdit, changes)
    )
    return {"message": edited or stored}


@routes.post("chat.delete")
async def delete(call: Call) -> dict[str, Any]:
    """Delete a message."""
    body = call.body
    room_id, message_id = body.required_text("roomId"), body.required_text("msgId")
    stored = await _message_in(call, message_id, room_id)
    author = stored.get("u", {})
    if (
        body.flag("asUser")
        and author.get("_id") != call.user_id
        and not await call.may("force-delete-message", RoomId(room_id))
    ):
        raise PlainRefusal(_NO_FORCE)
    try:
        await call.services.messaging.delete_message(call.user_id, MessageId(message_id))
    except MessageNotFound:
        raise _no_message(message_id) from None
    return {
        "_id": message_id,
        "ts": str(int(time.time() * 1000)),
        "message": {"_id": message_id, "rid": room_id, "u": author},
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


@routes.get("chat.getMessage")
async def get_message(call: Call) -> dict[str, Any]:
    """One message."""
    message_id = call.query.required_text("msgId")
    try:
        message = await call.services.messaging.get_message(call.user_id, MessageId(message_id))
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
    try:
        await call.services.messaging.set_reaction(
            call.user_id, emoji, MessageId(asked.message_id), asked.should_react
        )
    except MessageNotFound:
        raise BadRequest(
            'The provided "messageId" does not match any existing message.',
            code="error-message-not-found",
        ) from None


@routes.get("chat.syncMessages")
async def sync_messages(call: Call) -> dict[str, Any]:
    """What happened in a room since a moment."""
    query = call.query
    room_id = query.text("roomId")
    if not room_id:
        raise Refusal('The required "roomId" query param is missing', code="error-param-required")
    kind, last_update = query.text("type"), query.text("lastUpdate")
    if kind:
        return {"result": await synchronizing.page(call, RoomId(room_id), kind)}
    if not last_update:
        raise Refusal(
            'The "type" or "lastUpdate" parameters must be provided', code="error-param-required"
        )
    since = parse_date(last_update)
    if since is None:
        raise Refusal(
            'The "lastUpdate" query parameter must be a valid date',
            code="error-lastUpdate-param-invalid",
        )
    found = await call.services.messaging.synchronize(call.user_id, RoomId(room_id), since)
    return {"result": {"updated": found.updated, "deleted": found.deleted}}


@routes.get("chat.getThreadMessages")
async def thread_messages(call: Call) -> dict[str, Any]:
    """The replies of a thread, oldest first."""
    thread_id = call.query.required_text("tmid")
    paging = parse_paging(call.query, await call.paging_rules())
    try:
        page = await in_steps(
            lambda part: call.services.messaging.thread_messages(
                call.user_id, MessageId(thread_id), part
            ),
            paging,
        )
    except MessageNotFound:
        raise BadRequest("Invalid Message", code="error-invalid-message") from None
    return paged("messages", page, paging)


@routes.get("chat.getThreadsList")
async def threads_list(call: Call) -> dict[str, Any]:
    """Messages of a room that have replies, latest activity first."""
    room_id = RoomId(call.query.required_text("rid"))
    paging = parse_paging(call.query, await call.paging_rules())
    is_wanted = await _thread_filter(call, room_id)
    page = await in_steps(
        lambda part: call.services.messaging.threads(call.user_id, room_id, part),
        Paging(count=EVERYTHING) if is_wanted else paging,
    )
    if is_wanted:
        page = cut([thread for thread in page.items if is_wanted(thread)], paging)
    return paged("threads", page, paging)


async def _thread_filter(call: Call, room_id: RoomId) -> Callable[[Document], bool] | None:
    """Which threads are wanted; None: all. Raises: InvalidParams."""
    kind, text = call.query.text("type"), (call.query.text("text") or "").casefold()
    unread: set[str] = set()
    if kind == "unread":
        membership = await call.services.messaging.subscription_of(call.user_id, room_id)
        unread = set((membership or {}).get("tunread", ()))
    elif kind not in (None, "", "all", "following"):
        raise InvalidParams("must be equal to one of the allowed values")
    if not text and kind not in ("unread", "following"):
        return None

    def is_wanted(thread: Document) -> bool:
        of_kind = {
            "unread": thread["_id"] in unread,
            "following": call.user_id in thread.get("replies", ()),
        }
        return of_kind.get(kind or "", True) and text in str(thread.get("msg", "")).casefold()

    return is_wanted
