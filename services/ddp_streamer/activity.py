"""Typing and other activity, told by one client to the others in a room. Never stored.

What a client may say is checked here: its own name, in a room that it may access. It travels
straight between streamers, never back to the socket that said it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote

from hubbub.contracts.documents import Paging
from hubbub.contracts.event_log import EPHEMERAL_SUBJECTS, Header, Kind, room_audience
from hubbub.contracts.messaging import Messaging
from hubbub.ddp import ejson
from hubbub.ddp.stream import stream_frame
from hubbub.errors import HubbubError, NotAllowed
from hubbub.ids import RoomId, UserId
from services.ddp_streamer.rights import Question, Rights
from services.ddp_streamer.tally import Dropped
from services.ddp_streamer.workspace import Workspace

STREAM: Final = "notify-room"
_ACTIVITIES: Final = frozenset({"user-typing", "user-recording", "user-uploading"})
_MAX_EXTRA = 1024  # bytes
_MAX_ROOM_ID = 128  # characters; it becomes part of a NATS subject, whose length is bounded
_EQUAL_STATE = 1.0  # seconds between two equal states of one socket and room
_MAX_REMEMBERED = 64  # states per socket
_CROWD = 500  # members online; where more would hear it, typing is told to nobody
_CROWD_SECONDS = 60.0  # for which a room is known to be crowded, or not to be
_MAX_ROOMS = 10_000  # of which that is known

Publish = Callable[[str, bytes, dict[str, str]], Awaitable[None]]
"""Publish on NATS: subject, payload, headers."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a client says about itself."""

    room_id: str
    event: str
    name: str
    args: tuple[Any, ...]
    """Behind the name."""

    def derived(self) -> Notice | None:
        """The same in the other of the two forms: clients know one or the other."""
        if self.event == "typing":
            return Notice(
                self.room_id,
                "user-activity",
                self.name,
                (["user-typing"] if self.args[0] else [], *self.args[1:]),
            )
        activities = self.args[0]
        if activities and "user-typing" not in activities:
            return None
        return Notice(self.room_id, "typing", self.name, ("user-typing" in activities,))

    def frame(self) -> bytes:
        """The message that the others get."""
        args = ejson.dumps([self.name, *self.args])
        return stream_frame(STREAM, f"{self.room_id}/{self.event}", args)


def notice(params: list[Any]) -> Notice | None:
    """What the parameters of `stream-notify-room` say; None: nothing that may be passed on."""
    if len(params) < 3 or not isinstance(params[0], str) or not isinstance(params[1], str):
        return None
    room_id, _, event = params[0].partition("/")
    state = params[2]
    # Some clients append an empty object or an empty text to everything.
    extra = params[3] if len(params) > 3 and isinstance(params[3], dict) else None
    if extra is not None and len(ejson.dumps(extra)) > _MAX_EXTRA:
        return None
    rest = () if extra is None else (extra,)
    if not 0 < len(room_id) <= _MAX_ROOM_ID:
        return None
    if event == "typing" and isinstance(state, bool):
        return Notice(room_id, event, params[1], (state, *rest))
    if (
        event == "user-activity"
        and isinstance(state, list)
        and len(state) <= len(_ACTIVITIES)
        and all(isinstance(item, str) and item in _ACTIVITIES for item in state)
    ):
        return Notice(room_id, event, params[1], (state, *rest))
    return None


class Writer(Protocol):
    """A session that says something about its user."""

    typing: dict[tuple[str, str], tuple[bytes, float]] | None
    document: dict[str, Any]

    @property
    def user_id(self) -> str | None: ...
    @property
    def public_id(self) -> str: ...


def _ignore(_: Dropped) -> None:
    """Nobody counts."""


class Activity:
    """Passes notices on."""

    def __init__(
        self,
        rights: Rights,
        messaging: Messaging,
        publish: Publish,
        workspace: Workspace,
        *,
        now: Callable[[], float],
        on_dropped: Callable[[Dropped], None] = _ignore,
    ) -> None:
        self._rights = rights
        self._messaging = messaging
        self._publish = publish
        self._workspace = workspace
        self._now = now
        self._on_dropped = on_dropped
        self._crowded: dict[str, tuple[bool, float]] = {}  # room id → (crowded, until)

    async def write(self, writer: Writer, params: list[Any]) -> None:
        """Tell the others in the room. What is not allowed has no effect and is no error."""
        user_id = writer.user_id
        said = notice(params)
        if user_id is None or said is None or not self._is_own_name(writer, said.name):
            return
        if self._is_repeated(writer, said):
            self._on_dropped("typing_coalesced")
            return
        question = Question("access", user_id, said.room_id)
        if not await self._rights.learn(question) or writer.user_id != user_id:
            return
        if await self._is_crowded(UserId(user_id), RoomId(said.room_id)):
            self._on_dropped("typing_crowded")
            return
        for one in (said, said.derived()):
            if one is not None:
                await self._tell(writer, one)

    async def _tell(self, writer: Writer, said: Notice) -> None:
        await self._publish(
            EPHEMERAL_SUBJECTS + room_audience(said.room_id),
            said.frame(),
            {
                Header.KIND: Kind.FRAME.value,
                Header.STREAM: STREAM,
                Header.KEY: quote(f"{said.room_id}/{said.event}", safe="/"),
                Header.ORIGIN: writer.public_id,
            },
        )

    def _is_own_name(self, writer: Writer, name: str) -> bool:
        field = "name" if self._workspace.real_names else "username"
        return bool(name) and writer.document.get(field) == name

    async def _is_crowded(self, user_id: UserId, room_id: RoomId) -> bool:
        """Whether so many are online in the room that typing would cost more than it says."""
        crowded, until = self._crowded.get(room_id, (False, 0.0))
        now = self._now()
        if until > now:
            return crowded
        try:
            crowded = await self._has_crowd(user_id, room_id)
        except HubbubError:
            return crowded  # as it was before; asked again next time
        self._crowded.pop(room_id, None)
        self._crowded[room_id] = crowded, now + _CROWD_SECONDS
        if len(self._crowded) > _MAX_ROOMS:
            del self._crowded[next(iter(self._crowded))]
        return crowded

    async def _has_crowd(self, user_id: UserId, room_id: RoomId) -> bool:
        room = await self._messaging.get_room(user_id, room_id)
        members = room.get("usersCount")
        if not isinstance(members, int) or members <= _CROWD:
            return False
        try:
            online = await self._messaging.members(
                user_id, room_id, Paging(count=1), online_only=True
            )
        except NotAllowed:  # who is in it is told to nobody
            return True
        return online.total > _CROWD

    def _is_repeated(self, writer: Writer, said: Notice) -> bool:
        """The same state within a second says nothing new."""
        now = self._now()
        state = ejson.dumps(said.args)
        if writer.typing is None:
            writer.typing = {}
        before, at = writer.typing.get((said.room_id, said.event), (b"", 0.0))
        if before == state and now - at < _EQUAL_STATE:
            return True
        if len(writer.typing) >= _MAX_REMEMBERED:
            writer.typing.clear()
        writer.typing[(said.room_id, said.event)] = state, now
        return False
