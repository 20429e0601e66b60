"""From an event to the sockets that get it.

An event's frame is built once and the same object is queued to every socket. What an event
does to rights (a membership ends, a room's access changes) is done in its place among the
events of its audience, before anything behind it is delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Final, Protocol

from opentelemetry.trace import TracerProvider
from pydantic import ValidationError

from hubbub.contracts.event_log import (
    APPS,
    EVERYONE,
    LOGGED,
    PRESENCE,
    AccountChanged,
    Audience,
    EventsMissing,
    Header,
    Kind,
    MembershipBegan,
    MembershipEnded,
    RightsChanged,
    RoomAccessChanged,
    decode_control,
    room_of,
    user_of,
)
from hubbub.contracts.messaging import Messaging
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.tracing import tracer_of
from services.ddp_streamer.audiences import ALL_ROOMS, Event
from services.ddp_streamer.fanout.memberships import Following, Memberships
from services.ddp_streamer.fanout.my_messages import PublicRooms, my_message
from services.ddp_streamer.fanout.people import People, Person
from services.ddp_streamer.fanout.presence_watch import USER_STATUS, PresenceWatch, user_status
from services.ddp_streamer.fanout.private_settings import (
    APP_SETTINGS,
    PRIVATE_SETTINGS,
    PrivateSettings,
)
from services.ddp_streamer.fanout.queue import WorkQueue
from services.ddp_streamer.fanout.recipients import Listening, Recipient, Topic
from services.ddp_streamer.fanout.rooms_changed import RoomsChanged, send_to
from services.ddp_streamer.fanout.sampling import Sampling
from services.ddp_streamer.fanout.spans import FanoutSpan
from services.ddp_streamer.fanout.topics import Topics
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.recent import Recent
from services.ddp_streamer.shedding import Level
from services.ddp_streamer.tasks import Tasks

log = get_logger(__name__)

_EPHEMERAL_USER_EVENTS = frozenset(
    {
        "message",
        "notification",
        "uiInteraction",
        "webrtc",
        "otr",
        "userData",
        "e2ekeyRequest",
        "video-conference",
    }
)
_EPHEMERAL_ROOM_EVENTS = frozenset({"user-activity", "typing"})
_BETWEEN_PAUSES: Final = 31  # recipients between two points where others may run, less one
_SLICE: Final = 5  # the same as a shift


class Rights(Protocol):
    """What fan-out asks and tells about rights."""

    def known_access(self, user_id: str, room_id: str) -> bool | None:
        """A remembered answer to "may this user follow this room", or None."""
        ...

    async def learn_access(self, user_id: str, room_id: str) -> bool:
        """Ask. Raises: Unavailable, Timeout: nobody answered for long."""
        ...

    async def learn_permissions(self, user_id: str, permissions: str) -> bool:
        """Ask for any of several permissions, joined by spaces. Raises: Unavailable, Timeout."""
        ...

    def membership_changed(self, user_id: str, room_id: str) -> None: ...
    def room_changed(self, room_id: str) -> None: ...
    def account_changed(self, user_id: str) -> None: ...
    def rights_changed(self, what: str) -> None: ...


class Consequences(Protocol):
    """What has to happen to sessions because of an event; it happens beside the fan-out."""

    def account_changed(self, user_id: str, *, rights: bool) -> None:
        """Tokens of a user changed; `rights`: perhaps also roles or the active flag."""
        ...

    def judge_person(self, user_id: str) -> None:
        """What a user may follow besides one room has changed."""
        ...

    def room_access_changed(self, room_id: str, sequence: int) -> None:
        """Judge the subscriptions of this room again; until then they get nothing.

        What the log has behind `sequence` is theirs if they may have it.
        """
        ...

    def rights_changed(self, what: str) -> None:
        """Roles, permissions or settings changed."""
        ...

    def user_data_changed(self, user_id: str, payload: bytes) -> None:
        """The user's own document changed; `payload` is the `userData` frame."""
        ...


class Fanout:
    """The receiver of all events, and the register of who listens to what."""

    def __init__(
        self,
        messaging: Messaging,
        rights: Rights,
        metrics: StreamerMetrics,
        *,
        tasks: Tasks,
        max_watched: int = 10_000,
        coalesce_seconds: float = 0.5,
        legacy_user_status: bool = False,
        queue: WorkQueue | None = None,
        now: Callable[[], float] = time.monotonic,
        recent: Recent | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._recent = Recent() if recent is None else recent
        self._tracer = tracer_of(tracer_provider)
        self._messaging = messaging
        self._rights = rights
        self._metrics = metrics
        self._tasks = tasks
        self._queue = queue or WorkQueue()
        self.topics = Topics()
        self.people = People()
        self._tally = metrics.tally
        self.presence = PresenceWatch(now=now, max_watched=max_watched, tally=self._tally)
        self.public_rooms = PublicRooms(
            self.people,
            known=rights.known_access,
            learn=rights.learn_access,
            tasks=tasks,
            tally=self._tally,
        )
        self._rooms_changed = RoomsChanged(
            self.people,
            self.topics,
            add_work=self._queue.add,
            tally=self._tally,
            pause=coalesce_seconds,
        )
        self._private_settings = PrivateSettings(
            self.topics, rights.learn_permissions, tally=self._tally
        )
        self._legacy_user_status = legacy_user_status
        self._consequences: Consequences | None = None
        self.memberships: Memberships
        self._sampling = Sampling()
        self._shedding = Level.NOTHING
        self._making_up = False  # presence that was put off is being told
        self._turn = 0  # of the recipients of an event, which one is timed

    def connect(self, audiences: Following, consequences: Consequences) -> None:
        """Join the rooms that need each other; once, before the first event."""
        self._consequences = consequences
        self.memberships = Memberships(
            self._messaging,
            audiences,
            self.people,
            self._queue,
            deliver=self.deliver_to_person,
            tasks=self._tasks,
        )

    async def run(self) -> None:
        """What is done beside the fan-out, until cancelled."""
        await self._private_settings.run()

    # --- the receiver's side ------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self._queue.full

    async def wait_for_room(self) -> None:
        await self._queue.wait_for_room()

    def on_event(self, event: Event, *, wildcard: bool) -> None:
        self._queue.add(self._work(event, wildcard=wildcard), len(event.payload))

    def on_ephemeral(self, event: Event) -> None:
        if _may_be_ephemeral(event):
            self._queue.add(self._ephemeral_work(event), len(event.payload))
        else:
            log.warning("forbidden_ephemeral_event", stream=event.stream)

    def shed(self, level: Level) -> None:
        """Do without some of what is never stored, from now on; see `Level`."""
        self._shedding = level
        if level < Level.PRESENCE and not self._making_up:
            self._making_up = True
            self._queue.add(self._put_off_presence())

    def on_opened(self, audience: Audience) -> None:
        # What changed was not heard until now: answers of before are not trusted.
        room_id, user_id = room_of(audience), user_of(audience)
        if user_id is not None:
            self._rights.account_changed(user_id)
        elif room_id is not None:
            if audience == ALL_ROOMS:
                self._rights.rights_changed("all")
            else:
                self._rights.room_changed(room_id)

    def on_lost(self, audience: Audience) -> None:
        user_id = user_of(audience)
        room_id = None if audience == ALL_ROOMS else room_of(audience)
        for session in self._concerned_by(audience):
            session.end_lost(room_id)
        if user_id is not None:
            self._rights.account_changed(user_id)
            self._told().account_changed(user_id, rights=True)
        elif audience == EVERYONE:
            self._rights.rights_changed("all")
        elif room_id is not None:
            self._rights.room_changed(room_id)

    def in_turn(self, work: Iterator[None]) -> None:
        """Do `work` when everything that arrived until now has been delivered."""
        self._queue.add(work)

    def when_delivered(self, function: Callable[[], None]) -> None:
        """Call `function` when everything that arrived until now has been delivered."""
        self._queue.call(function)

    # --- events -------------------------------------------------------------------------------

    def _work(self, event: Event, *, wildcard: bool) -> Iterator[None]:
        if event.kind is Kind.CONTROL:
            self._control(event, wildcard=wildcard)
            return
        self._tally.events[event.stream] += 1
        if (event.stream, event.key) == PRIVATE_SETTINGS:
            self._private_settings.add(event)
        elif wildcard:
            if event.stream == "room-messages" and event.kind is Kind.FRAME:
                step, at = self._recent.step, time.monotonic()
                yield from self.public_rooms.deliver(event)
                if event.headers.get(Header.ROOM_TYPE) == "c":
                    self._recent.passed(event, step, at, 0, wildcard=True)
        elif event.kind is Kind.ARGS:
            room_id = room_of(event.audience)
            if event.key == "rooms-changed" and room_id is not None:
                yield from self._rooms_changed.deliver(room_id, event.payload)
        else:
            yield from self._frame_work(event)

    def _frame_work(self, event: Event) -> Iterator[None]:
        begun = time.perf_counter()
        step, at = self._recent.step, time.monotonic()
        span = None
        if self._tracer is not None and Header.TRACE_PARENT in event.headers:
            span = FanoutSpan(self._tracer, event, self.topics)
        timed = event if self._sampling.takes(begun) else None
        count = 0
        if self.topics.listeners((event.stream, event.key)):
            topic = (event.stream, event.key)
            position = event.sequence if event.audience.startswith("room.") else 0
            frame = SharedFrame(event.payload, position=position)
            count = yield from self._spread(frame, topic, timed=timed)
            if span is not None:
                span.spread(count)
        if event.stream == "room-messages":
            mine: SharedFrame | None = None
            for person in list(self.people.in_room(event.key)):
                if not person.my_messages:
                    continue
                mine = mine or my_message(event, participant=True)
                recipient, sent = next(iter(person.my_messages)), self._to_person(person, mine)
                if timed is not None and sent and not count:
                    self._time(recipient, timed)
                count += sent
                yield
            self._recent.passed(event, step, at, count)
        elif event.stream == "notify-user" and event.key.endswith("/userData"):
            user_id = user_of(event.audience)
            if user_id is not None:
                self._told().user_data_changed(user_id, event.payload)
        self._count(count)
        if timed is not None and count:
            self._measure(timed, begun)
        if span is not None:
            span.end(count)

    def _ephemeral_work(self, event: Event) -> Iterator[None]:
        self._tally.events[event.stream] += 1
        if event.audience == PRESENCE:
            if self._shedding >= Level.PRESENCE:
                self.presence.put_off(event)
            else:
                yield from self._presence_work(event)
            return
        if (event.stream, event.key) == APP_SETTINGS:
            self._private_settings.add(event)
            return
        droppable = event.stream == "notify-room"
        if droppable and self._shedding >= Level.TYPING:
            self._tally.dropped["typing_shed"] += 1
            return
        frame = SharedFrame(event.payload, droppable=droppable)
        topic = (event.stream, event.key)
        origin = event.headers.get(Header.ORIGIN)
        self._count((yield from self._spread(frame, topic, origin=origin)))

    def _presence_work(self, event: Event) -> Iterator[None]:
        found = self.presence.deliver(event)
        if found is not None:
            frame, recipients = found
            sent = 0
            for index, recipient in enumerate(recipients):
                sent += recipient.send_shared(frame)
                if index & _BETWEEN_PAUSES == _BETWEEN_PAUSES:
                    yield
            self._tally.delivered["user-presence"] += sent
            self._count(sent)
        if self._legacy_user_status and self.topics.listeners(USER_STATUS):
            status = user_status(event.payload)
            if status is not None:
                yield from self._spread(status, USER_STATUS)

    def _put_off_presence(self) -> Iterator[None]:
        """Tell one status that was put off, as long as the load stays away; the next one comes
        behind whatever waits by then, so that tens of thousands of them hold up no message.

        A user's newer status may be told between two of them: it takes the place of the old one.
        """
        event = None if self._shedding >= Level.PRESENCE else self.presence.take_put_off()
        self._making_up = event is not None
        if event is not None:
            self._queue.add(self._put_off_presence())
            yield from self._presence_work(event)

    def _spread(
        self,
        frame: SharedFrame,
        topic: Topic,
        *,
        origin: str | None = None,
        timed: Event | None = None,
    ) -> Generator[None, None, int]:
        """Queue `frame` to the listeners of `topic`, but not to the connection `origin`.

        Args:
            timed: the event, if it is to be measured how long it takes to one of them.

        Returns: how many got it.
        """
        listeners = self.topics.listeners(topic)
        recipients = tuple(listeners)
        slice_timed = -1 if timed is None else self._next_timed(len(recipients))
        paused = False
        sent = 0
        for index, recipient in enumerate(recipients):
            # During a pause sessions may have ended, or lost the right to listen.
            if paused and recipient not in listeners:
                self._tally.filtered["unsubscribed"] += 1
                continue
            if origin is not None and recipient.connection_id == origin:
                self._tally.filtered["self"] += 1
                continue
            if recipient.send_shared(frame):
                sent += 1
            if index & _BETWEEN_PAUSES == _BETWEEN_PAUSES:
                if index >> _SLICE == slice_timed and timed is not None:
                    self._time(recipient, timed)
                paused = True
                yield
                listeners = self.topics.listeners(topic)
        if len(recipients) >> _SLICE == slice_timed and timed is not None:
            self._time(recipients[-1], timed)
        self._tally.delivered[topic[0]] += sent
        return sent

    def _to_person(self, person: Person, frame: SharedFrame) -> int:
        sent = sum(recipient.send_shared(frame) for recipient in list(person.my_messages))
        self._tally.delivered["room-messages"] += sent
        return sent

    def deliver_to_person(self, person: Person, event: Event) -> None:
        """Give one event of a room to a member who follows all rooms (a replay for a joiner)."""
        if event.kind is Kind.FRAME and event.stream == "room-messages":
            if person.my_messages:
                self._to_person(person, my_message(event, participant=True))
        elif event.kind is Kind.ARGS and event.key == "rooms-changed":
            sent = send_to(person, self.topics, event.key, event.payload)
            self._tally.delivered["notify-user"] += sent

    # --- control ------------------------------------------------------------------------------

    def _control(self, event: Event, *, wildcard: bool) -> None:
        try:
            control = decode_control(event.payload)
        except ValidationError:
            log.warning("bad_control_event", audience=event.audience.partition(".")[0])
            return
        match control:
            case RoomAccessChanged():
                self._rights.room_changed(control.room_id)
                if not wildcard:
                    self._told().room_access_changed(control.room_id, event.sequence)
            case MembershipEnded():
                self._rights.membership_changed(control.user_id, control.room_id)
                if not wildcard:
                    self._membership_ended(control, event)
            case MembershipBegan():
                self._rights.membership_changed(control.user_id, control.room_id)
                self.memberships.began(control, event.sequence)
                if self.people.get(control.user_id) is not None:
                    self._recent.admitted(control.user_id, control.room_id, event.sequence)
            case AccountChanged():
                if control.rights:
                    self._rights.account_changed(control.user_id)
                self._told().account_changed(control.user_id, rights=control.rights)
            case RightsChanged():
                self._rights.rights_changed(control.what)
                self._told().rights_changed(control.what)
            case EventsMissing():
                self._missing(event, wildcard=wildcard)
            case _:
                log.warning("misplaced_control_event", type=control.type)

    def _missing(self, event: Event, *, wildcard: bool) -> None:
        """The hub could not publish something: its receivers have to fetch it."""
        if not wildcard:
            log.warning("events_missing", audience=event.audience.partition(".")[0])
            self.on_lost(event.audience)
        elif event.headers.get(Header.ROOM_TYPE) == "c":
            self.on_lost(ALL_ROOMS)  # those who read public rooms that they are not in

    def _membership_ended(self, ended: MembershipEnded, event: Event) -> None:
        person = self.people.get(ended.user_id)
        if person is None:
            return
        if user_of(event.audience) is not None:
            # The room's own audience says it in the right place; this copy is for those who do
            # not hear the room yet, because the memberships are being read. Discussions of the
            # room and rooms of its team may be closed to the user now, too.
            self._rights.account_changed(ended.user_id)
            self._told().judge_person(ended.user_id)
            if person.journal is not None:
                self.memberships.ended(ended.user_id, ended.room_id, event.sequence)
            return
        self.memberships.ended(ended.user_id, ended.room_id, event.sequence)
        recipients = [session.recipient for session in person.sessions]
        self._recent.expelled(ended.user_id, ended.room_id, event.sequence, recipients)
        for session in list(person.sessions):
            session.end_room(ended.room_id)

    # --- helpers ------------------------------------------------------------------------------

    def _concerned_by(self, audience: Audience) -> set[Listening]:
        """The sessions that may have missed something of `audience`."""
        user_id, room_id = user_of(audience), room_of(audience)
        if user_id is not None:
            person = self.people.get(user_id)
            return set() if person is None else set(person.sessions)
        if audience == ALL_ROOMS:
            return {s for person in self.people for s in person.my_messages.values()}
        if room_id is not None:
            persons = (*self.people.in_room(room_id), *self.people.expected(room_id))
            return {
                *(session for _, session in self.topics.of_room(room_id)),
                *self.topics.aside(room_id),
                *(session for person in persons for session in person.sessions),
            }
        if audience == LOGGED:
            return self.topics.of_streams(frozenset({"notify-logged", "roles"}))
        if audience == EVERYONE:
            return self.topics.of_streams(frozenset({"notify-all"}))
        return set()

    def _told(self) -> Consequences:
        if self._consequences is None:
            raise RuntimeError("not connected")
        return self._consequences

    def _count(self, recipients: int) -> None:
        self._metrics.fanout_recipients.observe(recipients)
        if not recipients:
            self._tally.filtered["unsubscribed"] += 1

    def _measure(self, event: Event, begun: float) -> None:
        self._metrics.fanout_duration.observe(time.perf_counter() - begun)
        committed, published = event.committed, event.published
        if committed is not None and published is not None:
            self._metrics.latency("commit_to_hub", published - committed)
            self._metrics.latency("hub_to_streamer", event.arrived * 1000 - published)

    def _next_timed(self, recipients: int) -> int:
        """The slice whose last recipient is timed; each in turn, so that none is preferred."""
        self._turn += 1
        slices = (recipients + _BETWEEN_PAUSES) >> _SLICE
        return self._turn % slices if slices else -1

    def _time(self, recipient: Recipient, event: Event) -> None:
        """Measure how long this event takes to this recipient, which has just got it."""
        if event.committed is not None:
            recipient.when_written(partial(self._written, event, event.committed))

    def _written(self, event: Event, committed: int) -> None:
        now = time.time()
        self._metrics.latency("streamer_to_socket", (now - event.arrived) * 1000)
        self._metrics.latency("total", now * 1000 - committed)


def _may_be_ephemeral(event: Event) -> bool:
    """Whoever may publish there can fake a typing notice, and never a stored event."""
    if event.kind is not Kind.FRAME:
        return False
    _, _, name = event.key.partition("/")
    if event.audience == PRESENCE:
        return event.stream == "user-presence"
    if event.audience == APPS:
        return event.stream == "apps"
    room_id, user_id = room_of(event.audience), user_of(event.audience)
    if room_id is not None:
        return (
            event.stream == "notify-room"
            and name in _EPHEMERAL_ROOM_EVENTS
            and event.key == f"{room_id}/{name}"
        )
    if user_id is not None:
        return (
            event.stream == "notify-user"
            and name in _EPHEMERAL_USER_EVENTS
            and event.key == f"{user_id}/{name}"
        )
    return False
