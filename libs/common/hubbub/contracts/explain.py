"""Contracts behind `hubbub explain`: why did this user not get this message?

Durable facts come from messaging. What happened on the way is remembered for a while by the hub
and by each streamer, as ids and moments only; they are asked one by one
(`bus.proxy(HubRecall, to=instance)`), because each remembers something else. Moments are
milliseconds since 1970 of the clock of whoever tells them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Frozen, Identifier
from hubbub.ids import UserId

Outcome = Literal[
    "delivered",
    "recovered",
    "filtered",
    "dropped",
    "not_subscribed",
    "not_connected",
    "unknown",
]
"""What became of a message on one connection.

`delivered`       it was queued for the connection when it came
`recovered`       the same, and it had been missing and was fetched from the log
`filtered`        it was rightly not given; the reason is that of `hubbub_streamer_filtered_total`
`dropped`         it was given up; the reason is that of `hubbub_streamer_dropped_total`, or of
                  `hubbub_streamer_disconnects_total` when the connection ended with it unsent
`not_subscribed`  the connection did not listen to the room
`not_connected`   it was opened later, or had ended
`unknown`         it is not remembered any more, or it never came here
"""


class MessageFacts(Frozen):
    """What the database says of a message. Never its text."""

    id: str
    room_id: str
    room_type: str
    """`c`, `p`, `d`; empty when the room is gone."""
    ts: datetime
    sequence: int | None = None
    """Its number in the room; None for one that another tool wrote."""
    author_id: str = ""
    type: str = ""
    """Of a system message; else empty."""
    thread_id: str | None = None
    hidden: bool = False
    deleted_at: datetime | None = None


class Stay(Frozen):
    """A time in a room."""

    since: datetime | None
    """None: not written down."""
    until: datetime | None = None
    """None: it lasts."""


class DeliveryFacts(Frozen):
    """A message, and whether a user was in its room."""

    message: MessageFacts
    stays: list[Stay]
    """The user's times in the room, as far back as the trash reaches."""


class ExplainActions(Contract, Protocol):
    """The part of the messaging contract that explanations stand on."""

    @action(idempotent=True)
    async def delivery_facts(
        self, message_id: Identifier, user_id: Identifier
    ) -> DeliveryFacts | None:
        """The facts, whoever asks: only for those who may know of every room. None: there is no
        such message, and no trace of it."""
        ...


class Appended(Frozen):
    """An event about a message that the log acknowledged."""

    sequence: int
    """Its place in the log."""
    epoch: int
    stream: str
    committed: int = 0
    """When the change was committed; 0: not known."""
    published: int
    """When it was handed to the log."""


class HubMemory(Frozen):
    """What one hub remembers of a message."""

    since: int
    """What was published before is not remembered."""
    leads: bool
    events: list[Appended]
    """Oldest first."""
    skipped: str = ""
    """Why a change of the message made no event: the last such reason, as in
    `hubbub_hub_skipped_total`."""


class HubRecall(Contract, Protocol, name="hub-recall"):
    """The memory of one stream-hub."""

    @action(idempotent=True, timeout=2.0)
    async def recall(self, message_id: Identifier) -> HubMemory:
        """What it published about a message."""
        ...


class Delivery(Frozen):
    """A message on one connection of the user."""

    connection: str
    """Public id of the connection, as in the log lines (`conn`)."""
    outcome: Outcome
    reason: str = ""
    opened: int
    """When the user signed in on it."""
    closed: int | None = None
    """When it ended, or the user signed out; None: it lasts."""
    ended_by: str = ""
    """Why it ended, as in `hubbub_streamer_disconnects_total`."""
    queued: int | None = None
    """When the message was queued for it."""
    written: bool | None = None
    """Whether it left the process; None: it was not queued."""
    acknowledged: bool | None = None
    """Whether the client answered a ping that followed it, and so has it for certain."""


class StreamerMemory(Frozen):
    """What one streamer remembers."""

    pod: str
    since: int
    """What came before is not remembered."""
    arrived: int | None = None
    """When the message came here; None: it did not, or that is not remembered."""
    recipients: int = 0
    """Connections that it was queued for here, whoever's."""
    deliveries: list[Delivery]
    """One per connection of the user that is remembered, oldest first."""


class StreamerRecall(Contract, Protocol, name="streamer-recall"):
    """The memory of one streamer."""

    @action(idempotent=True, timeout=2.0)
    async def recall(
        self, user_id: UserId, room_id: str, sequence: int | None, moment: int
    ) -> StreamerMemory:
        """What became of an event of a room for a user's connections.

        Args:
            sequence: its place in the log; None: not known, so only the connections are told.
            moment: about when it was published; only connections that ended no more than an hour
                before are told.
        """
        ...
