"""What fan-out needs of a session and its connection. Who has which is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pydantic import ValidationError

from hubbub.contracts.event_log import (
    ControlEvent,
    EventsMissing,
    Kind,
    MembershipEnded,
    RoomAccessChanged,
    decode_control,
)
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.frames import SharedFrame

Topic = tuple[str, str]
"""A stream's name without `stream-`, and an event name."""

MY_MESSAGES: Topic = ("room-messages", "__my_messages__")
ROOM_STREAMS = ("room-messages", "notify-room", "room-data")
"""Streams whose event names begin with a room's id, and that need access to the room."""


def room_of_topic(topic: Topic) -> str | None:
    """The room that `topic` is about, or None."""
    stream, key = topic
    if stream not in ROOM_STREAMS or topic == MY_MESSAGES:
        return None
    return key.partition("/")[0] if stream == "notify-room" else key


def membership_end(event: Event) -> MembershipEnded | None:
    """The end of a membership, if that is what `event` tells."""
    control = _control(event)
    return control if isinstance(control, MembershipEnded) else None


def tells_missing(event: Event) -> bool:
    """Whether `event` stands for one that could not be published."""
    return isinstance(_control(event), EventsMissing)


def access_changes(event: Event) -> bool:
    """Whether `event` says that others may follow its room than before."""
    return isinstance(_control(event), RoomAccessChanged)


def _control(event: Event) -> ControlEvent | None:
    if event.kind is not Kind.CONTROL:
        return None
    try:
        return decode_control(event.payload)
    except ValidationError:
        return None


class Recipient(Protocol):
    """A connection, as a place to put frames."""

    @property
    def connection_id(self) -> str:
        """Public id of the connection."""
        ...

    def send(self, message: bytes) -> None:
        """Queue a message for this connection alone."""
        ...

    def send_shared(self, frame: SharedFrame) -> bool:
        """Queue a shared frame; False when it was not queued."""
        ...

    def when_written(self, function: Callable[[], None]) -> None:
        """Call `function` when what is queued now has left the process, if that is ever so."""
        ...


class Listening(Protocol):
    """A session, as fan-out sees it."""

    @property
    def recipient(self) -> Recipient: ...

    @property
    def user_id(self) -> str | None: ...

    def end_room(self, room_id: str) -> None:
        """The user lost this room: end the subscriptions that show it, saying `not-allowed`, and
        forget what is still on its way to the client about it."""
        ...

    def end_lost(self, room_id: str | None = None) -> None:
        """Events of this session are missing for good, those of one room or, with None, any:
        its client has to load anew."""
        ...
