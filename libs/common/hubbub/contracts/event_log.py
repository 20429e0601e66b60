"""The event log: where stream events travel and what their headers mean.

The leading stream-hub appends each event once, on `hubbub.v1.append.<epoch>.<audience>`.
JetStream stores it as `hubbub.v1.event-log.<audience>`, if the epoch is still the leader's, and
republishes it on `hubbub.v1.live.<audience>`, where streamers listen. What is never stored
(typing, presence) travels on `hubbub.v1.ephemeral.<audience>`: who may write there can forge a
typing notice, never a message.

An *audience* is who may be concerned, and is one subject: grouping by audience and not by
stream keeps a streamer's subscriptions few.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import StrEnum
from typing import Annotated, Literal, NewType

from pydantic import Field, TypeAdapter

from hubbub.contracts.documents import Frozen
from hubbub.ids import from_subject_token, subject_token

PREFIX = "hubbub.v1."
LOG_STREAM = "HUBBUB_EVENTS"
APPEND_SUBJECTS = PREFIX + "append."
"""Only hubs may publish here; what they publish is stored under `LOG_SUBJECTS`."""
LOG_SUBJECTS = PREFIX + "event-log."
LIVE_SUBJECTS = PREFIX + "live."
EPHEMERAL_SUBJECTS = PREFIX + "ephemeral."

Audience = NewType("Audience", str)

LOGGED = Audience("logged")
"""Every signed-in socket."""
EVERYONE = Audience("everyone")
"""Every socket, anonymous ones too; also the cache invalidations that concern everybody."""
CONTROL = Audience("control")
"""Hubs to streamers: markers and watermarks. Never reaches a client."""
PRESENCE = Audience("presence")
"""Presence of all users; only ephemeral. The header `UID` tells whose."""
APPS = Audience("apps")
"""What becomes of apps and their commands, for signed-in sockets; only ephemeral."""


def room_audience(room_id: str) -> Audience:
    """Those who may follow one room."""
    return Audience("room." + subject_token(room_id))


def user_audience(user_id: str) -> Audience:
    """The sockets of one user."""
    return Audience("user." + subject_token(user_id))


def room_of(audience: Audience) -> str | None:
    """The room id of a room audience, else None."""
    kind, _, token = audience.partition(".")
    return from_subject_token(token) if kind == "room" else None


def user_of(audience: Audience) -> str | None:
    """The user id of a user audience, else None."""
    kind, _, token = audience.partition(".")
    return from_subject_token(token) if kind == "user" else None


class Header:
    """Names of the headers on log, live and ephemeral messages. Values are ASCII.

    Streamers decide by headers alone; they never parse a payload that they forward.
    """

    KIND = "Hub-Kind"
    """One of `Kind`."""
    STREAM = "Hub-Stream"
    """Stream name without `stream-`, e.g. `room-messages`."""
    KEY = "Hub-Key"
    """Event name; for `Kind.ARGS` the part behind `<uid>/`. Percent-encoded (RFC 3986)."""
    EPOCH = "Hub-Epoch"
    """The publishing leader's epoch, a decimal integer."""
    EVENT_ID = "Hub-Event-Id"
    """`<resume token>:<index>`: the same change yields the same ids whoever publishes it."""
    ROOM_TYPE = "Hub-Room-Type"
    """`c`, `p` or `d`, on room messages."""
    ROOM_NAME = "Hub-Room-Name"
    """Room name, percent-encoded; absent for direct rooms."""
    UID = "Hub-Uid"
    """Whom the event is about (presence) or whom it concerns alone."""
    ORIGIN = "Hub-Origin"
    """Public id of the connection that caused an ephemeral event; it gets no copy."""
    COMMITTED = "Hub-Committed"
    """When the change was committed, milliseconds since 1970 of the database's clock."""
    PUBLISHED = "Hub-Published"
    """When the hub published it, milliseconds since 1970 of its own clock."""
    TRACE_PARENT = "traceparent"
    """W3C trace context, only where the trace is recorded."""

    # Set by JetStream when it republishes.
    SEQUENCE = "Nats-Sequence"
    LAST_SEQUENCE = "Nats-Last-Sequence"


class Kind(StrEnum):
    """What the payload of an event is."""

    FRAME = "frame"
    """The finished DDP `changed` message: forward the bytes."""
    ARGS = "args"
    """The JSON array `args`; the event name names the receiver: each gets a prefix of its own."""
    CONTROL = "control"
    """A `ControlEvent` for streamers and services. Never reaches a client."""


class MembershipEnded(Frozen):
    """`user_id` is no longer in `room_id`. In the room's audience, ahead of every later event."""

    type: Literal["membership-ended"] = "membership-ended"
    user_id: str
    room_id: str


class MembershipBegan(Frozen):
    """`user_id` is now in `room_id`. In the user's audience, ahead of the frames that show it."""

    type: Literal["membership-began"] = "membership-began"
    user_id: str
    room_id: str
    room_type: str
    room_name: str | None = None


class RoomAccessChanged(Frozen):
    """Type, team or existence of a room changed: judge its subscriptions again."""

    type: Literal["room-access-changed"] = "room-access-changed"
    room_id: str
    deleted: bool = False


class AccountChanged(Frozen):
    """Login tokens, password, roles or the active flag of `user_id` changed.

    Streamers verify the tokens of this user's sockets again and drop what they remember of
    the user's rights.
    """

    type: Literal["account-changed"] = "account-changed"
    user_id: str
    rights: bool = True
    """Roles or the active flag may have changed; False: only tokens and other credentials."""


class RightsChanged(Frozen):
    """Role, permission or setting documents changed: drop cached decisions."""

    type: Literal["rights-changed"] = "rights-changed"
    what: Literal["roles", "permissions", "settings"]


class EventsMissing(Frozen):
    """An event of this audience could not be published, and stands for it in its place.

    Whoever keeps a state of the audience must fetch it again.
    """

    type: Literal["events-missing"] = "events-missing"
    reason: Literal["too-large"]
    """`too-large`: NATS takes no message of its size."""


class Marker(Frozen):
    """A leader begins. From its sequence on, events of lower epochs do not count.

    `log_epoch` names the log's continuity: when it changes, or `resync` is true, positions of
    before prove nothing and clients must fetch again.
    """

    type: Literal["marker"] = "marker"
    epoch: int
    holder: str
    log_epoch: str
    resync: bool = False
    resumed_from: int = 0
    """Sequence that the leader's checkpoint named; 0: none, or not told."""


class Watermark(Frozen):
    """How far the log is, per recently used audience. Live only, never stored.

    A streamer that holds an audience of `tops` with a lower sequence half a second later has
    lost its tail.
    """

    type: Literal["watermark"] = "watermark"
    epoch: int
    log_epoch: str
    sequence: int
    """Sequence of the log's last event."""
    tops: list[tuple[str, int]]
    """(audience, sequence of its last event) for events of the last five seconds."""


ControlEvent = Annotated[
    MembershipEnded
    | MembershipBegan
    | RoomAccessChanged
    | AccountChanged
    | RightsChanged
    | EventsMissing
    | Marker
    | Watermark,
    Field(discriminator="type"),
]

_CONTROL: TypeAdapter[
    MembershipEnded
    | MembershipBegan
    | RoomAccessChanged
    | AccountChanged
    | RightsChanged
    | EventsMissing
    | Marker
    | Watermark
] = TypeAdapter(ControlEvent)


def encode_control(event: ControlEvent) -> bytes:
    """A control event as payload."""
    return event.model_dump_json(exclude_defaults=False).encode()


def decode_control(payload: bytes) -> ControlEvent:
    """The control event in `payload`. Raises: pydantic.ValidationError: it is none."""
    return _CONTROL.validate_json(payload)


class Epochs:
    """Which events of the log count, when two hubs believed that they lead.

    An event of epoch e at sequence s counts if and only if no marker with a higher epoch has a
    sequence below s. Hubs and streamers apply this same rule, so every change counts exactly
    once, in the database's order, whatever a stale leader still writes.
    """

    def __init__(self) -> None:
        self._sequences: list[int] = []  # of markers, ascending
        self._highest: list[int] = []  # highest epoch of all markers up to the one at this index

    def mark(self, epoch: int, sequence: int) -> None:
        """Note that the marker of `epoch` stands at `sequence`. Repeating it changes nothing."""
        index = bisect_left(self._sequences, sequence)
        if index < len(self._sequences) and self._sequences[index] == sequence:
            return
        self._sequences.insert(index, sequence)
        self._highest.insert(index, epoch)
        running = self._highest[index - 1] if index else 0
        for later in range(index, len(self._highest)):
            running = max(running, self._highest[later], epoch if later >= index else 0)
            self._highest[later] = running

    def counts(self, epoch: int, sequence: int) -> bool:
        """Whether an event of `epoch` at `sequence` counts."""
        index = bisect_left(self._sequences, sequence)
        return index == 0 or self._highest[index - 1] <= epoch

    def forget_before(self, sequence: int) -> None:
        """Drop markers that can no longer matter, keeping the highest epoch before `sequence`."""
        index = bisect_left(self._sequences, sequence)
        if index > 1:
            del self._sequences[: index - 1]
            del self._highest[: index - 1]
