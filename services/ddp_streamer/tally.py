"""What is counted per frame and per event: plain integers, moved to the meters now and then.

A labelled counter costs more than the frame it counts.
"""

from __future__ import annotations

from collections import Counter as Counting
from typing import Final, Literal

MESSAGE_TYPES: Final = (
    "sub",
    "unsub",
    "method",
    "ping",
    "pong",
    "changed",
    "result",
    "ready",
    "nosub",
    "other",
)
"""Kinds of DDP messages that are counted by name."""

DELIVERED_STREAMS: Final = (
    "room-messages",
    "notify-user",
    "notify-room",
    "notify-logged",
    "notify-all",
    "roles",
    "room-data",
    "user-presence",
    "other",
)
"""Streams whose events are counted by name."""

Filtered = Literal[
    "no_permission", "not_member", "self", "stale_epoch", "duplicate", "unsubscribed"
]
"""Why something was rightly not delivered.

`no_permission`  the receiver may not see it
`not_member`     it was queued, and then the receiver lost the room
`self`           the receiver is who caused it
`stale_epoch`    a hub published it that led no longer
`duplicate`      it had arrived before
`unsubscribed`   nobody here listens to it, or not any more
"""

Dropped = Literal[
    "slow_client",
    "typing_coalesced",
    "typing_crowded",
    "typing_shed",
    "presence_coalesced",
    "presence_shed",
    "queue_full",
]
"""Why something was given up that somebody was to get.

`slow_client`         the receiver does not read
`typing_coalesced`    it says what was said a moment ago
`typing_crowded`      so many would hear it that typing is told to nobody
`typing_shed`         the event loop is too late for it
`presence_coalesced`  a newer status of the same user took its place
`presence_shed`       the event loop was late for so long that too many changes were put off
`queue_full`          more arrived than could be worked on
"""


Recovery = Literal["full", "not_needed", "too_old", "epoch_changed", "failed"]
"""How it ended for one audience that its continuity was in question.

`full`           the log had all that was missing
`not_needed`     nothing was missing
`too_old`        the log no longer has it
`epoch_changed`  it is another log
`failed`         the log did not answer, or does not have it
"""


class Tally:
    """What has happened since the last transfer to the meters."""

    __slots__ = (
        "bytes_in",
        "bytes_in_by_type",
        "bytes_out",
        "bytes_out_by_type",
        "delivered",
        "dropped",
        "events",
        "filtered",
        "messages_in",
        "messages_out",
        "shared",
    )

    def __init__(self) -> None:
        self.messages_in: Counting[str] = Counting()
        self.messages_out: Counting[str] = Counting()
        """Messages for one client alone."""
        self.shared = 0
        """Shared frames queued to sockets."""
        self.bytes_in = 0
        """All bytes read."""
        self.bytes_in_by_type: Counting[str] = Counting()
        """Of those, the messages."""
        self.bytes_out = 0
        """All bytes written."""
        self.bytes_out_by_type: Counting[str] = Counting()
        """Frames for one client alone. What is written besides is shared frames."""
        self.events: Counting[str] = Counting()
        """Events that arrived, by stream."""
        self.delivered: Counting[str] = Counting()
        """Shared frames queued to sockets, by stream."""
        self.filtered: Counting[Filtered] = Counting()
        self.dropped: Counting[Dropped] = Counting()
