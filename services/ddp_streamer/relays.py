"""What one client tells another by way of the server: never stored, never looked into.

Only for what clients arrange among themselves (calls, keys), and only between people who share a
room. Whatever else is written to a stream of users has no effect and is no error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol
from urllib.parse import quote

from hubbub.contracts.documents import Paging
from hubbub.contracts.event_log import EPHEMERAL_SUBJECTS, Header, Kind, user_audience
from hubbub.contracts.messaging import Messaging
from hubbub.ddp import ejson
from hubbub.ddp.stream import stream_frame
from hubbub.errors import BadRequest, NotAllowed, NotFound
from hubbub.ids import RoomId, UserId

STREAM: Final = "notify-user"

_TO_ROOMS: Final = frozenset({"webrtc", "otr", "userData", "e2ekeyRequest", "video-conference"})
_TO_USERS: Final = frozenset({"webrtc", "otr"})
_MAX_MEMBERS = 1_000
_MAX_ID = 128  # characters; it becomes part of a NATS subject, whose length is bounded
_MAX_ARGS = 16 * 1024  # bytes

Publish = Callable[[str, bytes, dict[str, str]], Awaitable[None]]
"""Publish on NATS: subject, payload, headers."""


class Writer(Protocol):
    """A session that says something to others."""

    @property
    def user_id(self) -> str | None: ...
    @property
    def public_id(self) -> str: ...


class Relays:
    """Passes on what may be passed on."""

    def __init__(self, messaging: Messaging, publish: Publish) -> None:
        self._messaging = messaging
        self._publish = publish

    async def to_room(self, writer: Writer, params: list[Any]) -> None:
        """`stream-notify-room-users`: to every other member of a room that the writer is in.

        Raises: Unavailable, Timeout: the members are not known now.
        """
        said = _said(params, _TO_ROOMS)
        if said is None or writer.user_id is None:
            return
        room_id, event, args = said
        try:
            members = await self._members(UserId(writer.user_id), RoomId(room_id))
        except (NotAllowed, NotFound, BadRequest):
            return
        if writer.user_id in members:
            await self._tell(writer, (one for one in members if one != writer.user_id), event, args)

    async def to_user(self, writer: Writer, params: list[Any]) -> None:
        """`stream-notify-user`: to somebody with whom the writer has a direct room.

        Raises: Unavailable, Timeout: that is not known now.
        """
        said = _said(params, _TO_USERS)
        if said is None or writer.user_id is None:
            return
        user_id, event, args = said
        room_id = RoomId("".join(sorted((writer.user_id, user_id))))
        try:
            found = await self._messaging.is_member(
                UserId(writer.user_id), room_id, UserId(user_id)
            )
        except (NotAllowed, NotFound, BadRequest):
            return
        if found:
            await self._tell(writer, [user_id], event, args)

    async def _members(self, user_id: UserId, room_id: RoomId) -> set[str]:
        """Ids of a room's members; none of a large one's, nor of a room the user is not in."""
        if await self._messaging.subscription_of(user_id, room_id) is None:
            return set()
        page = await self._messaging.members(user_id, room_id, Paging(count=_MAX_MEMBERS))
        if page.total > _MAX_MEMBERS:
            return set()
        return {str(member["_id"]) for member in page.items}

    async def _tell(self, writer: Writer, user_ids: Iterable[str], event: str, args: bytes) -> None:
        for user_id in user_ids:
            key = f"{user_id}/{event}"
            await self._publish(
                EPHEMERAL_SUBJECTS + user_audience(user_id),
                stream_frame(STREAM, key, args),
                {
                    Header.KIND: Kind.FRAME.value,
                    Header.STREAM: STREAM,
                    Header.KEY: quote(key, safe="/:@"),
                    Header.ORIGIN: writer.public_id,
                },
            )


def _said(params: list[Any], events: frozenset[str]) -> tuple[str, str, bytes] | None:
    """Whom it is for, what it is called, and its arguments; None: not to be passed on."""
    if not params or not isinstance(params[0], str):
        return None
    subject, _, event = params[0].partition("/")
    args = ejson.dumps(params[1:])
    if not 0 < len(subject) <= _MAX_ID or event not in events or len(args) > _MAX_ARGS:
        return None
    return subject, event, args
